//! Connections: who is at the other end, what it logged in to, and what the adapter is yet to be told of it.

use managed::ManagedSlice;

use super::intake::IntakeState;
use super::long_read::LongRead;
use super::long_write::{LongWrite, Refused};
use super::wait_queues::{QueueLinks, WaitQueue, WaitQueues};
use super::{BrickIx, HandleId, JobId};
use crate::id::ConnId;
use crate::rpc::PeerError;
use crate::rpc::transport::Ring;
use crate::slab::{Slab, Slot};
use crate::time::Instant;

/// The text of an address: the longest IPv6 with a zone, or the path of a unix socket cut short.
pub type Address = heapless::String<64>;

/// Who connected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// Address without a port; empty for a unix socket.
    pub address: Address,
    /// Does it come from a port below 1024 (or through a unix socket, which only those reach who may)?
    pub privileged: bool,
}

/// What a connection logged in to with SETVOLUME.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) brick: BrickIx,
    pub(super) read_only: bool,
}

/// A hash of the part of a process-uuid that all connections of one client process share. It grants
/// nothing that another connection to the brick could not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ClientKey(u64);

impl ClientKey {
    /// Of `CTX_ID:uuid-GRAPH_ID:…` the part before `-GRAPH_ID`, or the whole text (docs/spec/01-wire.md,
    /// "SETVOLUME").
    pub(super) fn of(process_uuid: &[u8]) -> Self {
        const END: &[u8] = b"-GRAPH_ID:";
        let end = process_uuid.windows(END.len()).position(|window| window == END);
        let shared = process_uuid.get(..end.unwrap_or(process_uuid.len())).unwrap_or_default();
        Self(super::gfid_hash::fnv(shared))
    }
}

/// Why the server ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// What it sent is not what a client sends.
    Peer(PeerError),
    /// It takes no replies although there are some, or does not finish a call.
    Stalled,
    /// It did not say what it wants.
    NoLogin,
    /// The server shuts down.
    Stopped,
    /// A part of a long READ could not be read any more when the parts before it had been sent.
    ReadFailed,
}

/// One connection.
#[derive(Clone, Debug)]
pub struct Connection {
    pub(super) peer: Peer,
    /// Tells it from all others that had its id before: ids are used again after some thousands.
    pub(super) serial: u32,
    pub(super) login: Option<Login>,
    /// Which client it is of, from the process-uuid of SETVOLUME: after a change of its graph, and
    /// for parallel connections, one client has several.
    pub(super) client: ClientKey,
    /// The only brick that it logs in to: what it has open and locked is there.
    pub(super) brick: Option<BrickIx>,
    pub(super) intake: IntakeState,
    /// The call whose record is being received, if it is too long to be received at once.
    pub(super) long_write: Option<LongWrite>,
    pub(super) refused: Option<Refused>,
    /// A READ that is carried out in parts.
    pub(super) long_read: Option<LongRead>,
    /// Replies that are ready and not yet sent completely.
    pub(super) first_out: Option<JobId>,
    pub(super) last_out: Option<JobId>,
    /// Bytes of buffers that they bring along.
    pub(super) unsent: u32,
    /// Bytes that READs ask for which the storage has: buffers of them are lent already, or will be.
    pub(super) reading: u32,
    /// Files and directories that it has open.
    pub(super) files: u32,
    /// Bytes of the first that are sent.
    pub(super) sent: u32,
    pub(super) ring: Ring,
    /// Calls taken and not yet answered completely.
    pub(super) outstanding: u16,
    /// What it has open, linked through the files.
    pub(super) first_file: Option<HandleId>,
    /// It fetched a volfile and is to be told when one changes.
    pub(super) wants_spec: bool,
    /// … and is yet to be told.
    pub(super) spec_due: bool,
    /// Since when nothing to speak of was taken of what waits, and the bytes that were all the same.
    pub(super) stalled_since: Instant,
    pub(super) sent_in_stall: u32,
    /// Since when nothing to speak of has come of the call that it keeps a block or a buffer for, and the bytes that have.
    pub(super) slow_since: Instant,
    pub(super) received: u32,
    /// It had to wait for us: its own time begins again.
    pub(super) stall_reset: bool,
    /// Since when it is connected.
    pub(super) since: Instant,
    /// It has a call that could not be taken.
    pub(super) starved: bool,
    /// What others have, for want of which that was, until the call is taken. It may be trying again.
    pub(super) wants: Option<WaitQueue>,
    /// The adapter is to close it.
    pub(super) closing: Option<CloseReason>,
    flags: Flags,
    pub(super) queue_links: QueueLinks,
}

/// News for the adapter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags {
    pub(super) transmit: bool,
    pub(super) resume: bool,
}

impl Connection {
    pub(super) fn new(peer: Peer, since: Instant) -> Self {
        Self {
            peer,
            serial: 0,
            login: None,
            client: ClientKey::default(),
            brick: None,
            intake: IntakeState::default(),
            long_write: None,
            refused: None,
            long_read: None,
            first_out: None,
            last_out: None,
            unsent: 0,
            reading: 0,
            files: 0,
            sent: 0,
            ring: Ring::default(),
            outstanding: 0,
            first_file: None,
            wants_spec: false,
            spec_due: false,
            stalled_since: Instant::ZERO,
            sent_in_stall: 0,
            slow_since: since,
            received: 0,
            stall_reset: false,
            since,
            starved: false,
            wants: None,
            closing: None,
            flags: Flags::default(),
            queue_links: QueueLinks::default(),
        }
    }
}

/// All connections, and the rows in which they stand.
#[derive(Debug)]
pub(super) struct Connections<'m> {
    slab: Slab<'m, Connection, ConnId>,
    queues: WaitQueues,
    /// Connections that there were so far.
    accepted: u32,
}

impl<'m> Connections<'m> {
    pub(super) fn new(slots: ManagedSlice<'m, Slot<Connection>>) -> Self {
        Self { slab: Slab::new(slots), queues: WaitQueues::default(), accepted: 0 }
    }

    pub(super) fn insert(&mut self, mut connection: Connection) -> Option<ConnId> {
        self.accepted = self.accepted.wrapping_add(1);
        connection.serial = self.accepted;
        self.slab.insert(connection)
    }

    pub(super) fn get(&self, conn: ConnId) -> Option<&Connection> {
        self.slab.get(conn)
    }

    pub(super) fn get_mut(&mut self, conn: ConnId) -> Option<&mut Connection> {
        self.slab.get_mut(conn)
    }

    pub(super) fn len(&self) -> u32 {
        self.slab.len() as u32
    }

    pub(super) fn next_from(&self, from: usize) -> Option<ConnId> {
        self.slab.next_from(from)
    }

    /// Takes a connection out; its news are forgotten.
    pub(super) fn remove(&mut self, conn: ConnId) -> Option<Connection> {
        self.queues.leave(WaitQueue::Notifications, conn, &mut self.slab);
        self.stop_waiting(conn);
        self.slab.remove(conn)
    }

    /// The adapter is to be told to close a connection.
    pub(super) fn close_later(&mut self, conn: ConnId, why: CloseReason) {
        if let Some(connection) = self.slab.get_mut(conn) {
            connection.closing.get_or_insert(why);
            self.queues.join(WaitQueue::Notifications, conn, &mut self.slab);
        }
    }

    pub(super) fn want_transmit(&mut self, conn: ConnId) {
        self.flag(conn, |flags| flags.transmit = true);
    }

    pub(super) fn want_resume(&mut self, conn: ConnId) {
        self.flag(conn, |flags| flags.resume = true);
    }

    fn flag(&mut self, conn: ConnId, set: impl FnOnce(&mut Flags)) {
        let Some(connection) = self.slab.get_mut(conn) else { return };
        set(&mut connection.flags);
        self.queues.join(WaitQueue::Notifications, conn, &mut self.slab);
    }

    /// The next connection with news, and what they are. One that is to be closed is forgotten here.
    pub(super) fn next_notification(&mut self) -> Option<(ConnId, Flags, Option<CloseReason>)> {
        let conn = self.queues.first(WaitQueue::Notifications, &self.slab)?;
        self.queues.leave(WaitQueue::Notifications, conn, &mut self.slab);
        let connection = self.slab.get_mut(conn)?;
        let (flags, closing) = (core::mem::take(&mut connection.flags), connection.closing);
        if closing.is_some() {
            self.remove(conn);
        }
        Some((conn, flags, closing))
    }

    /// A connection could not have its call taken: it is not read until it is woken. `wants`: what others have, if it was that.
    pub(super) fn wait(&mut self, conn: ConnId, wants: Option<WaitQueue>) {
        let Some(connection) = self.slab.get_mut(conn) else { return };
        connection.starved = true;
        let before = core::mem::replace(&mut connection.wants, wants);
        if let Some(queue) = before.filter(|_| before != wants) {
            self.queues.leave(queue, conn, &mut self.slab);
        }
        if let Some(queue) = wants {
            self.queues.join(queue, conn, &mut self.slab);
        }
    }

    /// The call of a connection is taken: it waits for nothing.
    pub(super) fn stop_waiting(&mut self, conn: ConnId) {
        if let Some(queue) = self.slab.get_mut(conn).and_then(|connection| connection.wants.take())
        {
            self.queues.leave(queue, conn, &mut self.slab);
        }
    }

    /// Would a connection that asks for something get it before others that wait for it?
    pub(super) fn is_late(&self, conn: ConnId, queue: WaitQueue) -> bool {
        !self.queues.is_empty(queue)
            && self.slab.get(conn).is_none_or(|connection| connection.wants.is_none())
    }

    /// Does somebody wait for what others have?
    pub(super) fn anyone_waits(&self) -> bool {
        [WaitQueue::Slots, WaitQueue::Blocks, WaitQueue::Storage]
            .into_iter()
            .any(|queue| !self.queues.is_empty(queue))
    }

    /// Does somebody wait for the storage?
    pub(super) fn some_wait_for_storage(&self) -> bool {
        !self.queues.is_empty(WaitQueue::Storage)
    }

    fn wake(&mut self, conn: ConnId) {
        let Some(connection) = self.get_mut(conn) else { return };
        if core::mem::take(&mut connection.starved) {
            connection.stall_reset = true;
            self.want_resume(conn);
        }
    }

    /// What a connection itself had too much of it has less of.
    pub(super) fn wake_own(&mut self, conn: ConnId) {
        if self.get(conn).is_some_and(|connection| connection.wants.is_none()) {
            self.wake(conn);
        }
    }

    /// There is something of what the first in a row waits for: it may try again, and keeps its place until it has it.
    pub(super) fn wake_first(&mut self, queue: WaitQueue) {
        if let Some(conn) = self.queues.first(queue, &self.slab) {
            self.wake(conn);
        }
    }

    /// So many who wait for the storage may try again; if it has no room still, they go behind the others.
    pub(super) fn wake_for_storage(&mut self, turns: usize) {
        for _ in 0..turns {
            let Some(conn) = self.queues.first(WaitQueue::Storage, &self.slab) else { return };
            self.queues.leave(WaitQueue::Storage, conn, &mut self.slab);
            self.wake(conn);
        }
    }
}
