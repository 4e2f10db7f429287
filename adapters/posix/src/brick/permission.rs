//! May this caller do that? By mode bits; root may everything.

use brickwire_core::rpc::Cred;
use brickwire_core::xdr::Errno;
use rustix::fs::Stat;

use super::Result;

pub(super) const READ: u32 = 4;
pub(super) const WRITE: u32 = 2;
pub(super) const EXECUTE: u32 = 1;

fn in_group(cred: &Cred<'_>, gid: u32) -> bool {
    cred.gid == gid || cred.groups.chunks_exact(4).any(|group| group == gid.to_be_bytes())
}

/// Does the mode give the caller all of `want`?
pub(super) fn allows(mode: u32, uid: u32, gid: u32, cred: &Cred<'_>, want: u32) -> bool {
    // Daemons of the volume have negative pids.
    if cred.uid == 0 || cred.pid < 0 {
        return true;
    }
    let shift = if cred.uid == uid {
        6
    } else if in_group(cred, gid) {
        3
    } else {
        0
    };
    (mode >> shift) & want == want
}

pub(super) fn check(stat: &Stat, cred: &Cred<'_>, want: u32) -> Result<()> {
    if allows(stat.st_mode, stat.st_uid, stat.st_gid, cred, want) { Ok(()) } else { Err(Errno::EACCES) }
}

/// Only the owner, and root.
pub(super) fn owner(stat: &Stat, cred: &Cred<'_>) -> Result<()> {
    if cred.uid == 0 || cred.pid < 0 || cred.uid == stat.st_uid { Ok(()) } else { Err(Errno::EPERM) }
}

/// May a name be taken out of a directory? One with the sticky bit keeps what belongs to others.
pub(super) fn remove(directory: &Stat, entry: &Stat, cred: &Cred<'_>) -> Result<()> {
    check(directory, cred, WRITE | EXECUTE)?;
    let sticky = directory.st_mode & 0o1000 != 0;
    if sticky && cred.uid != directory.st_uid { owner(entry, cred) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_class_that_fits_decides() {
        let owner = Cred::v3(1, 10, 20);
        assert!(allows(0o700, 10, 99, &owner, READ | WRITE));
        // The owner is not asked as one of the others.
        assert!(!allows(0o077, 10, 20, &owner, READ));
        let groups = 77_u32.to_be_bytes();
        let member = Cred { groups: &groups, ..Cred::v3(1, 11, 21) };
        assert!(allows(0o040, 10, 77, &member, READ));
        assert!(!allows(0o040, 10, 78, &member, READ));
        assert!(allows(0, 10, 20, &Cred::v3(1, 0, 0), READ | WRITE | EXECUTE));
    }
}
