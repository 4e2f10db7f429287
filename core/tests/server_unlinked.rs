//! Files that are open and have no name any more: only the client that has one open reaches it.

mod server_harness;

use brickwire_core::ConnId;
use brickwire_core::fop::FopNumber;
use brickwire_core::fop::wire::{
    Access, Body, Fallocate, Ftruncate, Getxattr, Read, Request, Setattr, Setxattr, Stat, Truncate,
};
use brickwire_core::xdr::{Dict, Gfid, Iatt, Pair, Value};
use server_harness::*;

const NONE: Dict<'static> = Dict::Null;
const ANONYMOUS: i64 = -2;
const STALE: (i32, i32) = (-1, 116);

/// A connection of the client process with this process-uuid.
fn mount_as(s: &mut Harness, process_uuid: &'static str) -> ConnId {
    let conn = s.connect();
    let pairs = login_pairs().map(|(key, value)| match key {
        "process-uuid" => (key, Some(process_uuid.as_bytes())),
        _ => (key, value),
    });
    s.setvolume(conn, &pairs);
    conn
}

/// Everything that a client may ask by gfid, with and without an anonymous fd.
fn by_gfid(gfid: Gfid) -> Vec<(Request<'static>, &'static [u8])> {
    const PAIR: &[Pair<'static>] = &[Pair { key: b"user.a", value: Value::Str(b"b") }];
    let stbuf = Iatt { mode: 0o600, ..Iatt::default() };
    let (fd, xdata) = (ANONYMOUS, NONE);
    let requests = [
        open(gfid, 0),
        open(gfid, 2),
        open(gfid, 0o1001),
        Request::Stat(Stat { gfid, xdata }),
        Request::Access(Access { gfid, mask: 4, xdata }),
        Request::Truncate(Truncate { gfid, offset: 1, xdata }),
        Request::Setattr(Setattr { gfid, stbuf, valid: 1, xdata }),
        Request::Setxattr(Setxattr { gfid, flags: 0, dict: Dict::Pairs(PAIR), xdata }),
        Request::Getxattr(Getxattr { gfid, namelen: 6, name: b"user.a", xdata }),
        Request::Read(Read { gfid, fd, offset: 0, size: 3, flag: 0, xdata }),
        Request::Ftruncate(Ftruncate { gfid, fd, offset: 2, xdata }),
        Request::Fallocate(Fallocate { gfid, fd, flags: 0, offset: 0, size: 9, xdata }),
        fstat(gfid, fd),
        link(gfid, Gfid::ROOT, "back"),
    ];
    let mut all: Vec<_> = requests.map(|request| (request, &b""[..])).into();
    all.push((write(gfid, fd, 0, 3), b"new"));
    all
}

#[test]
fn another_client_is_told_that_a_replaced_file_is_stale_and_its_change_is_not_lost() {
    let mut s = Harness::new();
    let (a, b) = (mount_as(&mut s, "CTX_ID:a-GRAPH_ID:0"), mount_as(&mut s, "CTX_ID:b-GRAPH_ID:0"));
    let (old, fd) = s.create(a, "s");
    s.write(a, old, fd, 0, b"old");
    s.create(a, "s.tmp");
    assert_eq!(s.fop(a, rename(Gfid::ROOT, "s.tmp", Gfid::ROOT, "s")).result().0, 0);
    for (request, payload) in by_gfid(old) {
        let call = fop_record(7, request, payload);
        s.send(b, &call);
        let (_, answer) = s.replies(b).pop().expect("an answer");
        assert_eq!(answer.result(), STALE, "{request:?}");
    }
    let answer = s.fop(b, lookup(old, Gfid::NONE, b"", &[]));
    assert_eq!(answer.result(), (-1, 2), "a LOOKUP by gfid says that there is none");
    // The client that has it open goes on, by fd and by gfid.
    let (ret, _, data) = s.read(a, old, fd, 0, 9);
    assert_eq!((ret, &data[..]), (3, &b"old"[..]), "nobody changed it");
    assert_eq!(s.write(a, old, fd, 3, b"er").result(), (2, 0));
    assert_eq!(s.write(a, old, ANONYMOUS, 0, b"O").result(), (1, 0));
    assert_eq!(s.stat(a, old).map(|stat| (stat.size, stat.nlink)), Ok((5, 0)));
    assert_eq!(s.fop(a, open(old, 2)).result().0, 0);
}

#[test]
fn a_client_reaches_its_file_through_all_its_connections() {
    let mut s = Harness::new();
    let (a, again) = (
        mount_as(&mut s, "CTX_ID:a-GRAPH_ID:0-PID:1"),
        mount_as(&mut s, "CTX_ID:a-GRAPH_ID:1-PID:1"),
    );
    let (gfid, fd) = s.create(a, "f");
    assert_eq!(s.fop(a, unlink(Gfid::ROOT, "f")).result(), (0, 0));
    // A new graph opens what the old one has open.
    let answer = s.fop(again, open(gfid, 2));
    let Body::Open { fd: new } = answer.fop(FopNumber::Open).body else { panic!("{answer:?}") };
    s.fop(a, release(gfid, fd));
    assert_eq!(s.write(again, gfid, new, 0, b"x").result(), (1, 0));
    s.close(again);
    assert_eq!(s.stat(a, gfid), Err(116), "and after the last close it is gone");
}

#[test]
fn an_open_that_is_not_answered_yet_does_not_make_the_next_one_succeed() {
    let mut s = Harness::new();
    let (a, b) = (mount_as(&mut s, "CTX_ID:a-GRAPH_ID:0"), mount_as(&mut s, "CTX_ID:b-GRAPH_ID:0"));
    let (gfid, _) = s.create(a, "f");
    assert_eq!(s.fop(a, unlink(Gfid::ROOT, "f")).result(), (0, 0));
    s.storage.hold = true;
    for xid in 1..=2 {
        s.send(b, &fop_record(xid, open(gfid, 2), &[]));
    }
    assert_eq!(s.storage.held(), 2);
    s.finish(0);
    s.finish(0);
    let results: Vec<_> = s.replies(b).iter().map(|(_, answer)| answer.result()).collect();
    assert_eq!(results, [STALE, STALE]);
}

#[test]
fn a_file_with_a_further_name_is_reached_by_everybody() {
    let mut s = Harness::new();
    let (a, b) = (mount_as(&mut s, "CTX_ID:a-GRAPH_ID:0"), mount_as(&mut s, "CTX_ID:b-GRAPH_ID:0"));
    let (gfid, _) = s.create(a, "f");
    assert_eq!(s.fop(a, link(gfid, Gfid::ROOT, "g")).result(), (0, 0));
    assert_eq!(s.fop(a, unlink(Gfid::ROOT, "f")).result(), (0, 0));
    assert_eq!(s.fop(b, open(gfid, 2)).result().0, 0);
    assert_eq!(s.write(b, gfid, ANONYMOUS, 0, b"x").result(), (1, 0));
}
