//! Connections to a brick: how they come up, end, and come back (docs/spec/01-wire.md, "Sequence as
//! captured"; docs/spec/30-client-stack.md, "protocol/client: failure handling").

use super::super::Down;
use super::super::context::{ChildEvent, Context};
use super::super::frames::{Failure, Outcome};
use super::super::node::NodeRef;
use super::reopen::{ReopenWindow, reopen_more};
use super::{LanePhase, fds, window};
use crate::boundary::Closed;
use crate::rpc::dump::{DumpArgs, DumpReply};
use crate::rpc::handshake::SetvolumeReply;
use crate::rpc::portmap::{PortByBrick, PortByBrickReply};
use crate::rpc::transport::{CallError, NewCall, Owner, Purpose, TransportIx};
use crate::rpc::{Cred, PeerError, Procedure, program};
use crate::xdr::{Decode, Encode, Errno, Reader};

/// Begins to connect a lane: to the portmapper, or to the brick if the volfile names its port.
pub(crate) fn begin(context: &mut Context<'_>, at: NodeRef, lane: u8) {
    let now = context.now;
    let Some(client) = context.client(at) else { return };
    let fixed = client.fixed_port;
    let Some(transport) = client.lanes.get(usize::from(lane)).and_then(|lane| lane.transport)
    else {
        return;
    };
    if let Some(lane) = context.lane_mut(at, lane) {
        lane.port = fixed;
        lane.phase = if fixed == 0 { LanePhase::Portmap } else { LanePhase::Dump };
        lane.since = now;
        lane.attempts = lane.attempts.saturating_add(1);
    }
    context.transports.dial(transport, now);
    context.arm_step(transport);
}

/// The adapter has connected: sends the first call of the handshake.
pub(crate) fn connected(context: &mut Context<'_>, at: NodeRef, lane: u8) {
    let Some(client) = context.client(at).copied() else { return };
    let Some(entry) = client.lanes.get(usize::from(lane)) else { return };
    let Some(transport) = entry.transport else { return };
    let now = context.now;
    let sent = match entry.phase {
        LanePhase::Portmap => {
            let text = context.volfiles.half(at.graph);
            let brick = client.subvolume.of(text);
            let new = NewCall::plain(Purpose::Step, Procedure::PORTBYBRICK, Cred::bootstrap());
            context.transports.call(transport, new, now, |w| PortByBrick { brick }.encode(w))
        }
        LanePhase::Dump => {
            let new = NewCall::plain(Purpose::Step, Procedure::DUMP, Cred::bootstrap());
            context.transports.call(transport, new, now, |w| DumpArgs::CLIENT.encode(w))
        }
        _ => return,
    };
    close_unless_sent(context, at, lane, sent.map(|_| ()));
}

/// Takes the answer to a step of the handshake.
pub(crate) fn step_answered(
    context: &mut Context<'_>,
    at: NodeRef,
    lane: u8,
    body: Result<&[u8], Down>,
) -> Result<(), PeerError> {
    let phase = context.lane_mut(at, lane).map(|lane| lane.phase).unwrap_or_default();
    let body = match body {
        Ok(body) => body,
        Err(down) => {
            closed(context, at, lane, down, true);
            return Ok(());
        }
    };
    let mut r = Reader::new(body);
    match phase {
        LanePhase::Portmap => {
            let reply = PortByBrickReply::decode(&mut r)?;
            // Its op_errno has no meaning (docs/spec/01-wire.md, "PORTBYBRICK").
            let port =
                u16::try_from(reply.port).ok().filter(|port| reply.op_ret >= 0 && *port != 0);
            let Some(port) = port else {
                closed(context, at, lane, Down::BrickNotRunning, true);
                return Ok(());
            };
            dial_brick(context, at, lane, port);
        }
        LanePhase::Dump => {
            let reply = DumpReply::decode(&mut r)?;
            if !reply.has(program::FOP, program::FOP_V400) {
                closed(context, at, lane, Down::WrongProgram, true);
                return Ok(());
            }
            set_volume(context, at, lane);
        }
        LanePhase::SetVolume => {
            setvolume_answered(context, at, lane, &SetvolumeReply::decode(&mut r)?)
        }
        _ => {}
    }
    Ok(())
}

/// Dials the brick at the port that the portmapper has named.
fn dial_brick(context: &mut Context<'_>, at: NodeRef, lane: u8, port: u16) {
    let now = context.now;
    let Some(entry) = context.lane_mut(at, lane) else { return };
    entry.port = port;
    entry.phase = LanePhase::Dump;
    let Some(transport) = entry.transport else { return };
    context.shut(transport, true);
    context.transports.dial(transport, now);
    context.arm_step(transport);
}

fn set_volume(context: &mut Context<'_>, at: NodeRef, lane: u8) {
    let count = {
        let Some(client) = context.client_mut(at) else { return };
        client.setvolumes += 1;
        client.setvolumes - 1
    };
    if let Some(entry) = context.lane_mut(at, lane) {
        entry.phase = LanePhase::SetVolume;
    }
    let Some(client) = context.client(at).copied() else { return };
    let Some(transport) = client.lanes.get(usize::from(lane)).and_then(|lane| lane.transport)
    else {
        return;
    };
    let now = context.now;
    let sent = super::encode::set_volume(context, at, &client, transport, lane, count, now);
    close_unless_sent(context, at, lane, sent);
    context.arm_step(transport);
}

fn setvolume_answered(
    context: &mut Context<'_>,
    at: NodeRef,
    lane: u8,
    reply: &SetvolumeReply<'_>,
) {
    let dict = reply.dict.dict();
    if reply.op_ret < 0 {
        let down = match Errno::from_wire(reply.op_errno) {
            Errno::EACCES => Down::AuthFailed,
            Errno::ENOENT => Down::BrickNotFound,
            Errno::EINVAL
                if dict.text(b"ERROR").is_some_and(|text| text.starts_with(b"Volume-ID")) =>
            {
                Down::WrongVolume
            }
            errno => Down::SetVolume(errno),
        };
        if down == Down::WrongVolume {
            context.doubt_volume_id();
        }
        return closed(context, at, lane, down, true);
    }
    if dict.text(b"child_up") == Some(b"0") {
        return closed(context, at, lane, Down::StorageDown, true);
    }
    if let Some(id) = dict.text(b"volume-id")
        && !id.is_empty()
        && !context.volume_id_agrees(id)
    {
        context.doubt_volume_id();
        return closed(context, at, lane, Down::WrongVolume, true);
    }
    let server = dict.text(b"process-uuid").map_or(0, fingerprint);
    if let Some(entry) = context.lane_mut(at, lane) {
        // Keep `restarted` from an attempt that ended before it could report it. A process without
        // a name may be any process.
        entry.restarted |= entry.epoch > 0 && (entry.server != server || server == 0);
        entry.server = server;
        entry.epoch = entry.epoch.wrapping_add(1);
        entry.phase = LanePhase::Reopening;
        entry.reopening = ReopenWindow::default();
    }
    reopen_more(context, at, lane);
}

pub(super) fn up(context: &mut Context<'_>, at: NodeRef, lane: u8) {
    let now = context.now;
    let Some(entry) = context.lane_mut(at, lane) else { return };
    entry.phase = LanePhase::Up;
    entry.down = None;
    entry.attempts = 0;
    entry.since = now;
    let (transport, server, restarted) =
        (entry.transport, entry.server, core::mem::take(&mut entry.restarted));
    if let Some(transport) = transport {
        context.disarm_step(transport);
    }
    crate::diag::note!("brick {} lane {} is up", at.node, lane);
    if lane == 0 {
        context.brick_event(at, ChildEvent::Up { server, restarted });
        let second = context.client(at).map(|client| client.lanes[1].phase).unwrap_or_default();
        if restarted && !matches!(second, LanePhase::Idle | LanePhase::Waiting | LanePhase::Stopped)
        {
            // Its process is gone, even if the connection does not show it yet.
            closed(context, at, 1, Down::Closed(Closed::Reset), true);
        }
        let further = context
            .client(at)
            .filter(|client| client.lane_count > 1)
            .map(|client| client.lanes[1].phase);
        if matches!(further, Some(LanePhase::Idle | LanePhase::Waiting)) {
            begin(context, at, 1);
        }
    }
}

pub(super) fn close_unless_sent(
    context: &mut Context<'_>,
    at: NodeRef,
    lane: u8,
    sent: Result<(), CallError>,
) {
    match sent {
        Ok(()) => {}
        Err(CallError::HeadTooLong) => {
            closed(context, at, lane, Down::Limits(crate::xlator::Table::Head), true)
        }
        Err(CallError::CallsFull) => {
            closed(context, at, lane, Down::Limits(crate::xlator::Table::Calls), true)
        }
        Err(_) => closed(context, at, lane, Down::Stalled, true),
    }
}

/// The deadline of a step has passed, or the pause before the next dial is over.
pub(crate) fn step_timed_out(context: &mut Context<'_>, at: NodeRef, lane: u8) {
    match context.lane_mut(at, lane).map(|lane| lane.phase) {
        Some(LanePhase::Waiting) => begin(context, at, lane),
        Some(
            LanePhase::Portmap | LanePhase::Dump | LanePhase::SetVolume | LanePhase::Reopening,
        ) => {
            closed(context, at, lane, Down::HandshakeTimeout, true);
        }
        _ => {}
    }
}

/// Ends a connection, or an attempt to connect: unwinds its fops and sets when it is dialled again.
pub(crate) fn closed(context: &mut Context<'_>, at: NodeRef, lane: u8, down: Down, tell: bool) {
    let now = context.now;
    let Some(entry) = context.lane_mut(at, lane) else { return };
    let was = entry.phase;
    let (attempts, server) = (entry.attempts, entry.server);
    let Some(transport) = entry.transport else { return };
    entry.down = Some(down);
    entry.since = now;
    entry.phase = if was == LanePhase::Stopped { LanePhase::Stopped } else { LanePhase::Waiting };
    if down != Down::Stopping {
        crate::diag::note!("brick {} lane {} is down: {}", at.node, lane, down);
    }
    context.shut(transport, tell);
    lose_calls(context, at, lane, transport, down, server);
    fds::invalidate(context, at, lane);
    if was == LanePhase::Stopped {
        return context.disarm_step(transport);
    }
    context.arm_reconnect(transport, attempts, down);
    if lane == 0 {
        if was == LanePhase::Up {
            context.brick_event(at, ChildEvent::Down);
        } else {
            context.brick_event(at, ChildEvent::Failed);
        }
    }
}

/// Unwinds each frame whose call was in flight, or waited for the window.
fn lose_calls(
    context: &mut Context<'_>,
    at: NodeRef,
    _lane: u8,
    transport: TransportIx,
    down: Down,
    server: u64,
) {
    while let Some(call) = context.transports.drain_call(transport) {
        match call.purpose {
            Purpose::Frame(frame) => {
                context.frames.unwind(frame, Outcome::failed(Failure::Lost { down, server }))
            }
            Purpose::Reopen(id) => {
                if let Some(fd) = context.fds.get_mut(id) {
                    fd.state = fds::FdState::Wanted;
                }
            }
            Purpose::AbandonedChange(inode, at) | Purpose::AbandonedTruncation(inode, at) => {
                context.abandoned_change_unanswered(inode, at, server)
            }
            Purpose::AbandonedFsync(inode) => context.inodes.release(inode),
            Purpose::Step
            | Purpose::Ping
            | Purpose::Release
            | Purpose::Abandoned
            | Purpose::AbandonedOpen => {}
        }
    }
    while let Some(frame) = window::unpark(context, transport) {
        context.frames.unwind(frame, Outcome::failed(Failure::NotSent(down)));
    }
    debug_assert!(matches!(
        context.transports.get(transport).map(|transport| transport.owner),
        Some(Owner::Brick { node, .. }) if node == at.node
    ));
}

/// Ends a lane for good.
pub(crate) fn stop(context: &mut Context<'_>, at: NodeRef, lane: u8) {
    let Some(entry) = context.lane_mut(at, lane) else { return };
    entry.phase = LanePhase::Stopped;
    let Some(transport) = entry.transport else { return };
    closed(context, at, lane, Down::Stopping, true);
    context.transports.release(transport);
}

/// FNV-1a hash of a process's name. It is the same on every machine; a collision gains an attacker
/// nothing that a lie about the name would not.
fn fingerprint(text: &[u8]) -> u64 {
    text.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    })
}
