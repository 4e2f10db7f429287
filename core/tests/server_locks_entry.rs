//! ENTRYLK, and what holders are told of contention.

mod scripted_storage;

use brickwire_core::fop::wire::{Entrylk, Lookup, Request};
use brickwire_core::server::ServerLimits;
use brickwire_core::xdr::{Dict, Errno, Gfid, Pair, Value};
use scripted_storage::*;

const OK: Option<Result<i32, Errno>> = Some(Ok(0));
const BUSY: Option<Result<i32, Errno>> = Some(Err(Errno::EAGAIN));
const INVALID: Option<Result<i32, Errno>> = Some(Err(Errno::EINVAL));
const WAITS: Option<Result<i32, Errno>> = None;

macro_rules! now {
    ($rig:ident, $conn:expr, $owner:expr, $request:expr) => {{
        let xid = $rig.send($conn, $owner, $request);
        $rig.result($conn, xid)
    }};
}

#[test]
fn a_name_is_its_owners_and_the_whole_directory_is_every_name() {
    let mut rig = Rig::new();
    let (a, b) = (rig.client(), rig.client());
    assert_eq!(now!(rig, a, b"1", entrylk(TRY, WRITE, Some("x"))), OK);
    assert_eq!(now!(rig, a, b"1", entrylk(TRY, WRITE, Some("x"))), OK, "stacks");
    assert_eq!(now!(rig, b, b"2", entrylk(TRY, WRITE, Some("y"))), OK);
    assert_eq!(now!(rig, b, b"2", entrylk(TRY, READ, Some("x"))), BUSY);
    assert_eq!(now!(rig, a, b"1", entrylk(TRY, WRITE, None)), BUSY);
    assert_eq!(now!(rig, b, b"2", entrylk(TRY, UNLOCK, Some("y"))), OK);
    assert_eq!(now!(rig, a, b"1", entrylk(TRY, WRITE, None)), OK);
    assert_eq!(now!(rig, b, b"2", entrylk(TRY, WRITE, Some("y"))), BUSY);
    assert_eq!(now!(rig, a, b"1", entrylk(TRY, UNLOCK, Some("y"))), INVALID);
    for name in [None, Some("x"), Some("x")] {
        assert_eq!(now!(rig, a, b"1", entrylk(TRY, UNLOCK, name)), OK);
    }
    assert_eq!(now!(rig, a, b"1", entrylk(TRY, UNLOCK, Some("x"))), INVALID);
    assert_eq!(rig.locks(), (0, 0));
}

#[test]
fn two_readers_of_a_name_exclude_each_other_and_an_unlock_names_the_kind() {
    let mut rig = Rig::new();
    let (a, b) = (rig.client(), rig.client());
    assert_eq!(now!(rig, a, b"1", entrylk(TRY, READ, Some("x"))), OK);
    assert_eq!(now!(rig, b, b"2", entrylk(TRY, READ, Some("x"))), BUSY);
    assert_eq!(now!(rig, a, b"1", entrylk(TRY, UNLOCK, Some("x"))), INVALID, "it is no write lock");
}

#[test]
fn who_waits_for_the_directory_is_not_overtaken_by_names() {
    let mut rig = Rig::new();
    let (a, b, c) = (rig.client(), rig.client(), rig.client());
    assert_eq!(now!(rig, a, b"1", entrylk(TRY, WRITE, Some("x"))), OK);
    let all = rig.send(b, b"2", entrylk(WAIT, WRITE, None));
    assert_eq!(now!(rig, c, b"3", entrylk(TRY, WRITE, Some("q"))), BUSY);
    let later = rig.send(c, b"3", entrylk(WAIT, WRITE, Some("q")));
    assert_eq!(
        now!(rig, a, b"1", entrylk(TRY, WRITE, Some("q"))),
        OK,
        "its owner has a lock there"
    );
    for name in ["x", "q"] {
        assert_eq!(rig.result(b, all), WAITS);
        assert_eq!(now!(rig, a, b"1", entrylk(TRY, UNLOCK, Some(name))), OK);
    }
    assert_eq!((rig.result(b, all), rig.result(c, later)), (OK, WAITS));
    rig.disconnect(b);
    assert_eq!(rig.result(c, later), OK);
}

#[test]
fn names_that_are_too_long_and_commands_that_are_none_are_refused() {
    let mut rig = Rig::new();
    let a = rig.client();
    let name = [b'n'; 256];
    let lock = Entrylk {
        gfid: Gfid::ROOT,
        cmd: 2,
        kind: WRITE,
        namelen: 1,
        name: &name,
        volume: DOMAIN,
        xdata: Dict::Null,
    };
    assert_eq!(now!(rig, a, b"1", Request::Entrylk(lock)), Some(Err(Errno::ENAMETOOLONG)));
    assert_eq!(
        now!(rig, a, b"1", Request::Entrylk(Entrylk { cmd: 3, name: b"x", ..lock })),
        INVALID
    );
    assert_eq!(now!(rig, a, b"1", Request::Entrylk(Entrylk { name: &name[1..], ..lock })), OK);
    let domain = [b'd'; 1025];
    assert_eq!(
        now!(rig, a, b"1", Request::Entrylk(Entrylk { name: b"x", volume: &domain, ..lock })),
        INVALID
    );
}

#[test]
fn a_lookup_says_whether_its_name_is_locked() {
    let mut rig = Rig::new();
    let a = rig.client();
    let keys = [
        Pair { key: b"glusterfs.parent-entrylk", value: Value::Uint(0) },
        Pair { key: b"glusterfs.entrylk-count", value: Value::Uint(0) },
    ];
    let lookup = Lookup {
        gfid: Gfid::NONE,
        pargfid: Gfid::ROOT,
        flags: 0,
        bname: b"x",
        xdata: Dict::Pairs(&keys),
    };
    let locked = |rig: &mut Rig| {
        let xid = rig.send(a, b"1", Request::Lookup(lookup));
        rig.answer(a, xid).expect("an answer").counts["glusterfs.parent-entrylk"]
    };
    assert_eq!(locked(&mut rig), 0);
    assert_eq!(now!(rig, a, b"1", entrylk(TRY, WRITE, None)), OK);
    assert_eq!(locked(&mut rig), 0, "the directory is no name");
    assert_eq!(now!(rig, a, b"1", entrylk(TRY, WRITE, Some("x"))), OK);
    assert_eq!(locked(&mut rig), 1);
    let root = Lookup { gfid: Gfid::ROOT, pargfid: Gfid::NONE, bname: b"", ..lookup };
    let xid = rig.send(a, b"1", Request::Lookup(root));
    assert_eq!(rig.answer(a, xid).expect("an answer").counts["glusterfs.entrylk-count"], 2);
}

#[test]
fn holders_are_told_that_others_want_what_they_have_and_not_too_often() {
    let mut rig = Rig::new();
    let (a, b) = (rig.client(), rig.client());
    let xid = rig.send_as(a, b"1", 1111, inodelk(TRY, WRITE, 0, 100));
    assert_eq!(rig.result(a, xid), OK);
    let notice = Told::Inode { gfid: FILE, start: 0, len: 100, pid: 1111, domain: DOMAIN.to_vec() };
    assert_eq!(now!(rig, b, b"2", inodelk(TRY, READ, 50, 10)), BUSY);
    assert_eq!(rig.told(a), std::slice::from_ref(&notice));
    assert_eq!(now!(rig, b, b"2", inodelk(TRY, READ, 50, 10)), BUSY);
    rig.send_as(b, b"2", 2222, inodelk(WAIT, WRITE, 10, 0));
    assert_eq!(rig.told(a), []);
    rig.wait_ms(5_000);
    assert_eq!(now!(rig, b, b"3", inodelk(TRY, READ, 50, 10)), BUSY);
    assert_eq!(rig.told(a), [notice]);
    // The next owner is notified at once when another client wants the lock.
    assert_eq!(now!(rig, a, b"1", inodelk(TRY, UNLOCK, 0, 100)), OK);
    assert_eq!(rig.told(b), []);
    rig.send(a, b"1", inodelk(WAIT, WRITE, 10, 1));
    let next = Told::Inode { gfid: FILE, start: 10, len: 0, pid: 2222, domain: DOMAIN.to_vec() };
    assert_eq!(rig.told(b), [next]);
    assert_eq!(rig.told(a), []);
}

#[test]
fn who_gets_a_lock_that_others_wait_for_is_told_at_once() {
    let mut rig = Rig::new();
    let (a, b, c) = (rig.client(), rig.client(), rig.client());
    assert_eq!(now!(rig, a, b"1", inodelk(TRY, WRITE, 0, 0)), OK);
    for conn in [b, c] {
        rig.send(conn, b"w", inodelk(WAIT, WRITE, 0, 0));
    }
    assert_eq!(rig.told(a).len(), 1);
    rig.disconnect(a);
    assert_eq!((rig.told(b).len(), rig.told(c).len()), (1, 0));
}

#[test]
fn a_lock_on_an_entry_has_its_notice_too() {
    let mut rig = Rig::new();
    let (a, b) = (rig.client(), rig.client());
    assert_eq!(now!(rig, a, b"1", entrylk(TRY, WRITE, Some("x"))), OK);
    rig.send(b, b"2", entrylk(WAIT, WRITE, None));
    let notice =
        Told::Entry { gfid: Gfid::ROOT, name: b"x".to_vec(), pid: 7, domain: DOMAIN.to_vec() };
    assert_eq!(rig.told(a), [notice]);
}

/// Limits with which only a few replies fit into a connection's ring.
fn little_room() -> ServerLimits {
    ServerLimits { head_bytes: 1536, ..ServerLimits::SMALL }
}

#[test]
fn a_holder_that_takes_nothing_now_is_told_when_it_does() {
    let mut rig = Rig::with(little_room());
    let (a, b) = (rig.client(), rig.client());
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    for name in names {
        assert_eq!(now!(rig, a, b"1", entrylk(TRY, WRITE, Some(name))), OK);
    }
    rig.deaf.insert(a.slot());
    for name in names {
        assert_eq!(now!(rig, b, b"2", entrylk(TRY, WRITE, Some(name))), BUSY);
    }
    let sent = rig.server.usage().jobs;
    assert!(sent > 0 && sent < names.len() as u32, "no more than fits the connection's ring");
    rig.listen(a);
    let told = rig.told(a);
    assert_eq!(told.len(), names.len());
    assert_eq!(rig.server.usage().jobs, 0);
}

#[test]
fn a_notice_is_forgotten_with_its_lock() {
    let mut rig = Rig::with(little_room());
    let (a, b) = (rig.client(), rig.client());
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    for name in names {
        assert_eq!(now!(rig, a, b"1", entrylk(TRY, WRITE, Some(name))), OK);
    }
    rig.deaf.insert(a.slot());
    for name in names {
        assert_eq!(now!(rig, b, b"2", entrylk(TRY, WRITE, Some(name))), BUSY);
    }
    let sent = rig.server.usage().jobs as usize;
    rig.disconnect(a);
    let c = rig.client();
    assert_eq!(c.slot(), a.slot(), "its place is taken");
    assert_eq!(rig.told(c), []);
    assert!(sent > 0 && sent < names.len());
    assert_eq!((rig.locks(), rig.server.usage().jobs), ((0, 0), 0));
}
