//! A brick and the dispatch of fops; all functions may be called from any thread.

mod acl_text;
mod adopt;
mod attrs;
mod data;
mod deep;
mod dirs;
mod files;
mod fsync;
mod gfid2path;
mod glusterfsd_guard;
mod handles;
mod index;
mod inodes;
mod intent_log;
mod landfill;
mod layout;
mod mdata;
mod names;
mod pathinfo;
mod permission;
mod removed;
mod reply;
mod reset;
mod stat;
mod time_writer;
mod transfer;
mod virtual_xattrs;
mod write_throttle;
mod xattr_namespace;
mod xattrop;
mod xattrs;

use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};

use brickwire_core::fop::wire::Request;
use brickwire_core::rpc::Cred;
use brickwire_core::server::{Call, HandleId};
use brickwire_core::xdr::{Errno, Gfid};
use brickwire_server::{Backend, ReadOutcome, WriteOutcome};

use files::OpenFiles;
use inodes::Inodes;
use intent_log::IntentLog;
pub use layout::BrickOptions;
use reply::Out;
pub use xattr_namespace::XattrNamespace;

/// Number of locks that gfids are hashed to; two busy inodes rarely share one.
const STRIPES: usize = 64;

/// A directory that is served as a brick.
#[derive(Debug)]
pub struct Brick {
    root: OwnedFd,
    files: OpenFiles,
    deep: deep::DeepDirectories,
    removed: removed::RemovedDirectories,
    inodes: Inodes,
    /// Locks that serialise changes of names in one directory, and of attributes of one inode.
    names: [Mutex<()>; STRIPES],
    attrs: [Mutex<()>; STRIPES],
    options: BrickOptions,
    intent_log: OnceLock<IntentLog>,
    write_throttle: write_throttle::WriteThrottle,
    time_writer: time_writer::TimeWriter,
    /// An fsync of a file makes its names durable too: see `fsync.rs`.
    names_follow: bool,
    /// Keeps other servers away. It is the last field, so it is dropped after everything above:
    /// their last writes must not reach a brick that another server has opened.
    _lock: OwnedFd,
}

fn stripe(gfid: &Gfid) -> usize {
    usize::from(gfid.0[15] ^ gfid.0[7]) % STRIPES
}

fn hold(mutex: &Mutex<()>) -> MutexGuard<'_, ()> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The operating system's errno as a wire errno: both use Linux's numbers.
fn errno(error: rustix::io::Errno) -> Errno {
    Errno::from_wire(error.raw_os_error())
}

type Result<T, E = Errno> = std::result::Result<T, E>;

impl Brick {
    fn namespace(&self) -> XattrNamespace {
        self.options.xattrs
    }

    /// Locks changes of names in a directory.
    fn hold_names(&self, directory: &Gfid) -> MutexGuard<'_, ()> {
        hold(&self.names[stripe(directory)])
    }

    /// Locks two directories, always in the same order to avoid deadlock.
    fn hold_both(&self, a: &Gfid, b: &Gfid) -> (MutexGuard<'_, ()>, Option<MutexGuard<'_, ()>>) {
        let (first, second) = (stripe(a).min(stripe(b)), stripe(a).max(stripe(b)));
        let guard = hold(&self.names[first]);
        (guard, (first != second).then(|| hold(&self.names[second])))
    }

    fn hold_attrs(&self, gfid: &Gfid) -> MutexGuard<'_, ()> {
        hold(&self.attrs[stripe(gfid)])
    }

    /// Like `hold_attrs`, but `None` if the lock is taken.
    fn hold_attrs_now(&self, gfid: &Gfid) -> Option<MutexGuard<'_, ()>> {
        match self.attrs[stripe(gfid)].try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    fn dispatch(&self, call: &Call<'_>, payload: &[u8], out: &mut Out<'_>) -> Result<()> {
        match &call.request {
            Request::Lookup(r) => self.lookup(call, r, out),
            Request::Stat(r) => self.stat(call, r.gfid, &r.xdata, out),
            Request::Fstat(r) => self.stat(call, r.gfid, &r.xdata, out),
            Request::Access(r) => self.access(call, r, out),
            Request::Setattr(r) => self.setattr(call, (r.gfid, &r.stbuf, r.valid), &r.xdata, out),
            Request::Fsetattr(r) => self.setattr(call, (r.gfid, &r.stbuf, r.valid), &r.xdata, out),
            Request::Readlink(r) => self.readlink(call, r, out),
            Request::Mknod(r) => self.mknod(call, r, out),
            Request::Mkdir(r) => self.mkdir(call, r, out),
            Request::Symlink(r) => self.symlink(call, r, out),
            Request::Create(r) => self.create(call, r, out),
            Request::Link(r) => self.link(call, r, out),
            Request::Unlink(r) => self.unlink(call, r, out),
            Request::Rmdir(r) => self.rmdir(call, r, out),
            Request::Rename(r) => self.rename(call, r, out),
            Request::Open(r) => self.open_file(call, r, out),
            Request::Opendir(r) => self.opendir(call, r, out),
            Request::Read(r) => self.read_fop(call, r, out),
            Request::Write(r) => self.write_fop(call, r, payload, out),
            Request::Truncate(r) => self.truncate(call, r.gfid, r.offset, out),
            Request::Ftruncate(r) => self.truncate(call, r.gfid, r.offset, out),
            Request::Fsync(r) => self.fsync(call, r, out),
            Request::Fsyncdir(r) => self.fsyncdir(call, r, out),
            Request::Fallocate(r) => self.fallocate(call, r, out),
            Request::Discard(r) => self.discard(call, r, out),
            Request::Zerofill(r) => self.zerofill(call, r, out),
            Request::Seek(r) => self.seek(call, r, out),
            Request::Rchecksum(r) => self.rchecksum(call, r, out),
            Request::CopyFileRange(r) => self.copy_file_range(call, r, out),
            Request::Statfs(r) => self.statfs(r, out),
            Request::Readdir(r) => self.readdir(call, r, out),
            Request::Readdirp(r) => self.readdirp(call, r, out),
            Request::Setxattr(r) => self.setxattr(call, r.gfid, r.flags, &r.dict, out),
            Request::Fsetxattr(r) => self.setxattr(call, r.gfid, r.flags, &r.dict, out),
            Request::Getxattr(r) => self.getxattr(call, r.gfid, r.name, out),
            Request::Fgetxattr(r) => self.getxattr(call, r.gfid, r.name, out),
            Request::Removexattr(r) => self.removexattr(call, r.gfid, r.name, &r.xdata, out),
            Request::Fremovexattr(r) => self.removexattr(call, r.gfid, r.name, &r.xdata, out),
            Request::Xattrop(r) => self.xattrop(call, r.gfid, r.flags, &r.dict, &r.xdata, out),
            Request::Fxattrop(r) => self.xattrop(call, r.gfid, r.flags, &r.dict, &r.xdata, out),
            // Not supported, or answered by the server itself.
            Request::Put(_) | brickwire_core::answered_by_the_server!() => Err(Errno::EOPNOTSUPP),
        }
    }
}

impl Backend for Brick {
    fn execute(&self, call: &Call<'_>, payload: &[u8], reply: &mut Vec<u8>) -> bool {
        let mut out = Out::new(call, reply);
        match self.dispatch(call, payload, &mut out) {
            Ok(()) => false,
            Err(errno) => {
                out.fail(errno);
                true
            }
        }
    }

    fn read(
        &self,
        handle: HandleId,
        cred: &Cred<'_>,
        offset: u64,
        room: &mut [u8],
        now: bool,
    ) -> Option<Result<ReadOutcome, Errno>> {
        let Some(file) = self.files.get(handle) else { return Some(Err(Errno::EBADF)) };
        self.read_at(&file, cred, offset, room, now)
    }

    fn write(
        &self,
        handle: HandleId,
        cred: &Cred<'_>,
        offset: u64,
        data: &[u8],
        now: bool,
    ) -> Option<Result<WriteOutcome, Errno>> {
        let Some(file) = self.files.get(handle) else { return Some(Err(Errno::EBADF)) };
        self.write_at(&file, cred, offset, data, now)
    }

    fn close(&self, handle: HandleId, now: bool) -> bool {
        self.close_file(handle, now)
    }
}
