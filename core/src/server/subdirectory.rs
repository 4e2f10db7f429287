//! Mounts of a subdirectory: SETVOLUME resolves its path, and then it is the root of everything
//! that the connection asks for.
//!
//! The path is resolved by LOOKUPs in the storage, one for each name, with the rights of root: the
//! client may mount a directory whose parents it may not enter. While one is pending, SETVOLUME
//! stays unread; its connection keeps how far it came ([`Walk`]). Each name must be a directory's.
//! A symlink on the way, or `..`, refuses the mount: they could lead out of the brick.
//!
//! A client can name nothing above its root by path, because `..` is no name, and the gfid of the
//! root means the subdirectory. As in GlusterFS, it may name by gfid whatever it knows the gfid of;
//! gfids are 122 random bits, and no reply shows one that is not below the client's root.

use super::jobs::Job;
use super::names;
use super::root_in_replies::directory;
use super::send::HEAD_ROOM;
use super::state::{Handled, Host, State};
use super::storage::{Call, Completion, Counts, Payload, Place, Storage, Submitted, Target};
use super::wait_queues::WaitQueue;
use super::{BrickIx, JobId};
use crate::fop::wire::{Lookup, Request};
use crate::id::ConnId;
use crate::rpc::Cred;
use crate::xdr::{Dict, Errno, Gfid, Value, Writer};

/// Name and gfid of the directory with the shards of all files of a volume
/// (docs/spec/21-shard.md).
const SHARDS: &[u8] = b".shard";
const SHARDS_GFID: Gfid = Gfid([
    0xbe, 0x31, 0x86, 0x38, 0xe8, 0xa0, 0x4c, 0x6d, 0x97, 0x7d, 0x7a, 0x93, 0x7a, 0xa8, 0x48, 0x06,
]);

/// How far the path of a SETVOLUME is resolved.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk {
    brick: BrickIx,
    /// The directory reached, or the reason why the next name is none.
    reached: Result<Gfid, Errno>,
    /// Number of names resolved.
    names: usize,
    /// The call for which the storage looks the next name up.
    pending: Option<JobId>,
}

/// Result of resolving a path.
pub(super) enum Walked {
    To(Gfid),
    /// A name is not a directory's, or not a name; or the storage failed.
    Refused(Errno),
    /// Not now: SETVOLUME is not taken.
    Later(Handled),
}

/// The names on the path of a subdirectory, as a client gives it to SETVOLUME. Slashes at its ends,
/// repeated ones and `.` do not count.
pub fn names_of(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b"."))
}

/// The request as the storage gets it from a client whose root is `root`: no field can name the
/// root of the volume, with one exception. A file's shards are found by its gfid, and the file may
/// be below the roots of several clients, so all of them need the same directory of shards. It is
/// in the volume's root, and shard translators give its gfid with its name.
pub(super) fn inside<'a>(request: Request<'a>, root: Gfid) -> Request<'a> {
    if root == Gfid::ROOT {
        return request;
    }
    let proposes = |xdata: &Dict<'_>| match xdata.get("gfid-req") {
        Some(Value::Gfuuid(gfid)) => gfid == SHARDS_GFID,
        Some(value) => value.as_bytes() == Some(&SHARDS_GFID.0),
        None => false,
    };
    match request {
        Request::Lookup(mut r)
            if (r.pargfid, r.bname) == (Gfid::ROOT, SHARDS)
                && (r.gfid == SHARDS_GFID || proposes(&r.xdata)) =>
        {
            r.gfid = if r.gfid == Gfid::ROOT { root } else { r.gfid };
            Request::Lookup(r)
        }
        Request::Mkdir(r) if (r.pargfid, r.bname) == (Gfid::ROOT, SHARDS) && proposes(&r.xdata) => {
            Request::Mkdir(r)
        }
        other => other.with_root(root),
    }
}

impl State<'_> {
    /// Resolves the path of a SETVOLUME, which is the call `id`, as far as the storage answers.
    pub(super) fn walk<E, S: Storage>(
        &mut self,
        conn: ConnId,
        id: JobId,
        brick: BrickIx,
        path: &[u8],
        host: &mut Host<'_, E, S>,
    ) -> Walked {
        let Some(connection) = self.connections.get_mut(conn) else {
            return Walked::Refused(Errno::ENOTCONN);
        };
        let before = connection.walk.filter(|walk| walk.brick == brick);
        let mut walk =
            before.unwrap_or(Walk { brick, reached: Ok(Gfid::ROOT), names: 0, pending: None });
        if walk.pending.is_some() {
            self.take_back(conn, id);
            return Walked::Later(Handled::NotNow { wants: None });
        }
        while let (Ok(reached), Some(name)) = (walk.reached, names_of(path).nth(walk.names)) {
            walk.names += 1;
            let lookup = Lookup {
                gfid: Gfid::NONE,
                pargfid: reached,
                flags: 0,
                bname: name,
                xdata: Dict::Null,
            };
            let Ok(request) = names::check(Request::Lookup(lookup)) else {
                walk.reached = Err(Errno::ENOENT);
                break;
            };
            let call = Call {
                brick,
                cred: Cred::housekeeping(),
                request,
                target: Target::Gfid,
                second: Target::Gfid,
                opened: false,
                opens: None,
                payload: Payload::Bytes(&[]),
                counts: Counts::default(),
            };
            let mut reply = [0; HEAD_ROOM as usize];
            let mut w = Writer::new(&mut reply);
            let submitted = host.storage.submit(id, &call, &mut w);
            let len = w.position();
            match submitted {
                Submitted::Done { data: Some(Place { buffer, at, len }), .. } => {
                    let end = (at + len) as usize;
                    let body = host.storage.bytes_mut(buffer).get(at as usize..end);
                    walk.reached = directory(body.unwrap_or_default());
                    host.storage.release(buffer);
                }
                Submitted::Done { data: None, .. } => {
                    walk.reached = directory(reply.get(..len).unwrap_or_default());
                }
                Submitted::Busy => {
                    walk.names -= 1;
                    self.keep_walk(conn, walk);
                    self.take_back(conn, id);
                    return Walked::Later(Handled::NotNow { wants: Some(WaitQueue::Storage) });
                }
                Submitted::Pending => {
                    walk.pending = Some(id);
                    self.keep_walk(conn, walk);
                    if let Some(job) = self.jobs.get_mut(id) {
                        job.walks = true;
                    }
                    return Walked::Later(Handled::NotNow { wants: None });
                }
            }
        }
        walk.reached.map_or_else(Walked::Refused, Walked::To)
    }

    fn keep_walk(&mut self, conn: ConnId, walk: Walk) {
        if let Some(connection) = self.connections.get_mut(conn) {
            connection.walk = Some(walk);
        }
    }

    /// The storage has looked up a name: reads SETVOLUME again.
    pub(super) fn walked(
        &mut self,
        id: JobId,
        job: &Job,
        completion: Completion,
        storage: &mut impl Storage,
    ) {
        let Place { buffer, at, len } = completion.body;
        let end = (at + len) as usize;
        let body = storage.bytes_mut(buffer).get(at as usize..end);
        let reached = directory(body.unwrap_or_default());
        storage.release(buffer);
        self.jobs.remove(id);
        if let Some(conn) = self.open_caller(job)
            && let Some(connection) = self.connections.get_mut(conn)
        {
            connection.outstanding = connection.outstanding.saturating_sub(1);
            if let Some(walk) = connection.walk.as_mut().filter(|walk| walk.pending == Some(id)) {
                (walk.pending, walk.reached) = (None, reached);
            }
            self.connections.wake_own(conn);
        }
        self.send_delayed_notices();
        self.storage_has_room(storage);
    }
}
