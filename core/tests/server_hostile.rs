//! Clients that mean harm, or have bad luck, at the places where the server keeps something between two calls.

mod station;

use brickwire_core::ConnId;
use brickwire_core::fop::wire::{Read, Request, Stat};
use brickwire_core::rpc::Procedure;
use brickwire_core::rpc::callback::Callback;
use brickwire_core::rpc::handshake::Getspec;
use brickwire_core::server::memory::MemoryLimits;
use brickwire_core::server::{BrickIx, CloseReason, Peer, ServerLimits};
use brickwire_core::xdr::{Dict, Gfid};
use station::*;

fn stat_root() -> Request<'static> {
    Request::Stat(Stat { gfid: Gfid::ROOT, xdata: Dict::Null })
}

fn with(change: impl FnOnce(&mut ServerLimits)) -> Station {
    let mut limits = ServerLimits::SMALL;
    change(&mut limits);
    Station::with(limits, MemoryLimits::SMALL)
}

fn fetch_spec(s: &mut Station, conn: ConnId) {
    s.call(conn, Procedure::GETSPEC, &Getspec::for_client(VOLUME.as_bytes()));
}

fn notices(s: &mut Station, conn: ConnId) -> usize {
    let records = s.records(conn);
    records.iter().filter(|record| Callback::decode_record(record) == Ok(Callback::Fetchspec)).count()
}

#[test]
fn a_volume_that_stops_tells_nobody_whom_it_disconnects() {
    let mut s = Station::new();
    let conn = s.mount();
    fetch_spec(&mut s, conn);
    // What a host does when a volume is taken away, without asking for news in between.
    s.server.brick_gone(BrickIx(0), s.now, &mut s.storage);
    s.server.volfile_changed(s.now);
    s.pump();
    assert_eq!(s.closed, [(conn, CloseReason::Stopped)]);
    assert_eq!(s.server.usage(), Default::default());
}

#[test]
fn a_change_of_the_volfile_is_told_although_there_was_no_slot_for_it() {
    let mut s = with(|limits| (limits.jobs, limits.waits) = (4, 0));
    let (manager, busy) = (s.connect(), s.mount());
    fetch_spec(&mut s, manager);
    s.storage.hold = true;
    for n in 0..4 {
        s.send(busy, &fop_record(n, stat_root(), &[]));
    }
    assert_eq!(s.storage.held(), 4);
    s.server.volfile_changed(s.now);
    s.pump();
    assert_eq!(notices(&mut s, manager), 0, "there is no slot");
    s.finish(0);
    assert_eq!(notices(&mut s, manager), 1);
    while s.storage.held() > 0 {
        s.finish(0);
    }
    assert_eq!(notices(&mut s, manager), 0, "once");
    assert_eq!(s.server.usage().jobs, 0);
}

#[test]
fn an_answer_finds_nobody_but_who_asked_however_often_the_place_was_taken_since() {
    let mut s = with(|limits| limits.clients = 1);
    let victim = s.mount();
    let (gfid, fd) = s.create(victim, "f");
    s.write(victim, gfid, fd, 0, b"a secret");
    s.storage.hold = true;
    let read = Read { gfid, fd, offset: 0, size: 100, flag: 0, xdata: Dict::Null };
    s.send(victim, &fop_record(77, Request::Read(read), &[]));
    s.send(victim, &fop_record(78, open(gfid, 2), &[]));
    s.close(victim);
    // Names of connections are used again after some thousands.
    for _ in 0..5_000 {
        let Some(conn) = s.connect_from(Peer::default()) else { break };
        if conn == victim {
            break;
        }
        s.close(conn);
    }
    while s.storage.held() > 0 {
        s.finish(0);
    }
    assert!(s.records(victim).is_empty(), "somebody's answer");
    s.storage.hold = false;
    if s.is_open(victim) {
        s.close(victim);
    }
    assert_eq!(s.server.usage(), Default::default());
    assert_eq!(s.storage.memory.usage().files, 0);
    let next = s.mount();
    assert_eq!(s.fop(next, stat_root()).result().0, 0);
}
