//! Open files of a fop: which handle an fd means, which handle an OPEN gets, and how long both
//! live.

use crate::fop::wire::Request;
use crate::id::ConnId;
use crate::server::state::State;
use crate::server::storage::Target;
use crate::server::{BrickIx, HandleId, JobId, names};
use crate::xdr::{Errno, Gfid};

/// The fd number of calls by gfid that have opened nothing.
const ANONYMOUS: i64 = -2;

impl State<'_> {
    /// Makes the handle for a file that a request opens. It is in use until the storage has
    /// answered.
    pub(super) fn open_for(
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
    pub(super) fn has_open(
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
    pub(super) fn use_files(&mut self, id: JobId, targets: [Target; 2]) {
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

    pub(super) fn target(&self, conn: ConnId, fd: Option<i64>) -> Result<Target, Errno> {
        match fd {
            None | Some(ANONYMOUS) => Ok(Target::Gfid),
            Some(fd) => self.open_file(conn, fd).map(Target::Open).ok_or(Errno::EBADF),
        }
    }

    /// The handle of a client's fd number.
    pub(super) fn open_file(&self, conn: ConnId, fd: i64) -> Option<HandleId> {
        let handle = HandleId::from_wire(fd)?;
        let file = self.files.get(handle)?;
        (file.conn == Some(conn) && !file.closing).then_some(handle)
    }
}
