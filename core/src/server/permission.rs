//! Permission checks by mode bits or, where there is one, by a POSIX ACL. Root may do everything.

use super::acl::{Acl, Tag};
use crate::rpc::Cred;
use crate::xdr::{Errno, FileType, Iatt};

/// Read a file, list a directory.
pub const READ: u32 = 4;
/// Write a file, change a directory's entries.
pub const WRITE: u32 = 2;
/// Look up names in a directory.
pub const EXECUTE: u32 = 1;

/// SETATTR sets the mode: a bit of `valid` (docs/spec/01-wire.md, "Small enumerations").
pub const SET_MODE: i32 = 0x1;
/// SETATTR sets the owner.
pub const SET_UID: i32 = 0x2;
/// SETATTR sets the group.
pub const SET_GID: i32 = 0x4;
/// SETATTR sets the access time.
pub const SET_ATIME: i32 = 0x10;
/// SETATTR sets the modification time.
pub const SET_MTIME: i32 = 0x20;
/// SETATTR sets the change time. Only heals do so.
pub const SET_CTIME: i32 = 0x40;

/// Owner, group and mode of an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owned {
    /// Type and permissions.
    pub mode: u32,
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

impl Owned {
    fn is_regular(&self) -> bool {
        FileType::of_mode(self.mode) == Some(FileType::Regular)
    }
}

/// Has the caller root's rights? Daemons of the volume, which have negative pids, do.
pub fn is_root(cred: &Cred<'_>) -> bool {
    cred.uid == 0 || cred.pid < 0
}

/// Is the caller in this group?
pub fn in_group(cred: &Cred<'_>, gid: u32) -> bool {
    cred.gid == gid || cred.groups.chunks_exact(4).any(|group| group == gid.to_be_bytes())
}

/// Does an ACL decide for this caller? For the owner the mode's bits do.
pub fn needs_acl(uid: u32, cred: &Cred<'_>) -> bool {
    !is_root(cred) && cred.uid != uid
}

/// Do the mode bits grant all of `want` to the caller?
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

/// Does an ACL grant all of `want` to a caller for whom [`needs_acl`] holds?
pub fn acl_allows(acl: Acl<'_>, gid: u32, cred: &Cred<'_>, want: u32) -> bool {
    let has = |perm: u16| u32::from(perm) & want == want;
    let mask = acl.entries().find(|entry| entry.tag == Tag::Mask).map_or(7, |mask| mask.perm);
    if let Some(named) = acl.entries().find(|entry| entry.tag == Tag::User && entry.id == cred.uid)
    {
        return has(named.perm & mask);
    }
    // One of the caller's groups must grant everything. If an entry matches but none grants, the
    // caller is refused and not treated as one of the others.
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

/// Only the owner and root pass.
pub fn owner(uid: u32, cred: &Cred<'_>) -> Result<(), Errno> {
    if is_root(cred) || cred.uid == uid { Ok(()) } else { Err(Errno::EPERM) }
}

/// May a caller who may write the directory remove this entry? In a sticky directory only the owner
/// of entry or directory may.
pub fn remove(directory: &Owned, entry: &Owned, cred: &Cred<'_>) -> Result<(), Errno> {
    let sticky = directory.mode & 0o1000 != 0 && cred.uid != directory.uid;
    if sticky { owner(entry.uid, cred) } else { Ok(()) }
}

/// The mode that the caller may set: without setgid for a group that it is not in.
pub fn kept_mode(mode: u32, directory: bool, group: u32, cred: &Cred<'_>) -> u32 {
    let foreign = !is_root(cred) && !in_group(cred, group);
    if foreign && !directory { mode & !0o2000 } else { mode }
}

/// The mode of a file after this caller has changed its data: a caller other than root loses
/// setuid, and setgid unless the file is not executable by its group (then setgid only marks
/// mandatory locking).
pub fn mode_after_change(mode: u32, cred: &Cred<'_>) -> u32 {
    let setgid = if mode & 0o010 != 0 { 0o2000 } else { 0 };
    if is_root(cred) { mode } else { mode & !(0o4000 | setgid) }
}

/// May a caller SETATTR the fields in `valid` to those of `want`? `open_to_write`: the call uses a
/// file that is open for writing. `may_write`: mode or ACL grant writing.
pub fn setattr(
    inode: &Owned,
    (want, valid): (&Iatt, i32),
    cred: &Cred<'_>,
    open_to_write: bool,
    may_write: impl Fn() -> bool,
) -> Result<(), Errno> {
    if valid & SET_CTIME != 0 {
        owner(inode.uid, cred)?;
    }
    if valid & SET_MODE != 0 {
        // Before a write a client removes setuid and setgid for its caller, by the open file or by
        // gfid: a writer may do exactly that.
        let left = mode_after_change(inode.mode, cred);
        let taken = inode.is_regular() && left != inode.mode && (left ^ want.mode) & 0o7777 == 0;
        if !(taken && (open_to_write || may_write())) {
            owner(inode.uid, cred)?;
        }
    }
    // A writer may set the times to now (touch). The request does not tell whether they are now, so
    // any times are accepted.
    if valid & (SET_ATIME | SET_MTIME) != 0 && owner(inode.uid, cred).is_err() && !may_write() {
        return Err(Errno::EACCES);
    }
    if valid & (SET_UID | SET_GID) != 0 && !is_root(cred) {
        // The owner may give a file to a group that it is in, and to no other.
        if valid & SET_UID != 0 && want.uid != inode.uid {
            return Err(Errno::EPERM);
        }
        if valid & SET_GID != 0 {
            owner(inode.uid, cred)?;
            if want.gid != inode.gid && !in_group(cred, want.gid) {
                return Err(Errno::EPERM);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::acl::tests::acl;

    #[test]
    fn the_first_class_that_fits_decides() {
        let owner = Cred::v3(1, 10, 20);
        assert!(allows(0o700, 10, 99, &owner, READ | WRITE));
        // The owner's class decides for the owner, even if others may.
        assert!(!allows(0o077, 10, 20, &owner, READ));
        let groups = 77_u32.to_be_bytes();
        let member = Cred { groups: &groups, ..Cred::v3(1, 11, 21) };
        assert!(allows(0o040, 10, 77, &member, READ));
        assert!(!allows(0o040, 10, 78, &member, READ));
        assert!(allows(0, 10, 20, &Cred::v3(1, 0, 0), READ | WRITE | EXECUTE));
    }

    #[test]
    fn who_may_write_a_file_may_take_its_privileges_and_nothing_else_of_its_mode() {
        let other = Cred::v3(1, 11, 21);
        let set = |had: u32, mode: u32, open: bool, may_write: bool| {
            let (inode, want) =
                (Owned { mode: had, uid: 10, gid: 20 }, Iatt { mode, ..Iatt::default() });
            setattr(&inode, (&want, SET_MODE), &other, open, || may_write)
        };
        for (open, may_write) in [(true, false), (false, true)] {
            assert_eq!(set(0o106_777, 0o777, open, may_write), Ok(()));
            assert_eq!(set(0o106_777, 0o775, open, may_write), Err(Errno::EPERM), "more than that");
            assert_eq!(set(0o100_777, 0o777, open, may_write), Err(Errno::EPERM), "it has none");
            assert_eq!(
                set(0o042_777, 0o777, open, may_write),
                Err(Errno::EPERM),
                "a directory's is no privilege"
            );
        }
        assert_eq!(set(0o104_777, 0o777, false, false), Err(Errno::EPERM));
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
        let bytes =
            acl(&[(1, 7, 0), (4, 0, 0), (8, 4, 77), (8, 2, 78), (0x10, 7, 0), (0x20, 7, 0)]);
        let acl = Acl::parse(&bytes).unwrap();
        let groups = [0, 0, 0, 77, 0, 0, 0, 78];
        let both = Cred { groups: &groups, ..Cred::v3(1, 30, 20) };
        assert!(acl_allows(acl, 20, &both, READ) && acl_allows(acl, 20, &both, WRITE));
        assert!(!acl_allows(acl, 20, &both, READ | WRITE));
        assert!(!acl_allows(acl, 20, &Cred::v3(1, 30, 20), READ), "its group has nothing");
    }
}
