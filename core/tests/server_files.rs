//! Open files of clients: their owner, their lifetime, and their end when the client disconnects.

mod server_harness;

use brickwire_core::fop::FopNumber;
use brickwire_core::fop::wire::Body;
use brickwire_core::server::{CloseReason, ServerLimits};
use brickwire_core::xdr::{Gfid, Reader};
use brickwire_memory::MemoryLimits;
use server_harness::*;

fn fd_of(answer: &Answer) -> i64 {
    let reply = answer.fop(FopNumber::Open);
    let Body::Open { fd } = reply.body else { panic!("{reply:?}") };
    assert_eq!(reply.op_ret, 0);
    fd
}

#[test]
fn an_fd_is_its_connections_and_nobody_elses() {
    let mut s = Harness::new();
    let (a, b) = (s.mount(), s.mount());
    let (gfid, fd) = s.create(a, "f");
    assert_eq!(s.read(b, gfid, fd, 0, 1).1, 9);
    assert_eq!(s.fop(b, release(gfid, fd)).result(), (0, 0));
    assert_eq!(s.read(a, gfid, fd, 0, 1).0, 0, "the other's release did not close it");
}

#[test]
fn a_number_that_was_closed_is_not_another_files() {
    let mut s = Harness::new();
    let conn = s.mount();
    let (gfid, first) = s.create(conn, "f");
    s.fop(conn, release(gfid, first));
    let second = fd_of(&s.fop(conn, open(gfid, 2)));
    assert_ne!(first, second);
    assert_eq!(s.read(conn, gfid, first, 0, 1).1, 9);
    assert_eq!(s.read(conn, gfid, second, 0, 1).0, 0);
}

#[test]
fn more_files_than_there_is_room_for_are_refused_and_a_close_makes_room() {
    let limits = ServerLimits { files: 2, ..ServerLimits::SMALL };
    let mut s = Harness::with(limits, MemoryLimits { files: 2, ..MemoryLimits::SMALL });
    let conn = s.mount();
    let (gfid, fd) = s.create(conn, "f");
    fd_of(&s.fop(conn, open(gfid, 0)));
    assert_eq!(s.fop(conn, open(gfid, 0)).result(), (-1, 24));
    let new = s.new_gfid();
    assert_eq!(s.fop(conn, create(Gfid::ROOT, "g", &[gfid_req(new)])).result(), (-1, 24));
    assert_eq!(s.lookup(conn, Gfid::ROOT, "g"), Err(2), "what cannot be opened is not made");
    s.fop(conn, release(gfid, fd));
    fd_of(&s.fop(conn, open(gfid, 0)));
}

#[test]
fn a_failed_open_leaves_nothing_behind() {
    let mut s = Harness::new();
    let conn = s.mount();
    for _ in 0..200 {
        assert_eq!(s.fop(conn, open(Gfid([3; 16]), 0)).result(), (-1, 116));
        assert_eq!(s.fop(conn, open(Gfid::ROOT, 1)).result(), (-1, 21));
    }
    assert_eq!((s.server.usage().files, s.storage.memory.usage().files), (0, 0));
}

#[test]
fn everything_is_closed_when_the_client_goes() {
    let mut s = Harness::new();
    let (conn, other) = (s.mount(), s.mount());
    for n in 0..10 {
        let (gfid, _) = s.create(conn, &format!("f{n}"));
        s.fop(conn, open(gfid, 0));
    }
    let (kept, _) = s.create(other, "kept");
    s.fop(other, unlink(Gfid::ROOT, "f3"));
    s.close(conn);
    assert_eq!((s.server.usage().files, s.storage.memory.usage().files), (1, 1));
    assert_eq!(s.stat(other, kept).unwrap().nlink, 1);
    // Root, the index and its base; nine files; the kept one.
    assert_eq!(s.storage.memory.usage().inodes, 5 + 9 + 1);
}

#[test]
fn a_file_is_not_closed_under_a_call_that_uses_it() {
    let mut s = Harness::new();
    let conn = s.mount();
    let (gfid, fd) = s.create(conn, "f");
    s.write(conn, gfid, fd, 0, b"abc");
    s.storage.hold = true;
    let xid = s.xid();
    let read = brickwire_core::fop::wire::Read {
        gfid,
        fd,
        offset: 0,
        size: 9,
        flag: 0,
        xdata: Default::default(),
    };
    s.send(conn, &fop_record(xid, brickwire_core::fop::wire::Request::Read(read), &[]));
    assert_eq!(s.fop(conn, release(gfid, fd)).result(), (0, 0));
    assert_eq!(s.storage.memory.usage().files, 1, "the read is not over");
    assert_eq!(s.fop(conn, fstat(gfid, fd)).result(), (-1, 9), "but nobody uses it any more");
    s.finish(0);
    assert_eq!(s.replies(conn).len(), 1);
    assert_eq!(s.storage.memory.usage().files, 0);
}

#[test]
fn what_is_being_opened_when_its_client_goes_is_closed_when_it_is_open() {
    let mut s = Harness::new();
    let (conn, other) = (s.mount(), s.mount());
    let (gfid, fd) = s.create(other, "f");
    s.fop(other, release(gfid, fd));
    s.storage.hold = true;
    let (xid, new) = (s.xid(), s.new_gfid());
    s.send(conn, &fop_record(xid, open(gfid, 2), &[]));
    s.send(conn, &fop_record(xid + 1, create(Gfid::ROOT, "g", &[gfid_req(new)]), &[]));
    s.send(conn, &fop_record(xid + 2, open(Gfid([9; 16]), 0), &[]));
    s.close(conn);
    assert_eq!(s.storage.memory.usage().files, 2);
    while s.storage.held() > 0 {
        s.finish(s.storage.held() - 1);
    }
    assert_eq!((s.storage.memory.usage().files, s.server.usage().files), (0, 0));
    assert_eq!((s.server.usage().jobs, s.storage.buffers()), (0, 0));
}

#[test]
fn a_release_on_its_way_past_an_open_does_not_reach_it() {
    let mut s = Harness::new();
    let conn = s.mount();
    let (gfid, _) = s.create(conn, "f");
    s.storage.hold = true;
    let xid = s.xid();
    s.send(conn, &fop_record(xid, open(gfid, 2), &[]));
    s.finish(0);
    let replies = s.replies(conn);
    let fd = fd_of(&replies[0].1);
    s.storage.hold = false;
    assert_eq!(s.read(conn, gfid, fd, 0, 1).0, 0);
}

#[test]
fn the_open_files_of_an_inode_are_counted() {
    let mut s = Harness::new();
    let (a, b) = (s.mount(), s.mount());
    let (gfid, first) = s.create(a, "f");
    s.fop(b, open(gfid, 0));
    let asked = [brickwire_core::xdr::Pair {
        key: b"glusterfs.open-fd-count",
        value: brickwire_core::xdr::Value::Uint(4),
    }];
    let count = |s: &mut Harness| {
        let answer = s.fop(a, lookup(gfid, Gfid::NONE, b"", &asked));
        answer
            .fop(FopNumber::Lookup)
            .xdata
            .get("glusterfs.open-fd-count")
            .and_then(|value| value.as_u64())
    };
    assert_eq!(count(&mut s), Some(2));
    s.fop(a, release(gfid, first));
    assert_eq!(count(&mut s), Some(1));
    s.close(b);
    assert_eq!(count(&mut s), Some(0));
}

#[test]
fn a_brick_that_is_not_served_any_more_disconnects_who_uses_it() {
    let mut s = Harness::new();
    let (user, bystander) = (s.mount(), s.connect());
    s.create(user, "f");
    s.server.brick_gone(brickwire_core::server::BrickIx(0), s.now, &mut s.storage);
    s.pump();
    assert_eq!(s.closed, [(user, CloseReason::Stopped)]);
    assert!(s.is_open(bystander));
    assert_eq!(s.storage.memory.usage().files, 0);
    s.server.stop(s.now, &mut s.storage);
    s.pump();
    assert_eq!(s.closed[1..], [(bystander, CloseReason::Stopped)]);
    assert_eq!(s.server.usage(), Default::default());
}

#[test]
fn readv_replies_are_short_heads_and_the_data_behind_them() {
    let mut s = Harness::new();
    let conn = s.mount();
    let (gfid, fd) = s.create(conn, "f");
    let data: Vec<u8> = (0..100_000_u32).map(|n| n as u8).collect();
    s.write(conn, gfid, fd, 0, &data);
    let read = brickwire_core::fop::wire::Read {
        gfid,
        fd,
        offset: 1,
        size: 70_000,
        flag: 0,
        xdata: Default::default(),
    };
    let answer = s.fop(conn, brickwire_core::fop::wire::Request::Read(read));
    let mut r = Reader::new(&answer.body);
    let reply = brickwire_core::fop::wire::Reply::decode(FopNumber::Read, &mut r).unwrap();
    assert!(matches!(reply.body, Body::Read { size: 70_000, .. }));
    assert_eq!(r.rest(), &data[1..70_001]);
    assert_eq!(s.storage.buffers(), 0);
}

#[test]
fn created_files_are_counted_whatever_their_gfids() {
    let mut s = Harness::new();
    let conn = s.mount();
    let asked = [brickwire_core::xdr::Pair {
        key: b"glusterfs.open-fd-count",
        value: brickwire_core::xdr::Value::Uint(4),
    }];
    let mut open = Vec::new();
    for n in 1..=20_u8 {
        // All of them are in the hash chain of a handle without a gfid. A server that adds such a
        // handle to the chain would loop for ever.
        let gfid = Gfid([n; 16]);
        let name = format!("f{n}");
        let answer = s.fop(conn, create(Gfid::ROOT, &name, &[gfid_req(gfid)]));
        let Body::Create { fd, .. } = answer.fop(FopNumber::Create).body else { panic!() };
        open.push((gfid, fd as i64));
        for (gfid, _) in &open {
            let answer = s.fop(conn, lookup(*gfid, Gfid::NONE, b"", &asked));
            let count = answer.fop(FopNumber::Lookup).xdata.get("glusterfs.open-fd-count");
            assert_eq!(count.and_then(|count| count.as_u64()), Some(1));
        }
        if n % 3 == 0 {
            let (gfid, fd) = open.remove(0);
            s.fop(conn, release(gfid, fd));
        }
    }
    assert_eq!(s.fop(conn, create(Gfid::ROOT, "g", &[])).result(), (-1, 22));
    s.close(conn);
    assert_eq!((s.server.usage().files, s.storage.memory.usage().files), (0, 0));
}
