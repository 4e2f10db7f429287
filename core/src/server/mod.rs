//! The server's side: what clients of GlusterFS find behind a volume's ports, as a pure function of its inputs.
//!
//! [`Server`] has no socket, no clock and no disk. An adapter accepts connections, brings bytes in and takes bytes out; a
//! [`Storage`] carries fops out; [`Exports`] says what there is to be served.
//!
//! ```text
//! accepted(peer)                      → a connection
//! intake(conn)                        → Core: read, then received(conn, bytes) | Place(p): read into p, then placed(conn, n) | Wait | Closed
//! outgoing(conn) → write → sent(conn, n)
//! completed(job, …)                   when the storage has an answer
//! poll() → Transmit | Resume | Close  to be drained after each of these
//! ```

pub mod acl;
pub mod checksum;
mod connections;
mod exports;
mod files;
mod fops;
mod gfid_hash;
mod intake;
mod jobs;
mod limits;
mod locks;
mod login;
mod long_read;
mod long_write;
mod names;
pub mod permission;
mod programs;
mod receive;
mod send;
mod state;
mod storage;
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

use crate::id::ConnId;
use crate::rpc::transport::{Records, TransportIx};
use crate::time::Instant;
use files::Files;
use gfid_hash::Seed;
use locks::{LockTables, Locks};
use state::State;
use wait_queues::WaitQueue;

/// What a server is told once.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// This instance of the process, as clients know it: another one after every start.
    pub process_uuid: heapless::String<128>,
    /// A connection is closed that takes none of its replies for so long, or next to nothing, that leaves a call which
    /// memory is kept for unfinished, or that says neither which brick nor which volfile it wants.
    pub stall_timeout_ms: u32,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self { process_uuid: heapless::String::new(), stall_timeout_ms: 42_000 }
    }
}

/// What the server wants of its adapter. Drain to `None` after every call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// `conn` has records to send: gather them from `outgoing`.
    Transmit {
        /// Which connection.
        conn: ConnId,
    },
    /// `conn` may be read on after `Intake::Wait`; bytes that `received` left come first, even if there are none.
    Resume {
        /// Which connection.
        conn: ConnId,
    },
    /// Close `conn`; its id means nothing from here on.
    Close {
        /// Which connection.
        conn: ConnId,
        /// Why.
        why: CloseReason,
    },
}

/// Where the next bytes of a connection belong. Asked again before **every** read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intake {
    /// To the server: read into staging and hand over with `received`, which may stop before the end.
    Core,
    /// Straight into a buffer of the storage; then say `placed`.
    Place(Place),
    /// Nowhere now: do not read until [`Output::Resume`].
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

/// A table of [`ServerMemory`] is smaller than the limits ask for, or a limit than a server can work with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooSmall {
    /// Which.
    pub table: &'static str,
    /// Elements it has.
    pub has: usize,
    /// Elements it needs.
    pub needs: usize,
}

impl<'m> Server<'m> {
    /// A server without connections.
    pub fn new(
        config: ServerConfig,
        limits: &ServerLimits,
        memory: ServerMemory<'m>,
    ) -> Result<Self, TooSmall> {
        if let Some((table, has, needs)) = memory.lacks(limits) {
            return Err(TooSmall { table, has, needs });
        }
        // Where no reply has room no call would ever be taken.
        let (has, needs) = (limits.head_bytes as usize, send::HEAD_ROOM as usize);
        if has < needs {
            return Err(TooSmall { table: "head_bytes", has, needs });
        }
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
        let seed = Seed::of(config.process_uuid.as_bytes());
        let locks = Locks::new(*limits, tables, seed);
        let files = Files::new(files, file_chains, seed);
        let records = Records::new(inline_buffers, block_bytes, blocks, limits.transfer_bytes);
        Ok(Self {
            records,
            state: State::new(config, *limits, connections, heads, jobs, files, locks),
        })
    }

    /// Somebody connected; `None` if there is no room for another connection, which is then to be closed.
    pub fn accepted(&mut self, peer: Peer, now: Instant) -> Option<ConnId> {
        self.state.at(now);
        let conn = self.state.connections.insert(Connection::new(peer, self.state.now))?;
        self.state.watch();
        self.records.reach(TransportIx(conn.slot() as u16));
        Some(conn)
    }

    /// Where the next bytes of `conn` belong.
    pub fn intake(&self, conn: ConnId) -> Intake {
        let Some(connection) = self.state.living(conn) else { return Intake::Closed };
        match connection.intake.place() {
            _ if connection.starved => Intake::Wait,
            Some(place) if place.len > 0 => Intake::Place(place),
            _ => Intake::Core,
        }
    }

    /// Ends a connection whose reply cannot be completed.
    fn end_broken(&mut self, storage: &mut impl Storage) {
        if let Some(conn) = self.state.broken.take() {
            self.end(conn, CloseReason::ReadFailed, storage);
        }
    }

    /// What is to be sent on `conn`, from the first byte that was not.
    pub fn outgoing(&self, conn: ConnId) -> impl Iterator<Item = Outgoing<'_>> {
        self.state.outgoing(conn)
    }

    /// So many bytes of `outgoing` were sent.
    pub fn sent(&mut self, conn: ConnId, bytes: usize, now: Instant, storage: &mut impl Storage) {
        self.state.at(now);
        self.state.sent(conn, bytes, now, storage);
        self.end_broken(storage);
        self.wake_waiters();
    }

    /// The connection is over, seen from the transport.
    pub fn closed(&mut self, conn: ConnId, now: Instant, storage: &mut impl Storage) {
        self.state.at(now);
        self.clean_up(conn, storage);
        self.state.connections.remove(conn);
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

    /// A volfile has changed: clients that fetched one are told.
    pub fn volfile_changed(&mut self, now: Instant) {
        self.state.at(now);
        let mut from = 0;
        while let Some(conn) = self.state.connections.next_from(from) {
            from = conn.slot() + 1;
            if let Some(connection) = self.state.connections.get_mut(conn) {
                connection.spec_due = connection.wants_spec;
            }
            self.state.tell_of_specs(conn);
        }
    }

    /// A brick is not served any more: whoever uses it is disconnected.
    pub fn brick_gone(&mut self, brick: BrickIx, now: Instant, storage: &mut impl Storage) {
        self.state.at(now);
        let mut from = 0;
        while let Some(conn) = self.state.connections.next_from(from) {
            from = conn.slot() + 1;
            // Also who has logged out since: it may have files open there.
            if self
                .state
                .connections
                .get(conn)
                .is_some_and(|connection| connection.brick == Some(brick))
            {
                self.end(conn, CloseReason::Stopped, storage);
            }
        }
    }

    /// Whether a brick takes changes has been changed: it counts for those who are logged in already.
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

    /// Ends every connection: their files are closed and their locks are gone.
    pub fn stop(&mut self, now: Instant, storage: &mut impl Storage) {
        self.state.at(now);
        let mut from = 0;
        while let Some(conn) = self.state.connections.next_from(from) {
            from = conn.slot() + 1;
            self.end(conn, CloseReason::Stopped, storage);
        }
    }

    /// News for the adapter.
    pub fn poll(&mut self) -> Option<Output> {
        self.state.poll()
    }

    /// When [`Server::elapsed`] is to be called although nothing happened.
    pub fn deadline(&self) -> Option<Instant> {
        self.state.deadline()
    }

    /// Time has passed: connections that keep others from what they need are closed.
    pub fn elapsed(&mut self, now: Instant, storage: &mut impl Storage) {
        self.state.at(now);
        self.state.round();
        if self.state.is_time_for_long_reads() {
            let mut from = 0;
            while let Some(conn) = self.state.connections.next_from(from) {
                from = conn.slot() + 1;
                self.state.continue_long_read(conn, storage);
                self.end_broken(storage);
            }
        }
        if !self.state.is_time_to_look() {
            return;
        }
        let mut from = 0;
        while let Some(conn) = self.state.connections.next_from(from) {
            from = conn.slot() + 1;
            if let Some(why) = self.state.is_over(conn) {
                self.end(conn, why, storage);
            }
        }
    }

    /// How much there is of what.
    pub fn usage(&self) -> Usage {
        self.state.usage()
    }

    /// Who is connected.
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

    /// Retries one call that waits for a slot and one that waits for a block, if there are free ones.
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

/// One connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connected<'a> {
    /// The peer's address without a port; empty for a unix socket.
    pub address: &'a str,
    /// The brick that it has logged in to.
    pub brick: Option<BrickIx>,
    /// Its calls that are not answered completely.
    pub outstanding: u32,
}

/// How full a server is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Connections.
    pub connections: u32,
    /// Calls that are not answered completely.
    pub jobs: u32,
    /// Open files and directories.
    pub files: u32,
    /// Locks that somebody has.
    pub locks_held: u32,
    /// Locks that somebody waits for.
    pub locks_waiting: u32,
}
