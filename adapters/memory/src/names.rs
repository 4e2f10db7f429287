//! Creating, removing and renaming. Everything is checked first, free slots included; after that
//! nothing can fail.

use super::acls::{self, Inherited};
use super::data::Written;
use super::inode::{DIRECTORY, Inode, REGULAR, SYMLINK, TYPE};
use super::pages::Owner;
use super::reply::Out;
use super::store::{Birth, CTIME, MTIME, PARENT, Store, call_time};
use super::{Result, permission, xattrs};
use brickwire_core::fop::OpenFlags;
use brickwire_core::fop::wire::{
    Body, Create, Link, Mkdir, Mknod, Put, Rename, Rmdir, Symlink, Unlink,
};
use brickwire_core::rpc::Cred;
use brickwire_core::server::Call;
use brickwire_core::xdr::{Dict, Errno, FileType, Gfid, Iatt, Mdata, Value};

/// Most names of one inode, as on ext4.
const LINKS_MAX: u32 = 65_000;
/// Bytes of a symlink's target at most.
const PATH_MAX: usize = 4095;

/// The key of a call that a translator makes for itself. Where a heal or distribute creates a file
/// with the gfid of an existing one, the new name becomes a link to it.
const INTERNAL_FOP: &str = "glusterfs-internal-fop";

/// A new inode.
struct New<'a> {
    parent: u32,
    name: &'a [u8],
    /// Type and permissions, and the caller's umask.
    mode: u32,
    umask: u32,
    rdev: u64,
    /// First content and its offset: the target of a symlink, the data of a PUT.
    content: (u64, &'a [u8]),
    /// Dictionaries that may have xattrs.
    dicts: [Dict<'a>; 2],
}

/// The gfid that the client chose for the new inode.
fn wanted_gfid(xdata: &Dict<'_>) -> Result<Gfid> {
    let gfid = match xdata.get("gfid-req") {
        Some(Value::Gfuuid(gfid)) => gfid,
        Some(value) => {
            value.as_bytes().and_then(|bytes| bytes.try_into().ok()).map(Gfid).unwrap_or_default()
        }
        None => Gfid::NONE,
    };
    if matches!(gfid, Gfid::NONE | Gfid::ROOT) { Err(Errno::EINVAL.into()) } else { Ok(gfid) }
}

/// A device number as it is in attributes, where GlusterFS gives each half a word. MKNOD carries it
/// packed as glibc does.
fn device_of(dev: u64) -> u64 {
    let major = (dev >> 8 & 0xfff) | (dev >> 32 & 0xffff_f000);
    let minor = (dev & 0xff) | (dev >> 12 & 0xffff_ff00);
    major << 32 | minor
}

impl Store<'_> {
    /// The directory in which a name is created or removed.
    fn place(&self, brick: u64, parent: &Gfid, name: &[u8], cred: &Cred<'_>) -> Result<u32> {
        if Self::is_hidden(parent, name) {
            return Err(Errno::EPERM.into());
        }
        let slot = self.directory(brick, parent)?;
        self.check(slot, cred, permission::WRITE | permission::EXECUTE)?;
        Ok(slot)
    }

    /// The directory of a name that is taken away or moved. If it is gone so is the name: ENOENT,
    /// as real bricks say, lets two `rm -rf` of one tree both succeed.
    fn place_of(&self, brick: u64, parent: &Gfid, name: &[u8], cred: &Cred<'_>) -> Result<u32> {
        self.place(brick, parent, name, cred).map_err(|stop| match stop {
            super::Stop::Errno(Errno::ESTALE) => Errno::ENOENT.into(),
            stop => stop,
        })
    }

    /// Creates an inode with its name, owner, xattrs and times, or changes nothing.
    fn make(&mut self, call: &Call<'_>, gfid: Gfid, new: &New<'_>) -> Result<u32> {
        if self.entry_place(new.parent, new.name).is_ok() {
            return Err(Errno::EEXIST.into());
        }
        let parent = *self.inode(new.parent)?;
        // Nothing can be created in a removed directory.
        if parent.removed {
            return Err(Errno::ENOENT.into());
        }
        let (asked, acls) = self.inherited(new.parent, new.mode, new.umask);
        // Inherited ACLs replace the ones that the caller sent.
        let born_with = new.born_with().filter(|(name, _)| acls.is_none() || !acls::is_acl(name));
        let born_with = born_with.chain(acls.iter().flat_map(Inherited::xattrs));
        for (name, value) in born_with.clone().filter(|(name, _)| acls::is_acl(name)) {
            acls::check(new.mode, name, value)?;
        }
        let like = Inode { mode: new.mode, ..Inode::EMPTY };
        let (xattrs, pages) = self.xattrs_need(&like, born_with.clone())?;
        if self.find(call.brick.0, &gfid).is_some() {
            return Err(Errno::EEXIST.into());
        }
        let (at, content) = new.content;
        let needed = self.pages.missing(Owner::Inode(u32::MAX), at, content.len() as u64);
        if self.inodes.free() == 0
            || self.entries.free() == 0
            || self.xattrs.free() < xattrs
            || self.pages.free() < pages.saturating_add(needed)
        {
            return Err(Errno::ENOSPC.into());
        }
        let inherits = parent.mode & 0o2000 != 0;
        let gid = if inherits { parent.gid } else { call.cred.gid };
        let dir = new.mode & TYPE == DIRECTORY;
        let mode = permission::kept_mode(asked, dir, gid, &call.cred);
        let mode = if dir && inherits { mode | 0o2000 } else { mode };
        let birth = Birth { brick: call.brick.0, gfid, mode, uid: call.cred.uid, gid };
        let slot = self.new_inode(&birth).ok_or(Errno::ENOSPC)?;
        self.pages.write(Owner::Inode(slot), at, content)?;
        for (name, value) in born_with {
            if acls::is_acl(name) {
                self.set_acl(slot, name, value)?;
            } else {
                self.set_xattr(slot, name, value)?;
            }
        }
        let inode = self.inode_mut(slot)?;
        inode.rdev = new.rdev;
        inode.size = if content.is_empty() { 0 } else { at + content.len() as u64 };
        (inode.parent, inode.nlink) = (new.parent, if dir { 2 } else { 1 });
        if call.cred.times.bits() & 7 != 0 {
            let time = call_time(&call.cred);
            inode.mdata = Some(Mdata { ctime: time, mtime: time, atime: time });
        }
        self.add_entry(new.parent, new.name, slot)?;
        if dir {
            self.count_subdirectory(new.parent, 1);
        }
        Ok(slot)
    }

    pub(super) fn count_subdirectory(&mut self, parent: u32, by: i32) {
        if let Some(parent) = self.inodes.get_mut(parent) {
            parent.nlink = parent.nlink.saturating_add_signed(by);
        }
    }

    /// Attributes of a directory after a change in it.
    fn parent_after(&mut self, call: &Call<'_>, parent: u32) -> Iatt {
        self.touch(parent, CTIME | MTIME, &call.cred, PARENT);
        self.iatt(parent)
    }

    fn entry_made(
        &mut self,
        call: &Call<'_>,
        gfid: Gfid,
        new: &New<'_>,
        out: &mut Out<'_, '_, '_>,
    ) -> Result<()> {
        let preparent = self.iatt(new.parent);
        let slot = self.make(call, gfid, new)?;
        let postparent = self.parent_after(call, new.parent);
        out.body(Body::Entry { stat: self.iatt(slot), preparent, postparent })
    }

    pub(super) fn mknod(
        &mut self,
        call: &Call<'_>,
        r: &Mknod<'_>,
        out: &mut Out<'_, '_, '_>,
    ) -> Result<()> {
        let gfid = wanted_gfid(&r.xdata)?;
        let parent = self.place(call.brick.0, &r.pargfid, r.bname, &call.cred)?;
        let kind = match FileType::of_mode(r.mode) {
            Some(FileType::Directory | FileType::Symlink) => return Err(Errno::EINVAL.into()),
            Some(FileType::Block | FileType::Character) if call.cred.uid != 0 => {
                return Err(Errno::EPERM.into());
            }
            Some(_) => r.mode & TYPE,
            None => REGULAR,
        };
        if r.xdata.get(INTERNAL_FOP).is_some()
            && let Some(slot) = self.find(call.brick.0, &gfid)
            && !self.inode(slot)?.is_dir()
        {
            return self.add_name(call, parent, r.bname, slot, out);
        }
        let device = matches!(FileType::of_mode(kind), Some(FileType::Block | FileType::Character));
        let mode = kind | (r.mode & 0o7777);
        let rdev = if device { device_of(r.dev) } else { 0 };
        let new = New { rdev, ..New::plain(parent, r.bname, mode, r.umask, r.xdata) };
        self.entry_made(call, gfid, &new, out)
    }

    pub(super) fn mkdir(
        &mut self,
        call: &Call<'_>,
        r: &Mkdir<'_>,
        out: &mut Out<'_, '_, '_>,
    ) -> Result<()> {
        let gfid = wanted_gfid(&r.xdata)?;
        let parent = self.place(call.brick.0, &r.pargfid, r.bname, &call.cred)?;
        let mode = DIRECTORY | (r.mode & 0o7777);
        self.entry_made(call, gfid, &New::plain(parent, r.bname, mode, r.umask, r.xdata), out)
    }

    pub(super) fn symlink(
        &mut self,
        call: &Call<'_>,
        r: &Symlink<'_>,
        out: &mut Out<'_, '_, '_>,
    ) -> Result<()> {
        let gfid = wanted_gfid(&r.xdata)?;
        let parent = self.place(call.brick.0, &r.pargfid, r.bname, &call.cred)?;
        if self.child(parent, r.bname).is_ok() {
            return Err(Errno::EEXIST.into());
        }
        match r.linkname.len() {
            0 => return Err(Errno::ENOENT.into()),
            len if len > PATH_MAX => return Err(Errno::ENAMETOOLONG.into()),
            _ => {}
        }
        let new = New {
            content: (0, r.linkname),
            ..New::plain(parent, r.bname, SYMLINK | 0o777, 0, r.xdata)
        };
        self.entry_made(call, gfid, &new, out)
    }

    pub(super) fn create(
        &mut self,
        call: &Call<'_>,
        r: &Create<'_>,
        out: &mut Out<'_, '_, '_>,
    ) -> Result<()> {
        let gfid = wanted_gfid(&r.xdata)?;
        let flags = OpenFlags(r.flags);
        let parent = self.place_or_there(call, &r.pargfid, r.bname)?;
        let preparent = self.iatt(parent);
        // The open file needs a slot, too.
        if self.files.free() == 0 {
            return Err(Errno::EMFILE.into());
        }
        let (slot, flags) = match self.child(parent, r.bname) {
            Ok(slot) if !flags.has(OpenFlags::EXCLUSIVE) => {
                let inode = *self.inode(slot)?;
                if inode.is_dir() {
                    return Err(Errno::EISDIR.into());
                }
                self.check(slot, &call.cred, super::files::wanted(flags))?;
                if !inode.is_regular() {
                    return Err(Errno::EINVAL.into());
                }
                if flags.has(OpenFlags::TRUNCATE) {
                    self.empty(call, slot)?;
                }
                (slot, flags)
            }
            Ok(_) => return Err(Errno::EEXIST.into()),
            Err(_) => {
                let mode = REGULAR | (r.mode & 0o7777);
                let new = New::plain(parent, r.bname, mode, r.umask, r.xdata);
                (self.make(call, gfid, &new)?, flags.of_new_file())
            }
        };
        let fd = self.keep(call, slot, flags)?;
        let postparent = self.parent_after(call, parent);
        out.body(Body::Create { stat: self.iatt(slot), fd: fd as u64, preparent, postparent })
    }

    /// The directory of a name that is created if missing. An existing name needs no write
    /// permission for the directory.
    fn place_or_there(&self, call: &Call<'_>, parent: &Gfid, name: &[u8]) -> Result<u32> {
        match self.place(call.brick.0, parent, name, &call.cred) {
            Err(super::Stop::Errno(Errno::EACCES)) => {
                let slot = self.directory(call.brick.0, parent)?;
                self.check(slot, &call.cred, permission::EXECUTE)?;
                self.child(slot, name).map_err(|_| Errno::EACCES)?;
                Ok(slot)
            }
            result => result,
        }
    }

    /// Makes a file with its content in one call.
    pub(super) fn put(&mut self, call: &Call<'_>, r: &Put<'_>, data: &[u8]) -> Result<Written> {
        super::data::end_of(r.offset, data.len() as u64)?;
        let gfid = wanted_gfid(&r.xdata)?;
        let parent = self.place(call.brick.0, &r.pargfid, r.bname, &call.cred)?;
        let preparent = self.iatt(parent);
        let mode = REGULAR | (r.mode & 0o7777);
        let plain = New::plain(parent, r.bname, mode, r.umask, r.xdata);
        let new = New { content: (r.offset, data), dicts: [r.xattr, r.xdata], ..plain };
        let slot = self.make(call, gfid, &new)?;
        let postparent = self.parent_after(call, parent);
        Ok(Written::Put { stat: self.iatt(slot), preparent, postparent })
    }

    pub(super) fn link(
        &mut self,
        call: &Call<'_>,
        r: &Link<'_>,
        out: &mut Out<'_, '_, '_>,
    ) -> Result<()> {
        let parent = self.place(call.brick.0, &r.newgfid, r.newbname, &call.cred)?;
        let slot = self.object(call, &r.oldgfid)?;
        if self.inode(slot)?.is_dir() {
            return Err(Errno::EPERM.into());
        }
        self.add_name(call, parent, r.newbname, slot, out)
    }

    /// Adds a name to an existing file.
    fn add_name(
        &mut self,
        call: &Call<'_>,
        parent: u32,
        name: &[u8],
        slot: u32,
        out: &mut Out<'_, '_, '_>,
    ) -> Result<()> {
        let inode = *self.inode(slot)?;
        // A file whose last name is gone cannot be linked again.
        if inode.nlink == 0 {
            return Err(Errno::ENOENT.into());
        }
        if inode.nlink >= LINKS_MAX {
            return Err(Errno::EMLINK.into());
        }
        if self.inode(parent)?.removed {
            return Err(Errno::ENOENT.into());
        }
        let preparent = self.iatt(parent);
        self.add_entry(parent, name, slot)?;
        self.inode_mut(slot)?.nlink += 1;
        self.touch(slot, CTIME, &call.cred, 0);
        let postparent = self.parent_after(call, parent);
        out.body(Body::Entry { stat: self.iatt(slot), preparent, postparent })
    }

    pub(super) fn unlink(
        &mut self,
        call: &Call<'_>,
        r: &Unlink<'_>,
        out: &mut Out<'_, '_, '_>,
    ) -> Result<()> {
        let parent = self.place_of(call.brick.0, &r.pargfid, r.bname, &call.cred)?;
        let slot = self.child(parent, r.bname)?;
        let inode = *self.inode(slot)?;
        if inode.is_dir() {
            return Err(Errno::EISDIR.into());
        }
        self.check_remove(parent, slot, &call.cred)?;
        let before = self.iatt(parent);
        self.remove_entry(parent, r.bname);
        self.name_gone(call, slot);
        let after = self.parent_after(call, parent);
        out.body(Body::TwoIatts { before, after })
    }

    /// A name of a file was removed. With the last name the file goes, unless it is open.
    fn name_gone(&mut self, call: &Call<'_>, slot: u32) {
        let Some(inode) = self.inodes.get_mut(slot) else { return };
        inode.nlink = inode.nlink.saturating_sub(1);
        let (last, gfid) = (inode.nlink == 0, inode.gfid);
        self.touch(slot, CTIME, &call.cred, 0);
        if last {
            self.unindex(call.brick.0, &gfid);
            self.free_if_unused(slot);
        }
    }

    pub(super) fn rmdir(
        &mut self,
        call: &Call<'_>,
        r: &Rmdir<'_>,
        out: &mut Out<'_, '_, '_>,
    ) -> Result<()> {
        let parent = self.place_of(call.brick.0, &r.pargfid, r.bname, &call.cred)?;
        let slot = self.child(parent, r.bname)?;
        let inode = *self.inode(slot)?;
        if !inode.is_dir() {
            return Err(Errno::ENOTDIR.into());
        }
        self.check_remove(parent, slot, &call.cred)?;
        // A heal removes a directory with its content.
        if r.xflags & 1 == 0 && !self.is_empty(slot) {
            return Err(Errno::ENOTEMPTY.into());
        }
        let before = self.iatt(parent);
        self.drop_tree(call, slot);
        self.drop_directory(call, parent, r.bname, slot);
        let after = self.parent_after(call, parent);
        out.body(Body::TwoIatts { before, after })
    }

    /// Removes an empty directory from its parent.
    fn drop_directory(&mut self, call: &Call<'_>, parent: u32, name: &[u8], slot: u32) {
        let gfid = self.inodes.get(slot).map(|inode| inode.gfid).unwrap_or_default();
        self.remove_entry(parent, name);
        self.count_subdirectory(parent, -1);
        self.unindex(call.brick.0, &gfid);
        let (removed, next) = &mut self.removed;
        if let Some(place) = removed.get_mut(*next) {
            *place = Some((call.brick.0, gfid));
        }
        *next = (*next + 1) % removed.len();
        self.bury(slot);
    }

    /// Removes everything in a directory, always taking the first entry of the deepest directory
    /// that has one.
    fn drop_tree(&mut self, call: &Call<'_>, top: u32) {
        let mut at = top;
        loop {
            let first = self
                .entry_at(at, self.cookie_place(at, 0))
                .map(|entry| (entry.name.clone(), entry.inode));
            match first {
                Some((name, inode)) if self.inodes.get(inode).is_some_and(Inode::is_dir) => {
                    if self.is_empty(inode) {
                        self.drop_directory(call, at, &name, inode);
                    } else {
                        at = inode;
                    }
                }
                Some((name, inode)) => {
                    self.remove_entry(at, &name);
                    self.name_gone(call, inode);
                }
                None if at == top => return,
                None => at = self.inodes.get(at).map_or(top, |inode| inode.parent),
            }
        }
    }

    pub(super) fn rename(
        &mut self,
        call: &Call<'_>,
        r: &Rename<'_>,
        out: &mut Out<'_, '_, '_>,
    ) -> Result<()> {
        let brick = call.brick.0;
        let old = self.place_of(brick, &r.oldgfid, r.oldbname, &call.cred)?;
        let new = self.place_of(brick, &r.newgfid, r.newbname, &call.cred)?;
        let slot = self.child(old, r.oldbname)?;
        let inode = *self.inode(slot)?;
        self.check_remove(old, slot, &call.cred)?;
        let replaced = self.child(new, r.newbname).ok();
        if let Some(replaced) = replaced {
            self.check_remove(new, replaced, &call.cred)?;
        }
        self.check_rename(slot, old, new, replaced)?;
        let (preoldparent, prenewparent) = (self.iatt(old), self.iatt(new));
        // If both names are of one file, rename(2) leaves both.
        if replaced != Some(slot) {
            if let Some(replaced) = replaced {
                if inode.is_dir() {
                    self.drop_directory(call, new, r.newbname, replaced);
                } else {
                    self.remove_entry(new, r.newbname);
                    self.name_gone(call, replaced);
                }
            }
            self.remove_entry(old, r.oldbname);
            // An entry was just removed, so there is room.
            self.add_entry(new, r.newbname, slot)?;
            if inode.is_dir() {
                self.count_subdirectory(old, -1);
                self.count_subdirectory(new, 1);
                self.inode_mut(slot)?.parent = new;
            }
        }
        self.touch(slot, CTIME, &call.cred, 0);
        let postoldparent = self.parent_after(call, old);
        let postnewparent = self.parent_after(call, new);
        let stat = self.iatt(slot);
        out.body(Body::Rename { stat, preoldparent, postoldparent, prenewparent, postnewparent })
    }

    /// The checks of rename(2).
    fn check_rename(
        &self,
        slot: u32,
        old_parent: u32,
        new_parent: u32,
        replaced: Option<u32>,
    ) -> Result<()> {
        let dir = self.inode(slot)?.is_dir();
        if self.inode(new_parent)?.removed {
            return Err(Errno::ENOENT.into());
        }
        if dir && self.is_within(new_parent, slot) {
            return Err(Errno::EINVAL.into());
        }
        let Some(other) = replaced.filter(|replaced| *replaced != slot) else { return Ok(()) };
        // The target contains the directory that would replace it.
        if self.is_within(old_parent, other) {
            return Err(Errno::ENOTEMPTY.into());
        }
        match (dir, self.inode(other)?.is_dir()) {
            (true, false) => Err(Errno::ENOTDIR.into()),
            (false, true) => Err(Errno::EISDIR.into()),
            (true, true) if !self.is_empty(other) => Err(Errno::ENOTEMPTY.into()),
            _ => Ok(()),
        }
    }

    /// Whether a directory is `other` or lies in it.
    fn is_within(&self, mut directory: u32, other: u32) -> bool {
        // The number of directories bounds the walk.
        for _ in 0..=self.inodes.len() {
            if directory == other {
                return true;
            }
            match self.inodes.get(directory) {
                Some(inode) if inode.parent != directory => directory = inode.parent,
                _ => return false,
            }
        }
        false
    }
}

impl<'a> New<'a> {
    fn plain(parent: u32, name: &'a [u8], mode: u32, umask: u32, xdata: Dict<'a>) -> Self {
        Self {
            parent,
            name,
            mode,
            umask: umask & 0o7777,
            rdev: 0,
            content: (0, b""),
            dicts: [xdata, Dict::Null],
        }
    }

    /// The xattrs that are set on creation.
    fn born_with(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone {
        let [first, second] = self.dicts;
        let pairs = first.pairs().chain(second.pairs());
        pairs.filter_map(|(key, value)| {
            Some((key, value.as_bytes().filter(|_| xattrs::settable_at_birth(key))?))
        })
    }
}
