//! May this caller do that? By mode bits; root may everything.

use brickwire_core::rpc::Cred;

/// Read a file, list a directory.
pub const READ: u32 = 4;
/// Write.
pub const WRITE: u32 = 2;
/// Look names up in a directory.
pub const EXECUTE: u32 = 1;

/// Is the caller in this group?
pub fn in_group(cred: &Cred<'_>, gid: u32) -> bool {
    cred.gid == gid || cred.groups.chunks_exact(4).any(|group| group == gid.to_be_bytes())
}

/// Does the mode give the caller all of `want`?
pub fn allows(mode: u32, uid: u32, gid: u32, cred: &Cred<'_>, want: u32) -> bool {
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
