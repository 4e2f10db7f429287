//! State that translators and the volume share: frames, nodes, connections, open files, deadlines
//! and the clock.

use managed::Managed;
use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::File;
use super::client::{Lane, RemoteFd};
use super::file::InDoubt;
use super::frames::{Frames, Parent};
use super::node::{NodeRef, Nodes};
use crate::config::{Config, GROUPS_MAX};
use crate::id::{FdId, FileId};
use crate::names::Names;
use crate::rpc::transport::VolfileBuffers;
use crate::rpc::transport::{TransportIx, Transports};
use crate::slab::Slab;
use crate::time::{Instant, WallClock};
use crate::timers::Timers;
use crate::xdr::Gfid;

/// An event of a brick, for the nodes above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum BrickEvent {
    /// The brick can be used. `server` is the hash of its process's name. `restarted`: the process
    /// is not the one that answered before, and may have lost what was not flushed.
    Up { server: u64, restarted: bool },
    /// The brick was up, and is not any more.
    Down,
    /// Another attempt to connect failed.
    Failed,
}

/// Everything below the operations of a volume.
#[derive(Debug)]
pub(crate) struct Context<'m> {
    pub(crate) config: Managed<'m, Config>,
    pub(crate) frames: Frames<'m>,
    pub(crate) nodes: Nodes<'m>,
    pub(crate) transports: Transports<'m>,
    pub(crate) fds: Slab<'m, RemoteFd, FdId>,
    pub(crate) files: Slab<'m, File, FileId>,
    pub(crate) names: Names<'m>,
    pub(crate) volfiles: VolfileBuffers<'m>,
    pub(crate) timers: Timers<'m>,
    /// Fds whose RELEASE waits for room in a connection's window.
    pub(crate) releasing: u32,
    pub(crate) now: Instant,
    pub(crate) wall: WallClock,
    entropy: Xoshiro256PlusPlus,
    /// Random identity of this client: the CTX_ID of its process-uuids.
    pub(crate) ctx_id: Gfid,
    /// Some node has an event: see `Node::event`.
    pub(crate) has_events: bool,
    /// The last abandoned change of some file is over: see `File::has_abandoned_changes`.
    pub(crate) abandoned_settled: bool,
    /// Serial number of each graph, for process-uuids.
    pub(crate) serials: [u32; 2],
    /// Supplementary groups of the caller, encoded as in credentials.
    pub(crate) groups: heapless::Vec<u8, { 4 * GROUPS_MAX }>,
    /// The volume id that bricks must name, as 36 characters; empty before a brick has named one.
    pub(crate) volume_id: heapless::Vec<u8, 36>,
    /// A brick has named another volume id while no connected brick confirmed ours.
    pub(crate) volume_id_doubted: bool,
    /// Number of operations of the volume: their deadlines have the first keys.
    pub(super) ops: u32,
}

/// The tables that a context consists of.
pub(crate) struct Parts<'m> {
    pub(crate) frames: Frames<'m>,
    pub(crate) nodes: Nodes<'m>,
    pub(crate) transports: Transports<'m>,
    pub(crate) fds: Slab<'m, RemoteFd, FdId>,
    pub(crate) files: Slab<'m, File, FileId>,
    pub(crate) names: Names<'m>,
    pub(crate) volfiles: VolfileBuffers<'m>,
    pub(crate) timers: Timers<'m>,
    pub(crate) ops: u32,
}

impl<'m> Context<'m> {
    #[inline(always)]
    pub(crate) fn new(config: Managed<'m, Config>, parts: Parts<'m>, now: Instant) -> Self {
        let mut entropy = Xoshiro256PlusPlus::from_seed(config.entropy);
        let ctx_id = random_gfid(&mut entropy);
        Self {
            wall: config.wall(),
            config,
            frames: parts.frames,
            nodes: parts.nodes,
            transports: parts.transports,
            fds: parts.fds,
            files: parts.files,
            names: parts.names,
            volfiles: parts.volfiles,
            timers: parts.timers,
            releasing: 0,
            now,
            entropy,
            ctx_id,
            has_events: false,
            abandoned_settled: false,
            serials: [0; 2],
            groups: heapless::Vec::new(),
            volume_id: heapless::Vec::new(),
            volume_id_doubted: false,
            ops: parts.ops,
        }
    }

    /// Encodes the caller's groups for credentials.
    pub(crate) fn encode_groups(&mut self) {
        for group in &self.config.groups {
            // There is room for as many as the configuration may have.
            let _ = self.groups.extend_from_slice(&group.to_be_bytes());
        }
    }

    /// A random gfid for a new file.
    pub(crate) fn new_gfid(&mut self) -> Gfid {
        random_gfid(&mut self.entropy)
    }

    /// The brick has answered an abandoned change of this file.
    pub(crate) fn abandoned_change_over(&mut self, file: FileId) {
        if let Some(file) = self.files.get_mut(file) {
            file.abandoned_changes = file.abandoned_changes.saturating_sub(1);
            self.abandoned_settled |= !file.has_abandoned_changes();
        }
    }

    /// The connection of an abandoned change ended before the answer.
    pub(crate) fn abandoned_change_unanswered(&mut self, file: FileId, server: u64) {
        self.add_doubt(file, self.in_doubt(server));
        self.abandoned_change_over(file);
    }

    /// The doubt about a change that was in flight on a connection to the process `server` (0:
    /// unknown process) when the connection ended.
    pub(crate) fn in_doubt(&self, server: u64) -> InDoubt {
        let until = self.now.plus_millis(u64::from(self.config.op_timeout_ms));
        InDoubt { server, until }
    }

    /// Adds a doubt to those that there are about changes of this file.
    pub(crate) fn add_doubt(&mut self, file: FileId, doubt: InDoubt) {
        let Some(file) = self.files.get_mut(file) else { return };
        let all = match file.in_doubt {
            Some(before) => InDoubt {
                server: if before.server == doubt.server { doubt.server } else { 0 },
                until: before.until.max(doubt.until),
            },
            None => doubt,
        };
        file.in_doubt = Some(all);
        self.arm_doubt(all.until);
    }

    /// Says whether a brick that names `id` belongs to this volume. The first brick that names an
    /// id decides: a re-used port may lead to a brick of another volume (docs/spec/01-wire.md,
    /// "Disconnect and reconnect").
    pub(crate) fn volume_id_agrees(&mut self, id: &[u8]) -> bool {
        if self.volume_id.is_empty() {
            return self.volume_id.extend_from_slice(id).is_ok();
        }
        self.volume_id == id
    }

    /// Notes that a brick contradicts the volume id. If a connected brick confirms the id, the
    /// other brick is the wrong one. If none does, the id may be wrong (the brick that named it
    /// first may belong to another volume), and glusterd decides: see [`Self::volume_confirmed`].
    pub(crate) fn doubt_volume_id(&mut self) {
        self.volume_id_doubted |= !self.volume_id.is_empty() && !self.brick_is_connected();
    }

    /// Notes that glusterd has just named the bricks of this volume. A doubted id that no connected
    /// brick confirms is forgotten: the next brick names it anew. Unflushed writes may have gone to
    /// a brick of another volume, so they count as lost.
    pub(crate) fn volume_confirmed(&mut self) {
        if !core::mem::take(&mut self.volume_id_doubted) || self.brick_is_connected() {
            return;
        }
        self.volume_id.clear();
        for lane in self.nodes.clients_mut().flat_map(|client| &mut client.lanes) {
            lane.restarted |= lane.epoch > 0;
        }
    }

    /// Says whether a brick has accepted SETVOLUME on some connection.
    fn brick_is_connected(&self) -> bool {
        self.nodes.clients().any(|client| client.lanes.iter().any(Lane::is_accepted))
    }

    /// Closes a connection. `tell` says whether the adapter has to be told.
    pub(crate) fn shut(&mut self, transport: TransportIx, tell: bool) {
        self.disarm_ping(transport);
        self.transports.shut(transport, tell);
    }

    /// Moves frames, fds and connections of graph `old` to graph `new`.
    pub(crate) fn move_graph(&mut self, old: u8, new: u8) {
        let mut from = 0;
        while let Some(id) = self.frames.table.next_from(from) {
            from = id.slot() + 1;
            let Some(frame) = self.frames.table.get_mut(id).filter(|frame| frame.node.graph == old)
            else {
                continue;
            };
            frame.node.graph = new;
            // A LOOKUP of the old root serves as that of the new one.
            if let Parent::Root { graph } = &mut frame.parent {
                *graph = new;
            }
        }
        let mut from = 0;
        while let Some(id) = self.fds.next_from(from) {
            from = id.slot() + 1;
            if let Some(fd) = self.fds.get_mut(id).filter(|fd| fd.node.graph == old) {
                fd.node.graph = new;
            }
        }
        self.transports.move_graph(old, new);
    }

    pub(crate) fn brick_event(&mut self, at: NodeRef, event: BrickEvent) {
        if let Some(node) = self.nodes.get_mut(at) {
            node.event = Some(event);
            self.has_events = true;
        }
    }
}

fn random_gfid(entropy: &mut Xoshiro256PlusPlus) -> Gfid {
    let mut bytes = [0; 16];
    entropy.fill_bytes(&mut bytes);
    Gfid::v4(bytes)
}
