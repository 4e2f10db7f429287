//! ACLs: xattrs that grant permissions, and of which the mode is a part.

use super::Result;
use super::inode::{DIRECTORY, SYMLINK, TYPE};
use super::permission;
use super::store::Store;
use brickwire_core::rpc::Cred;
use brickwire_core::server::acl::{self, Acl};
use brickwire_core::xdr::Errno;

/// Bytes of the longest ACL: 64 entries. A longer one is refused, as on a disk one that is longer
/// than a block.
const ACL_MAX: usize = 4 + 64 * 8;

/// The value of an ACL's xattr.
pub(super) type AclBytes = heapless::Vec<u8, ACL_MAX>;

/// Mode and ACLs that a new inode inherits from its directory's default ACL.
pub(super) struct Inherited {
    pub(super) access: AclBytes,
    /// The default ACL of a new directory.
    pub(super) default: Option<AclBytes>,
}

/// Whether it is the name of an ACL's xattr.
pub(super) fn is_acl(name: &[u8]) -> bool {
    name == acl::ACCESS || name == acl::DEFAULT
}

/// Checks that an ACL is valid for an inode of this mode.
pub(super) fn check(mode: u32, name: &[u8], bytes: &[u8]) -> Result<()> {
    let acl = Acl::check(bytes)?;
    match mode & TYPE {
        SYMLINK => return Err(Errno::EOPNOTSUPP.into()),
        DIRECTORY => {}
        _ if name == acl::DEFAULT && !acl.is_empty() => return Err(Errno::EACCES.into()),
        _ => {}
    }
    if bytes.len() > ACL_MAX { Err(Errno::ENOSPC.into()) } else { Ok(()) }
}

impl Store<'_> {
    fn acl(&self, inode: u32, name: &[u8]) -> Option<AclBytes> {
        let xattr = self.xattr(inode, name)?;
        let mut bytes = AclBytes::new();
        bytes.resize(self.xattr_len(xattr), 0).ok()?;
        self.read_xattr(xattr, &mut bytes);
        Acl::parse(&bytes)?;
        Some(bytes)
    }

    /// Checks that the caller has all permissions in `want` for an inode.
    pub(super) fn check(&self, slot: u32, cred: &Cred<'_>, want: u32) -> Result<()> {
        let inode = self.inode(slot)?;
        let asked = permission::needs_acl(inode.uid, cred);
        let acl = if asked { self.acl(slot, acl::ACCESS) } else { None };
        let may = match acl.as_deref().and_then(Acl::parse) {
            Some(acl) => permission::acl_allows(acl, inode.gid, cred, want),
            None => permission::allows(inode.mode, inode.uid, inode.gid, cred, want),
        };
        if may { Ok(()) } else { Err(Errno::EACCES.into()) }
    }

    /// Checks that the caller may remove an entry from a directory. In a directory with the sticky
    /// bit, entries of other owners are kept.
    pub(super) fn check_remove(&self, directory: u32, entry: u32, cred: &Cred<'_>) -> Result<()> {
        self.check(directory, cred, permission::WRITE | permission::EXECUTE)?;
        let (directory, entry) = (self.inode(directory)?, self.inode(entry)?);
        Ok(permission::remove(&permission::of(directory), &permission::of(entry), cred)?)
    }

    /// Sets a valid ACL. One that is equivalent to a mode is stored as the mode.
    pub(super) fn set_acl(&mut self, slot: u32, name: &[u8], bytes: &[u8]) -> Result<()> {
        let Some(acl) = Acl::parse(bytes) else {
            self.remove_xattr(slot, name);
            return Ok(());
        };
        if name == acl::DEFAULT || acl.is_extended() {
            self.set_xattr(slot, name, bytes)?;
        } else {
            self.remove_xattr(slot, name);
        }
        if name == acl::ACCESS {
            let inode = self.inode_mut(slot)?;
            inode.mode = inode.mode & !0o777 | acl.mode();
        }
        Ok(())
    }

    /// Updates the ACL after the inode's mode has changed.
    pub(super) fn acl_follows_mode(&mut self, slot: u32) -> Result<()> {
        let Some(mut bytes) = self.acl(slot, acl::ACCESS) else { return Ok(()) };
        acl::set_mode(&mut bytes, self.inode(slot)?.mode);
        // The length is unchanged, so there is room.
        self.set_xattr(slot, acl::ACCESS, &bytes)
    }

    /// Mode and ACLs of a new inode. The caller's umask does not apply where its directory has a
    /// default ACL.
    pub(super) fn inherited(&self, parent: u32, mode: u32, umask: u32) -> (u32, Option<Inherited>) {
        let default = if mode & TYPE == SYMLINK { None } else { self.acl(parent, acl::DEFAULT) };
        let Some(default) = default else { return (mode & !umask, None) };
        let mut access = default.clone();
        let mode = acl::inherit(&mut access, mode);
        let default = (mode & TYPE == DIRECTORY).then_some(default);
        (mode, Some(Inherited { access, default }))
    }
}

impl Inherited {
    /// As xattrs.
    pub(super) fn xattrs(&self) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
        let default = self.default.iter().map(|default| (acl::DEFAULT, &default[..]));
        core::iter::once((acl::ACCESS, &self.access[..])).chain(default)
    }
}
