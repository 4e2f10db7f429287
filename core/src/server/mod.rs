//! The server's side of the protocol as a pure function of its inputs: the management port and the
//! bricks of any number of volumes.
//!
//! [`Server`] has no socket, no clock and no disk. An adapter accepts connections, hands over
//! received bytes and sends bytes; a [`Storage`] executes fops; [`Exports`] says which volumes and
//! bricks there are.
//!
//! ```text
//! accepted(peer)                 → a connection
//! intake(conn)                   → Core:     read, then received(conn, bytes)
//!                                  Place(p): read into p, then placed(conn, n)
//!                                  Wait:     do not read until Output::Resume
//!                                  Closed
//! outgoing(conn) → write → sent(conn, n)
//! completed(job, …)              when the storage has answered a pending call
//! deadline() → elapsed(now)      when no call has come before that time
//! poll() → Transmit | Resume | Close, drained to `None` after each of these
//! ```

pub mod acl;
pub mod checksum;
mod connections;
mod deadlines;
mod exports;
mod files;
mod fops;
mod intake;
mod jobs;
pub(crate) mod limits;
mod locks;
mod login;
mod long_read;
mod long_write;
mod names;
pub mod permission;
mod programs;
mod receive;
mod root_in_replies;
mod send;
mod state;
mod storage;
mod subdirectory;
mod wait_queues;
pub mod xattr_names;
pub mod xattrop;

pub use connections::{Address, CloseReason, Connection, Peer};
pub use exports::{Brick, Exports, Login};
pub use files::{FileChain, OpenFile};
pub use jobs::Job;
pub use limits::{ServerLimits, ServerMemory};
pub use locks::{
    Chain as LockChain, Chunk as LockStringChunk, Holder as LockHolder, Lock, Scope as LockScope,
};
pub use names::check as check_names;
pub use send::Outgoing;
pub use storage::{
    BrickIx, BufferId, Call, Completion, Counts, Finished, HandleId, JobId, Payload, Place,
    Storage, Submitted, Target, answer,
};
pub use subdirectory::names_of as subdirectory_names;

use crate::gfid_hash::Seed;
use crate::id::ConnId;
use crate::rpc::transport::{Records, TransportIx};
use crate::time::Instant;
use files::Files;
use locks::{LockTables, Locks};
use state::State;
use wait_queues::WaitQueue;

/// Configuration of a server, fixed at construction.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Identifies this server process to clients: must differ after every start.
    pub process_uuid: heapless::String<128>,
    /// Seed of the hash tables that are indexed by gfid. Clients choose gfids, so draw it at random
    /// at each start and keep it secret: the process-uuid, which clients are told, is no seed.
    pub hash_seed: u64,
    /// Milliseconds after which a connection is closed that takes less than 1 MiB of the replies
    /// that wait for it, that leaves a call unfinished which memory is kept for, or that has
    /// neither logged in to a brick nor fetched a volfile.
    pub stall_timeout_ms: u32,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self { process_uuid: heapless::String::new(), hash_seed: 0, stall_timeout_ms: 42_000 }
    }
}

/// An action for the adapter. Call [`Server::poll`] until `None` after every other call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// `conn` has records to send: gather them from `outgoing`.
    Transmit {
        /// The connection to write to.
        conn: ConnId,
    },
    /// Read `conn` again after `Intake::Wait`. First hand over the bytes that `received` left, even
    /// if there are none.
    Resume {
        /// The connection to read from.
        conn: ConnId,
    },
    /// Close `conn`. Its id is not used for it again.
    Close {
        /// The connection to close.
        conn: ConnId,
        /// The reason, for a log.
        why: CloseReason,
    },
}

/// Where the next bytes of a connection belong. Ask again before **every** read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intake {
    /// Read into a buffer of the adapter and hand over with `received`, which may stop before the
    /// end.
    Core,
    /// This part of a buffer of the storage: read up to its length straight into it, call `placed`
    /// with the number of bytes read, and ask again.
    Place(Place),
    /// Do not read until [`Output::Resume`].
    Wait,
    /// The connection is closed.
    Closed,
}

/// A GlusterFS server: the management port and bricks of any number of volumes.
#[derive(Debug)]
pub struct Server<'m> {
    records: Records<'m>,
    state: State<'m>,
}

/// A table of [`ServerMemory`] is smaller than the limits require, or a limit is smaller than a
/// server can work with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooSmall {
    /// Name of the table or limit.
    pub table: &'static str,
    /// Elements that it has.
    pub has: usize,
    /// Elements that it needs.
    pub needs: usize,
}

impl<'m> Server<'m> {
    /// Makes a server without connections. Fails if a table is too small for `limits`.
    pub fn new(
        config: ServerConfig,
        limits: &ServerLimits,
        memory: ServerMemory<'m>,
    ) -> Result<Self, TooSmall> {
        if let Some((table, has, needs)) = memory.lacks(limits) {
            return Err(TooSmall { table, has, needs });
        }
        // Without room for any reply no call would ever be taken.
        let (has, needs) = (limits.head_bytes as usize, send::HEAD_ROOM as usize);
        if has < needs {
            return Err(TooSmall { table: "head_bytes", has, needs });
        }
        let memory = memory.cut(limits);
        let ServerMemory {
            connections,
            inline_buffers,
            heads,
            jobs,
            files,
            file_chains,
            blocks,
            block_bytes,
            ..
        } = memory;
        let ServerMemory { locks, lock_scopes, lock_strings, lock_chains, lock_holders, .. } =
            memory;
        let tables = LockTables {
            locks,
            scopes: lock_scopes,
            chunks: lock_strings,
            chains: lock_chains,
            holders: lock_holders,
        };
        let seed = Seed::new(config.hash_seed);
        let locks = Locks::new(*limits, tables, seed);
        let files = Files::new(files, file_chains, seed);
        let records = Records::new(inline_buffers, block_bytes, blocks, limits.transfer_bytes);
        Ok(Self {
            records,
            state: State::new(config, *limits, connections, heads, jobs, files, locks),
        })
    }

    /// Registers a new connection. `None` if the table of connections is full: close it.
    pub fn accepted(&mut self, peer: Peer, now: Instant) -> Option<ConnId> {
        self.state.at(now);
        let conn = self.state.connections.insert(Connection::new(peer, self.state.now))?;
        self.state.schedule_check();
        self.records.reach(TransportIx(conn.slot() as u16));
        Some(conn)
    }

    /// Where the next bytes of `conn` belong.
    pub fn intake(&self, conn: ConnId) -> Intake {
        let Some(connection) = self.state.open_connection(conn) else { return Intake::Closed };
        match connection.intake.place() {
            _ if connection.starved => Intake::Wait,
            Some(place) if place.len > 0 => Intake::Place(place),
            _ => Intake::Core,
        }
    }

    /// Closes connections whose reply cannot be completed.
    fn end_broken(&mut self, storage: &mut impl Storage) {
        // To end one connection frees buffers, with which the READ of another is continued.
        while let Some(conn) = self.state.broken.take() {
            self.end(conn, CloseReason::ReadFailed, storage);
        }
    }

    /// The records to send on `conn`, from the first byte that was not sent.
    pub fn outgoing(&self, conn: ConnId) -> impl Iterator<Item = Outgoing<'_>> {
        self.state.outgoing(conn)
    }

    /// `bytes` bytes of `outgoing` were sent.
    pub fn sent(&mut self, conn: ConnId, bytes: usize, now: Instant, storage: &mut impl Storage) {
        self.state.at(now);
        self.state.sent(conn, bytes, now, storage);
        self.end_broken(storage);
        self.wake_waiters();
    }

    /// The transport reports that the connection is over. Its files are closed and its locks are
    /// released.
    pub fn closed(&mut self, conn: ConnId, now: Instant, storage: &mut impl Storage) {
        self.state.at(now);
        self.clean_up(conn, storage);
        self.state.connections.remove(conn);
        self.end_broken(storage);
        self.wake_waiters();
    }

    /// The storage has answered a pending call.
    pub fn completed(
        &mut self,
        job: JobId,
        completion: Completion,
        now: Instant,
        storage: &mut impl Storage,
    ) {
        self.state.at(now);
        self.state.completed(job, completion, storage);
        self.end_broken(storage);
        self.wake_waiters();
    }

    /// A volfile has changed: notifies the clients that fetched one.
    pub fn volfile_changed(&mut self, now: Instant) {
        self.state.at(now);
        let mut from = 0;
        while let Some(conn) = self.state.connections.next_from(from) {
            from = conn.slot() + 1;
            if let Some(connection) = self.state.connections.get_mut(conn) {
                connection.volfile_notice_due = connection.fetched_volfile;
            }
            self.state.notify_of_volfile(conn);
        }
    }

    /// The brick is not served any more: disconnects its clients.
    pub fn brick_gone(&mut self, brick: BrickIx, now: Instant, storage: &mut impl Storage) {
        self.state.at(now);
        let mut from = 0;
        while let Some(conn) = self.state.connections.next_from(from) {
            from = conn.slot() + 1;
            // Also connections that have logged out since: they may have files open there.
            if self
                .state
                .connections
                .get(conn)
                .is_some_and(|connection| connection.brick == Some(brick))
            {
                self.end(conn, CloseReason::Stopped, storage);
            }
        }
        self.end_broken(storage);
    }

    /// Switches whether a brick refuses changes, for connections that are logged in already.
    pub fn set_read_only(&mut self, brick: BrickIx, read_only: bool) {
        let mut from = 0;
        while let Some(conn) = self.state.connections.next_from(from) {
            from = conn.slot() + 1;
            let connection = self.state.connections.get_mut(conn);
            if let Some(login) = connection
                .and_then(|connection| connection.login.as_mut())
                .filter(|l| l.brick == brick)
            {
                login.read_only = read_only;
            }
        }
    }

    /// Closes every connection, their files and their locks.
    pub fn stop(&mut self, now: Instant, storage: &mut impl Storage) {
        self.state.at(now);
        let mut from = 0;
        while let Some(conn) = self.state.connections.next_from(from) {
            from = conn.slot() + 1;
            self.end(conn, CloseReason::Stopped, storage);
        }
        self.end_broken(storage);
    }

    /// The next thing for the adapter to do.
    pub fn poll(&mut self) -> Option<Output> {
        self.state.poll()
    }

    /// When [`Server::elapsed`] must be called at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        self.state.deadline()
    }

    /// Time has passed: closes connections that stalled or did not log in, and retries calls that
    /// wait for the storage.
    pub fn elapsed(&mut self, now: Instant, storage: &mut impl Storage) {
        self.state.at(now);
        self.state.retry_all_if_due();
        self.state.continue_long_reads_if_due(storage);
        self.end_broken(storage);
        if !self.state.take_due_check() {
            return;
        }
        let mut from = 0;
        while let Some(conn) = self.state.connections.next_from(from) {
            from = conn.slot() + 1;
            if let Some(why) = self.state.exceeded_deadline(conn) {
                self.end(conn, why, storage);
            }
        }
        self.end_broken(storage);
    }

    /// Counts of what the tables hold now.
    pub fn usage(&self) -> Usage {
        self.state.usage()
    }

    /// All connections.
    pub fn connected(&self) -> impl Iterator<Item = Connected<'_>> {
        let mut from = 0;
        core::iter::from_fn(move || {
            let conn = self.state.connections.next_from(from)?;
            from = conn.slot() + 1;
            let connection = self.state.connections.get(conn)?;
            Some(Connected {
                address: &connection.peer.address,
                brick: connection.login.map(|login| login.brick),
                outstanding: connection.outstanding.into(),
            })
        })
    }

    /// Retries one call that waits for a slot and one that waits for a block, if any are free.
    fn wake_waiters(&mut self) {
        if self.state.has_slot_for_call() {
            self.state.connections.wake_first(WaitQueue::Slots);
        }
        if self.records.has_free() {
            self.state.connections.wake_first(WaitQueue::Blocks);
        }
    }

    fn end(&mut self, conn: ConnId, why: CloseReason, storage: &mut impl Storage) {
        self.clean_up(conn, storage);
        self.state.connections.close_later(conn, why);
        self.wake_waiters();
    }

    fn clean_up(&mut self, conn: ConnId, storage: &mut impl Storage) {
        if let Some(connection) = self.state.connections.get_mut(conn) {
            if let Some(payload) = connection.intake.payload.take() {
                storage.release(payload.buffer);
            }
            connection.intake.finish_record(&mut self.records);
        }
        self.state.clean_up(conn, storage);
    }
}

/// One connection, as a status report shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connected<'a> {
    /// The peer's address without a port; empty for a unix socket.
    pub address: &'a str,
    /// The brick that it has logged in to.
    pub brick: Option<BrickIx>,
    /// Calls whose reply is not sent completely.
    pub outstanding: u32,
}

/// Counts of what a server's tables hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Connections.
    pub connections: u32,
    /// Calls whose reply is not sent completely.
    pub jobs: u32,
    /// Open files and directories.
    pub files: u32,
    /// Locks that are granted.
    pub locks_held: u32,
    /// Locks that are waited for.
    pub locks_waiting: u32,
}
