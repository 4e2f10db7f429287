//! How a connection to a brick comes up, goes down, and comes back (wire spec §3.1, client stack spec §2).

use super::super::Down;
use super::super::flow::{Answer, Failure};
use super::super::node::NodeRef;
use super::super::stack::{BrickEvent, Stack};
use super::{Phase, fds};
use crate::boundary::Closed;
use crate::fop::wire::{Body, Reply};
use crate::id::FdId;
use crate::rpc::dump::{DumpArgs, DumpReply};
use crate::rpc::handshake::SetvolumeReply;
use crate::rpc::link::{CallError, LinkIx, NewCall, Owner, Purpose};
use crate::rpc::portmap::{PortByBrick, PortByBrickReply};
use crate::rpc::{Cred, PeerError, Procedure, program};
use crate::xdr::{Decode, Encode, Errno, Reader};

/// Reopens that are on their way at a time: bounds what one step does after a reconnect.
const REOPENS_MAX: u16 = 32;

/// How far the reopening of files is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ReopenWindow {
    /// Entries below this slot have been looked at.
    next: u32,
    outstanding: u16,
}

/// Begins to connect a lane: to the portmapper first, unless the volfile names the port.
pub(crate) fn begin(stack: &mut Stack<'_>, at: NodeRef, lane: u8) {
    let now = stack.now;
    let Some(client) = stack.client(at) else { return };
    let fixed = client.fixed_port;
    let Some(link) = client.lanes.get(usize::from(lane)).and_then(|lane| lane.link) else { return };
    if let Some(lane) = stack.lane_mut(at, lane) {
        lane.port = fixed;
        lane.phase = if fixed == 0 { Phase::Portmap } else { Phase::Dump };
        lane.since = now;
        lane.attempts = lane.attempts.saturating_add(1);
    }
    stack.links.dial(link, now);
    stack.arm_step(link);
}

/// The adapter has connected.
pub(crate) fn connected(stack: &mut Stack<'_>, at: NodeRef, lane: u8) {
    let Some(client) = stack.client(at).copied() else { return };
    let Some(entry) = client.lanes.get(usize::from(lane)) else { return };
    let Some(link) = entry.link else { return };
    let now = stack.now;
    let sent = match entry.phase {
        Phase::Portmap => {
            let text = stack.specs.half(at.graph);
            let brick = client.subvolume.of(text);
            let new = NewCall::plain(Purpose::Step, Procedure::PORTBYBRICK, Cred::bootstrap());
            stack.links.call(link, new, now, |w| PortByBrick { brick }.encode(w))
        }
        Phase::Dump => {
            let new = NewCall::plain(Purpose::Step, Procedure::DUMP, Cred::bootstrap());
            stack.links.call(link, new, now, |w| DumpArgs::CLIENT.encode(w))
        }
        _ => return,
    };
    settle(stack, at, lane, sent.map(|_| ()));
}

/// An answer to a step of the handshake.
pub(crate) fn step_answered(
    stack: &mut Stack<'_>,
    at: NodeRef,
    lane: u8,
    body: Result<&[u8], Down>,
) -> Result<(), PeerError> {
    let phase = stack.lane_mut(at, lane).map(|lane| lane.phase).unwrap_or_default();
    let body = match body {
        Ok(body) => body,
        Err(down) => {
            closed(stack, at, lane, down, true);
            return Ok(());
        }
    };
    let mut r = Reader::new(body);
    match phase {
        Phase::Portmap => {
            let reply = PortByBrickReply::decode(&mut r)?;
            // Its op_errno says nothing (wire spec §3.5).
            let port =
                u16::try_from(reply.port).ok().filter(|port| reply.op_ret >= 0 && *port != 0);
            let Some(port) = port else {
                closed(stack, at, lane, Down::BrickNotRunning, true);
                return Ok(());
            };
            hop(stack, at, lane, port);
        }
        Phase::Dump => {
            let reply = DumpReply::decode(&mut r)?;
            if !reply.has(program::FOP, program::FOP_V400) {
                closed(stack, at, lane, Down::WrongProgram, true);
                return Ok(());
            }
            set_volume(stack, at, lane);
        }
        Phase::SetVolume => volume_set(stack, at, lane, &SetvolumeReply::decode(&mut r)?),
        _ => {}
    }
    Ok(())
}

/// From the portmapper to the brick: a connection of its own.
fn hop(stack: &mut Stack<'_>, at: NodeRef, lane: u8, port: u16) {
    let now = stack.now;
    let Some(entry) = stack.lane_mut(at, lane) else { return };
    entry.port = port;
    entry.phase = Phase::Dump;
    let Some(link) = entry.link else { return };
    stack.shut(link, true);
    stack.links.dial(link, now);
    stack.arm_step(link);
}

fn set_volume(stack: &mut Stack<'_>, at: NodeRef, lane: u8) {
    let count = {
        let Some(client) = stack.client_mut(at) else { return };
        client.setvolumes += 1;
        client.setvolumes - 1
    };
    if let Some(entry) = stack.lane_mut(at, lane) {
        entry.phase = Phase::SetVolume;
    }
    let Some(client) = stack.client(at).copied() else { return };
    let Some(link) = client.lanes.get(usize::from(lane)).and_then(|lane| lane.link) else { return };
    let now = stack.now;
    let sent = super::encode::set_volume(stack, at, &client, link, lane, count, now);
    settle(stack, at, lane, sent);
    stack.arm_step(link);
}

fn volume_set(stack: &mut Stack<'_>, at: NodeRef, lane: u8, reply: &SetvolumeReply<'_>) {
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
        return closed(stack, at, lane, down, true);
    }
    if dict.text(b"child_up") == Some(b"0") {
        return closed(stack, at, lane, Down::StorageDown, true);
    }
    if let Some(id) = dict.text(b"volume-id")
        && !id.is_empty()
        && !stack.volume_id_agrees(id)
    {
        return closed(stack, at, lane, Down::WrongVolume, true);
    }
    let server = dict.text(b"process-uuid").map_or(0, fingerprint);
    if let Some(entry) = stack.lane_mut(at, lane) {
        // What an earlier attempt found out, and could not tell because its connection broke before it was up, holds.
        // A process that does not say who it is may be any.
        entry.restarted |= entry.epoch > 0 && (entry.server != server || server == 0);
        entry.server = server;
        entry.epoch = entry.epoch.wrapping_add(1);
        entry.phase = Phase::Reopening;
        entry.reopening = ReopenWindow::default();
    }
    reopen_more(stack, at, lane);
}

/// Sends further OPENs of what was open; when all are answered the brick is up.
fn reopen_more(stack: &mut Stack<'_>, at: NodeRef, lane: u8) {
    loop {
        let Some(entry) = stack.lane_mut(at, lane) else { return };
        if entry.phase != Phase::Reopening || entry.reopening.outstanding >= REOPENS_MAX {
            return;
        }
        let (next, outstanding) = (entry.reopening.next, entry.reopening.outstanding);
        // A further lane opens files when they are read.
        let wanted = if lane == 0 { fds::next_wanted(stack, at, lane, next) } else { None };
        let Some(id) = wanted else {
            if outstanding == 0 {
                up(stack, at, lane);
            }
            return;
        };
        match fds::reopen(stack, id) {
            Ok(()) => {
                if let Some(entry) = stack.lane_mut(at, lane) {
                    entry.reopening.next = id.slot() as u32 + 1;
                    entry.reopening.outstanding += 1;
                }
            }
            // The window is full: an answer to one of those on their way brings us back here.
            Err(CallError::WindowFull | CallError::CallsFull) if outstanding > 0 => return,
            Err(error) => return settle(stack, at, lane, Err(error)),
        }
    }
}

/// An answer to OPEN or OPENDIR of a file that was open before.
pub(crate) fn reopened(
    stack: &mut Stack<'_>,
    at: NodeRef,
    lane: u8,
    id: FdId,
    dir: bool,
    reply: &Reply<'_>,
) {
    let Some((epoch, link)) = stack.lane_mut(at, lane).map(|lane| (lane.epoch, lane.link)) else {
        return;
    };
    let result = match (reply.result(), &reply.body) {
        (Ok(_), Body::Open { fd }) => Ok(*fd),
        (Ok(_), _) => Err(Errno::EIO),
        (Err(errno), _) => Err(errno),
    };
    match (stack.fds.get_mut(id), result) {
        (Some(fd), Ok(number)) if fd.state == fds::FdState::Opening => {
            fd.number = number;
            fd.epoch = epoch;
            fd.state = fds::FdState::Open;
        }
        (Some(fd), Err(errno)) if fd.state == fds::FdState::Opening => {
            fd.state = fds::FdState::Failed(errno)
        }
        // Closed meanwhile: nobody will use the number.
        (_, Ok(number)) => {
            if let Some(link) = link {
                fds::release_orphan(stack, link, number, dir);
            }
        }
        _ => {}
    }
    if let Some(entry) = stack.lane_mut(at, lane)
        && entry.phase == Phase::Reopening
    {
        entry.reopening.outstanding = entry.reopening.outstanding.saturating_sub(1);
        // The time of a step is for each answer, not for thousands of files together.
        if let Some(link) = link {
            stack.arm_step(link);
        }
        reopen_more(stack, at, lane);
    }
}

fn up(stack: &mut Stack<'_>, at: NodeRef, lane: u8) {
    let now = stack.now;
    let Some(entry) = stack.lane_mut(at, lane) else { return };
    entry.phase = Phase::Up;
    entry.down = None;
    entry.attempts = 0;
    entry.since = now;
    let (link, server, restarted) =
        (entry.link, entry.server, core::mem::take(&mut entry.restarted));
    if let Some(link) = link {
        stack.disarm_step(link);
    }
    crate::diag::note!("brick {} lane {} is up", at.node, lane);
    if lane == 0 {
        stack.brick_event(at, BrickEvent::Up { server, restarted });
        let second = stack.client(at).map(|client| client.lanes[1].phase).unwrap_or_default();
        if restarted && !matches!(second, Phase::Idle | Phase::Waiting | Phase::Stopped) {
            // It leads to the process that is gone, although nobody has said so yet.
            closed(stack, at, 1, Down::Closed(Closed::Reset), true);
        }
        let further = stack
            .client(at)
            .filter(|client| client.lane_count > 1)
            .map(|client| client.lanes[1].phase);
        if matches!(further, Some(Phase::Idle | Phase::Waiting)) {
            begin(stack, at, 1);
        }
    }
}

fn settle(stack: &mut Stack<'_>, at: NodeRef, lane: u8, sent: Result<(), CallError>) {
    match sent {
        Ok(()) => {}
        Err(CallError::HeadTooLong) => {
            closed(stack, at, lane, Down::Limits(crate::xlator::Table::Head), true)
        }
        Err(CallError::CallsFull) => {
            closed(stack, at, lane, Down::Limits(crate::xlator::Table::Calls), true)
        }
        Err(_) => closed(stack, at, lane, Down::Stalled, true),
    }
}

/// A step took too long, or it is time to dial again.
pub(crate) fn step_timed_out(stack: &mut Stack<'_>, at: NodeRef, lane: u8) {
    match stack.lane_mut(at, lane).map(|lane| lane.phase) {
        Some(Phase::Waiting) => begin(stack, at, lane),
        Some(Phase::Portmap | Phase::Dump | Phase::SetVolume | Phase::Reopening) => {
            closed(stack, at, lane, Down::HandshakeTimeout, true);
        }
        _ => {}
    }
}

/// The connection is over, or never came to be: fails what was in flight, and dials again later.
pub(crate) fn closed(stack: &mut Stack<'_>, at: NodeRef, lane: u8, down: Down, tell: bool) {
    let now = stack.now;
    let Some(entry) = stack.lane_mut(at, lane) else { return };
    let was = entry.phase;
    let (attempts, server) = (entry.attempts, entry.server);
    let Some(link) = entry.link else { return };
    entry.down = Some(down);
    entry.since = now;
    entry.phase = if was == Phase::Stopped { Phase::Stopped } else { Phase::Waiting };
    if down != Down::Stopping {
        crate::diag::note!("brick {} lane {} is down: {}", at.node, lane, down);
    }
    stack.shut(link, tell);
    lose_calls(stack, at, lane, link, down, server);
    fds::void(stack, at, lane);
    if was == Phase::Stopped {
        return stack.disarm_step(link);
    }
    stack.arm_reconnect(link, attempts, down);
    if lane == 0 {
        if was == Phase::Up {
            stack.brick_event(at, BrickEvent::Down);
        } else {
            stack.brick_event(at, BrickEvent::Failed);
        }
    }
}

/// Answers every frame whose call died with the connection, or still waited for its window.
fn lose_calls(
    stack: &mut Stack<'_>,
    at: NodeRef,
    _lane: u8,
    link: LinkIx,
    down: Down,
    server: u64,
) {
    while let Some(call) = stack.links.drain_call(link) {
        match call.purpose {
            Purpose::Frame(frame) => {
                stack.flow.unwind(frame, Answer::failed(Failure::Lost { down, server }))
            }
            Purpose::Reopen(id) => {
                if let Some(fd) = stack.fds.get_mut(id) {
                    fd.state = fds::FdState::Wanted;
                }
            }
            Purpose::AbandonedChange(file) => stack.ghost_gone(file),
            _ => {}
        }
    }
    while let Some(frame) = super::unpark(stack, link) {
        stack.flow.unwind(frame, Answer::failed(Failure::NotSent(down)));
    }
    debug_assert!(matches!(
        stack.links.get(link).map(|link| link.owner),
        Some(Owner::Brick { node, .. }) if node == at.node
    ));
}

/// Ends a lane for good.
pub(crate) fn stop(stack: &mut Stack<'_>, at: NodeRef, lane: u8) {
    let Some(entry) = stack.lane_mut(at, lane) else { return };
    entry.phase = Phase::Stopped;
    let Some(link) = entry.link else { return };
    closed(stack, at, lane, Down::Stopping, true);
    stack.links.release(link);
}

/// A name for a text: FNV-1a. Equal texts have equal names on every machine; nothing hostile gains by a collision.
fn fingerprint(text: &[u8]) -> u64 {
    text.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    })
}
