//! Open files: descriptors under the handles that the server gives them.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use brickwire_core::fop::OpenFlags;
use brickwire_core::fop::wire::{Body, Open, Opendir};
use brickwire_core::server::{Call, HandleId, Target};
use brickwire_core::xdr::{Errno, Gfid};
use brickwire_server::o_direct::{Direct, O_DIRECT};
use rustix::fs::{Mode, OFlags};

use super::handles::{Object, is_dir, is_regular, proc_path};
use super::inodes::Inode;
use super::mdata::{self, CTIME, MTIME};
use super::reply::Out;
use super::{Brick, Result, errno, permission};

/// An open file or directory.
#[derive(Debug)]
pub(super) struct OpenFile {
    pub(super) fd: OwnedFd,
    pub(super) inode: Arc<Inode>,
    pub(super) flags: OpenFlags,
    /// Set if it is read and written past the page cache.
    pub(super) direct: Option<Direct>,
    /// Position of a directory's stream.
    pub(super) stream: Mutex<u64>,
}

impl OpenFile {
    pub(super) fn gfid(&self) -> Gfid {
        self.inode.gfid
    }

    /// Whether closing it may write or free blocks. ext4 writes a file at close if its old content
    /// was replaced.
    fn closes_slowly(&self) -> bool {
        let unlinked = || match rustix::fs::fstat(&self.fd) {
            // The handle in `.glusterfs` is a link, too.
            Ok(stat) => is_regular(&stat) && stat.st_nlink < 2,
            Err(_) => false,
        };
        self.flags.writes() || self.inode.times().dirty || unlinked()
    }
}

/// The table of open files, by handle.
#[derive(Debug, Default)]
pub(super) struct OpenFiles {
    table: RwLock<HashMap<HandleId, Arc<OpenFile>>>,
}

impl OpenFiles {
    pub(super) fn get(&self, handle: HandleId) -> Option<Arc<OpenFile>> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).get(&handle).map(Arc::clone)
    }

    fn insert(&self, handle: HandleId, file: OpenFile) {
        self.table.write().unwrap_or_else(PoisonError::into_inner).insert(handle, Arc::new(file));
    }

    fn remove(&self, handle: HandleId) {
        self.table.write().unwrap_or_else(PoisonError::into_inner).remove(&handle);
    }
}

/// The descriptor that a fop works on: that of an open file, or one opened for this fop.
#[derive(Debug)]
pub(super) enum Work {
    Open(Arc<OpenFile>),
    Now(OwnedFd, Gfid),
    /// Opened for one READ or WRITE past the page cache.
    Direct(OwnedFd, Gfid),
}

impl AsFd for Work {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Open(file) => file.fd.as_fd(),
            Self::Now(fd, _) | Self::Direct(fd, _) => fd.as_fd(),
        }
    }
}

impl Work {
    pub(super) fn gfid(&self) -> Gfid {
        match self {
            Self::Open(file) => file.gfid(),
            Self::Now(_, gfid) | Self::Direct(_, gfid) => *gfid,
        }
    }

    /// Alignment for transfers past the page cache, if it is used so.
    pub(super) fn direct(&self) -> Option<Direct> {
        match self {
            Self::Open(file) => file.direct,
            Self::Now(..) => None,
            Self::Direct(fd, _) => Some(Direct::of(fd)),
        }
    }

    /// A descriptor that uses the page cache, if this one does not. Fops that move data but are
    /// neither READ nor WRITE have no alignment for the disk.
    pub(super) fn cached(&self) -> Result<Option<OwnedFd>> {
        let Self::Open(file) = self else { return Ok(None) };
        if file.direct.is_none() {
            return Ok(None);
        }
        let access = if file.flags.writes() { OFlags::RDWR } else { OFlags::RDONLY };
        rustix::fs::open(proc_path(&file.fd), access | OFlags::CLOEXEC, Mode::empty())
            .map(Some)
            .map_err(errno)
    }
}

impl Brick {
    /// The descriptor for a fop by fd or gfid: readable, and writable if `write`.
    pub(super) fn work(
        &self,
        call: &Call<'_>,
        target: Target,
        gfid: Gfid,
        write: bool,
    ) -> Result<Work> {
        self.work_with(call, target, gfid, write, 0)
    }

    /// Likewise for READ and WRITE, whose `flag` has the flags for opening an inode by gfid.
    pub(super) fn work_with(
        &self,
        call: &Call<'_>,
        target: Target,
        gfid: Gfid,
        write: bool,
        flag: u32,
    ) -> Result<Work> {
        if let Target::Open(handle) = target {
            return self.files.get(handle).map(Work::Open).ok_or(Errno::EBADF);
        }
        let object = self.object_of(call, &gfid)?;
        let want = if write { permission::WRITE } else { permission::READ };
        permission::check(&object.fd, &object.stat, &call.cred, want)?;
        let direct = flag & O_DIRECT != 0;
        let how = if direct { OFlags::DIRECT } else { OFlags::empty() };
        let fd = match reopen(&object, OFlags::RDWR | how) {
            Err(Errno::EACCES | Errno::EROFS | Errno::EISDIR) if !write => {
                reopen(&object, OFlags::RDONLY | how)?
            }
            result => result?,
        };
        Ok(if direct { Work::Direct(fd, gfid) } else { Work::Now(fd, gfid) })
    }

    /// Whether this is an open file that may be written.
    pub(super) fn is_open_to_write(&self, target: Target) -> bool {
        let Target::Open(handle) = target else { return false };
        self.files.get(handle).is_some_and(|file| file.flags.writes())
    }

    /// The descriptor for a fop about an inode; it may be an O_PATH one.
    pub(super) fn about(&self, call: &Call<'_>, gfid: Gfid) -> Result<Work> {
        match call.target {
            Target::Open(handle) => self.files.get(handle).map(Work::Open).ok_or(Errno::EBADF),
            Target::Gfid => Ok(Work::Now(self.object_of(call, &gfid)?.fd, gfid)),
        }
    }

    pub(super) fn open_file(
        &self,
        call: &Call<'_>,
        request: &Open<'_>,
        out: &mut Out<'_>,
    ) -> Result<()> {
        let object = self.object_of(call, &request.gfid)?;
        let flags = OpenFlags(request.flags);
        permission::check(&object.fd, &object.stat, &call.cred, wanted(flags))?;
        if is_dir(&object.stat) {
            // Samba opens a directory like a file, for fops that need no data.
            if flags.writes() || flags.has(OpenFlags::TRUNCATE) {
                return Err(Errno::EISDIR);
            }
            let fd = reopen(&object, OFlags::RDONLY | OFlags::DIRECTORY)?;
            let fd = self.keep(call, fd, request.gfid, OpenFlags::READ)?;
            self.touch_opened(call, &object, 0);
            out.body(Body::Open { fd });
            return Ok(());
        }
        if flags.has(OpenFlags::DIRECTORY) {
            return Err(Errno::ENOTDIR);
        }
        let fd = reopen(&object, os_flags(flags))?;
        let fd = self.keep(call, fd, request.gfid, flags)?;
        let change = if flags.has(OpenFlags::TRUNCATE) { CTIME | MTIME } else { 0 };
        self.touch_opened(call, &object, change);
        out.body(Body::Open { fd });
        Ok(())
    }

    pub(super) fn opendir(
        &self,
        call: &Call<'_>,
        request: &Opendir<'_>,
        out: &mut Out<'_>,
    ) -> Result<()> {
        let object = self.directory(&request.gfid)?;
        permission::check(&object.fd, &object.stat, &call.cred, permission::READ)?;
        let fd = reopen(&object, OFlags::RDONLY | OFlags::DIRECTORY)?;
        let fd = self.keep(call, fd, request.gfid, OpenFlags::READ)?;
        self.touch_opened(call, &object, 0);
        out.body(Body::Open { fd });
        Ok(())
    }

    /// Moves times of an inode that a call has opened: its atime, with `ctime.noatime off`.
    fn touch_opened(&self, call: &Call<'_>, object: &Object, own: u32) {
        if let Some(file) = call.opens.and_then(|handle| self.files.get(handle)) {
            self.touch_file(&file, &object.stat, &call.cred, own);
        }
    }

    /// Stores a descriptor under the handle that the server gave it. Returns the fd for the client.
    pub(super) fn keep(
        &self,
        call: &Call<'_>,
        fd: OwnedFd,
        gfid: Gfid,
        flags: OpenFlags,
    ) -> Result<i64> {
        let handle = call.opens.ok_or(Errno::EINVAL)?;
        let inode = self.inodes.open(gfid, self.namespace());
        let direct = flags.has(OpenFlags::DIRECT).then(|| Direct::of(&fd));
        self.files.insert(handle, OpenFile { fd, inode, flags, direct, stream: Mutex::new(0) });
        Ok(handle.wire())
    }

    /// See [`brickwire_server::Backend::close`].
    pub(super) fn close_file(&self, handle: HandleId, now: bool) -> bool {
        // Declared before the guard, so it is dropped after it: the last descriptor of an unlinked
        // file frees its blocks.
        let Some(file) = self.files.get(handle) else { return true };
        let gfid = file.gfid();
        if !now {
            mdata::write_back(&file.inode, &file.fd);
        }
        // Unlink holds the same lock, so the file cannot be unlinked between the last close and the
        // check for links.
        let one_at_a_time =
            if now { self.hold_attrs_now(&gfid) } else { Some(self.hold_attrs(&gfid)) };
        if one_at_a_time.is_none() || (now && file.closes_slowly()) {
            return false;
        }
        self.files.remove(handle);
        if self.inodes.close(&gfid) {
            self.unpark_handle(&gfid);
        }
        true
    }
}

/// Permissions that the flags of an open need. O_TRUNC needs write permission, also in an open for
/// reading.
pub(super) fn wanted(flags: OpenFlags) -> u32 {
    let read = if flags.0 & 3 == 1 { 0 } else { permission::READ };
    let write = flags.writes() || flags.has(OpenFlags::TRUNCATE);
    read | if write { permission::WRITE } else { 0 }
}

/// Opens the inode of an O_PATH descriptor. Only files and directories are opened: anything else
/// could block for ever.
pub(super) fn reopen(object: &Object, flags: OFlags) -> Result<OwnedFd> {
    if !is_regular(&object.stat) && !is_dir(&object.stat) {
        return Err(Errno::EINVAL);
    }
    // A file system without O_DIRECT answers EINVAL here, which the client gets.
    rustix::fs::open(proc_path(&object.fd), flags | OFlags::CLOEXEC, Mode::empty()).map_err(errno)
}

/// The system's flags for those of the wire.
pub(super) fn os_flags(flags: OpenFlags) -> OFlags {
    let mut os = match (flags.reads(), flags.writes()) {
        (true, true) => OFlags::RDWR,
        (true, false) => OFlags::RDONLY,
        (false, _) => OFlags::WRONLY,
    };
    for (wire, bit) in [
        (OpenFlags::TRUNCATE, OFlags::TRUNC),
        (OpenFlags::APPEND, OFlags::APPEND),
        (OpenFlags::DIRECT, OFlags::DIRECT),
        // One flag stands for O_SYNC and O_DSYNC: O_DSYNC gets the stronger promise.
        (OpenFlags::SYNC, OFlags::SYNC),
    ] {
        os.set(bit, flags.has(wire));
    }
    os
}
