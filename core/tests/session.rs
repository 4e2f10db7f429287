//! The session with glusterd and the way of a volume to its first fop, stepped by hand.

mod client_harness;

use brickwire_core::fop::FopNumber;
use brickwire_core::fop::wire::{Body, Reply, Request};
use brickwire_core::rpc::Procedure;
use brickwire_core::rpc::portmap::PortByBrickReply;
use brickwire_core::volume::{
    Closed, ConnectionPhase, Down, GraphError, Op, OpError, Server, SubmitError, Wake,
};
use brickwire_core::xdr::{Dict, Encode, Gfid};
use brickwire_core::{ConnId, Limits};
use client_harness::{FILE, Rig, callback_record, directory, regular, reply_record, volfile};

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

#[test]
fn a_volume_comes_up_over_glusterd_the_portmapper_and_the_brick() {
    let mut rig = Rig::new();
    assert_eq!(rig.volume.deadline().map(|deadline| deadline.why), Some(Wake::Handshake));
    assert_eq!(rig.dialled[0].1, "node1:24007");
    rig.accept_dials();
    assert_eq!(rig.calls[0].procedure, Procedure::GETSPEC);
    rig.answer_handshake();
    assert_eq!(rig.dialled[0].1, "node1:24007", "the portmapper");
    rig.accept_dials();
    assert_eq!(rig.calls[0].procedure, Procedure::PORTBYBRICK);
    rig.answer_handshake();
    assert_eq!(rig.dialled[0].1, "node1:49152", "the brick");
    rig.accept_dials();
    assert_eq!(rig.calls[0].procedure, Procedure::DUMP);
    rig.answer_handshake();
    assert_eq!(rig.calls[0].procedure, Procedure::SETVOLUME);
    rig.answer_handshake();
    assert!(!rig.volume.is_usable(), "the root has not been looked up");
    assert_eq!(rig.calls[0].fop(), Some(FopNumber::Lookup));
    rig.answer_handshake();
    assert!(rig.volume.is_usable());
    // The deadline of the ping was set with the first call; it finds that no answer is owed.
    rig.next_deadline();
    rig.expect_nothing();
    assert_eq!(rig.volume.deadline(), None, "nothing is owed, so nothing is waited for");
}

#[test]
fn an_operation_submitted_before_the_volume_is_up_waits_for_it() {
    let mut rig = Rig::new();
    let op = rig.submit(Op::Stat { path: b"/", follow: true }, Vec::new());
    rig.bring_up();
    assert_eq!(rig.result(op), None);
    let call = rig.expect(FopNumber::Lookup);
    rig.answer_lookup(&call, directory(Gfid::ROOT));
    assert_eq!(rig.result(op), Some(Ok(0)));
}

#[test]
fn servers_are_tried_in_turn_and_who_waits_is_told_when_none_answers() {
    let mut rig = Rig::with(
        |config| {
            config
                .servers
                .push(Server::Tcp { host: "node2".try_into().unwrap(), port: 24008 })
                .unwrap();
        },
        Limits::FIRMWARE,
    );
    let op = rig.submit(Op::Start, Vec::new());
    let mut tried = Vec::new();
    while rig.result(op).is_none() {
        while let Some((conn, to)) = rig.dialled.pop() {
            tried.push(to);
            rig.volume.closed(conn, Closed::Refused, rig.now);
            rig.pump();
        }
        if rig.result(op).is_none() {
            rig.next_deadline();
        }
    }
    assert_eq!(
        tried,
        ["node1:24007", "node2:24008", "node1:24007", "node2:24008", "node1:24007", "node2:24008"]
    );
    assert_eq!(rig.result(op), Some(Err(OpError::NotConnected(Down::Closed(Closed::Refused)))));
    assert!(rig.now.as_nanos() < 2_000_000_000, "told soon: {:?}", rig.now);
}

#[test]
fn a_brick_that_does_not_run_is_named_and_waited_for() {
    let mut rig = Rig::new();
    let op = rig.submit(Op::Start, Vec::new());
    for _ in 0..40 {
        rig.accept_dials();
        let portmap: Vec<_> =
            rig.calls.iter().filter(|c| c.procedure == Procedure::PORTBYBRICK).cloned().collect();
        rig.calls.retain(|call| call.procedure != Procedure::PORTBYBRICK);
        for call in portmap {
            rig.answer_with(&call, |w| {
                PortByBrickReply { op_ret: -1, op_errno: 0, status: 0, port: 0 }.encode(w).unwrap();
            });
        }
        rig.answer_handshake();
        if rig.result(op).is_some() {
            break;
        }
        if rig.dialled.is_empty() && rig.calls.is_empty() {
            rig.next_deadline();
        }
    }
    assert_eq!(rig.result(op), Some(Err(OpError::NotConnected(Down::BrickNotRunning))));
    assert_eq!(rig.volume.bricks().next().unwrap().phase, ConnectionPhase::Waiting);
    // The attempts go on: once the brick is started, the volume comes up.
    for _ in 0..40 {
        if rig.volume.is_usable() {
            return;
        }
        if rig.dialled.is_empty() && rig.calls.is_empty() {
            rig.next_deadline();
        }
        rig.accept_dials();
        rig.answer_handshake();
    }
    panic!("the brick came and was not noticed");
}

#[test]
fn a_server_that_never_answers_is_given_up_at_the_deadline() {
    let mut rig = Rig::new();
    let op = rig.submit(Op::Start, Vec::new());
    rig.accept_dials();
    for _ in 0..20 {
        if rig.result(op).is_some() {
            break;
        }
        rig.next_deadline();
        rig.accept_dials();
    }
    assert_eq!(rig.result(op), Some(Err(OpError::NotConnected(Down::HandshakeTimeout))));
    assert!(rig.now.as_nanos() <= 31_000_000_000, "{:?}", rig.now);
}

#[test]
fn a_graph_that_needs_a_translator_that_is_not_there_is_refused_by_name() {
    let mut rig = Rig::new();
    rig.spec = UNSUPPORTED.into();
    let op = rig.submit(Op::Start, Vec::new());
    rig.accept_dials();
    rig.answer_handshake();
    match rig.result(op) {
        Some(Err(OpError::Graph(GraphError::Unsupported { kind, line }))) => {
            assert_eq!((kind.name(), line), ("features/shard", 6));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_announcement_without_a_change_changes_nothing() {
    let mut rig = Rig::up();
    let before: Vec<ConnId> = rig.closed.clone();
    rig.announce();
    assert_eq!(rig.calls[0].procedure, Procedure::GETSPEC);
    rig.answer_handshake();
    rig.expect_nothing();
    assert_eq!(rig.closed, before);
    assert!(rig.volume.is_usable());
}

#[test]
fn ten_announcements_while_one_is_looked_at_are_one_more_fetch() {
    let mut rig = Rig::up();
    for _ in 0..10 {
        rig.announce();
    }
    assert_eq!(rig.calls.len(), 1);
    rig.answer_handshake();
    assert_eq!(rig.calls.len(), 1, "what was announced meanwhile is fetched once");
    rig.answer_handshake();
    rig.expect_nothing();
}

#[test]
fn options_that_change_take_effect_on_the_connection_as_it_is() {
    let mut rig = Rig::up();
    let file = rig.open();
    let brick = rig.brick();
    rig.spec = volfile("    option ping-timeout 3\n", "/brick");
    rig.announce();
    rig.answer_handshake();
    assert_eq!(rig.brick(), brick);
    let write = rig.write(file, 0, b"data");
    let call = rig.expect(FopNumber::Write);
    // The new ping-timeout: three seconds of silence end the connection.
    rig.after_ms(3_100);
    assert!(rig.closed.contains(&brick), "{:?}", rig.closed);
    let _ = (write, call);
}

#[test]
fn files_move_to_a_new_graph_and_nothing_is_lost_on_the_way() {
    let mut rig = Rig::up();
    let file = rig.open();
    let write = rig.write(file, 0, b"before");
    let call = rig.expect(FopNumber::Write);
    rig.answer_done(&call, 6);
    assert_eq!(rig.result(write), Some(Ok(6)));
    let old = rig.brick();
    let in_flight = rig.write(file, 100, b"in flight");
    let late = rig.expect(FopNumber::Write);

    rig.spec = volfile("", "/other-brick");
    rig.announce();
    for _ in 0..10 {
        rig.answer_handshake();
        rig.accept_dials();
    }
    let waiting = rig.write(file, 200, b"waits");
    rig.expect_nothing();
    assert_eq!(rig.result(waiting), None, "nothing new begins on the old graph");

    rig.answer_done(&late, 9);
    assert_eq!(rig.result(in_flight), Some(Ok(9)), "what was under way finishes where it began");
    let fsync = rig.expect(FopNumber::Fsync);
    assert_eq!(fsync.conn, old);
    rig.answer_done(&fsync, 0);
    let open = rig.expect(FopNumber::Open);
    assert_ne!(open.conn, old);
    rig.answer_open(&open);
    let moved = rig.expect(FopNumber::Write);
    assert_eq!(moved.conn, open.conn);
    match moved.request() {
        Request::Write(write) => assert_eq!((write.fd, write.offset), (1, 200)),
        other => panic!("{other:?}"),
    }
    rig.answer_done(&moved, 5);
    assert_eq!(rig.result(waiting), Some(Ok(5)));
    assert!(rig.closed.contains(&old), "the old graph is gone");
    let flush = rig.flush(file);
    let call = rig.expect(FopNumber::Fsync);
    rig.answer_done(&call, 0);
    assert_eq!(rig.result(flush), Some(Ok(0)));
}

#[test]
fn a_flush_that_fails_while_files_move_is_told_by_the_next_flush() {
    let mut rig = Rig::up();
    let file = rig.open();
    let write = rig.write(file, 0, b"before");
    let call = rig.expect(FopNumber::Write);
    rig.answer_done(&call, 6);
    assert_eq!(rig.result(write), Some(Ok(6)));
    rig.spec = volfile("", "/other-brick");
    rig.announce();
    for _ in 0..10 {
        rig.answer_handshake();
        rig.accept_dials();
    }
    let fsync = rig.expect(FopNumber::Fsync);
    rig.fails(&fsync, 5);
    let open = rig.expect(FopNumber::Open);
    rig.answer_open(&open);
    let flush = rig.flush(file);
    assert_eq!(rig.result(flush), Some(Err(OpError::WritesLost)));
}

#[test]
fn callbacks_in_the_middle_of_answers_with_xids_like_ours_are_no_answers() {
    let mut rig = Rig::up();
    let file = rig.open();
    let read = rig.read(file, 0, 4);
    let call = rig.expect(FopNumber::Read);
    rig.deliver(call.conn, &callback_record(call.xid, 9, &7_u32.to_be_bytes()));
    rig.deliver(call.conn, &callback_record(call.xid, 77, b"who knows"));
    assert_eq!(rig.result(read), None);
    rig.answer_read(&call, b"data");
    assert_eq!(rig.result(read), Some(Ok(4)));
}

#[test]
fn a_silent_peer_is_asked_and_then_given_up() {
    let mut rig = Rig::up();
    let file = rig.open();
    let brick = rig.brick();
    let read = rig.read(file, 0, 4);
    rig.expect(FopNumber::Read);
    rig.after_ms(21_500);
    let ping = rig.calls.pop_front().expect("a ping");
    assert_eq!(ping.procedure, Procedure::PING);
    assert_eq!(rig.result(read), None);
    rig.after_ms(21_000);
    assert!(rig.closed.contains(&brick));
    assert_eq!(rig.volume.bricks().next().unwrap().down, Some(Down::PingTimeout));
}

#[test]
fn a_peer_that_has_answered_a_ping_at_too_great_a_length_is_asked_again() {
    let mut rig = Rig::up();
    let file = rig.open();
    let brick = rig.brick();
    rig.read(file, 0, 4);
    rig.expect(FopNumber::Read);
    for _ in 0..3 {
        rig.after_ms(21_500);
        let ping = rig.calls.pop_front().expect("a ping");
        assert_eq!(ping.procedure, Procedure::PING);
        for piece in reply_record(ping.xid, |w| w.raw(&[0; 4000]).unwrap()).chunks(1000) {
            rig.deliver(brick, piece);
        }
        assert!(!rig.closed.contains(&brick));
    }
}

#[test]
fn a_host_that_slept_for_a_day_kills_nobody_who_may_have_answered() {
    let mut rig = Rig::up();
    let file = rig.open();
    let brick = rig.brick();
    let read = rig.read(file, 0, 4);
    let call = rig.expect(FopNumber::Read);
    // After the pause of the loop, bytes are delivered before time.
    rig.now = rig.now.plus_millis(24 * 3600 * 1000);
    rig.answer_read(&call, b"data");
    assert_eq!(rig.result(read), Some(Ok(4)));
    rig.at(rig.now);
    assert!(!rig.closed.contains(&brick));
}

#[test]
fn a_stopped_volume_ends_everything_and_takes_nothing_more() {
    let mut rig = Rig::up();
    let file = rig.open();
    let read = rig.read(file, 0, 4);
    rig.expect(FopNumber::Read);
    let stop = rig.submit(Op::Stop, Vec::new());
    assert_eq!(rig.result(read), Some(Err(OpError::Stopped)));
    assert_eq!(rig.result(stop), Some(Ok(0)));
    assert_eq!(rig.closed.len(), 3, "portmapper, brick, glusterd: {:?}", rig.closed);
    assert_eq!(rig.volume.submit(Op::Start, rig.now), Err(SubmitError::Stopped));
    assert_eq!(rig.volume.deadline(), None);
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let run = || {
        let mut rig = Rig::up();
        let op = rig.submit(Op::Mkdir { path: b"d", mode: 0o755 }, Vec::new());
        let call = rig.expect(FopNumber::Mkdir);
        let body = Body::Entry {
            stat: directory(FILE),
            preparent: regular(FILE, 0),
            postparent: regular(FILE, 0),
        };
        rig.answer(&call, &Reply { op_ret: 0, op_errno: 0, xdata: Dict::Null, body });
        assert_eq!(rig.result(op), Some(Ok(0)));
        (call.xid, call.body)
    };
    assert_eq!(run(), run());
}

#[test]
fn a_host_that_is_no_text_is_refused_with_the_volfile() {
    let mut rig = Rig::new();
    let op = rig.submit(Op::Start, Vec::new());
    rig.accept_dials();
    let call = rig.calls.pop_front().unwrap();
    let spec = volfile("", "/brick");
    rig.answer_with(&call, |w| {
        let mut spec = spec.clone().into_bytes();
        let at = spec.windows(5).position(|bytes| bytes == b"node1").unwrap();
        spec[at] = 0xff;
        w.i32(spec.len() as i32).unwrap();
        w.i32(0).unwrap();
        w.opaque(&spec).unwrap();
        w.opaque(b"").unwrap();
    });
    let refused = OpError::Graph(GraphError::Option { key: "remote-host", line: 1 });
    assert_eq!(rig.result(op), Some(Err(refused)));
}

#[test]
fn a_glusterd_that_comes_back_while_a_new_graph_comes_up_is_asked_again() {
    let mut rig = Rig::up();
    let file = rig.open();
    rig.spec = volfile("", "/other-brick");
    rig.announce();
    rig.answer_handshake();
    // The new brick is being dialled when glusterd's connection breaks; it returns with a third
    // volfile.
    let glusterd = rig.glusterd();
    rig.dialled.clear();
    rig.breaks(glusterd);
    rig.spec = volfile("", "/third-brick");
    for _ in 0..12 {
        if rig.dialled.is_empty() && rig.calls.is_empty() {
            if rig.volume.deadline().is_none() {
                break;
            }
            rig.next_deadline();
        }
        rig.accept_dials();
        rig.answer_handshake();
        if let Some(at) = rig.calls.iter().position(|call| call.fop() == Some(FopNumber::Open)) {
            let open = rig.calls.remove(at).unwrap();
            rig.answer_open(&open);
        }
    }
    assert_eq!(rig.volume.bricks().next().unwrap().path, "/third-brick");
    let write = rig.write(file, 0, b"data");
    let call = rig.expect(FopNumber::Write);
    rig.answer_done(&call, 4);
    assert_eq!(rig.result(write), Some(Ok(4)));
}

#[test]
fn bricks_are_told_the_callers_groups_unless_the_volume_has_them_look_by_themselves() {
    for (options, expected) in [
        ("", &[0, 0, 0, 27, 0, 0, 3, 232][..]),
        ("    option send-gids true\n", &[0, 0, 0, 27, 0, 0, 3, 232]),
        ("    option send-gids false\n", &[]),
    ] {
        let mut rig = Rig::with(
            |config| {
                config.identity.uid = 1000;
                config.groups.extend_from_slice(&[27, 1000]).unwrap();
            },
            Limits::FIRMWARE,
        );
        rig.spec = volfile(options, "/brick");
        rig.bring_up();
        rig.submit(Op::Stat { path: b"f", follow: true }, Vec::new());
        assert_eq!(rig.expect(FopNumber::Lookup).groups, expected, "{options}");
    }
}

#[test]
fn what_is_no_glusterd_is_not_taken_for_one_with_a_large_volfile() {
    let mut rig = Rig::new();
    let op = rig.submit(Op::Start, Vec::new());
    for _ in 0..20 {
        if rig.result(op).is_some() {
            break;
        }
        if rig.dialled.is_empty() {
            rig.next_deadline();
        }
        rig.accept_dials();
        let glusterd = rig.glusterd();
        rig.deliver(glusterd, b"HTTP/1.1 400 Bad Request\r\n\r\n");
    }
    assert!(
        matches!(rig.result(op), Some(Err(OpError::NotConnected(Down::Peer(_))))),
        "{:?}",
        rig.result(op)
    );
}
