//! State that translators and the volume share: frames, nodes, connections, open files, deadlines
//! and the clock.

use managed::Managed;
use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::File;
use super::abandoned::InDoubt;
use super::client::{Lane, RemoteFd};
use super::frames::{Frames, Parent};
use super::inodes::Inodes;
use super::node::{NodeRef, Nodes};
use super::replicate::{Kept, Transaction};
use super::unavailable::Table;
use crate::config::{Config, GROUPS_MAX};
use crate::fop::OpenFlags;
use crate::id::{FdId, FileId, InodeId, KeptId, RangeIx, TransactionId};
use crate::names::Names;
use crate::rpc::transport::VolfileBuffers;
use crate::rpc::transport::{TransportIx, Transports};
use crate::slab::Slab;
use crate::time::{Instant, WallClock};
use crate::timers::Timers;
use crate::xdr::Gfid;

/// An event that a translator reports to its parent, and the top of a graph to the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ChildEvent {
    /// The subvolume can be used. `server` is the hash of the name of its brick's process.
    /// `restarted`: the process is not the one that answered before, and may have lost what was not
    /// flushed.
    Up { server: u64, restarted: bool },
    /// The subvolume was up, and is not any more.
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
    pub(crate) inodes: Inodes<'m>,
    pub(crate) transactions: Slab<'m, Transaction, TransactionId>,
    pub(crate) kept: Slab<'m, Kept, KeptId>,
    pub(crate) names: Names<'m>,
    pub(crate) volfiles: VolfileBuffers<'m>,
    pub(crate) timers: Timers<'m>,
    /// Fds whose RELEASE waits for room in a connection's window.
    pub(crate) releasing: u32,
    pub(crate) now: Instant,
    pub(crate) wall: WallClock,
    entropy: Xoshiro256PlusPlus,
    /// The last lock owner of a transaction.
    lock_owner: u64,
    /// Random identity of this client: the CTX_ID of its process-uuids.
    pub(crate) ctx_id: Gfid,
    /// Some node has an event: see `Node::event`.
    pub(crate) has_events: bool,
    /// An abandoned change is over whose bytes operations may wait for: see `Inode::unblocked`.
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
    pub(crate) inodes: Inodes<'m>,
    pub(crate) transactions: Slab<'m, Transaction, TransactionId>,
    pub(crate) kept: Slab<'m, Kept, KeptId>,
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
            inodes: parts.inodes,
            transactions: parts.transactions,
            kept: parts.kept,
            names: parts.names,
            volfiles: parts.volfiles,
            timers: parts.timers,
            releasing: 0,
            now,
            lock_owner: entropy.next_u64(),
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

    /// A lock owner that no other transaction has. Bricks compare it together with the connection.
    pub(crate) fn next_lock_owner(&mut self) -> u64 {
        self.lock_owner = self.lock_owner.wrapping_add(1);
        self.lock_owner
    }

    /// Adds a handle of this inode. Fails with the name of the table that is full.
    pub(crate) fn add_file(
        &mut self,
        gfid: Gfid,
        flags: OpenFlags,
        dir: bool,
    ) -> Result<FileId, Table> {
        let inode = self.inodes.acquire(&gfid).ok_or(Table::Inodes)?;
        let losses = self.inodes.get(inode).map_or(0, |inode| inode.synced.losses);
        let file = File {
            inode,
            gfid,
            flags,
            dir,
            closing: false,
            first_fd: None,
            losses,
            last_change: 0,
            read_child: None,
        };
        let id = self.files.insert(file);
        if id.is_none() {
            self.inodes.release(inode);
        }
        id.ok_or(Table::Files)
    }

    /// Moves a handle to another inode: a CREATE has opened a file that existed.
    pub(crate) fn change_inode(&mut self, id: FileId, gfid: Gfid) -> Result<(), Table> {
        let Some(file) = self.files.get(id).filter(|file| file.gfid != gfid) else { return Ok(()) };
        // Nothing is known about the inode that was to be created, so its place becomes free.
        self.inodes.forget(file.inode);
        let inode = self.inodes.acquire(&gfid).ok_or(Table::Inodes)?;
        let losses = self.inodes.get(inode).map_or(0, |inode| inode.synced.losses);
        if let Some(file) = self.files.get_mut(id) {
            (file.inode, file.gfid, file.losses) = (inode, gfid, losses);
        }
        Ok(())
    }

    /// Removes a handle: releases its remote fds, and its inode.
    pub(crate) fn remove_file(&mut self, id: FileId) {
        super::client::release_fds(self, id);
        if let Some(file) = self.files.remove(id) {
            self.inodes.release(file.inode);
        }
    }

    /// Says whether changes were lost since this file was opened.
    pub(crate) fn has_lost_writes(&self, file: &File) -> bool {
        self.inodes.get(file.inode).is_some_and(|inode| inode.synced.losses != file.losses)
    }

    /// Says whether no flush covers a change that was acknowledged through this handle.
    pub(crate) fn is_dirty(&self, file: &File) -> bool {
        let inode = self.inodes.get(file.inode);
        inode.is_some_and(|inode| inode.synced.is_uncovered(file.last_change))
    }

    /// The brick has answered an abandoned change of this inode.
    pub(crate) fn abandoned_change_over(&mut self, id: InodeId, at: RangeIx) {
        if let Some(inode) = self.inodes.get_mut(id) {
            inode.abandoned.answered(at);
            self.unblocked(id);
        }
    }

    /// The connection of an abandoned change ended before the answer.
    pub(crate) fn abandoned_change_unanswered(&mut self, id: InodeId, at: RangeIx, server: u64) {
        let doubt = self.in_doubt(server);
        if let Some(inode) = self.inodes.get_mut(id) {
            inode.abandoned.unanswered(at, doubt);
            self.arm_doubt(doubt.until);
        }
    }

    /// An abandoned change of this inode is over.
    pub(crate) fn unblocked(&mut self, id: InodeId) {
        let Some(inode) = self.inodes.get_mut(id) else { return };
        if inode.ordered > 0 {
            inode.unblocked = true;
            self.abandoned_settled = true;
        }
        self.inodes.settle(id);
    }

    /// The doubt about a change that was in flight on a connection to the process `server` (0:
    /// unknown process) when the connection ended.
    pub(crate) fn in_doubt(&self, server: u64) -> InDoubt {
        let until = self.now.plus_millis(u64::from(self.config.op_timeout_ms));
        InDoubt { server, until }
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
        let mut from = 0;
        while let Some(id) = self.transactions.next_from(from) {
            from = id.slot() + 1;
            if let Some(each) = self.transactions.get_mut(id).filter(|each| each.node.graph == old)
            {
                each.node.graph = new;
            }
        }
        self.inodes.move_graph(old, new);
        self.transports.move_graph(old, new);
    }

    pub(crate) fn brick_event(&mut self, at: NodeRef, event: ChildEvent) {
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
