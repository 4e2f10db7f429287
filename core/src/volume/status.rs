//! What a volume's state is, for people and for error messages.

use super::graph::Graphs;
use super::session::SessionPhase;
use super::{Down, GraphError, Server, Volume};
use crate::time::Instant;
use crate::xlator::client::LanePhase;
use crate::xlator::{NodeKind, NodeRef};

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConnectionPhase {
    /// Not begun.
    Idle,
    /// Being connected, or shaking hands.
    Connecting,
    /// Usable.
    Up,
    /// Failed; it will be dialled again.
    Waiting,
    /// Stopped.
    Stopped,
}

/// The session with glusterd.
#[derive(Clone, Copy, Debug)]
pub struct SessionStatus<'v> {
    /// The server at hand.
    pub server: Option<&'v Server>,
    /// Where it stands.
    pub phase: ConnectionPhase,
    /// Why it is not up, or was not at last.
    pub down: Option<Down>,
    /// Why the newest volfile cannot be used.
    pub graph_error: Option<GraphError>,
}

/// One brick.
#[derive(Clone, Copy, Debug)]
pub struct BrickStatus<'v> {
    /// Name of its translator, as `vms-client-0`.
    pub name: &'v str,
    /// Host.
    pub host: &'v str,
    /// Path on that host.
    pub path: &'v str,
    /// Port, once the portmapper told it.
    pub port: Option<u16>,
    /// Where its first connection stands.
    pub phase: ConnectionPhase,
    /// Why it is not up.
    pub down: Option<Down>,
    /// Since when it is in this phase.
    pub since: Instant,
    /// Connections that are up.
    pub connections: u8,
}

/// How much of each table of [`Limits`](crate::Limits) is taken. When nothing is open and nothing is under way only
/// the connections are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct InUse {
    /// Operations, the one that was told last included.
    pub ops: usize,
    /// Fops on their way.
    pub frames: usize,
    /// Calls without an answer.
    pub calls: usize,
    /// Open files and directories.
    pub files: usize,
    /// Remote fds.
    pub fds: usize,
    /// Paths and names.
    pub names: usize,
    /// Long records being received, and answers kept for the caller.
    pub blocks: usize,
    /// Connections: places for them, whether they are up or not.
    pub conns: usize,
    /// Deadlines that are armed.
    pub deadlines: usize,
}

impl<'m> Volume<'m> {
    /// How much of each table is taken.
    pub fn in_use(&self) -> InUse {
        let context = &self.machine.context;
        InUse {
            ops: self.machine.ops.len(),
            frames: context.frames.table.len(),
            calls: context.transports.calls.len(),
            files: context.files.len(),
            fds: context.fds.len(),
            names: context.names.taken(),
            blocks: self.records.taken(),
            conns: context.transports.claimed(),
            deadlines: context.timers.armed(),
        }
    }

    /// The volume's name.
    pub fn name(&self) -> &str {
        &self.machine.context.config.volume
    }

    /// The session with glusterd.
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

    /// The text of the volfile in use (or of one that was refused, if there never was another); empty before it is here.
    pub fn volfile(&self) -> &[u8] {
        let graphs: &Graphs = &self.machine.graphs;
        let (half, len) = match graphs.current() {
            Some(graph) => (graph, graphs.shape(graph).volfile_len),
            None => (self.machine.context.volfiles.spare, self.machine.session.refused_len),
        };
        self.machine.context.volfiles.half(half).get(..len as usize).unwrap_or_default()
    }

    /// The bricks of the graph in use.
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

    /// Can operations be served now?
    pub fn is_usable(&self) -> bool {
        self.machine.graphs.is_usable()
    }
}
