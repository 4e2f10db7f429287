//! The state of a volume, for people and for error messages.

use super::graph::Graphs;
use super::session::SessionPhase;
use super::{Down, GraphError, Server, Volume};
use crate::time::Instant;
use crate::xlator::client::LanePhase;
use crate::xlator::{NodeKind, NodeRef};

/// The state of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConnectionPhase {
    /// Not begun.
    Idle,
    /// Dialling, or in its handshake.
    Connecting,
    /// Usable.
    Up,
    /// Failed; it is dialled again after a pause.
    Waiting,
    /// Stopped.
    Stopped,
}

/// State of the session with glusterd.
#[derive(Clone, Copy, Debug)]
pub struct SessionStatus<'v> {
    /// The server that is used or tried.
    pub server: Option<&'v Server>,
    /// State of the connection.
    pub phase: ConnectionPhase,
    /// The reason for the last failure.
    pub down: Option<Down>,
    /// The reason why the newest volfile cannot be used.
    pub graph_error: Option<GraphError>,
}

/// State of one brick.
#[derive(Clone, Copy, Debug)]
pub struct BrickStatus<'v> {
    /// Name of its translator, such as `vms-client-0`.
    pub name: &'v str,
    /// Host name or address.
    pub host: &'v str,
    /// Path of the brick on that host.
    pub path: &'v str,
    /// TCP port; `None` before the portmapper has named it.
    pub port: Option<u16>,
    /// State of its first connection.
    pub phase: ConnectionPhase,
    /// The reason why it is not up.
    pub down: Option<Down>,
    /// Start of the present state.
    pub since: Instant,
    /// Number of connections that are up.
    pub connections: u8,
}

/// Entries in use of each table of [`Limits`](crate::Limits). When nothing is open and nothing is
/// in flight, only connections are in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct InUse {
    /// Operations, including the one whose completion was taken last.
    pub ops: usize,
    /// Frames: fops in translators.
    pub frames: usize,
    /// Calls that wait for an answer.
    pub calls: usize,
    /// Open files and directories.
    pub files: usize,
    /// Inodes of open files, and those with changes whose fate is not known.
    pub inodes: usize,
    /// Remote fds.
    pub fds: usize,
    /// Buffers for paths and names.
    pub names: usize,
    /// Blocks: long records that are being received, and answers that are kept for the caller.
    pub blocks: usize,
    /// Connections, whether they are up or not.
    pub conns: usize,
    /// Armed deadlines.
    pub deadlines: usize,
}

impl<'m> Volume<'m> {
    /// Entries in use of each table.
    pub fn in_use(&self) -> InUse {
        let context = &self.machine.context;
        InUse {
            ops: self.machine.ops.len(),
            frames: context.frames.table.len(),
            calls: context.transports.calls.len(),
            files: context.files.len(),
            inodes: context.inodes.in_use(),
            fds: context.fds.len(),
            names: context.names.taken(),
            blocks: self.records.taken(),
            conns: context.transports.claimed(),
            deadlines: context.timers.armed(),
        }
    }

    /// Says whether the volume keeps locks on bricks for a moment after a change, because its files
    /// have copies: other clients wait for them, so the loop must run while callers do nothing.
    pub fn keeps_locks(&self) -> bool {
        let graphs = &self.machine.graphs;
        graphs.current().is_some_and(|graph| graphs.shape(graph).width > 0)
    }

    /// The volume's name.
    pub fn name(&self) -> &str {
        &self.machine.context.config.volume
    }

    /// State of the session with glusterd.
    pub fn session_status(&self) -> SessionStatus<'_> {
        let session = &self.machine.session;
        let phase = match session.phase {
            SessionPhase::Idle => ConnectionPhase::Idle,
            SessionPhase::Dialing | SessionPhase::Fetching => ConnectionPhase::Connecting,
            SessionPhase::Up => ConnectionPhase::Up,
            SessionPhase::Waiting => ConnectionPhase::Waiting,
            SessionPhase::Stopped => ConnectionPhase::Stopped,
        };
        SessionStatus {
            server: self.machine.session_server(),
            phase,
            down: session.down,
            graph_error: session.graph_error,
        }
    }

    /// The text of the volfile in use, or of the refused one if no other was ever used; empty
    /// before one has been fetched.
    pub fn volfile(&self) -> &[u8] {
        let graphs: &Graphs = &self.machine.graphs;
        let (half, len) = match graphs.current() {
            Some(graph) => (graph, graphs.shape(graph).volfile_len),
            None => (self.machine.context.volfiles.spare, self.machine.session.refused_len),
        };
        self.machine.context.volfiles.half(half).get(..len as usize).unwrap_or_default()
    }

    /// State of each brick of the graph in use.
    pub fn bricks(&self) -> impl Iterator<Item = BrickStatus<'_>> {
        let graph = self.machine.graphs.current();
        let nodes = graph.map_or(0, |graph| self.machine.graphs.shape(graph).nodes);
        let graph = graph.unwrap_or_default();
        let text = self.machine.context.volfiles.half(graph);
        (0..nodes).filter_map(move |node| {
            let entry = self.machine.context.nodes.get(NodeRef { graph, node })?;
            let NodeKind::Client(client) = &entry.kind else { return None };
            let utf8 = |bytes| core::str::from_utf8(bytes).unwrap_or("?");
            let lane = &client.lanes[0];
            Some(BrickStatus {
                name: utf8(entry.name.of(text)),
                host: utf8(client.host.of(text)),
                path: utf8(client.subvolume.of(text)),
                port: (lane.port != 0).then_some(lane.port),
                phase: match lane.phase {
                    LanePhase::Idle => ConnectionPhase::Idle,
                    LanePhase::Portmap
                    | LanePhase::Dump
                    | LanePhase::SetVolume
                    | LanePhase::Reopening => ConnectionPhase::Connecting,
                    LanePhase::Up => ConnectionPhase::Up,
                    LanePhase::Waiting => ConnectionPhase::Waiting,
                    LanePhase::Stopped => ConnectionPhase::Stopped,
                },
                down: lane.down,
                since: lane.since,
                connections: client.lanes.iter().filter(|lane| lane.phase == LanePhase::Up).count()
                    as u8,
            })
        })
    }

    /// Says whether operations can begin now.
    pub fn is_usable(&self) -> bool {
        self.machine.graphs.is_usable()
    }
}
