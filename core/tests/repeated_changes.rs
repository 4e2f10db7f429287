//! A change is never executed again over a younger one that was acknowledged: not by us, and not by
//! a brick's process that received it on a connection that is gone.

mod client_harness;

use brickwire_core::FileId;
use brickwire_core::Limits;
use brickwire_core::OpId;
use brickwire_core::fop::FopNumber;
use brickwire_core::volume::{Down, Op, OpError, OpenFlags};
use client_harness::{FILE, PROCESS, Rig, regular, reply_record};

const OTHER_PROCESS: &str = "brick-process-2";

/// A volume whose operations may take five seconds.
fn impatient() -> Rig {
    let mut rig = Rig::with(|config| config.op_timeout_ms = 5_000, limits());
    rig.bring_up();
    rig
}

fn limits() -> Limits {
    Limits { ops: 32, frames: 64, calls: 128, files: 8, inodes: 8, fds: 16, ..Limits::FIRMWARE }
}

/// Opens the existing file with these flags, up to the brick's OPEN.
fn opening(rig: &mut Rig, flags: OpenFlags) -> OpId {
    let op = rig.submit(Op::Open { path: b"f", flags, mode: 0o600 }, Vec::new());
    let call = rig.expect(FopNumber::Lookup);
    rig.answer_lookup(&call, regular(FILE, 100));
    op
}

fn open_with(rig: &mut Rig, flags: OpenFlags) -> FileId {
    let op = opening(rig, flags);
    let call = rig.expect(FopNumber::Open);
    rig.answer_open(&call);
    rig.opened[&op]
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

fn is_indeterminate(rig: &Rig, op: OpId) -> bool {
    matches!(rig.result(op), Some(Err(OpError::Indeterminate(_))))
}

#[test]
fn an_open_that_truncates_is_not_repeated_while_its_process_lives() {
    let mut rig = Rig::up();
    let truncating = OpenFlags::READ_WRITE.and(OpenFlags::TRUNCATE);
    let op = opening(&mut rig, truncating);
    rig.expect(FopNumber::Open);
    returns_as(&mut rig, PROCESS, 0);
    rig.expect_nothing();
    assert!(is_indeterminate(&rig, op), "{:?}", rig.result(op));
    assert_eq!(rig.volume.in_use().files, 0);

    // The first truncation is in doubt until then.
    rig.after_ms(60_000);
    let op = opening(&mut rig, truncating);
    rig.expect(FopNumber::Open);
    returns_as(&mut rig, OTHER_PROCESS, 0);
    let again = rig.expect(FopNumber::Open);
    rig.answer_open(&again);
    assert_eq!(rig.result(op), Some(Ok(0)), "the process that may have truncated late is gone");
}

#[test]
fn a_create_is_not_repeated_while_its_process_lives() {
    let mut rig = Rig::up();
    let flags = OpenFlags::READ_WRITE.and(OpenFlags::CREATE);
    for (process, repeated) in [(PROCESS, false), (OTHER_PROCESS, true)] {
        let op = rig.submit(Op::Open { path: b"new", flags, mode: 0o600 }, Vec::new());
        let call = rig.expect(FopNumber::Lookup);
        rig.fails(&call, 2);
        rig.expect(FopNumber::Create);
        returns_as(&mut rig, process, 0);
        if repeated {
            rig.expect(FopNumber::Lookup);
            assert_eq!(rig.result(op), None);
        } else {
            rig.expect_nothing();
            assert!(is_indeterminate(&rig, op), "{:?}", rig.result(op));
            assert_eq!(rig.volume.in_use().files, 0);
        }
    }
}

#[test]
fn a_plain_open_is_repeated_whatever_process_answers() {
    let mut rig = Rig::up();
    let op = opening(&mut rig, OpenFlags::READ_WRITE);
    rig.expect(FopNumber::Open);
    returns_as(&mut rig, PROCESS, 0);
    let again = rig.expect(FopNumber::Open);
    rig.answer_open(&again);
    assert_eq!(rig.result(op), Some(Ok(0)));
}

#[test]
fn a_write_that_appends_is_never_repeated() {
    let mut rig = Rig::up();
    let file = open_with(&mut rig, OpenFlags::READ_WRITE.and(OpenFlags::APPEND));
    let write = rig.write(file, 0, b"line\n");
    rig.expect(FopNumber::Write);
    returns_as(&mut rig, OTHER_PROCESS, 1);
    rig.expect_nothing();
    assert!(is_indeterminate(&rig, write), "{:?}", rig.result(write));
}

#[test]
fn writes_that_append_go_out_one_after_the_other_whatever_their_offsets() {
    let mut rig = Rig::up();
    let file = open_with(&mut rig, OpenFlags::READ_WRITE.and(OpenFlags::APPEND));
    let ops = [rig.write(file, 0, b"first"), rig.write(file, 4096, b"second")];
    for (op, payload) in ops.into_iter().zip([&b"first"[..], b"second"]) {
        let call = rig.expect(FopNumber::Write);
        rig.expect_nothing();
        assert_eq!(call.payload(), payload);
        rig.answer_done(&call, payload.len() as i32);
        assert_eq!(rig.result(op), Some(Ok(payload.len() as u32)));
    }
}

/// A WRITE of ten bytes of which the brick took four; the rest waits for room in the connection's
/// window when the connection breaks.
fn half_taken(rig: &mut Rig, file: FileId) -> OpId {
    let write = rig.write(file, 10, b"0123456789");
    let call = rig.expect(FopNumber::Write);
    rig.send_max = 0;
    for n in 0..20 {
        rig.submit(Op::Read { file, offset: n, len: 1, fill: false }, vec![0]);
    }
    rig.answer_done(&call, 4);
    rig.send_max = usize::MAX;
    rig.expect_nothing();
    write
}

#[test]
fn a_short_write_whose_rest_waits_is_written_from_its_beginning_after_a_restart() {
    let mut rig = Rig::up();
    let file = rig.open();
    let write = half_taken(&mut rig, file);
    returns_as(&mut rig, OTHER_PROCESS, 1);
    rig.calls.retain(|call| call.fop() == Some(FopNumber::Write));
    let again = rig.expect(FopNumber::Write);
    assert_eq!(again.payload(), b"0123456789", "the first part may be gone with the process");
    rig.answer_done(&again, 10);
    assert_eq!(rig.result(write), Some(Ok(10)));
}

#[test]
fn a_short_write_that_appends_is_not_written_twice() {
    let mut rig = Rig::up();
    let file = open_with(&mut rig, OpenFlags::READ_WRITE.and(OpenFlags::APPEND));
    let write = half_taken(&mut rig, file);
    returns_as(&mut rig, OTHER_PROCESS, 1);
    assert!(rig.calls.iter().all(|call| call.fop() != Some(FopNumber::Write)));
    assert!(is_indeterminate(&rig, write), "{:?}", rig.result(write));
}

/// Submits a change of the bytes 4 to 12 and one apart, and expects only the one apart to go out.
fn only_what_overlaps_waits(rig: &mut Rig, file: FileId) -> OpId {
    let young = rig.write(file, 4, b"new data");
    let apart = rig.write(file, 4096, b"apart");
    let call = rig.expect(FopNumber::Write);
    assert_eq!(call.payload(), b"apart");
    rig.answer_done(&call, 5);
    assert_eq!(rig.result(apart), Some(Ok(5)));
    rig.expect_nothing();
    young
}

fn goes_out(rig: &mut Rig, young: OpId) {
    let call = rig.expect(FopNumber::Write);
    assert_eq!(call.payload(), b"new data");
    rig.answer_done(&call, 8);
    assert_eq!(rig.result(young), Some(Ok(8)));
}

#[test]
fn an_abandoned_write_holds_its_bytes_when_its_connection_ends_and_its_process_lives() {
    let mut rig = impatient();
    let file = rig.open();
    let old = rig.write(file, 0, b"old data");
    rig.expect(FopNumber::Write);
    rig.after_ms(5_000);
    assert_eq!(rig.result(old), Some(Err(OpError::TimedOut)));
    returns_as(&mut rig, PROCESS, 1);
    let young = only_what_overlaps_waits(&mut rig, file);
    // The bytes are free before its own time is over.
    rig.after_ms(4_950);
    goes_out(&mut rig, young);
}

#[test]
fn an_indeterminate_write_holds_its_bytes_while_its_process_lives() {
    let mut rig = impatient();
    let file = rig.open();
    let old = rig.write(file, 0, b"old data");
    rig.expect(FopNumber::Write);
    returns_as(&mut rig, PROCESS, 1);
    assert!(is_indeterminate(&rig, old), "{:?}", rig.result(old));
    let young = only_what_overlaps_waits(&mut rig, file);
    returns_as(&mut rig, OTHER_PROCESS, 1);
    goes_out(&mut rig, young);
}

#[test]
fn a_write_that_timed_out_between_connections_is_indeterminate_and_holds_its_bytes() {
    let mut rig = impatient();
    let file = rig.open();
    let old = rig.write(file, 0, b"old data");
    rig.expect(FopNumber::Write);
    let brick = rig.brick();
    rig.after_ms(4_000);
    rig.breaks(brick);
    rig.after_ms(1_000);
    assert!(is_indeterminate(&rig, old), "the brick may have it: {:?}", rig.result(old));
    for _ in 0..20 {
        if rig.calls.iter().any(|call| call.fop().is_some()) {
            break;
        }
        if rig.dialled.is_empty() && rig.calls.is_empty() {
            rig.next_deadline();
        }
        rig.accept_dials();
        rig.answer_handshake();
    }
    let open = rig.expect(FopNumber::Open);
    rig.answer_open(&open);
    let young = only_what_overlaps_waits(&mut rig, file);
    rig.after_ms(4_950);
    goes_out(&mut rig, young);
}

#[test]
fn an_answer_that_makes_no_sense_to_an_abandoned_write_holds_its_bytes_for_a_time_only() {
    let mut rig = impatient();
    let file = rig.open();
    rig.write(file, 0, b"old data");
    let stuck = rig.expect(FopNumber::Write);
    rig.after_ms(5_000);
    rig.deliver(stuck.conn, &reply_record(stuck.xid, |w| w.u32(0).unwrap()));
    assert!(rig.closed.contains(&stuck.conn));
    assert!(matches!(rig.volume.bricks().next().unwrap().down, Some(Down::Peer(_))));
    for _ in 0..20 {
        if rig.calls.iter().any(|call| call.fop().is_some()) {
            break;
        }
        if rig.dialled.is_empty() && rig.calls.is_empty() {
            rig.next_deadline();
        }
        rig.accept_dials();
        rig.answer_handshake();
    }
    let open = rig.expect(FopNumber::Open);
    rig.answer_open(&open);
    let young = only_what_overlaps_waits(&mut rig, file);
    rig.after_ms(4_950);
    goes_out(&mut rig, young);
}

#[test]
fn an_abandoned_flush_holds_no_bytes() {
    let mut rig = impatient();
    let file = rig.open();
    rig.write(file, 0, b"old data");
    let stuck = rig.expect(FopNumber::Write);
    rig.after_ms(5_000);
    rig.answer_done(&stuck, 8);
    rig.flush(file);
    rig.expect(FopNumber::Fsync);
    rig.after_ms(5_000);
    let young = rig.write(file, 4, b"new data");
    goes_out(&mut rig, young);
}

#[test]
fn an_abandoned_flush_does_not_prolong_the_hold_of_an_abandoned_write() {
    let mut rig = impatient();
    let file = rig.open();
    rig.write(file, 0, b"old data");
    let write = rig.expect(FopNumber::Write);
    rig.after_ms(5_000);
    rig.flush(file);
    let fsync = rig.expect(FopNumber::Fsync);
    rig.after_ms(5_000);
    let young = rig.write(file, 4, b"new data");
    rig.answer_done(&fsync, 0);
    rig.expect_nothing();
    rig.answer_done(&write, 8);
    goes_out(&mut rig, young);

    rig.write(file, 0, b"old data");
    let write = rig.expect(FopNumber::Write);
    rig.after_ms(5_000);
    rig.flush(file);
    rig.expect(FopNumber::Fsync);
    rig.after_ms(5_000);
    let young = rig.write(file, 4, b"new data");
    rig.expect_nothing();
    rig.answer_done(&write, 8);
    goes_out(&mut rig, young);
}
