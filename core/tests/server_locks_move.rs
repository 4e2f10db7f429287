//! LK locks move from one open file to another when a client changes its graph:
//! `trusted.glusterfs.lockinfo`.

mod scripted_storage;

use brickwire_core::ConnId;
use brickwire_core::fop::wire::{Fgetxattr, Fsetxattr, Lk, Release, Request};
use brickwire_core::server::ServerLimits;
use brickwire_core::xdr::{Dict, Errno, Gfid, Pair, Value};
use scripted_storage::*;

const LOCK_INFO: &[u8] = b"trusted.glusterfs.lockinfo";
const OK: Option<Result<i32, Errno>> = Some(Ok(0));
const BUSY: Option<Result<i32, Errno>> = Some(Err(Errno::EAGAIN));
const WAITS: Option<Result<i32, Errno>> = None;

/// The lockinfo of an open file; `None` if it has no locks.
fn info(rig: &mut Rig, conn: ConnId, fd: i64) -> Option<Vec<u8>> {
    let get = Fgetxattr { gfid: FILE, fd, namelen: 1, name: LOCK_INFO, xdata: Dict::Null };
    let xid = rig.send(conn, b"1", Request::Fgetxattr(get));
    let answer = rig.answer(conn, xid).expect("an answer");
    assert_eq!(answer.result, Ok(0));
    answer.xattrs.get(LOCK_INFO).cloned()
}

fn take(
    rig: &mut Rig,
    conn: ConnId,
    gfid: Gfid,
    fd: i64,
    info: &[u8],
) -> Option<Result<i32, Errno>> {
    let pairs = [Pair { key: LOCK_INFO, value: Value::Ptr(info) }];
    let set = Fsetxattr { gfid, fd, flags: 0, dict: Dict::Pairs(&pairs), xdata: Dict::Null };
    let xid = rig.send(conn, b"1", Request::Fsetxattr(set));
    rig.result(conn, xid)
}

fn try_lock(
    rig: &mut Rig,
    conn: ConnId,
    owner: &[u8],
    request: Request<'_>,
) -> Option<Result<i32, Errno>> {
    let xid = rig.send(conn, owner, request);
    rig.result(conn, xid)
}

#[test]
fn locks_outlive_the_connection_that_took_them_when_another_has_taken_them_over() {
    let mut rig = Rig::new();
    let (old, new, other) = (rig.client(), rig.client(), rig.client());
    let (fo, fn_, fx) = (rig.open(old, FILE), rig.open(new, FILE), rig.open(other, FILE));
    assert_eq!(info(&mut rig, old, fo), None, "there are none");
    assert_eq!(try_lock(&mut rig, old, b"1", lk(fo, TRY, WRITE, 0, 10)), OK);
    assert_eq!(try_lock(&mut rig, old, b"2", lk(fo, TRY, READ, 50, 10)), OK);
    let named = info(&mut rig, old, fo).expect("its locks");
    assert_eq!(take(&mut rig, new, FILE, fn_, &named), OK);
    assert_eq!(info(&mut rig, old, fo), None, "they are its no more");
    let release = Release { gfid: FILE, fd: fo, xdata: Dict::Null };
    assert_eq!(try_lock(&mut rig, old, b"1", Request::Release(release)), OK);
    rig.disconnect(old);
    assert_eq!(rig.locks(), (2, 0));
    assert_eq!(try_lock(&mut rig, other, b"3", lk(fx, TRY, READ, 0, 1)), BUSY);
    let waits = rig.send(other, b"3", lk(fx, WAIT, WRITE, 50, 0));
    assert_eq!(rig.result(other, waits), WAITS);
    // Owners release them by the new file.
    assert_eq!(try_lock(&mut rig, new, b"1", lk(fn_, TRY, UNLOCK, 0, 0)), OK);
    assert_eq!(try_lock(&mut rig, new, b"2", lk(fn_, TRY, UNLOCK, 0, 0)), OK);
    assert_eq!(rig.result(other, waits), OK);
    rig.disconnect(new);
    rig.disconnect(other);
    assert_eq!(rig.locks(), (0, 0));
}

#[test]
fn what_an_owner_has_by_both_connections_is_one_set_of_ranges_afterwards() {
    let mut rig = Rig::new();
    let (old, new, other) = (rig.client(), rig.client(), rig.client());
    let (fo, fn_, fx) = (rig.open(old, FILE), rig.open(new, FILE), rig.open(other, FILE));
    assert_eq!(try_lock(&mut rig, old, b"1", lk(fo, TRY, READ, 10, 10)), OK);
    assert_eq!(try_lock(&mut rig, new, b"1", lk(fn_, TRY, READ, 0, 100)), OK);
    let named = info(&mut rig, old, fo).expect("its locks");
    assert_eq!(take(&mut rig, new, FILE, fn_, &named), OK);
    assert_eq!(rig.locks(), (3, 0));
    assert_eq!(try_lock(&mut rig, new, b"1", lk(fn_, TRY, UNLOCK, 0, 0)), OK);
    assert_eq!(rig.locks(), (0, 0));
    assert_eq!(try_lock(&mut rig, other, b"3", lk(fx, TRY, WRITE, 0, 0)), OK);
}

#[test]
fn what_names_no_locks_of_this_file_moves_none() {
    let mut rig = Rig::new();
    let (old, new) = (rig.client(), rig.client());
    let (fo, fn_, away) = (rig.open(old, FILE), rig.open(new, FILE), rig.open(new, OTHER));
    assert_eq!(try_lock(&mut rig, old, b"1", lk(fo, TRY, WRITE, 0, 10)), OK);
    let named = info(&mut rig, old, fo).expect("its locks");
    assert_eq!(take(&mut rig, new, FILE, fn_, b"junk"), Some(Err(Errno::EPERM)));
    assert_eq!(take(&mut rig, new, FILE, fn_, &[0; 4]), OK, "of no brick");
    assert_eq!(
        take(&mut rig, new, FILE, fn_, b"\0\0\0\x01\0\0\0\x01\0\0\0\x02k\x001\0"),
        OK,
        "of another"
    );
    assert_eq!(take(&mut rig, new, OTHER, away, &named), OK, "of another file");
    assert_eq!(take(&mut rig, old, FILE, fo, &named), OK, "onto itself");
    assert_eq!(info(&mut rig, old, fo), Some(named));
    rig.disconnect(new);
    assert_eq!(rig.locks(), (1, 0));
    rig.disconnect(old);
    assert_eq!(rig.locks(), (0, 0));
}

#[test]
fn who_has_as_many_locks_as_it_may_takes_none_over() {
    let limits = ServerLimits { locks_per_connection: 2, ..ServerLimits::SMALL };
    let mut rig = Rig::with(limits);
    let (old, new) = (rig.client(), rig.client());
    let (fo, fn_) = (rig.open(old, FILE), rig.open(new, FILE));
    for at in [0, 20] {
        assert_eq!(try_lock(&mut rig, old, b"1", lk(fo, TRY, WRITE, at, 10)), OK);
    }
    assert_eq!(try_lock(&mut rig, new, b"2", lk(fn_, TRY, WRITE, 90, 10)), OK);
    let named = info(&mut rig, old, fo).expect("its locks");
    assert_eq!(take(&mut rig, new, FILE, fn_, &named), Some(Err(Errno::ENOLCK)));
    rig.disconnect(new);
    assert_eq!(rig.locks(), (2, 0), "all are where they were");
}

#[test]
fn where_there_is_no_room_for_what_would_be_cut_in_two_nothing_moves() {
    let limits = ServerLimits { locks_per_connection: 4, ..ServerLimits::SMALL };
    let mut rig = Rig::with(limits);
    let (old, new) = (rig.client(), rig.client());
    let (fo, fn_) = (rig.open(old, FILE), rig.open(new, FILE));
    assert_eq!(try_lock(&mut rig, new, b"1", lk(fn_, TRY, READ, 0, 100)), OK);
    for at in [10, 30] {
        assert_eq!(try_lock(&mut rig, old, b"1", lk(fo, TRY, READ, at, 10)), OK);
    }
    let named = info(&mut rig, old, fo).expect("its locks");
    // Five in the end: before, between and behind the two.
    assert_eq!(take(&mut rig, new, FILE, fn_, &named), Some(Err(Errno::ENOLCK)));
    assert_eq!(info(&mut rig, old, fo), Some(named));
    rig.disconnect(new);
    assert_eq!(rig.locks(), (2, 0), "both are where they were");
}

#[test]
fn owners_with_long_names_take_no_more_of_them_along_than_one_client_may_have() {
    let limits = ServerLimits { locks_per_connection: 4, ..ServerLimits::SMALL };
    let mut rig = Rig::with(limits);
    let (old, new) = (rig.client(), rig.client());
    let (fo, fn_, away) = (rig.open(old, FILE), rig.open(new, FILE), rig.open(new, OTHER));
    // Chunks of names: four locks may use sixteen, and these would need eighteen.
    for at in [0, 20] {
        assert_eq!(try_lock(&mut rig, old, &[1; 160], lk(fo, TRY, WRITE, at, 10)), OK);
    }
    let Request::Lk(lock) = lk(away, TRY, WRITE, 90, 10) else { panic!("a lock") };
    assert_eq!(try_lock(&mut rig, new, &[2; 256], Request::Lk(Lk { gfid: OTHER, ..lock })), OK);
    let named = info(&mut rig, old, fo).expect("its locks");
    assert_eq!(take(&mut rig, new, FILE, fn_, &named), Some(Err(Errno::ENOLCK)));
    rig.disconnect(new);
    assert_eq!(rig.locks(), (2, 0), "both are where they were");
}
