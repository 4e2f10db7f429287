//! Open files: descriptors under the names that the server gives them.

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

/// One open file or directory.
#[derive(Debug)]
pub(super) struct OpenFile {
    pub(super) fd: OwnedFd,
    pub(super) inode: Arc<Inode>,
    pub(super) flags: OpenFlags,
    /// It is read and written past the page cache.
    pub(super) direct: Option<Direct>,
    /// Where a directory's stream stands.
    pub(super) stream: Mutex<u64>,
}

impl OpenFile {
    pub(super) fn gfid(&self) -> Gfid {
        self.inode.gfid
    }

    /// Does its close have something to write, or to free? ext4 writes what replaces a file's old content when that is closed.
    fn closes_slowly(&self) -> bool {
        let unlinked = || match rustix::fs::fstat(&self.fd) {
            // Its handle is a link, too.
            Ok(stat) => is_regular(&stat) && stat.st_nlink < 2,
            Err(_) => false,
        };
        self.flags.writes() || self.inode.times().dirty || unlinked()
    }
}

/// All of them.
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

/// A descriptor that a fop works on: an open file's, or one that was opened for it.
#[derive(Debug)]
pub(super) enum Work {
    Open(Arc<OpenFile>),
    Now(OwnedFd, Gfid),
    /// For one READ or WRITE past the page cache.
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

    /// Is it read and written past the page cache?
    pub(super) fn direct(&self) -> Option<Direct> {
        match self {
            Self::Open(file) => file.direct,
            Self::Now(..) => None,
            Self::Direct(fd, _) => Some(Direct::of(fd)),
        }
    }

    /// For what moves data but is neither READ nor WRITE: nobody fitted that to the disk. A descriptor for the page cache's way, if
    /// this one has another.
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
    /// What a fop by fd or gfid works on, readable, and writable if `write`.
    pub(super) fn work(
        &self,
        call: &Call<'_>,
        target: Target,
        gfid: Gfid,
        write: bool,
    ) -> Result<Work> {
        self.work_with(call, target, gfid, write, 0)
    }

    /// The same for READ and WRITE, whose `flag` says how what was not opened is to be opened for it.
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

    /// Is this an open file that may be written?
    pub(super) fn is_open_to_write(&self, target: Target) -> bool {
        matches!(target, Target::Open(handle) if self.files.get(handle).is_some_and(|file| file.flags.writes()))
    }

    /// What a fop about an inode works on: any descriptor will do.
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
            // A directory may be opened like a file, for all that needs no data: Samba does.
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

    /// Moves times of what a call has just opened: with `ctime.noatime off` its atime.
    fn touch_opened(&self, call: &Call<'_>, object: &Object, own: u32) {
        if let Some(file) = call.opens.and_then(|handle| self.files.get(handle)) {
            self.touch_file(&file, &object.stat, &call.cred, own);
        }
    }

    /// Keeps a descriptor under the name that the server gave it; what the client will know it by.
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
        // Before the guard, so that it goes after it: with the last descriptor of an unlinked file go its blocks.
        let Some(file) = self.files.get(handle) else { return true };
        let gfid = file.gfid();
        if !now {
            mdata::write_back(&file.inode, &file.fd);
        }
        // Nobody unlinks the file between the last close and the look whether it was unlinked: both hold this.
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

/// What an open file's flags need permission for. Who cuts a file writes, whatever it is opened for.
pub(super) fn wanted(flags: OpenFlags) -> u32 {
    let read = if flags.0 & 3 == 1 { 0 } else { permission::READ };
    let write = flags.writes() || flags.has(OpenFlags::TRUNCATE);
    read | if write { permission::WRITE } else { 0 }
}

/// Opens what an O_PATH descriptor stands for. What is neither file nor directory is not opened: it could wait for ever.
pub(super) fn reopen(object: &Object, flags: OFlags) -> Result<OwnedFd> {
    if !is_regular(&object.stat) && !is_dir(&object.stat) {
        return Err(Errno::EINVAL);
    }
    // A file system that cannot do O_DIRECT says EINVAL here, and the client is told.
    rustix::fs::open(proc_path(&object.fd), flags | OFlags::CLOEXEC, Mode::empty()).map_err(errno)
}

/// The system's flags for those of the wire. A file that is only written is opened for reading too: heal reads it.
pub(super) fn os_flags(flags: OpenFlags) -> OFlags {
    let mut os = if flags.writes() { OFlags::RDWR } else { OFlags::RDONLY };
    for (wire, bit) in [
        (OpenFlags::TRUNCATE, OFlags::TRUNC),
        (OpenFlags::APPEND, OFlags::APPEND),
        (OpenFlags::DIRECT, OFlags::DIRECT),
        // One bit for O_SYNC and O_DSYNC: who asked for less gets more.
        (OpenFlags::SYNC, OFlags::SYNC),
    ] {
        os.set(bit, flags.has(wire));
    }
    os
}
