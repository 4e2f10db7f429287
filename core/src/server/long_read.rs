//! A READ that is longer than one call of the storage: its reply is sent part by part.
//!
//! The reply's head says how many bytes follow, and cannot be taken back. So the range is read
//! twice, one part at a time and never more than one part in memory:
//!
//! ```text
//! First ──▶ Check ──▶ Send ──▶ (answered)
//!   │         └── a part cannot be read: the call's errno
//!   └── the file ends within the first part: an ordinary reply
//! ```
//!
//! *First* reads one part and learns the size of the file. *Check* reads the rest of the range and
//! drops it: a part that cannot be read is an errno of this call. *Send* reads again and queues
//! each part when the previous one was sent. If the file has been truncated or unlinked meanwhile,
//! zeroes replace the missing bytes; if a part cannot be read for another reason, only closing the
//! connection can say so.
//!
//! Parts are as long as the request allows, also where the file ends sooner: a file that bypasses
//! the page cache is read in whole blocks.

use super::fops::locks::errno_of;
use super::jobs::{Head, Long, State as JobState};
use super::send::HEAD_ROOM;
use super::state::{Handled, Host, State};
use super::storage::{Call, Completion, Counts, Payload, Place, Storage, Submitted, Target};
use super::wait_queues::WaitQueue;
use super::{BrickIx, Exports, JobId};
use crate::fop::FopNumber;
use crate::fop::wire::{Body, Read, Reply, Request};
use crate::id::ConnId;
use crate::rpc::Cred;
use crate::time::Instant;
use crate::xdr::{Dict, Errno, Gfid, Iatt, Reader, Writer};

/// The longest READ: its reply is one record, whose mark has 31 bits for the length.
pub(super) const LONGEST_READ: u32 = i32::MAX as u32 - HEAD_ROOM;
/// Milliseconds until a part that found no free buffer is tried again.
const RETRY_MS: u64 = 20;

/// Phase of a long READ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    First,
    Check,
    Send,
}

/// A READ that is executed in parts. A connection has at most one.
#[derive(Clone, Copy, Debug)]
pub(super) struct LongRead {
    pub(super) job: JobId,
    brick: BrickIx,
    gfid: Gfid,
    target: Target,
    flag: u32,
    offset: u64,
    /// Bytes requested.
    asked: u32,
    /// Bytes requested; from Check on, bytes that the file has.
    pub(super) len: u32,
    /// Bytes of these that the phase has completed.
    at: u32,
    /// Attributes when the first part was read.
    stat: Iatt,
    pub(super) phase: Phase,
    /// The file ends before the next part that is sent: the rest is zeroes.
    ended: bool,
    /// The errno to answer with, when there is room for the reply.
    failed: Option<Errno>,
    /// The storage works on a part.
    pub(super) pending: bool,
}

impl LongRead {
    pub(super) fn new(job: JobId, brick: BrickIx, read: &Read<'_>, target: Target) -> Self {
        Self {
            job,
            brick,
            gfid: read.gfid,
            target,
            flag: read.flag,
            offset: read.offset,
            asked: read.size,
            len: read.size,
            at: 0,
            stat: Iatt::default(),
            phase: Phase::First,
            ended: false,
            failed: None,
            pending: true,
        }
    }
}

/// The storage's answer about a part.
enum Part {
    Read(Option<Place>),
    Failed(Errno),
}

impl State<'_> {
    /// Bytes of a part of a long READ or WRITE.
    pub(super) fn part_bytes(&self) -> u32 {
        (self.limits.transfer_bytes / 4).max(1)
    }

    /// Submits the first part of a long READ. The reply may turn out to fit into one part.
    pub(super) fn begin_long_read<E: Exports, S: Storage>(
        &mut self,
        conn: ConnId,
        id: JobId,
        call: &Call<'_>,
        read: &Read<'_>,
        host: &mut Host<'_, E, S>,
    ) -> Handled {
        let part = self.part_bytes();
        let Some(connection) = self.connections.get_mut(conn) else { return Handled::Done };
        // Earlier READs of the connection are answered first.
        let waits = connection.reading > 0 || connection.long_read.is_some();
        if waits || self.heads.room(conn, &connection.ring).is_none() {
            self.take_back(conn, id);
            return Handled::NotNow { wants: None };
        }
        let first = Request::Read(Read { size: part, ..*read });
        let mut room = [0; HEAD_ROOM as usize];
        let mut w = Writer::new(&mut room);
        let submitted = host.storage.submit(id, &Call { request: first, ..*call }, &mut w);
        let len = w.position();
        if submitted == Submitted::Busy {
            self.take_back(conn, id);
            return Handled::NotNow { wants: Some(WaitQueue::Storage) };
        }
        connection.long_read = Some(LongRead::new(id, call.brick, read, call.target));
        // The storage has one part at a time.
        connection.reading = part;
        if let Some(job) = self.jobs.get_mut(id) {
            (job.reading, job.long) = (part, Long::Read { len: read.size, more: false });
        }
        let Submitted::Done { failed, data } = submitted else { return Handled::Done };
        let body = room.get(..len).unwrap_or_default();
        if self.has_long_read_begun(conn, body, data, host.storage) {
            self.continue_long_read(conn, host.storage);
            return Handled::Done;
        }
        self.not_long(id);
        self.answered(id, failed, host.storage);
        self.reply_with(id, body, data);
        Handled::Done
    }

    /// The READ fitted into one part after all.
    pub(super) fn not_long(&mut self, id: JobId) {
        if let Some(job) = self.jobs.get_mut(id) {
            job.long = Long::No;
        }
    }

    /// The storage has read the first part of a long READ: `body` is the encoded reply, `data` the
    /// bytes. Returns false if this is the whole reply.
    pub(super) fn has_long_read_begun(
        &mut self,
        conn: ConnId,
        body: &[u8],
        data: Option<Place>,
        storage: &mut impl Storage,
    ) -> bool {
        let part = self.part_bytes();
        let Some(connection) = self.connections.get_mut(conn) else { return false };
        let Some(read) = connection.long_read.take() else { return false };
        let stat = match Reply::decode(FopNumber::Read, &mut Reader::new(body)) {
            Ok(Reply { op_ret, body: Body::Read { stat, .. }, .. })
                if u32::try_from(op_ret).is_ok_and(|n| n >= part) =>
            {
                stat
            }
            _ => return false,
        };
        let there = stat.size.saturating_sub(read.offset);
        let len = read.len.min(u32::try_from(there).unwrap_or(u32::MAX));
        if len <= part {
            return false;
        }
        let read = LongRead { len, at: part, stat, phase: Phase::Check, pending: false, ..read };
        connection.long_read = Some(read);
        if let Some(data) = data {
            storage.release(data.buffer);
        }
        true
    }

    /// Continues the connection's long READ as far as it can without waiting, but not for so long
    /// that other events would have to wait.
    pub(super) fn continue_long_read(&mut self, conn: ConnId, storage: &mut impl Storage) {
        self.take_turn(conn, self.limits.transfer_bytes, storage);
    }

    /// The same until `budget` bytes are read. Returns how many bytes were read.
    fn take_turn(&mut self, conn: ConnId, budget: u32, storage: &mut impl Storage) -> u32 {
        let mut taken = 0;
        loop {
            let Some(read) = self.long_read(conn) else { return taken };
            let to_be_sent = match self.jobs.get(read.job).map(|job| job.state) {
                Some(JobState::Ready { head, data }) => head.len() > 0 || data.is_some(),
                _ => false,
            };
            if read.pending || to_be_sent {
                return taken;
            }
            if let Some(errno) = read.failed {
                self.answer_failed(conn, read, errno, storage);
                return taken;
            }
            if read.phase == Phase::Check && read.at == read.len {
                if !self.begin_sending(conn, read, storage) {
                    self.retry_long_read(conn);
                    return taken;
                }
                continue;
            }
            if taken >= budget {
                // A storage that has everything in its cache answers every part at once.
                self.continue_later(conn, self.now);
                return taken;
            }
            let part = if read.ended {
                Part::Read(None)
            } else {
                let size = (read.asked - read.at).min(self.part_bytes());
                let mut room = [0; HEAD_ROOM as usize];
                let mut w = Writer::new(&mut room);
                match storage.submit(read.job, &read.call(size), &mut w) {
                    Submitted::Pending => {
                        self.set_long_read(conn, LongRead { pending: true, ..read });
                        return taken;
                    }
                    Submitted::Busy => {
                        self.retry_long_read(conn);
                        return taken;
                    }
                    Submitted::Done { failed, data } => {
                        taken += size;
                        if failed {
                            if let Some(data) = data {
                                storage.release(data.buffer);
                            }
                            Part::Failed(errno_of(&room, 0))
                        } else {
                            Part::Read(data)
                        }
                    }
                }
            };
            if !self.part_was_read(conn, read, part, storage) {
                return taken;
            }
        }
    }

    /// Continues the long READs in the queue, if it is time.
    pub(super) fn continue_long_reads_if_due(&mut self, storage: &mut impl Storage) {
        if self.long_reads_at.take_if(|at| *at <= self.now).is_some() {
            let turns = self.connections.len();
            self.continue_long_reads(self.limits.transfer_bytes, turns, storage);
        }
    }

    /// The storage may have room for long READs that wait for it.
    pub(super) fn continue_waiting_long_reads(&mut self, turns: u32, storage: &mut impl Storage) {
        // `elapsed` continues the READs that do not wait for room.
        if self.long_reads_at.is_some_and(|at| at > self.now) {
            self.continue_long_reads(self.part_bytes(), turns, storage);
        }
    }

    /// Continues long READs in the order of the queue until they have read `budget` bytes or had
    /// `turns` turns. The others stay in the queue.
    fn continue_long_reads(&mut self, budget: u32, turns: u32, storage: &mut impl Storage) {
        let mut left = budget;
        for _ in 0..turns {
            if left == 0 {
                break;
            }
            if self.broken.is_some() {
                left = 0;
                break;
            }
            let Some(conn) = self.connections.next_long_read() else { break };
            left = left.saturating_sub(self.take_turn(conn, left, storage));
        }
        if left == 0 && self.connections.has_queued_long_reads() {
            self.long_reads_at = Some(self.now);
        }
    }

    /// The storage has completed a pending part.
    pub(super) fn long_read_completed(
        &mut self,
        conn: ConnId,
        completion: Completion,
        storage: &mut impl Storage,
    ) {
        let Place { buffer, at, len } = completion.body;
        let Some(read) = self.long_read(conn) else { return storage.release(buffer) };
        let read = LongRead { pending: false, ..read };
        self.set_long_read(conn, read);
        let part = if completion.failed {
            let errno = errno_of(storage.bytes_mut(buffer), at);
            storage.release(buffer);
            Part::Failed(errno)
        } else {
            let begin = at as usize;
            let word = storage.bytes_mut(buffer).get(begin..begin + 4);
            let n = word.and_then(|word| word.try_into().ok()).map_or(0, u32::from_be_bytes);
            let n = n.min(len);
            Part::Read(Some(Place { buffer, at: at + len - n, len: n }))
        };
        if self.part_was_read(conn, read, part, storage) {
            self.continue_long_read(conn, storage);
        }
    }

    /// Handles the answer about a part. Returns whether to continue.
    fn part_was_read(
        &mut self,
        conn: ConnId,
        read: LongRead,
        part: Part,
        storage: &mut impl Storage,
    ) -> bool {
        // Bytes of the part that the reply needs.
        let wanted = (read.len - read.at).min(self.part_bytes());
        match (read.phase, part) {
            (Phase::Check, Part::Read(data)) => {
                let n = data.map_or(0, |data| data.len).min(wanted);
                if let Some(data) = data {
                    storage.release(data.buffer);
                }
                let at = read.at + n;
                // The file is shorter than before: this is where it ends.
                let len = if n < wanted { at } else { read.len };
                self.set_long_read(conn, LongRead { at, len, ..read });
                true
            }
            (Phase::Check, Part::Failed(errno)) => {
                self.answer_failed(conn, read, errno, storage);
                false
            }
            (_, Part::Read(Some(data))) if data.len > 0 => {
                let data = Place { len: data.len.min(wanted), ..data };
                let ended = data.len < wanted;
                self.send_part(conn, LongRead { ended, ..read }, data, storage);
                true
            }
            // An anonymous fd does not keep an unlinked file.
            (_, Part::Failed(errno)) if errno != Errno::ENOENT && errno != Errno::ESTALE => {
                self.broken = Some(conn);
                false
            }
            (_, part) => {
                if let Part::Read(Some(data)) = part {
                    storage.release(data.buffer);
                }
                let read = LongRead { ended: true, ..read };
                self.set_long_read(conn, read);
                let Some(buffer) = storage.reserve(wanted) else {
                    self.retry_long_read(conn);
                    return false;
                };
                if let Some(bytes) = storage.bytes_mut(buffer).get_mut(..wanted as usize) {
                    bytes.fill(0);
                }
                self.send_part(conn, read, Place { buffer, at: 0, len: wanted }, storage);
                true
            }
        }
    }

    /// Answers with the errno of a part, or tries again later if there is no room for the reply.
    fn answer_failed(
        &mut self,
        conn: ConnId,
        read: LongRead,
        errno: Errno,
        storage: &mut impl Storage,
    ) {
        let Some(connection) = self.connections.get(conn) else { return };
        if self.heads.room(conn, &connection.ring).is_none() {
            self.set_long_read(conn, LongRead { failed: Some(errno), ..read });
            return self.retry_long_read(conn);
        }
        self.end_long_read(conn);
        self.answered(read.job, true, storage);
        let reply = Reply::plain(-1, errno.to_wire());
        self.in_ring(read.job, |w| reply.encode(FopNumber::Read, w).is_ok());
    }

    /// Queues the head of the reply. Returns false if there is no room now.
    fn begin_sending(&mut self, conn: ConnId, read: LongRead, storage: &mut impl Storage) -> bool {
        let Some(connection) = self.connections.get(conn) else { return false };
        if self.heads.room(conn, &connection.ring).is_none() {
            return false;
        }
        let end = read.offset.saturating_add(read.len.into());
        let reply = Reply {
            op_ret: read.len as i32,
            // A READ that reaches the end of the file says so by this errno.
            op_errno: if end >= read.stat.size { Errno::ENOENT.to_wire() } else { 0 },
            xdata: Dict::Null,
            body: Body::Read { stat: read.stat, size: read.len },
        };
        self.set_long_read(conn, LongRead { phase: Phase::Send, at: 0, ..read });
        if let Some(job) = self.jobs.get_mut(read.job) {
            job.long = Long::Read { len: read.len, more: read.len > 0 };
        }
        self.in_ring_before(read.job, read.len, |w| reply.encode(FopNumber::Read, w).is_ok());
        if read.len == 0 {
            self.end_long_read(conn);
            self.answered(read.job, false, storage);
        }
        true
    }

    /// Queues a part. The last one ends the call in the storage.
    fn send_part(&mut self, conn: ConnId, read: LongRead, data: Place, storage: &mut impl Storage) {
        let at = read.at + data.len;
        self.set_long_read(conn, LongRead { at, ..read });
        if let Some(job) = self.jobs.get_mut(read.job) {
            job.state = JobState::Ready { head: Head::NONE, data: Some(data) };
            job.long = Long::Read { len: read.len, more: at < read.len };
        }
        let now = self.now;
        if let Some(connection) = self.connections.get_mut(conn) {
            connection.unsent = connection.unsent.saturating_add(data.len);
            // Until now the connection waited for the storage, not for the client.
            (connection.stalled_since, connection.sent_in_stall) = (now, 0);
        }
        if at >= read.len {
            self.end_long_read(conn);
            self.answered(read.job, false, storage);
        }
        self.connections.want_transmit(conn);
        self.schedule_check();
    }

    /// Does the storage work on the first part of the connection's long READ?
    pub(super) fn is_first_part(&self, conn: ConnId) -> bool {
        let read = self.connections.get(conn).and_then(|connection| connection.long_read);
        read.is_some_and(|read| read.phase == Phase::First)
    }

    fn long_read(&self, conn: ConnId) -> Option<LongRead> {
        self.open_connection(conn)?.long_read.filter(|read| read.phase != Phase::First)
    }

    fn set_long_read(&mut self, conn: ConnId, read: LongRead) {
        if let Some(connection) = self.connections.get_mut(conn) {
            connection.long_read = Some(read);
        }
    }

    fn end_long_read(&mut self, conn: ConnId) {
        if let Some(connection) = self.connections.get_mut(conn) {
            connection.long_read = None;
        }
    }

    /// No buffer or no room for a head was free: schedules a retry.
    fn retry_long_read(&mut self, conn: ConnId) {
        self.continue_later(conn, self.now.plus_millis(RETRY_MS));
    }

    /// Queues the connection's long READ to be continued at this time or before.
    fn continue_later(&mut self, conn: ConnId, at: Instant) {
        self.connections.queue_long_read(conn);
        self.long_reads_at = Some(self.long_reads_at.map_or(at, |before| before.min(at)));
    }
}

impl LongRead {
    /// The call for the next part. Permissions were checked with the first one.
    fn call(&self, size: u32) -> Call<'static> {
        let offset = self.offset.saturating_add(self.at.into());
        let Self { brick, gfid, target, flag, .. } = *self;
        let read = Read { gfid, fd: -2, offset, size, flag, xdata: Dict::Null };
        Call {
            brick,
            cred: Cred::bootstrap(),
            request: Request::Read(read),
            target,
            second: Target::Gfid,
            opened: true,
            opens: None,
            payload: Payload::Bytes(&[]),
            counts: Counts::default(),
        }
    }
}
