//! INODELK, ENTRYLK and LK: turns requests into questions to the lock tables, and their decisions
//! into replies.
//!
//! A real brick finds the inode before it looks at the lock. This server has no inode table, so it
//! asks the storage (by a STAT) unless the inode is open, root, or locked already; the lock keeps
//! its place in the queue meanwhile. Unlock and GETLK ask nothing: an inode that does not exist has
//! no locks.

use super::lock_request::{Action, DOMAIN_MAX, decode_lock};
use crate::fop::FopNumber;
use crate::fop::wire::{Body, Reply, Request, Stat};
use crate::id::{ConnId, LockId};
use crate::rpc::callback::Callback;
use crate::rpc::{CallHeader, Cred, CredVersion, ReplyStatus};
use crate::server::connections::Connection;
use crate::server::jobs::{Head, Job, SHORT_HEAD, State as JobState};
use crate::server::locks::{Ask, Class, Clear, Decided, Description, LAST_BYTE, Verdict};
use crate::server::send::{HEAD_ROOM, begin_head, mark};
use crate::server::state::{Handled, Host, State};
use crate::server::storage::{Call, Counts, Payload, Storage, Submitted, Target};
use crate::server::wait_queues::WaitQueue;
use crate::server::{BrickIx, HandleId, JobId};
use crate::xdr::{Dict, Encode, Errno, Flock, Gfid, LegacyDict, Writer};

/// Bytes of the longest owner in a credential.
const OWNER_MAX: usize = 400;

/// A lock request whose fd, if it has one, is open.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct LockCall<'a> {
    pub(in crate::server) conn: ConnId,
    pub(in crate::server) id: JobId,
    pub(in crate::server) brick: BrickIx,
    pub(in crate::server) cred: Cred<'a>,
    pub(in crate::server) request: Request<'a>,
    pub(in crate::server) target: Target,
}

/// Is it a lock request?
pub(in crate::server) fn is_lock(request: &Request<'_>) -> bool {
    matches!(
        request,
        Request::Lk(_)
            | Request::Inodelk(_)
            | Request::Finodelk(_)
            | Request::Entrylk(_)
            | Request::Fentrylk(_)
    )
}

impl State<'_> {
    /// Takes a lock, releases one, or answers GETLK.
    pub(in crate::server) fn lock_fop<E, S: Storage>(
        &mut self,
        call: &LockCall<'_>,
        host: &mut Host<'_, E, S>,
    ) -> Handled {
        let LockCall { conn, id, brick, target, .. } = *call;
        let number = call.request.number();
        let handle = target.handle();
        let opened = handle.and_then(|handle| self.files.get(handle)).map(|file| file.gfid);
        let (decode_lock, ask) =
            match decode_lock(conn, brick, &call.cred, &call.request, handle, opened) {
                Ok(decode_lock) => decode_lock,
                Err(errno) => return self.lock_failed(id, number, errno),
            };
        match decode_lock {
            Action::Release => {
                match self.locks.unlock(&ask) {
                    Ok(()) => {
                        let flock = flock(&ask, 2, ask.claimed_pid, &[]);
                        self.reply_in_ring(
                            id,
                            number,
                            (ask.class == Class::Posix).then_some(flock),
                        );
                    }
                    Err(errno) => return self.lock_failed(id, number, errno),
                }
                self.answer_decided_locks();
                Handled::Done
            }
            Action::Query => {
                let mut room = [0; OWNER_MAX];
                let reply = match self.locks.lowest_conflict(&ask, &mut room) {
                    Some((description, owner)) => {
                        described_flock(&description, u32::from(description.write), owner)
                    }
                    None => flock(&ask, 2, ask.claimed_pid, ask.owner),
                };
                self.reply_in_ring(id, number, Some(reply));
                Handled::Done
            }
            Action::Take { blocking } => self.take_lock(call, &ask, blocking, host),
        }
    }

    fn take_lock<E, S: Storage>(
        &mut self,
        call: &LockCall<'_>,
        ask: &Ask<'_>,
        blocking: bool,
        host: &mut Host<'_, E, S>,
    ) -> Handled {
        let (conn, id, number) = (call.conn, call.id, call.request.number());
        let exists = ask.handle.is_some()
            || ask.gfid == Gfid::ROOT
            || self.locks.knows(ask.brick, ask.gfid)
            || self.files.count(ask.brick, &ask.gfid) > 0;
        let lock = match self.locks.ask(ask, id, blocking, exists) {
            Ok(lock) => lock,
            Err(errno) => return self.lock_failed(id, number, errno),
        };
        if exists {
            self.answer_decided_locks();
            return Handled::Done;
        }
        let stat = Call {
            brick: ask.brick,
            cred: call.cred,
            request: Request::Stat(Stat { gfid: ask.gfid, xdata: Dict::Null }),
            target: Target::Gfid,
            second: Target::Gfid,
            opened: false,
            opens: None,
            payload: Payload::Bytes(&[]),
            counts: Counts::default(),
        };
        let mut reply = [0; HEAD_ROOM as usize];
        match host.storage.submit(id, &stat, &mut Writer::new(&mut reply)) {
            Submitted::Pending => {
                if let Some(job) = self.jobs.get_mut(id) {
                    job.lock = Some(lock);
                    job.number = number;
                }
                Handled::Done
            }
            Submitted::Busy => {
                self.locks.withdraw(lock);
                self.answer_decided_locks();
                self.take_back(conn, id);
                Handled::NotNow { wants: Some(WaitQueue::Storage) }
            }
            Submitted::Done { failed, data } => {
                let errno = failed.then(|| match data {
                    Some(data) => errno_of(host.storage.bytes_mut(data.buffer), data.at),
                    None => errno_of(&reply, 0),
                });
                if let Some(data) = data {
                    host.storage.release(data.buffer);
                }
                self.resolved(id, lock, number, errno);
                Handled::Done
            }
        }
    }

    /// The storage has answered whether the inode of a lock exists.
    pub(in crate::server) fn resolved(
        &mut self,
        id: JobId,
        lock: LockId,
        number: FopNumber,
        errno: Option<Errno>,
    ) {
        self.locks.resolved(lock, errno.is_none());
        if let Some(errno) = errno {
            self.lock_failed(id, number, errno);
        }
        self.answer_decided_locks();
    }

    fn lock_failed(&mut self, id: JobId, number: FopNumber, errno: Errno) -> Handled {
        if let Some(job) = self.jobs.get_mut(id) {
            job.set_failed();
        }
        self.short_reply(id, number, Err(errno), None);
        Handled::Done
    }

    fn reply_in_ring(&mut self, id: JobId, number: FopNumber, flock: Option<Flock<'_>>) {
        let body = flock.map_or(Body::None, Body::Lk);
        let reply = Reply { body, ..Reply::plain(0, 0) };
        self.in_ring(id, |w| reply.encode(number, w).is_ok());
    }

    /// Queues a reply that needs no room in the connection's ring, which may be full by now.
    fn short_reply(
        &mut self,
        id: JobId,
        number: FopNumber,
        result: Result<(), Errno>,
        description: Option<&Description>,
    ) {
        let Some(xid) = self.jobs.get(id).map(|job| job.xid) else { return };
        let body = match description {
            Some(description) => Body::Lk(described_flock(
                description,
                u32::from(description.write),
                description.owner(),
            )),
            None => Body::None,
        };
        let reply = match result {
            Ok(()) => Reply { body, ..Reply::plain(0, 0) },
            Err(errno) => Reply::plain(-1, errno.to_wire()),
        };
        let mut bytes = [0; SHORT_HEAD];
        let mut w = Writer::new(&mut bytes);
        begin_head(&mut w, xid, ReplyStatus::Success);
        // The longest reply fits: see `SHORT_HEAD`.
        let _ = reply.encode(number, &mut w);
        let len = w.position();
        mark(&mut bytes, len as u32);
        self.ready(id, Head::Short { bytes, len: len as u8 }, None, self.now);
    }

    /// Answers the calls whose lock was granted or refused since a change in the lock tables, and
    /// marks those that wait.
    pub(in crate::server) fn answer_decided_locks(&mut self) {
        while let Some(Decided { job, conn, class, verdict, parked, description }) =
            self.locks.next_decided(self.now)
        {
            if verdict == Verdict::Waits {
                // A waiting call does not count as outstanding: otherwise the call that releases
                // the lock might not be read.
                if let Some(job) = self.jobs.get_mut(job) {
                    job.state = JobState::Blocked;
                }
                if let Some(connection) = self.connections.get_mut(conn) {
                    connection.outstanding = connection.outstanding.saturating_sub(1);
                }
                self.connections.wake_own(conn);
                continue;
            }
            if parked && let Some(connection) = self.connections.get_mut(conn) {
                connection.outstanding = connection.outstanding.saturating_add(1);
            }
            // INODELK and ENTRYLK have the same reply.
            let number = if class == Class::Posix { FopNumber::Lk } else { FopNumber::Inodelk };
            match verdict {
                Verdict::Refused(errno) => self.short_reply(job, number, Err(errno), None),
                _ => self.short_reply(
                    job,
                    number,
                    Ok(()),
                    (class == Class::Posix).then_some(&description),
                ),
            }
        }
        self.notify_holders();
    }

    /// Notifies holders of locks that others wait for, as far as there are slots.
    pub(in crate::server) fn notify_holders(&mut self) {
        while self.has_slot()
            && let Some(conn) = self.locks.next_to_notify()
        {
            self.notify_of_contention(conn);
        }
    }

    /// FLUSH: releases the closing owner's LK locks on the file.
    pub(in crate::server) fn flush_locks(
        &mut self,
        conn: ConnId,
        brick: BrickIx,
        gfid: Gfid,
        target: Target,
        owner: &[u8],
    ) {
        let gfid = match target {
            Target::Open(handle) => self.files.get(handle).map_or(gfid, |file| file.gfid),
            Target::Gfid => gfid,
        };
        self.locks.flushed(brick, gfid, conn, owner);
        self.answer_decided_locks();
    }

    /// RELEASE: ends LK locks that were taken through the file, and calls that wait for one.
    pub(in crate::server) fn release_locks(&mut self, handle: HandleId) {
        let Some((brick, gfid)) = self.files.get(handle).map(|file| (file.brick, file.gfid)) else {
            return;
        };
        let its = Clear {
            class: Class::Posix,
            held: true,
            wanted: Some(Errno::EBADF),
            range: (0, LAST_BYTE),
            name: None,
            handle: Some(handle),
        };
        self.locks.clear(brick, gfid, &its);
        self.answer_decided_locks();
    }

    /// Notifies a connection of its locks that others wait for, as far as there is room. The rest
    /// follows when a reply was sent.
    pub(in crate::server) fn notify_of_contention(&mut self, conn: ConnId) {
        while self.locks.has_notice(conn) {
            if !self.has_slot() {
                self.locks.list_holder(conn.slot());
                return;
            }
            let max = self.limits.jobs_per_connection;
            let idle = |connection: &&Connection| {
                connection.closing.is_none() && connection.outstanding < max
            };
            let Some(connection) = self.connections.get(conn).filter(idle) else { return };
            let serial = connection.serial;
            let Some((at, room)) = self.heads.room(conn, &connection.ring) else { return };
            let mut texts = [0; 2 * DOMAIN_MAX];
            let Some(notice) = self.locks.notice(conn, &mut texts) else { continue };
            let (pid, domain) = (notice.pid as u32, notice.domain);
            let is_root = connection.login.is_some_and(|login| login.root == notice.gfid);
            let gfid = if is_root { Gfid::ROOT } else { notice.gfid };
            let xdata = LegacyDict::default();
            let callback = match notice.class {
                Class::Inode => {
                    Callback::InodelkContention { gfid, flock: notice.flock, pid, domain, xdata }
                }
                Class::Entry => {
                    let (kind, name) = (notice.flock.kind, notice.name);
                    Callback::EntrylkContention { gfid, kind, pid, name, domain, xdata }
                }
                Class::Posix => continue,
            };
            let Some(id) = self.jobs.insert(Job::new(conn, serial, 0, self.now)) else { return };
            let mut w = Writer::new(room);
            let cred = Cred { version: CredVersion::None, ..Cred::bootstrap() };
            let header = CallHeader { xid: id.0.word(), procedure: callback.procedure(), cred };
            let encoded = w
                .u32(0)
                .and_then(|()| header.encode(&mut w))
                .and_then(|()| callback.encode(&mut w));
            if encoded.is_err() {
                self.jobs.remove(id);
                continue;
            }
            let len = w.position() as u32;
            mark(room, len);
            if let Some(connection) = self.connections.get_mut(conn) {
                connection.outstanding += 1;
            }
            self.ready(id, Head::Ring { at, len }, None, self.now);
        }
    }
}

fn flock<'a>(ask: &Ask<'_>, kind: u32, pid: u32, lk_owner: &'a [u8]) -> Flock<'a> {
    Flock { kind, whence: 0, start: ask.start, len: len_of(ask.start, ask.end), pid, lk_owner }
}

fn described_flock<'a>(description: &Description, kind: u32, lk_owner: &'a [u8]) -> Flock<'a> {
    let (start, len) = (description.start, len_of(description.start, description.end));
    Flock { kind, whence: 0, start, len, pid: description.pid, lk_owner }
}

fn len_of(start: u64, end: u64) -> u64 {
    if end == LAST_BYTE { 0 } else { end.saturating_sub(start) + 1 }
}

/// The errno in a reply's body.
pub(in crate::server) fn errno_of(body: &[u8], at: u32) -> Errno {
    let at = at as usize + 4;
    let word = body.get(at..at + 4).and_then(|word| word.try_into().ok());
    word.map_or(Errno::EIO, |word| Errno::from_wire(i32::from_be_bytes(word)))
}
