//! Everything of a server but gathered bytes: who is connected, what is open, which calls are under way.

use managed::ManagedSlice;

use super::connections::{CloseReason, Connection, Connections};
use super::files::{Files, OpenFile};
use super::fops::locks::errno_of;
use super::fops::reply_counts::Counting;
use super::jobs::{Job, Long, State as JobState};
use super::locks::Locks;
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

/// What is served, and by whom.
pub(super) struct Host<'a, E, S> {
    pub(super) exports: &'a E,
    pub(super) storage: &'a mut S,
}

/// Was a call taken?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handled {
    /// Yes.
    Done,
    /// Not yet: something is full. `wants`: what others have, if it is that.
    NotNow { wants: Option<WaitQueue> },
    /// A part of it, or how it goes on.
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
    /// The latest time that was told.
    pub(super) now: Instant,
    /// There was no slot to tell somebody of a volfile in.
    pub(super) specs_due: bool,
    /// When to look for connections whose time is over.
    pub(super) look_at: Option<Instant>,
    /// When all who wait for the storage are to have a turn.
    pub(super) round_at: Option<Instant>,
    /// When long READs that wait for a buffer ask for it again.
    pub(super) long_reads_at: Option<Instant>,
    /// A connection whose reply cannot be completed: it is to be ended.
    pub(super) broken: Option<ConnId>,
}

/// Bytes of a record that are something to speak of: less than that in the stall timeout is as good as nothing.
pub(super) const MIN_PROGRESS_BYTES: u32 = 1 << 20;
/// Turns of those who wait for the storage, each time that something may be free there.
const TURNS: usize = 4;
/// So long after that all the others have theirs.
const ROUND_MS: u64 = 20;

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
            specs_due: false,
            look_at: None,
            round_at: None,
            long_reads_at: None,
            broken: None,
        }
    }

    pub(super) fn at(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    /// A connection that is not about to be closed.
    pub(super) fn living(&self, conn: ConnId) -> Option<&Connection> {
        self.connections.get(conn).filter(|connection| connection.closing.is_none())
    }

    /// The connection that a call came from, unless it is over or about to be.
    fn asker(&self, job: &Job) -> Option<ConnId> {
        self.living(job.conn).filter(|connection| connection.serial == job.serial).map(|_| job.conn)
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

    /// Is there a slot for another call? Some are for calls that wait for a lock: who holds it must be able to give it back.
    pub(super) fn has_slot_for_call(&self) -> bool {
        self.jobs.len().saturating_sub(self.locks.parked() as usize) < self.limits.jobs as usize
            && self.has_slot()
    }

    /// The storage may have more room than before. Everybody who waits for it has a turn soon, but not all of them for each
    /// answer: each would cost as much as there are who wait for more than there is.
    pub(super) fn storage_has_room(&mut self) {
        self.connections.wake_for_storage(TURNS);
        if self.connections.some_wait_for_storage() && self.round_at.is_none() {
            self.round_at = Some(self.now.plus_millis(ROUND_MS));
        }
    }

    /// When something is to be done although nothing happened.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.look_at.into_iter().chain(self.round_at).chain(self.long_reads_at).min()
    }

    /// Everybody who waits for the storage has a turn, if it is time.
    pub(super) fn round(&mut self) {
        if self.round_at.take_if(|at| *at <= self.now).is_some() {
            self.connections.wake_for_storage(self.connections.len() as usize);
        }
    }

    /// The storage has answered.
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
            self.found(id, &job, lock, errno);
            return;
        }
        if let Some(conn) = self.asker(&job).filter(|_| job.long != Long::No) {
            return self.long_completed(id, &job, conn, completion, storage);
        }
        let creates =
            job.opens.and_then(|handle| self.files.get(handle)).is_some_and(OpenFile::is_unknown);
        if creates && !completion.failed {
            let Place { buffer, at, len } = completion.body;
            let gfid = created_gfid(storage.bytes_mut(buffer), at, len);
            self.created(id, gfid);
        }
        self.complete(id, &job, completion, storage);
        self.storage_has_room();
    }

    /// The storage has answered for a part of a long READ or WRITE.
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
        self.storage_has_room();
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
        if let Some(recount) = job.recount.filter(|_| !completion.failed) {
            let Place { buffer, at, len } = completion.body;
            let body = storage.bytes_mut(buffer).get_mut(at as usize..(at + len) as usize);
            let counting = Counting { locks: &self.locks, files: &self.files };
            counting.put(recount, job.number, body.unwrap_or_default());
        }
        if self.asker(job).is_none() {
            storage.release(completion.body.buffer);
            self.jobs.remove(id);
            self.tell_the_others();
        } else {
            self.ready_short(id, ReplyStatus::Success, Some(completion.body), self.now);
        }
    }

    /// The storage has said whether the inode exists that a lock is asked for.
    fn found(&mut self, id: JobId, job: &Job, lock: LockId, errno: Option<Errno>) {
        if let Some(job) = self.jobs.get_mut(id) {
            job.lock = None;
        }
        if self.asker(job).is_none() {
            self.jobs.remove(id);
        } else {
            self.resolved(id, lock, job.number, errno);
        }
        self.storage_has_room();
    }

    /// What CREATE has opened has the gfid that its reply says: another one than was asked for, if the file was there.
    pub(super) fn created(&mut self, id: JobId, gfid: Option<Gfid>) {
        let opens = self.jobs.get(id).and_then(|job| job.opens);
        if let (Some(handle), Some(gfid)) = (opens, gfid) {
            self.files.opened(handle, gfid);
        }
    }

    /// The storage is done with a call: what it used is free, and what it opened is open, or is not.
    pub(super) fn answered(&mut self, id: JobId, failed: bool, storage: &mut impl Storage) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        if failed {
            job.fails();
        }
        let (uses, opens) = (core::mem::take(&mut job.uses), job.opens.take());
        let reading = core::mem::take(&mut job.reading);
        let job = *job;
        if let Some(connection) = self.asker(&job).and_then(|conn| self.connections.get_mut(conn)) {
            connection.reading = connection.reading.saturating_sub(reading);
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

    /// One call fewer uses a handle. It is closed if it is to be and nobody else uses it.
    fn unuse(&mut self, handle: HandleId, storage: &mut impl Storage) {
        let Some(file) = self.files.get_mut(handle) else { return };
        file.uses = file.uses.saturating_sub(1);
        if file.closing && file.uses == 0 {
            let brick = file.brick;
            self.forget_file(handle);
            storage.close(brick, handle);
        }
    }

    /// A client does not want a handle any more.
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

    /// The connection is over: its files are closed, its replies forgotten. What the storage still works on is thrown away
    /// when it comes.
    pub(super) fn clean_up(&mut self, conn: ConnId, storage: &mut impl Storage) {
        let begun = self.connections.get_mut(conn).and_then(Connection::begun_call);
        if let Some(id) = begun {
            self.answered(id, true, storage);
            self.jobs.remove(id);
        }
        let read = self.connections.get_mut(conn).and_then(|conn| conn.long_read.take());
        // A part that the storage has is answered later, and finds nobody.
        let kept = read.filter(|read| read.pending).map(|read| read.job);
        let over = read.filter(|read| !read.pending).map(|read| read.job);
        if let Some(id) = over {
            self.answered(id, true, storage);
        }
        while let Some(lock) = self.locks.take_first(conn) {
            // Whether its inode exists the storage was asked for: that answer comes, and finds nobody.
            if let Some(job) = lock.job().filter(|_| !lock.is_unresolved()) {
                self.jobs.remove(job);
            }
        }
        let mut next = self.connections.get(conn).and_then(|connection| connection.first_file);
        while let Some(handle) = next {
            next = self.files.orphan(handle);
            self.release_file(handle, storage);
        }
        let mut next = self.connections.get(conn).and_then(|connection| connection.first_out);
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
        if let Some(id) = over {
            self.jobs.remove(id);
        }
        if let Some(connection) = self.connections.get_mut(conn) {
            connection.first_out = None;
            connection.last_out = None;
            connection.first_file = None;
            connection.unsent = 0;
            connection.spec_due = false;
        }
        self.settle();
        self.connections.stop_waiting(conn);
        self.storage_has_room();
        self.tell_the_others();
    }

    /// Is it time to look whether somebody's time is over?
    pub(super) fn is_time_to_look(&mut self) -> bool {
        self.look_at.take_if(|at| *at <= self.now).is_some()
    }

    /// Why a connection is to be closed, if its time is over. If it may be later, somebody has to look again.
    pub(super) fn is_over(&mut self, conn: ConnId) -> Option<CloseReason> {
        let deadlines = self.deadlines(self.living(conn)?);
        let late =
            deadlines.into_iter().find(|(deadline, _)| deadline.is_some_and(|at| at <= self.now));
        if late.is_none() && deadlines.iter().any(|(deadline, _)| deadline.is_some()) {
            self.watch();
        }
        late.map(|(_, why)| why)
    }

    /// When a connection is to be closed for what it does not do.
    fn deadlines(&self, connection: &Connection) -> [(Option<Instant>, CloseReason); 3] {
        let timeout = u64::from(self.config.stall_timeout_ms);
        // Who keeps what others wait for has less time.
        let much =
            connection.intake.keeps_memory() || connection.unsent >= self.limits.unsent_bytes;
        let patience = if much && self.connections.anyone_waits() { timeout / 4 } else { timeout };
        // A reply whose next part is being read waits for the storage, not for the client.
        let waits = connection.first_out.and_then(|id| self.jobs.get(id)).is_some_and(
            |job| matches!(job.state, JobState::Ready { head, data: None } if head.len() == 0),
        );
        let takes = (connection.first_out.is_some() && !waits)
            .then(|| connection.stalled_since.plus_millis(patience));
        let gives =
            connection.intake.keeps_memory() && !connection.starved && !connection.stall_reset;
        let gives = gives.then(|| connection.slow_since.plus_millis(patience));
        let says = connection.login.is_none() && !connection.wants_spec;
        let says = says.then(|| connection.since.plus_millis(timeout));
        [(takes, CloseReason::Stalled), (gives, CloseReason::Stalled), (says, CloseReason::NoLogin)]
    }

    fn look_after(&self) -> u64 {
        u64::from(self.config.stall_timeout_ms) / 8 + 1
    }

    /// Something waits for a client from now on: somebody has to look whether it goes on.
    pub(super) fn watch(&mut self) {
        if self.look_at.is_none() {
            self.look_at = Some(self.now.plus_millis(self.look_after()));
        }
    }

    /// Bytes are about to be taken. Is memory kept for a call already?
    pub(super) fn receive_started(&mut self, conn: ConnId) -> bool {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(conn) else { return false };
        if core::mem::take(&mut connection.stall_reset) {
            (connection.slow_since, connection.received) = (now, 0);
        }
        connection.intake.keeps_memory()
    }

    /// Bytes of a call have been taken. A call that memory is kept for has its time for each `PACE` of them.
    pub(super) fn received_bytes(&mut self, conn: ConnId, bytes: usize, had_memory: bool) {
        let now = self.now;
        let Some(connection) =
            self.connections.get_mut(conn).filter(|connection| connection.intake.keeps_memory())
        else {
            return;
        };
        connection.received =
            connection.received.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        if !had_memory || connection.received >= MIN_PROGRESS_BYTES {
            (connection.slow_since, connection.received) = (now, 0);
        }
        self.watch();
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
