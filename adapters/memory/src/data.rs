//! Data of files: read, write, size, holes.

use super::inode::Inode;
use super::pages::Owner;
use super::reply::{Out, place};
use super::store::{CTIME, MTIME, Store};
use super::{Result, permission};
use brickwire_core::fop::OpenFlags;
use brickwire_core::fop::wire::{
    Body, CopyFileRange, Discard, Fallocate, Fsync, Fsyncdir, Rchecksum, Read, Request, Seek,
    Write, Zerofill,
};
use brickwire_core::rpc::Cred;
use brickwire_core::server::checksum;
use brickwire_core::server::{Call, Target};
use brickwire_core::xdr::{Errno, Gfid, Iatt, Value};

/// The largest offset of a byte in a file.
const SIZE_MAX: u64 = i64::MAX as u64;
/// Bytes that are copied or summed at a time.
const PIECE: usize = 512;
/// Bytes that one call copies at most: the reply has a signed count.
const COPY_MAX: u64 = i32::MAX as u64;
/// Offset plus length overflows.
const EOVERFLOW: Errno = Errno::from_wire(75);
/// Bytes of the longest range for RCHECKSUM.
const SUM_MAX: u64 = 4 << 20;

/// Result of a call with a payload.
pub(super) enum Written {
    Write {
        len: u32,
        /// For callers that ask: whether the write ended at or beyond the end of the file.
        append: Option<bool>,
        before: Iatt,
        after: Iatt,
    },
    Put {
        stat: Iatt,
        preparent: Iatt,
        postparent: Iatt,
    },
}

impl Written {
    pub(super) fn answer(self, out: &mut Out<'_, '_, '_>) -> Result<()> {
        match self {
            Self::Write { len, append, before, after } => {
                if let Some(append) = append {
                    out.keys.put(b"glusterfs.write-is-append", &Value::Uint(append.into()))?;
                }
                out.success(len as i32, 0, Body::TwoIatts { before, after })
            }
            Self::Put { stat, preparent, postparent } => {
                out.body(Body::Entry { stat, preparent, postparent })
            }
        }
    }
}

/// The end of a range of a file.
pub(super) fn end_of(offset: u64, len: u64) -> Result<u64> {
    Ok(offset.checked_add(len).filter(|end| *end <= SIZE_MAX).ok_or(Errno::EFBIG)?)
}

/// Checks that a transfer lies within the possible size of a file.
fn check_transfer(offset: u64, len: u64) -> Result<()> {
    let inside = offset.checked_add(len).is_some_and(|end| end <= SIZE_MAX);
    if inside { Ok(()) } else { Err(Errno::EINVAL.into()) }
}

/// The end of a range to be filled or emptied. An empty range is refused.
fn range_end(offset: u64, len: u64) -> Result<u64> {
    if len == 0 || len > SIZE_MAX || offset > SIZE_MAX {
        return Err(Errno::EINVAL.into());
    }
    end_of(offset, len)
}

impl Store<'_> {
    /// The inode that a fop on data works on, by fd or by gfid. Only files, and directories to be
    /// synced, can be open.
    fn work(&self, call: &Call<'_>, target: Target, gfid: &Gfid, write: bool) -> Result<u32> {
        let slot = self.about(call, target, gfid)?;
        if target == Target::Gfid {
            let inode = self.inode(slot)?;
            self.check(slot, &call.cred, if write { permission::WRITE } else { permission::READ })?;
            if write && inode.is_dir() {
                return Err(Errno::EISDIR.into());
            }
            if !inode.is_dir() && !inode.is_regular() {
                return Err(Errno::EINVAL.into());
            }
        } else if write && !self.flags(target)?.writes() {
            return Err(Errno::EBADF.into());
        }
        Ok(slot)
    }

    /// Likewise, and it is a regular file.
    fn file(&self, call: &Call<'_>, target: Target, gfid: &Gfid, write: bool) -> Result<u32> {
        let slot = self.work(call, target, gfid, write)?;
        if self.inode(slot)?.is_regular() { Ok(slot) } else { Err(Errno::EISDIR.into()) }
    }

    /// An fd that is open for writing only gives no data.
    fn may_read(&self, target: Target) -> Result<()> {
        if self.flags(target)?.reads() { Ok(()) } else { Err(Errno::EBADF.into()) }
    }

    pub(super) fn read(
        &mut self,
        call: &Call<'_>,
        r: &Read<'_>,
        out: &mut Out<'_, '_, '_>,
    ) -> Result<()> {
        let slot = self.file(call, call.target, &r.gfid, false)?;
        self.may_read(call.target)?;
        check_transfer(r.offset, r.size.into())?;
        let size = self.inode(slot)?.size;
        let len = size.saturating_sub(r.offset).min(r.size.into());
        let data = match len {
            0 => None,
            len => Some(place(out.arena, len as usize)?),
        };
        if let Some(data) = data {
            let room = out.arena.bytes_mut(data.buffer);
            let room = room.get_mut(..len as usize).unwrap_or_default();
            self.pages.read(Owner::Inode(slot), r.offset, room);
        }
        self.touch(slot, 0, &call.cred, 0);
        let end = r.offset.saturating_add(len) >= size;
        out.data(if end { Errno::ENOENT.to_wire() } else { 0 }, self.iatt(slot), data)
    }

    /// Executes a call with a payload; `None` if the call has none.
    pub(super) fn put_payload(&mut self, call: &Call<'_>, data: &[u8]) -> Option<Result<Written>> {
        match &call.request {
            Request::Write(r) => Some(self.write(call, r, data)),
            Request::Put(r) => Some(self.put(call, r, data)),
            _ => None,
        }
    }

    fn write(&mut self, call: &Call<'_>, r: &Write<'_>, data: &[u8]) -> Result<Written> {
        let slot = self.file(call, call.target, &r.gfid, true)?;
        let before = self.iatt(slot);
        check_transfer(r.offset, data.len() as u64)?;
        self.drop_privileges(slot, &call.cred)?;
        let at =
            if self.flags(call.target)?.has(OpenFlags::APPEND) { before.size } else { r.offset };
        let end = at.saturating_add(data.len() as u64);
        self.write_at(slot, at, data)?;
        self.touch(slot, CTIME | MTIME, &call.cred, 0);
        let asked = r.xdata.get("glusterfs.write-is-append").is_some();
        let append = asked.then_some(end >= before.size);
        Ok(Written::Write { len: data.len() as u32, append, before, after: self.iatt(slot) })
    }

    /// Clears set-user-id and set-group-id before a file's data is changed.
    fn drop_privileges(&mut self, slot: u32, cred: &Cred<'_>) -> Result<()> {
        let inode = self.inode_mut(slot)?;
        inode.mode = permission::mode_after_change(inode.mode, cred);
        Ok(())
    }

    fn write_at(&mut self, slot: u32, at: u64, data: &[u8]) -> Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        let end = end_of(at, data.len() as u64)?;
        self.pages.write(Owner::Inode(slot), at, data)?;
        let inode = self.inode_mut(slot)?;
        inode.size = inode.size.max(end);
        Ok(())
    }

    /// Changes an inode's data and answers with its attributes before and after.
    fn change(
        &mut self,
        call: &Call<'_>,
        gfid: &Gfid,
        out: &mut Out<'_, '_, '_>,
        change: impl FnOnce(&mut Self, u32) -> Result<()>,
    ) -> Result<()> {
        let slot = self.file(call, call.target, gfid, true)?;
        let before = self.iatt(slot);
        self.drop_privileges(slot, &call.cred)?;
        change(self, slot)?;
        self.touch(slot, CTIME | MTIME, &call.cred, 0);
        out.body(Body::TwoIatts { before, after: self.iatt(slot) })
    }

    pub(super) fn truncate(
        &mut self,
        call: &Call<'_>,
        gfid: &Gfid,
        size: u64,
        out: &mut Out<'_, '_, '_>,
    ) -> Result<()> {
        self.change(call, gfid, out, |store, slot| {
            if size > SIZE_MAX {
                return Err(Errno::EINVAL.into());
            }
            store.pages.cut(Owner::Inode(slot), size);
            store.inode_mut(slot)?.size = size;
            Ok(())
        })
    }

    pub(super) fn fallocate(
        &mut self,
        call: &Call<'_>,
        r: &Fallocate<'_>,
        out: &mut Out<'_, '_, '_>,
    ) -> Result<()> {
        // Bit 1 on the wire keeps the size. Clients send no other bit.
        let keep_size = r.flags & 1 != 0;
        self.change(call, &r.gfid, out, |store, slot| {
            let end = range_end(r.offset, r.size)?;
            store.pages.reserve(Owner::Inode(slot), r.offset, r.size)?;
            let inode = store.inode_mut(slot)?;
            inode.size = if keep_size { inode.size } else { inode.size.max(end) };
            Ok(())
        })
    }

    pub(super) fn discard(
        &mut self,
        call: &Call<'_>,
        r: &Discard<'_>,
        out: &mut Out<'_, '_, '_>,
    ) -> Result<()> {
        self.change(call, &r.gfid, out, |store, slot| {
            range_end(r.offset, r.size)?;
            store.pages.zero(Owner::Inode(slot), r.offset, r.size);
            Ok(())
        })
    }

    pub(super) fn zerofill(
        &mut self,
        call: &Call<'_>,
        r: &Zerofill<'_>,
        out: &mut Out<'_, '_, '_>,
    ) -> Result<()> {
        self.change(call, &r.gfid, out, |store, slot| {
            let end = range_end(r.offset, r.size)?;
            store.pages.zero(Owner::Inode(slot), r.offset, r.size);
            let inode = store.inode_mut(slot)?;
            inode.size = inode.size.max(end);
            Ok(())
        })
    }

    pub(super) fn fsync(
        &mut self,
        call: &Call<'_>,
        r: &Fsync<'_>,
        out: &mut Out<'_, '_, '_>,
    ) -> Result<()> {
        let slot = self.work(call, call.target, &r.gfid, false)?;
        let iatt = self.iatt(slot);
        out.body(Body::TwoIatts { before: iatt, after: iatt })
    }

    pub(super) fn fsyncdir(
        &mut self,
        call: &Call<'_>,
        r: &Fsyncdir<'_>,
        out: &mut Out<'_, '_, '_>,
    ) -> Result<()> {
        self.work(call, call.target, &r.gfid, false)?;
        out.done()
    }

    pub(super) fn seek(
        &mut self,
        call: &Call<'_>,
        r: &Seek<'_>,
        out: &mut Out<'_, '_, '_>,
    ) -> Result<()> {
        let slot = self.file(call, call.target, &r.gfid, false)?;
        let (owner, size) = (Owner::Inode(slot), self.inode(slot)?.size);
        if !matches!(r.what, 0 | 1) {
            return Err(Errno::EINVAL.into());
        }
        if r.offset >= size {
            return Err(Errno::ENXIO.into());
        }
        let offset = if r.what == 0 {
            self.pages.next_data(owner, r.offset).filter(|data| *data < size).ok_or(Errno::ENXIO)?
        } else {
            // Beyond the last page, everything is a hole.
            self.pages.next_hole(owner, r.offset).min(size)
        };
        out.body(Body::Seek { offset })
    }

    pub(super) fn rchecksum(
        &mut self,
        call: &Call<'_>,
        r: &Rchecksum<'_>,
        out: &mut Out<'_, '_, '_>,
    ) -> Result<()> {
        let slot = self.file(call, call.target, &r.gfid, false)?;
        self.may_read(call.target)?;
        let max = SUM_MAX.min(r.len.into());
        check_transfer(r.offset, max)?;
        let len = self.inode(slot)?.size.saturating_sub(r.offset).min(max);
        let mut sum = checksum::Strong::new();
        let (mut done, mut piece) = (0, [0; PIECE]);
        while done < len {
            let n = (len - done).min(PIECE as u64) as usize;
            let bytes = piece.get_mut(..n).unwrap_or_default();
            self.pages.read(Owner::Inode(slot), r.offset + done, bytes);
            sum.add(bytes);
            done += n as u64;
        }
        // `flags` 1: the strong checksum is SHA-256 and there is no weak one. Callers that look at
        // xdata find the same there.
        out.keys.put(b"fips-mode-rchecksum", &Value::Int(1))?;
        out.body(Body::Rchecksum { flags: 1, weak: 0, strong: &sum.finish() })
    }

    pub(super) fn copy_file_range(
        &mut self,
        call: &Call<'_>,
        r: &CopyFileRange<'_>,
        out: &mut Out<'_, '_, '_>,
    ) -> Result<()> {
        let source = self.work(call, call.target, &r.source, false)?;
        let destination = self.work(call, call.second, &r.destination, true)?;
        self.may_read(call.target)?;
        if ![source, destination].iter().all(|slot| self.inode(*slot).is_ok_and(Inode::is_regular))
        {
            return Err(Errno::EISDIR.into());
        }
        let before = self.iatt(destination);
        self.drop_privileges(destination, &call.cred)?;
        // With O_APPEND on the destination, neither the requested offset nor the end is right.
        if r.size > 0 && self.flags(call.second)?.has(OpenFlags::APPEND) {
            return Err(Errno::EBADF.into());
        }
        let size = u64::from(r.size).min(COPY_MAX);
        if r.off_in.checked_add(size).is_none() || r.off_out.checked_add(size).is_none() {
            return Err(EOVERFLOW.into());
        }
        if size > 0 && (r.off_in > SIZE_MAX || r.off_out > SIZE_MAX) {
            return Err(Errno::EINVAL.into());
        }
        if size > 0 && r.off_out == SIZE_MAX {
            return Err(Errno::EFBIG.into());
        }
        let len = self.inode(source)?.size.saturating_sub(r.off_in).min(size);
        if len > 0 {
            end_of(r.off_out, len)?;
        }
        let apart = r.off_in.abs_diff(r.off_out);
        if source == destination && apart < len {
            return Err(Errno::EINVAL.into());
        }
        let (from, to) = (Owner::Inode(source), Owner::Inode(destination));
        if self.pages.missing(to, r.off_out, len) > self.pages.free() {
            return Err(Errno::ENOSPC.into());
        }
        let (mut done, mut piece) = (0, [0; PIECE]);
        while done < len {
            let at = r.off_in + done;
            let n = (len - done).min(PIECE as u64).min(self.pages.left_of_page(at));
            if self.pages.has(from, at) {
                let bytes = piece.get_mut(..n as usize).unwrap_or_default();
                self.pages.read(from, at, bytes);
                self.pages.write(to, r.off_out + done, bytes)?;
            } else {
                self.pages.zero(to, r.off_out + done, n);
            }
            done += n;
        }
        let inode = self.inode_mut(destination)?;
        inode.size = if len > 0 { inode.size.max(r.off_out + len) } else { inode.size };
        self.touch(destination, CTIME | MTIME, &call.cred, 0);
        let body = Body::Copy { stat: self.iatt(source), before, after: self.iatt(destination) };
        out.success(len as i32, 0, body)
    }
}
