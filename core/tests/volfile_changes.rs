//! Volfiles that change, and announcements that change nothing, while a graph comes up.

mod client_harness;

use std::collections::BTreeSet;

use brickwire_core::Limits;
use brickwire_core::fop::FopNumber;
use brickwire_core::rpc::Procedure;
use brickwire_core::volume::OpError;

use client_harness::{Rig, volfile};

/// The process-uuids of SETVOLUMEs that are to be answered.
fn process_uuids(rig: &Rig) -> Vec<String> {
    let calls = rig.calls.iter().filter(|call| call.procedure == Procedure::SETVOLUME);
    calls
        .map(|call| {
            let at = call.body.windows(7).position(|bytes| bytes == b"CTX_ID:").unwrap();
            let text = call.body[at..].split(|byte| *byte == 0).next().unwrap();
            String::from_utf8(text.to_vec()).unwrap()
        })
        .collect()
}

#[test]
fn a_new_graph_comes_up_however_often_other_volumes_change() {
    let mut rig = Rig::up();
    rig.spec = volfile("", "/other-brick");
    rig.announce();
    for _ in 0..40 {
        rig.answer_handshake();
        if rig.volume.bricks().next().unwrap().path == "/other-brick" {
            return;
        }
        // Before each further step of the new brick's handshake another volume changes.
        rig.announce();
        let fetches = rig.calls.iter().filter(|call| call.procedure == Procedure::GETSPEC).count();
        assert!(fetches <= 1);
        rig.accept_dials();
    }
    panic!("the new graph does not come up");
}

#[test]
fn a_new_graph_that_cannot_come_up_gives_way_to_a_newer_volfile() {
    let mut rig = Rig::up();
    rig.spec = volfile("", "/wrong-brick");
    rig.announce();
    rig.answer_handshake();
    let (conn, _) = rig.dialled.pop().expect("the wrong brick's portmapper is dialled");
    rig.spec = volfile("", "/right-brick");
    rig.announce();
    rig.volume.closed(conn, brickwire_core::volume::Closed::Refused, rig.now);
    rig.pump();
    for _ in 0..20 {
        rig.answer_handshake();
        if rig.volume.bricks().next().unwrap().path == "/right-brick" {
            return;
        }
        if rig.dialled.is_empty() && rig.calls.is_empty() {
            rig.next_deadline();
        }
        rig.accept_dials();
    }
    panic!("the newer volfile is not used");
}

/// Plays glusterd and the bricks until the volume rests, and notes the process-uuids on the way.
fn settle(rig: &mut Rig, seen: &mut BTreeSet<String>) {
    for _ in 0..60 {
        for uuid in process_uuids(rig) {
            assert!(seen.insert(uuid.clone()), "twice: {uuid}");
        }
        rig.answer_handshake();
        rig.accept_dials();
        if rig.calls.is_empty() {
            if rig.volume.is_usable() {
                return;
            }
            rig.next_deadline();
        }
    }
    panic!("the volume does not settle");
}

#[test]
fn no_two_connections_have_the_same_process_uuid() {
    let mut rig = Rig::new();
    let mut seen = BTreeSet::new();
    settle(&mut rig, &mut seen);
    // Each volfile differs in an option, which the connections take as they are, or in the brick,
    // which gets a connection of its own; then the connection breaks so many times.
    let steps = [("/brick", 1), ("/brick", 1), ("/second", 0), ("/second", 2), ("/third", 1)];
    for (step, (brick, breaks)) in steps.into_iter().enumerate() {
        rig.spec = volfile(&format!("    option ping-timeout {}\n", 20 + step), brick);
        rig.announce();
        settle(&mut rig, &mut seen);
        for _ in 0..breaks {
            let brick = rig.brick();
            rig.breaks(brick);
            settle(&mut rig, &mut seen);
        }
    }
    assert_eq!(seen.len(), 8, "{seen:?}");
}

#[test]
fn a_write_that_times_out_while_graphs_are_exchanged_was_sent() {
    let limits = Limits { ops: 16, frames: 32, calls: 64, conns: 5, ..Limits::FIRMWARE };
    let mut rig = Rig::with(|config| config.op_timeout_ms = 5_000, limits);
    rig.bring_up();
    let file = rig.open();
    let write = rig.write(file, 0, b"block");
    rig.expect(FopNumber::Write);
    rig.after_ms(1_000);
    rig.spec = volfile("", "/other-brick");
    rig.announce();
    // The new graph comes up; the exchange waits for the write on the old one.
    for _ in 0..10 {
        rig.accept_dials();
        rig.answer_handshake();
    }
    assert!(!rig.volume.is_usable());
    rig.after_ms(4_000);
    assert_eq!(rig.result(write), Some(Err(OpError::TimedOut)), "and not: never sent");
}
