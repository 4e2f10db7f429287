//! Handles one fop: checks login and fds, decides who answers it, and submits it to the storage.

mod clear_locks;
mod lockinfo;
pub(in crate::server) mod locks;
pub(in crate::server) mod reply_counts;

use crate::fop::wire::{Reply, Request};
use crate::fop::{FopNumber, OpenFlags};
use crate::id::ConnId;
use crate::rpc::{CallHeader, ReplyStatus};
use crate::server::connections::Login;
use crate::server::jobs::{Counted, Head, Job};
use crate::server::locks::{Class, Mark};
use crate::server::long_read::LONGEST_READ;
use crate::server::send::{begin_head, mark};
use crate::server::state::{Handled, Host, State, created_gfid};
use crate::server::storage::{Call, Counts, Payload, Place, Storage, Submitted, Target};
use crate::server::wait_queues::WaitQueue;
use crate::server::{BrickIx, Exports, HandleId, JobId, names, xattr_names};
use crate::xdr::{Errno, Gfid, Reader, Writer};
use locks::{LockCall, is_lock};
use reply_counts::{CountRequest, Counting, INODELK_IN};

/// The fd number of calls by gfid that have opened nothing.
const ANONYMOUS: i64 = -2;

impl State<'_> {
    /// Handles a call of the fop program. `r` is at its arguments; `payload` is a WRITE's data if
    /// that was received apart.
    pub(in crate::server) fn fop<E: Exports, S: Storage>(
        &mut self,
        conn: ConnId,
        header: &CallHeader<'_>,
        r: &mut Reader<'_>,
        payload: Option<Payload<'_>>,
        host: &mut Host<'_, E, S>,
    ) -> Handled {
        let id = match self.begin(conn, header.xid) {
            Ok(id) => id,
            Err(handled) => return handled,
        };
        let Some(number) = FopNumber::from_u32(header.procedure.number) else {
            return self.refuse(id, ReplyStatus::ProcUnavail, payload, host);
        };
        let Some(login) = self.connections.get(conn).and_then(|connection| connection.login) else {
            return self.refuse(id, ReplyStatus::GarbageArgs, payload, host);
        };
        if matches!(number, FopNumber::Null | FopNumber::Compound) {
            let errno = if number == FopNumber::Null { 0 } else { -1 };
            return self.answer_directly(
                id,
                number,
                Reply::plain(errno, 95 * -errno),
                payload,
                host,
            );
        }
        let Ok(request) = Request::decode(number, r) else {
            return self.refuse(id, ReplyStatus::GarbageArgs, payload, host);
        };
        let payload = payload.unwrap_or(Payload::Bytes(r.rest()));
        self.count_fop(id, login.brick, number, payload.len());
        match self.prepare(conn, id, login, request, payload.len()) {
            Ok(Prepared::Nothing) => {
                self.answer_directly(id, number, Reply::plain(0, 0), Some(payload), host)
            }
            Ok(Prepared::Release(handle)) => {
                // Answer first: notifications that follow must not take the room that was kept for
                // the answer.
                self.answer_directly(id, number, Reply::plain(0, 0), Some(payload), host);
                self.release_locks(handle);
                self.release_file(handle, host.storage);
                Handled::Done
            }
            Ok(Prepared::Flush { gfid, target }) => {
                self.answer_directly(id, number, Reply::plain(0, 0), Some(payload), host);
                self.flush_locks(conn, login.brick, gfid, target, header.cred.lk_owner);
                Handled::Done
            }
            Ok(Prepared::LockInfo { request, handle }) => {
                self.lock_info(id, &request, handle);
                Handled::Done
            }
            Ok(Prepared::EndLocks { request, target }) => {
                if let Some(clear_locks_name) = clear_locks::clear_locks_name(&request) {
                    self.end_locks(id, login.brick, clear_locks_name, target.handle());
                }
                Handled::Done
            }
            Ok(Prepared::Lock { request, target }) => {
                let call =
                    LockCall { conn, id, brick: login.brick, cred: header.cred, request, target };
                self.lock_fop(&call, host)
            }
            Ok(Prepared::Storage { request, target, second, opened, opens, counts }) => {
                let Login { brick, .. } = login;
                let cred = header.cred;
                let call =
                    Call { brick, cred, request, target, second, opened, opens, payload, counts };
                self.submit(conn, id, &call, host)
            }
            Err(errno) => self.answer_directly(id, number, failure(errno), Some(payload), host),
        }
    }

    /// Remembers what is to be counted of a call.
    pub(in crate::server) fn count_fop(
        &mut self,
        id: JobId,
        brick: BrickIx,
        number: FopNumber,
        bytes: u32,
    ) {
        if let Some(job) = self.jobs.get_mut(id) {
            job.fop = Some(Counted { brick, number, bytes, failed: false });
        }
    }

    /// [`State::prepare`] for a WRITE with `len` bytes of payload.
    pub(in crate::server) fn prepare_write(
        &mut self,
        conn: ConnId,
        id: JobId,
        login: Login,
        request: Request<'_>,
        len: u32,
    ) -> Result<(Target, bool, Counts), Errno> {
        match self.prepare(conn, id, login, request, len)? {
            Prepared::Storage { target, opened, counts, .. } => Ok((target, opened, counts)),
            // The storage is asked for every WRITE.
            _ => Err(Errno::EIO),
        }
    }

    /// Everything that is decided without the storage. `len`: bytes of the payload.
    fn prepare<'a>(
        &mut self,
        conn: ConnId,
        id: JobId,
        login: Login,
        request: Request<'a>,
        len: u32,
    ) -> Result<Prepared<'a>, Errno> {
        let Login { brick, read_only } = login;
        let request = names::check(request)?;
        xattr_names::check(&request)?;
        if read_only && changes(&request) {
            return Err(Errno::EROFS);
        }
        let [first, second] = names::fds(&request);
        if let Request::Release(_) | Request::Releasedir(_) = request {
            // RELEASE of an unknown fd succeeds.
            let handle = first.and_then(|fd| self.open_file(conn, fd));
            return Ok(handle.map_or(Prepared::Nothing, Prepared::Release));
        }
        let target = self.target(conn, first)?;
        let second = self.target(conn, second)?;
        match &request {
            Request::Write(write) if write.size != len => return Err(Errno::EINVAL),
            Request::Put(put) if put.size != len => return Err(Errno::EINVAL),
            Request::Read(read) if read.size > LONGEST_READ => {
                return Err(Errno::EINVAL);
            }
            Request::Flush(flush) => return Ok(Prepared::Flush { gfid: flush.gfid, target }),
            Request::Ipc(_)
            | Request::Lease(_)
            | Request::Getactivelk(_)
            | Request::Setactivelk(_)
            | Request::Icreate(_)
            | Request::Namelink(_) => return Err(Errno::EOPNOTSUPP),
            Request::Getxattr(_) | Request::Fgetxattr(_)
                if clear_locks::clear_locks_name(&request).is_some() =>
            {
                return Ok(Prepared::EndLocks { request, target });
            }
            request if lockinfo::is_lockinfo(request) => {
                if let Target::Open(handle) = target {
                    return Ok(Prepared::LockInfo { request: *request, handle });
                }
            }
            request if is_lock(request) => return Ok(Prepared::Lock { request: *request, target }),
            _ => {}
        }
        let opened = self.has_open(conn, brick, &request, [target, second]);
        let opens = self.open_for(conn, id, &request)?;
        self.use_files(id, [target, second]);
        let counts = self.counts(id, brick, &request, [target, second]);
        Ok(Prepared::Storage { request, target, second, opened, opens, counts })
    }

    /// Makes the handle for a file that a request opens. It is in use until the storage has
    /// answered.
    fn open_for(
        &mut self,
        conn: ConnId,
        id: JobId,
        request: &Request<'_>,
    ) -> Result<Option<HandleId>, Errno> {
        if !matches!(request, Request::Open(_) | Request::Opendir(_) | Request::Create(_)) {
            return Ok(None);
        }
        let connection = self.connections.get_mut(conn).ok_or(Errno::ENOTCONN)?;
        if connection.files >= self.limits.files_per_connection {
            return Err(Errno::EMFILE);
        }
        let brick = connection.login.map(|login| login.brick).unwrap_or_default();
        let handle =
            self.files.insert(conn, brick, &mut connection.first_file).ok_or(Errno::EMFILE)?;
        connection.files += 1;
        // The inode of CREATE is known only from the answer.
        self.files.opened(handle, names::gfid(request));
        if let Some(file) = self.files.get_mut(handle) {
            file.uses = 1;
        }
        if let Some(job) = self.jobs.get_mut(id) {
            job.opens = Some(handle);
        }
        Ok(Some(handle))
    }

    /// Whether the client of `conn` has open every inode that a request names by gfid.
    fn has_open(
        &self,
        conn: ConnId,
        brick: BrickIx,
        request: &Request<'_>,
        [target, second]: [Target; 2],
    ) -> bool {
        let Some(client) = self.connections.get(conn).map(|connection| connection.client) else {
            return false;
        };
        let own = |other: ConnId| {
            other == conn || self.connections.get(other).is_some_and(|other| other.client == client)
        };
        let is_open = |target: Target, gfid: Gfid| {
            target != Target::Gfid
                || (gfid != Gfid::NONE && self.files.is_open_by(brick, &gfid, own))
        };
        if matches!(request, Request::Lookup(lookup) if !lookup.bname.is_empty()) {
            // The name says which inode is meant, and it is not known yet.
            return false;
        }
        is_open(target, names::gfid(request))
            && match request {
                Request::CopyFileRange(copy) => is_open(second, copy.destination),
                _ => true,
            }
    }

    /// Marks files as used, so that they are not closed before the call is over.
    fn use_files(&mut self, id: JobId, targets: [Target; 2]) {
        let handles = targets.map(|target| match target {
            Target::Open(handle) => Some(handle),
            Target::Gfid => None,
        });
        for handle in handles.into_iter().flatten() {
            if let Some(file) = self.files.get_mut(handle) {
                file.uses += 1;
            }
        }
        if let Some(job) = self.jobs.get_mut(id) {
            job.uses = handles;
        }
    }

    fn target(&self, conn: ConnId, fd: Option<i64>) -> Result<Target, Errno> {
        match fd {
            None | Some(ANONYMOUS) => Ok(Target::Gfid),
            Some(fd) => self.open_file(conn, fd).map(Target::Open).ok_or(Errno::EBADF),
        }
    }

    /// The handle of a client's fd number.
    fn open_file(&self, conn: ConnId, fd: i64) -> Option<HandleId> {
        let handle = HandleId::from_wire(fd)?;
        let file = self.files.get(handle)?;
        (file.conn == Some(conn) && !file.closing).then_some(handle)
    }

    fn counts(
        &mut self,
        id: JobId,
        brick: BrickIx,
        request: &Request<'_>,
        targets: [Target; 2],
    ) -> Counts {
        let mut counts = Counts::default();
        let opened = match targets {
            [Target::Open(handle), _] => self.files.get(handle).map(|file| file.gfid),
            _ => None,
        };
        let gfid = opened.unwrap_or_else(|| names::gfid(request));
        let locks = |class, domain| Some(self.locks.count(brick, gfid, class, domain));
        let (mut all, mut domain, mut domains) = (false, None, false);
        // A key that occurs several times is counted once.
        for (key, value) in names::xdata(request).pairs() {
            match key {
                b"glusterfs.open-fd-count" => counts.open_fd = Some(self.files.count(brick, &gfid)),
                b"glusterfs.open-active-fd-count" => {
                    counts.open_active_fd = Some(self.files.count(brick, &gfid));
                }
                b"glusterfs.posixlk-count" if counts.posixlk.is_none() => {
                    counts.posixlk = locks(Class::Posix, None);
                }
                // A count over all domains takes precedence over one of a single domain, in
                // whatever order the keys are.
                b"glusterfs.inodelk-count" if !all => {
                    (all, domain) = (true, None);
                    counts.inodelk = locks(Class::Inode, None);
                }
                b"glusterfs.inodelk-dom-count" if counts.inodelk.is_none() => {
                    domain = value.as_bytes().map(Mark::of);
                    counts.inodelk = locks(Class::Inode, domain);
                }
                b"glusterfs.entrylk-count" if counts.entrylk.is_none() => {
                    counts.entrylk = locks(Class::Entry, None);
                }
                b"glusterfs.parent-entrylk" if counts.parent_entrylk.is_none() => {
                    if let Request::Lookup(lookup) = request {
                        let locked = self.locks.name_is_locked(brick, lookup.pargfid, lookup.bname);
                        counts.parent_entrylk = Some(locked);
                    }
                }
                _ => domains |= key.starts_with(INODELK_IN),
            }
        }
        let count_request = (domains || counts != Counts::default()).then_some(CountRequest {
            brick,
            domain,
            by_domain: domains,
        });
        if let Some(job) = self.jobs.get_mut(id) {
            (job.count_request, job.number) = (count_request, request.number());
        }
        counts
    }

    fn submit<E: Exports, S: Storage>(
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
                if let Some(job) = self.jobs.get_mut(id) {
                    job.reading = reading;
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
    fn answer_directly<E, S: Storage>(
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

    fn refuse<E, S: Storage>(
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
    fn drop_payload<E, S: Storage>(
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

/// Bytes of a reply's mark and header.
const HEADER: usize = crate::server::send::HEADER as usize;

#[allow(clippy::large_enum_variant)] // Lives on the stack for the length of one call.
enum Prepared<'a> {
    /// Nothing to do: success.
    Nothing,
    /// Close a handle.
    Release(HandleId),
    /// An owner closes a file.
    Flush { gfid: Gfid, target: Target },
    /// End locks.
    EndLocks { request: Request<'a>, target: Target },
    /// Get or move the locks of an open file.
    LockInfo { request: Request<'a>, handle: HandleId },
    /// Ask the lock tables.
    Lock { request: Request<'a>, target: Target },
    /// Ask the storage.
    Storage {
        request: Request<'a>,
        target: Target,
        second: Target,
        opened: bool,
        opens: Option<HandleId>,
        counts: Counts,
    },
}

fn failure(errno: Errno) -> Reply<'static> {
    Reply::plain(-1, errno.to_wire())
}

/// Does a request change anything? A read-only brick refuses it then.
fn changes(request: &Request<'_>) -> bool {
    match request {
        Request::Open(open) => {
            let flags = OpenFlags(open.flags);
            flags.writes() || flags.has(OpenFlags::TRUNCATE)
        }
        other => other.number().is_modifying(),
    }
}
