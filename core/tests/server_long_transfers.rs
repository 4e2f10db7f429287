//! READs and WRITEs that are longer than one call of the storage: part by part, in order, with one
//! reply, and nothing left behind wherever they end. The small limits allow 128 KiB for a call and
//! 32 KiB for a part.

mod server_harness;

use brickwire_core::ConnId;
use brickwire_core::fop::FopNumber;
use brickwire_core::fop::wire::{Body, Ftruncate, Read, Request, Write};
use brickwire_core::rpc::Procedure;
use brickwire_core::rpc::dump::DumpArgs;
use brickwire_core::server::{CloseReason, ServerLimits};
use brickwire_core::xdr::{Dict, Gfid};
use brickwire_memory::MemoryLimits;
use server_harness::*;

const PART: usize = 32 * 1024;
const LONG: usize = 300_001;

fn roomy() -> (Harness, ConnId) {
    let memory = MemoryLimits { pages: 4096, ..MemoryLimits::SMALL };
    let mut s = Harness::with(ServerLimits::SMALL, memory);
    let conn = s.mount();
    (s, conn)
}

fn content(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at ^ (at >> 8) ^ (at >> 15)) as u8).collect()
}

fn read(gfid: Gfid, fd: i64, offset: u64, size: usize) -> Request<'static> {
    Request::Read(Read { gfid, fd, offset, size: size as u32, flag: 0, xdata: Dict::Null })
}

/// Releases the held answers one after the other, and continues what let others have their turn.
fn finish_all(s: &mut Harness) -> usize {
    let mut parts = 0;
    loop {
        if s.storage.held() > 0 {
            s.finish(0);
            parts += 1;
        } else if s.server.deadline().is_some_and(|at| at <= s.now) {
            s.pass(0);
        } else {
            return parts;
        }
    }
}

fn fd_of(answer: &Answer) -> i64 {
    match answer.fop(FopNumber::Open).body {
        Body::Open { fd } => fd,
        ref other => panic!("{other:?}"),
    }
}

/// Checks that nothing of server and storage is in use except these open files.
fn is_idle(s: &Harness, files: u32) {
    let usage = s.server.usage();
    assert_eq!((usage.jobs, usage.files, s.storage.buffers()), (0, files, 0));
    assert_eq!(s.storage.memory.usage().files, files);
}

#[test]
fn a_long_write_and_a_long_read_are_answered_once_however_they_come() {
    for (cut, hold) in
        [(usize::MAX, false), (usize::MAX, true), (5000, false), (5000, true), (1, false)]
    {
        let (mut s, conn) = roomy();
        let (gfid, fd) = s.create(conn, "f");
        s.write(conn, gfid, fd, 0, b"before");
        let data = content(LONG);
        s.cut = cut;
        s.storage.hold = hold;
        let mut bytes = fop_record(100, write(gfid, fd, 7, LONG), &data);
        bytes.extend(fop_record(101, fstat(gfid, fd), &[]));
        s.send(conn, &bytes);
        finish_all(&mut s);
        let replies = s.replies(conn);
        let xids: Vec<u32> = replies.iter().map(|(xid, _)| *xid).collect();
        assert_eq!(xids, [100, 101], "cut {cut}, hold {hold}");
        let written = replies[0].1.fop(FopNumber::Write);
        let Body::TwoIatts { before, after } = written.body else { panic!("{written:?}") };
        let sizes = (written.op_ret as usize, before.size, after.size as usize);
        assert_eq!(sizes, (LONG, 6, LONG + 7), "cut {cut}, hold {hold}");
        is_idle(&s, 1);

        let mut bytes = fop_record(200, read(gfid, fd, 7, LONG + 1000), &[]);
        bytes.extend(fop_record(201, fstat(gfid, fd), &[]));
        s.send(conn, &bytes);
        finish_all(&mut s);
        let replies = s.replies(conn);
        let (ret, errno, got) =
            read_reply(&replies.iter().find(|(xid, _)| *xid == 200).expect("it").1);
        assert_eq!((ret as usize, errno, got == data), (LONG, 2, true), "cut {cut}, hold {hold}");
        assert!(replies.iter().any(|(xid, reply)| *xid == 201 && reply.result() == (0, 0)));
        is_idle(&s, 1);
        s.storage.hold = false;
        s.send(conn, &fop_record(202, read(gfid, fd, 0, 200_000), &[]));
        finish_all(&mut s);
        let (ret, errno, got) = read_reply(&s.replies(conn)[0].1);
        assert_eq!((ret, errno), (200_000, 0));
        assert!(got[..7] == *b"before\0" && got[7..] == data[..200_000 - 7]);
        is_idle(&s, 1);
    }
}

/// Result, errno and data of a READ's reply.
fn read_reply(answer: &Answer) -> (i32, i32, Vec<u8>) {
    let reply = answer.fop(FopNumber::Read);
    let data = answer.body.len() - reply.op_ret.max(0) as usize;
    (reply.op_ret, reply.op_errno, answer.body[data..].to_vec())
}

#[test]
fn a_long_read_of_a_short_file_is_an_ordinary_one() {
    for (size, hold) in [(0, false), (10, true), (PART, false), (PART, true), (PART - 1, false)] {
        let (mut s, conn) = roomy();
        let (gfid, fd) = s.create(conn, "f");
        let data = content(size);
        s.write(conn, gfid, fd, 0, &data);
        s.storage.hold = hold;
        s.send(conn, &fop_record(9, read(gfid, fd, 0, LONG), &[]));
        assert_eq!(finish_all(&mut s), usize::from(hold), "one part is all");
        let (ret, errno, got) = read_reply(&s.replies(conn)[0].1);
        assert_eq!((ret as usize, errno, got), (size, 2, data));
        is_idle(&s, 1);
    }
}

#[test]
fn a_file_that_is_cut_under_a_long_read_ends_in_zeroes() {
    // The range is read twice: what is cut during the first pass is not announced.
    for (turn, announced) in [(3, 4 * PART), (12, LONG), (20, LONG)] {
        let (mut s, conn) = roomy();
        let other = s.mount();
        let (gfid, fd) = s.create(conn, "f");
        let fd_of_other = fd_of(&s.fop(other, open(gfid, 2)));
        let data = content(LONG);
        s.send(conn, &fop_record(8, write(gfid, fd, 0, LONG), &data));
        s.storage.hold = true;
        s.send(conn, &fop_record(9, read(gfid, fd, 0, LONG), &[]));
        for _ in 0..turn {
            s.finish(0);
        }
        s.storage.hold = false;
        let cut = Ftruncate { gfid, fd: fd_of_other, offset: 50_000, xdata: Dict::Null };
        assert_eq!(s.fop(other, Request::Ftruncate(cut)).result(), (0, 0));
        finish_all(&mut s);
        let replies = s.replies(conn);
        let (ret, _, got) = read_reply(&replies.last().expect("an answer").1);
        assert!(ret as usize <= announced && ret as usize > PART, "turn {turn}: {ret}");
        assert_eq!(got.len(), ret as usize);
        assert!(
            got.iter().zip(&data).all(|(got, was)| got == was || *got == 0),
            "turn {turn}: what was there, or zeroes"
        );
        is_idle(&s, 2);
    }
}

#[test]
fn a_client_that_goes_in_the_middle_leaves_nothing_but_whole_parts() {
    for parts in 0..9 {
        for (hold, more) in [(false, 0), (false, 1000), (true, 1000)] {
            let (mut s, conn) = roomy();
            let good = s.mount();
            let (gfid, fd) = s.create(conn, "f");
            let data = content(LONG);
            let call = fop_record(9, write(gfid, fd, 0, LONG), &data);
            s.storage.hold = hold;
            let head = call.len() - LONG;
            s.send(conn, &call[..head + parts * PART + more]);
            s.close(conn);
            finish_all(&mut s);
            is_idle(&s, 0);
            s.storage.hold = false;
            let stat = s.stat(good, gfid).unwrap();
            let written = if hold { parts.min(1) } else { parts };
            assert_eq!(stat.size as usize, written * PART, "{parts} parts, hold {hold}");
        }
    }
}

#[test]
fn a_client_that_goes_in_the_middle_of_a_long_read_leaves_nothing() {
    for turn in 0..20 {
        for deaf in [false, true] {
            let (mut s, conn) = roomy();
            let (gfid, fd) = s.create(conn, "f");
            s.send(conn, &fop_record(8, write(gfid, fd, 0, LONG), &content(LONG)));
            s.storage.hold = true;
            s.deafen(conn, deaf);
            s.send(conn, &fop_record(9, read(gfid, fd, 0, LONG), &[]));
            for _ in 0..turn {
                if s.storage.held() > 0 {
                    s.finish(0);
                }
            }
            s.close(conn);
            finish_all(&mut s);
            is_idle(&s, 0);
        }
    }
}

#[test]
fn a_long_write_that_may_not_be_is_refused_when_it_has_come() {
    let (mut s, conn) = roomy();
    let (gfid, fd) = s.create(conn, "f");
    let data = content(LONG);
    for (call, errno) in [
        (write(gfid, 12_345, 0, LONG), 9),
        (write(gfid, fd, 0, LONG - 1), 22),
        (write(gfid, fd, i64::MAX as u64 - 10, LONG), 22),
    ] {
        let mut bytes = fop_record(9, call, &data);
        bytes.extend(fop_record(10, fstat(gfid, fd), &[]));
        s.cut = 5000;
        let (first, rest) = bytes.split_at(LONG / 2);
        s.send(conn, first);
        assert!(s.replies(conn).is_empty());
        s.send(conn, rest);
        let replies = s.replies(conn);
        assert_eq!(replies[0].1.result(), (-1, errno));
        assert_eq!((replies[1].0, replies[1].1.result()), (10, (0, 0)));
        is_idle(&s, 1);
    }
    assert_eq!(s.stat(conn, gfid).unwrap().size, 0);
}

#[test]
fn a_part_that_cannot_be_written_ends_the_call() {
    let memory = MemoryLimits { pages: 40, ..MemoryLimits::SMALL };
    let mut s = Harness::with(ServerLimits::SMALL, memory);
    let conn = s.mount();
    let (gfid, fd) = s.create(conn, "f");
    s.cut = 7000;
    let mut bytes = fop_record(9, write(gfid, fd, 0, LONG), &content(LONG));
    bytes.extend(fop_record(10, fstat(gfid, fd), &[]));
    s.send(conn, &bytes);
    let replies = s.replies(conn);
    assert_eq!(replies[0].1.result(), (-1, 28));
    assert_eq!(replies[1].1.result(), (0, 0));
    is_idle(&s, 1);
}

#[test]
fn parts_wait_for_a_storage_that_has_no_room() {
    let (mut s, conn) = roomy();
    let (gfid, fd) = s.create(conn, "f");
    let data = content(LONG);
    s.storage.hold = true;
    let other = s.mount();
    s.send(other, &fop_record(9, stat_root(), &[]));
    s.send(conn, &fop_record(9, write(gfid, fd, 0, LONG), &data));
    s.finish(1);
    s.storage.busy = true;
    s.finish(1);
    assert_eq!(s.storage.held(), 1, "the next part finds no room");
    s.storage.busy = false;
    // Buffers of the other connection are free again.
    s.finish(0);
    finish_all(&mut s);
    assert_eq!(s.replies(conn)[0].1.result(), (LONG as i32, 0));

    for turn in [1, 5, 12] {
        s.send(conn, &fop_record(10, read(gfid, fd, 0, LONG), &[]));
        for _ in 0..turn {
            s.finish(0);
        }
        s.storage.busy = true;
        s.finish(0);
        assert_eq!(s.storage.held(), 0, "the next part finds no room");
        s.storage.busy = false;
        s.pass(100);
        finish_all(&mut s);
        let replies = s.replies(conn);
        assert_eq!(replies.len(), 1, "turn {turn}: {:?} {:?}", s.server.usage(), s.unread(conn));
        let (ret, errno, got) = read_reply(&replies[0].1);
        assert_eq!((ret as usize, errno, got == data), (LONG, 2, true), "turn {turn}");
    }
    is_idle(&s, 1);
}

#[test]
fn a_client_that_sends_half_a_long_write_is_closed_and_so_is_one_that_takes_half_a_reply() {
    let (mut s, conn) = roomy();
    let slow = s.mount();
    let (gfid, fd) = s.create(conn, "f");
    let data = content(LONG);
    s.send(conn, &fop_record(8, write(gfid, fd, 0, LONG), &data));
    s.send(slow, &fop_record(9, write(gfid, -2, 0, LONG), &data)[..LONG / 2]);
    s.deafen(conn, true);
    s.send(conn, &fop_record(10, read(gfid, fd, 0, LONG), &[]));
    let begin = s.now;
    while s.now < begin + core::time::Duration::from_secs(60) {
        s.pass(1000);
    }
    let mut closed = s.closed.clone();
    closed.sort_by_key(|(conn, _)| *conn);
    let mut wanted = [(conn, CloseReason::Stalled), (slow, CloseReason::Stalled)];
    wanted.sort_by_key(|(conn, _)| *conn);
    assert_eq!(closed, wanted);
    is_idle(&s, 0);
}

#[test]
fn a_long_write_by_gfid_needs_no_open_file() {
    let (mut s, conn) = roomy();
    let (gfid, fd) = s.create(conn, "f");
    let data = content(LONG);
    let call = Write { gfid, fd: -2, offset: 5, size: LONG as u32, flag: 0, xdata: Dict::Null };
    s.send(conn, &fop_record(9, Request::Write(call), &data));
    assert_eq!(s.replies(conn)[0].1.result(), (LONG as i32, 0));
    s.send(conn, &fop_record(10, read(gfid, -2, 5, LONG), &[]));
    finish_all(&mut s);
    let (ret, _, got) = read_reply(&s.replies(conn)[0].1);
    assert_eq!((ret as usize, got == data), (LONG, true));
    s.fop(conn, release(gfid, fd));
    is_idle(&s, 0);
}

#[test]
fn a_long_read_lets_other_events_have_their_turn() {
    let (mut s, conn) = roomy();
    let other = s.mount();
    let (gfid, fd) = s.create(conn, "f");
    let (short, short_fd) = s.create(other, "g");
    let (len, less) = (2 << 20, 5 * PART);
    let data = content(len);
    s.send(conn, &fop_record(8, write(gfid, fd, 0, len), &data));
    s.send(other, &fop_record(8, write(short, short_fd, 0, less), &data[..less]));
    assert_eq!((s.replies(conn).len(), s.replies(other).len()), (1, 1));
    // Both find no buffer for their second part, and are continued at the same time.
    s.storage.hold = true;
    s.send(conn, &fop_record(9, read(gfid, fd, 0, len), &[]));
    s.send(other, &fop_record(9, read(short, short_fd, 0, less), &[]));
    (s.storage.hold, s.storage.busy) = (false, true);
    s.finish(0);
    s.finish(0);
    s.pass(20);
    assert!(s.server.deadline().is_some_and(|at| at > s.now), "it tries again later, not at once");
    s.storage.busy = false;
    s.now = s.now.plus_millis(20);
    let (mut turns, mut answered_at) = (0, None);
    while s.server.deadline().is_some_and(|at| at <= s.now) {
        let before = s.storage.calls;
        s.server.elapsed(s.now, &mut s.storage);
        assert!(s.storage.calls - before <= 4, "one turn reads as much as one call may");
        s.pump();
        turns += 1;
        if answered_at.is_none() && !s.replies(other).is_empty() {
            answered_at = Some(turns);
        }
    }
    assert!(turns > 15, "{turns}");
    assert!(answered_at.is_some_and(|at| at < 4), "turns are fair: {answered_at:?}");
    let (ret, _, got) = read_reply(&s.replies(conn)[0].1);
    assert_eq!((ret as usize, got == data), (len, true));
    is_idle(&s, 2);
}

#[test]
fn a_file_that_is_unlinked_under_a_long_read_ends_in_zeroes() {
    // In the first pass there is still an errno to answer with.
    for (turn, answered) in [(5, -1), (14, LONG as i32)] {
        let (mut s, conn) = roomy();
        let other = s.mount();
        let (gfid, fd) = s.create(conn, "f");
        let data = content(LONG);
        s.send(conn, &fop_record(8, write(gfid, fd, 0, LONG), &data));
        assert_eq!(s.replies(conn).len(), 1);
        s.fop(conn, release(gfid, fd));
        s.storage.hold = true;
        s.send(conn, &fop_record(9, read(gfid, -2, 0, LONG), &[]));
        for _ in 0..turn {
            s.finish(0);
        }
        s.storage.hold = false;
        assert_eq!(s.fop(other, unlink(Gfid::ROOT, "f")).result(), (0, 0));
        finish_all(&mut s);
        assert_eq!(s.closed, [], "turn {turn}");
        let (ret, _, got) = read_reply(&s.replies(conn)[0].1);
        assert_eq!(ret, answered, "turn {turn}");
        if ret > 0 {
            assert!(got[..4 * PART] == data[..4 * PART], "parts before");
            assert!(got[6 * PART..].iter().all(|byte| *byte == 0), "parts after");
        }
        is_idle(&s, 0);
    }
}

#[test]
fn a_long_read_past_the_end_reads_whole_blocks() {
    for (hold, cut) in [(false, None), (true, None), (true, Some(13)), (true, Some(6))] {
        let (mut s, conn) = roomy();
        let (gfid, fd) = s.create(conn, "f");
        let other = s.mount();
        let fd_of_other = fd_of(&s.fop(other, open(gfid, 2)));
        let data = content(LONG);
        s.send(conn, &fop_record(8, write(gfid, fd, 0, LONG), &data));
        assert_eq!(s.replies(conn).len(), 1);
        (s.storage.aligned, s.storage.hold) = (512, hold);
        let asked = LONG.next_multiple_of(512) + 512;
        s.send(conn, &fop_record(9, read(gfid, fd, 0, asked), &[]));
        let mut end = LONG;
        if let Some(turn) = cut {
            for _ in 0..turn {
                s.finish(0);
            }
            end = 8 * PART + 7;
            let cut = Ftruncate { gfid, fd: fd_of_other, offset: end as u64, xdata: Dict::Null };
            s.storage.hold = false;
            assert_eq!(s.fop(other, Request::Ftruncate(cut)).result(), (0, 0));
        }
        finish_all(&mut s);
        assert_eq!(s.closed, [], "hold {hold}, cut {cut:?}");
        let (ret, _, got) = read_reply(&s.replies(conn)[0].1);
        let announced = if cut == Some(6) { end } else { LONG };
        assert_eq!(ret as usize, announced, "hold {hold}, cut {cut:?}");
        assert!(got[..end] == data[..end], "hold {hold}, cut {cut:?}");
        assert!(got[end..].iter().all(|byte| *byte == 0), "hold {hold}, cut {cut:?}");
        is_idle(&s, 2);
    }
}

#[test]
fn ordinary_calls_pass_a_long_read() {
    let (mut s, conn) = roomy();
    let (gfid, fd) = s.create(conn, "f");
    s.send(conn, &fop_record(8, write(gfid, fd, 0, LONG), &content(LONG)));
    assert_eq!(s.replies(conn).len(), 1);
    s.storage.hold = true;
    s.send(conn, &fop_record(9, read(gfid, fd, 0, LONG), &[]));
    s.send(conn, &fop_record(10, read(gfid, fd, 0, PART), &[]));
    s.send(conn, &record(11, Procedure::PING, &root(), &DumpArgs::CLIENT, &[]));
    assert_eq!(s.storage.held(), 2, "the storage has both");
    assert_eq!(s.replies(conn)[0].0, 11, "the PING is answered");
    s.finish(1);
    assert_eq!(s.replies(conn)[0].0, 10);
    finish_all(&mut s);
    assert_eq!(s.replies(conn)[0].0, 9);
    is_idle(&s, 1);
}

#[test]
fn a_failed_long_read_waits_for_room_for_its_errno() {
    let limits = ServerLimits { head_bytes: 2560, ..ServerLimits::SMALL };
    let memory = MemoryLimits { pages: 4096, ..MemoryLimits::SMALL };
    let mut s = Harness::with(limits, memory);
    let (conn, other) = (s.mount(), s.mount());
    let (gfid, fd) = s.create(conn, "f");
    s.send(conn, &fop_record(8, write(gfid, fd, 0, LONG), &content(LONG)));
    assert_eq!(s.replies(conn).len(), 1);
    s.fop(conn, release(gfid, fd));
    s.storage.hold = true;
    s.send(conn, &fop_record(9, read(gfid, -2, 0, LONG), &[]));
    s.storage.hold = false;
    // Replies that are not taken fill the ring.
    s.deafen(conn, true);
    for xid in 10..22 {
        s.send(conn, &fop_record(xid, stat_root(), &[]));
    }
    assert!(s.waiting(conn) > 0, "no room for a reply");
    assert_eq!(s.fop(other, unlink(Gfid::ROOT, "f")).result(), (0, 0));
    s.finish(0);
    s.deafen(conn, false);
    s.pass(20);
    let replies = s.replies(conn);
    let (_, answer) = replies.iter().find(|(xid, _)| *xid == 9).expect("an answer");
    assert_eq!((answer.result().0, replies.len()), (-1, 13));
    is_idle(&s, 0);
}

#[test]
fn a_long_read_that_waits_for_the_storage_comes_before_calls_that_wait() {
    let (mut s, conn) = roomy();
    let others = [s.mount(), s.mount()];
    let (gfid, fd) = s.create(conn, "f");
    let data = content(LONG);
    s.send(conn, &fop_record(8, write(gfid, fd, 0, LONG), &data));
    assert_eq!(s.replies(conn).len(), 1);
    (s.storage.hold, s.storage.slots) = (true, 1);
    s.send(conn, &fop_record(9, read(gfid, fd, 0, LONG), &[]));
    s.storage.busy = true;
    s.finish(0);
    s.storage.busy = false;
    // Without a pause one of these has the storage's only place and the other waits for it.
    let mut xid = 10;
    for _ in 0..100 {
        for other in others {
            if s.waiting(other) == 0 {
                s.send(other, &fop_record(xid, stat_root(), &[]));
                xid += 1;
            }
        }
        s.finish(0);
    }
    let (ret, _, got) = read_reply(&s.replies(conn)[0].1);
    assert_eq!((ret as usize, got == data), (LONG, true));
    finish_all(&mut s);
    is_idle(&s, 1);
}
