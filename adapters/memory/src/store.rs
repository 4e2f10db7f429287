//! The tables of all bricks, and lookups that every fop needs: from gfids and names to inodes,
//! attributes and times.

use managed::ManagedSlice;

use super::inode::{DIRECTORY, Entry, Inode, Name, OpenInode, Xattr};
use super::pages::{Owner, Page, Pages};
use super::reply::Out;
use super::sorted_table::{Order, Region, SortedTable};
use super::{MemoryUsage, Result};
use brickwire_core::fop::OpenFlags;
use brickwire_core::fop::wire::Request;
use brickwire_core::rpc::Cred;
use brickwire_core::server::{BrickIx, Call, HandleId, Target};
use brickwire_core::xdr::{Errno, Gfid, Iatt, Mdata};

/// One brick.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Brick {
    pub(super) volume_id: Gfid,
    pub(super) root: u32,
    /// The index directories of the heal daemon, and the file that their entries name.
    pub(super) indices: [u32; 3],
    pub(super) base: u32,
}

/// Times that a call sets: bits of its credential (docs/spec/30-client-stack.md, "features/utime").
pub(super) const CTIME: u32 = 1;
pub(super) const MTIME: u32 = 2;
pub(super) const ATIME: u32 = 4;
/// The bits for the parent's times are three bits higher.
pub(super) const PARENT: u32 = 3;

/// Size of a directory in its attributes.
const DIRECTORY_BYTES: u64 = 4096;

/// The tables of a storage.
pub(super) struct Tables<'m> {
    pub(super) bricks: ManagedSlice<'m, Option<Brick>>,
    pub(super) inodes: (ManagedSlice<'m, Inode>, ManagedSlice<'m, u32>),
    pub(super) entries: (ManagedSlice<'m, Entry>, ManagedSlice<'m, u32>, ManagedSlice<'m, u32>),
    pub(super) xattrs: (ManagedSlice<'m, Xattr>, ManagedSlice<'m, u32>),
    pub(super) files: (ManagedSlice<'m, OpenInode>, ManagedSlice<'m, u32>),
    pub(super) pages: (ManagedSlice<'m, Page>, ManagedSlice<'m, u32>, ManagedSlice<'m, u8>),
}

#[derive(Debug, PartialEq)]
#[cfg_attr(feature = "alloc", derive(Clone))]
pub(super) struct Store<'m> {
    pub(super) bricks: Region<'m, Option<Brick>>,
    pub(super) inodes: SortedTable<'m, Inode>,
    pub(super) entries: SortedTable<'m, Entry>,
    pub(super) cookies: Order<'m>,
    pub(super) xattrs: SortedTable<'m, Xattr>,
    pub(super) files: SortedTable<'m, OpenInode>,
    pub(super) pages: Pages<'m>,
    /// Serial number of the next inode.
    pub(super) next_serial: u64,
    /// The host's time: seconds and nanoseconds since 1970.
    pub(super) clock: (i64, u32),
    /// Directories removed last, and where the next one goes: a LOOKUP below them is ENOENT.
    pub(super) removed: ([Option<(u64, Gfid)>; 64], usize),
}

/// Attributes of a new inode that its creator chooses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Birth {
    pub(super) brick: u64,
    pub(super) gfid: Gfid,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl<'m> Store<'m> {
    pub(super) fn new(tables: Tables<'m>, page_bytes: u32) -> Self {
        let mut bricks = Region::from(tables.bricks);
        bricks.fill(None);
        let (pages, page_order, bytes) = tables.pages;
        Self {
            bricks,
            inodes: SortedTable::new(tables.inodes.0, tables.inodes.1),
            entries: SortedTable::new(tables.entries.0, tables.entries.1),
            cookies: Order::new(tables.entries.2),
            xattrs: SortedTable::new(tables.xattrs.0, tables.xattrs.1),
            files: SortedTable::new(tables.files.0, tables.files.1),
            pages: Pages::new(pages, page_order, bytes, page_bytes),
            next_serial: 1,
            clock: (0, 0),
            removed: ([None; 64], 0),
        }
    }

    pub(super) fn add_brick(&mut self, volume_id: Gfid) -> Result<BrickIx, Errno> {
        let index = self.bricks.iter().position(Option::is_none).ok_or(Errno::ENOSPC)?;
        if self.inodes.free() < 5 {
            return Err(Errno::ENOSPC);
        }
        let brick = index as u64;
        let birth = |gfid, mode| Birth { brick, gfid, mode, uid: 0, gid: 0 };
        let mut make = |gfid, mode| self.new_inode(&birth(gfid, mode)).ok_or(Errno::EINVAL);
        let root = make(Gfid::ROOT, DIRECTORY | 0o755)?;
        let mut indices = [0; 3];
        for (slot, gfid) in indices.iter_mut().zip(super::index::gfids(&volume_id)) {
            *slot = make(gfid, DIRECTORY | 0o600)?;
        }
        let base = make(super::index::base_gfid(&volume_id), super::inode::REGULAR)?;
        if let Some(inode) = self.inodes.get_mut(base) {
            (inode.nlink, inode.nameless) = (1, true);
        }
        for slot in [root].into_iter().chain(indices) {
            if let Some(inode) = self.inodes.get_mut(slot) {
                inode.parent = slot;
            }
        }
        *self.bricks.get_mut(index).ok_or(Errno::ENOSPC)? =
            Some(Brick { volume_id, root, indices, base });
        Ok(BrickIx(brick))
    }

    pub(super) fn brick(&self, brick: u64) -> Result<Brick> {
        Ok(self
            .bricks
            .get(usize::try_from(brick).unwrap_or(usize::MAX))
            .copied()
            .flatten()
            .ok_or(Errno::EIO)?)
    }

    /// Adds an inode, without a name yet; `None` if its gfid is in use or the table is full.
    pub(super) fn new_inode(&mut self, birth: &Birth) -> Option<u32> {
        let now = self.clock;
        let Birth { brick, gfid, mode, uid, gid } = *birth;
        let nlink = if mode & super::inode::TYPE == DIRECTORY { 2 } else { 0 };
        let times = Mdata { atime: now, mtime: now, ctime: now };
        let inode = Inode {
            brick,
            serial: self.next_serial,
            gfid,
            mode,
            uid,
            gid,
            nlink,
            times,
            born: now,
            ..Inode::EMPTY
        };
        let key = key_of(brick, gfid);
        let at = self.inodes.find(|slot, there| key_of_inode(slot, there).cmp(&key)).err()?;
        self.next_serial += 1;
        self.inodes.insert(at, inode)
    }

    /// The slot of the inode with a gfid, including open inodes without a name.
    pub(super) fn find(&self, brick: u64, gfid: &Gfid) -> Option<u32> {
        let key = key_of(brick, *gfid);
        let found = self.inodes.slot(|slot, there| key_of_inode(slot, there).cmp(&key))?;
        self.inodes.get(found).filter(|inode| !inode.nameless)?;
        Some(found)
    }

    /// The inode that a call names by gfid. ESTALE if there is none, or if it has no names and the
    /// calling client does not have it open.
    pub(super) fn object(&self, call: &Call<'_>, gfid: &Gfid) -> Result<u32> {
        let brick = call.brick.0;
        match self.find(brick, gfid).filter(|_| call.opened) {
            Some(slot) => Ok(slot),
            None => self.named(brick, gfid),
        }
    }

    /// The inode of a gfid, which must have a name.
    fn named(&self, brick: u64, gfid: &Gfid) -> Result<u32> {
        if *gfid == Gfid::NONE {
            return Err(Errno::EINVAL.into());
        }
        let slot = self.find(brick, gfid).ok_or(Errno::ESTALE)?;
        if self.inode(slot)?.nlink > 0 { Ok(slot) } else { Err(Errno::ESTALE.into()) }
    }

    /// A directory in which names are to be looked up.
    pub(super) fn directory(&self, brick: u64, gfid: &Gfid) -> Result<u32> {
        let slot = self.named(brick, gfid)?;
        if self.inode(slot)?.is_dir() { Ok(slot) } else { Err(Errno::ENOTDIR.into()) }
    }

    pub(super) fn inode(&self, slot: u32) -> Result<&Inode> {
        Ok(self.inodes.get(slot).ok_or(Errno::EIO)?)
    }

    pub(super) fn inode_mut(&mut self, slot: u32) -> Result<&mut Inode> {
        Ok(self.inodes.get_mut(slot).ok_or(Errno::EIO)?)
    }

    /// The position of a name among all entries, or the position to insert it at.
    pub(super) fn entry_place(&self, directory: u32, name: &[u8]) -> Result<usize, usize> {
        self.entries
            .find(|_, there| (there.directory, there.name.as_slice()).cmp(&(directory, name)))
    }

    /// The inode that a name in a directory refers to.
    pub(super) fn child(&self, directory: u32, name: &[u8]) -> Result<u32> {
        let at = self.entry_place(directory, name).map_err(|_| Errno::ENOENT)?;
        let (_, entry) = self.entries.at(at).ok_or(Errno::EIO)?;
        Ok(entry.inode)
    }

    /// Adds a name to a directory.
    pub(super) fn add_entry(&mut self, directory: u32, name: &[u8], inode: u32) -> Result<()> {
        let name = Name::from_slice(name).map_err(|_| Errno::ENAMETOOLONG)?;
        let at = self.entry_place(directory, &name).err().ok_or(Errno::EEXIST)?;
        if self.entries.free() == 0 {
            return Err(Errno::ENOSPC.into());
        }
        let parent = self.inode_mut(directory)?;
        let cookie = parent.next_cookie;
        parent.next_cookie += 1;
        let slot = self
            .entries
            .insert(at, Entry { directory, inode, cookie, name })
            .ok_or(Errno::ENOSPC)?;
        let behind = self.cookie_place(directory, cookie);
        self.cookies.insert(behind, slot);
        Ok(())
    }

    /// Removes a name from a directory.
    pub(super) fn remove_entry(&mut self, directory: u32, name: &[u8]) {
        let Ok(at) = self.entry_place(directory, name) else { return };
        let Some(cookie) = self.entries.at(at).map(|(_, entry)| entry.cookie) else { return };
        let place = self.cookie_place(directory, cookie);
        self.cookies.remove(place..place + 1);
        self.entries.remove(at..at + 1);
    }

    /// The position of the first entry of a directory whose cookie is at least `cookie`.
    pub(super) fn cookie_place(&self, directory: u32, cookie: u64) -> usize {
        let key = |slot: &u32| {
            let there = self.entries.get(*slot).map(|entry| (entry.directory, entry.cookie));
            there.unwrap_or_default().cmp(&(directory, cookie))
        };
        self.cookies.find(key).unwrap_or_else(|at| at)
    }

    /// The entry of a directory at a position of the order by cookie.
    pub(super) fn entry_at(&self, directory: u32, place: usize) -> Option<&Entry> {
        let entry = self.entries.get(self.cookies.get(place)?)?;
        (entry.directory == directory).then_some(entry)
    }

    pub(super) fn is_empty(&self, directory: u32) -> bool {
        self.entry_at(directory, self.cookie_place(directory, 0)).is_none()
    }

    /// Frees an inode that has no name and is not open.
    pub(super) fn free_if_unused(&mut self, slot: u32) {
        let Some(inode) = self.inodes.get(slot).copied() else { return };
        if inode.nlink > 0 || inode.opens > 0 {
            return;
        }
        self.pages.drop_all(Owner::Inode(slot));
        self.drop_xattrs(slot);
        let key = key_of_inode(slot, &inode);
        if let Ok(at) = self.inodes.find(|slot, there| key_of_inode(slot, there).cmp(&key)) {
            self.inodes.remove(at..at + 1);
        }
    }

    /// Removes a directory. Clients that have it open still see it, empty; its gfid is free.
    pub(super) fn bury(&mut self, slot: u32) {
        let Some(inode) = self.inodes.get(slot).copied() else { return };
        let key = key_of_inode(slot, &inode);
        let gone = Inode { removed: true, nlink: 0, ..inode };
        if let Ok(at) = self.inodes.find(|slot, there| key_of_inode(slot, there).cmp(&key)) {
            let key = key_of_inode(slot, &gone);
            self.inodes.replace(at, gone, |slot, there| key_of_inode(slot, there).cmp(&key));
        }
        self.free_if_unused(slot);
    }

    /// Attributes of an inode.
    pub(super) fn iatt(&self, slot: u32) -> Iatt {
        let Ok(inode) = self.inode(slot) else { return Iatt::default() };
        let Gfid([.., a, b, c, d, e, f, g, h]) = inode.gfid;
        let bytes = self.pages.of(Owner::Inode(slot)).saturating_mul(self.pages.each());
        let (size, bytes) =
            if inode.is_dir() { (DIRECTORY_BYTES, DIRECTORY_BYTES) } else { (inode.size, bytes) };
        let times = inode.mdata.unwrap_or(inode.times);
        Iatt {
            gfid: inode.gfid,
            flags: Iatt::ALL,
            ino: u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            dev: inode.brick.wrapping_add(1),
            rdev: inode.rdev,
            size,
            blocks: bytes.min(size).div_ceil(512),
            atime: times.atime.0,
            atime_nsec: times.atime.1,
            mtime: times.mtime.0,
            mtime_nsec: times.mtime.1,
            ctime: times.ctime.0,
            ctime_nsec: times.ctime.1,
            // The hidden directory counts as a subdirectory of the root.
            nlink: inode.nlink + u32::from(inode.gfid == Gfid::ROOT),
            uid: inode.uid,
            gid: inode.gid,
            blksize: 4096,
            mode: inode.mode,
            ..Iatt::default()
        }
    }

    /// Moves the times of an inode that a fop has changed. `own` are the times that the fop moves
    /// by its nature, on the storage's clock and, where clients keep times, among those too: a
    /// client with features/utime names times with each fop, but not all that POSIX wants, and
    /// other clients name none. Heals and rebalances (negative pids) move only the times that they
    /// name. `shift` is [`PARENT`] for the times that a credential names for a parent directory. An
    /// inode without clients' times gets them if the credential names any.
    pub(super) fn touch(&mut self, slot: u32, own: u32, cred: &Cred<'_>, shift: u32) {
        let now = self.clock;
        let Some(inode) = self.inodes.get_mut(slot) else { return };
        for (bit, time) in [
            (CTIME, &mut inode.times.ctime),
            (MTIME, &mut inode.times.mtime),
            (ATIME, &mut inode.times.atime),
        ] {
            if own & bit != 0 {
                *time = now;
            }
        }
        let asked = (cred.times.bits() >> shift) & (CTIME | MTIME | ATIME);
        let flags = if cred.pid < 0 { asked } else { asked | own };
        if asked != 0 || (flags != 0 && inode.mdata.is_some()) {
            let to = if cred.time == (0, 0) { now } else { call_time(cred) };
            let mut times = inode.mdata.unwrap_or(inode.times);
            advance(&mut times, flags, to);
            inode.mdata = Some(times);
        }
    }

    /// The inode that an fd or a gfid refers to.
    pub(super) fn about(&self, call: &Call<'_>, target: Target, gfid: &Gfid) -> Result<u32> {
        match target {
            Target::Open(handle) => Ok(self.open(handle)?.inode),
            Target::Gfid => self.object(call, gfid),
        }
    }

    pub(super) fn open(&self, handle: HandleId) -> Result<OpenInode> {
        let slot = self.files.slot(|_, there| there.handle.cmp(&Some(handle)));
        Ok(slot.and_then(|slot| self.files.get(slot)).copied().ok_or(Errno::EBADF)?)
    }

    /// The flags that a target was opened with. By gfid, the mode alone decides.
    pub(super) fn flags(&self, target: Target) -> Result<OpenFlags> {
        match target {
            Target::Open(handle) => Ok(self.open(handle)?.flags),
            Target::Gfid => Ok(OpenFlags::READ_WRITE),
        }
    }

    pub(super) fn usage(&self, buffers: u32) -> MemoryUsage {
        MemoryUsage {
            inodes: self.inodes.len() as u32,
            entries: self.entries.len() as u32,
            xattrs: self.xattrs.len() as u32,
            files: self.files.len() as u32,
            pages: (self.pages.capacity() - self.pages.free()) as u32,
            buffers,
        }
    }

    pub(super) fn dispatch(&mut self, call: &Call<'_>, out: &mut Out<'_, '_, '_>) -> Result<()> {
        match &call.request {
            Request::Lookup(r) => self.lookup(call, r, out),
            Request::Stat(r) => self.stat(call, &r.gfid, &r.xdata, out),
            Request::Fstat(r) => self.stat(call, &r.gfid, &r.xdata, out),
            Request::Access(r) => self.access(call, r, out),
            Request::Setattr(r) => self.setattr(call, (&r.gfid, &r.stbuf, r.valid), &r.xdata, out),
            Request::Fsetattr(r) => self.setattr(call, (&r.gfid, &r.stbuf, r.valid), &r.xdata, out),
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
            Request::Read(r) => self.read(call, r, out),
            Request::Truncate(r) => self.truncate(call, &r.gfid, r.offset, out),
            Request::Ftruncate(r) => self.truncate(call, &r.gfid, r.offset, out),
            Request::Fsync(r) => self.fsync(call, r, out),
            Request::Fsyncdir(r) => self.fsyncdir(call, r, out),
            Request::Fallocate(r) => self.fallocate(call, r, out),
            Request::Discard(r) => self.discard(call, r, out),
            Request::Zerofill(r) => self.zerofill(call, r, out),
            Request::Seek(r) => self.seek(call, r, out),
            Request::Rchecksum(r) => self.rchecksum(call, r, out),
            Request::CopyFileRange(r) => self.copy_file_range(call, r, out),
            Request::Statfs(r) => self.statfs(call, r, out),
            Request::Readdir(r) => self.readdir(call, r, out),
            Request::Readdirp(r) => self.readdirp(call, r, out),
            Request::Setxattr(r) => self.setxattr(call, &r.gfid, r.flags, &r.dict, out),
            Request::Fsetxattr(r) => self.setxattr(call, &r.gfid, r.flags, &r.dict, out),
            Request::Getxattr(r) => self.getxattr(call, &r.gfid, r.name, out),
            Request::Fgetxattr(r) => self.getxattr(call, &r.gfid, r.name, out),
            Request::Removexattr(r) => self.removexattr(call, &r.gfid, r.name, &r.xdata, out),
            Request::Fremovexattr(r) => self.removexattr(call, &r.gfid, r.name, &r.xdata, out),
            Request::Xattrop(r) => self.xattrop(call, &r.gfid, r.flags, &r.dict, &r.xdata, out),
            Request::Fxattrop(r) => self.xattrop(call, &r.gfid, r.flags, &r.dict, &r.xdata, out),
            // Calls with a payload are executed elsewhere; the server itself answers the others, or
            // refuses them.
            Request::Write(_) | Request::Put(_) | brickwire_core::answered_by_the_server!() => {
                Err(Errno::EOPNOTSUPP.into())
            }
        }
    }
}

/// Sort key of inodes. For one gfid there is at most one inode that was not removed, and any number
/// of removed ones.
type Key = (u64, Gfid, bool, u32);

fn key_of(brick: u64, gfid: Gfid) -> Key {
    (brick, gfid, false, 0)
}

fn key_of_inode(slot: u32, inode: &Inode) -> Key {
    (inode.brick, inode.gfid, inode.removed, if inode.removed { slot } else { 0 })
}

/// The time that a call carries.
pub(super) fn call_time(cred: &Cred<'_>) -> (i64, u32) {
    let (seconds, nanos) = cred.time;
    (seconds.min(i64::MAX as u64) as i64, nanos.min(999_999_999))
}

/// Moves the times that `flags` name. ctime and mtime only move forward, and always by at least a
/// nanosecond, because clients detect stale data by them.
fn advance(times: &mut Mdata, flags: u32, to: (i64, u32)) {
    if flags & CTIME != 0 {
        times.ctime = after(times.ctime).max(to);
    }
    if flags & MTIME != 0 {
        times.mtime = after(times.mtime).max(to);
    }
    if flags & ATIME != 0 {
        times.atime = to;
    }
}

/// The time one nanosecond later.
fn after((seconds, nanos): (i64, u32)) -> (i64, u32) {
    if nanos < 999_999_999 { (seconds, nanos + 1) } else { (seconds.saturating_add(1), 0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_changes_move_forward_if_only_by_a_nanosecond() {
        let mut times = Mdata { ctime: (10, 0), mtime: (10, 999_999_999), atime: (10, 0) };
        advance(&mut times, CTIME | MTIME | ATIME, (5, 0));
        assert_eq!(times, Mdata { ctime: (10, 1), mtime: (11, 0), atime: (5, 0) });
        advance(&mut times, MTIME, (11, 7));
        assert_eq!(times.mtime, (11, 7));
    }
}
