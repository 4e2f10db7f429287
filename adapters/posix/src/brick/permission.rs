//! Permission checks by mode bits and ACLs. root has all permissions.

use std::os::fd::AsFd;

use brickwire_core::rpc::Cred;
use brickwire_core::server::acl::{self, Acl};
use brickwire_core::server::permission::{self as rules, Owned, acl_allows, allows, needs_acl};
pub(super) use brickwire_core::server::permission::{
    EXECUTE, READ, SET_ATIME, SET_CTIME, SET_GID, SET_MODE, SET_MTIME, SET_UID, WRITE, kept_mode,
    mode_after_change, setattr,
};
use brickwire_core::xdr::Errno;
use rustix::fs::Stat;

use super::handles::{Object, is_symlink};
use super::{Result, XattrNamespace};

/// Checks the permissions in `want`. `fd` is the object with this `stat`; its ACL is read if it
/// matters.
pub(super) fn check(fd: impl AsFd, stat: &Stat, cred: &Cred<'_>, want: u32) -> Result<()> {
    let acl = if needs_acl(stat.st_uid, cred) && !is_symlink(stat) {
        XattrNamespace::Trusted.value(fd, acl::ACCESS).ok()
    } else {
        None
    };
    let may = match acl.as_deref().and_then(Acl::parse) {
        Some(acl) => acl_allows(acl, stat.st_gid, cred, want),
        None => allows(stat.st_mode, stat.st_uid, stat.st_gid, cred, want),
    };
    if may { Ok(()) } else { Err(Errno::EACCES) }
}

/// Permits the owner and root.
pub(super) fn owner(stat: &Stat, cred: &Cred<'_>) -> Result<()> {
    rules::owner(stat.st_uid, cred)
}

/// Owner, group and mode of an object.
pub(super) fn of(stat: &Stat) -> Owned {
    Owned { mode: stat.st_mode, uid: stat.st_uid, gid: stat.st_gid }
}

/// Checks that a name may be removed from a directory. In one with the sticky bit, entries of other
/// owners are kept.
pub(super) fn remove(directory: &Object, entry: &Stat, cred: &Cred<'_>) -> Result<()> {
    check(&directory.fd, &directory.stat, cred, WRITE | EXECUTE)?;
    rules::remove(&of(&directory.stat), &of(entry), cred)
}
