//! `protocol/client`: a brick, reached over one connection, or two.
//!
//! ```text
//!     Idle ──▶ Portmap ──▶ Dump ──▶ SetVolume ──▶ Reopening ──▶ Up
//!       ▲         └───────────┴─────────┴─────────────┴──────────┤
//!       └──────────── Waiting (back-off) ◀── any failure ────────┘
//! ```
//!
//! No fop is ever sent twice by this translator (docs/spec/30-client-stack.md, "Disconnect"): what
//! was in flight when a connection died is
//! answered with [`Failure::Lost`], and whoever knows whether it is safe decides.

mod encode;
mod fds;
mod handshake;

pub use fds::RemoteFd;
pub(crate) use fds::{forget_fds, release_fds, release_orphan};
pub(crate) use handshake::{
    ReopenWindow, begin, closed, connected, reopened, step_answered, step_timed_out, stop,
};

use super::context::Context;
use super::frames::{Failure, Outcome};
use super::node::{NodeKind, NodeRef, Span};
use crate::boundary::{Family, TcpSettings};
use crate::fop::wire::{Body, Reply};
use crate::id::FrameId;
use crate::rpc::PeerError;
use crate::rpc::transport::{CallError, Fifo, TransportIx};
use crate::time::Instant;
use crate::xdr::Errno;
use crate::xlator::{Down, Table};

/// glusterd's port: where the portmapper is.
pub(crate) const GLUSTERD_PORT: u16 = 24007;

/// Connections that one brick may have.
pub(crate) const LANES_MAX: usize = 2;

/// One brick: where it is, how it is spoken to, and its connections.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Client {
    pub(crate) host: Span,
    pub(crate) subvolume: Span,
    pub(crate) username: Option<Span>,
    pub(crate) password: Option<Span>,
    /// `remote-port`: ask no portmapper.
    pub(crate) fixed_port: u16,
    pub(crate) family: Family,
    pub(crate) tcp: TcpSettings,
    pub(crate) ping_timeout_ms: u32,
    /// `filter-O_DIRECT`: the flag never reaches the brick.
    pub(crate) filter_direct: bool,
    /// `send-gids`: the caller's supplementary groups are told; else the brick looks for them itself.
    pub(crate) sends_groups: bool,
    /// `features/utime` stands above: timestamps travel in the credential
    /// (docs/spec/30-client-stack.md, "features/utime").
    pub(crate) sends_times: bool,
    pub(crate) lanes: [Lane; LANES_MAX],
    /// How many of them are used.
    pub(crate) lane_count: u8,
    /// Chooses the lane of the next read.
    pub(crate) turn: u8,
    /// Times that SETVOLUME was sent: makes every connection's process-uuid its own.
    pub(crate) setvolumes: u32,
}

/// One connection of a brick.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lane {
    pub(crate) transport: Option<TransportIx>,
    pub(crate) phase: LanePhase,
    pub(crate) port: u16,
    /// Names the brick process behind the connection: a hash of the process-uuid of its SETVOLUME answer.
    pub(crate) server: u64,
    /// That process is another one than when the connection was up before.
    pub(crate) restarted: bool,
    /// Counts the times that the connection came up: a remote fd of an older one is void.
    pub(crate) epoch: u32,
    /// Attempts since it was up.
    pub(crate) attempts: u32,
    pub(crate) down: Option<Down>,
    /// Since when it is in this phase.
    pub(crate) since: Instant,
    pub(crate) reopening: ReopenWindow,
}

impl Lane {
    /// Has the brick accepted SETVOLUME on this connection?
    pub(crate) fn is_accepted(&self) -> bool {
        matches!(self.phase, LanePhase::Reopening | LanePhase::Up)
    }
}

/// Where a connection of a brick stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum LanePhase {
    /// Not begun.
    #[default]
    Idle,
    /// Asking glusterd for the port.
    Portmap,
    /// Asking the brick for its programs.
    Dump,
    /// Naming the brick, and ourselves.
    SetVolume,
    /// Opening again what was open.
    Reopening,
    /// Usable.
    Up,
    /// To be dialled again at the deadline.
    Waiting,
    /// Stopped for good.
    Stopped,
}

impl Client {
    /// Why fops cannot be sent.
    pub(crate) fn down(&self) -> Down {
        self.lanes[0].down.unwrap_or(Down::Untried)
    }

    /// Takes over what the same brick had in a graph before: connections and their state, not the options.
    pub(crate) fn adopt(&mut self, before: &Client) {
        self.lanes = before.lanes;
        self.lane_count = before.lane_count;
        self.turn = before.turn;
        self.setvolumes = before.setvolumes;
    }

    pub(crate) fn is_up(&self) -> bool {
        self.lanes[0].phase == LanePhase::Up
    }
}

impl Context<'_> {
    pub(crate) fn client(&self, at: NodeRef) -> Option<&Client> {
        match &self.nodes.get(at)?.kind {
            NodeKind::Client(client) => Some(client),
            _ => None,
        }
    }

    pub(crate) fn client_mut(&mut self, at: NodeRef) -> Option<&mut Client> {
        match &mut self.nodes.get_mut(at)?.kind {
            NodeKind::Client(client) => Some(client),
            _ => None,
        }
    }

    pub(crate) fn lane_mut(&mut self, at: NodeRef, lane: u8) -> Option<&mut Lane> {
        self.client_mut(at)?.lanes.get_mut(usize::from(lane))
    }
}

/// Sends a frame's fop to the brick, or lets it wait for its turn.
pub(crate) fn start(context: &mut Context<'_>, id: FrameId) {
    let Some(frame) = context.frames.table.get(id) else { return };
    let (node, fop) = (frame.node, frame.fop);
    let lane = choose_lane(context, node, &fop);
    let Some(client) = context.client(node) else { return };
    let Some(transport) = client
        .lanes
        .get(usize::from(lane))
        .and_then(|lane| lane.transport)
        .filter(|_| client.is_up())
    else {
        let down = client.down();
        return context.frames.unwind(id, Outcome::failed(Failure::NotSent(down)));
    };
    // Who waits already goes first.
    if context.transports.get(transport).is_some_and(|transport| transport.waiting.first.is_some())
    {
        return park(context, transport, id);
    }
    if !send(context, transport, lane, id) {
        park(context, transport, id);
    }
}

/// Encodes a frame's call. Says whether that is settled: sent, or answered with an error.
fn send(context: &mut Context<'_>, transport: TransportIx, lane: u8, id: FrameId) -> bool {
    let failure = match encode::call(context, transport, lane, id) {
        Ok(call) => {
            if let Some(frame) = context.frames.table.get_mut(id) {
                frame.call = Some(call);
                frame.parked = false;
            }
            context.arm_ping(transport);
            return true;
        }
        Err(encode::Refused::Call(CallError::WindowFull | CallError::CallsFull)) => return false,
        Err(encode::Refused::Call(CallError::HeadTooLong)) => Failure::Busy(Table::Head),
        Err(encode::Refused::Call(CallError::Closed)) => {
            let node = context.frames.table.get(id).map(|frame| frame.node).unwrap_or_default();
            Failure::NotSent(context.client(node).map_or(Down::Untried, Client::down))
        }
        Err(encode::Refused::Fd(errno)) => Failure::Errno(errno),
    };
    context.frames.unwind(id, Outcome::failed(failure));
    true
}

/// Reads may take either connection, if the file is open on both; everything else keeps to the first, so that what
/// must stay in order stays on one connection.
fn choose_lane(context: &mut Context<'_>, node: NodeRef, fop: &super::Fop) -> u8 {
    let super::Fop::Read { fd, .. } = fop else { return 0 };
    let Some(client) = context.client_mut(node) else { return 0 };
    if client.lane_count < 2 || client.lanes[1].phase != LanePhase::Up {
        return 0;
    }
    client.turn ^= 1;
    if client.turn == 0 {
        return 0;
    }
    let file = fd.file;
    if fds::is_open(context, file, node, 1) {
        return 1;
    }
    fds::open_on(context, file, node, 1);
    0
}

fn park(context: &mut Context<'_>, at: TransportIx, id: FrameId) {
    let Some(transport) = context.transports.get_mut(at) else { return };
    let last = transport.waiting.last.replace(id);
    if last.is_none() {
        transport.waiting.first = Some(id);
    }
    if let Some(last) = last.and_then(|last| context.frames.table.get_mut(last)) {
        last.next = Some(id);
    }
    if let Some(frame) = context.frames.table.get_mut(id) {
        frame.parked = true;
        frame.next = None;
    }
}

/// Takes the first frame that waits for a connection's window.
pub(crate) fn unpark(context: &mut Context<'_>, at: TransportIx) -> Option<FrameId> {
    let transport = context.transports.get_mut(at)?;
    let id = transport.waiting.first?;
    let next = context.frames.table.get_mut(id).and_then(|frame| {
        frame.parked = false;
        frame.next.take()
    });
    transport.waiting.first = next;
    if next.is_none() {
        transport.waiting.last = None;
    }
    Some(id)
}

/// Takes a frame out of the middle of those that wait: its operation is over.
pub(crate) fn unpark_one(context: &mut Context<'_>, at: NodeRef, id: FrameId) {
    let lanes = context.client(at).map(|client| client.lanes).unwrap_or_default();
    for transport in lanes.iter().filter_map(|lane| lane.transport) {
        unpark_one_of(context, transport, id);
    }
    if let Some(frame) = context.frames.table.get_mut(id) {
        frame.parked = false;
        frame.next = None;
    }
}

fn unpark_one_of(context: &mut Context<'_>, at: TransportIx, id: FrameId) {
    let waiting = context
        .transports
        .get_mut(at)
        .map(|transport| core::mem::take(&mut transport.waiting))
        .unwrap_or_default();
    let Fifo { first: mut next, .. } = waiting;
    while let Some(each) = next {
        next = context.frames.table.get_mut(each).and_then(|frame| {
            frame.parked = false;
            frame.next.take()
        });
        if each != id {
            park(context, at, each);
        }
    }
}

/// The window of a connection has room again: who waits is sent, first come first served.
pub(crate) fn pump(context: &mut Context<'_>, at: TransportIx, lane: u8) {
    while let Some(id) = unpark(context, at) {
        if !send(context, at, lane, id) {
            return park_first(context, at, id);
        }
    }
    fds::release_more(context, at);
}

fn park_first(context: &mut Context<'_>, at: TransportIx, id: FrameId) {
    let Some(transport) = context.transports.get_mut(at) else { return };
    let first = transport.waiting.first.replace(id);
    if first.is_none() {
        transport.waiting.last = Some(id);
    }
    if let Some(frame) = context.frames.table.get_mut(id) {
        frame.parked = true;
        frame.next = first;
    }
}

/// The brick has answered a frame's call. What the reply says beyond the count goes up beside the answer.
pub(crate) fn answered(
    context: &mut Context<'_>,
    id: FrameId,
    lane: u8,
    reply: &Reply<'_>,
) -> Result<(), PeerError> {
    let Some(frame) = context.frames.table.get(id) else { return Ok(()) };
    let (fop, node) = (frame.fop, frame.node);
    let outcome = match reply.result() {
        Err(errno) => Outcome::failed(Failure::Errno(errno)),
        Ok(count) => {
            let count = u32::try_from(count).unwrap_or(0);
            match (fop, &reply.body) {
                (super::Fop::Write { data, .. }, _) if count > data.len => {
                    return Err(PeerError::WriteLength { announced: count, asked: data.len });
                }
                // A payload is placed by the intake, never here: these bytes are where nobody looks for them.
                (super::Fop::Read { into, .. }, _) if count > 0 => {
                    return Err(PeerError::ReadLength {
                        announced: count,
                        asked: into.len,
                        carried: 0,
                    });
                }
                (super::Fop::Open { fd, flags }, Body::Open { fd: number }) => opened(
                    context,
                    fds::Opened { file: fd.file, node, lane, number: *number, flags, dir: false },
                ),
                (super::Fop::OpenDir { fd }, Body::Open { fd: number }) => {
                    let flags = Default::default();
                    opened(
                        context,
                        fds::Opened {
                            file: fd.file,
                            node,
                            lane,
                            number: *number,
                            flags,
                            dir: true,
                        },
                    )
                }
                (super::Fop::Create { file, flags, .. }, Body::Create { fd: number, .. }) => {
                    match i64::try_from(*number) {
                        Ok(number) => opened(
                            context,
                            fds::Opened { file, node, lane, number, flags, dir: false },
                        ),
                        Err(_) => Outcome::failed(Failure::BadAnswer("a usable fd")),
                    }
                }
                (super::Fop::Readdirp { .. }, _) => {
                    Outcome { result: Ok(count), end: reply.op_errno == Errno::ENOENT.to_wire() }
                }
                _ => Outcome::ok(count),
            }
        }
    };
    context.frames.unwind(id, outcome);
    Ok(())
}

/// The brick has answered a frame's call with what is no answer: the frame has lost its connection, which goes now.
pub(crate) fn answered_badly(context: &mut Context<'_>, id: FrameId, lane: u8, error: PeerError) {
    let Some(frame) = context.frames.table.get(id) else { return };
    let lane = context.client(frame.node).and_then(|client| client.lanes.get(usize::from(lane)));
    let server = lane.map_or(0, |lane| lane.server);
    let failure = Failure::Lost { down: Down::Peer(error), server };
    context.frames.unwind(id, Outcome::failed(failure));
}

fn opened(context: &mut Context<'_>, opened: fds::Opened) -> Outcome {
    if fds::register(context, opened) {
        Outcome::ok(0)
    } else {
        // The remote fd cannot be remembered: give it back.
        fds::release_number(context, opened);
        Outcome::failed(Failure::Busy(Table::Fds))
    }
}
