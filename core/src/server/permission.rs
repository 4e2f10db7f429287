//! May a caller do that? By mode bits or, where there is one, by a POSIX ACL; root may everything.

use super::acl::{Acl, Tag};
use crate::rpc::Cred;

/// Read a file, list a directory.
pub const READ: u32 = 4;
/// Write.
pub const WRITE: u32 = 2;
/// Look names up in a directory.
pub const EXECUTE: u32 = 1;

/// May the caller do what root may? Daemons of the volume have negative pids.
pub fn is_root(cred: &Cred<'_>) -> bool {
    cred.uid == 0 || cred.pid < 0
}

/// Is the caller in this group?
pub fn in_group(cred: &Cred<'_>, gid: u32) -> bool {
    cred.gid == gid || cred.groups.chunks_exact(4).any(|group| group == gid.to_be_bytes())
}

/// Is an ACL asked about this caller? The owner has the mode's bits whatever it says.
pub fn needs_acl(uid: u32, cred: &Cred<'_>) -> bool {
    !is_root(cred) && cred.uid != uid
}

/// Does the mode give the caller all of `want`?
pub fn allows(mode: u32, uid: u32, gid: u32, cred: &Cred<'_>, want: u32) -> bool {
    if is_root(cred) {
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

/// Does an ACL give all of `want` to a caller that [`needs_acl`]?
pub fn acl_allows(acl: Acl<'_>, gid: u32, cred: &Cred<'_>, want: u32) -> bool {
    let has = |perm: u16| u32::from(perm) & want == want;
    let mask = acl.entries().find(|entry| entry.tag == Tag::Mask).map_or(7, |mask| mask.perm);
    if let Some(named) = acl.entries().find(|entry| entry.tag == Tag::User && entry.id == cred.uid) {
        return has(named.perm & mask);
    }
    // Of the groups that it is in, one has to give everything; and if none does, it is not asked as one of the others.
    let mut groups = acl.entries().filter(|entry| match entry.tag {
        Tag::GroupObj => in_group(cred, gid),
        Tag::Group => in_group(cred, entry.id),
        _ => false,
    });
    let Some(first) = groups.next() else {
        return acl.entries().any(|entry| entry.tag == Tag::Other && has(entry.perm));
    };
    has(first.perm & mask) || groups.any(|entry| has(entry.perm & mask))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::acl::tests::acl;

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

    #[test]
    fn a_named_user_has_what_the_mask_leaves_it_and_is_nobody_else() {
        let bytes = acl(&[(1, 7, 0), (2, 6, 30), (4, 7, 0), (0x10, 4, 0), (0x20, 7, 0)]);
        let acl = Acl::parse(&bytes).unwrap();
        assert!(acl_allows(acl, 20, &Cred::v3(1, 30, 20), READ));
        assert!(!acl_allows(acl, 20, &Cred::v3(1, 30, 20), WRITE), "masked, though others may");
        assert!(acl_allows(acl, 20, &Cred::v3(1, 31, 21), READ | WRITE));
    }

    #[test]
    fn one_of_the_callers_groups_has_to_give_everything() {
        let bytes = acl(&[(1, 7, 0), (4, 0, 0), (8, 4, 77), (8, 2, 78), (0x10, 7, 0), (0x20, 7, 0)]);
        let acl = Acl::parse(&bytes).unwrap();
        let groups = [0, 0, 0, 77, 0, 0, 0, 78];
        let both = Cred { groups: &groups, ..Cred::v3(1, 30, 20) };
        assert!(acl_allows(acl, 20, &both, READ) && acl_allows(acl, 20, &both, WRITE));
        assert!(!acl_allows(acl, 20, &both, READ | WRITE));
        assert!(!acl_allows(acl, 20, &Cred::v3(1, 30, 20), READ), "its group has nothing");
    }
}
