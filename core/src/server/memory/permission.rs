//! May this caller do that? By mode bits; root may everything.

use super::Result;
use super::inode::Inode;
use crate::rpc::Cred;
use crate::xdr::Errno;

pub(super) const READ: u32 = 4;
pub(super) const WRITE: u32 = 2;
pub(super) const EXECUTE: u32 = 1;

/// Daemons of the volume have negative pids.
pub(super) fn is_root(cred: &Cred<'_>) -> bool {
    cred.uid == 0 || cred.pid < 0
}

pub(super) fn in_group(cred: &Cred<'_>, gid: u32) -> bool {
    cred.gid == gid || cred.groups.chunks_exact(4).any(|group| group == gid.to_be_bytes())
}

/// Does the mode give the caller all of `want`? The first class that fits decides.
pub(super) fn check(inode: &Inode, cred: &Cred<'_>, want: u32) -> Result<()> {
    if is_root(cred) {
        return Ok(());
    }
    let shift = if cred.uid == inode.uid {
        6
    } else if in_group(cred, inode.gid) {
        3
    } else {
        0
    };
    if (inode.mode >> shift) & want == want { Ok(()) } else { Err(Errno::EACCES.into()) }
}

/// The mode that a caller's file may have: set-group-id of a group that it is not in would make it a member.
pub(super) fn kept_mode(mode: u32, directory: bool, group: u32, cred: &Cred<'_>) -> u32 {
    let foreign = !is_root(cred) && !in_group(cred, group);
    if foreign && !directory { mode & !0o2000 } else { mode }
}

/// Only the owner, and root.
pub(super) fn owner(inode: &Inode, cred: &Cred<'_>) -> Result<()> {
    if is_root(cred) || cred.uid == inode.uid { Ok(()) } else { Err(Errno::EPERM.into()) }
}

/// May a name be taken out of a directory? One with the sticky bit keeps what belongs to others.
pub(super) fn remove(directory: &Inode, entry: &Inode, cred: &Cred<'_>) -> Result<()> {
    check(directory, cred, WRITE | EXECUTE)?;
    let sticky = directory.mode & 0o1000 != 0;
    if sticky && cred.uid != directory.uid { owner(entry, cred) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_class_that_fits_decides() {
        let inode = |mode, uid, gid| Inode { mode, uid, gid, ..Inode::EMPTY };
        let owner = Cred::v3(1, 10, 20);
        assert!(check(&inode(0o700, 10, 99), &owner, READ | WRITE).is_ok());
        // The owner is not asked as one of the others.
        assert!(check(&inode(0o077, 10, 20), &owner, READ).is_err());
        let groups = 77_u32.to_be_bytes();
        let member = Cred { groups: &groups, ..Cred::v3(1, 11, 21) };
        assert!(check(&inode(0o040, 10, 77), &member, READ).is_ok());
        assert!(check(&inode(0o040, 10, 78), &member, READ).is_err());
        assert!(check(&inode(0, 10, 20), &Cred::v3(1, 0, 0), READ | WRITE | EXECUTE).is_ok());
    }
}
