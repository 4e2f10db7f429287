//! Clients that hold resources which others need and give nothing back: the server takes them away
//! in the end, and others go on.

mod server_harness;

use brickwire_core::ConnId;
use brickwire_core::fop::wire::{Open, Read, Request, Setxattr};
use brickwire_core::rpc::Procedure;
use brickwire_core::rpc::handshake::{Getspec, Opaque};
use brickwire_core::server::{BrickIx, CloseReason, Intake, ServerLimits};
use brickwire_core::xdr::{Dict, Encode, Gfid, NoRoom, Pair, Value, Writer};
use brickwire_memory::MemoryLimits;
use server_harness::*;

fn why(s: &Harness, conn: ConnId) -> Option<CloseReason> {
    s.closed.iter().find(|(closed, _)| *closed == conn).map(|(_, why)| *why)
}

fn pass(s: &mut Harness, seconds: u32) {
    (0..seconds).for_each(|_| s.pass(1000));
}

#[test]
fn a_write_that_never_comes_keeps_the_buffers_from_others_for_seconds_only() {
    let memory = MemoryLimits { buffer_bytes: 130 * 1024, ..MemoryLimits::SMALL };
    let mut s = Harness::with(ServerLimits::SMALL, memory);
    let (hog, other) = (s.mount(), s.mount());
    let (gfid, fd) = s.create(hog, "f");
    let (mine, my_fd) = s.create(other, "g");
    s.cut = 1000;
    s.send(hog, &fop_record(9, write(gfid, fd, 0, 120_000), &[5; 120_000])[..50_000]);
    pass(&mut s, 20);
    assert!(s.is_open(hog), "nobody needs what it has");
    s.send(other, &fop_record(9, write(mine, my_fd, 0, 120_000), &[6; 120_000]));
    assert_eq!(s.server.intake(other), Intake::Wait, "all buffers are the other's");
    pass(&mut s, 20);
    assert_eq!(why(&s, hog), Some(CloseReason::Stalled));
    assert_eq!(s.replies(other)[0].1.result(), (120_000, 0));
    assert_eq!(s.storage.buffers(), 0);
}

#[test]
fn a_write_that_comes_slowly_but_comes_is_written() {
    let mut s = Harness::new();
    let conn = s.mount();
    let (gfid, fd) = s.create(conn, "f");
    let call = fop_record(9, write(gfid, fd, 0, 100_000), &[5; 100_000]);
    for piece in call.chunks(4000) {
        s.send(conn, piece);
        pass(&mut s, 1);
    }
    assert_eq!(s.replies(conn)[0].1.result(), (100_000, 0));
}

#[test]
fn a_long_call_that_never_ends_gives_its_block_back() {
    let mut s = with(|limits| limits.blocks = 1);
    let (hog, other) = (s.mount(), s.mount());
    let value = [1; 2000];
    let pairs = [Pair { key: b"user.x", value: Value::Ptr(&value) }];
    let setxattr =
        Setxattr { gfid: Gfid::ROOT, flags: 0, dict: Dict::Pairs(&pairs), xdata: Dict::Null };
    let call = fop_record(9, Request::Setxattr(setxattr), &[]);
    s.send(hog, &call[..1500]);
    s.send(other, &call[..1500]);
    s.send(other, &call[1500..]);
    // A byte now and then is no progress.
    for n in 0..30 {
        pass(&mut s, 1);
        if s.is_open(hog) {
            s.send(hog, &call[1500 + n..=1500 + n]);
        }
    }
    assert_eq!(why(&s, hog), Some(CloseReason::Stalled));
    assert_eq!(s.replies(other).len(), 1);
}

#[test]
fn a_client_that_takes_a_byte_now_and_then_is_one_that_takes_none() {
    let mut s = Harness::new();
    let (hog, other) = (s.mount(), s.mount());
    let (gfid, fd) = s.create(hog, "f");
    s.write(hog, gfid, fd, 0, &[7; 100_000]);
    s.deafen(hog, true);
    let read = Read { gfid, fd, offset: 0, size: 100_000, flag: 0, xdata: Dict::Null };
    s.send(hog, &fop_record(1, Request::Read(read), &[]));
    assert_eq!(s.storage.buffers(), 1);
    for _ in 0..60 {
        pass(&mut s, 1);
        if s.is_open(hog) {
            s.server.sent(hog, 1, s.now, &mut s.storage);
        }
    }
    assert_eq!(why(&s, hog), Some(CloseReason::Stalled));
    assert_eq!(s.storage.buffers(), 0);
    assert!(s.is_open(other));
}

#[test]
fn a_client_that_takes_a_tiny_reply_at_a_time_does_not_hold_a_long_one_for_ever() {
    for tiny_reads in [false, true] {
        let mut s = Harness::new();
        let hog = s.mount();
        let (gfid, fd) = s.create(hog, "f");
        s.write(hog, gfid, fd, 0, &[7; 100_000]);
        s.deafen(hog, true);
        let read = |size| {
            let read = Read { gfid, fd, offset: 0, size, flag: 0, xdata: Dict::Null };
            fop_record(2, Request::Read(read), &[])
        };
        for _ in 0..2 {
            let null = Procedure { program: 123_451_501, version: 1, number: 0 };
            let tiny = record(1, null, &root(), &Nothing, &[]);
            s.send(hog, if tiny_reads { read(1) } else { tiny }.as_slice());
        }
        s.send(hog, &read(100_000));
        assert!(s.storage.buffers() > 0, "the long reply holds a buffer");
        for n in 0..100 {
            pass(&mut s, 1);
            if n % 40 == 30 && s.is_open(hog) {
                let first = s.server.outgoing(hog).next().expect("a reply");
                let len = first.head.len() + first.data.map_or(0, |data| data.len as usize);
                assert!(len < 1000, "the next reply is a tiny one");
                s.server.sent(hog, len, s.now, &mut s.storage);
            }
        }
        assert_eq!(why(&s, hog), Some(CloseReason::Stalled), "tiny reads: {tiny_reads}");
        assert_eq!(s.storage.buffers(), 0);
    }
}

#[test]
fn a_slow_client_that_takes_its_replies_one_by_one_is_served() {
    let mut s = Harness::new();
    let slow = s.mount();
    let (gfid, fd) = s.create(slow, "f");
    s.write(slow, gfid, fd, 0, &[7; 50_000]);
    s.deafen(slow, true);
    let read = Read { gfid, fd, offset: 0, size: 50_000, flag: 0, xdata: Dict::Null };
    for xid in 0..3 {
        s.send(slow, &fop_record(xid, Request::Read(read), &[]));
    }
    for _ in 0..3 {
        pass(&mut s, 30);
        let first = s.server.outgoing(slow).next().expect("a reply");
        let len = first.head.len() + first.data.map_or(0, |data| data.len as usize);
        s.server.sent(slow, len, s.now, &mut s.storage);
    }
    pass(&mut s, 60);
    assert!(s.is_open(slow));
}

/// Empty arguments.
struct Nothing;

impl Encode for Nothing {
    fn encode(&self, _: &mut Writer<'_>) -> Result<(), NoRoom> {
        Ok(())
    }
}

#[test]
fn a_write_of_somebody_who_has_not_logged_in_gets_no_buffer() {
    let mut s = Harness::new();
    let stranger = s.connect();
    s.cut = 500;
    s.send(stranger, &fop_record(9, write(Gfid::ROOT, -2, 0, 100_000), &[5; 100_000])[..1000]);
    assert!(matches!(why(&s, stranger), Some(CloseReason::Peer(_))), "{:?}", s.closed);
    assert_eq!(s.storage.buffers(), 0);
}

#[test]
fn who_does_not_say_what_it_wants_makes_room_for_others() {
    let mut s = with(|limits| limits.connections = 3);
    let (manager, mount, stranger) = (s.connect(), s.mount(), s.connect());
    let spec = Getspec { flags: 0, key: VOLUME.as_bytes(), xdata: Opaque::Bytes(b"") };
    s.call(manager, Procedure::GETSPEC, &spec);
    assert!(s.connect_from(Default::default()).is_none());
    pass(&mut s, 60);
    assert_eq!(why(&s, stranger), Some(CloseReason::NoLogin));
    assert!(s.is_open(mount) && s.is_open(manager), "{:?}", s.closed);
    assert!(s.connect_from(Default::default()).is_some());
}

#[test]
fn reads_that_one_client_has_under_way_are_no_more_than_the_longest_together() {
    let mut s = Harness::new();
    let (conn, other) = (s.mount(), s.mount());
    let (gfid, fd) = s.create(conn, "f");
    s.write(conn, gfid, fd, 0, &[7; 100_000]);
    s.storage.hold = true;
    let read =
        |fd| Request::Read(Read { gfid, fd, offset: 0, size: 100_000, flag: 0, xdata: Dict::Null });
    for n in 0..5 {
        s.send(conn, &fop_record(n, read(fd), &[]));
    }
    assert_eq!(s.storage.held(), 1);
    s.send(other, &fop_record(9, read(-2), &[]));
    assert_eq!(s.storage.held(), 2, "others do not notice");
    let mut answered = 0;
    while s.storage.held() > 0 {
        s.finish(0);
        answered += s.replies(conn).len() + s.replies(other).len();
    }
    assert_eq!((answered, s.storage.buffers()), (6, 0));
}

#[test]
fn a_client_that_opens_all_it_can_leaves_files_for_others() {
    let mut s = with(|limits| (limits.files, limits.files_per_connection) = (10, 4));
    let (hog, other) = (s.mount(), s.mount());
    let (gfid, fd) = s.create(hog, "f");
    let open = Request::Open(Open { gfid, flags: 2, xdata: Dict::Null });
    let opened: Vec<i32> = (0..6).map(|_| s.fop(hog, open).result().0).collect();
    assert_eq!(opened, [0, 0, 0, -1, -1, -1]);
    assert_eq!(s.fop(hog, open).result(), (-1, 24));
    assert_eq!(s.fop(other, open).result(), (0, 0));
    // After a close, another file may be opened.
    s.fop(
        hog,
        Request::Release(brickwire_core::fop::wire::Release { gfid, fd, xdata: Dict::Null }),
    );
    assert_eq!(s.fop(hog, open).result(), (0, 0));
    assert_eq!(s.fop(hog, open).result(), (-1, 24));
    s.close(hog);
    assert_eq!(s.server.usage().files, 1);
}

#[test]
fn a_volume_that_is_made_read_only_is_so_for_who_is_there_already() {
    let mut s = Harness::new();
    let conn = s.mount();
    let (gfid, fd) = s.create(conn, "f");
    s.server.set_read_only(BrickIx(0), true);
    assert_eq!(s.write(conn, gfid, fd, 0, b"x").result(), (-1, 30));
    s.server.set_read_only(BrickIx(1), false);
    assert_eq!(s.write(conn, gfid, fd, 0, b"x").result(), (-1, 30), "that is another brick");
    s.server.set_read_only(BrickIx(0), false);
    assert_eq!(s.write(conn, gfid, fd, 0, b"x").result(), (1, 0));
}
