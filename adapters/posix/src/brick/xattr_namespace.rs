//! The namespace of xattrs in which a brick keeps its own attributes and those of clients'
//! translators.
//!
//! GlusterFS has them in `trusted.*`, which needs CAP_SYS_ADMIN. Without that capability they are
//! kept as `user.brickwire.trusted.*`. No real brick process understands such a directory. Only
//! files and directories can have them, because the system allows no user attributes on symlinks
//! and FIFOs. Everything in the brick belongs to the user that serves it.

use std::borrow::Cow;
use std::os::fd::AsFd;

use rustix::fs::XattrFlags;
use rustix::io::Errno as Os;
use rustix::path::Arg;

use super::handles::proc_path;

/// Namespace of the attributes that only a brick may set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum XattrNamespace {
    /// `trusted.*`: GlusterFS's own layout.
    #[default]
    Trusted,
    /// As `user.brickwire.trusted.*`, without privileges.
    User,
}

/// Prefix of attributes outside their own namespace. Clients neither see nor set them.
pub(super) const PREFIX: &[u8] = b"user.brickwire.";

/// Linux's limit for an xattr's value and for a list of names, in bytes.
const VALUE_MAX: usize = 64 * 1024;

impl XattrNamespace {
    /// On-disk name of an xattr.
    pub(super) fn on_disk(self, name: &[u8]) -> Cow<'_, [u8]> {
        match self {
            Self::User if name.starts_with(b"trusted.") => [PREFIX, name].concat().into(),
            _ => name.into(),
        }
    }

    /// Xattr name for an on-disk name.
    pub(super) fn off_disk(self, name: &[u8]) -> &[u8] {
        match self {
            Self::User => name.strip_prefix(PREFIX).unwrap_or(name),
            Self::Trusted => name,
        }
    }

    pub(super) fn get(self, path: impl Arg, name: &[u8], value: &mut [u8]) -> Result<usize, Os> {
        rustix::fs::getxattr(path, &*self.on_disk(name), value)
    }

    pub(super) fn set(
        self,
        path: impl Arg,
        name: &[u8],
        value: &[u8],
        flags: XattrFlags,
    ) -> Result<(), Os> {
        rustix::fs::setxattr(path, &*self.on_disk(name), value, flags)
    }

    /// Likewise for a descriptor. An O_PATH descriptor is reached through its path in `/proc`.
    pub(super) fn set_open(self, fd: impl AsFd, name: &[u8], value: &[u8]) -> Result<(), Os> {
        match rustix::fs::fsetxattr(&fd, &*self.on_disk(name), value, XattrFlags::empty()) {
            Err(Os::BADF) => self.set(proc_path(fd), name, value, XattrFlags::empty()),
            result => result,
        }
    }

    pub(super) fn remove(self, path: impl Arg, name: &[u8]) -> Result<(), Os> {
        rustix::fs::removexattr(path, &*self.on_disk(name))
    }

    /// The whole value of an xattr; `fd` may be an O_PATH descriptor.
    pub(super) fn value(self, fd: impl AsFd, name: &[u8]) -> Result<Vec<u8>, Os> {
        let path = proc_path(&fd);
        let mut value = vec![0; 256];
        loop {
            match self.get(&path, name, &mut value[..]) {
                Ok(len) => {
                    value.truncate(len);
                    return Ok(value);
                }
                Err(Os::RANGE) if value.len() < VALUE_MAX => value.resize(VALUE_MAX, 0),
                Err(error) => return Err(error),
            }
        }
    }

    /// The names of all xattrs on disk, each ended by a NUL; empty if they cannot be listed.
    pub(super) fn names(self, fd: impl AsFd) -> Vec<u8> {
        let mut names = vec![0; VALUE_MAX];
        let len = rustix::fs::listxattr(proc_path(&fd), &mut names[..]).unwrap_or(0);
        names.truncate(len);
        names
    }

    /// The mode of one of the brick's own directories. GlusterFS's have no x bit, which only root
    /// can do without.
    pub(super) fn mode(self, mode: u32) -> u32 {
        match self {
            Self::Trusted => mode,
            Self::User => mode | 0o100,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_need_privilege_are_moved_and_they_come_back() {
        assert_eq!(&*XattrNamespace::Trusted.on_disk(b"trusted.gfid"), b"trusted.gfid");
        let moved = XattrNamespace::User.on_disk(b"trusted.gfid");
        assert_eq!(&*moved, b"user.brickwire.trusted.gfid");
        assert_eq!(XattrNamespace::User.off_disk(&moved), b"trusted.gfid");
        assert_eq!(&*XattrNamespace::User.on_disk(b"user.note\xff"), b"user.note\xff");
    }
}
