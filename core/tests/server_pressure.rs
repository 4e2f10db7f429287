//! Bytes in pieces, too many calls, too little memory, clients that do not read: some connections
//! wait, some are closed, and others are not affected.

mod server_harness;

use brickwire_core::ConnId;
use brickwire_core::fop::wire::{Read, Request, Setxattr, Write};
use brickwire_core::rpc::dump::DumpArgs;
use brickwire_core::rpc::{PeerError, Procedure, RecordMark};
use brickwire_core::server::{
    CloseReason, Intake, Peer, Server, ServerConfig, ServerLimits, ServerMemory, TooSmall,
};
use brickwire_core::xdr::{Dict, Gfid, Pair, Value};
use brickwire_memory::MemoryLimits;
use server_harness::*;

/// Why a connection was closed, if it was.
fn why(s: &Harness, conn: ConnId) -> Option<CloseReason> {
    s.closed.iter().find(|(closed, _)| *closed == conn).map(|(_, why)| *why)
}

#[test]
fn a_call_may_come_byte_by_byte_or_with_many_others() {
    for cut in [1, 2, 3, 5, 7, 64, 1000] {
        let mut s = Harness::new();
        s.cut = cut;
        let conn = s.mount();
        let (gfid, fd) = s.create(conn, "f");
        let mut bytes = Vec::new();
        for n in 0..10_u8 {
            bytes.extend(fop_record(
                100 + u32::from(n),
                write(gfid, fd, u64::from(n) * 50, 50),
                &[n; 50],
            ));
        }
        s.send(conn, &bytes);
        let xids: Vec<u32> = s.replies(conn).into_iter().map(|(xid, _)| xid).collect();
        assert_eq!(xids, (100..110).collect::<Vec<_>>(), "cut {cut}");
        let (_, _, data) = s.read(conn, gfid, fd, 0, 1000);
        assert!(data.chunks(50).enumerate().all(|(n, piece)| piece == [n as u8; 50]), "cut {cut}");
        assert_eq!((s.waiting(conn), s.storage.buffers()), (0, 0));
    }
}

#[test]
fn the_payload_of_a_write_goes_straight_into_a_buffer() {
    let mut s = Harness::new();
    let conn = s.mount();
    let (gfid, fd) = s.create(conn, "f");
    let data: Vec<u8> = (0..100_000_u32).map(|n| (n / 7) as u8).collect();
    let call = fop_record(9, write(gfid, fd, 3, data.len()), &data);
    s.cut = 4096;
    s.send(conn, &call);
    assert_eq!(s.replies(conn)[0].1.result(), (100_000, 0));
    assert!(s.placed > 90_000, "only {} bytes went straight", s.placed);
    assert_eq!(s.read(conn, gfid, fd, 3, 100_000).2, data);
    assert_eq!(s.storage.buffers(), 0);
}

#[test]
fn a_call_in_several_fragments_is_one_call() {
    let mut s = Harness::new();
    let conn = s.mount();
    let (gfid, fd) = s.create(conn, "f");
    let call = fop_record(9, write(gfid, fd, 0, 300), &[7; 300]);
    // Fragments that end in the header, in the arguments, and in the payload.
    for step in [29, 41, 77, 160, 200, 396] {
        let mut bytes = Vec::new();
        let pieces: Vec<&[u8]> = call[4..].chunks(step).collect();
        for (n, piece) in pieces.iter().enumerate() {
            let mark = RecordMark { last: n + 1 == pieces.len(), len: piece.len() as u32 };
            bytes.extend_from_slice(&mark.word().to_be_bytes());
            bytes.extend_from_slice(piece);
        }
        for cut in [usize::MAX, 13, 1] {
            s.cut = cut;
            s.send(conn, &bytes);
            assert_eq!(s.replies(conn)[0].1.result(), (300, 0), "fragments of {step}, cut {cut}");
        }
    }
    assert_eq!(s.read(conn, gfid, fd, 0, 1000).2, [7; 300]);
}

#[test]
fn a_write_with_much_beside_it_is_answered_alike_however_it_comes() {
    // The second record claims more xdata than it has.
    for lie in [0, 1 << 20] {
        let mut answers = Vec::new();
        for cut in [usize::MAX, 1000, 1] {
            let mut s = with(|limits| limits.block_bytes = 256 * 1024);
            let conn = s.mount();
            let (gfid, fd) = s.create(conn, "f");
            let value = [1; 70_000];
            let pairs = [Pair { key: b"glusterfs.unknown", value: Value::Ptr(&value) }];
            let xdata = Dict::Pairs(&pairs);
            let write = Write { gfid, fd, offset: 0, size: 300, flag: 0, xdata };
            let mut call = fop_record(9, Request::Write(write), &[7; 300]);
            let at = call
                .windows(12)
                .position(|words| words[4..] == [0, 0, 0, 1, 0, 0, 0, 1])
                .expect("a dict");
            let size = u32::from_be_bytes(call[at..at + 4].try_into().expect("a word"));
            assert!(size > 70_000);
            call[at..at + 4].copy_from_slice(&(size + lie).to_be_bytes());
            s.cut = cut;
            s.send(conn, &call);
            assert!(s.is_open(conn), "cut {cut}, lie {lie}: {:?}", s.closed);
            let answer = s.replies(conn).remove(0).1;
            answers.push((answer.status, answer.body.get(..8).map(<[u8]>::to_vec)));
            s.cut = usize::MAX;
            assert_eq!(s.fop(conn, stat_root()).result(), (0, 0));
        }
        assert!(answers.windows(2).all(|two| two[0] == two[1]), "lie {lie}: {answers:?}");
    }
}

#[test]
fn what_is_no_call_ends_the_connection_and_no_other() {
    let http = b"GET / HTTP/1.1\r\nHost: node1\r\n\r\n";
    let reply = [&0x8000_001c_u32.to_be_bytes()[..], &[0, 0, 0, 1, 0, 0, 0, 1], &[0; 20]].concat();
    let empty = RecordMark { last: false, len: 0 }.word().to_be_bytes();
    let short = [&RecordMark::last(8).to_be_bytes()[..], &[0; 8]].concat();
    let huge = [&RecordMark::last(0x7fff_ffff).to_be_bytes()[..], &[0; 40]].concat();
    for bytes in [&http[..], &reply, &empty, &short, &huge] {
        for cut in [usize::MAX, 1] {
            let mut s = Harness::new();
            let (good, bad) = (s.mount(), s.mount());
            s.create(bad, "f");
            s.cut = cut;
            s.send(bad, bytes);
            assert!(
                matches!(why(&s, bad), Some(CloseReason::Peer(_))),
                "{bytes:?}: {:?}",
                s.closed
            );
            assert_eq!(s.server.intake(bad), Intake::Closed);
            assert_eq!(s.storage.memory.usage().files, 0);
            assert_eq!(s.fop(good, stat_root()).result(), (0, 0));
        }
    }
}

#[test]
fn a_call_that_is_longer_than_any_block_is_refused_and_the_next_is_not() {
    for (cut, len) in [(100, 2000), (1, 2000), (4096, 300_000), (usize::MAX, 3_000_000)] {
        let mut s = with(|limits| limits.block_bytes = 1024);
        let conn = s.mount();
        s.cut = cut;
        let value = vec![1; len];
        let pairs = [Pair { key: b"user.x", value: Value::Ptr(&value) }];
        let setxattr =
            Setxattr { gfid: Gfid::ROOT, flags: 0, dict: Dict::Pairs(&pairs), xdata: Dict::Null };
        let mut bytes = fop_record(9, Request::Setxattr(setxattr), &[]);
        bytes.extend(fop_record(10, stat_root(), &[]));
        s.send(conn, &bytes);
        let replies = s.replies(conn);
        let said: Vec<_> = replies.iter().map(|(xid, reply)| (*xid, reply.result())).collect();
        assert_eq!(said, [(9, (-1, 7)), (10, (0, 0))], "cut {cut}, {len} bytes");
        assert_eq!((s.waiting(conn), s.server.usage().jobs, s.storage.buffers()), (0, 0, 0));
    }
}

#[test]
fn a_call_that_is_longer_than_any_block_ends_who_is_not_logged_in() {
    let mut s = with(|limits| limits.block_bytes = 1024);
    let conn = s.connect();
    s.cut = 100;
    let value = [1; 200_000];
    let pairs = [Pair { key: b"user.x", value: Value::Ptr(&value) }];
    let setxattr =
        Setxattr { gfid: Gfid::ROOT, flags: 0, dict: Dict::Pairs(&pairs), xdata: Dict::Null };
    s.send(conn, &fop_record(9, Request::Setxattr(setxattr), &[]));
    assert!(
        matches!(why(&s, conn), Some(CloseReason::Peer(PeerError::RecordTooLong { .. }))),
        "{:?}",
        s.closed
    );
}

#[test]
fn long_calls_wait_for_a_block_and_get_it() {
    let mut s = with(|limits| limits.blocks = 1);
    let (a, b) = (s.mount(), s.mount());
    let value = [1; 2000];
    let pairs = [Pair { key: b"user.x", value: Value::Ptr(&value) }];
    let setxattr =
        Setxattr { gfid: Gfid::ROOT, flags: 0, dict: Dict::Pairs(&pairs), xdata: Dict::Null };
    let call = fop_record(9, Request::Setxattr(setxattr), &[]);
    s.send(a, &call[..1500]);
    s.send(b, &call[..1500]);
    assert_eq!(s.server.intake(b), Intake::Wait, "the only block is taken");
    s.send(b, &call[1500..]);
    s.send(a, &call[1500..]);
    assert_eq!(s.replies(a).len(), 1);
    assert_eq!(s.replies(b).len(), 1, "it went on when the block was free");
    assert_eq!(s.waiting(b), 0);
    // A client that disconnects within a call gives its block back.
    s.send(a, &call[..1500]);
    s.send(b, &call[..1500]);
    s.close(a);
    s.send(b, &call[1500..]);
    assert_eq!(s.replies(b).len(), 1);
}

#[test]
fn a_client_is_not_read_beyond_its_outstanding_calls() {
    let mut s = with(|limits| limits.jobs_per_connection = 3);
    let (conn, other) = (s.mount(), s.mount());
    s.storage.hold = true;
    for n in 0..5 {
        s.send(conn, &fop_record(100 + n, stat_root(), &[]));
    }
    assert_eq!((s.storage.held(), s.server.intake(conn)), (3, Intake::Wait));
    assert!(s.waiting(conn) > 0);
    s.send(other, &fop_record(1, stat_root(), &[]));
    assert_eq!(s.storage.held(), 4, "others do not notice");
    // Answered in any order, each makes room for one call.
    s.finish(2);
    assert_eq!(s.replies(conn)[0].0, 102);
    assert_eq!(s.storage.held(), 4);
    while s.storage.held() > 0 {
        s.finish(s.storage.held() - 1);
    }
    let mut xids: Vec<u32> = s.replies(conn).into_iter().map(|(xid, _)| xid).collect();
    xids.sort_unstable();
    assert_eq!(xids, [100, 101, 103, 104]);
    assert_eq!((s.replies(other).len(), s.server.usage().jobs), (1, 0));
}

#[test]
fn when_all_jobs_are_taken_everybody_gets_on_in_the_end() {
    let mut s = with(|limits| (limits.jobs, limits.waits) = (4, 0));
    let conns = [s.mount(), s.mount(), s.mount()];
    s.storage.hold = true;
    for n in 0..3 {
        for conn in conns {
            s.send(conn, &fop_record(100 + n, stat_root(), &[]));
        }
    }
    let mut answered = 0;
    while s.storage.held() > 0 {
        assert!(s.storage.held() <= 4);
        s.finish(0);
        answered += conns.map(|conn| s.replies(conn).len()).iter().sum::<usize>();
    }
    assert_eq!(answered, 9);
}

#[test]
fn a_client_that_does_not_listen_is_not_read_and_in_the_end_closed() {
    let mut s = with(|limits| limits.jobs_per_connection = 100);
    let (deaf, other) = (s.mount(), s.mount());
    s.deafen(deaf, true);
    for n in 0..100 {
        s.send(deaf, &fop_record(n, stat_root(), &[]));
    }
    assert_eq!(s.server.intake(deaf), Intake::Wait, "its ring of replies is full");
    assert!(s.server.usage().jobs < 50);
    assert_eq!(s.fop(other, stat_root()).result(), (0, 0));
    // It takes its replies again in time: all of them arrive.
    s.pass(20_000);
    s.deafen(deaf, false);
    let xids: Vec<u32> = s.replies(deaf).into_iter().map(|(xid, _)| xid).collect();
    assert_eq!(xids, (0..100).collect::<Vec<_>>());
    s.deafen(deaf, true);
    s.send(deaf, &fop_record(7, stat_root(), &[]));
    for _ in 0..5 {
        s.pass(11_000);
    }
    assert_eq!(why(&s, deaf), Some(CloseReason::Stalled));
    assert!(s.is_open(other));
    assert_eq!(s.server.usage().jobs, 0);
}

#[test]
fn who_asks_for_more_than_it_takes_does_not_fill_the_servers_memory() {
    let mut s = with(|limits| limits.unsent_bytes = 20_000);
    let conn = s.mount();
    let (gfid, fd) = s.create(conn, "f");
    assert_eq!(s.write(conn, gfid, fd, 0, &[7; 8192]).result().0, 8192);
    s.deafen(conn, true);
    for n in 0..10 {
        let read = Read { gfid, fd, offset: 0, size: 8192, flag: 0, xdata: Dict::Null };
        s.send(conn, &fop_record(n, Request::Read(read), &[]));
    }
    assert_eq!(s.server.intake(conn), Intake::Wait);
    assert_eq!(s.storage.buffers(), 3, "the third is over the bound, and the last");
    s.deafen(conn, false);
    let sizes: Vec<i32> =
        s.replies(conn).into_iter().map(|(_, answer)| answer.result().0).collect();
    assert_eq!(sizes, [8192; 10]);
    assert_eq!((s.storage.buffers(), s.waiting(conn)), (0, 0));
}

#[test]
fn who_is_silent_may_stay() {
    let mut s = Harness::new();
    let (half, silent) = (s.mount(), s.mount());
    s.send(half, &fop_record(1, stat_root(), &[])[..17]);
    for _ in 0..100 {
        s.pass(60_000);
    }
    assert!(s.is_open(half) && s.is_open(silent));
    assert_eq!(s.fop(silent, stat_root()).result(), (0, 0));
}

#[test]
fn a_storage_without_room_is_asked_again() {
    let mut s = Harness::new();
    let (conn, other) = (s.mount(), s.mount());
    let (gfid, fd) = s.create(conn, "f");
    s.storage.busy = true;
    s.send(conn, &fop_record(9, write(gfid, fd, 0, 3), b"abc"));
    let new = s.new_gfid();
    s.send(other, &fop_record(9, create(Gfid::ROOT, "g", &[gfid_req(new)]), &[]));
    assert_eq!(
        (s.server.usage().jobs, s.server.usage().files),
        (0, 1),
        "as if they had not been read"
    );
    s.storage.busy = false;
    let third = s.connect();
    s.call(third, Procedure::PING, &DumpArgs::CLIENT);
    assert_eq!(s.replies(conn)[0].1.result(), (3, 0));
    assert_eq!(s.replies(other)[0].1.result(), (0, 0));
    assert_eq!(s.server.usage().files, 2);
}

#[test]
fn a_payload_waits_for_a_buffer_and_is_written_once() {
    let mut s = Harness::new();
    let conn = s.mount();
    let (gfid, fd) = s.create(conn, "f");
    s.cut = 1000;
    s.storage.no_buffers = true;
    s.send(conn, &fop_record(9, write(gfid, fd, 0, 5000), &[5; 5000]));
    assert_eq!(s.server.intake(conn), Intake::Wait);
    let calls = s.storage.calls;
    s.storage.no_buffers = false;
    let other = s.connect();
    s.call(other, Procedure::PING, &DumpArgs::CLIENT);
    assert_eq!(s.replies(conn)[0].1.result(), (5000, 0));
    assert_eq!(s.storage.calls, calls + 1);
    assert_eq!(s.read(conn, gfid, fd, 0, 9000).2, [5; 5000]);
}

#[test]
fn a_read_without_a_buffer_waits_until_another_is_sent() {
    let memory = MemoryLimits { buffer_bytes: 340 * 1024, ..MemoryLimits::SMALL };
    let mut s = Harness::with(ServerLimits::SMALL, memory);
    let (a, b) = (s.mount(), s.mount());
    let (gfid, fd) = s.create(a, "f");
    s.write(a, gfid, fd, 0, &[1; 120_000]);
    s.deafen(a, true);
    let read =
        |fd| Request::Read(Read { gfid, fd, offset: 0, size: 120_000, flag: 0, xdata: Dict::Null });
    for n in 0..2 {
        s.send(a, &fop_record(n, read(fd), &[]));
    }
    s.send(b, &fop_record(7, read(-2), &[]));
    assert_eq!(s.server.intake(b), Intake::Wait, "all buffers are the deaf one's");
    s.deafen(a, false);
    assert_eq!(s.replies(a).len(), 2);
    let replies = s.replies(b);
    assert_eq!(replies[0].1.result(), (120_000, 2));
    assert_eq!(s.storage.buffers(), 0);
}

#[test]
fn a_client_that_goes_in_the_middle_of_a_write_leaves_nothing() {
    let mut s = Harness::new();
    let conn = s.mount();
    let (gfid, fd) = s.create(conn, "f");
    s.cut = 500;
    s.send(conn, &fop_record(9, write(gfid, fd, 0, 5000), &[5; 5000])[..3000]);
    assert_eq!(s.storage.buffers(), 1);
    s.close(conn);
    assert_eq!((s.storage.buffers(), s.server.usage()), (0, Default::default()));
    let again = s.mount();
    assert_eq!(s.stat(again, gfid).unwrap().size, 0, "half a write is none");
}

#[test]
fn a_client_that_goes_with_calls_pending_leaves_nothing() {
    let mut s = Harness::new();
    let conn = s.mount();
    let (gfid, fd) = s.create(conn, "f");
    s.write(conn, gfid, fd, 0, &[1; 1000]);
    s.storage.hold = true;
    let read = Request::Read(Read { gfid, fd, offset: 0, size: 1000, flag: 0, xdata: Dict::Null });
    for n in 0..4 {
        s.send(conn, &fop_record(n, read, &[]));
    }
    s.send(conn, &fop_record(9, write(gfid, fd, 0, 3), b"abc"));
    s.deafen(conn, true);
    s.finish(1);
    s.close(conn);
    let reused = s.connect();
    while s.storage.held() > 0 {
        s.finish(0);
    }
    assert!(s.records(reused).is_empty(), "nobody gets another's answers");
    s.close(reused);
    assert_eq!((s.server.usage(), s.storage.buffers()), (Default::default(), 0));
    assert_eq!(s.storage.memory.usage().files, 0);
}

#[test]
fn more_connections_than_there_is_room_for_are_turned_away() {
    let mut s = with(|limits| limits.connections = 2);
    let (a, _) = (s.mount(), s.connect());
    assert!(s.connect_from(Peer::default()).is_none());
    s.close(a);
    assert!(s.connect_from(Peer::default()).is_some());
}

#[test]
fn the_id_of_a_connection_that_is_over_means_nothing() {
    let mut s = Harness::new();
    let old = s.mount();
    s.close(old);
    let new = s.mount();
    assert_ne!(old, new);
    assert_eq!(s.server.intake(old), Intake::Closed);
    let call = fop_record(1, stat_root(), &[]);
    s.server.received(old, &call, s.now, &s.exports, &mut s.storage);
    s.server.sent(old, 100, s.now, &mut s.storage);
    s.server.closed(old, s.now, &mut s.storage);
    s.pump();
    assert!(s.records(new).is_empty());
    assert_eq!(s.fop(new, stat_root()).result(), (0, 0));
}

#[test]
fn limits_with_which_no_call_could_be_answered_are_refused() {
    let limits = ServerLimits { head_bytes: 1279, ..ServerLimits::SMALL };
    let server = Server::new(ServerConfig::default(), &limits, ServerMemory::on_heap(&limits));
    assert_eq!(server.err(), Some(TooSmall { table: "head_bytes", has: 1279, needs: 1280 }));
}

#[test]
fn lent_tables_that_are_larger_than_the_limits_change_nothing() {
    let limits = ServerLimits::SMALL;
    let large = ServerLimits { connections: 80, jobs: 200, blocks: 20, ..limits };
    let mut memory = ServerMemory::on_heap(&large);
    memory.heads = ServerMemory::on_heap(&limits).heads;
    let mut s = Harness::new();
    s.server = Server::new(ServerConfig::default(), &limits, memory).unwrap();
    let conn = s.mount();
    assert_eq!(s.fop(conn, stat_root()).result(), (0, 0), "heads have their room");
    let others = std::iter::from_fn(|| s.connect_from(Peer::default())).take(80);
    assert_eq!(others.count(), usize::from(limits.connections) - 1);
}
