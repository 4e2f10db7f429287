//! Handles one fop: checks login and fds, decides who answers it, and submits it to the storage.

mod clear_locks;
mod lock_request;
mod lockinfo;
pub(in crate::server) mod locks;
mod open_files;
pub(in crate::server) mod reply_counts;
pub(in crate::server) mod shard_size;
mod submit;

use crate::fop::wire::{Reply, Request};
use crate::fop::{FopNumber, OpenFlags};
use crate::id::ConnId;
use crate::rpc::{CallHeader, ReplyStatus};
use crate::server::connections::Login;
use crate::server::jobs::Counted;
use crate::server::long_read::LONGEST_READ;
use crate::server::state::{Handled, Host, State};
use crate::server::storage::{Call, Counts, Payload, Storage, Target};
use crate::server::{BrickIx, Exports, HandleId, JobId, names, subdirectory, xattr_names};
use crate::xdr::{Errno, Gfid, Reader};
use locks::{LockCall, is_lock};

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
        let Login { brick, read_only, root } = login;
        let request = names::check(subdirectory::inside(request, root))?;
        if let Some(job) = self.jobs.get_mut(id) {
            job.root = root;
        }
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
}

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
