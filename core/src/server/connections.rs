//! Connections: the peer, its login, its progress, and the notifications that the adapter has not
//! polled yet.

use managed::ManagedSlice;

use super::fops::shard_size::SizeUses;
use super::intake::IntakeState;
use super::long_read::LongRead;
use super::long_write::{LongWrite, Refused};
use super::subdirectory::Walk;
use super::wait_queues::{QueueLinks, WaitQueue, WaitQueues};
use super::{BrickIx, HandleId, JobId};
use crate::id::ConnId;
use crate::rpc::PeerError;
use crate::rpc::transport::Ring;
use crate::slab::{Slab, Slot};
use crate::time::Instant;
use crate::xdr::Gfid;

/// Text of an address: fits the longest IPv6 address with a zone; the path of a unix socket is cut.
pub type Address = heapless::String<64>;

/// The peer of a new connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// Address without a port; empty for a unix socket.
    pub address: Address,
    /// Whether its port is below 1024. Also set for a unix socket, whose file permissions decide
    /// who connects.
    pub privileged: bool,
}

/// The login of a connection, from SETVOLUME.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) brick: BrickIx,
    pub(super) read_only: bool,
    /// The directory that is the client's root.
    pub(super) root: Gfid,
}

/// Hash of the part of a process-uuid that all connections of one client process share. A client
/// that copies another's process-uuid gains nothing that its own login does not allow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ClientKey(u64);

impl ClientKey {
    /// From `CTX_ID:uuid-GRAPH_ID:…` the part before `-GRAPH_ID`, or the whole text
    /// (docs/spec/01-wire.md, "SETVOLUME").
    pub(super) fn of(process_uuid: &[u8]) -> Self {
        const END: &[u8] = b"-GRAPH_ID:";
        let end = process_uuid.windows(END.len()).position(|window| window == END);
        let shared = process_uuid.get(..end.unwrap_or(process_uuid.len())).unwrap_or_default();
        Self(crate::gfid_hash::fnv(shared))
    }
}

/// Why the server closes a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// It sent bytes that are not a call.
    Peer(PeerError),
    /// It does not take its replies, or does not finish a call.
    Stalled,
    /// It neither logged in nor fetched a volfile in time.
    NoLogin,
    /// The server or the brick shuts down.
    Stopped,
    /// A part of a long READ could not be read again after earlier parts were sent.
    ReadFailed,
}

/// One connection.
#[derive(Clone, Debug)]
pub struct Connection {
    pub(super) peer: Peer,
    /// Number of this connection since the start: tells it from an earlier one with the same id.
    pub(super) serial: u32,
    pub(super) login: Option<Login>,
    /// The client process, from the process-uuid of SETVOLUME. One client has several connections
    /// after a change of its graph, or for parallel transfers.
    pub(super) client: ClientKey,
    /// The subdirectory of a SETVOLUME that is being resolved.
    pub(super) walk: Option<Walk>,
    /// The brick of its first login, which it cannot change: its files and locks are there.
    pub(super) brick: Option<BrickIx>,
    pub(super) intake: IntakeState,
    /// The WRITE that is being received in parts, and the call that is refused when its rest has
    /// arrived.
    pub(super) long_write: Option<LongWrite>,
    pub(super) refused: Option<Refused>,
    /// The READ that is executed in parts.
    pub(super) long_read: Option<LongRead>,
    /// Replies that are not sent completely: first and last of the list.
    pub(super) first_out: Option<JobId>,
    pub(super) last_out: Option<JobId>,
    /// Bytes of storage buffers in these replies.
    pub(super) unsent: u32,
    /// Bytes that its READs in the storage ask for.
    pub(super) reading: u32,
    /// Its calls in the storage that read or change the size of a sharded file.
    pub(super) size_uses: SizeUses,
    /// Files and directories that it has open.
    pub(super) files: u32,
    /// Bytes of the first reply that are sent.
    pub(super) sent: u32,
    pub(super) ring: Ring,
    /// Calls that are taken and whose reply is not sent completely.
    pub(super) outstanding: u16,
    /// First of its open files; linked through the files.
    pub(super) first_file: Option<HandleId>,
    /// It fetched a volfile and is notified when one changes.
    pub(super) fetched_volfile: bool,
    /// A volfile has changed since, and it is not notified yet.
    pub(super) volfile_notice_due: bool,
    /// When the peer last took `MIN_PROGRESS_BYTES` of its replies, and the bytes that it has taken
    /// since.
    pub(super) stalled_since: Instant,
    pub(super) sent_in_stall: u32,
    /// When `MIN_PROGRESS_BYTES` of the unfinished call last arrived, and the bytes that have
    /// arrived since.
    pub(super) slow_since: Instant,
    pub(super) received: u32,
    /// It was not read because it had to wait: its stall time starts anew.
    pub(super) stall_reset: bool,
    /// When it connected.
    pub(super) since: Instant,
    /// It has a call that could not be taken, and is not read until it is woken.
    pub(super) starved: bool,
    /// The queue in which that call waits. Kept while it is retried, until the call is taken.
    pub(super) wants: Option<WaitQueue>,
    /// Set when the adapter is to close it.
    pub(super) closing: Option<CloseReason>,
    flags: Flags,
    pub(super) queue_links: QueueLinks,
}

/// Notifications that the adapter has not polled yet.
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
            walk: None,
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
            size_uses: SizeUses::default(),
            files: 0,
            sent: 0,
            ring: Ring::default(),
            outstanding: 0,
            first_file: None,
            fetched_volfile: false,
            volfile_notice_due: false,
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

/// All connections, and the queues in which they wait.
#[derive(Debug)]
pub(super) struct Connections<'m> {
    slab: Slab<'m, Connection, ConnId>,
    queues: WaitQueues,
    /// Connections accepted since the start.
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

    /// Removes a connection and its notifications.
    pub(super) fn remove(&mut self, conn: ConnId) -> Option<Connection> {
        self.queues.leave(WaitQueue::Notifications, conn, &mut self.slab);
        self.queues.leave(WaitQueue::LongReads, conn, &mut self.slab);
        self.stop_waiting(conn);
        self.slab.remove(conn)
    }

    /// Tells the adapter to close a connection.
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

    /// The next connection with notifications. One that is to be closed is removed here.
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

    /// A connection's call could not be taken: do not read it until it is woken. `wants` is the
    /// queue to wait in.
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

    /// The connection's call was taken: leaves its queue.
    pub(super) fn stop_waiting(&mut self, conn: ConnId) {
        if let Some(queue) = self.slab.get_mut(conn).and_then(|connection| connection.wants.take())
        {
            self.queues.leave(queue, conn, &mut self.slab);
        }
    }

    /// Must a connection queue because others wait for the same?
    pub(super) fn must_queue(&self, conn: ConnId, queue: WaitQueue) -> bool {
        !self.queues.is_empty(queue)
            && self.slab.get(conn).is_none_or(|connection| connection.wants.is_none())
    }

    /// The connection's long READ is continued after those that are queued already.
    pub(super) fn queue_long_read(&mut self, conn: ConnId) {
        self.queues.join(WaitQueue::LongReads, conn, &mut self.slab);
    }

    /// Takes the first connection out of the queue of long READs.
    pub(super) fn next_long_read(&mut self) -> Option<ConnId> {
        let conn = self.queues.first(WaitQueue::LongReads, &self.slab)?;
        self.queues.leave(WaitQueue::LongReads, conn, &mut self.slab);
        Some(conn)
    }

    /// Is any long READ to be continued later?
    pub(super) fn has_queued_long_reads(&self) -> bool {
        !self.queues.is_empty(WaitQueue::LongReads)
    }

    /// Does any connection wait for a slot, a block or the storage?
    pub(super) fn anyone_waits(&self) -> bool {
        [WaitQueue::Slots, WaitQueue::Blocks, WaitQueue::Storage]
            .into_iter()
            .any(|queue| !self.queues.is_empty(queue))
    }

    /// Does any connection wait for the storage?
    pub(super) fn anyone_waits_for_storage(&self) -> bool {
        !self.queues.is_empty(WaitQueue::Storage)
    }

    fn wake(&mut self, conn: ConnId) {
        let Some(connection) = self.get_mut(conn) else { return };
        if core::mem::take(&mut connection.starved) {
            connection.stall_reset = true;
            self.want_resume(conn);
        }
    }

    /// Wakes a connection that waited only for its own calls or replies.
    pub(super) fn wake_own(&mut self, conn: ConnId) {
        if self.get(conn).is_some_and(|connection| connection.wants.is_none()) {
            self.wake(conn);
        }
    }

    /// Wakes the first connection of a queue. It keeps its place until its call is taken.
    pub(super) fn wake_first(&mut self, queue: WaitQueue) {
        if let Some(conn) = self.queues.first(queue, &self.slab) {
            self.wake(conn);
        }
    }

    /// Wakes up to `turns` connections that wait for the storage. If a call still finds no room,
    /// its connection queues behind the others.
    pub(super) fn wake_for_storage(&mut self, turns: usize) {
        for _ in 0..turns {
            let Some(conn) = self.queues.first(WaitQueue::Storage, &self.slab) else { return };
            self.queues.leave(WaitQueue::Storage, conn, &mut self.slab);
            self.wake(conn);
        }
    }
}
