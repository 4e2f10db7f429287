//! State that translators and the volume share: frames, nodes, connections, open files, deadlines
//! and the clock.

use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::client::{Lane, RemoteFd};
use super::file::InDoubt;
use super::frames::{Frames, Parent};
use super::node::{NodeRef, Nodes};
use super::{Down, File};
use crate::config::{Config, GROUPS_MAX};
use crate::id::{FdId, FileId};
use crate::names::Names;
use crate::rpc::transport::VolfileBuffers;
use crate::rpc::transport::{Owner, Purpose, TransportIx, Transports};
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
    pub(crate) config: Config,
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
    ops: u32,
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
    pub(crate) fn new(config: Config, parts: Parts<'m>, now: Instant) -> Self {
        let mut entropy = Xoshiro256PlusPlus::from_seed(config.entropy);
        let ctx_id = random_gfid(&mut entropy);
        let groups = config.groups.iter().flat_map(|group| group.to_be_bytes()).collect();
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
            groups,
            volume_id: heapless::Vec::new(),
            volume_id_doubted: false,
            ops: parts.ops,
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

    /// Sets when changes in doubt count as executed, unless an earlier time is set.
    pub(crate) fn arm_doubt(&mut self, until: Instant) {
        let key = self.doubt_key();
        if !self.timers.is_set(key) {
            self.timers.set(key, until);
        }
    }

    pub(crate) fn disarm_doubt(&mut self) {
        self.timers.clear(self.doubt_key());
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

    /// Sets the deadline of a handshake step, from now on.
    pub(crate) fn arm_step(&mut self, transport: TransportIx) {
        let at = self.now.plus_millis(u64::from(self.config.handshake_timeout_ms.max(1)));
        self.timers.set(self.step_key(transport), at);
    }

    pub(crate) fn disarm_step(&mut self, transport: TransportIx) {
        self.timers.clear(self.step_key(transport));
    }

    /// Sets when a connection is dialled again: after a pause that doubles with each failed
    /// attempt.
    pub(crate) fn arm_reconnect(&mut self, transport: TransportIx, attempts: u32, down: Down) {
        let (first, most) = self.config.reconnect_ms;
        let pause = first.saturating_mul(
            1_u32.checked_shl(attempts.saturating_sub(1).min(16)).unwrap_or(u32::MAX),
        );
        // An answer that will not change soon is not asked for ten times a second.
        let pause = if down.is_final() { most } else { pause.clamp(first, most.max(first)) };
        self.timers.set(self.step_key(transport), self.now.plus_millis(u64::from(pause)));
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

    /// Sets the deadline for a ping: calls are in flight, so the peer must be heard within the
    /// ping-timeout.
    pub(crate) fn arm_ping(&mut self, transport: TransportIx) {
        let key = self.ping_key(transport);
        if self.timers.is_set(key) {
            return;
        }
        let at = match self.ping_timeout(transport) {
            Some(timeout) => {
                let quiet = self
                    .transports
                    .get(transport)
                    .map_or(self.now, |transport| transport.quiet_since);
                quiet.plus_millis(timeout / 2)
            }
            None => self.now.plus_millis(CALL_MS_MAX),
        };
        self.timers.set(key, at);
    }

    /// Sets the deadline anew if it is set: the ping-timeout may have changed.
    pub(crate) fn rearm_ping(&mut self, transport: TransportIx) {
        if self.timers.is_set(self.ping_key(transport)) {
            self.disarm_ping(transport);
            self.arm_ping(transport);
        }
    }

    fn disarm_ping(&mut self, transport: TransportIx) {
        self.timers.clear(self.ping_key(transport));
    }

    /// The silence that ends a connection with calls in flight, in milliseconds; `None` if pings
    /// are off.
    pub(crate) fn ping_timeout(&self, transport: TransportIx) -> Option<u64> {
        let ms = match (self.config.ping_timeout_ms, self.transports.get(transport)?.owner) {
            (Some(ms), _) => ms,
            (None, Owner::Brick { graph, node, .. }) => {
                self.client(NodeRef { graph, node })?.ping_timeout_ms
            }
            (None, _) => 42_000,
        };
        (ms > 0).then_some(u64::from(ms))
    }

    /// Keys of deadlines are dense: operations first, then two for each connection, then these two.
    pub(crate) fn step_key(&self, transport: TransportIx) -> u32 {
        self.ops + 2 * u32::from(transport.0)
    }

    pub(crate) fn ping_key(&self, transport: TransportIx) -> u32 {
        self.step_key(transport) + 1
    }

    /// Key of the exchange of graphs.
    fn exchange_key(&self) -> u32 {
        self.ops + 2 * self.transports.count() as u32
    }

    /// Key of changes in doubt.
    fn doubt_key(&self) -> u32 {
        self.exchange_key() + 1
    }

    /// Sets when the exchange of graphs is given up, or tried again.
    pub(crate) fn arm_exchange(&mut self, ms: u32) {
        self.timers.set(self.exchange_key(), self.now.plus_millis(u64::from(ms)));
    }

    pub(crate) fn disarm_exchange(&mut self) {
        self.timers.clear(self.exchange_key());
    }

    /// The subject of a key of the table of deadlines.
    pub(crate) fn key(&self, key: u32) -> TimerKey {
        match key.checked_sub(self.ops) {
            None => TimerKey::Op(key as usize),
            Some(_) if key == self.exchange_key() => TimerKey::Exchange,
            Some(_) if key == self.doubt_key() => TimerKey::Doubt,
            Some(key) if key & 1 == 0 => TimerKey::Step(TransportIx((key / 2) as u16)),
            Some(key) => TimerKey::Ping(TransportIx((key / 2) as u16)),
        }
    }

    pub(crate) fn brick_event(&mut self, at: NodeRef, event: BrickEvent) {
        if let Some(node) = self.nodes.get_mut(at) {
            node.event = Some(event);
            self.has_events = true;
        }
    }

    /// Pings the peer, unless a ping is unanswered already.
    pub(crate) fn ping(&mut self, transport: TransportIx) {
        use crate::rpc::{Cred, Procedure};
        let Some(entry) = self.transports.get_mut(transport) else { return };
        if entry.pinging {
            return;
        }
        entry.pinging = true;
        let new = crate::rpc::transport::NewCall::plain(
            Purpose::Ping,
            Procedure::PING,
            Cred::bootstrap(),
        );
        let now = self.now;
        if self.transports.call(transport, new, now, |_| Ok(())).is_err()
            && let Some(entry) = self.transports.get_mut(transport)
        {
            entry.pinging = false;
        }
    }
}

/// The longest time that a call may be unanswered on a connection that is alive, in milliseconds:
/// GlusterFS's frame-timeout. Operations have deadlines of their own; this one is for calls that no
/// operation waits for.
pub(crate) const CALL_MS_MAX: u64 = 1_800_000;

/// The subject of a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimerKey {
    Op(usize),
    Step(TransportIx),
    Ping(TransportIx),
    Exchange,
    Doubt,
}

fn random_gfid(entropy: &mut Xoshiro256PlusPlus) -> Gfid {
    let mut bytes = [0; 16];
    entropy.fill_bytes(&mut bytes);
    Gfid::v4(bytes)
}
