//! LOOKUP, STAT, SETATTR, ACCESS, STATFS, READLINK.

use brickwire_core::fop::wire::{Access, Body, Lookup, Readlink, Statfs, Statvfs};
use brickwire_core::rpc::{Cred, TimeFlags};
use brickwire_core::server::{Call, Target};
use brickwire_core::xdr::{Dict, Errno, Gfid, Iatt};
use rustix::fs::{AtFlags, Gid, Mode, Uid};

use super::dirs::keys_len;
use super::handles::{Object, is_dir, is_regular, is_symlink, proc_path};
use super::mdata::{self, ATIME, CTIME, MTIME};
use super::permission::{SET_ATIME, SET_CTIME, SET_GID, SET_MODE, SET_MTIME, SET_UID};
use super::reply::{Key, Out, Owned};
use super::stat::gfid_of;
use super::{Brick, Result, errno, gfid2path, permission};

/// Size in bytes of the longest file whose content LOOKUP returns (quick-read).
const CONTENT_MAX: u64 = 64 * 1024;

/// Bytes of all values in one reply at most. The xattrs of an inode seldom exceed a page.
const ANSWERS_MAX: usize = 512 * 1024;

impl Brick {
    pub(super) fn lookup(&self, call: &Call<'_>, r: &Lookup<'_>, out: &mut Out<'_>) -> Result<()> {
        let (object, gfid, parent) = if r.bname.is_empty() {
            let gfid = if r.gfid == Gfid::NONE { r.pargfid } else { r.gfid };
            // A LOOKUP by an unknown gfid is ENOENT, as on a real brick; other fops get ESTALE.
            let object = match self.object_of(call, &gfid) {
                Err(Errno::ESTALE) => Err(Errno::ENOENT),
                result => result,
            }?;
            (object, gfid, Iatt::default())
        } else {
            if self.is_hidden(&r.pargfid, r.bname) {
                return Err(Errno::EPERM);
            }
            let parent = self.directory(&r.pargfid).map_err(|error| match error {
                Errno::ESTALE if self.removed.contains(&r.pargfid) => Errno::ENOENT,
                error => error,
            })?;
            permission::check(&parent.fd, &parent.stat, &call.cred, permission::EXECUTE)?;
            let (object, gfid) = self.named(r, &parent)?;
            let postparent = self.iatt(&parent, r.pargfid);
            (object, gfid, postparent)
        };
        let keys = self.asked(&object, &gfid, &call.cred, &r.xdata);
        let stat = self.iatt(&object, gfid);
        out.success(0, 0, &keys, Body::TwoIatts { before: stat, after: parent });
        Ok(())
    }

    /// The object that a name refers to, with gfid and handle.
    fn named(&self, r: &Lookup<'_>, parent: &Object) -> Result<(Object, Gfid)> {
        if let Some(listed) = self.in_index(&r.pargfid, r.bname) {
            return listed;
        }
        let object = self.child(parent, r.bname)?;
        if let Some(gfid) = gfid_of(self.namespace(), &object.fd)
            && self.has_handle(&r.pargfid, r.bname, &object, &gfid).is_ok_and(|has| has)
        {
            return Ok((object, gfid));
        }
        // The object is being created or removed, or a crash or an administrator left it so. With
        // the lock, no change is in progress, and missing parts are created.
        let _one_at_a_time = self.hold_names(&r.pargfid);
        let object = self.child(parent, r.bname)?;
        let gfid = match gfid_of(self.namespace(), &object.fd) {
            Some(gfid) => gfid,
            // Replicate's first LOOKUP of a copy without gfid; it then proposes one gfid to all
            // bricks.
            None if r.xdata.get("gfid-req").is_none()
                && r.xdata.get("gfidless-lookup").is_some() =>
            {
                return Ok((object, Gfid::NONE));
            }
            None => self.adopt(r, &object.fd, is_dir(&object.stat))?,
        };
        self.mend_handle(&r.pargfid, parent, r.bname, &object, &gfid).map_err(errno)?;
        if !is_dir(&object.stat) {
            // A brick without these xattrs is valid, so failing to set one is no error.
            let _ = gfid2path::add(self.namespace(), &object.fd, &r.pargfid, r.bname);
        }
        let stat = rustix::fs::fstat(&object.fd).map_err(errno)?;
        Ok((Object { stat, ..object }, gfid))
    }

    /// Answers the keys of a request's xdata: xattrs that exist, and the brick's virtual ones.
    pub(super) fn asked(
        &self,
        object: &Object,
        gfid: &Gfid,
        cred: &Cred<'_>,
        xdata: &Dict<'_>,
    ) -> Vec<Key> {
        let (mut keys, mut domains) = (Vec::new(), 0);
        for (name, value) in xdata.pairs() {
            // Bounds the answer: a request may repeat a key thousands of times.
            if keys_len(&keys) > ANSWERS_MAX {
                break;
            }
            match name {
                b"glusterfs.content" => {
                    let max = value.as_u64().unwrap_or(0).min(CONTENT_MAX);
                    keys.extend(
                        self.content(object, max).map(|bytes| (name.into(), Owned::Bytes(bytes))),
                    );
                }
                mdata::KEY => {
                    let times = self.times(gfid, &object.fd);
                    let bytes = times.map(|times| mdata::encode(&times).to_vec());
                    keys.extend(bytes.map(|bytes| (name.into(), Owned::Bytes(bytes))));
                }
                b"glusterfs.index-ia-type-get-req" => {
                    let kind = self.listed_kind(gfid).map(Owned::Uint);
                    keys.extend(kind.map(|kind| (b"glusterfs.index-ia-type-get-rsp".into(), kind)));
                }
                // A place-holder: the server fills in the count when it sends the reply. Replicate
                // asks for at most two domains.
                _ if name.starts_with(b"glusterfs.inodelk-dom-prefix:") => {
                    if domains < 2 {
                        keys.push((name.into(), Owned::Int(0)));
                    }
                    domains += 1;
                }
                b"list-xattr" => keys.extend(self.all_xattrs(gfid, &object.fd, cred)),
                b"link-count" => keys.push((name.into(), Owned::Int(self.index_count()))),
                // The on-disk name of a `trusted.*` xattr of a brick without root is not shown.
                _ if name.starts_with(super::xattr_namespace::PREFIX) => {}
                _ if super::xattrs::is_family(name) => {
                    let found = self.namespace().value(&object.fd, name).ok();
                    keys.extend(found.map(|bytes| (name.into(), Owned::Bytes(bytes))));
                }
                _ => {}
            }
        }
        keys
    }

    fn content(&self, object: &Object, max: u64) -> Option<Vec<u8>> {
        if !is_regular(&object.stat) || object.stat.st_size as u64 > max {
            return None;
        }
        let fd = super::files::reopen(object, rustix::fs::OFlags::RDONLY).ok()?;
        let mut bytes = vec![0; object.stat.st_size as usize];
        let len = rustix::io::pread(fd, &mut bytes, 0).ok()?;
        bytes.truncate(len);
        Some(bytes)
    }

    pub(super) fn stat(
        &self,
        call: &Call<'_>,
        gfid: Gfid,
        xdata: &Dict<'_>,
        out: &mut Out<'_>,
    ) -> Result<()> {
        let work = self.about(call, gfid)?;
        let (gfid, stat) = (work.gfid(), rustix::fs::fstat(&work).map_err(errno)?);
        let iatt = self.iatt_with(&stat, gfid, &work);
        let keys = if xdata.pairs().next().is_some() {
            self.find(&gfid, true)
                .map(|object| self.asked(&object, &gfid, &call.cred, xdata))
                .unwrap_or_default()
        } else {
            Vec::new()
        };
        out.success(0, 0, &keys, Body::Stat(iatt));
        Ok(())
    }

    pub(super) fn access(&self, call: &Call<'_>, r: &Access<'_>, out: &mut Out<'_>) -> Result<()> {
        let object = self.object_of(call, &r.gfid)?;
        permission::check(&object.fd, &object.stat, &call.cred, r.mask & 7)?;
        out.done();
        Ok(())
    }

    pub(super) fn setattr(
        &self,
        call: &Call<'_>,
        (gfid, want, valid): (Gfid, &Iatt, i32),
        xdata: &Dict<'_>,
        out: &mut Out<'_>,
    ) -> Result<()> {
        let (gfid, object) = match call.target {
            // An open file need not have a name any more.
            Target::Open(handle) => {
                let file = self.files.get(handle).ok_or(Errno::EBADF)?;
                let fd = file.fd.try_clone().map_err(|_| Errno::EMFILE)?;
                let stat = rustix::fs::fstat(&fd).map_err(errno)?;
                (file.gfid(), Object { fd, stat })
            }
            Target::Gfid => (gfid, self.object_of(call, &gfid)?),
        };
        let before = self.iatt(&object, gfid);
        let path = proc_path(&object.fd);
        self.not_an_index(&gfid)?;
        let open_to_write = self.is_open_to_write(call.target);
        let may_write =
            || permission::check(&object.fd, &object.stat, &call.cred, permission::WRITE).is_ok();
        let owned = permission::of(&object.stat);
        permission::setattr(&owned, (want, valid), &call.cred, open_to_write, may_write)?;
        if valid & (SET_UID | SET_GID) != 0 {
            let uid = (valid & SET_UID != 0).then_some(want.uid);
            let gid = (valid & SET_GID != 0).then_some(want.gid);
            let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
            rustix::fs::chownat(&object.fd, "", uid, gid, AtFlags::EMPTY_PATH).map_err(errno)?;
        }
        if valid & (SET_MODE | SET_UID | SET_GID | SET_ATIME | SET_MTIME) == 0 {
            // chown(2) without a change of owner still moves ctime.
            rustix::fs::chownat(&object.fd, "", None, None, AtFlags::EMPTY_PATH).map_err(errno)?;
        }
        // The mode of a symlink is fixed. A heal sets it with the owner, and gets success, as from
        // GlusterFS's bricks.
        if valid & SET_MODE != 0 && !is_symlink(&object.stat) {
            let group = if valid & SET_GID != 0 { want.gid } else { object.stat.st_gid };
            let mode =
                permission::kept_mode(want.mode & 0o7777, is_dir(&object.stat), group, &call.cred);
            rustix::fs::chmod(&path, Mode::from_raw_mode(mode)).map_err(errno)?;
        }
        if valid & (SET_ATIME | SET_MTIME | SET_CTIME) != 0 {
            self.set_utimes(&object, gfid, want, valid)?;
        }
        if valid & SET_CTIME == 0 {
            // Explicitly set atime and mtime stand; the credential's time only counts for ctime.
            let times = TimeFlags::from_bits(call.cred.times.bits() & !(MTIME | ATIME));
            let cred = Cred { times, ..call.cred };
            // Read again: an inode without clients' times takes them from the file system, where
            // they were just set.
            let stat = rustix::fs::fstat(&object.fd).map_err(errno)?;
            self.touch(&gfid, &object.fd, &stat, &cred, CTIME);
        }
        let after = self.iatt_now(&object.fd, gfid)?;
        // A chmod changes the access ACL, which clients cache, so the reply brings it.
        let keys = self.asked(&object, &gfid, &call.cred, xdata);
        out.success(0, 0, &keys, Body::TwoIatts { before, after });
        Ok(())
    }

    fn set_utimes(&self, object: &Object, gfid: Gfid, want: &Iatt, valid: i32) -> Result<()> {
        let omit = rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT };
        let spec = |bit, seconds: i64, nanos: u32| {
            if valid & bit == 0 {
                return omit;
            }
            rustix::fs::Timespec { tv_sec: seconds, tv_nsec: nanos.min(999_999_999).into() }
        };
        let times = rustix::fs::Timestamps {
            last_access: spec(SET_ATIME, want.atime, want.atime_nsec),
            last_modification: spec(SET_MTIME, want.mtime, want.mtime_nsec),
        };
        if is_symlink(&object.stat) {
            rustix::fs::utimensat(&object.fd, "", &times, AtFlags::EMPTY_PATH).map_err(errno)?;
        } else {
            let here = rustix::fs::CWD;
            rustix::fs::utimensat(here, proc_path(&object.fd), &times, AtFlags::empty())
                .map_err(errno)?;
        }
        if let Some(mut times) = self.times(&gfid, &object.fd) {
            if valid & SET_ATIME != 0 {
                times.atime = (want.atime, want.atime_nsec.min(999_999_999));
            }
            if valid & SET_MTIME != 0 {
                times.mtime = (want.mtime, want.mtime_nsec.min(999_999_999));
            }
            // The file system's own ctime cannot be set.
            if valid & SET_CTIME != 0 {
                times.ctime = (want.ctime, want.ctime_nsec.min(999_999_999));
            }
            self.set_times(&gfid, &object.fd, &times)?;
        }
        Ok(())
    }

    pub(super) fn readlink(
        &self,
        call: &Call<'_>,
        r: &Readlink<'_>,
        out: &mut Out<'_>,
    ) -> Result<()> {
        let object = self.object_of(call, &r.gfid)?;
        if !is_symlink(&object.stat) {
            return Err(Errno::EINVAL);
        }
        let target = rustix::fs::readlinkat(&object.fd, "", Vec::new()).map_err(errno)?;
        let stat = self.iatt(&object, r.gfid);
        let path = target.to_bytes();
        let len = path.len().min(r.size as usize);
        self.touch(&r.gfid, &object.fd, &object.stat, &call.cred, 0);
        out.success(len as i32, 0, &[], Body::Readlink { stat, path: &path[..len] });
        Ok(())
    }

    pub(super) fn statfs(&self, r: &Statfs<'_>, out: &mut Out<'_>) -> Result<()> {
        let object = self.object(if r.gfid == Gfid::NONE { &Gfid::ROOT } else { &r.gfid })?;
        let fs = rustix::fs::fstatvfs(&object.fd).map_err(errno)?;
        let share = u64::from(self.options.shared_by.max(1));
        out.body(Body::Statfs(Statvfs {
            bsize: fs.f_bsize,
            frsize: fs.f_frsize,
            blocks: fs.f_blocks / share,
            bfree: fs.f_bfree / share,
            bavail: fs.f_bavail / share,
            files: fs.f_files / share,
            ffree: fs.f_ffree / share,
            favail: fs.f_favail / share,
            fsid: fs.f_fsid,
            flag: fs.f_flag.bits(),
            namemax: 255,
        }));
        Ok(())
    }
}
