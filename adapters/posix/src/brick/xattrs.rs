//! Extended attributes: those that clients own, those of the brick itself, and computed ones.

use std::os::fd::AsFd;

use brickwire_core::fop::wire::Body;
use brickwire_core::rpc::Cred;
use brickwire_core::server::{Call, Target, xattr_names};
use brickwire_core::xdr::{Dict, Errno, Gfid, Iatt, Pair, Value};
use rustix::fs::{Stat, XattrFlags};

use super::handles::proc_path;
use super::mdata::{self, CTIME};
use super::reply::{Key, Out, Owned};
use super::stat::GFID;
use super::{Brick, Result, acl_text, errno, gfid2path, permission};

/// Xattrs of the brick that clients neither see nor set.
const INTERNAL: [&[u8]; 3] = [GFID, b"trusted.glusterfs.volume-id", mdata::KEY];
/// Prefixes of all xattr names.
const FAMILIES: [&[u8]; 4] = [b"trusted.", b"user.", b"security.", b"system."];

pub(super) fn is_internal(name: &[u8]) -> bool {
    INTERNAL.contains(&name)
        || xattr_names::BIT_ROT.contains(&name)
        || name.starts_with(gfid2path::PREFIX.as_bytes())
        || name.starts_with(super::xattr_namespace::PREFIX)
}

/// Whether the name has a known prefix.
pub(super) fn is_family(name: &[u8]) -> bool {
    FAMILIES.iter().any(|family| name.starts_with(family))
}

/// Whether CREATE and its like may set this xattr. Other keys of their xdata have another meaning.
pub(super) fn settable_at_birth(name: &[u8]) -> bool {
    let acl = !name.starts_with(b"system.") || name.starts_with(b"system.posix_acl_");
    !is_internal(name) && is_family(name) && acl
}

/// Checks that clients may use an xattr of this name.
fn check_name(name: &[u8]) -> Result<()> {
    if is_internal(name) {
        return Err(Errno::EPERM);
    }
    if is_family(name) { Ok(()) } else { Err(Errno::EOPNOTSUPP) }
}

/// Whether an xattr is returned without read permission: ACLs, and the gfids of the heal daemon's
/// indices.
fn is_readable_by_all(name: &[u8]) -> bool {
    let names: [&[u8]; 3] = [b"system.posix_acl_", b"glusterfs.posix.", b"glusterfs.xattrop_"];
    names.iter().any(|begin| name.starts_with(begin))
}

/// Checks that the caller may set or remove an xattr of this name.
fn may_change(name: &[u8], fd: impl AsFd, stat: &Stat, cred: &Cred<'_>) -> Result<()> {
    check_name(name)?;
    let privileged = name.starts_with(b"trusted.") || name.starts_with(b"security.");
    if privileged && cred.uid != 0 && cred.pid >= 0 {
        return Err(Errno::EPERM);
    }
    if name.starts_with(b"user.") {
        permission::check(fd, stat, cred, permission::WRITE)
    } else {
        permission::owner(stat, cred)
    }
}

impl Brick {
    pub(super) fn setxattr(
        &self,
        call: &Call<'_>,
        gfid: Gfid,
        flags: u32,
        dict: &Dict<'_>,
        out: &mut Out<'_>,
    ) -> Result<()> {
        let work = self.about(call, gfid)?;
        let (gfid, path) = (work.gfid(), proc_path(&work));
        self.not_an_index(&gfid)?;
        let stat = rustix::fs::fstat(&work).map_err(errno)?;
        let mut os = XattrFlags::empty();
        os.set(XattrFlags::CREATE, flags & 1 != 0);
        os.set(XattrFlags::REPLACE, flags & 2 != 0);
        // Translators keep state in trusted.* (layouts, for example). Changing it does not move the
        // inode's times.
        let mut of_user = false;
        for (name, value) in dict.pairs() {
            if name == b"set-ctime-mdata" || name == mdata::KEY && call.cred.pid < 0 {
                self.first_times(&gfid, &work, &value)?;
                continue;
            }
            if let Some(kind) = acl_text::kind(name) {
                permission::owner(&stat, &call.cred)?;
                acl_text::set(&work, &stat, kind, value.as_bytes().ok_or(Errno::EINVAL)?)?;
                of_user = true;
                continue;
            }
            if xattr_names::is_ignored(name) {
                continue;
            }
            may_change(name, &work, &stat, &call.cred)?;
            of_user |= !name.starts_with(b"trusted.");
            let bytes = value.as_bytes().ok_or(Errno::EINVAL)?;
            self.namespace().set(&path, name, bytes, os).map_err(errno)?;
        }
        self.touch(&gfid, &work, &stat, &call.cred, if of_user { CTIME } else { 0 });
        out.done();
        Ok(())
    }

    /// Sets the times of an inode that has none on this brick, from a client or a heal.
    fn first_times(&self, gfid: &Gfid, fd: impl AsFd, value: &Value<'_>) -> Result<()> {
        let times = match value {
            Value::Mdata(times) => *times,
            Value::IattBytes(_) | Value::Iatt(_) => return Ok(()),
            other => match other.as_bytes().and_then(mdata::decode) {
                Some(times) => times,
                None => return Err(Errno::EINVAL),
            },
        };
        if self.times(gfid, &fd).is_some() {
            return Ok(());
        }
        self.set_times(gfid, fd, &times)
    }

    pub(super) fn getxattr(
        &self,
        call: &Call<'_>,
        gfid: Gfid,
        name: &[u8],
        out: &mut Out<'_>,
    ) -> Result<()> {
        let work = self.about(call, gfid)?;
        let stat = rustix::fs::fstat(&work).map_err(errno)?;
        // As on a real brick: read permission is needed by gfid only, and not for all xattrs.
        if call.target == Target::Gfid && !is_readable_by_all(name) {
            permission::check(&work, &stat, &call.cred, permission::READ)?;
        }
        let keys = if name.is_empty() {
            self.all_xattrs(&work.gfid(), &work, &call.cred)
        } else if let Some(value) = self.virtual_xattr(&work.gfid(), &work, name) {
            vec![(name.to_owned(), value?)]
        } else if let Some(kind) = acl_text::kind(name) {
            vec![(name.to_owned(), Owned::Text(acl_text::get(&work, &stat, kind)?))]
        } else {
            if is_internal(name) && name != mdata::KEY && !(name == GFID && call.cred.pid < 0) {
                return Err(Errno::ENODATA);
            }
            if call.cred.pid >= 0 && xattr_names::is_hidden(name) {
                return Err(Errno::ENODATA);
            }
            if !is_family(name) {
                return Err(Errno::EOPNOTSUPP);
            }
            let bytes = match name {
                mdata::KEY => {
                    self.times(&work.gfid(), &work).map(|times| mdata::encode(&times).to_vec())
                }
                _ => Some(self.namespace().value(&work, name).map_err(errno)?),
            };
            vec![(name.to_owned(), Owned::Bytes(bytes.ok_or(Errno::ENODATA)?))]
        };
        let pairs: Vec<Pair<'_>> =
            keys.iter().map(|(key, value)| Pair { key, value: value.value() }).collect();
        let none = Iatt::default();
        // An empty dictionary: the C client crashes on a success without one.
        out.success(0, 0, &[], Body::Dict { dict: Dict::Pairs(&pairs), before: none, after: none });
        Ok(())
    }

    /// All xattrs that the caller may see. The times are among them for heals only, which copy
    /// them.
    pub(super) fn all_xattrs(&self, gfid: &Gfid, fd: impl AsFd, cred: &Cred<'_>) -> Vec<Key> {
        let namespace = self.namespace();
        let names = namespace.names(&fd);
        let names = names.split(|byte| *byte == 0).map(|name| namespace.off_disk(name));
        let seen = names.filter(|name| !name.is_empty() && !is_internal(name));
        let seen = seen.filter(|name| cred.pid < 0 || !xattr_names::is_hidden(name));
        let seen =
            seen.filter_map(|name| Some((name.to_owned(), namespace.value(&fd, name).ok()?)));
        let times = (cred.pid < 0).then(|| self.times(gfid, &fd)).flatten();
        let times = times.map(|times| (mdata::KEY.to_owned(), mdata::encode(&times).to_vec()));
        seen.chain(times).map(|(name, bytes)| (name, Owned::Bytes(bytes))).collect()
    }

    pub(super) fn removexattr(
        &self,
        call: &Call<'_>,
        gfid: Gfid,
        name: &[u8],
        xdata: &Dict<'_>,
        out: &mut Out<'_>,
    ) -> Result<()> {
        let work = self.about(call, gfid)?;
        let stat = rustix::fs::fstat(&work).map_err(errno)?;
        self.not_an_index(&work.gfid())?;
        let remove = |name: &[u8]| {
            // As on GlusterFS's bricks, a heal that clears a copy gets success and the times stay.
            if name == mdata::KEY && call.cred.pid < 0 {
                return Ok(());
            }
            may_change(name, &work, &stat, &call.cred)?;
            self.namespace().remove(proc_path(&work), name).map_err(errno)
        };
        if name.is_empty() {
            // Removes all xattrs that the xdata names: a heal clears a copy this way before it
            // fills it from another.
            for (key, _) in xdata.pairs() {
                match remove(key) {
                    Err(Errno::ENODATA | Errno::EOPNOTSUPP) => {}
                    result => result?,
                }
            }
        } else {
            remove(name)?;
        }
        self.touch(&work.gfid(), &work, &stat, &call.cred, CTIME);
        out.done();
        Ok(())
    }
}
