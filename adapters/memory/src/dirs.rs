//! Entries of directories, with and without attributes, in the order of their creation.

use super::inode::{FIRST_COOKIE, Name};
use super::reply::{Listed, Out};
use super::store::Store;
use super::{Result, permission};
use brickwire_core::fop::wire::{Dirent, Direntp, Readdir, Readdirp};
use brickwire_core::server::{Call, Target};
use brickwire_core::xdr::{Dict, Encode as _, Errno, FileType, Gfid, Iatt, padded};

/// Bytes of an entry on the wire without its name, as the real server counts them.
const ENTRY_FRAME: usize = 28;
const ENTRYP_FRAME: usize = ENTRY_FRAME + Iatt::LEN + 12;
/// Bytes of one reply at most, whatever the request says.
const REPLY_MAX: usize = 1 << 20;

/// One entry.
pub(super) struct Found {
    pub(super) name: Name,
    pub(super) cookie: u64,
    inode: u32,
}

impl Store<'_> {
    fn open_directory(&self, call: &Call<'_>, gfid: &Gfid) -> Result<u32> {
        let slot = self.about(call, call.target, gfid)?;
        let inode = self.inode(slot)?;
        // Only an open directory is listed without a name.
        if call.target == Target::Gfid && (inode.removed || inode.nlink == 0) {
            return Err(Errno::ESTALE.into());
        }
        if !inode.is_dir() {
            return Err(Errno::ENOTDIR.into());
        }
        if call.target == Target::Gfid {
            // distribute lists a directory through the anonymous fd before it removes it, to see
            // whether it is empty.
            self.check(slot, &call.cred, permission::READ)?;
        }
        Ok(slot)
    }

    /// The first entry after a cookie. `.` and `..` come first.
    pub(super) fn entry_behind(&self, directory: u32, cookie: u64) -> Option<Found> {
        let inode = self.inodes.get(directory)?;
        // A removed directory has no entries.
        if inode.removed {
            return None;
        }
        let own = |name: &[u8], cookie, inode| {
            Some(Found { name: Name::from_slice(name).unwrap_or_default(), cookie, inode })
        };
        match cookie {
            0 => own(b".", FIRST_COOKIE - 2, directory),
            1 => own(b"..", FIRST_COOKIE - 1, inode.parent),
            _ => {
                let place = self.cookie_place(directory, cookie.checked_add(1)?);
                let entry = self.entry_at(directory, place)?;
                Some(Found { name: entry.name.clone(), cookie: entry.cookie, inode: entry.inode })
            }
        }
    }

    pub(super) fn readdir(
        &mut self,
        call: &Call<'_>,
        r: &Readdir<'_>,
        out: &mut Out<'_, '_, '_>,
    ) -> Result<()> {
        let directory = self.open_directory(call, &r.gfid)?;
        let room = (r.size as usize).min(REPLY_MAX);
        let (mut cookie, mut used, mut count) = (r.offset, 0, 0);
        let end = loop {
            let Some(found) = self.entry_behind(directory, cookie) else { break true };
            let frame = ENTRY_FRAME + padded(found.name.len());
            if count > 0 && (used + frame > room || !out.has_room(frame)) {
                break false;
            }
            let inode = self.inode(found.inode)?;
            let entry = Dirent {
                ino: self.iatt(found.inode).ino,
                offset: found.cookie,
                len: found.name.len() as u32,
                kind: kind(inode.kind()),
                name: &found.name,
            };
            out.link(|w, _| entry.encode(w))?;
            (cookie, used, count) = (found.cookie, used + frame, count + 1);
        };
        out.end_list()?;
        out.entries(count, if end { Errno::ENOENT.to_wire() } else { 0 }, Listed::Dirents)
    }

    pub(super) fn readdirp(
        &mut self,
        call: &Call<'_>,
        r: &Readdirp<'_>,
        out: &mut Out<'_, '_, '_>,
    ) -> Result<()> {
        let directory = self.open_directory(call, &r.gfid)?;
        let room = (r.size as usize).min(REPLY_MAX);
        let (mut cookie, mut used, mut count) = (r.offset, 0, 0);
        let end = loop {
            let Some(found) = self.entry_behind(directory, cookie) else { break true };
            let stat = self.entry_keys(call, &found, &r.xdata, out)?;
            let frame = ENTRYP_FRAME + padded(found.name.len()) + out.keys.len();
            if count > 0 && (used + frame > room || !out.has_room(frame)) {
                break false;
            }
            let entry = Direntp {
                ino: self.iatt(found.inode).ino,
                offset: found.cookie,
                len: found.name.len() as u32,
                kind: kind(self.inode(found.inode)?.kind()),
                name: &found.name,
                stat,
                dict: Dict::Null,
            };
            out.link(|w, dict| Direntp { dict, ..entry }.encode(w))?;
            (cookie, used, count) = (found.cookie, used + frame, count + 1);
        };
        out.end_list()?;
        out.entries(count, if end { Errno::ENOENT.to_wire() } else { 0 }, Listed::Direntps)
    }

    /// Attributes of an entry, with its xattrs collected in `keys`; zeroes for an entry that the
    /// client must look up itself.
    fn entry_keys(
        &self,
        call: &Call<'_>,
        found: &Found,
        xdata: &Dict<'_>,
        out: &mut Out<'_, '_, '_>,
    ) -> Result<Iatt> {
        out.keys.clear();
        let inode = self.inode(found.inode)?;
        match found.name.as_slice() {
            b".." => Ok(Iatt::default()),
            b"." => Ok(self.iatt(found.inode)),
            _ if inode.nameless => Ok(Iatt::default()),
            _ => {
                self.asked(call, found.inode, xdata, true, &mut out.keys)?;
                Ok(self.iatt(found.inode))
            }
        }
    }
}

fn kind(kind: FileType) -> u32 {
    match kind {
        FileType::Fifo => 1,
        FileType::Character => 2,
        FileType::Directory => 4,
        FileType::Block => 6,
        FileType::Regular => 8,
        FileType::Symlink => 10,
        FileType::Socket => 12,
    }
}
