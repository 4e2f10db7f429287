//! Changes that a flush has to cover: a brick's restart before the flush is told by the flush.

mod client_harness;

use brickwire_core::FileId;
use brickwire_core::fop::FopNumber;
use brickwire_core::fop::wire::{Body, Reply};
use brickwire_core::volume::{Op, OpError, OpenFlags};
use brickwire_core::xdr::{Dict, Gfid};
use client_harness::{Call, FILE, Rig, directory, regular};

fn open_with(rig: &mut Rig, flags: OpenFlags) -> FileId {
    let op = rig.submit(Op::Open { path: b"f", flags, mode: 0o600 }, Vec::new());
    let call = rig.expect(FopNumber::Lookup);
    rig.answer_lookup(&call, regular(FILE, 100));
    let call = rig.expect(FopNumber::Open);
    rig.answer_open(&call);
    rig.opened[&op]
}

/// The result of a flush after the brick's process was replaced.
fn flush_after_restart(rig: &mut Rig, file: FileId) -> Option<Result<u32, OpError>> {
    rig.brick_returns_as("brick-process-2");
    let open = rig.expect(FopNumber::Open);
    rig.answer_open(&open);
    let flush = rig.flush(file);
    if let Some(at) = rig.calls.iter().position(|call| call.fop() == Some(FopNumber::Fsync)) {
        let call: Call = rig.calls.remove(at).unwrap();
        rig.answer_done(&call, 0);
    }
    rig.result(flush)
}

#[test]
fn a_handle_whose_writes_are_synchronous_still_has_other_changes_to_flush() {
    type Change = fn(FileId) -> Op<'static>;
    let changes: [(Change, FopNumber); 4] = [
        (|file| Op::Truncate { file, size: 7 }, FopNumber::Ftruncate),
        (|file| Op::Discard { file, offset: 0, len: 9 }, FopNumber::Discard),
        (|file| Op::WriteZeroes { file, offset: 0, len: 9 }, FopNumber::Zerofill),
        (|file| Op::Allocate { file, offset: 0, len: 9, keep_size: false }, FopNumber::Fallocate),
    ];
    for (change, fop) in changes {
        let mut rig = Rig::up();
        let file = open_with(&mut rig, OpenFlags::READ_WRITE.and(OpenFlags::SYNC));
        let op = rig.submit(change(file), Vec::new());
        let call = rig.expect(fop);
        rig.answer_done(&call, 0);
        assert_eq!(rig.result(op), Some(Ok(0)));
        let told = flush_after_restart(&mut rig, file);
        assert_eq!(told, Some(Err(OpError::WritesLost)), "{fop:?}");
    }
}

#[test]
fn a_synchronous_write_needs_no_flush() {
    let mut rig = Rig::up();
    let file = open_with(&mut rig, OpenFlags::READ_WRITE.and(OpenFlags::SYNC));
    rig.write(file, 0, b"block");
    let call = rig.expect(FopNumber::Write);
    rig.answer_done(&call, 5);
    assert_eq!(flush_after_restart(&mut rig, file), Some(Ok(0)));
}

#[test]
fn an_open_that_truncates_is_a_change_to_flush() {
    let mut rig = Rig::up();
    let file = open_with(&mut rig, OpenFlags::READ_WRITE.and(OpenFlags::TRUNCATE));
    assert_eq!(flush_after_restart(&mut rig, file), Some(Err(OpError::WritesLost)));

    let mut rig = Rig::up();
    let file = open_with(&mut rig, OpenFlags::READ_WRITE);
    assert_eq!(flush_after_restart(&mut rig, file), Some(Ok(0)));
}

#[test]
fn a_create_that_truncates_is_a_change_to_flush() {
    let mut rig = Rig::up();
    let flags = OpenFlags::READ_WRITE.and(OpenFlags::CREATE).and(OpenFlags::TRUNCATE);
    let op = rig.submit(Op::Open { path: b"new", flags, mode: 0o600 }, Vec::new());
    let call = rig.expect(FopNumber::Lookup);
    rig.fails(&call, 2);
    let call = rig.expect(FopNumber::Create);
    let dir = directory(Gfid::ROOT);
    let body = Body::Create { stat: regular(FILE, 0), fd: 3, preparent: dir, postparent: dir };
    rig.answer(&call, &Reply { op_ret: 0, op_errno: 0, xdata: Dict::Null, body });
    let file = rig.opened[&op];
    assert_eq!(flush_after_restart(&mut rig, file), Some(Err(OpError::WritesLost)));
}
