//! Data of files: READ, WRITE, sizes, holes, FSYNC, checksums, copies.

use std::os::fd::AsFd;
use std::sync::Arc;

use brickwire_core::fop::OpenFlags;
use brickwire_core::fop::wire::{
    Body, CopyFileRange, Discard, Fallocate, Fsync, Fsyncdir, Rchecksum, Read, Seek, Write,
    Zerofill,
};
use brickwire_core::rpc::Cred;
use brickwire_core::server::checksum::Strong;
use brickwire_core::server::{Call, Target};
use brickwire_core::xdr::{Errno, Gfid, Iatt};
use brickwire_server::{ReadOutcome, WriteOutcome};
use rustix::fs::{FallocateFlags, Mode, SeekFrom, Stat};
use rustix::io::Errno as Os;

use super::files::{OpenFile, Work};
use super::handles::is_regular;
use super::mdata::{self, CTIME, MTIME};
use super::permission;
use super::reply::{Key, Out, Owned};
use super::transfer::{check, read_cached, read_fully, write_fully, write_zeroes};
use super::{Brick, Result, errno, stat::iatt_of};

/// O_SYNC in the flags of a WRITE, which are Linux's; O_DSYNC is one of its bits.
const O_SYNC: u32 = 0o4_010_000;

fn fstat(fd: impl AsFd) -> Result<Stat> {
    rustix::fs::fstat(fd).map_err(errno)
}

/// Clears set-user-id and set-group-id before a file's data is changed: see
/// [`permission::mode_after_change`]. The kernel does that for unprivileged processes, but not for
/// this one.
fn drop_privileges(fd: impl AsFd, stat: &Stat, cred: &Cred<'_>) -> Result<()> {
    let mode = permission::mode_after_change(stat.st_mode, cred);
    if mode == stat.st_mode {
        return Ok(());
    }
    rustix::fs::fchmod(fd, Mode::from_raw_mode(mode & 0o7777)).map_err(errno)
}

impl Brick {
    /// Iatt of an open file.
    fn iatt_open(&self, file: &OpenFile, stat: &Stat) -> Iatt {
        let mut iatt = iatt_of(stat, file.gfid());
        if !self.options.disk_times
            && let Some(times) = mdata::times_open(&file.inode, &file.fd)
        {
            mdata::apply(&times, &mut iatt);
        }
        iatt
    }

    /// See [`brickwire_server::Backend::read`].
    pub(super) fn read_at(
        &self,
        file: &Arc<OpenFile>,
        cred: &Cred<'_>,
        offset: u64,
        room: &mut [u8],
        now: bool,
    ) -> Option<Result<ReadOutcome>> {
        if !file.flags.reads() {
            return Some(Err(Errno::EBADF));
        }
        let read = match (file.direct, now) {
            (Some(_), true) => return None,
            (None, true) => read_cached(file, offset, room)?,
            (direct, false) => read_fully(file.fd.as_fd(), direct, offset, room),
        };
        let (len, stat) = match (read, fstat(&file.fd)) {
            (_, Ok(stat)) if !is_regular(&stat) => return Some(Err(Errno::EISDIR)),
            (Ok(len), Ok(stat)) => (len, stat),
            (Err(error), _) | (_, Err(error)) => return Some(Err(error)),
        };
        self.touch_file(file, &stat, cred, 0);
        let eof = offset.saturating_add(len as u64) >= stat.st_size as u64;
        Some(Ok(ReadOutcome { len: len as u32, stat: self.iatt_open(file, &stat), eof }))
    }

    /// See [`brickwire_server::Backend::write`].
    pub(super) fn write_at(
        &self,
        file: &Arc<OpenFile>,
        cred: &Cred<'_>,
        offset: u64,
        data: &[u8],
        now: bool,
    ) -> Option<Result<WriteOutcome>> {
        let began = std::time::Instant::now();
        // An O_SYNC write and one past the page cache wait for the disk.
        let waits = file.flags.has(OpenFlags::SYNC) || file.direct.is_some();
        if now && (waits || self.write_throttle.is_slow(began)) {
            return None;
        }
        if !file.flags.writes() {
            return Some(Err(Errno::EBADF));
        }
        let result = self.write_now(file, cred, offset, data);
        if now {
            self.write_throttle.wrote(began, std::time::Instant::now());
        }
        Some(result)
    }

    fn write_now(
        &self,
        file: &Arc<OpenFile>,
        cred: &Cred<'_>,
        offset: u64,
        data: &[u8],
    ) -> Result<WriteOutcome> {
        check(offset, data.len())?;
        let stat = fstat(&file.fd)?;
        let before = self.iatt_open(file, &stat);
        if file.flags.has(OpenFlags::SYNC) {
            // Stored first, so that the synchronous write takes the times to the disk. Clients see
            // them only when the write is done: earlier, one could cache old data under the new
            // times.
            self.write_ahead(file, &stat, cred, CTIME | MTIME);
        }
        drop_privileges(&file.fd, &stat, cred)?;
        write_fully(file.fd.as_fd(), file.direct, offset, data)?;
        self.touch_file(file, &stat, cred, CTIME | MTIME);
        let after = self.iatt_open(file, &fstat(&file.fd)?);
        // With O_APPEND the write goes to the end, at any offset.
        let at = if file.flags.has(OpenFlags::APPEND) { before.size } else { offset };
        Ok(WriteOutcome { at, len: data.len() as u32, before, after })
    }

    /// The descriptor for a fop by fd or gfid, if it is of a regular file.
    fn file(&self, call: &Call<'_>, target: Target, gfid: Gfid, write: bool) -> Result<Work> {
        let work = self.work(call, target, gfid, write)?;
        if is_regular(&fstat(&work)?) { Ok(work) } else { Err(Errno::EISDIR) }
    }

    pub(super) fn read_fop(
        &self,
        call: &Call<'_>,
        request: &Read<'_>,
        out: &mut Out<'_>,
    ) -> Result<()> {
        let work = self.work_with(call, call.target, request.gfid, false, request.flag)?;
        if matches!(&work, Work::Open(file) if !file.flags.reads()) {
            return Err(Errno::EBADF);
        }
        let before = fstat(&work)?;
        if !is_regular(&before) {
            return Err(Errno::EISDIR);
        }
        let mut room = vec![0; request.size as usize];
        let len = read_fully(work.as_fd(), work.direct(), request.offset, &mut room)?;
        self.touch_work(&work, &before, &call.cred, 0);
        let stat = self.iatt_now(&work, work.gfid())?;
        let eof = request.offset.saturating_add(len as u64) >= stat.size;
        out.success(
            len as i32,
            if eof { Errno::ENOENT.to_wire() } else { 0 },
            &[],
            Body::Read { stat, size: len as u32 },
        );
        out.data(&room[..len]);
        Ok(())
    }

    pub(super) fn write_fop(
        &self,
        call: &Call<'_>,
        request: &Write<'_>,
        data: &[u8],
        out: &mut Out<'_>,
    ) -> Result<()> {
        let work = self.work_with(call, call.target, request.gfid, true, request.flag)?;
        let outcome = match &work {
            Work::Open(file) if !file.flags.writes() => return Err(Errno::EBADF),
            Work::Open(file) => self.write_now(file, &call.cred, request.offset, data)?,
            Work::Now(fd, gfid) | Work::Direct(fd, gfid) => {
                check(request.offset, data.len())?;
                let stat = fstat(fd)?;
                let before = self.iatt_with(&stat, *gfid, fd);
                drop_privileges(fd, &stat, &call.cred)?;
                write_fully(fd.as_fd(), work.direct(), request.offset, data)?;
                self.touch(gfid, fd, &stat, &call.cred, CTIME | MTIME);
                let after = self.iatt_now(fd, *gfid)?;
                WriteOutcome { at: request.offset, len: data.len() as u32, before, after }
            }
        };
        if request.flag & O_SYNC != 0 {
            // As the real server, for an O_SYNC write to a file that was opened without O_SYNC.
            self.sync(&work, request.flag & O_SYNC != O_SYNC)?;
        }
        let mut keys: Vec<Key> = Vec::new();
        if request.xdata.get("glusterfs.write-is-append").is_some() {
            keys.push((
                "glusterfs.write-is-append".into(),
                Owned::Uint(outcome.is_append().into()),
            ));
        }
        let body = Body::TwoIatts { before: outcome.before, after: outcome.after };
        out.success(outcome.len as i32, 0, &keys, body);
        Ok(())
    }

    /// Changes an inode's data and answers with its attributes before and after.
    fn change(
        &self,
        call: &Call<'_>,
        gfid: Gfid,
        out: &mut Out<'_>,
        change: impl FnOnce(&Work, &Stat) -> Result<()>,
    ) -> Result<()> {
        let work = self.work(call, call.target, gfid, true)?;
        if matches!(&work, Work::Open(file) if !file.flags.writes()) {
            return Err(Errno::EBADF);
        }
        let stat = fstat(&work)?;
        let before = self.iatt_with(&stat, work.gfid(), &work);
        drop_privileges(&work, &stat, &call.cred)?;
        change(&work, &stat)?;
        self.touch_work(&work, &stat, &call.cred, CTIME | MTIME);
        let after = self.iatt_now(&work, work.gfid())?;
        out.body(Body::TwoIatts { before, after });
        Ok(())
    }

    pub(super) fn truncate(
        &self,
        call: &Call<'_>,
        gfid: Gfid,
        size: u64,
        out: &mut Out<'_>,
    ) -> Result<()> {
        self.change(call, gfid, out, |work, _| rustix::fs::ftruncate(work, size).map_err(errno))
    }

    pub(super) fn fallocate(
        &self,
        call: &Call<'_>,
        r: &Fallocate<'_>,
        out: &mut Out<'_>,
    ) -> Result<()> {
        let mut flags = FallocateFlags::empty();
        // Bit 1 on the wire keeps the size. Clients send no other bit.
        flags.set(FallocateFlags::KEEP_SIZE, r.flags & 1 != 0);
        self.change(call, r.gfid, out, |work, _| {
            rustix::fs::fallocate(work, flags, r.offset, r.size).map_err(errno)
        })
    }

    pub(super) fn discard(
        &self,
        call: &Call<'_>,
        r: &Discard<'_>,
        out: &mut Out<'_>,
    ) -> Result<()> {
        let flags = FallocateFlags::KEEP_SIZE | FallocateFlags::PUNCH_HOLE;
        self.change(call, r.gfid, out, |work, _| {
            rustix::fs::fallocate(work, flags, r.offset, r.size).map_err(errno)
        })
    }

    pub(super) fn zerofill(
        &self,
        call: &Call<'_>,
        r: &Zerofill<'_>,
        out: &mut Out<'_>,
    ) -> Result<()> {
        self.change(call, r.gfid, out, |work, stat| {
            let number = |n: u64| i64::try_from(n).map_err(|_| Errno::EINVAL);
            let (offset, size) = (number(r.offset)?, number(r.size)?);
            if size == 0 {
                return Err(Errno::EINVAL);
            }
            let end = offset.checked_add(size).ok_or(Errno::EFBIG)? as u64;
            match rustix::fs::fallocate(work, FallocateFlags::ZERO_RANGE, r.offset, r.size) {
                Err(Os::OPNOTSUPP | Os::NOSYS) => {}
                result => return result.map_err(errno),
            }
            // Holes read as zeroes, and beyond the end setting the size suffices.
            let inside = (stat.st_size as u64).min(end).saturating_sub(r.offset);
            let flags = FallocateFlags::KEEP_SIZE | FallocateFlags::PUNCH_HOLE;
            if inside > 0 {
                match rustix::fs::fallocate(work, flags, r.offset, inside) {
                    Err(Os::OPNOTSUPP | Os::NOSYS) => write_zeroes(work, r.offset, inside)?,
                    result => result.map_err(errno)?,
                }
            }
            if end > stat.st_size as u64 {
                rustix::fs::ftruncate(work, end).map_err(errno)?;
            }
            Ok(())
        })
    }

    pub(super) fn fsync(&self, call: &Call<'_>, r: &Fsync<'_>, out: &mut Out<'_>) -> Result<()> {
        let work = self.work(call, call.target, r.gfid, false)?;
        let before = self.iatt_now(&work, work.gfid())?;
        self.sync(&work, r.data & 1 != 0)?;
        let after = self.iatt_now(&work, work.gfid())?;
        out.body(Body::TwoIatts { before, after });
        Ok(())
    }

    /// When this returns, everything of a file is on disk: data, size, times, attributes and (see
    /// `fsync`) its names. With `data`, times of changes may be missing.
    fn sync(&self, work: &Work, data: bool) -> Result<()> {
        if let Some(inode) = self.inodes.get(&work.gfid()) {
            mdata::write_back(&inode, work);
        }
        if data { rustix::fs::fdatasync(work) } else { rustix::fs::fsync(work) }.map_err(errno)
    }

    pub(super) fn fsyncdir(
        &self,
        call: &Call<'_>,
        r: &Fsyncdir<'_>,
        out: &mut Out<'_>,
    ) -> Result<()> {
        let work = self.work(call, call.target, r.gfid, false)?;
        rustix::fs::fsync(&work).map_err(errno)?;
        out.done();
        Ok(())
    }

    pub(super) fn seek(&self, call: &Call<'_>, r: &Seek<'_>, out: &mut Out<'_>) -> Result<()> {
        // lseek() moves the offset of a descriptor that other calls may use. On a directory that
        // would change where entries are read from.
        let work = self.file(call, call.target, r.gfid, false)?;
        let to = match r.what {
            0 => SeekFrom::Data(r.offset),
            1 => SeekFrom::Hole(r.offset),
            _ => return Err(Errno::EINVAL),
        };
        let offset = rustix::fs::seek(&work, to).map_err(errno)?;
        out.body(Body::Seek { offset });
        Ok(())
    }

    pub(super) fn rchecksum(
        &self,
        call: &Call<'_>,
        r: &Rchecksum<'_>,
        out: &mut Out<'_>,
    ) -> Result<()> {
        let work = self.file(call, call.target, r.gfid, false)?;
        if matches!(&work, Work::Open(file) if !file.flags.reads()) {
            return Err(Errno::EBADF);
        }
        let cached = work.cached()?;
        let fd = cached.as_ref().map_or(work.as_fd(), AsFd::as_fd);
        let mut bytes = vec![0; (r.len as usize).min(4 << 20)];
        let len = rustix::io::pread(fd, &mut bytes, r.offset).map_err(errno)?;
        let mut sum = Strong::new();
        sum.add(&bytes[..len]);
        // `flags` 1: the strong checksum is SHA-256 and there is no weak one. Callers that look at
        // xdata find the same there.
        let keys = [(b"fips-mode-rchecksum".to_vec(), Owned::Int(1))];
        out.success(0, 0, &keys, Body::Rchecksum { flags: 1, weak: 0, strong: &sum.finish() });
        Ok(())
    }

    pub(super) fn copy_file_range(
        &self,
        call: &Call<'_>,
        r: &CopyFileRange<'_>,
        out: &mut Out<'_>,
    ) -> Result<()> {
        let source = self.work(call, call.target, r.source, false)?;
        let destination = self.work(call, call.second, r.destination, true)?;
        if matches!(&destination, Work::Open(file) if !file.flags.writes())
            || matches!(&source, Work::Open(file) if !file.flags.reads())
        {
            return Err(Errno::EBADF);
        }
        if !is_regular(&fstat(&source)?) || !is_regular(&fstat(&destination)?) {
            return Err(Errno::EISDIR);
        }
        let cached = (source.cached()?, destination.cached()?);
        let from_fd = cached.0.as_ref().map_or(source.as_fd(), AsFd::as_fd);
        let to_fd = cached.1.as_ref().map_or(destination.as_fd(), AsFd::as_fd);
        let stat = fstat(&destination)?;
        let before = self.iatt_with(&stat, destination.gfid(), &destination);
        drop_privileges(&destination, &stat, &call.cred)?;
        // The reply has a signed count. A caller that requested more repeats the call for the rest.
        let size = (r.size as usize).min(i32::MAX as usize);
        // Copying a file to its own end makes it grow, so the copy would never end; only the bytes
        // that existed at the start are copied.
        let there =
            (fstat(&source)?.st_size as u64).checked_sub(r.off_in).filter(|there| *there > 0);
        let size =
            there.map_or(size, |there| size.min(usize::try_from(there).unwrap_or(usize::MAX)));
        let (mut from, mut to, mut left) = (r.off_in, r.off_out, size);
        while left > 0 {
            match rustix::fs::copy_file_range(from_fd, Some(&mut from), to_fd, Some(&mut to), left)
            {
                Ok(0) => break,
                Ok(n) => left -= n.min(left),
                Err(Os::INTR) => {}
                Err(error) => return Err(errno(error)),
            }
        }
        self.touch_work(&destination, &stat, &call.cred, CTIME | MTIME);
        let after = self.iatt_now(&destination, destination.gfid())?;
        let stat = self.iatt_now(&source, source.gfid())?;
        let copied = (size - left) as i32;
        out.success(copied, 0, &[], Body::Copy { stat, before, after });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use brickwire_server::o_direct::Direct;
    use rustix::fs::{Mode, OFlags};

    use super::*;
    use crate::{BrickOptions, XattrNamespace};

    #[test]
    fn what_goes_past_the_page_cache_is_for_threads_that_may_wait() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, [7; 8192]).unwrap();
        let options = BrickOptions { xattrs: XattrNamespace::User, ..BrickOptions::default() };
        // The file system has no xattrs, or does not support this.
        let Ok(brick) = Brick::open(dir.path(), options) else { return };
        let flags = OFlags::RDWR | OFlags::DIRECT;
        let Ok(fd) = rustix::fs::open(&path, flags, Mode::empty()) else { return };
        let inode = brick.inodes.open(Gfid([1; 16]), brick.namespace());
        let (direct, flags) = (Some(Direct::of(&fd)), OpenFlags::READ_WRITE.and(OpenFlags::DIRECT));
        let file = Arc::new(OpenFile { fd, inode, flags, direct, stream: Mutex::new(0) });
        let cred = Cred::v3(1, 0, 0);
        let mut room = [0; 4096];
        assert!(brick.read_at(&file, &cred, 0, &mut room, true).is_none());
        assert!(brick.write_at(&file, &cred, 0, &[8; 4096], true).is_none());
        assert_eq!((room[0], std::fs::read(&path).unwrap()[0]), (0, 7), "nothing was done");
        assert!(
            brick.write_at(&file, &cred, 0, &[8; 4096], false).is_some_and(|wrote| wrote.is_ok())
        );
        assert!(brick.read_at(&file, &cred, 0, &mut room, false).is_some_and(|read| read.is_ok()));
        assert_eq!(room, [8; 4096]);
    }
}
