//! The size of a sharded file: on one connection, no change overtakes a size that is being read,
//! and no such read overtakes a change of the size. A client that gets them in another order counts
//! the same growth twice.

mod server_harness;

use brickwire_core::fop::wire::{Fstat, Lookup, Request, Xattrop};
use brickwire_core::xdr::{Dict, Gfid, Pair, Value};
use server_harness::*;

const SIZE: &[u8] = b"trusted.glusterfs.shard.file-size";

fn xids(s: &mut Harness, conn: brickwire_core::ConnId) -> Vec<u32> {
    s.replies(conn).into_iter().map(|(xid, _)| xid).collect()
}

#[test]
fn a_write_does_not_overtake_a_size_that_is_read() {
    let pairs = [Pair { key: SIZE, value: Value::Ptr(&[0; 32]) }];
    let xdata = Dict::Pairs(&pairs);
    let mut s = Harness::new();
    let (conn, other) = (s.mount(), s.mount());
    let (gfid, fd) = s.create(conn, "f");
    let reads = [
        Request::Lookup(Lookup { gfid, pargfid: Gfid::NONE, flags: 0, bname: b"", xdata }),
        Request::Fstat(Fstat { gfid, fd, xdata }),
    ];
    for read in reads {
        s.storage.hold = true;
        s.send(conn, &fop_record(100, read, &[]));
        s.storage.hold = false;
        s.send(conn, &fop_record(101, write(gfid, fd, 0, 5), b"hello"));
        s.send(conn, &fop_record(102, stat_root(), &[]));
        assert_eq!(xids(&mut s, conn), [], "the write waits");
        assert_eq!(s.fop(other, stat_root()).result(), (0, 0), "and nobody else");
        s.finish(0);
        assert_eq!(xids(&mut s, conn), [100, 101, 102]);
    }
    assert_eq!(s.server.usage().jobs, 0);
}

#[test]
fn a_long_write_does_not_overtake_a_size_that_is_read() {
    let pairs = [Pair { key: SIZE, value: Value::Ptr(&[0; 32]) }];
    let mut s = Harness::new();
    let conn = s.mount();
    let (gfid, fd) = s.create(conn, "f");
    s.storage.hold = true;
    let xdata = Dict::Pairs(&pairs);
    s.send(conn, &fop_record(100, Request::Fstat(Fstat { gfid, fd, xdata }), &[]));
    s.storage.hold = false;
    let data = vec![7; 200_000];
    let calls = s.storage.calls;
    s.send(conn, &fop_record(101, write(gfid, fd, 0, data.len()), &data));
    s.send(conn, &fop_record(102, stat_root(), &[]));
    assert_eq!((xids(&mut s, conn), s.storage.calls - calls), (vec![], 0), "no part is written");
    s.finish(0);
    assert_eq!(xids(&mut s, conn), [100, 101, 102]);
    assert_eq!(s.stat(conn, gfid).unwrap().size, 200_000);
    assert_eq!(s.server.usage().jobs, 0);
}

#[test]
fn a_size_is_not_read_before_its_change_is_answered() {
    let pairs = [Pair { key: SIZE, value: Value::Ptr(&[0; 32]) }];
    let dict = Dict::Pairs(&pairs);
    let mut s = Harness::new();
    let conn = s.mount();
    let (gfid, fd) = s.create(conn, "f");
    s.storage.hold = true;
    let change = Xattrop { gfid, flags: 1, dict, xdata: Dict::Null };
    s.send(conn, &fop_record(100, Request::Xattrop(change), &[]));
    s.storage.hold = false;
    s.send(conn, &fop_record(101, write(gfid, fd, 0, 5), b"hello"));
    s.send(conn, &fop_record(102, fstat(gfid, fd), &[]));
    assert_eq!(xids(&mut s, conn), [101, 102], "others go on");
    s.send(conn, &fop_record(103, Request::Fstat(Fstat { gfid, fd, xdata: dict }), &[]));
    assert_eq!(xids(&mut s, conn), [], "the size is read when its change is answered");
    s.finish(0);
    assert_eq!(xids(&mut s, conn), [100, 103]);
    assert_eq!(s.server.usage().jobs, 0);
}

#[test]
fn a_write_is_not_answered_before_a_size_that_is_read_meanwhile() {
    let pairs = [Pair { key: SIZE, value: Value::Ptr(&[0; 32]) }];
    let xdata = Dict::Pairs(&pairs);
    let mut s = Harness::new();
    let conn = s.mount();
    let (gfid, fd) = s.create(conn, "f");
    let read = Request::Fstat(Fstat { gfid, fd, xdata });
    s.storage.hold = true;
    s.send(conn, &fop_record(100, write(gfid, fd, 0, 5), b"hello"));
    s.send(conn, &fop_record(101, write(gfid, fd, 5, 5), b"hello"));
    s.send(conn, &fop_record(102, read, &[]));
    s.finish(0);
    assert_eq!(xids(&mut s, conn), [], "the size was asked for before the client knew");
    s.send(conn, &fop_record(103, read, &[]));
    s.finish(0);
    s.finish(0);
    assert_eq!(xids(&mut s, conn), [102]);
    s.storage.hold = false;
    s.send(conn, &fop_record(104, stat_root(), &[]));
    assert_eq!(xids(&mut s, conn), [104], "others go on");
    s.finish(0);
    assert_eq!(xids(&mut s, conn), [103, 100, 101]);
    assert_eq!(s.server.usage().jobs, 0);
}

#[test]
fn a_write_is_answered_although_sizes_are_read_all_the_time() {
    let pairs = [Pair { key: SIZE, value: Value::Ptr(&[0; 32]) }];
    let xdata = Dict::Pairs(&pairs);
    let mut s = Harness::new();
    let conn = s.mount();
    let (gfid, fd) = s.create(conn, "f");
    let read = Request::Fstat(Fstat { gfid, fd, xdata });
    s.storage.hold = true;
    s.send(conn, &fop_record(100, write(gfid, fd, 0, 5), b"hello"));
    s.send(conn, &fop_record(101, read, &[]));
    s.finish(0);
    // A new read begins before the last one ends.
    let mut answered = Vec::new();
    for xid in 102..150 {
        s.send(conn, &fop_record(xid, read, &[]));
        s.finish(0);
        answered.extend(xids(&mut s, conn));
    }
    assert!(answered.contains(&100), "{answered:?}");
}

#[test]
fn a_client_that_goes_away_leaves_no_answer_that_was_held_back() {
    let pairs = [Pair { key: SIZE, value: Value::Ptr(&[0; 32]) }];
    let xdata = Dict::Pairs(&pairs);
    let mut s = Harness::new();
    let conn = s.mount();
    let (gfid, fd) = s.create(conn, "f");
    s.storage.hold = true;
    s.send(conn, &fop_record(100, write(gfid, fd, 0, 5), b"hello"));
    s.send(conn, &fop_record(101, Request::Fstat(Fstat { gfid, fd, xdata }), &[]));
    s.finish(0);
    s.close(conn);
    s.finish(0);
    assert_eq!((s.server.usage().jobs, s.storage.buffers()), (0, 0));
}

#[test]
fn without_shards_nothing_waits() {
    let mut s = Harness::new();
    let conn = s.mount();
    let (gfid, fd) = s.create(conn, "f");
    s.storage.hold = true;
    s.send(conn, &fop_record(100, fstat(gfid, fd), &[]));
    s.storage.hold = false;
    s.send(conn, &fop_record(101, write(gfid, fd, 0, 5), b"hello"));
    assert_eq!(xids(&mut s, conn), [101]);
    s.finish(0);
    assert_eq!(xids(&mut s, conn), [100]);
}
