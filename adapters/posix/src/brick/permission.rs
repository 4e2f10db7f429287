//! May this caller do that? By mode bits and ACLs; root may everything.

use std::os::fd::AsFd;

use brickwire_core::rpc::Cred;
use brickwire_core::server::acl::{self, Acl};
pub(super) use brickwire_core::server::permission::{EXECUTE, READ, WRITE, in_group};
use brickwire_core::server::permission::{acl_allows, allows, is_root, needs_acl};
use brickwire_core::xdr::Errno;
use rustix::fs::Stat;

use super::handles::{Object, is_symlink};
use super::{Result, XattrSpace, xattrs};

/// `fd` is what has this `stat`: its ACL is read where it has a say.
pub(super) fn check(fd: impl AsFd, stat: &Stat, cred: &Cred<'_>, want: u32) -> Result<()> {
    let acl = if needs_acl(stat.st_uid, cred) && !is_symlink(stat) {
        xattrs::get(XattrSpace::Trusted, fd, acl::ACCESS)
    } else {
        None
    };
    let may = match acl.as_deref().and_then(Acl::parse) {
        Some(acl) => acl_allows(acl, stat.st_gid, cred, want),
        None => allows(stat.st_mode, stat.st_uid, stat.st_gid, cred, want),
    };
    if may { Ok(()) } else { Err(Errno::EACCES) }
}

/// Only the owner, and root.
pub(super) fn owner(stat: &Stat, cred: &Cred<'_>) -> Result<()> {
    if is_root(cred) || cred.uid == stat.st_uid { Ok(()) } else { Err(Errno::EPERM) }
}

/// May a name be taken out of a directory? One with the sticky bit keeps what belongs to others.
pub(super) fn remove(directory: &Object, entry: &Stat, cred: &Cred<'_>) -> Result<()> {
    check(&directory.fd, &directory.stat, cred, WRITE | EXECUTE)?;
    let sticky = directory.stat.st_mode & 0o1000 != 0;
    if sticky && cred.uid != directory.stat.st_uid { owner(entry, cred) } else { Ok(()) }
}

/// The mode of a file whose data this caller changes, if it is another one then: nobody but root leaves setuid on what it wrote, or
/// setgid where that is more than a mark.
pub(super) fn mode_after_change(stat: &Stat, cred: &Cred<'_>) -> Option<u32> {
    let mode = stat.st_mode & 0o7777;
    let setgid = if mode & 0o010 != 0 { 0o2000 } else { 0 };
    let marks = mode & (0o4000 | setgid);
    (marks != 0 && cred.uid != 0 && cred.pid >= 0).then_some(mode & !marks)
}

/// The mode that a caller's file may have: setgid of a group that it is not in would make it a member.
pub(super) fn kept_mode(mode: u32, directory: bool, group: u32, cred: &Cred<'_>) -> u32 {
    let foreign = !is_root(cred) && !in_group(cred, group);
    if foreign && !directory { mode & !0o2000 } else { mode }
}
