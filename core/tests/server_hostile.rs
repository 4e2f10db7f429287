//! Hostile and unlucky clients, at the places where the server keeps state between two calls.

mod server_harness;

use brickwire_core::ConnId;
use brickwire_core::fop::FopNumber;
use brickwire_core::fop::wire::{Fstat, Read, Request, Setxattr, Write};
use brickwire_core::rpc::Procedure;
use brickwire_core::rpc::callback::Callback;
use brickwire_core::rpc::dump::DumpArgs;
use brickwire_core::rpc::handshake::Getspec;
use brickwire_core::server::{BrickIx, CloseReason, Intake, Peer, ServerLimits};
use brickwire_core::xdr::{Dict, Gfid, Pair, Value};
use brickwire_memory::MemoryLimits;
use server_harness::*;

fn fetch_spec(s: &mut Harness, conn: ConnId) {
    s.call(conn, Procedure::GETSPEC, &Getspec::for_client(VOLUME.as_bytes()));
}

fn notices(s: &mut Harness, conn: ConnId) -> usize {
    let records = s.records(conn);
    records
        .iter()
        .filter(|record| Callback::decode_record(record) == Ok(Callback::Fetchspec))
        .count()
}

#[test]
fn a_volume_that_stops_tells_nobody_whom_it_disconnects() {
    let mut s = Harness::new();
    let conn = s.mount();
    fetch_spec(&mut s, conn);
    // A host calls this when a volume is stopped, without draining outputs in between.
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
fn who_goes_before_it_could_be_told_of_a_volfile_leaves_nothing() {
    let mut s = with(|limits| (limits.jobs, limits.waits) = (4, 0));
    let (manager, busy) = (s.connect(), s.mount());
    fetch_spec(&mut s, manager);
    s.storage.hold = true;
    for n in 0..3 {
        s.send(busy, &fop_record(n, stat_root(), &[]));
    }
    s.deafen(manager, true);
    s.send(manager, &record(9, Procedure::PING, &root(), &DumpArgs::CLIENT, &[]));
    s.server.volfile_changed(s.now);
    s.pump();
    // When it disconnects it frees its own slot, and it is the first in line for a notification.
    s.close(manager);
    while s.storage.held() > 0 {
        s.finish(0);
    }
    s.close(busy);
    assert_eq!(s.server.usage(), Default::default());
}

#[test]
fn an_answer_finds_nobody_but_who_asked_however_often_the_place_was_taken_since() {
    let mut s = with(|limits| limits.connections = 1);
    let victim = s.mount();
    let (gfid, fd) = s.create(victim, "f");
    s.write(victim, gfid, fd, 0, b"a secret");
    s.storage.hold = true;
    let read = Read { gfid, fd, offset: 0, size: 100, flag: 0, xdata: Dict::Null };
    s.send(victim, &fop_record(77, Request::Read(read), &[]));
    s.send(victim, &fop_record(78, open(gfid, 2), &[]));
    s.close(victim);
    // Connection ids are used again after some thousands.
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
#[test]
fn who_asks_without_end_does_not_keep_all_slots_from_who_asks_once() {
    let mut s = with(|limits| (limits.jobs, limits.waits) = (4, 0));
    let hogs = [s.mount(), s.mount()];
    let last = s.mount();
    s.storage.hold = true;
    for n in 0..100 {
        for hog in hogs {
            s.send(hog, &fop_record(n, stat_root(), &[]));
        }
    }
    s.send(last, &fop_record(9, stat_root(), &[]));
    let mut answered = 0;
    while s.replies(last).is_empty() {
        s.finish(0);
        answered += 1;
        assert!(answered < 20, "it would wait for all of the others' calls");
    }
}

#[test]
fn who_sends_long_calls_without_end_gives_its_block_to_who_waits() {
    let mut s = with(|limits| limits.blocks = 1);
    let (hog, other, third) = (s.mount(), s.mount(), s.mount());
    let value = [1; 2000];
    let pairs = [Pair { key: b"user.x", value: Value::Ptr(&value) }];
    let setxattr =
        Setxattr { gfid: Gfid::ROOT, flags: 0, dict: Dict::Pairs(&pairs), xdata: Dict::Null };
    let call = fop_record(9, Request::Setxattr(setxattr), &[]);
    let (begin, rest) = call.split_at(1500);
    s.send(hog, begin);
    s.send(other, begin);
    s.send(third, begin);
    // A record may end and the next one begin in one piece.
    s.cut = 1500;
    s.send(hog, &[rest, begin].concat());
    assert_eq!(s.replies(hog).len(), 1);
    assert_eq!(s.server.intake(hog), Intake::Wait, "two have waited before");
    assert_eq!((s.server.intake(other), s.server.intake(third)), (Intake::Core, Intake::Wait));
    // A closed connection makes room for the next one.
    s.close(other);
    s.send(third, rest);
    assert_eq!(s.replies(third).len(), 1);
    s.send(hog, rest);
    assert_eq!(s.replies(hog).len(), 1);
}

#[test]
fn sixty_clients_that_wait_for_the_disk_are_not_all_tried_again_for_each_call_of_others() {
    let mut s = with(|limits| limits.connections = 64);
    let innocent = s.connect();
    let waiting: Vec<ConnId> = (0..60).map(|_| s.mount()).collect();
    s.storage.busy = true;
    for conn in &waiting {
        s.send(*conn, &fop_record(1, stat_root(), &[]));
    }
    s.storage.refused = 0;
    for _ in 0..10 {
        s.call(innocent, Procedure::PING, &DumpArgs::CLIENT);
    }
    let refused = s.storage.refused;
    assert!((10..100).contains(&refused), "{refused} turns for 10 calls");
    // Each of them is retried soon.
    s.storage.busy = false;
    s.pass(100);
    for conn in &waiting {
        assert_eq!(s.replies(*conn).len(), 1);
    }
    assert_eq!(s.server.usage().jobs, 0);
}

#[test]
fn a_dict_that_asks_for_the_same_thing_a_thousand_times_has_it_counted_once() {
    let mut s = with(|limits| (limits.files, limits.files_per_connection) = (20_000, 20_000));
    let limits = MemoryLimits { files: 20_000, ..MemoryLimits::SMALL };
    s.storage.memory = Harness::with(ServerLimits::SMALL, limits).storage.memory;
    let conn = s.mount();
    let (gfid, fd) = s.create(conn, "f");
    for _ in 1..15_000 {
        s.fop(conn, open(gfid, 0));
    }
    let asked = [Pair { key: b"glusterfs.open-active-fd-count", value: Value::Uint(4) }; 300];
    let fstat = Fstat { gfid, fd, xdata: Dict::Pairs(&asked) };
    // In a debug build a walk over all open files for each of them takes half a minute.
    let began = std::time::Instant::now();
    for _ in 0..20 {
        let answer = s.fop(conn, Request::Fstat(fstat));
        let count = answer.fop(FopNumber::Fstat).xdata.get("glusterfs.open-active-fd-count");
        assert_eq!(count.and_then(|count| count.as_u64()), Some(15_000));
    }
    assert!(began.elapsed().as_secs() < 3, "{:?}", began.elapsed());
}

#[test]
fn a_long_write_keeps_no_block_that_others_need() {
    let mut s = Harness::new();
    let hogs = [s.mount(), s.mount()];
    let good = s.mount();
    let (gfid, _) = s.create(good, "f");
    let len = 200_000;
    let pairs = [Pair { key: b"user.long", value: Value::Ptr(&[7; 1000]) }];
    let xdata = Dict::Pairs(&pairs);
    let write = Write { gfid, fd: -2, offset: 0, size: len as u32, flag: 0, xdata };
    let call = fop_record(50, Request::Write(write), &vec![1; len]);
    for hog in hogs {
        s.send(hog, &call[..len / 2]);
    }
    // A call in pieces needs a block, too.
    let dict = Dict::Pairs(&pairs);
    let set = Setxattr { gfid, dict, flags: 0, xdata: Dict::Null };
    s.cut = 500;
    s.send(good, &fop_record(60, Request::Setxattr(set), &[]));
    assert_eq!(s.replies(good).len(), 1, "blocks are free");
    for hog in hogs {
        s.send(hog, &call[len / 2..]);
        assert_eq!(s.replies(hog)[0].1.result(), (-1, 7));
    }
    assert_eq!(s.stat(good, gfid).unwrap().size, 0);
    assert_eq!(s.server.usage().jobs, 0);
}
