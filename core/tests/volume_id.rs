//! The volume id that bricks name: a brick of another volume is refused, and no brick can keep the
//! right ones away.

mod client_harness;

use brickwire_core::FileId;
use brickwire_core::fop::FopNumber;
use brickwire_core::rpc::Procedure;
use brickwire_core::rpc::handshake::{GetspecReply, Opaque};
use brickwire_core::volume::{Down, Op, OpError};
use brickwire_core::xdr::Encode;
use client_harness::{Rig, volfile};

const OURS: &str = "51515151-5151-4151-9151-515151515151";
const OTHERS: &str = "62626262-6262-4262-9262-626262626262";

/// A volume whose brick has named this id, and one acknowledged write on an open file.
fn up_with(id: &str) -> (Rig, FileId) {
    let mut rig = Rig::new();
    rig.volume_id = id.into();
    rig.bring_up();
    let file = rig.open();
    let write = rig.write(file, 0, b"block");
    let call = rig.expect(FopNumber::Write);
    rig.answer_done(&call, 5);
    assert_eq!(rig.result(write), Some(Ok(5)));
    (rig, file)
}

/// The brick's connection ends, and from now on the brick names this id.
fn brick_returns_with(rig: &mut Rig, id: &str) {
    rig.volume_id = id.into();
    let brick = rig.brick();
    rig.breaks(brick);
}

/// Goes on until the brick was refused for its volume id, with glusterd's calls left open.
fn until_refused(rig: &mut Rig) {
    for _ in 0..50 {
        if rig.volume.bricks().next().unwrap().down == Some(Down::WrongVolume) {
            return;
        }
        if rig.dialled.is_empty() && rig.calls.is_empty() {
            rig.next_deadline();
        }
        rig.accept_dials();
        rig.answer_handshake();
    }
    panic!("the brick is not refused: {:?}", rig.volume.bricks().next());
}

#[test]
fn a_brick_with_another_id_is_accepted_once_glusterd_confirms_the_volume() {
    let (mut rig, file) = up_with(OTHERS);
    brick_returns_with(&mut rig, OURS);
    until_refused(&mut rig);
    assert_eq!(rig.calls[0].procedure, Procedure::GETSPEC, "glusterd is asked");
    for _ in 0..50 {
        if rig.calls.iter().any(|call| call.fop() == Some(FopNumber::Open)) {
            break;
        }
        if rig.dialled.is_empty() && rig.calls.is_empty() {
            rig.next_deadline();
        }
        rig.accept_dials();
        rig.answer_handshake();
    }
    let open = rig.expect(FopNumber::Open);
    rig.answer_open(&open);
    assert!(rig.volume.is_usable());
    assert!(rig.now.as_nanos() < 10_000_000_000, "{:?}", rig.now);
    // The same process name proves nothing: the write may have gone to another volume's brick.
    let flush = rig.flush(file);
    assert_eq!(rig.result(flush), Some(Err(OpError::WritesLost)));
}

#[test]
fn a_brick_with_another_id_stays_refused_when_glusterd_does_not_know_the_volume() {
    let (mut rig, _) = up_with(OURS);
    brick_returns_with(&mut rig, OTHERS);
    until_refused(&mut rig);
    let op = rig.submit(Op::Start, Vec::new());
    for _ in 0..1000 {
        if rig.result(op).is_some() {
            break;
        }
        while let Some(at) = rig.calls.iter().position(|c| c.procedure == Procedure::GETSPEC) {
            let call = rig.calls.remove(at).unwrap();
            rig.answer_with(&call, |w| {
                let xdata = Opaque::Bytes(&[]);
                GetspecReply { op_ret: -1, op_errno: 2, spec: b"", xdata }.encode(w).unwrap();
            });
        }
        if rig.dialled.is_empty() && rig.calls.is_empty() {
            rig.next_deadline();
        }
        rig.accept_dials();
        let calls = rig.calls.iter().filter(|c| c.procedure == Procedure::GETSPEC).count();
        if calls == 0 {
            rig.answer_handshake();
        }
        assert!(!rig.volume.is_usable());
    }
    assert!(matches!(rig.result(op), Some(Err(OpError::NotConnected(_)))), "{:?}", rig.result(op));
}

#[test]
fn a_second_connection_with_another_id_is_refused_while_the_first_one_confirms_ours() {
    let mut rig = Rig::with(
        |config| config.connections_per_brick = 2,
        brickwire_core::Limits { conns: 5, ..brickwire_core::Limits::FIRMWARE },
    );
    rig.volume_id = OURS.into();
    rig.bring_up();
    rig.volume_id = OTHERS.into();
    for _ in 0..20 {
        rig.accept_dials();
        assert!(rig.calls.iter().all(|call| call.procedure != Procedure::GETSPEC));
        rig.answer_handshake();
        if rig.dialled.is_empty() && rig.calls.is_empty() {
            rig.next_deadline();
        }
    }
    assert!(rig.volume.is_usable());
    assert_eq!(rig.volume.bricks().next().unwrap().connections, 1);
}

/// Goes on until a brick of a new graph has been refused for its volume id some times.
fn new_graph_is_refused(rig: &mut Rig, times: usize) {
    let mut refused = 0;
    for _ in 0..100 {
        let logins = rig.calls.iter().filter(|c| c.procedure == Procedure::SETVOLUME).count();
        rig.closed.clear();
        rig.answer_handshake();
        refused += logins.min(rig.closed.len());
        if refused >= times {
            return;
        }
        if rig.dialled.is_empty() && rig.calls.is_empty() {
            rig.next_deadline();
        }
        rig.accept_dials();
    }
    panic!("the new graph is not refused");
}

#[test]
fn a_new_graph_with_another_id_waits_while_the_one_in_use_confirms_its_own() {
    let limits = brickwire_core::Limits { conns: 5, ..brickwire_core::Limits::FIRMWARE };
    let mut rig = Rig::with(|_| {}, limits);
    rig.volume_id = OTHERS.into();
    rig.bring_up();
    rig.volume_id = OURS.into();
    rig.spec = volfile("", "/new-brick");
    rig.announce();
    new_graph_is_refused(&mut rig, 3);
    assert!(rig.volume.is_usable());
    assert_eq!(rig.volume.bricks().next().unwrap().path, "/brick");
    // Nothing confirms the id any more when the connection ends.
    let brick = rig.brick();
    rig.breaks(brick);
    for _ in 0..50 {
        if rig.volume.is_usable() && rig.volume.bricks().next().unwrap().path == "/new-brick" {
            return;
        }
        if rig.dialled.is_empty() && rig.calls.is_empty() {
            rig.next_deadline();
        }
        rig.accept_dials();
        rig.answer_handshake();
    }
    panic!("the new graph does not take over: {:?}", rig.volume.bricks().next());
}
