//! ACLs as text: libgfapi's clients get and set them as `glusterfs.posix.acl` and
//! `glusterfs.posix.default_acl`, in the form `u::rwx,u:7:r--,…`.
//!
//! Ids are numbers: a user's name on this host may differ from the name on the client's.

use std::fmt::Write as _;
use std::os::fd::AsFd;

use brickwire_core::server::acl::{self, Acl, AclEntry, Tag};
use brickwire_core::xdr::Errno;
use rustix::fs::{Stat, XattrFlags};
use rustix::io::Errno as Os;

use super::handles::{is_dir, proc_path};
use super::{Result, XattrNamespace, errno};

/// The ACL xattr whose text form has this name.
pub(super) fn kind(name: &[u8]) -> Option<&'static [u8]> {
    match name {
        b"glusterfs.posix.acl" => Some(acl::ACCESS),
        b"glusterfs.posix.default_acl" => Some(acl::DEFAULT),
        _ => None,
    }
}

/// An ACL as text. For a file without one, the text of its mode.
pub(super) fn get(fd: impl AsFd, stat: &Stat, kind: &[u8]) -> Result<Vec<u8>> {
    check(stat, kind)?;
    let mut text = String::new();
    match XattrNamespace::Trusted.value(fd, kind).ok().as_deref().and_then(Acl::parse) {
        Some(acl) => acl.entries().for_each(|entry| put(&mut text, &entry)),
        None if kind == acl::DEFAULT => {}
        None => {
            for (tag, shift) in [(Tag::UserObj, 6), (Tag::GroupObj, 3), (Tag::Other, 0)] {
                put(&mut text, &AclEntry { tag, perm: (stat.st_mode >> shift & 7) as u16, id: 0 });
            }
        }
    }
    Ok(text.into_bytes())
}

/// Sets an ACL from a text. An empty text removes it.
pub(super) fn set(fd: impl AsFd, stat: &Stat, kind: &[u8], text: &[u8]) -> Result<()> {
    check(stat, kind)?;
    let entries = parse(text).ok_or(Errno::EPERM)?;
    let path = proc_path(&fd);
    let namespace = XattrNamespace::Trusted;
    if entries.is_empty() {
        return match namespace.remove(path, kind) {
            Ok(()) | Err(Os::NODATA) => Ok(()),
            Err(error) => Err(errno(error)),
        };
    }
    namespace
        .set(path, kind, &acl::encode(entries).collect::<Vec<u8>>(), XattrFlags::empty())
        .map_err(errno)
}

/// Default ACLs exist on directories only.
fn check(stat: &Stat, kind: &[u8]) -> Result<()> {
    if kind == acl::DEFAULT && !is_dir(stat) { Err(Errno::EACCES) } else { Ok(()) }
}

fn put(text: &mut String, entry: &AclEntry) {
    let (tag, id) = match entry.tag {
        Tag::UserObj => ("u", None),
        Tag::User => ("u", Some(entry.id)),
        Tag::GroupObj => ("g", None),
        Tag::Group => ("g", Some(entry.id)),
        Tag::Mask => ("m", None),
        Tag::Other => ("o", None),
    };
    let id = id.map(|id| id.to_string()).unwrap_or_default();
    let comma = if text.is_empty() { "" } else { "," };
    let may = |bit, letter| if entry.perm & bit != 0 { letter } else { '-' };
    // Writing to a String cannot fail.
    let _ = write!(text, "{comma}{tag}:{id}:{}{}{}", may(4, 'r'), may(2, 'w'), may(1, 'x'));
}

/// The entries of a text, sorted as in an ACL; `None` if it is malformed.
fn parse(text: &[u8]) -> Option<Vec<AclEntry>> {
    let text = std::str::from_utf8(text.split(|byte| *byte == 0).next()?).ok()?;
    let words = text.split([',', '\n']).map(str::trim).filter(|word| !word.is_empty());
    let mut entries = words.map(parse_entry).collect::<Option<Vec<_>>>()?;
    entries.sort_by_key(|entry| (entry.tag as u8, entry.id));
    Some(entries)
}

fn parse_entry(word: &str) -> Option<AclEntry> {
    let (tag, rest) = word.split_once(':')?;
    let (id, perms) = match rest.split_once(':') {
        Some((id, perms)) => (id.trim(), perms),
        // `m:rwx` and `o:r--` may omit the second colon.
        None => ("", rest),
    };
    let (tag, id) = match (tag, id) {
        ("u" | "user", "") => (Tag::UserObj, 0),
        ("u" | "user", id) => (Tag::User, id.parse().ok()?),
        ("g" | "group", "") => (Tag::GroupObj, 0),
        ("g" | "group", id) => (Tag::Group, id.parse().ok()?),
        ("m" | "mask", "") => (Tag::Mask, 0),
        ("o" | "other", "") => (Tag::Other, 0),
        _ => return None,
    };
    let perm = perms.trim().chars().try_fold(0, |perm, letter| match letter {
        'r' => Some(perm | 4),
        'w' => Some(perm | 2),
        'x' => Some(perm | 1),
        '-' => Some(perm),
        _ => None,
    })?;
    Some(AclEntry { tag, perm, id })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(text: &str) -> Option<String> {
        let mut said = String::new();
        parse(text.as_bytes())?.iter().for_each(|entry| put(&mut said, entry));
        Some(said)
    }

    /// Texts that a real brick accepted and returned.
    #[test]
    fn texts_are_taken_in_any_order_and_told_in_one() {
        let long = "user::rw-,user:7:rwx,user:3:r,group::r--,group:5:x,mask::rwx,other::r--\0";
        assert_eq!(
            again(long).as_deref(),
            Some("u::rw-,u:3:r--,u:7:rwx,g::r--,g:5:--x,m::rwx,o::r--")
        );
        assert_eq!(again(" u::rwx , g::r-x, o:---").as_deref(), Some("u::rwx,g::r-x,o::---"));
        assert_eq!(again("").as_deref(), Some(""));
        for bad in ["garbage", "user:nosuch:rwx,o::r", "mask::7", "o:5:r"] {
            assert_eq!(again(bad), None, "{bad}");
        }
    }
}
