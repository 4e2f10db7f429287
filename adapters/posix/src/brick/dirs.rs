//! READDIR and READDIRP.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd};

use brickwire_core::fop::wire::{Body, Dirent, Direntp, Direntps, Dirents, Readdir, Readdirp};
use brickwire_core::server::{Call, Target};
use brickwire_core::xdr::{Dict, Errno, Gfid, Iatt, Pair};
use rustix::fs::{OFlags, RawDir, SeekFrom};
use rustix::io::Errno as Os;

use super::files::reopen;
use super::handles::is_dir;
use super::reply::{Key, Out};
use super::stat::gfid_of;
use super::{Brick, Result, errno, permission};

/// Size of the buffer for getdents().
const BATCH: usize = 32 * 1024;
/// Bytes of one reply at most, whatever the request says.
const REPLY_MAX: usize = 1 << 20;
/// Bytes of an entry on the wire without its name, as the real server counts them.
const ENTRY_FRAME: usize = 28;
const ENTRYP_FRAME: usize = ENTRY_FRAME + Iatt::LEN + 12;

/// One entry, as getdents() returns it.
struct Found {
    name: Vec<u8>,
    cookie: u64,
    kind: u8,
    ino: u64,
}

impl Brick {
    /// Calls `take` for each entry after `offset` until it declines one. Returns whether the end
    /// was reached.
    fn walk(
        &self,
        call: &Call<'_>,
        gfid: &Gfid,
        offset: u64,
        take: impl FnMut(&Gfid, Found) -> bool,
    ) -> Result<bool> {
        let Target::Open(handle) = call.target else {
            // distribute lists a directory through the anonymous fd before it removes it, to see
            // whether it is empty.
            let object = self.directory(gfid)?;
            permission::check(&object.fd, &object.stat, &call.cred, permission::READ)?;
            let fd = reopen(&object, OFlags::RDONLY | OFlags::DIRECTORY)?;
            return self.stream(fd.as_fd(), gfid, &mut 0, offset, take);
        };
        let file = self.files.get(handle).ok_or(Errno::EBADF)?;
        // A directory's stream has one position, so one call at a time uses it.
        let mut place = file.stream.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        self.stream(file.fd.as_fd(), &file.gfid(), &mut place, offset, take)
    }

    fn stream(
        &self,
        fd: BorrowedFd<'_>,
        gfid: &Gfid,
        place: &mut u64,
        offset: u64,
        mut take: impl FnMut(&Gfid, Found) -> bool,
    ) -> Result<bool> {
        if *place != offset || offset == 0 {
            match rustix::fs::seek(fd, SeekFrom::Start(offset)) {
                // ext4 refuses to seek in a directory that was removed while it was listed.
                Err(Os::INVAL) if rustix::fs::fstat(fd).is_ok_and(|stat| stat.st_nlink == 0) => {
                    return Ok(true);
                }
                result => result.map_err(errno)?,
            };
        }
        let base = self.base_of(gfid);
        let mut room = [const { MaybeUninit::uninit() }; BATCH];
        let mut entries = RawDir::new(fd, &mut room);
        loop {
            let Some(entry) = entries.next() else {
                *place = u64::MAX;
                return Ok(true);
            };
            let entry = match entry {
                // The directory was removed, so it has no entries; readdir(3) reports the same.
                Err(Os::NOENT) => return Ok(true),
                entry => entry.map_err(errno)?,
            };
            let found = Found {
                name: entry.file_name().to_bytes().to_vec(),
                cookie: entry.next_entry_cookie(),
                kind: kind(entry.file_type()),
                ino: entry.ino(),
            };
            if self.is_hidden(gfid, &found.name)
                || base.as_ref().is_some_and(|base| found.name.starts_with(base))
            {
                continue;
            }
            if !take(gfid, found) {
                // Entries that were read but do not fit are read again next time.
                *place = u64::MAX;
                return Ok(false);
            }
        }
    }

    pub(super) fn readdir(
        &self,
        call: &Call<'_>,
        r: &Readdir<'_>,
        out: &mut Out<'_>,
    ) -> Result<()> {
        let room = (r.size as usize).min(REPLY_MAX);
        let (mut list, mut used) = (Vec::new(), 0);
        let end = self.walk(call, &r.gfid, r.offset, |_, found| {
            used += ENTRY_FRAME + found.name.len().next_multiple_of(4);
            let fits = used <= room || list.is_empty();
            if fits {
                list.push(found);
            }
            fits
        })?;
        let entries: Vec<Dirent<'_>> = list
            .iter()
            .map(|found| Dirent {
                ino: found.ino,
                offset: found.cookie,
                len: found.name.len() as u32,
                kind: found.kind.into(),
                name: &found.name,
            })
            .collect();
        let errno = if end { Errno::ENOENT.to_wire() } else { 0 };
        out.success(entries.len() as i32, errno, &[], Body::Dirents(Dirents::of(&entries)));
        Ok(())
    }

    pub(super) fn readdirp(
        &self,
        call: &Call<'_>,
        r: &Readdirp<'_>,
        out: &mut Out<'_>,
    ) -> Result<()> {
        let room = (r.size as usize).min(REPLY_MAX);
        let mut list: Vec<(Found, Iatt, Vec<Key>)> = Vec::new();
        let mut used = 0;
        let mut directory = None;
        let end = self.walk(call, &r.gfid, r.offset, |gfid, found| {
            let (iatt, keys) = self.entry(call, gfid, &found, &mut directory, &r.xdata);
            used += ENTRYP_FRAME + found.name.len().next_multiple_of(4) + keys_len(&keys);
            let fits = used <= room || list.is_empty();
            if fits {
                list.push((found, iatt, keys));
            }
            fits
        })?;
        let pairs: Vec<Vec<Pair<'_>>> = list
            .iter()
            .map(|(_, _, keys)| {
                keys.iter().map(|(key, value)| Pair { key, value: value.value() }).collect()
            })
            .collect();
        // A request for keys gets a dictionary even if none of them exists. The shard translator of
        // C clients otherwise takes the inode for unknown.
        let has_dict = !matches!(r.xdata, Dict::Null);
        let entries: Vec<Direntp<'_>> = list
            .iter()
            .zip(&pairs)
            .map(|((found, stat, _), pairs)| Direntp {
                ino: if stat.flags == 0 { found.ino } else { stat.ino },
                offset: found.cookie,
                len: found.name.len() as u32,
                kind: found.kind.into(),
                name: &found.name,
                stat: *stat,
                dict: if has_dict || !pairs.is_empty() { Dict::Pairs(pairs) } else { Dict::Null },
            })
            .collect();
        let errno = if end { Errno::ENOENT.to_wire() } else { 0 };
        out.success(entries.len() as i32, errno, &[], Body::Direntps(Direntps::of(&entries)));
        Ok(())
    }

    /// Attributes and xattrs of an entry; zeroes for an entry that the client must look up itself.
    fn entry(
        &self,
        call: &Call<'_>,
        gfid: &Gfid,
        found: &Found,
        directory: &mut Option<super::handles::Object>,
        xdata: &Dict<'_>,
    ) -> (Iatt, Vec<Key>) {
        let nothing = (Iatt::default(), Vec::new());
        if found.name == b".." {
            return nothing;
        }
        if directory.is_none() {
            *directory = self.directory(gfid).ok();
        }
        let Some(parent) = directory.as_ref() else { return nothing };
        if found.name == b"." {
            return (self.iatt(parent, *gfid), Vec::new());
        }
        let Ok(object) = self.child(parent, &found.name) else { return nothing };
        let Some(gfid) = gfid_of(self.namespace(), &object.fd) else { return nothing };
        let mut keys = self.asked(&object, &gfid, &call.cred, xdata);
        // Clients take the xattrs of a directory from LOOKUP only.
        if is_dir(&object.stat) {
            keys.retain(|(key, _)| key != b"glusterfs.content");
        }
        (self.iatt(&object, gfid), keys)
    }
}

pub(super) fn keys_len(keys: &[Key]) -> usize {
    use super::reply::Owned;
    let value = |value: &Owned| match value {
        Owned::Bytes(bytes) | Owned::Text(bytes) => bytes.len() + 8,
        Owned::Int(_) | Owned::Uint(_) => 8,
    };
    keys.iter().map(|(key, owned)| key.len() + 12 + value(owned)).sum()
}

fn kind(kind: rustix::fs::FileType) -> u8 {
    use rustix::fs::FileType as T;
    match kind {
        T::Fifo => 1,
        T::CharacterDevice => 2,
        T::Directory => 4,
        T::BlockDevice => 6,
        T::RegularFile => 8,
        T::Symlink => 10,
        T::Socket => 12,
        T::Unknown => 0,
    }
}
