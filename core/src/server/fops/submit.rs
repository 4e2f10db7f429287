//! The life of a call between reading and replying: its slot, its submission to the storage, and
//! the encoding of its reply into the connection's ring.

use super::reply_counts::Counting;
use super::shard_size::SizeUse;
use crate::fop::FopNumber;
use crate::fop::wire::{Reply, Request};
use crate::id::ConnId;
use crate::rpc::ReplyStatus;
use crate::server::jobs::{Head, Job};
use crate::server::root_in_replies::show_root;
use crate::server::send::{begin_head, mark};
use crate::server::state::{Handled, Host, State, created_gfid};
use crate::server::storage::{Call, Payload, Place, Storage, Submitted};
use crate::server::wait_queues::WaitQueue;
use crate::server::{Exports, JobId, names};
use crate::xdr::Writer;

/// Bytes of a reply's mark and header.
const HEADER: usize = crate::server::send::HEADER as usize;

impl State<'_> {
    pub(super) fn submit<E: Exports, S: Storage>(
        &mut self,
        conn: ConnId,
        id: JobId,
        call: &Call<'_>,
        host: &mut Host<'_, E, S>,
    ) -> Handled {
        let transfer_max = self.limits.transfer_bytes;
        let Some(connection) = self.connections.get_mut(conn) else { return Handled::Done };
        let reading = match &call.request {
            Request::Read(read) if read.size > transfer_max => {
                return self.begin_long_read(conn, id, call, read, host);
            }
            Request::Read(read) => read.size,
            _ => 0,
        };
        // One connection may have reads of at most the longest transfer in the storage; the rest
        // waits for them.
        if connection.reading > 0 && connection.reading.saturating_add(reading) > transfer_max {
            self.take_back(conn, id);
            return Handled::NotNow { wants: None };
        }
        let size_use = SizeUse::of(&call.request);
        if connection.size_uses.defer(size_use) {
            self.take_back(conn, id);
            return Handled::NotNow { wants: None };
        }
        let xid = self.jobs.get(id).map_or(0, |job| job.xid);
        let Some((at, room)) = self.heads.room(conn, &connection.ring) else {
            self.take_back(conn, id);
            return Handled::NotNow { wants: None };
        };
        let (header, body) = room.split_at_mut(HEADER.min(room.len()));
        begin_head(&mut Writer::new(header), xid, ReplyStatus::Success);
        let mut w = Writer::new(body);
        let submitted = host.storage.submit(id, call, &mut w);
        let body_len = w.position() as u32;
        let len = HEADER + body_len as usize;
        match submitted {
            Submitted::Pending => {
                connection.intake.forget_payload();
                connection.reading = connection.reading.saturating_add(reading);
                connection.size_uses.begin(size_use);
                if let Some(job) = self.jobs.get_mut(id) {
                    (job.reading, job.size_use) = (reading, size_use);
                }
                Handled::Done
            }
            Submitted::Busy => {
                self.take_back(conn, id);
                Handled::NotNow { wants: Some(WaitQueue::Storage) }
            }
            Submitted::Done { failed, data } => {
                connection.intake.forget_payload();
                mark(room, len as u32 + data.map_or(0, |data| data.len));
                if !failed && matches!(call.request, Request::Create(_)) {
                    let gfid = match data {
                        Some(body) => {
                            created_gfid(host.storage.bytes_mut(body.buffer), body.at, body.len)
                        }
                        None => created_gfid(room, HEADER as u32, body_len),
                    };
                    self.created(id, gfid);
                }
                self.answered(id, failed, host.storage);
                let count_request = self.jobs.get(id).and_then(|job| job.count_request);
                // Locks have not changed since, but only now is it known which inode the name
                // refers to.
                if let Some(count_request) = count_request.filter(|count_request| {
                    !failed && (count_request.by_domain || names::is_by_name(&call.request))
                }) {
                    let number = call.request.number();
                    let counting = Counting { locks: &self.locks, files: &self.files };
                    if let Some(Place { buffer, at, len }) = data {
                        let body = host
                            .storage
                            .bytes_mut(buffer)
                            .get_mut(at as usize..(at + len) as usize);
                        counting.put(count_request, number, body.unwrap_or_default());
                    } else {
                        let body = self.heads.encoded_mut(conn, at + HEADER as u32, body_len);
                        counting.put(count_request, number, body.unwrap_or_default());
                    }
                }
                if let Some(root) = self.shown_root(id) {
                    let number = call.request.number();
                    let body = match data {
                        Some(Place { buffer, at, len }) if body_len == 0 => {
                            host.storage.bytes_mut(buffer).get_mut(at as usize..(at + len) as usize)
                        }
                        _ => self.heads.encoded_mut(conn, at + HEADER as u32, body_len),
                    };
                    show_root(number, body.unwrap_or_default(), root);
                }
                self.ready(id, Head::Ring { at, len: len as u32 }, data, self.now);
                Handled::Done
            }
        }
    }

    /// Undoes a call that the storage has no room for, as if it had not been read.
    pub(in crate::server) fn take_back(&mut self, conn: ConnId, id: JobId) {
        let Some(job) = self.jobs.remove(id) else { return };
        for handle in job.uses.into_iter().flatten() {
            if let Some(file) = self.files.get_mut(handle) {
                file.uses = file.uses.saturating_sub(1);
            }
        }
        if let Some(handle) = job.opens {
            self.forget_file(handle);
        }
        if let Some(connection) = self.connections.get_mut(conn) {
            connection.outstanding = connection.outstanding.saturating_sub(1);
        }
    }

    /// Takes a slot for a call, if there is one and room for its reply.
    pub(in crate::server) fn begin(&mut self, conn: ConnId, xid: u32) -> Result<JobId, Handled> {
        let own = Handled::NotNow { wants: None };
        let connection = self.connections.get(conn).ok_or(Handled::Done)?;
        if connection.outstanding >= self.limits.jobs_per_connection
            || self.heads.room(conn, &connection.ring).is_none()
        {
            return Err(own);
        }
        // Replies that wait to be sent hold enough buffers: no further call until the peer has
        // taken some.
        if connection.unsent >= self.limits.unsent_bytes {
            return Err(own);
        }
        let serial = connection.serial;
        let full = Handled::NotNow { wants: Some(WaitQueue::Slots) };
        if !self.has_slot_for_call() || self.connections.must_queue(conn, WaitQueue::Slots) {
            return Err(full);
        }
        let id = self.jobs.insert(Job::new(conn, serial, xid, self.now)).ok_or(full)?;
        if let Some(connection) = self.connections.get_mut(conn) {
            connection.outstanding += 1;
        }
        Ok(id)
    }

    /// Answers a fop without the storage.
    pub(super) fn answer_directly<E, S: Storage>(
        &mut self,
        id: JobId,
        number: FopNumber,
        reply: Reply<'_>,
        payload: Option<Payload<'_>>,
        host: &mut Host<'_, E, S>,
    ) -> Handled {
        self.drop_payload(id, payload, host);
        if let Some(job) = self.jobs.get_mut(id).filter(|_| reply.op_ret < 0) {
            job.set_failed();
        }
        // A failure without a body is all zeroes and always fits.
        self.in_ring(id, |w| reply.encode(number, w).is_ok());
        Handled::Done
    }

    pub(super) fn refuse<E, S: Storage>(
        &mut self,
        id: JobId,
        status: ReplyStatus,
        payload: Option<Payload<'_>>,
        host: &mut Host<'_, E, S>,
    ) -> Handled {
        self.drop_payload(id, payload, host);
        self.ready_short(id, status, None, self.now);
        Handled::Done
    }

    /// Releases a payload that nothing needs.
    pub(super) fn drop_payload<E, S: Storage>(
        &mut self,
        id: JobId,
        payload: Option<Payload<'_>>,
        host: &mut Host<'_, E, S>,
    ) {
        if let Some(Payload::Buffer(place)) = payload {
            host.storage.release(place.buffer);
        }
        let conn = self.jobs.get(id).map(|job| job.conn);
        if let Some(connection) = conn.and_then(|conn| self.connections.get_mut(conn)) {
            connection.intake.forget_payload();
        }
    }

    /// Encodes a reply into its connection's ring and queues it. If `encode` returns false the peer
    /// gets SYSTEM_ERR.
    pub(in crate::server) fn in_ring(
        &mut self,
        id: JobId,
        encode: impl FnOnce(&mut Writer<'_>) -> bool,
    ) {
        self.in_ring_before(id, 0, encode);
    }

    /// The same for a reply whose data of `data` bytes comes later.
    pub(in crate::server) fn in_ring_before(
        &mut self,
        id: JobId,
        data: u32,
        encode: impl FnOnce(&mut Writer<'_>) -> bool,
    ) {
        let Some(Job { conn, xid, .. }) = self.jobs.get(id).copied() else { return };
        let Some(connection) = self.connections.get_mut(conn) else { return };
        let Some((at, room)) = self.heads.room(conn, &connection.ring) else {
            // There was room when the call was taken. A call without an answer would never end.
            self.ready_short(id, ReplyStatus::SystemErr, None, self.now);
            return;
        };
        let mut w = Writer::new(room);
        begin_head(&mut w, xid, ReplyStatus::Success);
        if !encode(&mut w) {
            self.ready_short(id, ReplyStatus::SystemErr, None, self.now);
            return;
        }
        let len = w.position() as u32;
        mark(room, len + data);
        self.ready(id, Head::Ring { at, len }, None, self.now);
    }

    /// A reply that is encoded already, and the data behind it.
    pub(in crate::server) fn reply_with(&mut self, id: JobId, body: &[u8], data: Option<Place>) {
        let Some(Job { conn, xid, .. }) = self.jobs.get(id).copied() else { return };
        let Some(connection) = self.connections.get_mut(conn) else { return };
        let Some((at, room)) = self.heads.room(conn, &connection.ring) else {
            self.ready_short(id, ReplyStatus::SystemErr, None, self.now);
            return;
        };
        let mut w = Writer::new(room);
        begin_head(&mut w, xid, ReplyStatus::Success);
        // It was encoded where there was as much room.
        let _ = w.raw(body);
        let len = w.position() as u32;
        mark(room, len + data.map_or(0, |data| data.len));
        self.ready(id, Head::Ring { at, len }, data, self.now);
    }
}
