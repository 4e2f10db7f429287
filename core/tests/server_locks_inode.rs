//! INODELK and FINODELK, step by step, as a real brick was seen to answer.

mod scripted_storage;

use brickwire_core::fop::FopNumber;
use brickwire_core::fop::wire::{Finodelk, Fsync, Inodelk, Lookup, Request, Write};
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
fn locks_of_one_owner_stack_and_overlap_and_need_an_unlock_each() {
    let mut rig = Rig::new();
    let a = rig.client();
    assert_eq!(now!(rig, a, b"o1", inodelk(TRY, WRITE, 0, 10)), OK);
    assert_eq!(now!(rig, a, b"o1", inodelk(TRY, WRITE, 5, 20)), OK);
    assert_eq!(now!(rig, a, b"o1", inodelk(TRY, READ, 0, 10)), OK);
    assert_eq!(
        now!(rig, a, b"o2", inodelk(TRY, WRITE, 3, 1)),
        BUSY,
        "another owner of the same connection"
    );
    assert_eq!(
        now!(rig, a, b"o1", inodelk(TRY, UNLOCK, 0, 5)),
        INVALID,
        "a part is not what was locked"
    );
    assert_eq!(now!(rig, a, b"o1", inodelk(TRY, UNLOCK, 5, 20)), OK);
    assert_eq!(now!(rig, a, b"o1", inodelk(TRY, UNLOCK, 0, 10)), OK);
    assert_eq!(now!(rig, a, b"o1", inodelk(TRY, UNLOCK, 0, 10)), OK);
    assert_eq!(now!(rig, a, b"o1", inodelk(TRY, UNLOCK, 0, 10)), INVALID);
    assert_eq!(rig.locks(), (0, 0));
}

#[test]
fn readers_share_and_an_owner_upgrades_only_when_it_is_alone() {
    let mut rig = Rig::new();
    let (a, b) = (rig.client(), rig.client());
    assert_eq!(now!(rig, a, b"o", inodelk(TRY, READ, 0, 0)), OK);
    assert_eq!(now!(rig, b, b"o", inodelk(TRY, READ, 0, 0)), OK);
    assert_eq!(now!(rig, a, b"o", inodelk(TRY, WRITE, 0, 0)), BUSY);
    assert_eq!(now!(rig, b, b"o", inodelk(TRY, UNLOCK, 0, 0)), OK);
    assert_eq!(now!(rig, a, b"o", inodelk(TRY, WRITE, 0, 0)), OK);
    assert_eq!(now!(rig, b, b"o", inodelk(TRY, READ, 0, 0)), BUSY);
}

#[test]
fn connections_conflict_even_if_they_say_that_they_are_the_same_process() {
    let mut rig = Rig::new();
    let (a, b) = (rig.client_of("/brick0", "same"), rig.client_of("/brick0", "same"));
    assert_eq!(now!(rig, a, b"o", inodelk(TRY, WRITE, 0, 0)), OK);
    assert_eq!(now!(rig, b, b"o", inodelk(TRY, WRITE, 0, 0)), BUSY);
    assert_eq!(now!(rig, b, b"o", inodelk(TRY, UNLOCK, 0, 0)), INVALID);
}

#[test]
fn other_inodes_domains_and_bricks_are_other_locks() {
    let mut rig = Rig::new();
    let (a, b) = (rig.client(), rig.client());
    let c = rig.client_of("/brick1", "p");
    assert_eq!(now!(rig, a, b"o", inodelk(TRY, WRITE, 0, 0)), OK);
    assert_eq!(now!(rig, b, b"o", inodelk_on(OTHER, TRY, WRITE, 0, 0)), OK);
    assert_eq!(now!(rig, c, b"o", inodelk(TRY, WRITE, 0, 0)), OK);
    let flock = flock(WRITE, 0, 0);
    let heal =
        Inodelk { gfid: FILE, cmd: TRY, kind: WRITE, flock, volume: b"heal", xdata: Dict::Null };
    assert_eq!(now!(rig, b, b"o", Request::Inodelk(heal)), OK);
    assert_eq!(rig.locks(), (4, 0));
}

#[test]
fn ranges_end_where_they_say_and_senseless_ones_are_refused() {
    let mut rig = Rig::new();
    let (a, b) = (rig.client(), rig.client());
    assert_eq!(now!(rig, a, b"o", inodelk(TRY, WRITE, 0, 10)), OK);
    assert_eq!(now!(rig, b, b"o", inodelk(TRY, WRITE, 9, 1)), BUSY);
    assert_eq!(now!(rig, b, b"o", inodelk(TRY, WRITE, 10, 1)), OK);
    // The range that replicate locks for metadata.
    assert_eq!(now!(rig, b, b"m", inodelk(TRY, WRITE, (1 << 63) - 2, 0)), OK);
    assert_eq!(now!(rig, a, b"o", inodelk(TRY, WRITE, (1 << 63) - 1, 1)), BUSY);
    for (start, len) in [(u64::MAX, 0), (0, u64::MAX), ((1 << 63) - 1, 10), (1 << 63, 1)] {
        assert_eq!(now!(rig, a, b"o", inodelk(TRY, WRITE, start, len)), INVALID, "{start} {len}");
    }
    assert_eq!(now!(rig, a, b"", inodelk(TRY, WRITE, 50, 1)), INVALID, "no owner");
    assert_eq!(now!(rig, a, b"o", inodelk(TRY, 5, 50, 1)), INVALID, "no type");
    for cmd in [0, 3, 7] {
        assert_eq!(now!(rig, a, b"o", inodelk(cmd, WRITE, 50, 1)), Some(Err(Errno::EOPNOTSUPP)));
    }
    assert_eq!(now!(rig, a, b"o", inodelk_on(Gfid::NONE, TRY, WRITE, 0, 0)), INVALID);
}

#[test]
fn waiting_is_fair_and_answered_when_the_lock_is_had() {
    let mut rig = Rig::new();
    let (a, b, c) = (rig.client(), rig.client(), rig.client());
    assert_eq!(now!(rig, a, b"1", inodelk(TRY, READ, 0, 0)), OK);
    let writer = rig.send(b, b"2", inodelk(WAIT, WRITE, 0, 0));
    assert_eq!(rig.result(b, writer), WAITS);
    assert_eq!(now!(rig, c, b"3", inodelk(TRY, READ, 0, 0)), BUSY, "a writer waits already");
    let reader = rig.send(c, b"3", inodelk(WAIT, READ, 0, 0));
    assert_eq!(rig.result(c, reader), WAITS);
    assert_eq!(rig.locks(), (1, 2));
    assert_eq!(now!(rig, a, b"1", inodelk(TRY, UNLOCK, 0, 0)), OK);
    assert_eq!(rig.result(b, writer), OK);
    assert_eq!(rig.result(c, reader), WAITS);
    assert_eq!(now!(rig, b, b"2", inodelk(TRY, UNLOCK, 0, 0)), OK);
    assert_eq!(rig.result(c, reader), OK);
    assert_eq!(rig.locks(), (1, 0));
}

#[test]
fn an_owner_that_has_a_lock_is_not_made_to_wait_for_those_who_wait_for_it() {
    let mut rig = Rig::new();
    let (a, b, c) = (rig.client(), rig.client(), rig.client());
    assert_eq!(now!(rig, a, b"1", inodelk(TRY, WRITE, 0, 10)), OK);
    let all = rig.send(b, b"2", inodelk(WAIT, WRITE, 0, 0));
    assert_eq!(now!(rig, c, b"3", inodelk(TRY, WRITE, 20, 1)), BUSY, "behind who waits for all");
    assert_eq!(now!(rig, a, b"1", inodelk(TRY, WRITE, 20, 1)), OK, "nested");
    assert_eq!(now!(rig, a, b"1", inodelk(TRY, UNLOCK, 0, 10)), OK);
    assert_eq!(rig.result(b, all), WAITS);
    assert_eq!(now!(rig, a, b"1", inodelk(TRY, UNLOCK, 20, 1)), OK);
    assert_eq!(rig.result(b, all), OK);
}

#[test]
fn a_connection_that_waits_for_many_locks_is_still_read() {
    let mut rig = Rig::new();
    let (a, b) = (rig.client(), rig.client());
    let limits = rig.limits;
    assert!(u32::from(limits.jobs_per_connection) > limits.waits_per_connection);
    assert_eq!(now!(rig, a, b"holder", inodelk(TRY, WRITE, 0, 0)), OK);
    // As many waits as are allowed: more than one connection may have outstanding calls.
    let waiting: Vec<u32> = (0..limits.waits_per_connection)
        .map(|_| rig.send(b, b"waiter", inodelk(WAIT, WRITE, 0, 0)))
        .collect();
    assert!(rig.ping(b));
    let one_more = rig.send(b, b"waiter", inodelk(WAIT, WRITE, 0, 0));
    assert_eq!(rig.result(b, one_more), Some(Err(Errno::ENOLCK)));
    assert_eq!(now!(rig, a, b"holder", inodelk(TRY, UNLOCK, 0, 0)), OK);
    for xid in waiting {
        assert_eq!(rig.result(b, xid), OK);
    }
    assert_eq!(rig.server.usage().jobs, 0);
}

#[test]
fn more_calls_than_the_window_may_wait_and_the_unlock_that_frees_them_is_read() {
    let limits = brickwire_core::server::ServerLimits {
        jobs_per_connection: 2,
        waits_per_connection: 20,
        ..brickwire_core::server::ServerLimits::SMALL
    };
    let mut rig = Rig::with(limits);
    let a = rig.client();
    assert_eq!(now!(rig, a, b"holder", inodelk(TRY, WRITE, 0, 0)), OK);
    let waiting: Vec<u32> =
        (0..20).map(|_| rig.send(a, b"waiter", inodelk(WAIT, WRITE, 0, 0))).collect();
    assert!(rig.ping(a));
    assert_eq!(now!(rig, a, b"holder", inodelk(TRY, UNLOCK, 0, 0)), OK);
    for xid in waiting {
        assert_eq!(rig.result(a, xid), OK);
    }
    assert!(rig.ping(a));
}

#[test]
fn a_lock_on_an_inode_that_does_not_exist_is_refused() {
    let mut rig = Rig::new();
    let a = rig.client();
    assert_eq!(now!(rig, a, b"o", inodelk_on(NOWHERE, TRY, WRITE, 0, 0)), Some(Err(Errno::ESTALE)));
    assert_eq!(rig.locks(), (0, 0));
    rig.disk.slow = true;
    let xid = rig.send(a, b"o", inodelk_on(NOWHERE, WAIT, WRITE, 0, 0));
    assert_eq!(rig.result(a, xid), WAITS);
    rig.answers(0);
    assert_eq!(rig.result(a, xid), Some(Err(Errno::ESTALE)));
    assert_eq!((rig.locks(), rig.disk.buffers_in_use()), ((0, 0), 0));
}

#[test]
fn locks_keep_their_order_while_it_is_asked_whether_their_inode_exists() {
    let mut rig = Rig::new();
    let (a, b, c) = (rig.client(), rig.client(), rig.client());
    rig.disk.slow = true;
    let first = rig.send(a, b"1", inodelk(WAIT, WRITE, 0, 0));
    let second = rig.send(b, b"2", inodelk(WAIT, WRITE, 0, 0));
    let third = rig.send(c, b"3", inodelk(TRY, WRITE, 0, 0));
    rig.answers(2);
    assert_eq!(rig.result(c, third), WAITS, "it depends on what becomes of the others");
    rig.answers(1);
    assert_eq!((rig.result(b, second), rig.result(c, third)), (WAITS, BUSY));
    rig.answers(0);
    assert_eq!((rig.result(a, first), rig.result(b, second)), (OK, WAITS));
    assert_eq!(now!(rig, a, b"1", inodelk(TRY, UNLOCK, 0, 0)), OK);
    assert_eq!(rig.result(b, second), OK);
}

#[test]
fn the_storage_is_not_asked_about_an_inode_that_is_open_or_locked() {
    let mut rig = Rig::new();
    let (a, b) = (rig.client(), rig.client());
    let fd = rig.open(a, FILE);
    rig.disk.submitted.clear();
    assert_eq!(now!(rig, b, b"o", inodelk(TRY, READ, 0, 0)), OK);
    let flock = flock(READ, 0, 0);
    let by_fd =
        Finodelk { gfid: FILE, fd, cmd: TRY, kind: READ, flock, volume: DOMAIN, xdata: Dict::Null };
    assert_eq!(now!(rig, a, b"o", Request::Finodelk(by_fd)), OK);
    assert_eq!(now!(rig, b, b"o", inodelk_on(OTHER, TRY, READ, 0, 0)), OK);
    assert_eq!(now!(rig, a, b"o", inodelk_on(OTHER, TRY, READ, 0, 0)), OK);
    assert_eq!(rig.disk.submitted, [FopNumber::Stat], "for the first lock on what nobody has open");
    let unknown = Finodelk { fd: 99, ..by_fd };
    assert_eq!(now!(rig, a, b"o", Request::Finodelk(unknown)), Some(Err(Errno::EBADF)));
    let anonymous = Finodelk { fd: -2, ..by_fd };
    assert_eq!(now!(rig, a, b"o", Request::Finodelk(anonymous)), OK);
    assert_eq!(
        now!(rig, a, b"o", Request::Finodelk(Finodelk { fd: -1, ..by_fd })),
        Some(Err(Errno::EBADF))
    );
}

#[test]
fn the_file_that_create_found_there_is_the_one_that_is_locked_by_its_fd() {
    use brickwire_core::fop::wire::Create;
    let mut rig = Rig::new();
    let (a, b) = (rig.client(), rig.client());
    let wanted = [Pair { key: b"gfid-req", value: Value::Gfuuid(NOWHERE) }];
    let create = Create {
        pargfid: Gfid::ROOT,
        flags: 2,
        mode: 0o644,
        umask: 0,
        bname: b"f",
        xdata: Dict::Pairs(&wanted),
    };
    let xid = rig.send(a, b"o", Request::Create(create));
    let fd = rig.answer(a, xid).and_then(|answer| answer.fd).expect("an open file");
    let flock = flock(WRITE, 0, 0);
    let by_fd = Finodelk {
        gfid: NOWHERE,
        fd,
        cmd: TRY,
        kind: WRITE,
        flock,
        volume: DOMAIN,
        xdata: Dict::Null,
    };
    assert_eq!(now!(rig, a, b"o", Request::Finodelk(by_fd)), OK);
    assert_eq!(now!(rig, b, b"o", inodelk(TRY, WRITE, 0, 0)), BUSY);
}

#[test]
fn when_the_storage_has_no_room_the_lock_is_asked_for_again_later() {
    let mut rig = Rig::new();
    let a = rig.client();
    rig.disk.busy = true;
    let xid = rig.send(a, b"o", inodelk(TRY, WRITE, 0, 0));
    assert_eq!((rig.result(a, xid), rig.locks()), (WAITS, (0, 0)));
    rig.disk.busy = false;
    // Every lock that becomes free is offered to the waiting clients.
    let b = rig.client();
    assert!(rig.ping(b));
    assert_eq!(rig.result(a, xid), OK);
}

#[test]
fn a_connection_that_ends_frees_what_it_has_and_what_it_waits_for() {
    for by_server in [false, true] {
        let mut rig = Rig::new();
        let (a, b, c) = (rig.client(), rig.client(), rig.client_of("/brick1", "p"));
        assert_eq!(now!(rig, a, b"1", inodelk(TRY, WRITE, 0, 0)), OK);
        let of_b = rig.send(b, b"2", inodelk(WAIT, WRITE, 0, 0));
        rig.send(a, b"3", inodelk(WAIT, WRITE, 0, 0));
        // A write is still under way.
        rig.disk.slow = true;
        let write = Write { gfid: FILE, fd: -2, offset: 0, size: 8, flag: 0, xdata: Dict::Null };
        rig.send(a, b"1", Request::Write(write));
        assert_eq!(now!(rig, c, b"1", inodelk_on(Gfid::ROOT, TRY, WRITE, 0, 0)), OK);
        if by_server {
            rig.server.brick_gone(brickwire_core::server::BrickIx(1), rig.now, &mut rig.disk);
            rig.pump();
            assert_eq!(rig.locks(), (1, 2));
        }
        rig.disconnect(a);
        assert_eq!(rig.result(b, of_b), OK);
        rig.answers(0);
        if by_server {
            rig.server.stop(rig.now, &mut rig.disk);
            rig.pump();
            assert_eq!((rig.locks(), rig.server.usage().jobs), ((0, 0), 0));
            assert_eq!(rig.closed, [c, b]);
        } else {
            assert_eq!(rig.locks(), (2, 0));
        }
    }
}

#[test]
fn a_call_whose_connection_died_before_the_storage_answered_gets_nothing() {
    let mut rig = Rig::new();
    let (a, b) = (rig.client(), rig.client());
    rig.disk.slow = true;
    rig.send(a, b"1", inodelk(WAIT, WRITE, 0, 0));
    rig.disconnect(a);
    let again = rig.client();
    let of_b = rig.send(b, b"2", inodelk(WAIT, WRITE, 0, 0));
    rig.answers(0);
    rig.answers(0);
    assert_eq!(rig.result(b, of_b), OK);
    assert_eq!((rig.locks(), rig.server.usage().jobs, rig.disk.buffers_in_use()), ((1, 0), 0, 0));
    rig.disconnect(again);
    assert_eq!(rig.locks(), (1, 0));
}

#[test]
fn counts_say_how_many_have_or_want_a_lock() {
    let mut rig = Rig::new();
    let (a, b) = (rig.client(), rig.client());
    assert_eq!(now!(rig, a, b"1", inodelk(TRY, READ, 0, 10)), OK);
    assert_eq!(now!(rig, a, b"1", inodelk(TRY, READ, 0, 10)), OK);
    rig.send(b, b"2", inodelk(WAIT, WRITE, 0, 0));
    let flock = flock(WRITE, 0, 0);
    let heal =
        Inodelk { gfid: FILE, cmd: TRY, kind: WRITE, flock, volume: b"heal", xdata: Dict::Null };
    assert_eq!(now!(rig, b, b"2", Request::Inodelk(heal)), OK);
    let keys = |key: &'static str, value| [Pair { key: key.as_bytes(), value }];
    let in_domain = keys("glusterfs.inodelk-dom-count", Value::Str(DOMAIN));
    let write =
        Write { gfid: FILE, fd: -2, offset: 0, size: 8, flag: 0, xdata: Dict::Pairs(&in_domain) };
    let xid = rig.send(a, b"1", Request::Write(write));
    assert_eq!(rig.answer(a, xid).expect("an answer").counts["glusterfs.inodelk-count"], 3);
    let in_heal = keys("glusterfs.inodelk-dom-count", Value::Str(b"heal"));
    let fsync = Fsync { gfid: FILE, fd: -2, data: 0, xdata: Dict::Pairs(&in_heal) };
    let xid = rig.send(a, b"1", Request::Fsync(fsync));
    assert_eq!(rig.answer(a, xid).expect("an answer").counts["glusterfs.inodelk-count"], 1);
    let all = keys("glusterfs.inodelk-count", Value::Uint(0));
    let lookup =
        Lookup { gfid: FILE, pargfid: Gfid::NONE, flags: 0, bname: b"", xdata: Dict::Pairs(&all) };
    let xid = rig.send(a, b"1", Request::Lookup(lookup));
    assert_eq!(rig.answer(a, xid).expect("an answer").counts["glusterfs.inodelk-count"], 4);
}

#[test]
fn counts_are_those_of_what_a_name_is_found_to_be_and_of_when_it_is_answered() {
    let mut rig = Rig::new();
    let (a, b) = (rig.client(), rig.client());
    let fd = rig.open(b, FILE);
    assert_eq!(now!(rig, a, b"1", inodelk(TRY, WRITE, 0, 10)), OK);
    assert_eq!(now!(rig, b, b"2", lk(fd, TRY, READ, 0, 10)), OK);
    let key = |key: &'static str, value| Pair { key: key.as_bytes(), value };
    let all = [
        key("glusterfs.inodelk-count", Value::Uint(0)),
        key("glusterfs.inodelk-dom-count", Value::Str(b"heal")),
        key("glusterfs.posixlk-count", Value::Uint(0)),
    ];
    let by_name = |xdata| {
        Request::Lookup(Lookup {
            gfid: Gfid::NONE,
            pargfid: Gfid::ROOT,
            flags: 0,
            bname: b"f",
            xdata,
        })
    };
    let xid = rig.send(a, b"1", by_name(Dict::Pairs(&all)));
    let counts = rig.answer(a, xid).expect("an answer").counts;
    assert_eq!((counts["glusterfs.inodelk-count"], counts["glusterfs.posixlk-count"]), (1, 1));
    let xid = rig.send(a, b"1", by_name(Dict::Pairs(&all[1..2])));
    assert_eq!(
        rig.answer(a, xid).expect("an answer").counts["glusterfs.inodelk-count"],
        0,
        "in that domain"
    );
    // A thread executes a write, and a second client starts to wait meanwhile.
    rig.disk.slow = true;
    let in_domain = [key("glusterfs.inodelk-dom-count", Value::Str(DOMAIN))];
    let write =
        Write { gfid: FILE, fd: -2, offset: 0, size: 8, flag: 0, xdata: Dict::Pairs(&in_domain) };
    let xid = rig.send(a, b"1", Request::Write(write));
    rig.send(b, b"2", inodelk(WAIT, WRITE, 0, 10));
    rig.answers(0);
    assert_eq!(rig.answer(a, xid).expect("an answer").counts["glusterfs.inodelk-count"], 2);
}
