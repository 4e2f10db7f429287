//! The fate of operations when connections end or return, and when deadlines pass.
//!
//! An operation whose fop was not sent waits. One whose fop was in flight waits too if a second
//! execution is harmless. A change is sent again only when the brick process that may have received
//! it is known to be gone (its process-uuid has changed): a living process could execute the first
//! copy after the second one, or after a younger change of the same bytes. Everything else is
//! reported as `Indeterminate`.

use super::machine::Machine;
use super::operation::{Kind, List, OpState};
use super::{Down, GraphError, OpError, OpenFlags, Table};
use crate::boundary::Range;
use crate::id::{FileId, InodeId, OpId};
use crate::rpc::PeerError;
use crate::rpc::transport::{Owner, Purpose, TransportIx};
use crate::time::Instant;
use crate::xdr::Gfid;
use crate::xlator::replicate::transaction;
use crate::xlator::{CALL_MS_MAX, Fd, Fop, NodeRef, TimerKey, client};

/// Failed attempts to connect for the first time after which waiting operations fail.
const FIRST_ATTEMPTS: u32 = 3;

/// A deadline that is found this long past means that the loop was suspended (a sleeping host), not
/// that the peer was silent. In milliseconds.
const ASLEEP_MS: u64 = 2_000;

/// Upper bound of plausible volfiles, in bytes: thousands of bricks make some megabytes.
const VOLFILE_MAX: u32 = 16 << 20;

impl Machine<'_> {
    /// The fop of an operation was not sent, because its subvolume is not connected.
    pub(super) fn not_sent(&mut self, id: OpId, fop: &Fop, down: Down) {
        self.graphs.last_down = down;
        if let Fop::Write { fd, .. } = *fop
            && self.ops.get(id).is_some_and(|op| op.done > 0)
        {
            // The brick took a first part, which is neither acknowledged nor durable: a restart may
            // lose it, and no flush would report that.
            if self.appends(fd.file) {
                return self.finish(id, Err(OpError::Indeterminate(down)));
            }
            self.write_from_the_beginning(id, fd);
        }
        self.park_or_continue(id);
    }

    /// Sets the whole WRITE of an operation to be sent, including the part that a brick has taken.
    fn write_from_the_beginning(&mut self, id: OpId, fd: Fd) {
        let Some(op) = self.ops.get_mut(id) else { return };
        if let Kind::Write { offset, len } = op.kind {
            op.done = 0;
            op.fop = Some(Fop::Write { fd, offset, data: Range { op: id, at: 0, len } });
        }
    }

    /// Says whether WRITEs of this handle go to the end of the file, so that a second execution
    /// adds its bytes again.
    fn appends(&self, file: FileId) -> bool {
        self.context.files.get(file).is_some_and(|file| file.flags.has(OpenFlags::APPEND))
    }

    /// Queues an operation until the volume can be used. If it can be used (only a further
    /// connection of its brick has ended), the operation continues at once.
    fn park_or_continue(&mut self, id: OpId) {
        let usable = self.graphs.is_usable() && !self.context.has_events && self.top_is_up();
        if usable { self.admit(id) } else { self.park(id) }
    }

    /// The connection ended with the fop of an operation in flight. `server` is the process that
    /// may have executed it, or may execute it yet; 0 if the brick did not name its process.
    pub(super) fn lost(&mut self, id: OpId, fop: &Fop, down: Down, server: u64) {
        self.graphs.last_down = down;
        let Some(op) = self.ops.get_mut(id) else { return };
        if op.kind == Kind::Close {
            let file = op.file.and_then(|file| self.context.files.get(file));
            let dirty = file.is_some_and(|file| self.context.is_dirty(file));
            return self.finish(id, if dirty { Err(OpError::Indeterminate(down)) } else { Ok(0) });
        }
        if fop.is_repeatable() {
            return self.park_or_continue(id);
        }
        op.doubt = Some(self.context.in_doubt(server));
        let repeatable = match *fop {
            Fop::Write { fd, .. } if self.appends(fd.file) => false,
            Fop::Write { fd, .. } => {
                self.write_from_the_beginning(id, fd);
                true
            }
            Fop::Create { flags, .. } if !flags.has(OpenFlags::EXCLUSIVE) => {
                self.resolve_again(id);
                true
            }
            fop => fop.is_repeatable_after_restart(),
        };
        if repeatable && server != 0 {
            return self.park(id);
        }
        self.finish(id, Err(OpError::Indeterminate(down)));
    }

    /// Begins an operation that creates a file again at its path: a LOOKUP shows whether the file
    /// exists.
    fn resolve_again(&mut self, id: OpId) {
        self.drop_unopened(id);
        if let Some(op) = self.ops.get_mut(id) {
            op.state = OpState::New;
            op.fop = None;
        }
    }

    /// A new brick process answers: acknowledged writes that were not flushed may be gone. The
    /// handles that such an inode has now report it, whichever handle wrote.
    pub(super) fn restarted(&mut self) {
        self.context.inodes.lose_unflushed();
    }

    /// A flush has failed: the brick's kernel may have dropped what it could not write, and reports
    /// that once. If there was something to write, no handle of this inode flushes successfully any
    /// more.
    pub(super) fn flush_failed(&mut self, gfid: &Gfid) {
        let inode = self.context.inodes.find(gfid);
        if let Some(inode) = inode.and_then(|inode| self.context.inodes.get_mut(inode)) {
            inode.synced.lose_unflushed();
        }
    }

    /// An FSYNC whose operation has ended is answered.
    pub(super) fn abandoned_fsync_answered(&mut self, inode: InodeId, failed: bool) {
        if failed && let Some(inode) = self.context.inodes.get_mut(inode) {
            inode.synced.lose_unflushed();
        }
        self.context.inodes.release(inode);
    }

    /// Fails the operations that wait for a volume that never came up, once that is certain. If the
    /// volume was up before, they wait until their own deadlines.
    pub(super) fn first_attempt_failed(&mut self, attempts: u32, down: Down) {
        self.graphs.last_down = down;
        if self.graphs.was_up || !(down.is_final() || attempts >= FIRST_ATTEMPTS) {
            return;
        }
        let error = match down {
            Down::Graph(error) => OpError::Graph(error),
            down => OpError::NotConnected(down),
        };
        self.fail_parked(error);
    }

    /// Handles all deadlines that are due.
    pub(super) fn elapsed(&mut self, now: Instant) {
        while let Some((at, key)) = self.context.timers.take_due(now) {
            match self.context.key(key) {
                TimerKey::Op(index) => {
                    if let Some(id) = self.ops.id_at(index) {
                        let error = self.why_timed_out(id);
                        self.abort(id, error);
                    }
                }
                TimerKey::Step(transport) => match self
                    .context
                    .transports
                    .get(transport)
                    .map(|transport| transport.owner)
                {
                    Some(Owner::Glusterd) => self.session_timed_out(),
                    Some(Owner::Brick { graph, node, lane }) => {
                        client::step_timed_out(&mut self.context, NodeRef { graph, node }, lane);
                    }
                    _ => {}
                },
                TimerKey::Ping(transport) => self.ping_due(transport, at, now),
                TimerKey::Exchange => self.exchange_due(),
                TimerKey::Doubt => self.doubt_over(now),
                TimerKey::Transaction(index) => {
                    transaction::due(&mut self.context, index);
                }
            }
            self.run(None);
        }
    }

    /// The error of an operation whose deadline has passed.
    fn why_timed_out(&self, id: OpId) -> OpError {
        let Some(op) = self.ops.get(id) else { return OpError::TimedOut };
        if op.doubt.is_some() {
            OpError::Indeterminate(self.why_down())
        } else if op.list == List::Parked
            || (op.state == OpState::Ordered && !self.graphs.is_usable())
        {
            OpError::NotConnected(self.why_down())
        } else {
            OpError::TimedOut
        }
    }

    /// Sets the deadline for a ping if the peer has begun a record: it may hold a block, so its end
    /// is owed even with no call in flight.
    pub(super) fn watch_record(&mut self, at: TransportIx) {
        if self.context.transports.owes_record(at) {
            self.context.arm_ping(at);
        }
    }

    /// Pings a quiet connection that has calls in flight or has begun a record. Ends one that was
    /// silent for the ping-timeout, or that has left a call unanswered for `CALL_MS_MAX`.
    fn ping_due(&mut self, at: TransportIx, due: Instant, now: Instant) {
        let Some(transport) = self.context.transports.get(at) else { return };
        let (quiet_since, call) = (transport.quiet_since, self.context.transports.oldest(at));
        if call.is_none() && !self.context.transports.owes_record(at) {
            return;
        }
        let asleep = now.since(due).as_millis() as u64 >= ASLEEP_MS;
        let oldest = call.unwrap_or(quiet_since);
        if !asleep && now.since(oldest).as_millis() as u64 >= CALL_MS_MAX {
            return self.transport_lost(at, Down::Unanswered, true);
        }
        let (key, timeout) = (self.context.ping_key(at), self.context.ping_timeout(at));
        let Some(transport) = self.context.transports.get_mut(at) else { return };
        if asleep {
            // The loop was suspended and could not receive: the peer gets its time once more.
            transport.quiet_since = now;
        }
        let Some(timeout) = timeout else {
            let from = if asleep { now } else { oldest };
            return self.context.timers.set(key, from.plus_millis(CALL_MS_MAX));
        };
        let quiet = now.since(transport.quiet_since).as_millis() as u64;
        if quiet >= timeout && transport.pinging {
            return self.transport_lost(at, Down::PingTimeout, true);
        }
        let next = if quiet >= timeout / 2 { timeout } else { timeout / 2 };
        // The time limit may have become shorter since: the peer gets time to answer a ping.
        let asked = transport.pinging || quiet < timeout / 2;
        let least = if asked { now } else { now.plus_millis(timeout / 2) };
        let next = transport.quiet_since.plus_millis(next).max(least);
        // A record that comes byte by byte ends with the time of a call.
        if quiet >= timeout / 2 || call.is_none() {
            self.context.ping(at);
        }
        self.context.timers.set(key, next);
    }

    /// Ends a connection. `tell` says whether the adapter has to be told to close it.
    pub(super) fn transport_lost(&mut self, transport: TransportIx, down: Down, tell: bool) {
        self.changed = true;
        let before = self.context.transports.conn(transport);
        match self.context.transports.get(transport).map(|transport| transport.owner) {
            Some(Owner::Glusterd) => self.session_lost(down, tell),
            Some(Owner::Brick { graph, node, lane }) => {
                client::closed(&mut self.context, NodeRef { graph, node }, lane, down, tell);
            }
            _ => self.context.shut(transport, tell),
        }
        if before.is_some() && self.context.transports.conn(transport) == before {
            // Its owner is gone.
            self.context.shut(transport, tell);
            while let Some(call) = self.context.transports.drain_call(transport) {
                match call.purpose {
                    Purpose::AbandonedChange(inode, at)
                    | Purpose::AbandonedTruncation(inode, at) => {
                        self.context.abandoned_change_unanswered(inode, at, 0)
                    }
                    Purpose::AbandonedFsync(inode) => self.context.inodes.release(inode),
                    // Frames and fds went with the owner.
                    Purpose::Frame(_) | Purpose::Reopen(_) => {}
                    Purpose::Step
                    | Purpose::Ping
                    | Purpose::Release
                    | Purpose::Abandoned
                    | Purpose::AbandonedOpen => {}
                }
            }
        }
        self.context.transports.drop_abandoned(transport);
    }

    pub(super) fn peer_failed(&mut self, transport: TransportIx, error: PeerError) {
        crate::diag::warning!("peer error on transport {}: {}", transport.0, error);
        let down = match error {
            // A plausible size: the buffer is too small, and the peer did nothing wrong. (A server
            // that is not glusterd announces gigabytes.)
            PeerError::RecordTooLong { len, max }
                if transport == super::session::TRANSPORT
                    && self.session.is_fetching()
                    && len <= VOLFILE_MAX =>
            {
                let table = Table::VolfileBytes;
                Down::Graph(GraphError::TooLarge { table, has: max, needs: len })
            }
            error => Down::Peer(error),
        };
        self.transport_lost(transport, down, true);
    }

    /// The most specific reason why the volume cannot be used.
    pub(super) fn why_down(&self) -> Down {
        let top_reason = self.graphs.current().and_then(|graph| self.first_down(graph));
        top_reason.or(self.session.down).unwrap_or(self.graphs.last_down)
    }
}
