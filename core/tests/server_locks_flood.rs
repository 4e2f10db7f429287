//! Clients that request locks without end are refused, and other clients are not affected.

mod scripted_storage;

use brickwire_core::fop::wire::{Entrylk, Inodelk, Request, Stat};
use brickwire_core::server::ServerLimits;
use brickwire_core::xdr::{Dict, Errno, Gfid};
use scripted_storage::*;

const FULL: Option<Result<i32, Errno>> = Some(Err(Errno::ENOLCK));

fn gfid(n: u32) -> Gfid {
    let mut gfid = [3; 16];
    gfid[4..8].copy_from_slice(&n.to_be_bytes());
    Gfid(gfid)
}

/// Takes locks until one is refused. Returns how many were granted.
fn take_all(
    rig: &mut Rig,
    conn: brickwire_core::ConnId,
    mut request: impl FnMut(u32) -> Request<'static>,
) -> u32 {
    for n in 0..10_000_u32 {
        let xid = rig.send(conn, &n.to_be_bytes(), request(n));
        match rig.result(conn, xid) {
            Some(Ok(0)) => {}
            FULL => return n,
            other => panic!("lock {n}: {other:?}"),
        }
    }
    panic!("there is no end to the locks")
}

#[test]
fn one_client_gets_its_share_and_the_next_one_gets_its_own() {
    let mut rig = Rig::new();
    let (a, b, c) = (rig.client(), rig.client(), rig.client());
    let limits = rig.limits;
    for n in 0..200 {
        rig.disk.known.insert(gfid(n).0);
    }
    let on_many = |n| inodelk_on(gfid(n), TRY, WRITE, 0, 0);
    assert_eq!(take_all(&mut rig, a, on_many), limits.locks_per_connection);
    assert_eq!(
        take_all(&mut rig, b, |n| inodelk_on(gfid(n + 60), TRY, WRITE, 0, 0)),
        limits.locks_per_connection
    );
    let left = limits.locks - 2 * limits.locks_per_connection;
    assert_eq!(take_all(&mut rig, c, |n| inodelk_on(gfid(n + 120), TRY, WRITE, 0, 0)), left);
    assert_eq!(rig.locks(), (limits.locks, 0));
    rig.disconnect(a);
    assert_eq!(take_all(&mut rig, c, on_many), limits.locks_per_connection - left);
    for conn in [b, c] {
        rig.disconnect(conn);
    }
    assert_eq!((rig.locks(), rig.server.usage().jobs), ((0, 0), 0));
    // The tables have lost nothing: all of it can be taken again.
    let again = rig.client();
    assert_eq!(take_all(&mut rig, again, on_many), limits.locks_per_connection);
}

#[test]
fn an_inode_has_so_many_locks_and_no_more() {
    let limits = ServerLimits { locks_per_inode: 10, ..ServerLimits::SMALL };
    let mut rig = Rig::with(limits);
    let (a, b) = (rig.client(), rig.client());
    assert_eq!(take_all(&mut rig, a, |_| inodelk(TRY, READ, 0, 0)), 10);
    let xid = rig.send(b, b"o", inodelk_on(OTHER, TRY, READ, 0, 0));
    assert_eq!(rig.result(b, xid), Some(Ok(0)));
    let xid = rig.send(b, b"o", inodelk(WAIT, WRITE, 0, 0));
    assert_eq!(rig.result(b, xid), FULL);
}

#[test]
fn long_names_owners_and_domains_use_up_their_table_and_no_more() {
    let mut rig = Rig::new();
    let a = rig.client();
    let (owner, name, domain) = ([b'o'; 300], [b'n'; 255], [b'd'; 1024]);
    let lock = |n: u32| {
        let mut domain = domain;
        domain[..4].copy_from_slice(format!("{n:04}").as_bytes());
        domain
    };
    let mut had = 0;
    for n in 0..1_000 {
        let domain = lock(n);
        let request = Entrylk {
            gfid: Gfid::ROOT,
            cmd: 2,
            kind: WRITE,
            namelen: 1,
            name: &name,
            volume: &domain,
            xdata: Dict::Null,
        };
        let xid = rig.send(a, &owner, Request::Entrylk(request));
        match rig.result(a, xid) {
            Some(Ok(0)) => had += 1,
            FULL => break,
            other => panic!("lock {n}: {other:?}"),
        }
    }
    assert!(had > 2 && had < rig.limits.locks_per_connection, "{had}");
    rig.disconnect(a);
    let b = rig.client();
    assert_eq!(
        take_all(&mut rig, b, |_| inodelk(TRY, READ, 0, 0)),
        rig.limits.locks_per_connection
    );
}

#[test]
fn those_who_wait_leave_room_for_those_who_work() {
    let mut rig = Rig::new();
    let limits = rig.limits;
    let holder = rig.client();
    let xid = rig.send(holder, b"h", inodelk(TRY, WRITE, 0, 0));
    assert_eq!(rig.result(holder, xid), Some(Ok(0)));
    let mut waiting = 0;
    let mut clients = Vec::new();
    for _ in 0..limits.connections - 2 {
        let conn = rig.client();
        for n in 0..u32::from(limits.jobs_per_connection) * 2 {
            let xid = rig.send(conn, &n.to_be_bytes(), inodelk(WAIT, WRITE, 0, 0));
            match rig.result(conn, xid) {
                None => waiting += 1,
                FULL => break,
                other => panic!("{other:?}"),
            }
        }
        clients.push(conn);
    }
    assert_eq!(waiting, limits.waits);
    assert_eq!(rig.locks(), (1, limits.waits));
    // All clients are still served, with or without waiting calls.
    for conn in &clients {
        assert!(rig.ping(*conn));
    }
    let last = rig.client();
    let xid = rig.send(last, b"o", inodelk_on(OTHER, TRY, WRITE, 0, 0));
    assert_eq!(rig.result(last, xid), Some(Ok(0)));
    let xid = rig.send(holder, b"h", inodelk(TRY, UNLOCK, 0, 0));
    assert_eq!(rig.result(holder, xid), Some(Ok(0)));
    assert_eq!(rig.locks().0, 2);
    for conn in clients {
        rig.disconnect(conn);
    }
    assert_eq!((rig.locks(), rig.server.usage().jobs), ((1, 0), 0));
}

#[test]
fn an_inode_has_so_many_domains_and_no_more() {
    // Each lock and each count on the inode looks at all of them.
    let mut rig =
        Rig::with(ServerLimits { locks: 2048, locks_per_connection: 1024, ..ServerLimits::SMALL });
    let (a, b) = (rig.client(), rig.client());
    let mut had = 0;
    for n in 0..2_000 {
        let (flock, domain) = (flock(WRITE, 0, 0), format!("domain {n}"));
        let volume = domain.as_bytes();
        let lock = Inodelk { gfid: FILE, cmd: TRY, kind: WRITE, flock, volume, xdata: Dict::Null };
        let xid = rig.send(a, b"o", Request::Inodelk(lock));
        match rig.result(a, xid) {
            Some(Ok(0)) => had += 1,
            FULL => break,
            other => panic!("{domain}: {other:?}"),
        }
    }
    assert_eq!(had, 64);
    let xid = rig.send(b, b"o", inodelk_on(OTHER, TRY, WRITE, 0, 0));
    assert_eq!(rig.result(b, xid), Some(Ok(0)));
    rig.disconnect(a);
    assert_eq!(rig.locks(), (1, 0));
    let xid = rig.send(b, b"o", inodelk(TRY, WRITE, 0, 0));
    assert_eq!(rig.result(b, xid), Some(Ok(0)));
}

#[test]
fn one_clients_long_owners_do_not_use_up_everybodys_room_for_texts() {
    let mut rig = Rig::new();
    let (hog, other) = (rig.client(), rig.client());
    let limits = rig.limits;
    let mut owner = [b'o'; 300];
    let mut had = 0;
    loop {
        owner[..4].copy_from_slice(&u32::to_be_bytes(had));
        let xid = rig.send(hog, &owner, inodelk(TRY, READ, 0, 0));
        match rig.result(hog, xid) {
            Some(Ok(0)) => had += 1,
            FULL => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(had > 10, "{had}");
    assert_eq!(
        take_all(&mut rig, other, |_| inodelk(TRY, READ, 0, 0)),
        limits.locks_per_inode - had
    );
    rig.disconnect(hog);
    rig.disconnect(other);
    let again = rig.client();
    assert_eq!(
        take_all(&mut rig, again, |_| inodelk(TRY, READ, 0, 0)),
        limits.locks_per_connection
    );
}

#[test]
fn who_goes_while_it_is_not_decided_whether_it_gets_a_lock_leaves_nothing() {
    let mut rig = Rig::new();
    let (first, second) = (rig.client(), rig.client());
    rig.disk.slow = true;
    let asked = rig.send(first, b"a", inodelk(TRY, WRITE, 0, 0));
    // The inode is known to exist by now; the decision still depends on the first request.
    rig.open(second, FILE);
    let undecided = rig.send(second, b"b", inodelk(TRY, WRITE, 0, 0));
    assert_eq!(rig.result(second, undecided), None);
    rig.disconnect(second);
    rig.answers(0);
    assert_eq!(rig.result(first, asked), Some(Ok(0)));
    rig.disconnect(first);
    assert_eq!(rig.server.usage(), Default::default());
}

#[test]
fn a_holder_is_told_that_others_wait_although_there_was_no_slot_for_it() {
    let limits = ServerLimits { jobs: 4, waits: 0, ..ServerLimits::SMALL };
    let mut rig = Rig::with(limits);
    let (holder, busy, other) = (rig.client(), rig.client(), rig.client());
    let xid = rig.send(holder, b"h", inodelk(TRY, WRITE, 0, 0));
    assert_eq!(rig.result(holder, xid), Some(Ok(0)));
    rig.disk.slow = true;
    for _ in 0..3 {
        rig.send(busy, b"o", Request::Stat(Stat { gfid: FILE, xdata: Dict::Null }));
    }
    rig.deaf.insert(other.slot());
    rig.send(other, b"w", inodelk(TRY, WRITE, 0, 0));
    assert_eq!(rig.server.usage().jobs, 4);
    assert_eq!(rig.told(holder), []);
    rig.answers(0);
    assert_eq!(rig.told(holder).len(), 1);
    rig.listen(other);
}
