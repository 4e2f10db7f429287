//! Fops in flight: where payload is placed, which fops are repeated, and which are reported.

mod client_harness;

use brickwire_core::fop::FopNumber;
use brickwire_core::fop::wire::Request;
use brickwire_core::rpc::RecordMark;
use brickwire_core::volume::{Down, Op, OpError, SubmitError, Table};
use brickwire_core::xdr::Errno;
use brickwire_core::{Limits, OpId};
use client_harness::{FILE, PROCESS, Rig, read_reply, reply_record};

fn offset(call: &client_harness::Call) -> u64 {
    match call.request() {
        Request::Write(write) => write.offset,
        Request::Read(read) => read.offset,
        other => panic!("{other:?}"),
    }
}

fn buffer(rig: &Rig, op: OpId) -> &[u8] {
    &rig.buffers[&op]
}

#[test]
fn a_read_lands_in_the_callers_buffer_however_it_is_split() {
    let payload: Vec<u8> = (0..200_u8).collect();
    for split in 1..420 {
        let mut rig = Rig::up();
        let file = rig.open();
        let read = rig.read(file, 0, 200);
        let call = rig.expect(FopNumber::Read);
        let record = read_reply(&call, &payload, 200);
        let (first, second) = record.split_at(split.min(record.len()));
        rig.deliver(call.conn, first);
        rig.deliver(call.conn, second);
        assert_eq!(rig.result(read), Some(Ok(200)), "split at {split}");
        assert_eq!(buffer(&rig, read), payload, "split at {split}");
    }
}

#[test]
fn a_reply_in_many_fragments_byte_by_byte_is_the_same_reply() {
    let mut rig = Rig::up();
    let file = rig.open();
    let read = rig.read(file, 0, 50);
    let call = rig.expect(FopNumber::Read);
    let record = read_reply(&call, &[5; 50], 50);
    for (index, piece) in record[4..].chunks(7).enumerate() {
        let last = (index + 1) * 7 >= record.len() - 4;
        let mark = RecordMark { last, len: piece.len() as u32 };
        for byte in mark.word().to_be_bytes().iter().chain(piece) {
            rig.deliver(call.conn, &[*byte]);
        }
    }
    assert_eq!(rig.result(read), Some(Ok(50)), "{:?}", rig.volume.bricks().next());
    assert_eq!(buffer(&rig, read), [5; 50]);
}

#[test]
fn a_short_read_is_short_and_an_image_is_filled_with_zeroes() {
    let mut rig = Rig::up();
    let file = rig.open();
    let read = rig.read(file, 0, 8);
    let call = rig.expect(FopNumber::Read);
    rig.answer_read(&call, b"abc");
    assert_eq!(rig.result(read), Some(Ok(3)));
    assert_eq!(buffer(&rig, read), b"abc\xee\xee\xee\xee\xee", "what was not read is not touched");
    let read = rig.submit(Op::Read { file, offset: 0, len: 8, fill: true }, vec![0xee; 8]);
    let call = rig.expect(FopNumber::Read);
    rig.answer_read(&call, b"abc");
    assert_eq!(rig.result(read), Some(Ok(8)));
    assert_eq!(buffer(&rig, read), b"abc\0\0\0\0\0");
}

#[test]
fn half_a_payload_and_a_broken_connection_are_one_completion_with_the_right_bytes() {
    let mut rig = Rig::up();
    let file = rig.open();
    let read = rig.read(file, 0, 8);
    let call = rig.expect(FopNumber::Read);
    let record = read_reply(&call, b"12345678", 8);
    rig.deliver(call.conn, &record[..record.len() - 4]);
    rig.brick_returns_as(PROCESS);
    let open = rig.expect(FopNumber::Open);
    rig.answer_open(&open);
    let again = rig.expect(FopNumber::Read);
    assert_eq!(rig.result(read), None);
    rig.answer_read(&again, b"abcdefgh");
    assert_eq!(rig.result(read), Some(Ok(8)));
    assert_eq!(buffer(&rig, read), b"abcdefgh");
}

#[test]
fn an_answer_that_comes_after_the_deadline_goes_nowhere() {
    let mut rig = Rig::with(
        |config| config.op_timeout_ms = 5_000,
        Limits { ops: 8, frames: 16, calls: 32, ..Limits::FIRMWARE },
    );
    rig.bring_up();
    let file = rig.open();
    let read = rig.read(file, 0, 8);
    let call = rig.expect(FopNumber::Read);
    rig.after_ms(5_000);
    assert_eq!(rig.result(read), Some(Err(OpError::TimedOut)));
    rig.answer_read(&call, b"too late");
    assert_eq!(buffer(&rig, read), [0xee; 8], "the buffer is the caller's again");
    let next = rig.read(file, 0, 4);
    let call = rig.expect(FopNumber::Read);
    rig.answer_read(&call, b"fine");
    assert_eq!(rig.result(next), Some(Ok(4)), "the connection goes on");
}

#[test]
fn a_reply_that_brings_more_than_was_asked_for_writes_nothing_and_ends_the_connection() {
    for (payload, op_ret) in [(&b"123456789"[..], 9), (b"12345678", 4), (b"1234", 8)] {
        let mut rig = Rig::up();
        let file = rig.open();
        let read = rig.read(file, 0, 8);
        let call = rig.expect(FopNumber::Read);
        let record = read_reply(&call, payload, op_ret);
        rig.deliver(call.conn, &record);
        assert!(rig.closed.contains(&call.conn), "{op_ret}");
        assert_eq!(buffer(&rig, read), [0xee; 8], "{op_ret}");
        assert_eq!(rig.result(read), None, "a read is repeated on the next connection");
    }
}

#[test]
fn replies_that_nobody_asked_for_end_the_connection_and_nothing_else() {
    let mut rig = Rig::up();
    let file = rig.open();
    let (brick, glusterd) = (rig.brick(), rig.glusterd());
    let read = rig.read(file, 0, 8);
    rig.expect(FopNumber::Read);
    // A brick that cannot decode a call answers with xid 0.
    rig.deliver(brick, &reply_record(0, |_| {}));
    assert!(rig.closed.contains(&brick) && !rig.closed.contains(&glusterd));
    assert!(matches!(rig.volume.bricks().next().unwrap().down, Some(Down::Peer(_))));
    assert_eq!(rig.result(read), None);
}

#[test]
fn a_write_is_repeated_only_when_the_process_that_may_have_it_is_gone() {
    let mut rig = Rig::up();
    let file = rig.open();
    let write = rig.write(file, 4096, b"block");
    rig.expect(FopNumber::Write);
    rig.brick_returns_as("brick-process-2");
    let open = rig.expect(FopNumber::Open);
    assert_eq!(rig.result(write), None);
    rig.answer_open(&open);
    let again = rig.expect(FopNumber::Write);
    assert_eq!((offset(&again), again.payload()), (4096, &b"block"[..]));
    rig.answer_done(&again, 5);
    assert_eq!(rig.result(write), Some(Ok(5)));

    let write = rig.write(file, 0, b"block");
    rig.expect(FopNumber::Write);
    rig.brick_returns_as("brick-process-2");
    let open = rig.expect(FopNumber::Open);
    rig.answer_open(&open);
    assert!(
        matches!(rig.result(write), Some(Err(OpError::Indeterminate(_)))),
        "{:?}",
        rig.result(write)
    );
    rig.expect_nothing();
}

#[test]
fn numbers_of_an_older_connection_are_never_sent() {
    let mut rig = Rig::up();
    let file = rig.open();
    rig.brick_returns_as("brick-process-2");
    let open = rig.expect(FopNumber::Open);
    let read = rig.read(file, 0, 4);
    rig.expect_nothing();
    rig.next_fd = 77;
    rig.answer_open(&open);
    let call = rig.expect(FopNumber::Read);
    match call.request() {
        Request::Read(read) => assert_eq!((read.fd, read.gfid), (77, FILE)),
        other => panic!("{other:?}"),
    }
    rig.answer_read(&call, b"data");
    assert_eq!(rig.result(read), Some(Ok(4)));
}

#[test]
fn a_file_that_cannot_be_opened_again_answers_with_the_reason() {
    let mut rig = Rig::up();
    let file = rig.open();
    rig.brick_returns_as("brick-process-2");
    let open = rig.expect(FopNumber::Open);
    rig.fails(&open, 116);
    let read = rig.read(file, 0, 4);
    assert_eq!(rig.result(read), Some(Err(OpError::Errno(Errno::ESTALE))));
}

#[test]
fn a_flush_never_succeeds_over_acknowledged_writes_that_a_restart_may_have_lost() {
    let mut rig = Rig::up();
    let file = rig.open();
    let other = rig.open();
    let write = rig.write(file, 0, b"block");
    let call = rig.expect(FopNumber::Write);
    rig.answer_done(&call, 5);
    assert_eq!(rig.result(write), Some(Ok(5)));
    rig.brick_returns_as("brick-process-2");
    for _ in 0..2 {
        let open = rig.expect(FopNumber::Open);
        rig.answer_open(&open);
    }
    for handle in [file, other, file] {
        let flush = rig.flush(handle);
        assert_eq!(rig.result(flush), Some(Err(OpError::WritesLost)));
    }
    let again = rig.open();
    let flush = rig.flush(again);
    let call = rig.expect(FopNumber::Fsync);
    rig.answer_done(&call, 0);
    assert_eq!(
        rig.result(flush),
        Some(Ok(0)),
        "a handle that was opened since then is not concerned"
    );
}

#[test]
fn a_restart_after_the_flush_loses_nothing() {
    let mut rig = Rig::up();
    let file = rig.open();
    rig.write(file, 0, b"block");
    let call = rig.expect(FopNumber::Write);
    rig.answer_done(&call, 5);
    rig.flush(file);
    let call = rig.expect(FopNumber::Fsync);
    rig.answer_done(&call, 0);
    rig.brick_returns_as("brick-process-2");
    let open = rig.expect(FopNumber::Open);
    rig.answer_open(&open);
    let flush = rig.flush(file);
    let call = rig.expect(FopNumber::Fsync);
    rig.answer_done(&call, 0);
    assert_eq!(rig.result(flush), Some(Ok(0)));
}

#[test]
fn a_failed_flush_leaves_its_writes_uncovered() {
    let mut rig = Rig::up();
    let file = rig.open();
    rig.write(file, 0, b"block");
    let call = rig.expect(FopNumber::Write);
    rig.answer_done(&call, 5);
    let flush = rig.flush(file);
    let call = rig.expect(FopNumber::Fsync);
    rig.fails(&call, 5);
    assert_eq!(rig.result(flush), Some(Err(OpError::Errno(Errno::EIO))));
    // The kernel of the brick may have dropped the pages, so the next flush must not succeed.
    let flush = rig.flush(file);
    assert_eq!(rig.result(flush), Some(Err(OpError::WritesLost)));
}

#[test]
fn changes_of_the_same_bytes_go_out_one_after_the_other() {
    let mut rig = Rig::up();
    let file = rig.open();
    let first = rig.write(file, 0, &[1; 100]);
    let second = rig.write(file, 50, &[2; 100]);
    let apart = rig.write(file, 1000, &[3; 10]);
    let discard = rig.submit(Op::Discard { file, offset: 149, len: 10 }, Vec::new());
    let a = rig.expect(FopNumber::Write);
    let b = rig.expect(FopNumber::Write);
    assert_eq!((offset(&a), offset(&b)), (0, 1000));
    rig.expect_nothing();
    rig.answer_done(&a, 100);
    let c = rig.expect(FopNumber::Write);
    assert_eq!(offset(&c), 50);
    rig.expect_nothing();
    rig.answer_done(&c, 100);
    let d = rig.expect(FopNumber::Discard);
    rig.answer_done(&d, 0);
    rig.answer_done(&b, 10);
    for op in [first, second, apart, discard] {
        assert!(rig.result(op).unwrap().is_ok());
    }
}

#[test]
fn a_flush_covers_writes_that_were_submitted_before_it_and_lets_later_ones_pass() {
    let mut rig = Rig::up();
    let file = rig.open();
    rig.write(file, 0, &[1; 10]);
    let flush = rig.flush(file);
    rig.write(file, 100, &[2; 10]);
    let a = rig.expect(FopNumber::Write);
    let b = rig.expect(FopNumber::Write);
    rig.expect_nothing();
    rig.answer_done(&b, 10);
    rig.expect_nothing();
    rig.answer_done(&a, 10);
    let fsync = rig.expect(FopNumber::Fsync);
    rig.answer_done(&fsync, 0);
    assert_eq!(rig.result(flush), Some(Ok(0)));
}

#[test]
fn a_close_waits_for_what_is_under_way_and_the_number_is_released() {
    let mut rig = Rig::up();
    let file = rig.open();
    let read = rig.read(file, 0, 4);
    let close = rig.submit(Op::Close { file }, Vec::new());
    let refused = rig.volume.submit(Op::Read { file, offset: 0, len: 4, fill: false }, rig.now);
    assert_eq!(refused, Err(SubmitError::BadFile));
    let call = rig.expect(FopNumber::Read);
    rig.expect_nothing();
    rig.answer_read(&call, b"data");
    assert_eq!(rig.result(read), Some(Ok(4)));
    let flush = rig.expect(FopNumber::Flush);
    rig.answer(&flush, &brickwire_core::fop::wire::Reply::plain(0, 0));
    assert_eq!(rig.result(close), Some(Ok(0)));
    let release = rig.expect(FopNumber::Release);
    match release.request() {
        Request::Release(release) => assert_eq!(release.fd, 0),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_short_write_is_continued_and_a_brick_that_takes_nothing_is_full() {
    let mut rig = Rig::up();
    let file = rig.open();
    let write = rig.write(file, 10, b"0123456789");
    let call = rig.expect(FopNumber::Write);
    rig.answer_done(&call, 4);
    let rest = rig.expect(FopNumber::Write);
    assert_eq!((offset(&rest), rest.payload()), (14, &b"456789"[..]));
    rig.answer_done(&rest, 0);
    assert_eq!(rig.result(write), Some(Err(OpError::Errno(Errno::ENOSPC))));
    let write = rig.write(file, 0, b"01");
    let call = rig.expect(FopNumber::Write);
    rig.answer_done(&call, 3);
    assert!(rig.closed.contains(&call.conn), "more than was sent: a lie");
    assert_eq!(rig.result(write), None);
}

#[test]
fn an_open_that_was_given_up_is_released_when_its_answer_comes() {
    let mut rig = Rig::up();
    let op = rig.submit(
        Op::Open { path: b"f", flags: brickwire_core::volume::OpenFlags::READ, mode: 0 },
        Vec::new(),
    );
    let call = rig.expect(FopNumber::Lookup);
    rig.answer_lookup(&call, client_harness::regular(FILE, 0));
    let open = rig.expect(FopNumber::Open);
    rig.volume.cancel(op, rig.now);
    rig.pump();
    assert_eq!(rig.result(op), Some(Err(OpError::Stopped)));
    rig.next_fd = 9;
    rig.answer_open(&open);
    let release = rig.expect(FopNumber::Release);
    match release.request() {
        Request::Release(release) => assert_eq!(release.fd, 9),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_record_that_is_half_sent_at_the_deadline_takes_its_connection_with_it() {
    let mut rig = Rig::with(
        |config| config.op_timeout_ms = 5_000,
        Limits { ops: 8, frames: 16, calls: 32, ..Limits::FIRMWARE },
    );
    rig.bring_up();
    let file = rig.open();
    let brick = rig.brick();
    rig.send_max = 50;
    let write = rig.write(file, 0, &[1; 500]);
    assert!(rig.volume.outgoing(brick).next().is_some(), "the rest of the record");
    rig.after_ms(5_000);
    assert_eq!(rig.result(write), Some(Err(OpError::TimedOut)));
    assert!(rig.closed.contains(&brick));
    assert!(rig.volume.outgoing(brick).next().is_none());
}

#[test]
fn a_full_table_is_back_pressure_and_never_a_lost_operation() {
    let mut rig = Rig::up();
    let file = rig.open();
    let mut taken = Vec::new();
    let full = loop {
        match rig.volume.submit(Op::Read { file, offset: 0, len: 16, fill: false }, rig.now) {
            Ok(op) => {
                rig.buffers.insert(op, vec![0; 16]);
                taken.push(op);
                rig.pump();
            }
            Err(error) => break error,
        }
    };
    assert_eq!(full, SubmitError::Busy(Table::Ops));
    // More calls than the window of encoded records holds; they are sent as it empties.
    while let Some(call) = rig.calls.pop_front() {
        rig.answer_read(&call, &[1; 16]);
    }
    for op in taken {
        assert_eq!(rig.result(op), Some(Ok(16)));
    }
}

#[test]
fn who_waits_for_a_brick_that_is_away_is_told_at_the_deadline_and_why() {
    let mut rig = Rig::up();
    let file = rig.open();
    let brick = rig.brick();
    rig.breaks(brick);
    let read = rig.read(file, 0, 4);
    let close = rig.submit(Op::Close { file }, Vec::new());
    while rig.result(read).is_none() {
        while let Some((conn, _)) = rig.dialled.pop() {
            rig.volume.closed(conn, brickwire_core::volume::Closed::Refused, rig.now);
            rig.pump();
        }
        rig.next_deadline();
    }
    let why = OpError::NotConnected(Down::Closed(brickwire_core::volume::Closed::Refused));
    assert_eq!(rig.result(read), Some(Err(why)));
    assert_eq!(rig.now.as_nanos() / 1_000_000_000, 60);
    assert_eq!(rig.result(close), Some(Ok(0)), "nothing was written, so nothing is lost");
}

#[test]
fn writes_that_wait_for_each_other_are_all_over_when_the_volume_stops() {
    let mut rig = Rig::up();
    let file = rig.open();
    let writes: Vec<_> = (0..4).map(|_| rig.write(file, 0, &[1; 100])).collect();
    let stat = rig.submit(Op::Stat { path: b"x", follow: true }, Vec::new());
    let stop = rig.submit(Op::Stop, Vec::new());
    for op in writes {
        assert_eq!(rig.result(op), Some(Err(OpError::Stopped)));
    }
    assert_eq!(rig.result(stat), Some(Err(OpError::Stopped)));
    assert_eq!(rig.result(stop), Some(Ok(0)));
}
