//! Tests of the loop without a peer, and with one played by the test.

use brickwire_core::volume::{Config, Range, Server};

use super::*;

/// A loop whose volfile server does not exist: operations wait for it.
fn engine() -> Engine {
    let mut config = Config::new();
    config.volume = "vms".try_into().unwrap();
    config
        .servers
        .push(Server::Unix { path: "/nowhere/glusterd.socket".try_into().unwrap() })
        .unwrap();
    config.entropy = [7; 32];
    Engine::new(config, &Options::new(), Instant::now()).unwrap()
}

fn begin(engine: &Engine, value: &[u8]) -> (OpId, Ticket) {
    let ticket = engine.peek(|state| state.new_ticket());
    let op = Op::SetXattr { path: b"a", name: b"user.a", len: value.len() as u32, flags: 0 };
    (engine.submit(op, Lent::readable(value), Target::Caller(ticket)).unwrap(), ticket)
}

fn resolves(engine: &Engine, op: OpId) -> bool {
    engine.peek(|state| state.buffers().read(Range { op, at: 0, len: 1 }).is_some())
}

#[test]
fn an_operation_that_is_given_up_leaves_no_buffer_behind() {
    let engine = engine();
    let value = [1; 16];
    let (op, ticket) = begin(&engine, &value);
    assert!(resolves(&engine, op));
    engine.give_up(op, ticket);
    assert!(!resolves(&engine, op));
    assert_eq!(engine.peek(|state| state.in_flight), 0);
}

#[test]
fn what_names_a_former_operation_of_a_slot_finds_nothing() {
    let engine = engine();
    let value = [1; 16];
    let (first, ticket) = begin(&engine, &value);
    engine.give_up(first, ticket);
    let (second, ticket) = begin(&engine, &value);
    assert_eq!(first.slot(), second.slot(), "the slot is used again");
    assert!(resolves(&engine, second) && !resolves(&engine, first));
    engine.give_up(second, ticket);
}

#[test]
fn an_outcome_waits_for_its_owner_while_the_slot_is_used_again() {
    let engine = engine();
    let value = [1; 16];
    let (first, slow) = begin(&engine, &value);
    engine.with(|state| {
        let now = state.now();
        state.volume.cancel(first, now);
    });
    let (second, ticket) = begin(&engine, &value);
    assert_eq!(first.slot(), second.slot(), "the slot is used again");
    assert!(engine.peek(|state| state.take_outcome(ticket)).is_none());
    assert!(engine.peek(|state| state.take_outcome(slow)).is_some_and(|outcome| outcome.is_err()));
    engine.give_up(second, ticket);
}

#[test]
fn the_end_comes_at_once_although_operations_wait() {
    let engine = engine();
    let value = [1; 16];
    let (_, ticket) = begin(&engine, &value);
    let begin = Instant::now();
    engine.stop(Duration::from_secs(1));
    assert!(begin.elapsed() < Duration::from_millis(100), "{:?}", begin.elapsed());
    assert!(
        engine.peek(|state| state.take_outcome(ticket)).is_some_and(|outcome| outcome.is_err())
    );
}

/// A reply to GETSPEC, as glusterd sends it.
fn getspec_reply(xid: u32, spec: &[u8]) -> Vec<u8> {
    use brickwire_core::rpc::handshake::{GetspecReply, Opaque};
    use brickwire_core::rpc::{RecordMark, ReplyHeader, ReplyStatus};
    use brickwire_core::xdr::{Encode, Writer};
    let mut room = vec![0; spec.len() + 200];
    let mut w = Writer::new(&mut room);
    w.u32(0).unwrap();
    ReplyHeader { xid, status: ReplyStatus::Success }.encode(&mut w).unwrap();
    let (op_ret, xdata) = (spec.len() as i32, Opaque::Bytes(&[]));
    GetspecReply { op_ret, op_errno: 0, spec, xdata }.encode(&mut w).unwrap();
    let len = w.position();
    w.patch_u32(0, RecordMark::last(len as u32 - 4));
    room.truncate(len);
    room
}

#[test]
fn bytes_that_the_core_had_no_room_for_are_not_overtaken_by_later_ones() {
    use std::io::Read;
    let path = std::env::temp_dir().join(format!("brickwire-held-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let mut config = Config::new();
    config.volume = "vms".try_into().unwrap();
    config.servers.push(Server::Unix { path: path.to_str().unwrap().try_into().unwrap() }).unwrap();
    config.entropy = [7; 32];
    let engine = Engine::new(config, &Options::new(), Instant::now()).unwrap();
    engine.with(|_| ());
    let mut call = [0; 8];
    listener.accept().unwrap().0.read_exact(&mut call).unwrap();
    std::fs::remove_file(&path).unwrap();
    let spec =
        b"volume c\n type protocol/client\n option remote-host h\n option remote-subvolume /b\n\
        end-volume\n";
    let reply = getspec_reply(u32::from_be_bytes(call[4..].try_into().unwrap()), spec);
    let (first, second) = reply.split_at(reply.len() / 2);
    let poller = &engine.poller;
    let seen = engine.peek(|state| {
        let id = state.conns.iter().flatten().next().expect("the connection to glusterd").id;
        let Some(connections::Conn { io: connections::Io::Open(stream), .. }) = state.conn(id)
        else {
            panic!("it is open");
        };
        stream.held = Some(first.to_vec());
        state.feed(id, second, poller);
        assert!(state.volume.volfile().is_empty());
        state.resume(id, poller);
        state.volume.volfile().to_vec()
    });
    assert_eq!(seen, spec);
}

#[test]
fn a_forked_child_that_drops_the_volume_leaves_the_parents_connections_alone() {
    let mut engine = engine();
    let value = [1; 16];
    let (op, ticket) = begin(&engine, &value);
    // As in a forked child: the loop belongs to another process.
    engine.owner = engine.owner.wrapping_add(1);
    engine.stop(Duration::from_secs(1));
    assert!(resolves(&engine, op), "the parent's operation goes on");
    assert!(engine.peek(|state| !state.stopped && state.in_flight == 1));
    engine.give_up(op, ticket);
}

#[test]
fn a_forked_child_that_drops_a_file_sends_nothing_on_the_parents_connections() {
    let mut engine = engine();
    engine.owner = engine.owner.wrapping_add(1);
    engine.forget(Op::Start);
    assert_eq!(engine.peek(|state| state.in_flight), 0);
}

/// Takes the engine's lock when it is dropped, as a `File` does.
struct LocksWhenDropped(std::sync::Arc<Engine>);

impl Drop for LocksWhenDropped {
    fn drop(&mut self) {
        self.0.peek(|_| ());
    }
}

#[test]
fn a_callback_that_owns_a_file_may_be_refused() {
    let (done, wait) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let engine = std::sync::Arc::new(engine());
        engine.stop(Duration::from_secs(1));
        let owned = LocksWhenDropped(engine.clone());
        let call = Box::new(move |_: Outcome, _: Vec<u8>| drop(owned));
        let target = Target::Callback { buffer: Vec::new(), call };
        let _ = done.send(engine.submit(Op::Start, Lent::NONE, target).is_err());
    });
    assert!(wait.recv_timeout(Duration::from_secs(10)).expect("the refusal returns"));
}

#[test]
fn a_leader_that_fails_does_not_leave_its_followers_parked() {
    let (done, wait) = std::sync::mpsc::channel();
    let mut engine = engine();
    engine.break_poller();
    let engine = std::sync::Arc::new(engine);
    engine.peek(|state| state.leading = true);
    let follower = engine.clone();
    std::thread::spawn(move || {
        let _ = done.send(follower.drive(Waits::Other, None, |_| None::<()>).is_err());
    });
    while engine.peek(|state| state.parked.is_empty()) {
        std::thread::yield_now();
    }
    engine.peek(|state| state.leading = false);
    assert!(engine.drive(Waits::Other, None, |_| None::<()>).is_err());
    assert!(wait.recv_timeout(Duration::from_secs(10)).expect("the follower returns"));
}
