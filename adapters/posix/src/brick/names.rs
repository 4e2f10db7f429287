//! Creating, removing and renaming. The order on disk is: the object, its gfid, the rest, its
//! handle. A failed step is undone.

use std::os::fd::{AsFd as _, OwnedFd};

use brickwire_core::fop::OpenFlags;
use brickwire_core::fop::wire::{Body, Create, Link, Mkdir, Mknod, Rename, Rmdir, Symlink, Unlink};
use brickwire_core::rpc::Cred;
use brickwire_core::server::Call;
use brickwire_core::server::acl::{self, Acl};
use brickwire_core::xdr::{Dict, Errno, FileType, Gfid, Iatt, Value};
use rustix::fs::{AtFlags, Mode, OFlags, XattrFlags};
use rustix::io::Errno as Os;

use super::files::{os_flags, reopen, wanted};
use super::handles::{Object, handle_path, is_dir, open_beneath, proc_path, same_inode};
use super::intent_log::Intent;
use super::mdata::{self, CTIME, MTIME};
use super::reply::Out;
use super::stat::{GFID, gfid_of};
use super::{Brick, Result, XattrNamespace, errno, gfid2path, permission, xattrs};

/// A new object.
struct New<'a> {
    parent: Gfid,
    name: &'a [u8],
    mode: u32,
    /// Access ACL that its directory's default ACL gives it.
    acl: Option<Vec<u8>>,
    xdata: &'a Dict<'a>,
}

/// Directory of an entry that is created or removed.
struct Place {
    parent: Object,
    before: Iatt,
}

/// Gfid that a client proposes for a new inode (`gfid-req`); distribute sends it as plain bytes.
pub(super) fn proposed_gfid(xdata: &Dict<'_>) -> Option<Gfid> {
    let gfid = match xdata.get("gfid-req")? {
        Value::Gfuuid(gfid) => gfid,
        value => Gfid(value.as_bytes()?.try_into().ok()?),
    };
    (!matches!(gfid, Gfid::NONE | Gfid::ROOT)).then_some(gfid)
}

impl Brick {
    /// Gfid of a new inode; EINVAL if the client does not propose one.
    fn wanted_gfid(&self, xdata: &Dict<'_>) -> Result<Gfid> {
        proposed_gfid(xdata).ok_or(Errno::EINVAL)
    }

    /// Finds the directory of an entry to create or remove, and checks access.
    fn place(&self, parent: Gfid, name: &[u8], cred: &Cred<'_>) -> Result<Place> {
        if self.is_hidden(&parent, name) {
            return Err(Errno::EPERM);
        }
        let directory = self.directory(&parent)?;
        permission::check(
            &directory.fd,
            &directory.stat,
            cred,
            permission::WRITE | permission::EXECUTE,
        )?;
        let before = self.iatt(&directory, parent);
        Ok(Place { parent: directory, before })
    }

    /// The directory of a name that is removed or moved. If the directory is gone, so is the name:
    /// ENOENT, as from real bricks, lets two `rm -rf` of one tree both succeed. A fop that creates
    /// a name fails with ESTALE.
    fn place_of(&self, parent: Gfid, name: &[u8], cred: &Cred<'_>) -> Result<Place> {
        self.place(parent, name, cred).map_err(|error| match error {
            Errno::ESTALE => Errno::ENOENT,
            error => error,
        })
    }

    /// Mode and ACL of a new object. The caller's umask does not apply where its directory has a
    /// default ACL.
    fn inherited(&self, place: &Place, mode: u32, umask: u32) -> (u32, Option<Vec<u8>>) {
        let default = XattrNamespace::Trusted.value(&place.parent.fd, acl::DEFAULT).ok();
        match default.filter(|default| Acl::parse(default).is_some()) {
            Some(mut acl) => {
                let mode = acl::inherit(&mut acl, mode & 0o7777);
                (mode, Some(acl))
            }
            None => (mode & !umask & 0o7777, None),
        }
    }

    /// EEXIST if the name is taken; otherwise logs the creation as an intent.
    fn about_to_make(
        &self,
        parent: &Gfid,
        place: &Place,
        name: &[u8],
        gfid: Gfid,
    ) -> Result<Option<Intent<'_>>> {
        self.not_an_index(parent)?;
        match rustix::fs::statat(&place.parent.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Err(Errno::EEXIST),
            Err(Os::NOENT) => Ok(self.intend(true, &[(parent, name)], &[gfid])),
            Err(error) => Err(errno(error)),
        }
    }

    /// The steps for every new object: gfid, handle, owner, xattrs, times. They are undone on
    /// failure.
    fn settle_new(
        &self,
        call: &Call<'_>,
        new: &New<'_>,
        place: &Place,
        gfid: Gfid,
    ) -> Result<Object> {
        let object = self.child(&place.parent, new.name)?;
        if let Err(error) = self.settle_steps(call, new, place, gfid, &object) {
            let flags = if is_dir(&object.stat) { AtFlags::REMOVEDIR } else { AtFlags::empty() };
            let _ = rustix::fs::unlinkat(&place.parent.fd, new.name, flags);
            return Err(error);
        }
        self.make_names_durable(&place.parent, Some(&gfid))?;
        let stat = rustix::fs::fstat(&object.fd).map_err(errno)?;
        Ok(Object { stat, ..object })
    }

    fn settle_steps(
        &self,
        call: &Call<'_>,
        new: &New<'_>,
        place: &Place,
        gfid: Gfid,
        object: &Object,
    ) -> Result<()> {
        let path = proc_path(&object.fd);
        self.namespace().set(&path, GFID, &gfid.0, XattrFlags::CREATE).map_err(errno)?;
        let dir = is_dir(&object.stat);
        let setgid = place.parent.stat.st_mode & 0o2000 != 0;
        let gid = if setgid { place.parent.stat.st_gid } else { call.cred.gid };
        let (uid, gid) = (rustix::fs::Uid::from_raw(call.cred.uid), rustix::fs::Gid::from_raw(gid));
        match rustix::fs::chownat(&object.fd, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH) {
            // A server without root cannot give files away, so all belong to its own user.
            Err(Os::PERM) if self.namespace() == XattrNamespace::User => {}
            result => result.map_err(errno)?,
        }
        if object.stat.st_mode & 0o170_000 != 0o120_000 {
            // Set explicitly: the process's umask applied at creation, and chown cleared bits.
            let mut mode = permission::kept_mode(new.mode & 0o7777, dir, gid.as_raw(), &call.cred);
            if dir && setgid {
                mode |= 0o2000;
            }
            rustix::fs::chmod(&path, Mode::from_raw_mode(mode)).map_err(errno)?;
        }
        if !dir {
            gfid2path::add(self.namespace(), &object.fd, &new.parent, new.name)?;
        }
        // Replaces the ACL that the system derived from the mode at creation.
        if let Some(acl) = &new.acl {
            self.namespace().set(&path, acl::ACCESS, acl, XattrFlags::empty()).map_err(errno)?;
        }
        for (name, value) in new.xdata.pairs() {
            let is_known = new.acl.is_some() && [acl::ACCESS, acl::DEFAULT].contains(&name);
            if is_known || !xattrs::settable_at_birth(name) {
                continue;
            }
            if let Some(bytes) = value.as_bytes() {
                self.namespace().set(&path, name, bytes, XattrFlags::empty()).map_err(errno)?;
            }
        }
        if call.cred.times.bits() & 7 != 0 && !self.options.disk_times {
            let (seconds, nanos) = call.cred.time;
            let time = (seconds.min(i64::MAX as u64) as i64, nanos.min(999_999_999));
            mdata::store(
                self.namespace(),
                &object.fd,
                &mdata::Times { ctime: time, mtime: time, atime: time },
            )?;
        }
        // The handle comes last: an object is invisible before it has one, and after a crash an
        // object without one counts as not created.
        if dir {
            // A gfid in use must not lose its handle to the new object. A handle that leads
            // nowhere, or to the new object itself, is left over from a directory that was removed
            // by hand, which clients create anew.
            match self.find(&gfid, true) {
                Ok(old) if !same_inode(&old.stat, &object.stat) => return Err(Errno::EEXIST),
                Ok(_) | Err(Errno::ESTALE) => {}
                Err(error) => return Err(error),
            }
            self.link_dir_handle(&new.parent, new.name, &gfid).map_err(errno)
        } else {
            match self.link_handle(&place.parent, new.name, &gfid) {
                Err(Os::EXIST) if self.is_left_behind(&gfid) => {
                    self.unlink_handle(&gfid).map_err(errno)?;
                    self.link_handle(&place.parent, new.name, &gfid).map_err(errno)
                }
                result => result.map_err(errno),
            }
        }
    }

    /// Moves the times of a directory after a change in it, and returns its iatt.
    fn parent_after(&self, call: &Call<'_>, parent: Gfid, place: &Place) -> Result<Iatt> {
        self.touch_parent(&parent, &place.parent.fd, &place.parent.stat, &call.cred);
        self.iatt_now(&place.parent.fd, parent)
    }

    fn entry_made(
        &self,
        call: &Call<'_>,
        new: &New<'_>,
        place: &Place,
        gfid: Gfid,
        out: &mut Out<'_>,
    ) -> Result<()> {
        let object = self.settle_new(call, new, place, gfid)?;
        let stat = self.iatt(&object, gfid);
        let postparent = self.parent_after(call, new.parent, place)?;
        out.body(Body::Entry { stat, preparent: place.before, postparent });
        Ok(())
    }

    pub(super) fn mknod(&self, call: &Call<'_>, r: &Mknod<'_>, out: &mut Out<'_>) -> Result<()> {
        let gfid = self.wanted_gfid(&r.xdata)?;
        let _one_at_a_time = self.hold_names(&r.pargfid);
        let place = self.place(r.pargfid, r.bname, &call.cred)?;
        let kind = match FileType::of_mode(r.mode) {
            Some(FileType::Directory | FileType::Symlink) => return Err(Errno::EINVAL),
            Some(FileType::Block | FileType::Character) if call.cred.uid != 0 => {
                return Err(Errno::EPERM);
            }
            Some(FileType::Block) => rustix::fs::FileType::BlockDevice,
            Some(FileType::Character) => rustix::fs::FileType::CharacterDevice,
            Some(FileType::Fifo) => rustix::fs::FileType::Fifo,
            Some(FileType::Socket) => rustix::fs::FileType::Socket,
            Some(FileType::Regular) | None => rustix::fs::FileType::RegularFile,
        };
        let (mode, acl) = self.inherited(&place, r.mode, r.umask);
        let new = New { parent: r.pargfid, name: r.bname, mode, acl, xdata: &r.xdata };
        let (kind, bits) = (kind, Mode::from_raw_mode(mode));
        // The new name is a link to an existing inode: a link file of distribute for another name
        // of an inode that has one here, or a name that a heal finds to be missing.
        if r.xdata.get("glusterfs-internal-fop").is_some()
            && let Ok(object) = self.object(&gfid)
            && !is_dir(&object.stat)
        {
            return self.link_to(call, gfid, &object, (&r.pargfid, r.bname), &place, out);
        }
        let _intent = self.about_to_make(&r.pargfid, &place, r.bname, gfid)?;
        rustix::fs::mknodat(&place.parent.fd, r.bname, kind, bits, r.dev).map_err(errno)?;
        self.entry_made(call, &new, &place, gfid, out)
    }

    pub(super) fn mkdir(&self, call: &Call<'_>, r: &Mkdir<'_>, out: &mut Out<'_>) -> Result<()> {
        let gfid = self.wanted_gfid(&r.xdata)?;
        let _one_at_a_time = self.hold_names(&r.pargfid);
        let place = self.place(r.pargfid, r.bname, &call.cred)?;
        let (mode, acl) = self.inherited(&place, r.mode, r.umask);
        let new = New { parent: r.pargfid, name: r.bname, mode, acl, xdata: &r.xdata };
        let _intent = self.about_to_make(&r.pargfid, &place, r.bname, gfid)?;
        rustix::fs::mkdirat(&place.parent.fd, r.bname, Mode::from_raw_mode(mode)).map_err(errno)?;
        self.entry_made(call, &new, &place, gfid, out)
    }

    pub(super) fn symlink(
        &self,
        call: &Call<'_>,
        r: &Symlink<'_>,
        out: &mut Out<'_>,
    ) -> Result<()> {
        let gfid = self.wanted_gfid(&r.xdata)?;
        let _one_at_a_time = self.hold_names(&r.pargfid);
        let place = self.place(r.pargfid, r.bname, &call.cred)?;
        let new = New { parent: r.pargfid, name: r.bname, mode: 0o777, acl: None, xdata: &r.xdata };
        let _intent = self.about_to_make(&r.pargfid, &place, r.bname, gfid)?;
        rustix::fs::symlinkat(r.linkname, &place.parent.fd, r.bname).map_err(errno)?;
        self.entry_made(call, &new, &place, gfid, out)
    }

    pub(super) fn create(&self, call: &Call<'_>, r: &Create<'_>, out: &mut Out<'_>) -> Result<()> {
        let gfid = self.wanted_gfid(&r.xdata)?;
        let one_at_a_time = self.hold_names(&r.pargfid);
        let flags = OpenFlags(r.flags);
        let place = match self.place(r.pargfid, r.bname, &call.cred) {
            // An existing name needs no write permission for its directory.
            Err(Errno::EACCES) => {
                let parent = self.directory(&r.pargfid)?;
                permission::check(&parent.fd, &parent.stat, &call.cred, permission::EXECUTE)?;
                self.child(&parent, r.bname).map_err(|_| Errno::EACCES)?;
                let before = self.iatt(&parent, r.pargfid);
                Place { parent, before }
            }
            result => result?,
        };
        let (mode, acl) = self.inherited(&place, r.mode, r.umask);
        let bits = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::NOFOLLOW;
        let new = New { parent: r.pargfid, name: r.bname, mode, acl, xdata: &r.xdata };
        let (fd, object, gfid, flags) = match self.about_to_make(&r.pargfid, &place, r.bname, gfid)
        {
            Ok(_intent) => {
                let mode = Mode::from_raw_mode(0o600);
                let fd =
                    open_beneath(place.parent.fd.as_fd(), r.bname, bits, mode).map_err(errno)?;
                let object = self.settle_new(call, &new, &place, gfid)?;
                let flags = flags.of_new_file();
                let fd = self.with_flags(fd, &object, flags)?;
                (fd, object, gfid, flags)
            }
            Err(Errno::EEXIST) if !flags.has(OpenFlags::EXCLUSIVE) => {
                let object = self.child(&place.parent, r.bname)?;
                let gfid = self.gfid(&object)?;
                if is_dir(&object.stat) {
                    return Err(Errno::EISDIR);
                }
                permission::check(&object.fd, &object.stat, &call.cred, wanted(flags))?;
                // The file exists; the lock is released because truncating may take long.
                drop(one_at_a_time);
                let fd = reopen(&object, os_flags(flags))?;
                let stat = rustix::fs::fstat(&fd).map_err(errno)?;
                if flags.has(OpenFlags::TRUNCATE) {
                    self.touch(&gfid, &object.fd, &stat, &call.cred, CTIME | MTIME);
                }
                (fd, Object { stat, ..object }, gfid, flags)
            }
            Err(error) => return Err(error),
        };
        let fd = self.keep(call, fd, gfid, flags)?;
        let stat = self.iatt(&object, gfid);
        let postparent = self.parent_after(call, r.pargfid, &place)?;
        out.body(Body::Create { stat, fd: fd as u64, preparent: place.before, postparent });
        Ok(())
    }

    /// Descriptor for a new file: the one that created it or, for special open flags, a new one.
    fn with_flags(&self, fd: OwnedFd, object: &Object, flags: OpenFlags) -> Result<OwnedFd> {
        let special = [OpenFlags::APPEND, OpenFlags::SYNC, OpenFlags::DIRECT];
        let special = special.into_iter().any(|flag| flags.has(flag));
        if special { reopen(object, os_flags(flags)) } else { Ok(fd) }
    }

    pub(super) fn link(&self, call: &Call<'_>, r: &Link<'_>, out: &mut Out<'_>) -> Result<()> {
        let _one_at_a_time = self.hold_names(&r.newgfid);
        self.not_an_index(&r.newgfid)?;
        let place = self.place(r.newgfid, r.newbname, &call.cred)?;
        let object = self.object_of(call, &r.oldgfid)?;
        if is_dir(&object.stat) {
            return Err(Errno::EPERM);
        }
        self.link_to(call, r.oldgfid, &object, (&r.newgfid, r.newbname), &place, out)
    }

    /// Adds a hard link to a file.
    fn link_to(
        &self,
        call: &Call<'_>,
        gfid: Gfid,
        object: &Object,
        (parent, name): (&Gfid, &[u8]),
        place: &Place,
        out: &mut Out<'_>,
    ) -> Result<()> {
        let _intent = self.intend(false, &[(parent, name)], &[gfid]);
        let handle = handle_path(&gfid);
        rustix::fs::linkat(&self.root, handle, &place.parent.fd, name, AtFlags::empty())
            .map_err(errno)?;
        if let Err(error) = gfid2path::add(self.namespace(), &object.fd, parent, name) {
            let _ = rustix::fs::unlinkat(&place.parent.fd, name, AtFlags::empty());
            return Err(error);
        }
        self.make_names_durable(&place.parent, None)?;
        self.touch(&gfid, &object.fd, &object.stat, &call.cred, CTIME);
        let stat = self.iatt_now(&object.fd, gfid)?;
        let postparent = self.parent_after(call, *parent, place)?;
        out.body(Body::Entry { stat, preparent: place.before, postparent });
        Ok(())
    }

    pub(super) fn unlink(&self, call: &Call<'_>, r: &Unlink<'_>, out: &mut Out<'_>) -> Result<()> {
        // Declared before the guard, so it is dropped after it: the last descriptor frees the
        // file's blocks, which may take a minute.
        let object;
        let _one_at_a_time = self.hold_names(&r.pargfid);
        let place = self.place_of(r.pargfid, r.bname, &call.cred)?;
        object = self.child(&place.parent, r.bname)?;
        if is_dir(&object.stat) {
            return Err(Errno::EISDIR);
        }
        permission::remove(&place.parent, &object.stat, &call.cred)?;
        let gfid = gfid_of(self.namespace(), &object.fd);
        let _intent = self.intend(false, &[(&r.pargfid, r.bname)], gfid.as_slice());
        rustix::fs::unlinkat(&place.parent.fd, r.bname, AtFlags::empty()).map_err(errno)?;
        self.name_gone(call, &object, &r.pargfid, r.bname);
        let postparent = self.parent_after(call, r.pargfid, &place)?;
        out.body(Body::TwoIatts { before: place.before, after: postparent });
        Ok(())
    }

    /// Follows up a removed hard link: without links, the handle goes too.
    fn name_gone(&self, call: &Call<'_>, object: &Object, parent: &Gfid, name: &[u8]) {
        let Some(gfid) = gfid_of(self.namespace(), &object.fd) else { return };
        let Ok(now) = rustix::fs::fstat(&object.fd) else { return };
        // A copy made by hand has no handle: that is its original's, as are the cached times.
        let is_copy = self.is_copy(&gfid, object);
        if now.st_nlink > if is_copy { 0 } else { 1 } {
            gfid2path::remove(self.namespace(), &object.fd, parent, name);
        }
        if is_copy {
            return;
        }
        if now.st_nlink > 1 {
            self.touch(&gfid, &object.fd, &object.stat, &call.cred, CTIME);
            return;
        }
        if self.inodes.get(&gfid).is_some() {
            // Clients that have it open see the changed ctime.
            self.touch(&gfid, &object.fd, &object.stat, &call.cred, CTIME);
        }
        self.last_name_gone(&gfid, object);
    }

    /// An open file waits for its last close; otherwise its handle is removed, too.
    pub(super) fn last_name_gone(&self, gfid: &Gfid, object: &Object) {
        // The last close takes this lock too: it sees the file either with its name or parked.
        let _one_at_a_time = self.hold_attrs(gfid);
        if self.is_copy(gfid, object) {
            return;
        }
        // A failure leaves a handle without a name. Clients do not see it, and the sweep removes
        // it.
        let _ = match self.inodes.get(gfid) {
            Some(_) => self.park_handle(gfid),
            None => self.unlink_handle(gfid),
        };
        self.unindex(gfid);
    }

    pub(super) fn rmdir(&self, call: &Call<'_>, r: &Rmdir<'_>, out: &mut Out<'_>) -> Result<()> {
        let _one_at_a_time = self.hold_names(&r.pargfid);
        let place = self.place_of(r.pargfid, r.bname, &call.cred)?;
        let object = self.child(&place.parent, r.bname)?;
        if !is_dir(&object.stat) {
            return Err(Errno::ENOTDIR);
        }
        permission::remove(&place.parent, &object.stat, &call.cred)?;
        let gfid = gfid_of(self.namespace(), &object.fd);
        let _intent = self.intend(false, &[(&r.pargfid, r.bname)], gfid.as_slice());
        let mine = gfid.is_some_and(|gfid| {
            self.has_handle(&r.pargfid, r.bname, &object, &gfid).is_ok_and(|has| has)
        });
        let mut full = false;
        match rustix::fs::unlinkat(&place.parent.fd, r.bname, AtFlags::REMOVEDIR) {
            // A heal removes a directory with its content.
            Err(Os::NOTEMPTY) if r.xflags & 1 != 0 => {
                let name = gfid.map_or_else(|| String::from("nameless"), |gfid| gfid.to_string());
                let to = Self::in_landfill(&name);
                rustix::fs::renameat(&place.parent.fd, r.bname, &self.root, to).map_err(errno)?;
                self.deep.forget();
                full = true;
            }
            result => result.map_err(errno)?,
        }
        // The handle of a copy made by hand leads to its original.
        if let Some(gfid) = gfid.filter(|gfid| mine || self.is_orphan(gfid)) {
            self.directory_gone(gfid);
        }
        if full {
            self.empty_landfill();
        }
        let postparent = self.parent_after(call, r.pargfid, &place)?;
        out.body(Body::TwoIatts { before: place.before, after: postparent });
        Ok(())
    }

    /// Follows up the removal of a directory that its handle led to.
    pub(super) fn directory_gone(&self, gfid: Gfid) {
        let _ = self.unlink_handle(&gfid);
        self.unindex(&gfid);
        self.removed.add(gfid);
    }

    pub(super) fn rename(&self, call: &Call<'_>, r: &Rename<'_>, out: &mut Out<'_>) -> Result<()> {
        // Declared before the guard, as in `unlink`.
        let replaced;
        let _one_at_a_time = self.hold_both(&r.oldgfid, &r.newgfid);
        self.not_an_index(&r.oldgfid)?;
        self.not_an_index(&r.newgfid)?;
        let old = self.place_of(r.oldgfid, r.oldbname, &call.cred)?;
        let new = self.place_of(r.newgfid, r.newbname, &call.cred)?;
        let object = self.child(&old.parent, r.oldbname)?;
        permission::remove(&old.parent, &object.stat, &call.cred)?;
        let gfid = self.gfid(&object)?;
        replaced = match self.child(&new.parent, r.newbname) {
            Ok(replaced) => {
                permission::remove(&new.parent, &replaced.stat, &call.cred)?;
                Some(replaced)
            }
            Err(Errno::ENOENT) => None,
            Err(error) => return Err(error),
        };
        let other = replaced.as_ref().and_then(|other| gfid_of(self.namespace(), &other.fd));
        // A copy made by hand has the gfid of its original, and is another file.
        let same = replaced.as_ref().is_some_and(|other| same_inode(&other.stat, &object.stat));
        let names = [(&r.oldgfid, r.oldbname), (&r.newgfid, r.newbname)];
        let _intent = self.intend(false, &names, &[gfid, other.unwrap_or(gfid)]);
        rustix::fs::renameat(&old.parent.fd, r.oldbname, &new.parent.fd, r.newbname)
            .map_err(errno)?;
        if is_dir(&object.stat) {
            self.deep.forget();
        }
        // If both names are links to one file, rename(2) does nothing.
        if !same {
            self.renamed(call, r, &object, gfid, replaced.as_ref())?;
        }
        if !same && other == Some(gfid) && !is_dir(&object.stat) {
            // A copy has replaced its original, whose handle is gone, or the other way round.
            match self.link_handle(&new.parent, r.newbname, &gfid) {
                Ok(()) | Err(Os::EXIST) => {}
                Err(error) => return Err(errno(error)),
            }
        }
        self.make_names_durable(&new.parent, is_dir(&object.stat).then_some(&gfid))?;
        self.make_names_durable(&old.parent, None)?;
        self.touch(&gfid, &object.fd, &object.stat, &call.cred, CTIME);
        let stat = self.iatt_now(&object.fd, gfid)?;
        let postoldparent = self.parent_after(call, r.oldgfid, &old)?;
        let postnewparent = self.parent_after(call, r.newgfid, &new)?;
        out.body(Body::Rename {
            stat,
            preoldparent: old.before,
            postoldparent,
            prenewparent: new.before,
            postnewparent,
        });
        Ok(())
    }

    /// Updates handles and gfid2path xattrs after a rename.
    fn renamed(
        &self,
        call: &Call<'_>,
        r: &Rename<'_>,
        object: &Object,
        gfid: Gfid,
        replaced: Option<&Object>,
    ) -> Result<()> {
        if let Some(replaced) = replaced {
            match gfid_of(self.namespace(), &replaced.fd) {
                Some(gone) if is_dir(&replaced.stat) => {
                    // The handle leads to the new directory of that name, or to the original of a
                    // copy made by hand.
                    if self.is_orphan(&gone) {
                        self.directory_gone(gone);
                    }
                }
                _ => self.name_gone(call, replaced, &r.newgfid, r.newbname),
            }
        }
        if is_dir(&object.stat) {
            if self.is_copied_directory(&gfid, object) {
                return Ok(());
            }
            return self.link_dir_handle(&r.newgfid, r.newbname, &gfid).map_err(errno);
        }
        gfid2path::remove(self.namespace(), &object.fd, &r.oldgfid, r.oldbname);
        // Only tools read this xattr, so a failure does not undo the rename.
        let _ = gfid2path::add(self.namespace(), &object.fd, &r.newgfid, r.newbname);
        Ok(())
    }
}
