//! LK: `fcntl`'s ranges, FLUSH and RELEASE.

mod scripted_storage;

use brickwire_core::fop::wire::{Fgetxattr, Flush, Getxattr, Release, Request};
use brickwire_core::xdr::{Dict, Errno};
use scripted_storage::*;

const OK: Option<Result<i32, Errno>> = Some(Ok(0));
const BUSY: Option<Result<i32, Errno>> = Some(Err(Errno::EAGAIN));
const INVALID: Option<Result<i32, Errno>> = Some(Err(Errno::EINVAL));
const WAITS: Option<Result<i32, Errno>> = None;
const KNOW: u32 = 0;

macro_rules! now {
    ($rig:ident, $conn:expr, $owner:expr, $request:expr) => {{
        let xid = $rig.send($conn, $owner, $request);
        $rig.result($conn, xid)
    }};
}

/// The lock that GETLK reports for a write lock on the whole file: (type, start, length).
fn seen(
    rig: &mut Rig,
    conn: brickwire_core::ConnId,
    fd: i64,
    start: u64,
    len: u64,
) -> (u32, u64, u64) {
    let xid = rig.send(conn, b"looks", lk(fd, KNOW, WRITE, start, len));
    let (kind, start, len, _) =
        rig.answer(conn, xid).and_then(|answer| answer.lock).expect("a lock");
    (kind, start, len)
}

#[test]
fn an_unlock_cuts_a_range_in_two_and_a_lock_joins_them() {
    let mut rig = Rig::new();
    let (a, b) = (rig.client(), rig.client());
    let (fa, fb) = (rig.open(a, FILE), rig.open(b, FILE));
    assert_eq!(now!(rig, a, b"1", lk(fa, TRY, WRITE, 0, 10)), OK);
    assert_eq!(now!(rig, a, b"1", lk(fa, TRY, UNLOCK, 3, 2)), OK);
    assert_eq!(rig.locks(), (2, 0));
    assert_eq!(now!(rig, b, b"2", lk(fb, TRY, WRITE, 3, 2)), OK);
    assert_eq!(now!(rig, b, b"2", lk(fb, TRY, WRITE, 2, 1)), BUSY);
    assert_eq!(now!(rig, b, b"2", lk(fb, TRY, WRITE, 5, 1)), BUSY);
    assert_eq!(now!(rig, b, b"2", lk(fb, TRY, UNLOCK, 0, 0)), OK);
    assert_eq!(now!(rig, a, b"1", lk(fa, TRY, WRITE, 3, 2)), OK);
    assert_eq!(rig.locks(), (1, 0));
    assert_eq!(seen(&mut rig, b, fb, 5, 0), (WRITE, 0, 10));
    assert_eq!(now!(rig, a, b"1", lk(fa, TRY, READ, 4, 2)), OK);
    assert_eq!(rig.locks(), (3, 0));
    assert_eq!(seen(&mut rig, b, fb, 4, 1), (READ, 4, 2));
    assert_eq!(seen(&mut rig, b, fb, 10, 0), (UNLOCK, 10, 0));
    assert_eq!(now!(rig, a, b"1", lk(fa, TRY, UNLOCK, 100, 0)), OK, "nothing was there");
    assert_eq!(now!(rig, a, b"1", lk(fa, TRY, UNLOCK, 0, 0)), OK);
    assert_eq!(rig.locks(), (0, 0));
}

#[test]
fn getlk_names_the_owner_that_is_in_the_way_and_sees_no_lock_of_its_own() {
    let mut rig = Rig::new();
    let (a, b) = (rig.client(), rig.client());
    let (fa, fb) = (rig.open(a, FILE), rig.open(b, FILE));
    let owner = [9; 40];
    assert_eq!(now!(rig, a, &owner, lk(fa, TRY, READ, 5, 5)), OK);
    let xid = rig.send(b, b"2", lk(fb, KNOW, WRITE, 0, 0));
    assert_eq!(
        rig.answer(b, xid).and_then(|answer| answer.lock),
        Some((READ, 5, 5, owner.to_vec()))
    );
    let xid = rig.send(b, b"2", lk(fb, KNOW, READ, 0, 0));
    assert_eq!(
        rig.answer(b, xid).and_then(|answer| answer.lock),
        Some((UNLOCK, 0, 0, b"2".to_vec()))
    );
    let xid = rig.send(a, &owner, lk(fa, KNOW, WRITE, 0, 0));
    assert_eq!(
        rig.answer(a, xid).and_then(|answer| answer.lock),
        Some((UNLOCK, 0, 0, owner.to_vec()))
    );
}

#[test]
fn getlk_reports_the_lowest_conflicting_lock_in_whatever_order_they_were_taken() {
    for order in [[10, 18, 30], [30, 18, 10], [18, 30, 10], [18, 10, 30]] {
        let mut rig = Rig::new();
        let (a, b) = (rig.client(), rig.client());
        let (fa, fb) = (rig.open(a, FILE), rig.open(b, FILE));
        for start in order {
            assert_eq!(now!(rig, a, b"1", lk(fa, TRY, WRITE, start, 2)), OK);
        }
        assert_eq!(seen(&mut rig, b, fb, 0, 0), (WRITE, 10, 2), "{order:?}");
        assert_eq!(seen(&mut rig, b, fb, 12, 0), (WRITE, 18, 2), "{order:?}");
        assert_eq!(seen(&mut rig, b, fb, 31, 5), (WRITE, 30, 2), "{order:?}");
    }
    // A read lock does not conflict with another, however low it is.
    let mut rig = Rig::new();
    let (a, b) = (rig.client(), rig.client());
    let (fa, fb) = (rig.open(a, FILE), rig.open(b, FILE));
    assert_eq!(now!(rig, a, b"1", lk(fa, TRY, WRITE, 40, 2)), OK);
    assert_eq!(now!(rig, a, b"1", lk(fa, TRY, READ, 3, 2)), OK);
    let xid = rig.send(b, b"2", lk(fb, KNOW, READ, 0, 0));
    let lock = rig.answer(b, xid).and_then(|answer| answer.lock);
    assert_eq!(lock, Some((WRITE, 40, 2, b"1".to_vec())));
}

#[test]
fn the_ends_of_ranges_are_those_of_fcntl() {
    let mut rig = Rig::new();
    let (a, b) = (rig.client(), rig.client());
    let (fa, fb) = (rig.open(a, FILE), rig.open(b, FILE));
    // Five bytes before byte 10.
    assert_eq!(now!(rig, a, b"1", lk(fa, TRY, WRITE, 10, -5_i64 as u64)), OK);
    assert_eq!(seen(&mut rig, b, fb, 0, 0), (WRITE, 5, 5));
    for (start, len) in [(u64::MAX, 0), (0, u64::MAX), ((1 << 63) - 1, 10), (1 << 63, 1)] {
        assert_eq!(now!(rig, a, b"1", lk(fa, TRY, WRITE, start, len)), INVALID, "{start} {len}");
    }
    assert_eq!(now!(rig, a, b"", lk(fa, TRY, WRITE, 0, 0)), INVALID, "no owner");
    assert_eq!(
        now!(rig, a, b"1", lk(fa, TRY, 5, 0, 0)),
        INVALID,
        "no type: a real brick dies of it"
    );
    for cmd in 3..9 {
        assert_eq!(now!(rig, a, b"1", lk(fa, cmd, WRITE, 0, 0)), INVALID);
    }
    assert_eq!(now!(rig, a, b"1", lk(77, TRY, WRITE, 0, 0)), Some(Err(Errno::EBADF)));
    assert_eq!(now!(rig, a, b"1", lk(-2, TRY, WRITE, 20, 1)), OK, "the anonymous one");
}

#[test]
fn who_waits_gets_the_lock_with_its_range_and_owner_and_readers_may_go_first() {
    let mut rig = Rig::new();
    let (a, b, c) = (rig.client(), rig.client(), rig.client());
    let (fa, fb, fc) = (rig.open(a, FILE), rig.open(b, FILE), rig.open(c, FILE));
    assert_eq!(now!(rig, a, b"1", lk(fa, TRY, READ, 0, 0)), OK);
    let writer = rig.send(b, b"2", lk(fb, WAIT, WRITE, 10, 20));
    assert_eq!(rig.answer(b, writer), None);
    assert_eq!(now!(rig, c, b"3", lk(fc, TRY, READ, 0, 0)), OK);
    assert_eq!(now!(rig, a, b"1", lk(fa, TRY, UNLOCK, 0, 0)), OK);
    assert_eq!(rig.answer(b, writer), None);
    assert_eq!(now!(rig, c, b"3", lk(fc, TRY, UNLOCK, 10, 20)), OK);
    assert_eq!(
        rig.answer(b, writer).and_then(|answer| answer.lock),
        Some((WRITE, 10, 20, b"2".to_vec()))
    );
}

#[test]
fn two_readers_that_both_want_to_write_do_not_wait_for_each_other() {
    let mut rig = Rig::new();
    let (a, b) = (rig.client(), rig.client());
    let (fa, fb) = (rig.open(a, FILE), rig.open(b, FILE));
    assert_eq!(now!(rig, a, b"1", lk(fa, TRY, READ, 0, 10)), OK);
    assert_eq!(now!(rig, b, b"2", lk(fb, TRY, READ, 0, 10)), OK);
    let of_a = rig.send(a, b"1", lk(fa, WAIT, WRITE, 0, 10));
    assert_eq!(rig.result(a, of_a), WAITS);
    let of_b = rig.send(b, b"2", lk(fb, WAIT, WRITE, 0, 10));
    assert_eq!(
        (rig.result(a, of_a), rig.result(b, of_b)),
        (WAITS, OK),
        "a gave its own up when it began to wait"
    );
    assert_eq!(now!(rig, b, b"2", lk(fb, TRY, UNLOCK, 0, 0)), OK);
    assert_eq!(rig.result(a, of_a), OK);
}

#[test]
fn flush_ends_the_locks_of_the_owner_that_closes() {
    let mut rig = Rig::new();
    let (a, b) = (rig.client(), rig.client());
    let (fa, fb) = (rig.open(a, FILE), rig.open(b, FILE));
    assert_eq!(now!(rig, a, b"1", lk(fa, TRY, WRITE, 0, 10)), OK);
    assert_eq!(now!(rig, a, b"1", lk(fa, TRY, READ, 20, 10)), OK);
    assert_eq!(now!(rig, a, b"1", inodelk(TRY, WRITE, 0, 0)), OK);
    let waiting = rig.send(b, b"2", lk(fb, WAIT, WRITE, 0, 0));
    let flush = |fd| Request::Flush(Flush { gfid: FILE, fd, xdata: Dict::Null });
    assert_eq!(now!(rig, a, b"another", flush(fa)), OK);
    assert_eq!(now!(rig, b, b"1", flush(fb)), OK, "the same owner of another connection");
    assert_eq!(rig.result(b, waiting), WAITS);
    assert_eq!(now!(rig, b, b"2", flush(fb)), OK, "who waits goes on waiting");
    assert_eq!(rig.result(b, waiting), WAITS);
    assert_eq!(now!(rig, a, b"1", flush(fa)), OK);
    assert_eq!(rig.result(b, waiting), OK);
    assert_eq!(rig.locks(), (2, 0), "the inodelk is still there");
}

#[test]
fn release_ends_the_locks_that_were_taken_through_the_file_and_waiting_for_one() {
    let mut rig = Rig::new();
    let (a, b) = (rig.client(), rig.client());
    let (one, two, fb) = (rig.open(a, FILE), rig.open(a, FILE), rig.open(b, FILE));
    assert_eq!(now!(rig, a, b"1", lk(one, TRY, WRITE, 0, 10)), OK);
    assert_eq!(now!(rig, a, b"1", lk(two, TRY, WRITE, 10, 10)), OK);
    assert_eq!(now!(rig, a, b"1", inodelk(TRY, WRITE, 0, 0)), OK);
    assert_eq!(now!(rig, b, b"2", lk(fb, TRY, WRITE, 50, 1)), OK);
    let own = rig.send(a, b"3", lk(one, WAIT, WRITE, 50, 1));
    let first = rig.send(b, b"2", lk(fb, WAIT, WRITE, 0, 10));
    let second = rig.send(b, b"2", lk(fb, WAIT, WRITE, 10, 10));
    let release = |fd| Request::Release(Release { gfid: FILE, fd, xdata: Dict::Null });
    assert_eq!(now!(rig, a, b"", release(one)), OK);
    assert_eq!(rig.result(a, own), Some(Err(Errno::EBADF)));
    assert_eq!((rig.result(b, first), rig.result(b, second)), (OK, WAITS));
    assert_eq!(now!(rig, a, b"", release(two)), OK);
    assert_eq!(rig.result(b, second), OK);
    assert_eq!(rig.locks(), (3, 0));
    rig.disconnect(a);
    rig.disconnect(b);
    assert_eq!((rig.locks(), rig.server.usage().jobs, rig.server.usage().files), ((0, 0), 0, 0));
    assert_eq!(rig.disk.closed.len(), 3);
}

#[test]
fn a_range_that_cannot_be_cut_for_want_of_room_stays_whole() {
    let limits = brickwire_core::server::ServerLimits {
        locks_per_connection: 2,
        ..brickwire_core::server::ServerLimits::SMALL
    };
    let mut rig = Rig::with(limits);
    let (a, b) = (rig.client(), rig.client());
    let (fa, fb) = (rig.open(a, FILE), rig.open(b, FILE));
    assert_eq!(now!(rig, a, b"1", lk(fa, TRY, WRITE, 0, 10)), OK);
    assert_eq!(now!(rig, a, b"1", lk(fa, TRY, WRITE, 20, 10)), OK);
    assert_eq!(now!(rig, a, b"1", lk(fa, TRY, WRITE, 40, 10)), Some(Err(Errno::ENOLCK)));
    assert_eq!(now!(rig, a, b"1", lk(fa, TRY, UNLOCK, 3, 2)), Some(Err(Errno::ENOLCK)));
    assert_eq!(seen(&mut rig, b, fb, 3, 2), (WRITE, 0, 10));
    assert_eq!(now!(rig, a, b"1", lk(fa, TRY, UNLOCK, 5, 5)), OK);
    assert_eq!(seen(&mut rig, b, fb, 0, 10), (WRITE, 0, 5));
}

/// The value of an xattr that ends locks.
fn end(
    rig: &mut Rig,
    conn: brickwire_core::ConnId,
    fd: Option<i64>,
    name: &str,
) -> Option<Result<i32, Errno>> {
    let (name, namelen, xdata) = (name.as_bytes(), 1, Dict::Null);
    let request = match fd {
        Some(fd) => Request::Fgetxattr(Fgetxattr { gfid: FILE, fd, namelen, name, xdata }),
        None => Request::Getxattr(Getxattr { gfid: FILE, namelen, name, xdata }),
    };
    now!(rig, conn, b"ends", request)
}

#[test]
fn who_is_interrupted_while_it_waits_does_not_get_the_lock_later() {
    let mut rig = Rig::new();
    let (a, b) = (rig.client(), rig.client());
    let (fa, fb, other) = (rig.open(a, FILE), rig.open(b, FILE), rig.open(b, FILE));
    assert_eq!(now!(rig, a, b"1", lk(fa, TRY, WRITE, 0, 0)), OK);
    let first = rig.send(b, b"2", lk(fb, WAIT, WRITE, 0, 5));
    let apart = rig.send(b, b"2", lk(fb, WAIT, WRITE, 10, 5));
    let elsewhere = rig.send(b, b"2", lk(other, WAIT, WRITE, 0, 5));
    let name = "glusterfs.intrlk.tposix.kblocked.0,0-5";
    const REFUSED: Option<Result<i32, Errno>> = Some(Err(Errno::EOPNOTSUPP));
    assert_eq!(end(&mut rig, b, None, name), REFUSED, "by whom?");
    assert_eq!(end(&mut rig, a, Some(fa), name), OK, "it waits for nothing");
    assert_eq!(rig.result(b, first), WAITS);
    assert_eq!(end(&mut rig, b, Some(fb), name), OK);
    assert_eq!(rig.result(b, first), Some(Err(Errno::EINTR)));
    for name in ["glusterfs.intrlk.tinode.kblocked.0,0-5", "glusterfs.intrlk.tposix.kall.0,0-5"] {
        assert_eq!(end(&mut rig, b, Some(fb), name), REFUSED);
    }
    for range in ["", "0", "1,0-5", "0,x-5", "0,0-", "0,0", "0,9223372036854775807-2", "0,-1-1"] {
        let name = format!("glusterfs.intrlk.tposix.kblocked.{range}");
        assert_eq!(end(&mut rig, b, Some(fb), &name), INVALID, "{range}");
    }
    assert_eq!((rig.result(b, apart), rig.result(b, elsewhere)), (WAITS, WAITS));
    assert_eq!(now!(rig, a, b"1", lk(fa, TRY, UNLOCK, 0, 0)), OK);
    assert_eq!((rig.result(b, apart), rig.result(b, elsewhere)), (OK, OK));
    assert_eq!((rig.locks(), rig.server.usage().jobs), ((2, 0), 0));
}

#[test]
fn an_administrator_clears_locks_by_kind() {
    let mut rig = Rig::new();
    let (a, b) = (rig.client(), rig.client());
    let (fa, fb) = (rig.open(a, FILE), rig.open(b, FILE));
    assert_eq!(now!(rig, a, b"1", lk(fa, TRY, WRITE, 0, 10)), OK);
    assert_eq!(now!(rig, a, b"1", lk(fa, TRY, WRITE, 20, 10)), OK);
    assert_eq!(now!(rig, a, b"1", inodelk(TRY, WRITE, 0, 0)), OK);
    let of_inode = rig.send(b, b"2", inodelk(WAIT, WRITE, 0, 0));
    let of_file = rig.send(b, b"2", lk(fb, WAIT, WRITE, 0, 0));
    assert_eq!(end(&mut rig, b, None, "glusterfs.clrlk.tinode.kblocked"), OK);
    assert_eq!((rig.result(b, of_inode), rig.result(b, of_file)), (BUSY, WAITS));
    assert_eq!(rig.locks(), (3, 1));
    assert_eq!(end(&mut rig, b, None, "glusterfs.clrlk.tposix.kgranted.0,20-1"), OK);
    assert_eq!(rig.locks(), (2, 1));
    assert_eq!(end(&mut rig, b, None, "glusterfs.clrlk.tposix.kall"), OK);
    assert_eq!(rig.result(b, of_file), Some(Err(Errno::EINTR)));
    assert_eq!(end(&mut rig, b, None, "glusterfs.clrlk.tentry.kall.name"), OK, "there is none");
    assert_eq!(rig.locks(), (1, 0));
    for name in
        ["glusterfs.clrlk.tall.kall", "glusterfs.clrlk.tinode", "glusterfs.clrlk.tinode.kall.x"]
    {
        assert_eq!(end(&mut rig, b, None, name), INVALID);
    }
    assert_eq!(end(&mut rig, b, None, "glusterfs.clrlk.tinode.kall"), OK);
    assert_eq!(rig.locks(), (0, 0));
}

/// Two owners whose texts have the same sum in the lock tables (FNV-1a).
const ALIKE: [[u8; 8]; 2] =
    [[192, 148, 97, 206, 133, 20, 27, 5], [184, 156, 44, 48, 66, 134, 134, 104]];

#[test]
fn an_unlock_over_several_locks_leaves_those_of_another_owner() {
    let mut rig = Rig::new();
    let conn = rig.client();
    let fd = rig.open(conn, FILE);
    let [mine, other] = ALIKE;
    for (owner, start) in [(other, 0), (mine, 10), (mine, 30)] {
        let xid = rig.send(conn, &owner, lk(fd, TRY, WRITE, start, 5));
        assert_eq!(rig.result(conn, xid), Some(Ok(0)));
    }
    let xid = rig.send(conn, &mine, lk(fd, TRY, UNLOCK, 0, 0));
    assert_eq!(rig.result(conn, xid), Some(Ok(0)));
    assert_eq!(rig.locks(), (1, 0), "the other's is there still");
}
