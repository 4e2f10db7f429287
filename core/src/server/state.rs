//! All state of a server except the bytes of calls that are being received.

use managed::ManagedSlice;

use super::connections::{Connection, Connections};
use super::files::{Files, OpenFile};
use super::fops::locks::errno_of;
use super::fops::reply_counts::Counting;
use super::fops::shard_size::SizeUse;
use super::jobs::{Job, Long, State as JobState};
use super::locks::Locks;
use super::root_in_replies::show_root;
use super::send::{HEAD_ROOM, Heads};
use super::wait_queues::WaitQueue;
use super::{
    Completion, HandleId, JobId, Output, Place, ServerConfig, ServerLimits, Storage, Usage,
};
use crate::fop::FopNumber;
use crate::fop::wire::{Body, Reply};
use crate::id::{ConnId, LockId};
use crate::rpc::ReplyStatus;
use crate::slab::{Slab, Slot};
use crate::time::Instant;
use crate::xdr::{Errno, Gfid, Reader};

/// The adapter's objects, lent to the server for one call.
pub(super) struct Host<'a, E, S> {
    pub(super) exports: &'a E,
    pub(super) storage: &'a mut S,
}

/// Result of handling one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handled {
    /// The call was taken.
    Done,
    /// Something is full: try the same call again later. `wants` is the queue to wait in; `None` if
    /// the connection waits for its own replies or calls.
    NotNow { wants: Option<WaitQueue> },
    /// A part was taken; the connection goes on with the same call.
    Part,
}

#[derive(Debug)]
pub(super) struct State<'m> {
    pub(super) config: ServerConfig,
    pub(super) limits: ServerLimits,
    pub(super) connections: Connections<'m>,
    pub(super) heads: Heads<'m>,
    pub(super) jobs: Slab<'m, Job, JobId>,
    pub(super) files: Files<'m>,
    pub(super) locks: Locks<'m>,
    /// The latest time that the adapter told.
    pub(super) now: Instant,
    /// A volfile notification could not be sent because no slot was free.
    pub(super) volfile_notices_due: bool,
    /// When to look for connections that exceeded a deadline.
    pub(super) next_check_at: Option<Instant>,
    /// When to retry all calls that wait for the storage.
    pub(super) retry_all_at: Option<Instant>,
    /// When to continue the long READs in the queue: those that wait for a buffer, and those that
    /// let other events have their turn.
    pub(super) long_reads_at: Option<Instant>,
    /// A connection whose reply cannot be completed: to be closed.
    pub(super) broken: Option<ConnId>,
}

/// Connections that are retried each time that the storage may have room.
const RETRIES_AT_ONCE: usize = 4;
/// Milliseconds after that until all connections that wait for the storage are retried.
const RETRY_ALL_MS: u64 = 20;

impl<'m> State<'m> {
    pub(super) fn new(
        config: ServerConfig,
        limits: ServerLimits,
        connections: ManagedSlice<'m, Slot<Connection>>,
        heads: ManagedSlice<'m, u8>,
        jobs: ManagedSlice<'m, Slot<Job>>,
        files: Files<'m>,
        locks: Locks<'m>,
    ) -> Self {
        let heads = Heads::new(heads, crate::slab::room(&connections));
        Self {
            config,
            limits,
            heads,
            connections: Connections::new(connections),
            jobs: Slab::new(jobs),
            files,
            locks,
            now: Instant::ZERO,
            volfile_notices_due: false,
            next_check_at: None,
            retry_all_at: None,
            long_reads_at: None,
            broken: None,
        }
    }

    pub(super) fn at(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    /// A connection that is not about to be closed.
    pub(super) fn open_connection(&self, conn: ConnId) -> Option<&Connection> {
        self.connections.get(conn).filter(|connection| connection.closing.is_none())
    }

    /// The connection that a call came from, unless it is closed or about to be.
    pub(super) fn open_caller(&self, job: &Job) -> Option<ConnId> {
        self.open_connection(job.conn)
            .filter(|connection| connection.serial == job.serial)
            .map(|_| job.conn)
    }

    pub(super) fn poll(&mut self) -> Option<Output> {
        loop {
            let (conn, flags, closing) = self.connections.next_notification()?;
            if let Some(why) = closing {
                return Some(Output::Close { conn, why });
            }
            if flags.transmit {
                if flags.resume {
                    self.connections.want_resume(conn);
                }
                return Some(Output::Transmit { conn });
            }
            if flags.resume {
                return Some(Output::Resume { conn });
            }
        }
    }

    /// Is there a slot for another call? Calls that wait for a lock have slots of their own, so
    /// that the call that releases the lock is always taken.
    pub(super) fn has_slot_for_call(&self) -> bool {
        self.jobs.len().saturating_sub(self.locks.parked() as usize) < self.limits.jobs as usize
            && self.has_slot()
    }

    /// The storage may have more room than before. Long READs come first, because they are begun
    /// and would find none after the others. A few connections that wait for it are retried
    /// at once, the others soon: to retry all for each completion would cost more than their number
    /// is worth.
    pub(super) fn storage_has_room(&mut self, storage: &mut impl Storage) {
        self.continue_waiting_long_reads(RETRIES_AT_ONCE as u32, storage);
        self.connections.wake_for_storage(RETRIES_AT_ONCE);
        if self.connections.anyone_waits_for_storage() && self.retry_all_at.is_none() {
            self.retry_all_at = Some(self.now.plus_millis(RETRY_ALL_MS));
        }
    }

    /// When something must be done although nothing happened.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.next_check_at.into_iter().chain(self.retry_all_at).chain(self.long_reads_at).min()
    }

    /// Retries all connections that wait for the storage, if it is time.
    pub(super) fn retry_all_if_due(&mut self) {
        if self.retry_all_at.take_if(|at| *at <= self.now).is_some() {
            self.connections.wake_for_storage(self.connections.len() as usize);
        }
    }

    /// The storage has answered a pending call: queues the reply.
    pub(super) fn completed(
        &mut self,
        id: JobId,
        completion: Completion,
        storage: &mut impl Storage,
    ) {
        let Some(job) = self.jobs.get(id).copied() else {
            storage.release(completion.body.buffer);
            return;
        };
        if let Some(lock) = job.lock {
            let Place { buffer, at, .. } = completion.body;
            let errno = completion.failed.then(|| errno_of(storage.bytes_mut(buffer), at));
            storage.release(buffer);
            self.found(id, &job, lock, errno, storage);
            return;
        }
        if job.walks {
            return self.walked(id, &job, completion, storage);
        }
        if let Some(conn) = self.open_caller(&job).filter(|_| job.long != Long::No) {
            return self.long_completed(id, &job, conn, completion, storage);
        }
        let creates =
            job.opens.and_then(|handle| self.files.get(handle)).is_some_and(OpenFile::has_no_gfid);
        if creates && !completion.failed {
            let Place { buffer, at, len } = completion.body;
            let gfid = created_gfid(storage.bytes_mut(buffer), at, len);
            self.created(id, gfid);
        }
        self.complete(id, &job, completion, storage);
        self.storage_has_room(storage);
    }

    /// The storage has completed a part of a long READ or WRITE.
    fn long_completed(
        &mut self,
        id: JobId,
        job: &Job,
        conn: ConnId,
        completion: Completion,
        storage: &mut impl Storage,
    ) {
        match job.long {
            Long::Write => self.part_completed(id, conn, completion, storage),
            Long::Read { .. } if self.is_first_part(conn) => {
                let Place { buffer, at, len } = completion.body;
                let mut head = [0; HEAD_ROOM as usize];
                let body = storage.bytes_mut(buffer).get(at as usize..(at + len) as usize);
                let body = body.unwrap_or_default();
                let n = body.len().min(head.len());
                if let (Some(head), Some(body)) = (head.get_mut(..n), body.get(..n)) {
                    head.copy_from_slice(body);
                }
                if self.has_long_read_begun(conn, &head, Some(completion.body), storage) {
                    self.continue_long_read(conn, storage);
                } else {
                    self.not_long(id);
                    self.complete(id, job, completion, storage);
                }
            }
            Long::Read { .. } => self.long_read_completed(conn, completion, storage),
            Long::No => {}
        }
        self.storage_has_room(storage);
    }

    /// The answer to a call is complete.
    fn complete(
        &mut self,
        id: JobId,
        job: &Job,
        completion: Completion,
        storage: &mut impl Storage,
    ) {
        self.answered(id, completion.failed, storage);
        if let Some(count_request) = job.count_request.filter(|_| !completion.failed) {
            let Place { buffer, at, len } = completion.body;
            let body = storage.bytes_mut(buffer).get_mut(at as usize..(at + len) as usize);
            let counting = Counting { locks: &self.locks, files: &self.files };
            counting.put(count_request, job.number, body.unwrap_or_default());
        }
        if let (Some(root), Some(fop)) = (self.shown_root(id), job.fop) {
            let Place { buffer, at, len } = completion.body;
            let body = storage.bytes_mut(buffer).get_mut(at as usize..(at + len) as usize);
            show_root(fop.number, body.unwrap_or_default(), root);
        }
        if self.open_caller(job).is_none() {
            storage.release(completion.body.buffer);
            self.jobs.remove(id);
            self.send_delayed_notices();
        } else {
            self.ready_short(id, ReplyStatus::Success, Some(completion.body), self.now);
        }
    }

    /// The storage has answered whether the inode of a requested lock exists.
    fn found(
        &mut self,
        id: JobId,
        job: &Job,
        lock: LockId,
        errno: Option<Errno>,
        storage: &mut impl Storage,
    ) {
        if let Some(job) = self.jobs.get_mut(id) {
            job.lock = None;
        }
        if self.open_caller(job).is_none() {
            self.jobs.remove(id);
        } else {
            self.resolved(id, lock, job.number, errno);
        }
        self.storage_has_room(storage);
    }

    /// Records the gfid of a file that CREATE opened, from its reply: an existing file has another
    /// gfid than the request asked for.
    pub(super) fn created(&mut self, id: JobId, gfid: Option<Gfid>) {
        let opens = self.jobs.get(id).and_then(|job| job.opens);
        if let (Some(handle), Some(gfid)) = (opens, gfid) {
            self.files.opened(handle, gfid);
        }
    }

    /// The storage has finished a call: releases the handles that it used, and confirms or discards
    /// the handle that it was to open.
    pub(super) fn answered(&mut self, id: JobId, failed: bool, storage: &mut impl Storage) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        if failed {
            job.set_failed();
        }
        let (uses, opens) = (core::mem::take(&mut job.uses), job.opens.take());
        let reading = core::mem::take(&mut job.reading);
        let size_use = job.size_use;
        if size_use != SizeUse::Follows {
            job.size_use = SizeUse::None;
        }
        let job = *job;
        if let Some(connection) =
            self.open_caller(&job).and_then(|conn| self.connections.get_mut(conn))
        {
            connection.reading = connection.reading.saturating_sub(reading);
            if connection.size_uses.end(size_use) {
                self.connections.wake_own(job.conn);
            }
        }
        for handle in uses.into_iter().flatten() {
            self.unuse(handle, storage);
        }
        let Some(handle) = opens else { return };
        if failed {
            self.forget_file(handle);
        } else {
            if let Some(file) = self.files.get_mut(handle) {
                file.confirmed = true;
            }
            self.unuse(handle, storage);
        }
    }

    /// Ends one use of a handle. A handle that is closing is closed with its last use.
    fn unuse(&mut self, handle: HandleId, storage: &mut impl Storage) {
        let Some(file) = self.files.get_mut(handle) else { return };
        file.uses = file.uses.saturating_sub(1);
        if file.closing && file.uses == 0 {
            let brick = file.brick;
            self.forget_file(handle);
            storage.close(brick, handle);
        }
    }

    /// Closes a handle as soon as no call uses it.
    pub(super) fn release_file(&mut self, handle: HandleId, storage: &mut impl Storage) {
        self.files.begin_to_close(handle);
        let Some(file) = self.files.get_mut(handle) else { return };
        file.uses += 1;
        self.unuse(handle, storage);
    }

    pub(super) fn forget_file(&mut self, handle: HandleId) {
        let conn = self.files.get(handle).and_then(|file| file.conn);
        let first = conn.and_then(|conn| self.connections.get_mut(conn)).map(|connection| {
            connection.files = connection.files.saturating_sub(1);
            &mut connection.first_file
        });
        self.files.remove(handle, first);
    }

    /// Ends everything of a connection: closes its files, releases its locks, drops its replies.
    /// Calls that the storage still works on are dropped when they complete.
    pub(super) fn clean_up(&mut self, conn: ConnId, storage: &mut impl Storage) {
        let begun = self.connections.get_mut(conn).and_then(Connection::begun_call);
        if let Some(id) = begun {
            self.answered(id, true, storage);
            self.jobs.remove(id);
        }
        let read = self.connections.get_mut(conn).and_then(|conn| conn.long_read.take());
        // A part that the storage works on is dropped when it completes.
        let kept = read.filter(|read| read.pending).map(|read| read.job);
        let over = read.filter(|read| !read.pending).map(|read| read.job);
        if let Some(id) = over {
            self.answered(id, true, storage);
        }
        while let Some(lock) = self.locks.take_first(conn) {
            // A lock whose inode the storage is still asked for has a pending job, which is dropped
            // when it completes.
            if let Some(job) = lock.job().filter(|_| !lock.is_unresolved()) {
                self.jobs.remove(job);
            }
        }
        let mut next = self.connections.get(conn).and_then(|connection| connection.first_file);
        while let Some(handle) = next {
            next = self.files.orphan(handle);
            self.release_file(handle, storage);
        }
        let connection = self.connections.get_mut(conn);
        let held = connection.and_then(|connection| connection.size_uses.release_all());
        let first_out = self.connections.get(conn).and_then(|connection| connection.first_out);
        for mut next in [first_out, held.map(|(first, _)| first)] {
            while let Some(id) = next
                && let Some(job) = self.jobs.get_mut(id)
            {
                next = job.next_out;
                if let JobState::Ready { data: Some(data), .. } = job.state {
                    storage.release(data.buffer);
                }
                if kept == Some(id) {
                    job.state = JobState::Running;
                } else {
                    self.jobs.remove(id);
                }
            }
        }
        if let Some(id) = over {
            self.jobs.remove(id);
        }
        if let Some(connection) = self.connections.get_mut(conn) {
            connection.first_out = None;
            connection.last_out = None;
            connection.first_file = None;
            connection.unsent = 0;
            connection.volfile_notice_due = false;
        }
        self.answer_decided_locks();
        self.connections.stop_waiting(conn);
        self.storage_has_room(storage);
        self.send_delayed_notices();
    }

    pub(super) fn usage(&self) -> Usage {
        let (locks_held, locks_waiting) = self.locks.held_and_wanted();
        Usage {
            connections: self.connections.len(),
            jobs: self.jobs.len() as u32,
            files: self.files.len(),
            locks_held,
            locks_waiting,
        }
    }
}

/// The gfid in the reply to a CREATE.
pub(super) fn created_gfid(bytes: &[u8], at: u32, len: u32) -> Option<Gfid> {
    let body = bytes.get(at as usize..at as usize + len as usize)?;
    match Reply::decode(FopNumber::Create, &mut Reader::new(body)).ok()?.body {
        Body::Create { stat, .. } => Some(stat.gfid),
        _ => None,
    }
}
