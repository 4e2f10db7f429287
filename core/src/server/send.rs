//! Sends replies in the order in which they were answered: each has an encoded head and, for some,
//! a place in a buffer of the storage.

use managed::ManagedSlice;

use super::deadlines::MIN_PROGRESS_BYTES;
use super::jobs::{Counted, Head, Job, Long, SHORT_HEAD, State};
use super::state::State as Server;
use super::{Finished, JobId, Place, Storage};
use crate::fop::FopNumber;
use crate::id::ConnId;
use crate::rpc::transport::Ring;
use crate::rpc::{CallHeader, Cred, CredVersion, Procedure, RecordMark, ReplyHeader, ReplyStatus};
use crate::time::Instant;
use crate::xdr::{Encode, Writer};

/// Bytes of room that a reply's head is encoded in: mark, header and the longest body of fixed
/// length with every count in its xdata.
pub(super) const HEAD_ROOM: u32 = 1280;

/// One record, or the rest of it, to be sent: first `head`, then `data`.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'v> {
    /// Encoded bytes. They do not move until `sent` has passed them.
    pub head: &'v [u8],
    /// Bytes of a buffer of the storage.
    pub data: Option<Place>,
}

/// The bytes of encoded replies: a ring for each connection.
#[derive(Debug)]
pub(super) struct Heads<'m> {
    bytes: ManagedSlice<'m, u8>,
    each: usize,
}

impl<'m> Heads<'m> {
    pub(super) fn new(bytes: ManagedSlice<'m, u8>, connections: usize) -> Self {
        let each = bytes.len().checked_div(connections).unwrap_or(0);
        Self { bytes, each }
    }

    /// Free room in a connection's ring, and its offset there.
    pub(super) fn room(&mut self, conn: ConnId, ring: &Ring) -> Option<(u32, &mut [u8])> {
        let free = ring.free(self.each as u32);
        let (begin, end) =
            free.into_iter().find(|(begin, end)| end.saturating_sub(*begin) >= HEAD_ROOM)?;
        let region = conn.slot() * self.each;
        let bytes = self.bytes.get_mut(region + begin as usize..region + end as usize)?;
        Some((begin, bytes))
    }

    /// Bytes of an encoded reply, to change them.
    pub(super) fn encoded_mut(&mut self, conn: ConnId, at: u32, len: u32) -> Option<&mut [u8]> {
        let begin = conn.slot() * self.each + at as usize;
        self.bytes.get_mut(begin..begin + len as usize)
    }

    fn get(&self, conn: ConnId, at: u32, len: u32) -> Option<&[u8]> {
        let begin = conn.slot() * self.each + at as usize;
        self.bytes.get(begin..begin + len as usize)
    }
}

/// Encodes the mark and header of a reply. The mark's length is filled in by [`mark`].
pub(super) fn begin_head(w: &mut Writer<'_>, xid: u32, status: ReplyStatus) {
    // Both fit: see `HEAD_ROOM`, `SHORT_HEAD`.
    let _ = w.u32(0);
    let _ = ReplyHeader { xid, status }.encode(w);
}

/// Fills in the mark of a record of `len` bytes, its data included.
pub(super) fn mark(bytes: &mut [u8], len: u32) {
    if let Some(place) = bytes.get_mut(..4) {
        place.copy_from_slice(&RecordMark::last(len.saturating_sub(4)).to_be_bytes());
    }
}

/// Bytes of a reply's mark and header.
pub(super) const HEADER: u32 = 28;
/// Bytes of a READ's reply before its data, without xdata.
const READ_FRAME: u32 = HEADER + 172;

fn finished(fop: &Counted, len: u32, took: core::time::Duration) -> Finished {
    let Counted { brick, number, bytes, failed } = *fop;
    let bytes = if number == FopNumber::Read { len.saturating_sub(READ_FRAME) } else { bytes };
    let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
    Finished { brick, fop: number, failed, bytes, nanos }
}

impl Server<'_> {
    /// The records of a connection that are not sent completely.
    pub(super) fn outgoing(&self, conn: ConnId) -> impl Iterator<Item = Outgoing<'_>> {
        let connection = self.connections.get(conn);
        let mut next = connection.and_then(|connection| connection.first_out);
        let mut skip = connection.map_or(0, |connection| connection.sent);
        core::iter::from_fn(move || {
            let job = self.jobs.get(next?)?;
            // Replies behind one whose data is not all there wait until it is.
            next = job.next_out.filter(|_| !job.has_more());
            let State::Ready { head, data } = &job.state else { return None };
            if head.len() == 0 && data.is_none() {
                return None;
            }
            let bytes = match head {
                Head::Ring { at, len } => self.heads.get(conn, *at, *len)?,
                Head::Short { bytes, len } => bytes.get(..usize::from(*len))?,
            };
            let skipped = core::mem::take(&mut skip);
            let of_data = skipped.saturating_sub(bytes.len() as u32);
            let head = bytes.get((skipped as usize).min(bytes.len())..)?;
            let data =
                data.map(|data| Place { at: data.at + of_data, len: data.len - of_data, ..data });
            Some(Outgoing { head, data: data.filter(|data| data.len > 0) })
        })
    }

    /// `bytes` bytes were sent: frees the replies that are sent completely.
    pub(super) fn sent(
        &mut self,
        conn: ConnId,
        bytes: usize,
        now: Instant,
        storage: &mut impl Storage,
    ) {
        let Some(connection) = self.connections.get_mut(conn) else { return };
        connection.sent_in_stall =
            connection.sent_in_stall.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        if connection.sent_in_stall >= MIN_PROGRESS_BYTES {
            (connection.stalled_since, connection.sent_in_stall) = (now, 0);
        }
        let unsent = connection.unsent;
        let mut bytes = u32::try_from(bytes).unwrap_or(u32::MAX).saturating_add(connection.sent);
        let (mut freed, mut part_sent) = (false, false);
        while let Some(id) = self.connections.get(conn).and_then(|connection| connection.first_out)
        {
            let Some(Job {
                state: State::Ready { head, data }, next_out, began, fop, long, ..
            }) = self.jobs.get(id).copied()
            else {
                break;
            };
            let len = head.len() + data.map_or(0, |data| data.len);
            let waits_for_part = matches!(long, Long::Read { more: true, .. });
            if bytes < len || (len == 0 && waits_for_part) {
                break;
            }
            bytes -= len;
            freed = true;
            if let Some(data) = data {
                storage.release(data.buffer);
            }
            let next_in_ring =
                matches!(head, Head::Ring { .. }).then(|| self.next_in_ring(next_out));
            let Some(connection) = self.connections.get_mut(conn) else { return };
            connection.unsent = connection.unsent.saturating_sub(data.map_or(0, |data| data.len));
            if let Some(next) = next_in_ring {
                connection.ring.pop(next);
            }
            if waits_for_part {
                if let Some(job) = self.jobs.get_mut(id) {
                    job.state = State::Ready { head: Head::NONE, data: None };
                }
                part_sent = true;
                break;
            }
            if let Some(fop) = fop {
                let len = match long {
                    Long::Read { len, .. } => READ_FRAME + len,
                    Long::No | Long::Write => len,
                };
                storage.finished(&finished(&fop, len, now.since(began)));
            }
            self.jobs.remove(id);
            let Some(connection) = self.connections.get_mut(conn) else { return };
            connection.first_out = next_out;
            connection.outstanding = connection.outstanding.saturating_sub(1);
            if next_out.is_none() {
                connection.last_out = None;
            }
        }
        if let Some(connection) = self.connections.get_mut(conn) {
            // If the adapter reports more bytes than there were, ignore the excess.
            connection.sent = if connection.first_out.is_some() { bytes } else { 0 };
            // A reply is progress if it frees its share of the buffers that the connection holds.
            // Otherwise a peer could hold much memory and take one tiny reply at a time.
            let share = unsent / u32::from(self.limits.jobs_per_connection).max(1);
            if freed && unsent.saturating_sub(connection.unsent) >= share {
                (connection.stalled_since, connection.sent_in_stall) = (now, 0);
            }
        }
        if part_sent {
            self.continue_long_read(conn, storage);
        }
        if freed {
            self.connections.wake_own(conn);
            self.storage_has_room(storage);
            self.notify_of_volfile(conn);
            self.notify_of_contention(conn);
            self.send_delayed_notices();
        }
    }

    fn next_in_ring(&self, mut next: Option<JobId>) -> Option<u32> {
        loop {
            let job = self.jobs.get(next?)?;
            if let State::Ready { head: Head::Ring { at, .. }, .. } = job.state {
                return Some(at);
            }
            next = job.next_out;
        }
    }

    /// A reply is ready: appends it to those of its connection.
    pub(super) fn ready(&mut self, id: JobId, head: Head, data: Option<Place>, now: Instant) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        job.state = State::Ready { head, data };
        job.next_out = None;
        let (conn, size_use) = (job.conn, job.size_use);
        let Some(connection) = self.connections.get_mut(conn) else { return };
        if let Head::Ring { at, len } = head {
            connection.ring.push(at, len);
        }
        connection.unsent = connection.unsent.saturating_add(data.map_or(0, |data| data.len));
        // Replies in the ring are sent in its order.
        if matches!(head, Head::Short { .. }) && connection.size_uses.holds_back(size_use) {
            let last = connection.size_uses.hold(id);
            if let Some(last) = last.and_then(|last| self.jobs.get_mut(last)) {
                last.next_out = Some(id);
            }
            return;
        }
        let held = connection.size_uses.release();
        self.queue((id, id), conn, now);
        if let Some(held) = held {
            self.queue(held, conn, now);
        }
    }

    /// Queues replies that are linked, given the first and the last.
    fn queue(&mut self, (first, last): (JobId, JobId), conn: ConnId, now: Instant) {
        let Some(connection) = self.connections.get_mut(conn) else { return };
        let before = connection.last_out.replace(last);
        if connection.first_out.is_none() {
            connection.first_out = Some(first);
            (connection.stalled_since, connection.sent_in_stall) = (now, 0);
        }
        if let Some(before) = before.and_then(|before| self.jobs.get_mut(before)) {
            before.next_out = Some(first);
        }
        self.connections.want_transmit(conn);
        self.schedule_check();
    }

    /// Queues a reply whose body is in a buffer of the storage, or empty.
    pub(super) fn ready_short(
        &mut self,
        id: JobId,
        status: ReplyStatus,
        body: Option<Place>,
        now: Instant,
    ) {
        let Some(xid) = self.jobs.get(id).map(|job| job.xid) else { return };
        let mut bytes = [0; SHORT_HEAD];
        let mut w = Writer::new(&mut bytes);
        begin_head(&mut w, xid, status);
        let len = w.position();
        mark(&mut bytes, len as u32 + body.map_or(0, |body| body.len));
        self.ready(id, Head::Short { bytes, len: len as u8 }, body, now);
    }

    /// A slot is free: sends notifications that had to wait for one.
    pub(super) fn send_delayed_notices(&mut self) {
        if core::mem::take(&mut self.volfile_notices_due) {
            let mut from = 0;
            while !self.volfile_notices_due
                && let Some(conn) = self.connections.next_from(from)
            {
                from = conn.slot() + 1;
                self.notify_of_volfile(conn);
            }
        }
        self.notify_holders();
    }

    /// Is there a slot for a notification?
    pub(super) fn has_slot(&self) -> bool {
        self.jobs.len() < self.jobs.capacity()
    }

    /// Sends FETCHSPEC to a connection that must be notified, or defers it if no slot is free.
    pub(super) fn notify_of_volfile(&mut self, conn: ConnId) {
        let Some(connection) =
            self.open_connection(conn).filter(|connection| connection.volfile_notice_due)
        else {
            return;
        };
        let Some(id) = self.jobs.insert(Job::new(conn, connection.serial, 0, self.now)) else {
            self.volfile_notices_due = true;
            return;
        };
        let mut bytes = [0; SHORT_HEAD];
        let mut w = Writer::new(&mut bytes);
        let _ = w.u32(0);
        let cred = Cred { version: CredVersion::None, ..Cred::bootstrap() };
        // Clients do not answer callbacks; the xid only has to be distinct.
        let _ =
            CallHeader { xid: id.0.word(), procedure: Procedure::callback(1), cred }.encode(&mut w);
        let len = w.position();
        mark(&mut bytes, len as u32);
        if let Some(connection) = self.connections.get_mut(conn) {
            connection.volfile_notice_due = false;
            connection.outstanding += 1;
        }
        self.ready(id, Head::Short { bytes, len: len as u8 }, None, self.now);
    }
}
