//! `protocol/client`: a brick, reached over one or two connections (lanes).
//!
//! ```text
//!     Idle ──▶ Portmap ──▶ Dump ──▶ SetVolume ──▶ Reopening ──▶ Up
//!       ▲         └───────────┴─────────┴─────────────┴──────────┤
//!       └──────────── Waiting (a pause) ◀── any failure ────────┘
//! ```
//!
//! This translator sends no fop twice (docs/spec/30-client-stack.md, "Disconnect"): fops in flight
//! on a connection that ends unwind with [`Failure::Lost`], and the caller decides whether to
//! repeat them.

mod encode;
mod fds;
mod handshake;
mod reopen;
mod tls;
mod window;

pub(crate) use encode::SentTimes;
pub use fds::RemoteFd;
pub(crate) use fds::{forget_fds, release_fds, release_orphan, want_fd};
pub(crate) use handshake::{begin, closed, connected, step_answered, step_timed_out, stop};
pub(crate) use reopen::{ReopenWindow, reopened};
pub(crate) use tls::Tls;
pub(crate) use window::{pump, unpark_one};

use super::context::Context;
use super::frames::{Failure, Outcome};
use super::node::{NodeKind, NodeRef, Span};
use crate::boundary::{Family, TcpSettings};
use crate::fop::wire::{Body, Reply};
use crate::id::FrameId;
use crate::rpc::PeerError;
use crate::rpc::transport::{CallError, TransportIx};
use crate::time::Instant;
use crate::xdr::Errno;
use crate::xlator::{Down, Table};

/// glusterd's port, where the portmapper is.
pub(crate) const GLUSTERD_PORT: u16 = 24007;

/// Connections to one brick.
pub(crate) const LANES_MAX: usize = 2;

/// One brick: its address, its options and its connections.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Client {
    pub(crate) host: Span,
    pub(crate) subvolume: Span,
    pub(crate) username: Option<Span>,
    pub(crate) password: Option<Span>,
    /// `remote-port`, or 0 to ask the portmapper.
    pub(crate) fixed_port: u16,
    pub(crate) family: Family,
    pub(crate) tcp: TcpSettings,
    /// `transport.socket.ssl-enabled`: the brick is spoken to with TLS only.
    pub(crate) tls: Option<Tls>,
    pub(crate) ping_timeout_ms: u32,
    /// `filter-O_DIRECT`: the flag is not sent to the brick.
    pub(crate) filter_direct: bool,
    /// `send-gids`: supplementary groups are sent; otherwise the brick looks them up.
    pub(crate) sends_groups: bool,
    /// Timestamps that are sent in the credential, as `features/utime` above it says.
    pub(crate) sent_times: SentTimes,
    pub(crate) lanes: [Lane; LANES_MAX],
    /// Number of lanes in use.
    pub(crate) lane_count: u8,
    /// Lane of the last read.
    pub(crate) turn: u8,
    /// Number of SETVOLUMEs sent: makes the process-uuid of each connection unique.
    pub(crate) setvolumes: u32,
}

/// One connection to a brick.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lane {
    pub(crate) transport: Option<TransportIx>,
    pub(crate) phase: LanePhase,
    pub(crate) port: u16,
    /// The brick's process: hash of the process-uuid in its SETVOLUME reply; 0 if it named none.
    pub(crate) server: u64,
    /// The process is not the one that answered on the connection before.
    pub(crate) restarted: bool,
    /// Number of SETVOLUMEs that succeeded: a remote fd of an older epoch is invalid.
    pub(crate) epoch: u32,
    /// Attempts to connect since it was up.
    pub(crate) attempts: u32,
    pub(crate) down: Option<Down>,
    /// Start of the present phase.
    pub(crate) since: Instant,
    pub(crate) reopening: ReopenWindow,
}

impl Lane {
    /// Says whether the brick has accepted SETVOLUME on this connection.
    pub(crate) fn is_accepted(&self) -> bool {
        matches!(self.phase, LanePhase::Reopening | LanePhase::Up)
    }
}

/// The state of a connection to a brick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum LanePhase {
    /// Not begun.
    #[default]
    Idle,
    /// PORTBYBRICK was sent to glusterd, or glusterd is being dialled.
    Portmap,
    /// DUMP was sent to the brick, or the brick is being dialled.
    Dump,
    /// SETVOLUME was sent.
    SetVolume,
    /// Open files are being opened again.
    Reopening,
    /// Usable.
    Up,
    /// Dialled again after a pause.
    Waiting,
    /// Stopped for good.
    Stopped,
}

impl Client {
    /// The reason why fops cannot be sent.
    pub(crate) fn down(&self) -> Down {
        self.lanes[0].down.unwrap_or(Down::Untried)
    }

    /// Takes over the connections of the same brick in an older graph, and their state, but not the
    /// options.
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

/// Sends the fop of a frame, or queues the frame until the window has room.
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
    // Frames that wait already are sent first.
    if context.transports.get(transport).is_some_and(|transport| transport.waiting.first.is_some())
    {
        return window::park(context, transport, id);
    }
    if !send(context, transport, lane, id) {
        window::park(context, transport, id);
    }
}

/// Encodes the call of a frame. Returns `false` if there is no room for it yet; otherwise it was
/// sent, or the frame has failed.
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

/// Chooses the connection for a fop. Reads use either if the file is open on both. Everything else
/// uses the first, so that it stays in order.
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

/// Takes the reply to a frame's call, and unwinds the frame.
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
                // Payload is placed by the intake. A count here means that the payload was not
                // where it is looked for.
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
                    let end = reply.op_errno == Errno::ENOENT.to_wire();
                    Outcome { end, ..Outcome::ok(count) }
                }
                _ => Outcome::ok(count),
            }
        }
    };
    context.frames.unwind(id, outcome.with_reply());
    Ok(())
}

/// Unwinds a frame whose reply is invalid, as if its connection had ended: that happens next.
pub(crate) fn answered_invalidly(
    context: &mut Context<'_>,
    id: FrameId,
    lane: u8,
    error: PeerError,
) {
    let Some(frame) = context.frames.table.get(id) else { return };
    let lane = context.client(frame.node).and_then(|client| client.lanes.get(usize::from(lane)));
    let server = lane.map_or(0, |lane| lane.server);
    let failure = Failure::Lost { down: Down::Peer(error), server };
    context.frames.unwind(id, Outcome::failed(failure));
}

fn opened(context: &mut Context<'_>, opened: fds::Opened) -> Outcome {
    if fds::register(context, opened) {
        Outcome::ok(0)
    } else if context.files.get(opened.file).is_none() {
        // The caller has given up meanwhile.
        fds::release_number(context, opened);
        Outcome::ok(0)
    } else {
        // There is no room for the remote fd.
        fds::release_number(context, opened);
        Outcome::failed(Failure::Busy(Table::Fds))
    }
}
