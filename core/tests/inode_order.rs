//! Order, doubt and durability belong to the inode: they are the same through whatever handles and
//! paths its changes come.

mod client_harness;

use brickwire_core::fop::FopNumber;
use brickwire_core::volume::{Op, OpError, OpenFlags, SubmitError, Table};
use brickwire_core::xdr::Gfid;
use brickwire_core::{FileId, Limits, OpId};
use client_harness::{Call, FILE, PROCESS, Rig, regular, reply_record};

const OTHER_PROCESS: &str = "brick-process-2";

/// A volume whose operations may take five seconds.
fn impatient() -> Rig {
    let mut rig = Rig::with(
        |config| config.op_timeout_ms = 5_000,
        Limits {
            ops: 32,
            frames: 64,
            calls: 128,
            files: 8,
            inodes: 8,
            fds: 16,
            ..Limits::FIRMWARE
        },
    );
    rig.bring_up();
    rig
}

fn gfid(n: u8) -> Gfid {
    Gfid([n; 16])
}

/// Begins to open the file with this gfid, up to the answer to its LOOKUP.
fn opening(rig: &mut Rig, gfid: Gfid, flags: OpenFlags) -> OpId {
    let op = rig.submit(Op::Open { path: b"f", flags, mode: 0 }, Vec::new());
    let call = rig.expect(FopNumber::Lookup);
    rig.answer_lookup(&call, regular(gfid, 1 << 20));
    op
}

fn open(rig: &mut Rig, gfid: Gfid) -> FileId {
    let op = opening(rig, gfid, OpenFlags::READ_WRITE);
    let call = rig.expect(FopNumber::Open);
    rig.answer_open(&call);
    rig.opened[&op]
}

fn close(rig: &mut Rig, file: FileId) {
    let close = rig.submit(Op::Close { file }, Vec::new());
    let call = rig.expect(FopNumber::Flush);
    rig.answer(&call, &brickwire_core::fop::wire::Reply::plain(0, 0));
    assert_eq!(rig.result(close), Some(Ok(0)));
    is_released(rig);
}

fn is_released(rig: &mut Rig) {
    let call = rig.expect(FopNumber::Release);
    rig.answer(&call, &brickwire_core::fop::wire::Reply::plain(0, 0));
}

fn write(rig: &mut Rig, file: FileId) {
    let op = rig.write(file, 0, b"data");
    let call = rig.expect(FopNumber::Write);
    rig.answer_done(&call, 4);
    assert_eq!(rig.result(op), Some(Ok(4)));
}

fn flush(rig: &mut Rig, file: FileId) -> Option<Result<u32, OpError>> {
    let flush = rig.flush(file);
    if let Some(at) = rig.calls.iter().position(|call| call.fop() == Some(FopNumber::Fsync)) {
        let call: Call = rig.calls.remove(at).unwrap();
        rig.answer_done(&call, 0);
    }
    rig.result(flush)
}

/// The brick's connection breaks and this process answers; what was open is opened again.
fn returns_as(rig: &mut Rig, process: &str, reopens: usize) {
    rig.brick_returns_as(process);
    for _ in 0..reopens {
        let open = rig.expect(FopNumber::Open);
        rig.answer_open(&open);
    }
    assert!(rig.volume.is_usable());
}

fn goes_out(rig: &mut Rig, young: OpId) {
    let call = rig.expect(FopNumber::Write);
    assert_eq!(call.payload(), b"new data");
    rig.answer_done(&call, 8);
    assert_eq!(rig.result(young), Some(Ok(8)));
}

#[test]
fn changes_of_the_same_bytes_through_two_handles_go_out_one_after_the_other() {
    let mut rig = Rig::up();
    let (one, other) = (rig.open(), rig.open());
    let old = rig.write(one, 0, b"old data");
    let young = rig.write(other, 4, b"new data");
    let apart = rig.write(other, 100, b"apart");
    let first = rig.expect(FopNumber::Write);
    assert_eq!(first.payload(), b"old data");
    let second = rig.expect(FopNumber::Write);
    assert_eq!(second.payload(), b"apart", "other bytes do not wait");
    rig.expect_nothing();
    rig.answer_done(&first, 8);
    assert_eq!(rig.result(old), Some(Ok(8)));
    goes_out(&mut rig, young);
    rig.answer_done(&second, 5);
    assert_eq!(rig.result(apart), Some(Ok(5)));
}

#[test]
fn changes_of_two_inodes_have_no_order() {
    let mut rig = Rig::up();
    let (one, other) = (open(&mut rig, gfid(1)), open(&mut rig, gfid(2)));
    rig.write(one, 0, b"old data");
    rig.write(other, 0, b"new data");
    rig.expect(FopNumber::Write);
    rig.expect(FopNumber::Write);
}

#[test]
fn a_write_that_appends_through_another_handle_has_no_known_place() {
    let mut rig = Rig::up();
    let one = rig.open();
    let op = opening(&mut rig, FILE, OpenFlags::READ_WRITE.and(OpenFlags::APPEND));
    let call = rig.expect(FopNumber::Open);
    rig.answer_open(&call);
    let appends = rig.opened[&op];
    rig.write(appends, 0, b"end");
    let young = rig.write(one, 4096, b"new data");
    let call = rig.expect(FopNumber::Write);
    rig.expect_nothing();
    rig.answer_done(&call, 3);
    goes_out(&mut rig, young);
}

#[test]
fn a_truncation_at_a_path_has_its_place_in_the_order_of_its_inode() {
    let mut rig = Rig::up();
    let file = rig.open();
    rig.write(file, 0, b"old data");
    let old = rig.expect(FopNumber::Write);
    let truncate = rig.submit(Op::TruncatePath { path: b"f", size: 4 }, Vec::new());
    let lookup = rig.expect(FopNumber::Lookup);
    rig.answer_lookup(&lookup, regular(FILE, 8));
    rig.expect_nothing();
    let young = rig.write(file, 8, b"new data");
    rig.expect_nothing();
    rig.answer_done(&old, 8);
    let call = rig.expect(FopNumber::Truncate);
    rig.expect_nothing();
    rig.answer_done(&call, 0);
    assert_eq!(rig.result(truncate), Some(Ok(0)));
    goes_out(&mut rig, young);
}

#[test]
fn a_truncation_at_a_path_is_a_change_to_flush() {
    let mut rig = Rig::up();
    let file = rig.open();
    let truncate = rig.submit(Op::TruncatePath { path: b"f", size: 4 }, Vec::new());
    let lookup = rig.expect(FopNumber::Lookup);
    rig.answer_lookup(&lookup, regular(FILE, 8));
    let call = rig.expect(FopNumber::Truncate);
    rig.answer_done(&call, 0);
    assert_eq!(rig.result(truncate), Some(Ok(0)));
    returns_as(&mut rig, OTHER_PROCESS, 1);
    assert_eq!(flush(&mut rig, file), Some(Err(OpError::WritesLost)));
}

#[test]
fn an_abandoned_truncation_at_a_path_holds_the_bytes_that_it_cuts() {
    let mut rig = impatient();
    let file = rig.open();
    let truncate = rig.submit(Op::TruncatePath { path: b"f", size: 4 }, Vec::new());
    let lookup = rig.expect(FopNumber::Lookup);
    rig.answer_lookup(&lookup, regular(FILE, 8));
    let stuck = rig.expect(FopNumber::Truncate);
    rig.after_ms(5_000);
    assert_eq!(rig.result(truncate), Some(Err(OpError::TimedOut)));
    let young = rig.write(file, 8, b"new data");
    rig.expect_nothing();
    rig.answer_done(&stuck, 0);
    goes_out(&mut rig, young);
}

#[test]
fn a_truncation_whose_file_was_replaced_leaves_the_order_of_the_old_one() {
    let mut rig = Rig::up();
    let truncate = rig.submit(Op::TruncatePath { path: b"f", size: 4 }, Vec::new());
    for (n, errno) in [(1, Some(116)), (2, None)] {
        let lookup = rig.expect(FopNumber::Lookup);
        rig.answer_lookup(&lookup, regular(gfid(n), 8));
        let call = rig.expect(FopNumber::Truncate);
        match errno {
            Some(errno) => rig.fails(&call, errno),
            None => rig.answer_done(&call, 0),
        }
    }
    assert_eq!(rig.result(truncate), Some(Ok(0)));
    assert_eq!(rig.volume.in_use().inodes, 0);
}

const TRUNCATING: OpenFlags = OpenFlags(OpenFlags::READ_WRITE.0 | OpenFlags::TRUNCATE.0);

#[test]
fn an_open_that_truncates_has_its_place_in_the_order_of_its_inode() {
    let mut rig = Rig::up();
    let file = rig.open();
    rig.write(file, 0, b"old data");
    let old = rig.expect(FopNumber::Write);
    let truncates = opening(&mut rig, FILE, TRUNCATING);
    rig.expect_nothing();
    let young = rig.write(file, 8, b"new data");
    let plain = opening(&mut rig, FILE, OpenFlags::READ_WRITE);
    let call = rig.expect(FopNumber::Open);
    rig.answer_open(&call);
    assert_eq!(rig.result(plain), Some(Ok(0)), "it changes nothing");
    rig.answer_done(&old, 8);
    let call = rig.expect(FopNumber::Open);
    rig.expect_nothing();
    rig.answer_open(&call);
    assert_eq!(rig.result(truncates), Some(Ok(0)));
    goes_out(&mut rig, young);
}

#[test]
fn an_abandoned_open_that_truncates_holds_all_bytes_and_its_number_is_released() {
    let mut rig = impatient();
    let file = rig.open();
    let truncates = opening(&mut rig, FILE, TRUNCATING);
    let stuck = rig.expect(FopNumber::Open);
    rig.after_ms(5_000);
    assert_eq!(rig.result(truncates), Some(Err(OpError::TimedOut)));
    let young = rig.write(file, 8, b"new data");
    rig.expect_nothing();
    rig.answer_open(&stuck);
    rig.calls.make_contiguous().sort_by_key(|call| call.fop() != Some(FopNumber::Release));
    is_released(&mut rig);
    goes_out(&mut rig, young);
}

/// Answers a call with a reply that arrives in pieces and is longer than a block.
fn too_long_an_answer(rig: &mut Rig, call: &Call) {
    let record = reply_record(call.xid, |w| w.raw(&[0; 4000]).unwrap());
    for piece in record.chunks(1000) {
        rig.deliver(call.conn, piece);
    }
}

#[test]
fn an_abandoned_change_is_over_with_an_answer_that_fits_no_buffer() {
    for truncating in [true, false] {
        let mut rig = impatient();
        let file = rig.open();
        let stuck = if truncating {
            opening(&mut rig, FILE, TRUNCATING);
            rig.expect(FopNumber::Open)
        } else {
            rig.write(file, 0, b"old data");
            rig.expect(FopNumber::Write)
        };
        rig.after_ms(5_000);
        let young = rig.write(file, 4, b"new data");
        rig.expect_nothing();
        too_long_an_answer(&mut rig, &stuck);
        goes_out(&mut rig, young);
        close(&mut rig, file);
        assert_eq!(rig.volume.in_use().inodes, 0);
    }
}

#[test]
fn an_open_that_truncates_and_is_in_doubt_holds_all_bytes_while_its_process_lives() {
    let mut rig = impatient();
    let file = rig.open();
    let truncates = opening(&mut rig, FILE, TRUNCATING);
    rig.expect(FopNumber::Open);
    returns_as(&mut rig, PROCESS, 1);
    assert!(matches!(rig.result(truncates), Some(Err(OpError::Indeterminate(_)))));
    let young = rig.write(file, 8, b"new data");
    rig.expect_nothing();
    returns_as(&mut rig, OTHER_PROCESS, 1);
    goes_out(&mut rig, young);
}

#[test]
fn an_abandoned_write_holds_its_bytes_when_its_handle_is_closed() {
    let mut rig = impatient();
    let file = rig.open();
    rig.write(file, 0, b"old data");
    let stuck = rig.expect(FopNumber::Write);
    rig.after_ms(5_000);
    close(&mut rig, file);
    assert_eq!(rig.volume.in_use().inodes, 1, "it is kept while the brick may execute the write");
    let file = rig.open();
    let young = rig.write(file, 4, b"new data");
    rig.expect_nothing();
    rig.answer_done(&stuck, 8);
    goes_out(&mut rig, young);
    close(&mut rig, file);
    assert_eq!(rig.volume.in_use().inodes, 0);
}

#[test]
fn a_write_in_doubt_holds_its_bytes_when_its_handle_is_closed() {
    let mut rig = impatient();
    let file = rig.open();
    let old = rig.write(file, 0, b"old data");
    rig.expect(FopNumber::Write);
    returns_as(&mut rig, PROCESS, 1);
    assert!(matches!(rig.result(old), Some(Err(OpError::Indeterminate(_)))));
    close(&mut rig, file);
    let file = rig.open();
    let young = rig.write(file, 4, b"new data");
    rig.expect_nothing();
    // The bytes are free before its own time is over.
    rig.after_ms(4_950);
    goes_out(&mut rig, young);
    close(&mut rig, file);
    assert_eq!(rig.volume.in_use().inodes, 0);
}

#[test]
fn writes_in_doubt_hold_nothing_between_them() {
    let mut rig = impatient();
    let file = rig.open();
    let old = [rig.write(file, 0, b"old data"), rig.write(file, 1 << 20, b"old data")];
    rig.expect(FopNumber::Write);
    rig.expect(FopNumber::Write);
    returns_as(&mut rig, PROCESS, 1);
    for op in old {
        assert!(matches!(rig.result(op), Some(Err(OpError::Indeterminate(_)))));
    }
    let held = rig.write(file, (1 << 20) + 4, b"new data");
    rig.expect_nothing();
    let between = rig.write(file, 4096, b"new data");
    goes_out(&mut rig, between);
    assert_eq!(rig.result(held), None);
}

#[test]
fn a_flush_waits_for_the_changes_through_every_handle() {
    let mut rig = Rig::up();
    let (one, other) = (rig.open(), rig.open());
    rig.write(one, 0, b"data");
    let flush = rig.flush(other);
    let call = rig.expect(FopNumber::Write);
    rig.expect_nothing();
    rig.answer_done(&call, 4);
    let fsync = rig.expect(FopNumber::Fsync);
    rig.answer_done(&fsync, 0);
    assert_eq!(rig.result(flush), Some(Ok(0)));
}

#[test]
fn a_close_waits_for_the_operations_on_its_own_handle_only() {
    let mut rig = Rig::up();
    let (one, other) = (rig.open(), rig.open());
    let old = rig.write(one, 0, b"data");
    let call = rig.expect(FopNumber::Write);
    close(&mut rig, other);
    rig.answer_done(&call, 4);
    assert_eq!(rig.result(old), Some(Ok(4)));
}

#[test]
fn a_flush_through_any_handle_covers_the_writes_through_the_others() {
    let mut rig = Rig::up();
    let (one, other) = (rig.open(), rig.open());
    write(&mut rig, one);
    assert_eq!(flush(&mut rig, other), Some(Ok(0)));
    returns_as(&mut rig, OTHER_PROCESS, 2);
    for file in [one, other] {
        assert_eq!(flush(&mut rig, file), Some(Ok(0)));
    }
}

#[test]
fn a_loss_is_told_by_every_handle_that_was_open_and_by_none_that_was_opened_since() {
    let mut rig = Rig::up();
    let (one, other) = (rig.open(), rig.open());
    let elsewhere = open(&mut rig, gfid(9));
    write(&mut rig, one);
    returns_as(&mut rig, OTHER_PROCESS, 3);
    for file in [one, other, one] {
        assert_eq!(flush(&mut rig, file), Some(Err(OpError::WritesLost)));
    }
    assert_eq!(flush(&mut rig, elsewhere), Some(Ok(0)), "another inode");
    let since = rig.open();
    assert_eq!(flush(&mut rig, since), Some(Ok(0)));
    // A write through a handle that has lost some is covered by the new handle's flush as well.
    write(&mut rig, one);
    assert_eq!(flush(&mut rig, since), Some(Ok(0)));
    assert_eq!(flush(&mut rig, one), Some(Err(OpError::WritesLost)));
    write(&mut rig, one);
    returns_as(&mut rig, PROCESS, 4);
    assert_eq!(flush(&mut rig, since), Some(Err(OpError::WritesLost)));
}

#[test]
fn writes_of_a_handle_that_was_closed_are_lost_for_the_one_that_was_open_by_then() {
    let mut rig = Rig::up();
    let file = rig.open();
    write(&mut rig, file);
    close(&mut rig, file);
    let file = rig.open();
    returns_as(&mut rig, OTHER_PROCESS, 1);
    assert_eq!(flush(&mut rig, file), Some(Err(OpError::WritesLost)));
}

#[test]
fn a_close_without_a_brick_tells_of_the_writes_of_its_own_handle_only() {
    let mut rig = Rig::up();
    let (one, other) = (rig.open(), rig.open());
    write(&mut rig, one);
    let brick = rig.brick();
    rig.breaks(brick);
    let close = rig.submit(Op::Close { file: one }, Vec::new());
    assert!(matches!(rig.result(close), Some(Err(OpError::NotConnected(_)))));
    let close = rig.submit(Op::Close { file: other }, Vec::new());
    assert_eq!(rig.result(close), Some(Ok(0)));
}

/// A volume with room for two files and as many inodes.
fn narrow() -> Rig {
    let limits = Limits { files: 2, inodes: 2, fds: 4, ..Limits::FIRMWARE };
    let mut rig = Rig::with(|config| config.op_timeout_ms = 5_000, limits);
    rig.bring_up();
    rig
}

#[test]
fn an_open_without_room_for_its_inode_is_refused_by_name_until_something_is_settled() {
    let mut rig = narrow();
    let mut stuck = Vec::new();
    for n in [1, 2] {
        let file = open(&mut rig, gfid(n));
        rig.write(file, 0, b"old data");
        stuck.push(rig.expect(FopNumber::Write));
        rig.after_ms(5_000);
        close(&mut rig, file);
    }
    let in_use = rig.volume.in_use();
    assert_eq!((in_use.files, in_use.inodes), (0, 2));
    let refused = opening(&mut rig, gfid(3), OpenFlags::READ_WRITE);
    assert_eq!(rig.result(refused), Some(Err(OpError::Busy(Table::Inodes))));
    let create = OpenFlags::READ_WRITE.and(OpenFlags::CREATE);
    let refused = rig.submit(Op::Open { path: b"new", flags: create, mode: 0o600 }, Vec::new());
    let lookup = rig.expect(FopNumber::Lookup);
    rig.fails(&lookup, 2);
    assert_eq!(rig.result(refused), Some(Err(OpError::Busy(Table::Inodes))));
    let refused = rig.submit(Op::TruncatePath { path: b"f", size: 4 }, Vec::new());
    let lookup = rig.expect(FopNumber::Lookup);
    rig.answer_lookup(&lookup, regular(gfid(3), 8));
    assert_eq!(rig.result(refused), Some(Err(OpError::Busy(Table::Inodes))));
    // A known one can be opened.
    let known = open(&mut rig, gfid(2));
    close(&mut rig, known);
    rig.answer_done(&stuck[0], 8);
    let file = open(&mut rig, gfid(3));
    write(&mut rig, file);
    close(&mut rig, file);
    rig.answer_done(&stuck[1], 8);
    let in_use = rig.volume.in_use();
    assert_eq!((in_use.files, in_use.inodes), (0, 0));
}

#[test]
fn inodes_that_are_idle_give_way_and_their_unflushed_writes_are_not_forgotten() {
    let mut rig = narrow();
    let file = open(&mut rig, gfid(1));
    write(&mut rig, file);
    close(&mut rig, file);
    for n in 2..40 {
        let file = open(&mut rig, gfid(n));
        write(&mut rig, file);
        assert_eq!(flush(&mut rig, file), Some(Ok(0)));
        close(&mut rig, file);
    }
    assert_eq!(rig.volume.in_use().inodes, 0);
    // A flush that succeeds covers what was written through the first handle, so this one must not.
    let file = open(&mut rig, gfid(1));
    returns_as(&mut rig, OTHER_PROCESS, 1);
    assert_eq!(flush(&mut rig, file), Some(Err(OpError::WritesLost)));
    // A handle that was opened since knows nothing of it.
    close_lost(&mut rig, file);
    let file = open(&mut rig, gfid(1));
    returns_as(&mut rig, PROCESS, 1);
    assert_eq!(flush(&mut rig, file), Some(Ok(0)));
}

fn close_lost(rig: &mut Rig, file: FileId) {
    let close = rig.submit(Op::Close { file }, Vec::new());
    assert_eq!(rig.result(close), Some(Err(OpError::WritesLost)));
    is_released(rig);
}

#[test]
fn a_create_that_opens_a_file_that_exists_joins_its_inode() {
    let mut rig = narrow();
    let one = open(&mut rig, gfid(1));
    rig.write(one, 0, b"old data");
    let old = rig.expect(FopNumber::Write);
    let create = OpenFlags::READ_WRITE.and(OpenFlags::CREATE);
    let op = rig.submit(Op::Open { path: b"new", flags: create, mode: 0o600 }, Vec::new());
    let lookup = rig.expect(FopNumber::Lookup);
    rig.fails(&lookup, 2);
    let call = rig.expect(FopNumber::Create);
    let dir = client_harness::directory(Gfid::ROOT);
    let stat = regular(gfid(1), 8);
    let body =
        brickwire_core::fop::wire::Body::Create { stat, fd: 3, preparent: dir, postparent: dir };
    let xdata = brickwire_core::xdr::Dict::Null;
    rig.answer(&call, &brickwire_core::fop::wire::Reply { op_ret: 0, op_errno: 0, xdata, body });
    assert_eq!(rig.volume.in_use().inodes, 1);
    let young = rig.write(rig.opened[&op], 4, b"new data");
    rig.expect_nothing();
    rig.answer_done(&old, 8);
    goes_out(&mut rig, young);
}

#[test]
fn a_stop_leaves_no_inode_but_those_of_open_files() {
    let mut rig = impatient();
    let file = rig.open();
    rig.write(file, 0, b"old data");
    rig.expect(FopNumber::Write);
    rig.after_ms(5_000);
    close(&mut rig, file);
    let other = open(&mut rig, gfid(2));
    rig.submit(Op::Stop, Vec::new());
    let in_use = rig.volume.in_use();
    assert_eq!((in_use.files, in_use.inodes, in_use.deadlines), (1, 1, 0));
    let refused = rig.volume.submit(Op::Close { file: other }, rig.now);
    assert_eq!(refused, Err(SubmitError::Stopped));
}
