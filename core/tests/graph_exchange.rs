//! Exchanges of graphs that fail half-way, or that the tables barely have room for.

mod client_harness;

use brickwire_core::fop::FopNumber;
use brickwire_core::rpc::Procedure;
use brickwire_core::volume::{GraphError, Op, OpError, Table};
use brickwire_core::xdr::Gfid;
use brickwire_core::{ConnId, FileId, Limits};
use client_harness::{Call, Rig, directory, volfile};

/// A volfile with a translator that is not supported, in line 6.
const UNSUPPORTED: &str = "volume c
    type protocol/client
    option remote-host h
    option remote-subvolume /b
end-volume
volume s
    type features/shard
    subvolumes c
end-volume
";

/// Announces a new volfile and plays everything up to the first fop on the new graph.
fn announce(rig: &mut Rig, brick: &str) {
    rig.spec = volfile("", brick);
    rig.announce();
    for _ in 0..10 {
        rig.answer_handshake();
        rig.accept_dials();
    }
}

fn write(rig: &mut Rig, file: FileId) {
    let write = rig.write(file, 0, b"data");
    let call = rig.expect(FopNumber::Write);
    rig.answer_done(&call, 4);
    assert_eq!(rig.result(write), Some(Ok(4)));
}

/// Answers all OPENs among the calls, and returns their number.
fn answer_opens(rig: &mut Rig) -> usize {
    let (opens, others): (Vec<Call>, Vec<Call>) =
        rig.calls.drain(..).partition(|call| call.fop() == Some(FopNumber::Open));
    rig.calls.extend(others);
    for call in &opens {
        rig.answer_open(call);
    }
    opens.len()
}

fn on(rig: &Rig, path: &str) -> bool {
    rig.volume.bricks().next().is_some_and(|brick| brick.path == path) && rig.volume.is_usable()
}

/// Answers handshakes and OPENs until the volume uses this brick.
fn settle_on(rig: &mut Rig, path: &str) {
    for _ in 0..100 {
        if on(rig, path) {
            return;
        }
        if rig.dialled.is_empty() && rig.calls.is_empty() {
            rig.next_deadline();
        }
        rig.accept_dials();
        rig.answer_handshake();
        answer_opens(rig);
    }
    panic!("not on {path}: {:?}", rig.volume.bricks().next());
}

#[test]
fn a_late_step_of_a_switch_that_failed_is_no_step_of_the_next_one() {
    let mut rig = Rig::up();
    let (dirty, clean) = (rig.open(), rig.open());
    write(&mut rig, dirty);
    announce(&mut rig, "/second");
    // The old graph is asked to flush the file. Before it answers, the new graph breaks.
    let stale = rig.expect(FopNumber::Fsync);
    answer_opens(&mut rig);
    let new = rig.brick_besides(stale.conn);
    rig.breaks(new);
    assert!(on(&rig, "/brick"), "the old graph goes on");
    // Another write. Then the next attempt begins, with a flush of its own.
    write(&mut rig, dirty);
    for _ in 0..20 {
        if rig.calls.iter().any(|call| call.fop() == Some(FopNumber::Fsync)) {
            break;
        }
        if rig.dialled.is_empty() && rig.calls.is_empty() {
            rig.next_deadline();
        }
        rig.accept_dials();
        rig.answer_handshake();
        answer_opens(&mut rig);
    }
    let fresh = rig.expect(FopNumber::Fsync);
    assert_ne!(fresh.xid, stale.xid);
    // This answer belongs to the first attempt and has no effect on the second.
    rig.answer_done(&stale, 0);
    rig.expect_nothing();
    assert!(!on(&rig, "/second"), "the file has not been carried over yet");
    rig.answer_done(&fresh, 0);
    assert_eq!(answer_opens(&mut rig), 1);
    assert!(on(&rig, "/second"));
    for file in [dirty, clean] {
        write(&mut rig, file);
    }
}

#[test]
fn a_late_failure_of_a_flush_of_a_switch_that_failed_is_not_forgotten() {
    let mut rig = Rig::up();
    let file = rig.open();
    write(&mut rig, file);
    announce(&mut rig, "/second");
    let stale = rig.expect(FopNumber::Fsync);
    let new = rig.brick_besides(stale.conn);
    rig.breaks(new);
    rig.fails(&stale, 5);
    let flush = rig.flush(file);
    assert_eq!(rig.result(flush), Some(Err(OpError::WritesLost)));
}

#[test]
fn a_new_graph_that_fails_again_and_again_is_tried_with_pauses() {
    let mut rig = Rig::up();
    let file = rig.open();
    rig.spec = volfile("", "/second");
    rig.announce();
    let mut fetched = 0;
    while rig.now.as_nanos() < 30_000_000_000 {
        let calls: Vec<Call> = rig.calls.drain(..).collect();
        for call in calls {
            match call.fop() {
                // The LOOKUP of the root fails on the new brick.
                Some(FopNumber::Lookup) => rig.fails(&call, 116),
                _ => {
                    fetched += usize::from(call.procedure == Procedure::GETSPEC);
                    rig.calls.push_back(call);
                    rig.answer_handshake();
                }
            }
        }
        rig.accept_dials();
        if rig.dialled.is_empty() && rig.calls.is_empty() {
            rig.next_deadline();
        }
    }
    assert!((5..=15).contains(&fetched), "{fetched} times in half a minute");
    rig.calls.clear();
    write(&mut rig, file);
}

#[test]
fn a_new_graph_that_never_answers_holds_nobody_for_longer_than_an_operation_may_take() {
    let mut rig = Rig::up();
    let file = rig.open();
    rig.spec = volfile("", "/second");
    rig.announce();
    for _ in 0..10 {
        // The new brick answers everything but the LOOKUP of its root, pings included.
        if rig.calls.iter().any(|call| call.fop() == Some(FopNumber::Lookup)) {
            break;
        }
        rig.answer_handshake();
        rig.accept_dials();
    }
    let begun = rig.now;
    rig.after_ms(1_000);
    let waiting = rig.write(file, 0, b"data");
    while rig.volume.bricks().next().is_some() && !rig.volume.is_usable() {
        rig.next_deadline();
        let calls: Vec<Call> = rig.calls.drain(..).collect();
        for call in calls {
            match call.procedure {
                Procedure::PING => rig.answer_with(&call, |w| w.raw(&[0; 12]).unwrap()),
                _ => rig.calls.push_back(call),
            }
        }
    }
    assert!(rig.now.since(begun).as_secs() <= 60);
    rig.calls.retain(|call| call.fop() == Some(FopNumber::Write));
    let call = rig.expect(FopNumber::Write);
    rig.answer_done(&call, 4);
    assert_eq!(rig.result(waiting), Some(Ok(4)), "on the old graph");
}

#[test]
fn a_file_that_is_closed_while_files_move_is_closed_without_an_error() {
    let mut rig = Rig::up();
    let (file, other) = (rig.open(), rig.open());
    write(&mut rig, file);
    announce(&mut rig, "/second");
    let close = rig.submit(Op::Close { file }, Vec::new());
    assert_eq!(rig.result(close), None, "it waits as everything does");
    let fsync = rig.expect(FopNumber::Fsync);
    rig.answer_done(&fsync, 0);
    answer_opens(&mut rig);
    let flush = rig.expect(FopNumber::Flush);
    rig.answer(&flush, &brickwire_core::fop::wire::Reply::plain(0, 0));
    assert_eq!(rig.result(close), Some(Ok(0)));
    rig.expect(FopNumber::Release);
    write(&mut rig, other);
}

#[test]
fn files_move_through_the_narrowest_tables_and_every_handle_survives() {
    let limits = Limits {
        ops: 1,
        frames: 2,
        calls: 2,
        files: 5,
        inodes: 5,
        fds: 10,
        conns: 3,
        ..Limits::FIRMWARE
    };
    let mut rig = Rig::with(|_| {}, limits);
    rig.bring_up();
    let files: Vec<FileId> = (0..5).map(|_| rig.open()).collect();
    for file in [files[0], files[3]] {
        write(&mut rig, file);
    }
    for path in ["/second", "/third", "/brick"] {
        rig.spec = volfile("", path);
        rig.announce();
        for _ in 0..60 {
            rig.accept_dials();
            rig.answer_handshake();
            answer_opens(&mut rig);
            let calls: Vec<Call> = rig.calls.drain(..).collect();
            for call in calls {
                match call.fop() {
                    Some(FopNumber::Fsync) => rig.answer_done(&call, 0),
                    _ => rig.calls.push_back(call),
                }
            }
        }
        assert!(on(&rig, path), "{path}");
        for file in &files {
            write(&mut rig, *file);
        }
    }
    assert_eq!(rig.volume.in_use().fds, 5);
}

#[test]
fn a_graph_that_there_are_no_connections_for_is_refused_with_numbers_and_the_old_one_goes_on() {
    let limits = Limits { conns: 2, ..Limits::FIRMWARE };
    let mut rig = Rig::with(|_| {}, limits);
    rig.bring_up();
    let file = rig.open();
    let brick = rig.brick();
    rig.breaks(brick);
    let waits = rig.write(file, 0, b"data");
    rig.spec = volfile("", "/second");
    rig.announce();
    rig.answer_handshake();
    let refused = GraphError::TooLarge { table: Table::Conns, has: 2, needs: 3 };
    assert_eq!(rig.volume.session_status().graph_error, Some(refused));
    assert_eq!(rig.result(waits), None, "who waits for the old graph's brick waits on");
    settle_on(&mut rig, "/brick");
    let call = rig.expect(FopNumber::Write);
    rig.answer_done(&call, 4);
    assert_eq!(rig.result(waits), Some(Ok(4)));
}

#[test]
fn a_volfile_that_is_longer_than_its_buffer_is_refused_with_both_numbers() {
    // In one piece, in several pieces, and longer than any record may be.
    for (len, step) in [(1500, 8192), (1500, 100), (6000, 8192)] {
        let limits = Limits { volfile_bytes: 1024, block_bytes: 4096, ..Limits::FIRMWARE };
        let mut rig = Rig::with(|_| {}, limits);
        let op = rig.submit(Op::Start, Vec::new());
        rig.accept_dials();
        let call = rig.calls.pop_front().unwrap();
        let mut spec = volfile("", "/brick");
        while spec.len() < len {
            spec.insert_str(0, "# a comment\n");
        }
        let record = rig.getspec_record(&call, &spec);
        for piece in record.chunks(step) {
            rig.deliver(call.conn, piece);
        }
        match rig.result(op) {
            Some(Err(OpError::Graph(GraphError::TooLarge { table, has, needs }))) => {
                assert_eq!(table, Table::VolfileBytes);
                assert!(needs as usize >= spec.len() && has < needs, "{has} {needs}");
            }
            other => panic!("{len} by {step}: {other:?}"),
        }
    }
}

#[test]
fn what_is_asked_of_a_volume_whose_graph_was_refused_is_refused_at_once() {
    let mut rig = Rig::new();
    rig.spec = UNSUPPORTED.into();
    rig.accept_dials();
    rig.answer_handshake();
    let late = rig.submit(Op::Stat { path: b"a", follow: true }, Vec::new());
    assert!(
        matches!(rig.result(late), Some(Err(OpError::Graph(GraphError::Unsupported { .. })))),
        "{:?}",
        rig.result(late)
    );
    // A usable volfile ends the refusals.
    rig.spec = volfile("", "/brick");
    rig.announce();
    rig.bring_up();
}

#[test]
fn a_brick_that_flaps_while_files_move_leaves_those_who_wait_waiting() {
    let mut rig = Rig::up();
    let file = rig.open();
    let write = rig.write(file, 0, b"data");
    rig.expect(FopNumber::Write);
    let old: ConnId = rig.brick();
    // The write is in flight when its connection breaks. Before the brick is back, a new graph
    // comes and fails.
    rig.breaks(old);
    announce(&mut rig, "/second");
    let new = rig.brick();
    rig.breaks(new);
    assert_eq!(rig.result(write), None, "whether it happened shows when the brick is back");
    rig.process = "brick-process-2".into();
    for _ in 0..100 {
        if rig.result(write).is_some() {
            break;
        }
        if rig.dialled.is_empty() && rig.calls.is_empty() {
            rig.next_deadline();
        }
        rig.accept_dials();
        rig.answer_handshake();
        answer_opens(&mut rig);
        let calls: Vec<Call> = rig.calls.drain(..).collect();
        for call in calls {
            match call.fop() {
                Some(FopNumber::Write) => rig.answer_done(&call, 4),
                _ => rig.calls.push_back(call),
            }
        }
    }
    assert_eq!(rig.result(write), Some(Ok(4)));
}

#[test]
fn options_that_change_while_the_first_root_is_looked_up_do_not_leave_the_volume_waiting_for_ever()
{
    let mut rig = Rig::new();
    let start = rig.submit(Op::Start, Vec::new());
    for _ in 0..20 {
        if rig.calls.iter().any(|call| call.fop() == Some(FopNumber::Lookup)) {
            break;
        }
        rig.accept_dials();
        rig.answer_handshake();
    }
    let root = rig.expect(FopNumber::Lookup);
    // The same graph with other options: its nodes take over the connections of the old ones.
    rig.spec = volfile("    option ping-timeout 7\n", "/brick");
    rig.announce();
    for _ in 0..5 {
        rig.answer_handshake();
    }
    rig.answer_lookup(&root, directory(Gfid::ROOT));
    assert_eq!(rig.result(start), Some(Ok(0)));
    assert!(rig.volume.is_usable());
}

#[test]
fn bytes_held_for_the_process_of_the_old_graph_are_free_on_the_new_one() {
    for process in ["brick-process-2", client_harness::PROCESS] {
        let mut rig = Rig::with(|config| config.op_timeout_ms = 5_000, Limits::FIRMWARE);
        rig.bring_up();
        let file = rig.open();
        rig.write(file, 0, b"old data");
        rig.expect(FopNumber::Write);
        rig.after_ms(5_000);
        rig.process = process.into();
        announce(&mut rig, "/other");
        settle_on(&mut rig, "/other");
        rig.calls.clear();
        rig.write(file, 4, b"new data");
        let sent = rig.calls.iter().filter(|call| call.fop() == Some(FopNumber::Write)).count();
        // The same process may still execute the old write.
        assert_eq!(sent, usize::from(process != client_harness::PROCESS), "{process}");
    }
}
