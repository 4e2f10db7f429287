//! POSIX ACLs as the values of xattrs: `system.posix_acl_access`, which the mode bits mirror in
//! part, and `system.posix_acl_default`, which new entries of a directory inherit. A version, then
//! entries of tag, permissions and id, all little-endian (acl(5)).

use crate::xdr::Errno;

/// Xattr of the ACL that decides about access.
pub const ACCESS: &[u8] = b"system.posix_acl_access";
/// Xattr of a directory's ACL that new entries inherit.
pub const DEFAULT: &[u8] = b"system.posix_acl_default";

const VERSION: [u8; 4] = [2, 0, 0, 0];
const ENTRY: usize = 8;

/// Kind of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// The owner.
    UserObj,
    /// A user, by id.
    User,
    /// The owning group.
    GroupObj,
    /// A group, by id.
    Group,
    /// The most that named users, named groups and the owning group may have.
    Mask,
    /// Everybody else.
    Other,
}

impl Tag {
    fn of(word: u16) -> Option<Self> {
        Some(match word {
            0x01 => Self::UserObj,
            0x02 => Self::User,
            0x04 => Self::GroupObj,
            0x08 => Self::Group,
            0x10 => Self::Mask,
            0x20 => Self::Other,
            _ => return None,
        })
    }
}

/// One entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AclEntry {
    /// Kind of the entry.
    pub tag: Tag,
    /// 4 read, 2 write, 1 execute.
    pub perm: u16,
    /// Id of a named user or group.
    pub id: u32,
}

/// A checked ACL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acl<'a> {
    entries: &'a [u8],
}

fn entry(bytes: &[u8]) -> Option<AclEntry> {
    let [t, u, p, q, id @ ..] = bytes else { return None };
    let tag = Tag::of(u16::from_le_bytes([*t, *u]))?;
    let perm = u16::from_le_bytes([*p, *q]);
    Some(AclEntry { tag, perm, id: u32::from_le_bytes(id.try_into().ok()?) })
}

impl<'a> Acl<'a> {
    /// Checks a value with the rules of Linux for setting it.
    pub fn check(bytes: &'a [u8]) -> Result<Self, Errno> {
        let (version, entries) = bytes.split_first_chunk().ok_or(Errno::EINVAL)?;
        if *version != VERSION {
            return Err(Errno::EOPNOTSUPP);
        }
        if entries.len() % ENTRY != 0 {
            return Err(Errno::EINVAL);
        }
        let acl = Self { entries };
        acl.in_order().then_some(acl).ok_or(Errno::EINVAL)
    }

    /// The ACL in the value of an xattr; `None` if it has no entries.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        Self::check(bytes).ok().filter(|acl| !acl.entries.is_empty())
    }

    /// Has it no entries? Setting such a value removes the ACL.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Are the entries in the required order (owner, named users, owning group, named groups, mask,
    /// others), with a mask if anybody is named?
    fn in_order(&self) -> bool {
        if self.entries.is_empty() {
            return true;
        }
        let all = || self.entries.chunks_exact(ENTRY).map(entry);
        let (mut last, mut seen) = (None, [0_usize; 6]);
        for entry in all() {
            let Some(AclEntry { tag, perm, .. }) = entry else { return false };
            let named = matches!(tag, Tag::User | Tag::Group);
            if perm > 7 || last.is_some_and(|last| last > tag as u8 || last == tag as u8 && !named)
            {
                return false;
            }
            last = Some(tag as u8);
            if let Some(count) = seen.get_mut(tag as usize) {
                *count += 1;
            }
        }
        let [owner, users, group, groups, mask, others] = seen;
        owner == 1 && group == 1 && others == 1 && (mask == 1 || users + groups == 0)
    }

    /// Its entries.
    pub fn entries(&self) -> impl Iterator<Item = AclEntry> + use<'a> {
        // The constructor has checked them.
        self.entries.chunks_exact(ENTRY).filter_map(entry)
    }

    /// Does it say more than nine mode bits can?
    pub fn is_extended(&self) -> bool {
        self.entries().any(|entry| matches!(entry.tag, Tag::User | Tag::Group | Tag::Mask))
    }

    /// The nine mode bits that mirror it: the group's are those of the mask, if there is one.
    pub fn mode(&self) -> u32 {
        let of = |wanted: Tag| {
            self.entries().find(|entry| entry.tag == wanted).map(|entry| u32::from(entry.perm))
        };
        let group = of(Tag::Mask).or(of(Tag::GroupObj)).unwrap_or_default();
        of(Tag::UserObj).unwrap_or_default() << 6 | group << 3 | of(Tag::Other).unwrap_or_default()
    }
}

/// The value of an xattr with these entries.
pub fn encode(entries: impl IntoIterator<Item = AclEntry>) -> impl Iterator<Item = u8> {
    VERSION.into_iter().chain(entries.into_iter().flat_map(|AclEntry { tag, perm, id }| {
        let id = if matches!(tag, Tag::User | Tag::Group) { id } else { u32::MAX };
        let ([t, u], [p, q], [a, b, c, d]) =
            ((1_u16 << tag as u16).to_le_bytes(), perm.to_le_bytes(), id.to_le_bytes());
        [t, u, p, q, a, b, c, d]
    }))
}

/// Turns a directory's default ACL into the ACL of a new entry created with `mode`: each class gets
/// what both grant. Returns the resulting mode.
pub fn inherit(acl: &mut [u8], mode: u32) -> u32 {
    let had = Acl::parse(acl).map_or(0, |acl| acl.mode());
    let mode = mode & !0o777 | mode & had;
    set_mode(acl, mode);
    mode
}

/// Applies a chmod to an ACL: the group's bits go to the mask, if there is one.
pub fn set_mode(acl: &mut [u8], mode: u32) {
    let masked =
        Acl::parse(acl).is_some_and(|acl| acl.entries().any(|entry| entry.tag == Tag::Mask));
    let Some((_, entries)) = acl.split_first_chunk_mut::<{ VERSION.len() }>() else { return };
    for bytes in entries.chunks_exact_mut(ENTRY) {
        let perm = match entry(bytes).map(|entry| entry.tag) {
            Some(Tag::UserObj) => mode >> 6,
            Some(Tag::GroupObj) if !masked => mode >> 3,
            Some(Tag::Mask) => mode >> 3,
            Some(Tag::Other) => mode,
            _ => continue,
        };
        if let Some(place) = bytes.get_mut(2..4) {
            place.copy_from_slice(&(perm as u16 & 7).to_le_bytes());
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use alloc::vec::Vec;

    pub(in crate::server) fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut bytes = VERSION.to_vec();
        for (tag, perm, id) in entries {
            bytes.extend_from_slice(&tag.to_le_bytes());
            bytes.extend_from_slice(&perm.to_le_bytes());
            bytes.extend_from_slice(&id.to_le_bytes());
        }
        bytes
    }

    /// Values that Linux refuses, found by setting them on ext4.
    #[test]
    fn what_is_no_acl_is_told_as_the_system_tells_it() {
        assert_eq!(Acl::check(b"xx"), Err(Errno::EINVAL));
        assert_eq!(Acl::check(&[1, 0, 0, 0]), Err(Errno::EOPNOTSUPP));
        assert!(Acl::check(&VERSION).is_ok_and(|acl| acl.is_empty()));
        let bad: [&[(u16, u16, u32)]; 6] = [
            &[(1, 6, 0), (2, 6, 3)],
            &[(1, 6, 0), (2, 6, 3), (4, 6, 0), (0x20, 0, 0)],
            &[(4, 6, 0), (1, 6, 0), (0x20, 0, 0)],
            &[(1, 6, 0), (1, 6, 0), (4, 6, 0), (0x20, 0, 0)],
            &[(1, 8, 0), (4, 6, 0), (0x20, 0, 0)],
            &[(1, 6, 0), (4, 6, 0), (0x40, 0, 0)],
        ];
        for entries in bad {
            assert_eq!(Acl::check(&acl(entries)), Err(Errno::EINVAL), "{entries:?}");
        }
        let answer_directly = acl(&[(1, 7, 0), (4, 5, 0), (0x20, 5, 0)]);
        let answer_directly = Acl::check(&answer_directly).unwrap();
        assert!(!answer_directly.is_extended() && answer_directly.mode() == 0o755);
    }

    /// As a real brick created a file and a directory below the first one.
    #[test]
    fn something_new_has_what_the_default_and_its_mode_have_in_common() {
        let default = acl(&[(1, 7, 0), (2, 7, 2000), (4, 5, 0), (0x10, 7, 0), (0x20, 0, 0)]);
        let mut file = default.clone();
        assert_eq!(inherit(&mut file, 0o100_666), 0o100_660);
        assert_eq!(file, acl(&[(1, 6, 0), (2, 7, 2000), (4, 5, 0), (0x10, 6, 0), (0x20, 0, 0)]));
        let mut directory = default.clone();
        assert_eq!(inherit(&mut directory, 0o777), 0o770);
        assert_eq!(directory, default);
    }

    #[test]
    fn a_chmod_sets_the_mask_and_leaves_the_named() {
        let mut bytes = acl(&[(1, 7, 0), (2, 7, 9), (4, 5, 0), (0x10, 7, 0), (0x20, 1, 0)]);
        set_mode(&mut bytes, 0o642);
        assert_eq!(bytes, acl(&[(1, 6, 0), (2, 7, 9), (4, 5, 0), (0x10, 4, 0), (0x20, 2, 0)]));
        let mut bytes = acl(&[(1, 7, 0), (4, 5, 0), (0x20, 1, 0)]);
        set_mode(&mut bytes, 0o642);
        assert_eq!(bytes, acl(&[(1, 6, 0), (4, 4, 0), (0x20, 2, 0)]));
    }
}
