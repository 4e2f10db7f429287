//! Connections that end in the middle of something: operations in flight, promises to the caller,
//! and memory.

mod client_harness;

use brickwire_core::Limits;
use brickwire_core::fop::FopNumber;
use brickwire_core::fop::wire::Request;
use brickwire_core::rpc::{Procedure, RecordMark};
use brickwire_core::volume::{Down, Op, OpError, OpenFlags};
use brickwire_core::xdr::Errno;
use client_harness::{PROCESS, Rig, read_reply_of, regular, reply_record};

/// A volume whose operations may take five seconds. No ping is due in that time.
fn impatient() -> Rig {
    let limits = Limits {
        ops: 16,
        frames: 32,
        calls: 64,
        files: 4,
        inodes: 4,
        fds: 12,
        conns: 5,
        ..Limits::FIRMWARE
    };
    let mut rig = Rig::with(|config| config.op_timeout_ms = 5_000, limits);
    rig.bring_up();
    rig
}

/// Delivers the beginning of a reply that is too long for the connection's own buffer, so that it
/// is gathered in a block.
fn begin_a_long_reply(rig: &mut Rig) {
    rig.submit(Op::ListXattr { path: b"f" }, Vec::new());
    let call = rig.expect(FopNumber::Lookup);
    rig.answer_lookup(&call, regular(client_harness::FILE, 0));
    let call = rig.expect(FopNumber::Getxattr);
    let mut record = reply_record(call.xid, |w| w.raw(&[0; 1500]).unwrap());
    record.truncate(1000);
    let before = rig.volume.in_use().blocks;
    rig.deliver(call.conn, &record);
    assert_eq!(rig.volume.in_use().blocks, before + 1, "it is gathered in a block");
}

#[test]
fn a_peer_that_falls_silent_in_the_middle_of_a_long_record_keeps_no_memory() {
    let mut rig = Rig::up();
    let brick = rig.brick();
    begin_a_long_reply(&mut rig);
    rig.after_ms(43_000);
    assert!(rig.closed.contains(&brick), "given up by the ping-timeout");
    assert_eq!(rig.volume.in_use().blocks, 1, "the one that the operation has reserved");
}

/// The beginning of a call of the server that is gathered in a block.
fn begun_record() -> Vec<u8> {
    let mark = RecordMark::last(1400).to_be_bytes();
    [&mark[..], &[0; 300]].concat()
}

#[test]
fn a_record_that_is_begun_with_no_call_in_flight_has_to_end() {
    for from_brick in [true, false] {
        let mut rig = Rig::up();
        let conn = if from_brick { rig.brick() } else { rig.glusterd() };
        rig.deliver(conn, &begun_record());
        assert_eq!(rig.volume.in_use().blocks, 1, "it is gathered in a block");
        rig.after_ms(64_000);
        assert!(rig.closed.contains(&conn), "given up by the ping-timeout");
        assert_eq!(rig.volume.in_use().blocks, 0);
    }
}

#[test]
fn a_record_that_pauses_is_taken_when_it_goes_on() {
    let mut rig = Rig::up();
    let brick = rig.brick();
    let record = client_harness::callback_record(1, 1, &[0; 400]);
    let (first, rest) = record.split_at(300);
    rig.deliver(brick, first);
    rig.after_ms(30_000);
    let ping = rig.calls.pop_front().expect("a ping");
    assert_eq!(ping.procedure, Procedure::PING);
    rig.deliver(brick, rest);
    rig.answer_with(&ping, |w| w.raw(&[0; 12]).unwrap());
    rig.after_ms(200_000);
    assert!(!rig.closed.contains(&brick));
    assert!(rig.calls.is_empty(), "nothing is owed, so nothing is asked");
}

#[test]
fn a_record_that_comes_byte_by_byte_holds_its_block_for_the_time_of_a_call() {
    let mut rig = Rig::up();
    let brick = rig.brick();
    rig.deliver(brick, &begun_record());
    for _ in 0..95 {
        if rig.closed.contains(&brick) {
            return;
        }
        rig.deliver(brick, &[0]);
        rig.after_ms(20_500);
    }
    panic!("still gathered after half an hour");
}

#[test]
fn a_peer_that_talks_nonsense_in_the_middle_of_a_long_record_keeps_no_memory() {
    let mut rig = Rig::up();
    let brick = rig.brick();
    let op = rig.submit(Op::ListXattr { path: b"f" }, Vec::new());
    let call = rig.expect(FopNumber::Lookup);
    rig.answer_lookup(&call, regular(client_harness::FILE, 0));
    let call = rig.expect(FopNumber::Getxattr);
    let record = reply_record(call.xid, |w| w.raw(&[0; 900]).unwrap());
    let mark = RecordMark { last: false, len: record.len() as u32 - 4 };
    rig.deliver(brick, &mark.word().to_be_bytes());
    rig.deliver(brick, &record[4..]);
    assert_eq!(rig.volume.in_use().blocks, 2);
    // A second fragment longer than any record may be.
    rig.deliver(brick, &RecordMark::last(0x7fff_0000).to_be_bytes());
    assert!(rig.closed.contains(&brick));
    assert_eq!(rig.volume.in_use().blocks, 1, "the one that the operation has reserved");
    assert_eq!(rig.result(op), None, "to be asked again");
}

#[test]
fn an_answer_that_makes_no_sense_is_told_at_once_and_not_at_the_deadline() {
    let mut rig = Rig::up();
    let file = rig.open();
    let (read, write) = (rig.read(file, 0, 8), rig.write(file, 100, b"data"));
    let first = rig.expect(FopNumber::Read);
    let second = rig.expect(FopNumber::Write);
    rig.deliver(second.conn, &reply_record(second.xid, |w| w.u32(0).unwrap()));
    assert!(rig.closed.contains(&second.conn));
    rig.process = PROCESS.into();
    for _ in 0..20 {
        if rig.dialled.is_empty() && rig.calls.is_empty() {
            rig.next_deadline();
        }
        rig.accept_dials();
        rig.answer_handshake();
        if let Some(at) = rig.calls.iter().position(|call| call.fop() == Some(FopNumber::Open)) {
            let open = rig.calls.remove(at).unwrap();
            rig.answer_open(&open);
        }
        if rig.volume.is_usable() {
            break;
        }
    }
    assert!(rig.now.as_nanos() < 2_000_000_000, "{:?}", rig.now);
    assert!(
        matches!(rig.result(write), Some(Err(OpError::Indeterminate(Down::Peer(_))))),
        "{:?}",
        rig.result(write)
    );
    let again = rig.expect(FopNumber::Read);
    assert_ne!(again.conn, first.conn);
    rig.answer_read(&again, b"01234567");
    assert_eq!(rig.result(read), Some(Ok(8)));
}

#[test]
fn a_read_whose_bytes_come_where_nobody_looks_for_them_is_no_success() {
    let mut rig = Rig::up();
    let file = rig.open();
    let read = rig.read(file, 0, 8);
    let call = rig.expect(FopNumber::Read);
    // The same reply with a verifier of four bytes. It is legal, but moves the payload to where it
    // is not looked for.
    let plain = read_reply_of(&call, b"12345678", 8, 8);
    let mut record = plain[..16].to_vec();
    record.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 4, 1, 2, 3, 4]);
    record.extend_from_slice(&plain[24..]);
    let len = record.len() as u32 - 4;
    record[..4].copy_from_slice(&RecordMark::last(len).to_be_bytes());
    rig.deliver(call.conn, &record);
    assert!(rig.closed.contains(&call.conn));
    assert_eq!(rig.result(read), None, "it is asked again on the next connection");
    assert_eq!(rig.buffers[&read], [0xee; 8]);
}

#[test]
fn a_brick_that_restarts_and_breaks_off_again_before_it_is_up_has_restarted_all_the_same() {
    let mut rig = Rig::up();
    let file = rig.open();
    let write = rig.write(file, 0, b"block");
    let call = rig.expect(FopNumber::Write);
    rig.answer_done(&call, 5);
    assert_eq!(rig.result(write), Some(Ok(5)));
    // The new process names itself, its connection breaks while files are opened again, and then it
    // stays.
    rig.brick_returns_as("brick-process-2");
    rig.expect(FopNumber::Open);
    rig.brick_returns_as("brick-process-2");
    let open = rig.expect(FopNumber::Open);
    rig.answer_open(&open);
    assert!(rig.volume.is_usable());
    let flush = rig.flush(file);
    assert_eq!(
        rig.result(flush),
        Some(Err(OpError::WritesLost)),
        "acknowledged, not flushed, and the process is gone"
    );
}

#[test]
fn a_flush_that_failed_after_its_deadline_is_told_by_the_next_one() {
    let mut rig = impatient();
    let file = rig.open();
    rig.write(file, 0, b"block");
    let call = rig.expect(FopNumber::Write);
    rig.answer_done(&call, 5);
    let flush = rig.flush(file);
    let late = rig.expect(FopNumber::Fsync);
    rig.after_ms(5_000);
    assert_eq!(rig.result(flush), Some(Err(OpError::TimedOut)));
    // The disk fails after the deadline. Its kernel reports the failure once: here.
    rig.fails(&late, 5);
    let flush = rig.flush(file);
    assert_eq!(rig.result(flush), Some(Err(OpError::WritesLost)));
}

#[test]
fn a_flush_that_fails_on_one_handle_is_told_on_the_handle_that_wrote() {
    let mut rig = Rig::up();
    let (writer, other) = (rig.open(), rig.open());
    rig.write(writer, 0, b"block");
    let call = rig.expect(FopNumber::Write);
    rig.answer_done(&call, 5);
    let flush = rig.flush(other);
    let call = rig.expect(FopNumber::Fsync);
    rig.fails(&call, 5);
    assert_eq!(rig.result(flush), Some(Err(OpError::Errno(Errno::EIO))));
    let flush = rig.flush(writer);
    assert_eq!(rig.result(flush), Some(Err(OpError::WritesLost)));
}

#[test]
fn a_write_that_timed_out_does_not_land_on_top_of_a_younger_one() {
    let mut rig = impatient();
    let file = rig.open();
    let old = rig.write(file, 0, b"old data");
    let stuck = rig.expect(FopNumber::Write);
    rig.after_ms(5_000);
    assert_eq!(rig.result(old), Some(Err(OpError::TimedOut)));
    // The brick still has the write. An overlapping one waits for its answer, another one does not.
    let young = rig.write(file, 4, b"new data");
    rig.expect_nothing();
    let apart = rig.write(file, 4096, b"apart");
    let call = rig.expect(FopNumber::Write);
    rig.answer_done(&call, 5);
    assert_eq!(rig.result(apart), Some(Ok(5)));
    rig.answer_done(&stuck, 8);
    let call = rig.expect(FopNumber::Write);
    assert_eq!(call.payload(), b"new data");
    rig.answer_done(&call, 8);
    assert_eq!(rig.result(young), Some(Ok(8)));
}

#[test]
fn who_waits_for_a_write_that_timed_out_goes_on_when_its_connection_is_gone() {
    let mut rig = impatient();
    let file = rig.open();
    rig.write(file, 0, b"old data");
    rig.expect(FopNumber::Write);
    rig.after_ms(5_000);
    let young = rig.write(file, 0, b"new data");
    rig.expect_nothing();
    rig.brick_returns_as("brick-process-2");
    let open = rig.expect(FopNumber::Open);
    rig.answer_open(&open);
    let call = rig.expect(FopNumber::Write);
    rig.answer_done(&call, 8);
    assert_eq!(rig.result(young), Some(Ok(8)));
}

#[test]
fn a_short_write_whose_brick_restarts_is_written_again_from_its_beginning() {
    let mut rig = Rig::up();
    let file = rig.open();
    let write = rig.write(file, 10, b"0123456789");
    let call = rig.expect(FopNumber::Write);
    rig.answer_done(&call, 4);
    rig.expect(FopNumber::Write);
    rig.brick_returns_as("brick-process-2");
    let open = rig.expect(FopNumber::Open);
    rig.answer_open(&open);
    let again = rig.expect(FopNumber::Write);
    assert_eq!(again.payload(), b"0123456789", "what the old process took may be gone with it");
    rig.answer_done(&again, 10);
    assert_eq!(rig.result(write), Some(Ok(10)));
}

#[test]
fn a_short_read_in_the_middle_of_an_image_is_read_on_and_not_filled_with_zeroes() {
    let mut rig = Rig::up();
    let file = rig.open();
    let read = rig.submit(Op::Read { file, offset: 0, len: 8, fill: true }, vec![0xee; 8]);
    let call = rig.expect(FopNumber::Read);
    rig.deliver(call.conn, &read_reply_of(&call, b"abc", 3, 6));
    assert_eq!(rig.result(read), None);
    let rest = rig.expect(FopNumber::Read);
    match rest.request() {
        Request::Read(read) => assert_eq!((read.offset, read.size), (3, 5)),
        other => panic!("{other:?}"),
    }
    rig.deliver(rest.conn, &read_reply_of(&rest, b"def", 3, 6));
    assert_eq!(rig.result(read), Some(Ok(8)));
    assert_eq!(rig.buffers[&read], b"abcdef\0\0");
}

#[test]
fn an_exclusive_create_whose_answer_is_lost_leaves_no_handle_behind() {
    let mut rig = Rig::up();
    for _ in 0..20 {
        let flags = OpenFlags::READ_WRITE.and(OpenFlags::CREATE).and(OpenFlags::EXCLUSIVE);
        let op = rig.submit(Op::Open { path: b"new", flags, mode: 0o600 }, Vec::new());
        let call = rig.expect(FopNumber::Lookup);
        rig.fails(&call, 2);
        rig.expect(FopNumber::Create);
        rig.brick_returns_as(PROCESS);
        assert!(
            matches!(rig.result(op), Some(Err(OpError::Indeterminate(_)))),
            "{:?}",
            rig.result(op)
        );
        assert_eq!(rig.volume.in_use().files, 0);
    }
}

#[test]
fn a_file_that_is_closed_while_it_is_opened_again_is_released_when_the_answer_comes() {
    let mut rig = Rig::up();
    let file = rig.open();
    rig.brick_returns_as(PROCESS);
    let open = rig.expect(FopNumber::Open);
    let close = rig.submit(Op::Close { file }, Vec::new());
    assert_eq!(rig.result(close), Some(Ok(0)), "a brick that is away holds nobody");
    rig.next_fd = 5;
    rig.answer_open(&open);
    let release = rig.expect(FopNumber::Release);
    match release.request() {
        Request::Release(release) => assert_eq!(release.fd, 5),
        other => panic!("{other:?}"),
    }
}

#[test]
fn thousands_of_files_are_opened_again_however_slow_the_brick_is() {
    let limits = Limits {
        ops: 4,
        frames: 8,
        calls: 64,
        files: 400,
        inodes: 400,
        fds: 800,
        ..Limits::FIRMWARE
    };
    let mut rig = Rig::with(|config| config.handshake_timeout_ms = 1_000, limits);
    rig.bring_up();
    let files: Vec<_> = (0..400).map(|_| rig.open()).collect();
    rig.brick_returns_as("brick-process-2");
    // Each answer takes half of the time of one step; all of them together take far more.
    let mut opened = 0;
    while !rig.volume.is_usable() {
        rig.after_ms(500);
        let calls: Vec<_> = rig.calls.drain(..).collect();
        for call in calls {
            if call.procedure != Procedure::PING {
                assert_eq!(call.fop(), Some(FopNumber::Open));
                opened += 1;
                rig.answer_open(&call);
            }
        }
        assert!(rig.now.as_nanos() < 60_000_000_000, "{opened} opened");
    }
    assert_eq!(opened, 400);
    let read = rig.read(files[399], 0, 1);
    let call = rig.expect(FopNumber::Read);
    rig.answer_read(&call, b"x");
    assert_eq!(rig.result(read), Some(Ok(1)));
}

#[test]
fn a_call_that_is_never_answered_ends_its_connection_although_the_peer_lives() {
    let mut rig = Rig::up();
    let file = rig.open();
    let brick = rig.brick();
    rig.submit(Op::Close { file }, Vec::new());
    let flush = rig.expect(FopNumber::Flush);
    rig.answer(&flush, &brickwire_core::fop::wire::Reply::plain(0, 0));
    rig.expect(FopNumber::Release);
    let mut pings = 0;
    while !rig.closed.contains(&brick) {
        rig.next_deadline();
        let calls: Vec<_> = rig.calls.drain(..).collect();
        for call in calls.iter().filter(|call| call.procedure == Procedure::PING) {
            pings += 1;
            rig.answer_with(call, |w| w.raw(&[0; 12]).unwrap());
        }
        assert!(rig.now.as_nanos() < 2_000_000_000_000, "for ever");
    }
    assert!(pings > 30, "it was asked {pings} times and has answered");
    assert_eq!(rig.volume.bricks().next().unwrap().down, Some(Down::Unanswered));
}

#[test]
fn a_volume_that_stops_with_everything_in_flight_leaves_nothing_behind() {
    let mut rig = Rig::up();
    let file = rig.open();
    // The end of an operation whose record is half sent ends its connection, and with it all fops
    // in flight.
    rig.send_max = 60;
    let mut ops = vec![rig.write(file, 0, &[1; 500])];
    rig.send_max = usize::MAX;
    ops.extend((1..8).map(|n| rig.write(file, n * 1000, &[2; 500])));
    ops.push(rig.read(file, 0, 100));
    ops.push(rig.submit(Op::Stat { path: b"a/b", follow: true }, Vec::new()));
    ops.push(rig.submit(Op::ListXattr { path: b"a" }, Vec::new()));
    let stop = rig.submit(Op::Stop, Vec::new());
    for op in ops {
        assert_eq!(rig.result(op), Some(Err(OpError::Stopped)));
    }
    assert_eq!(rig.result(stop), Some(Ok(0)));
    let in_use = rig.volume.in_use();
    assert_eq!(
        (in_use.ops, in_use.frames, in_use.calls, in_use.names, in_use.blocks),
        (0, 0, 0, 0, 0)
    );
    assert_eq!((in_use.conns, in_use.deadlines), (1, 0));
}

#[test]
fn a_record_that_nobody_wants_may_come_in_fragments_of_any_size() {
    let mut rig = impatient();
    let brick = rig.brick();
    let stat = rig.submit(Op::Statfs, Vec::new());
    let late = rig.expect(FopNumber::Statfs);
    rig.after_ms(5_000);
    assert_eq!(rig.result(stat), Some(Err(OpError::TimedOut)));
    let record = reply_record(late.xid, |w| w.raw(&[0; 100]).unwrap());
    let body = &record[4..];
    for (piece, last) in [(&body[..80], false), (&body[80..84], false), (&body[84..86], true)] {
        rig.deliver(brick, &RecordMark { last, len: piece.len() as u32 }.word().to_be_bytes());
        rig.deliver(brick, piece);
    }
    assert!(!rig.closed.contains(&brick), "{:?}", rig.volume.bricks().next());
    // The position in the stream is right: the next answer is understood.
    let file = rig.open();
    let read = rig.read(file, 0, 4);
    let call = rig.expect(FopNumber::Read);
    rig.answer_read(&call, b"data");
    assert_eq!(rig.result(read), Some(Ok(4)));
}

#[test]
fn a_payload_that_its_last_fragment_does_not_complete_ends_the_connection() {
    let mut rig = Rig::up();
    let file = rig.open();
    let read = rig.read(file, 0, 8);
    let call = rig.expect(FopNumber::Read);
    let record = read_reply_of(&call, b"12345678", 8, 8);
    let body = &record[4..record.len() - 4];
    rig.deliver(
        call.conn,
        &RecordMark { last: false, len: body.len() as u32 }.word().to_be_bytes(),
    );
    rig.deliver(call.conn, body);
    rig.deliver(call.conn, &RecordMark::last(0).to_be_bytes());
    assert!(
        rig.closed.contains(&call.conn),
        "the rest of the payload would be another record's bytes"
    );
    assert_eq!(rig.result(read), None);
}

#[test]
fn a_brick_that_refuses_its_root_once_is_asked_again() {
    let mut rig = Rig::new();
    let first = rig.submit(Op::Start, Vec::new());
    for _ in 0..20 {
        if rig.calls.iter().any(|call| call.fop() == Some(FopNumber::Lookup)) {
            break;
        }
        rig.accept_dials();
        rig.answer_handshake();
    }
    let root = rig.expect(FopNumber::Lookup);
    rig.fails(&root, 11);
    assert_eq!(rig.result(first), Some(Err(OpError::Errno(Errno::EAGAIN))));
    let second = rig.submit(Op::Start, Vec::new());
    for _ in 0..10 {
        if rig.result(second).is_some() {
            break;
        }
        if rig.calls.is_empty() {
            rig.next_deadline();
        }
        rig.answer_handshake();
    }
    assert_eq!(rig.result(second), Some(Ok(0)));
    assert!(rig.now.as_nanos() < 10_000_000_000, "{:?}", rig.now);
}
