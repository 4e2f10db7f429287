//! LOOKUP, attributes and smaller queries about an inode.

use super::inode::TYPE;
use super::pages::Owner;
use super::permission::{SET_ATIME, SET_CTIME, SET_GID, SET_MODE, SET_MTIME, SET_UID};
use super::reply::{Out, Pairs};
use super::store::{ATIME, CTIME, MTIME, Store};
use super::xattrs::MDATA;
use super::{Result, Stop, permission};
use brickwire_core::fop::wire::{Access, Body, Lookup, Readlink, Statfs, Statvfs};
use brickwire_core::rpc::{Cred, TimeFlags};
use brickwire_core::server::{Call, Target};
use brickwire_core::xdr::{Dict, Errno, Gfid, Iatt, Value};

/// The longest file whose content LOOKUP returns.
const CONTENT_MAX: u64 = 64 * 1024;

impl Store<'_> {
    /// Whether it is `.glusterfs` in the root, which is hidden: bricks on disk keep their own files
    /// there.
    pub(super) fn is_hidden(parent: &Gfid, name: &[u8]) -> bool {
        *parent == Gfid::ROOT && name == b".glusterfs"
    }

    pub(super) fn lookup(
        &mut self,
        call: &Call<'_>,
        r: &Lookup<'_>,
        out: &mut Out<'_, '_, '_>,
    ) -> Result<()> {
        let brick = call.brick.0;
        let (slot, parent) = if r.bname.is_empty() {
            let gfid = if r.gfid == Gfid::NONE { r.pargfid } else { r.gfid };
            if gfid == Gfid::NONE {
                return Err(Errno::EINVAL.into());
            }
            // LOOKUP answers an unknown gfid with ENOENT, not with ESTALE: it may never have
            // existed.
            let slot = match self.object(call, &gfid) {
                Err(Stop::Errno(Errno::ESTALE)) => Err(Errno::ENOENT.into()),
                result => result,
            }?;
            (slot, Iatt::default())
        } else {
            if Self::is_hidden(&r.pargfid, r.bname) {
                return Err(Errno::EPERM.into());
            }
            let parent = self.directory(brick, &r.pargfid).map_err(|stop| match stop {
                super::Stop::Errno(Errno::ESTALE)
                    if self.removed.0.contains(&Some((brick, r.pargfid))) =>
                {
                    Errno::ENOENT.into()
                }
                stop => stop,
            })?;
            self.check(parent, &call.cred, permission::EXECUTE)?;
            let slot = self.child(parent, r.bname)?;
            if self.inode(slot)?.nameless {
                return Err(Errno::ENODATA.into());
            }
            (slot, self.iatt(parent))
        };
        self.asked(call, slot, &r.xdata, true, &mut out.keys)?;
        out.body(Body::TwoIatts { before: self.iatt(slot), after: parent })
    }

    /// The xattrs named by the keys of a request, with their values. Missing ones are left out.
    pub(super) fn asked(
        &self,
        call: &Call<'_>,
        slot: u32,
        xdata: &Dict<'_>,
        content: bool,
        keys: &mut Pairs<'_>,
    ) -> Result<()> {
        let mut domains = 0;
        keys.is_asked_for = !matches!(xdata, Dict::Null);
        for (key, value) in xdata.pairs() {
            match key {
                b"glusterfs.content" => {
                    let max = value.as_u64().unwrap_or(0).min(CONTENT_MAX);
                    let inode = self.inode(slot)?;
                    // A file that is too long for the reply is read with READ.
                    let fits = inode.size <= max
                        && inode.size as usize + 256 < keys.capacity() - keys.len();
                    if content && inode.is_regular() && fits {
                        keys.put_bytes(key, inode.size as usize, |room| {
                            self.pages.read(Owner::Inode(slot), 0, room);
                        })?;
                    }
                }
                MDATA => {
                    if let Some(times) = self.inode(slot)?.mdata {
                        keys.put(key, &Value::Ptr(&super::xattrs::encode_mdata(&times)))?;
                    }
                }
                b"trusted.gfid" => keys.put(key, &Value::Ptr(&self.inode(slot)?.gfid.0))?,
                b"glusterfs.index-ia-type-get-req" => {
                    if let Some(kind) = self.listed_kind(call.brick.0, &self.inode(slot)?.gfid)? {
                        keys.put(b"glusterfs.index-ia-type-get-rsp", &Value::Uint(kind))?;
                    }
                }
                // The server fills in lock counts when it sends the reply; replicate asks for two.
                _ if key.starts_with(b"glusterfs.inodelk-dom-prefix:") => {
                    if domains < 2 {
                        keys.put(key, &Value::Int(0))?;
                    }
                    domains += 1;
                }
                b"list-xattr" => self.all_xattrs(slot, &call.cred, keys)?,
                b"link-count" => keys.put(key, &Value::Int(self.index_count(call.brick.0)?))?,
                _ if super::xattrs::is_family(key) => {
                    if let Some(found) = self.xattr(slot, key) {
                        self.put_xattr(found, keys)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn stat(
        &mut self,
        call: &Call<'_>,
        gfid: &Gfid,
        xdata: &Dict<'_>,
        out: &mut Out<'_, '_, '_>,
    ) -> Result<()> {
        let slot = self.about(call, call.target, gfid)?;
        self.asked(call, slot, xdata, true, &mut out.keys)?;
        out.body(Body::Stat(self.iatt(slot)))
    }

    pub(super) fn access(
        &mut self,
        call: &Call<'_>,
        r: &Access<'_>,
        out: &mut Out<'_, '_, '_>,
    ) -> Result<()> {
        let slot = self.object(call, &r.gfid)?;
        self.check(slot, &call.cred, r.mask & 7)?;
        out.done()
    }

    pub(super) fn setattr(
        &mut self,
        call: &Call<'_>,
        (gfid, want, valid): (&Gfid, &Iatt, i32),
        xdata: &Dict<'_>,
        out: &mut Out<'_, '_, '_>,
    ) -> Result<()> {
        let slot = self.about(call, call.target, gfid)?;
        let before = self.iatt(slot);
        let inode = *self.inode(slot)?;
        let open_to_write = call.target != Target::Gfid && self.flags(call.target)?.writes();
        let may_write = || self.check(slot, &call.cred, permission::WRITE).is_ok();
        let owned = permission::of(&inode);
        permission::setattr(&owned, (want, valid), &call.cred, open_to_write, may_write)?;
        let changed = self.inode_mut(slot)?;
        if valid & SET_UID != 0 {
            changed.uid = want.uid;
        }
        if valid & SET_GID != 0 {
            changed.gid = want.gid;
        }
        // A file that gets a new owner loses set-user-id and set-group-id.
        // On a disk, a call that sets nothing is a chown that changes nothing.
        let chown =
            valid & (SET_UID | SET_GID) != 0 || valid & (SET_MODE | SET_ATIME | SET_MTIME) == 0;
        if chown && !inode.is_dir() {
            let group_runs = inode.mode & 0o010 != 0;
            changed.mode &= if group_runs { !0o6000 } else { !0o4000 };
        }
        // The mode of a symlink is fixed. A heal sets it with the owner, and gets success, as from
        // GlusterFS's bricks.
        if valid & SET_MODE != 0 && !inode.is_symlink() {
            let mode =
                permission::kept_mode(want.mode & 0o7777, inode.is_dir(), changed.gid, &call.cred);
            changed.mode = (inode.mode & TYPE) | mode;
        }
        for times in [Some(&mut changed.times), changed.mdata.as_mut()].into_iter().flatten() {
            if valid & SET_ATIME != 0 {
                times.atime = (want.atime, want.atime_nsec.min(999_999_999));
            }
            if valid & SET_MTIME != 0 {
                times.mtime = (want.mtime, want.mtime_nsec.min(999_999_999));
            }
            if valid & SET_CTIME != 0 {
                times.ctime = (want.ctime, want.ctime_nsec.min(999_999_999));
            }
        }
        // Times that the request sets stay as set; the call moves only ctime.
        let times = TimeFlags::from_bits(call.cred.times.bits() & !(MTIME | ATIME));
        let own = if valid & SET_CTIME == 0 { CTIME } else { 0 };
        let times = if own == 0 { TimeFlags::NONE } else { times };
        let now = self.clock;
        self.inode_mut(slot)?.times.ctime = now;
        self.touch(slot, own, &Cred { times, ..call.cred }, 0);
        if valid & SET_MODE != 0 {
            self.acl_follows_mode(slot)?;
        }
        // A chmod changes an ACL of which the client may have a copy, so the reply has the ACLs. If
        // they do not fit, the client asks again.
        let _ = self.asked(call, slot, xdata, true, &mut out.keys);
        out.body(Body::TwoIatts { before, after: self.iatt(slot) })
    }

    pub(super) fn readlink(
        &mut self,
        call: &Call<'_>,
        r: &Readlink<'_>,
        out: &mut Out<'_, '_, '_>,
    ) -> Result<()> {
        let slot = self.object(call, &r.gfid)?;
        let inode = *self.inode(slot)?;
        if !inode.is_symlink() {
            return Err(Errno::EINVAL.into());
        }
        let stat = self.iatt(slot);
        self.touch(slot, 0, &call.cred, 0);
        let len = inode.size.min(r.size.into()) as usize;
        out.path(stat, len, |room| self.pages.read(Owner::Inode(slot), 0, room))
    }

    pub(super) fn statfs(
        &mut self,
        call: &Call<'_>,
        r: &Statfs<'_>,
        out: &mut Out<'_, '_, '_>,
    ) -> Result<()> {
        let gfid = if r.gfid == Gfid::NONE { &Gfid::ROOT } else { &r.gfid };
        self.object(call, gfid)?;
        let inodes = (self.inodes.free() + self.inodes.len()) as u64;
        out.body(Body::Statfs(Statvfs {
            bsize: self.pages.each(),
            frsize: self.pages.each(),
            blocks: self.pages.capacity(),
            bfree: self.pages.free(),
            bavail: self.pages.free(),
            files: inodes,
            ffree: self.inodes.free() as u64,
            favail: self.inodes.free() as u64,
            fsid: call.brick.0.wrapping_add(1),
            flag: 0,
            namemax: 255,
        }))
    }
}
