//! Data of images: READ, WRITE, holes, zeroes, FSYNC.

use std::io::{IoSlice, IoSliceMut};

use brickwire_core::fop::OpenFlags;
use brickwire_core::fop::wire::{Body, Discard, Fallocate, Fsync, Read, Seek, Write, Zerofill};
use brickwire_core::server::{Call, Target};
use brickwire_core::xdr::{Errno, Gfid};
use brickwire_server::reply::{Key, Out, Owned};
use brickwire_server::{ReadOutcome, WriteOutcome};
use rustix::fs::{FallocateFlags, SeekFrom};
use rustix::io::{Errno as Os, ReadWriteFlags};

use crate::image::{Image, Kind};
use crate::images::{Images, Result, errno};

/// Size of a page-cache page. A write of whole pages does not first read them from the disk.
const PAGE: u64 = 4096;

impl Image {
    /// See [`brickwire_server::Backend::read`].
    pub(crate) fn read_at(
        &self,
        flags: OpenFlags,
        offset: u64,
        room: &mut [u8],
        now: bool,
    ) -> Option<Result<ReadOutcome>> {
        let read = match (flags.has(OpenFlags::DIRECT), now) {
            (true, true) => return None,
            (true, false) => self
                .direct()
                .and_then(|(file, direct)| direct.read(file, offset, room).map_err(errno)),
            (false, now) => self.read_fully(offset, room, now)?,
        };
        let len = match read {
            Ok(len) => len,
            Err(error) => return Some(Err(error)),
        };
        let outcome = self.iatt().map(|stat| {
            let eof = offset.saturating_add(len as u64) >= stat.size;
            ReadOutcome { len: len as u32, stat, eof }
        });
        Some(outcome)
    }

    /// Reads through the page cache. With `now`, `None` if that would wait for the disk.
    fn read_fully(&self, offset: u64, room: &mut [u8], now: bool) -> Option<Result<usize>> {
        let flags = if now { ReadWriteFlags::NOWAIT } else { ReadWriteFlags::empty() };
        let mut len = 0;
        while len < room.len() {
            let at = offset.saturating_add(len as u64);
            let mut piece = [IoSliceMut::new(&mut room[len..])];
            match rustix::io::preadv2(self, &mut piece, at, flags) {
                Ok(0) => break,
                Ok(n) => len += n,
                Err(Os::INTR) => {}
                // Not cached, or the device does not support RWF_NOWAIT.
                Err(Os::AGAIN | Os::OPNOTSUPP) if now => return None,
                Err(error) => return Some(Err(errno(error))),
            }
        }
        Some(Ok(len))
    }

    /// See [`brickwire_server::Backend::write`].
    pub(crate) fn write_at(
        &self,
        flags: OpenFlags,
        offset: u64,
        data: &[u8],
        now: bool,
    ) -> Option<Result<WriteOutcome>> {
        let whole = offset.is_multiple_of(PAGE) && (data.len() as u64).is_multiple_of(PAGE);
        if now && (!whole || flags.has(OpenFlags::SYNC) || flags.has(OpenFlags::DIRECT)) {
            return None;
        }
        if !flags.writes() {
            return Some(Err(Errno::EBADF));
        }
        Some(self.write_now(flags, offset, data))
    }

    fn write_now(&self, flags: OpenFlags, offset: u64, data: &[u8]) -> Result<WriteOutcome> {
        self.writable()?;
        let before = self.iatt()?;
        let offset = if flags.has(OpenFlags::APPEND) && self.kind == Kind::File {
            before.size
        } else {
            offset
        };
        // A write that would cross the end of a device is refused whole.
        if self.kind == Kind::Device && offset.saturating_add(data.len() as u64) > before.size {
            return Err(Errno::ENOSPC);
        }
        self.write_fully(flags, offset, data)?;
        self.touch();
        Ok(WriteOutcome { at: offset, len: data.len() as u32, before, after: self.iatt()? })
    }

    fn write_fully(&self, flags: OpenFlags, offset: u64, data: &[u8]) -> Result<()> {
        let direct = flags.has(OpenFlags::DIRECT);
        let sync = flags.has(OpenFlags::SYNC);
        let flags = if sync { ReadWriteFlags::DSYNC } else { ReadWriteFlags::empty() };
        if direct {
            let (file, direct) = self.direct()?;
            return direct.write(file, offset, data, flags).map_err(errno);
        }
        let mut done = 0;
        while done < data.len() {
            let piece = [IoSlice::new(&data[done..])];
            match rustix::io::pwritev2(self, &piece, offset.saturating_add(done as u64), flags) {
                Ok(0) => return Err(Errno::ENOSPC),
                Ok(n) => done += n,
                Err(Os::INTR) => {}
                Err(error) => return Err(errno(error)),
            }
        }
        Ok(())
    }

    fn write_zeroes(&self, offset: u64, len: u64) -> Result<()> {
        static ZEROES: [u8; 128 * 1024] = [0; 128 * 1024];
        let mut done = 0;
        while done < len {
            let n = (len - done).min(ZEROES.len() as u64);
            self.write_fully(OpenFlags::READ_WRITE, offset + done, &ZEROES[..n as usize])?;
            done += n;
        }
        Ok(())
    }

    /// Sets the size of a file. A device's size cannot change: EPERM for any other size.
    pub(crate) fn set_size(&self, size: u64) -> Result<()> {
        self.writable()?;
        match self.kind {
            Kind::File => rustix::fs::ftruncate(self, size).map_err(errno),
            Kind::Device if size == self.size(&self.stat()?)? => Ok(()),
            Kind::Device => Err(Errno::EPERM),
        }
    }

    /// Zeroes a range inside the image: fallocate() with `flags` for whole blocks, written zeroes
    /// for the partial blocks at both ends. If the system does not support the fallocate(), `write`
    /// says whether zeroes are written instead.
    fn zero(&self, flags: FallocateFlags, offset: u64, len: u64, write: bool) -> Result<()> {
        let end = offset + len;
        let inner = offset.next_multiple_of(self.granule).min(end);
        let inner_end = (end - end % self.granule).max(inner);
        if inner < inner_end {
            match rustix::fs::fallocate(self, flags, inner, inner_end - inner) {
                Err(Os::OPNOTSUPP | Os::NOSYS) if write => {
                    self.write_zeroes(inner, inner_end - inner)?
                }
                result => result.map_err(errno)?,
            }
        }
        self.write_zeroes(offset, inner - offset)?;
        self.write_zeroes(inner_end, end - inner_end)
    }
}

impl Images {
    pub(crate) fn read_fop(&self, call: &Call<'_>, r: &Read<'_>, out: &mut Out<'_>) -> Result<()> {
        let (image, flags) = self.image(call, r.gfid, false)?;
        let flags = for_one(call, flags, r.flag);
        let mut room = vec![0; r.size as usize];
        let outcome =
            image.read_at(flags, r.offset, &mut room, false).unwrap_or(Err(Errno::EIO))?;
        let eof = if outcome.eof { Errno::ENOENT.to_wire() } else { 0 };
        let body = Body::Read { stat: outcome.stat, size: outcome.len };
        out.success(outcome.len as i32, eof, &[], body);
        out.data(room.get(..outcome.len as usize).unwrap_or_default());
        Ok(())
    }

    pub(crate) fn write_fop(
        &self,
        call: &Call<'_>,
        r: &Write<'_>,
        data: &[u8],
        out: &mut Out<'_>,
    ) -> Result<()> {
        let (image, flags) = self.image(call, r.gfid, true)?;
        let outcome = image.write_now(for_one(call, flags, r.flag), r.offset, data)?;
        let mut keys: Vec<Key> = Vec::new();
        if r.xdata.get("glusterfs.write-is-append").is_some() {
            keys.push((
                "glusterfs.write-is-append".into(),
                Owned::Uint(outcome.is_append().into()),
            ));
        }
        let body = Body::TwoIatts { before: outcome.before, after: outcome.after };
        out.success(outcome.len as i32, 0, &keys, body);
        Ok(())
    }

    /// Applies `change` (image, size before) and answers with the iatts before and after.
    fn change(
        &self,
        call: &Call<'_>,
        gfid: Gfid,
        out: &mut Out<'_>,
        change: impl FnOnce(&Image, u64) -> Result<()>,
    ) -> Result<()> {
        let (image, _) = self.image(call, gfid, true)?;
        let before = image.iatt()?;
        change(&image, before.size)?;
        image.touch();
        out.body(Body::TwoIatts { before, after: image.iatt()? });
        Ok(())
    }

    pub(crate) fn truncate(
        &self,
        call: &Call<'_>,
        gfid: Gfid,
        size: u64,
        out: &mut Out<'_>,
    ) -> Result<()> {
        self.change(call, gfid, out, |image, _| image.set_size(size))
    }

    pub(crate) fn fallocate(
        &self,
        call: &Call<'_>,
        r: &Fallocate<'_>,
        out: &mut Out<'_>,
    ) -> Result<()> {
        let end = end_of(r.offset, r.size)?;
        self.change(call, r.gfid, out, |image, size| match image.kind {
            // A device is fully allocated.
            Kind::Device => {
                if end <= size {
                    Ok(())
                } else {
                    Err(Errno::ENOSPC)
                }
            }
            Kind::File => {
                let mut flags = FallocateFlags::empty();
                flags.set(FallocateFlags::KEEP_SIZE, r.flags & 1 != 0);
                rustix::fs::fallocate(image, flags, r.offset, r.size).map_err(errno)
            }
        })
    }

    pub(crate) fn discard(
        &self,
        call: &Call<'_>,
        r: &Discard<'_>,
        out: &mut Out<'_>,
    ) -> Result<()> {
        end_of(r.offset, r.size)?;
        // A discarded range reads as zeroes, as on every brick. A device that cannot promise that
        // is EOPNOTSUPP: a guest discards to free space, so writing zeroes instead would be no
        // help.
        let flags = FallocateFlags::KEEP_SIZE | FallocateFlags::PUNCH_HOLE;
        self.change(call, r.gfid, out, |image, size| {
            let inside = size.min(r.offset + r.size).saturating_sub(r.offset);
            if inside > 0 { image.zero(flags, r.offset, inside, false) } else { Ok(()) }
        })
    }

    pub(crate) fn zerofill(
        &self,
        call: &Call<'_>,
        r: &Zerofill<'_>,
        out: &mut Out<'_>,
    ) -> Result<()> {
        let end = end_of(r.offset, r.size)?;
        self.change(call, r.gfid, out, |image, size| {
            if image.kind == Kind::Device && end > size {
                return Err(Errno::ENOSPC);
            }
            let inside = size.min(end).saturating_sub(r.offset);
            if inside > 0 {
                image.zero(
                    FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE,
                    r.offset,
                    inside,
                    true,
                )?;
            }
            // Beyond the old end, extending the file already gives zeroes.
            if end > size { rustix::fs::ftruncate(image, end).map_err(errno) } else { Ok(()) }
        })
    }

    pub(crate) fn fsync(&self, call: &Call<'_>, r: &Fsync<'_>, out: &mut Out<'_>) -> Result<()> {
        let (image, _) = self.image(call, r.gfid, false)?;
        let before = image.iatt()?;
        // fdatasync() covers the size of a file; it leaves out only times, which are not promised.
        rustix::fs::fdatasync(&image).map_err(errno)?;
        out.body(Body::TwoIatts { before, after: image.iatt()? });
        Ok(())
    }

    pub(crate) fn seek(&self, call: &Call<'_>, r: &Seek<'_>, out: &mut Out<'_>) -> Result<()> {
        let (image, _) = self.image(call, r.gfid, false)?;
        let (size, data) = (image.size(&image.stat()?)?, r.what == 0);
        if r.what > 1 {
            return Err(Errno::EINVAL);
        }
        if r.offset >= size {
            return Err(Errno::ENXIO);
        }
        let offset = match image.kind {
            // A device reports no holes: all of it is data, up to one hole at its end.
            Kind::Device => {
                if data {
                    r.offset
                } else {
                    size
                }
            }
            Kind::File => {
                let to = if data { SeekFrom::Data(r.offset) } else { SeekFrom::Hole(r.offset) };
                rustix::fs::seek(&image, to).map_err(errno)?
            }
        };
        out.body(Body::Seek { offset });
        Ok(())
    }
}

/// Flags for one READ or WRITE: those of the open file and the call's own O_SYNC. A call by gfid,
/// with no open file, may also ask for O_DIRECT.
fn for_one(call: &Call<'_>, flags: OpenFlags, flag: u32) -> OpenFlags {
    let counts = match call.target {
        Target::Open(_) => OpenFlags::SYNC,
        Target::Gfid => OpenFlags::SYNC.and(OpenFlags::DIRECT),
    };
    flags.and(OpenFlags(flag & counts.0))
}

/// End of a range. EINVAL if it is empty, EFBIG if it ends beyond the largest file size.
fn end_of(offset: u64, len: u64) -> Result<u64> {
    if len == 0 {
        return Err(Errno::EINVAL);
    }
    offset.checked_add(len).filter(|end| i64::try_from(*end).is_ok()).ok_or(Errno::EFBIG)
}
