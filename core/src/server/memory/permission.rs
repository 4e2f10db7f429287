//! May this caller do that? What the server's own rules say, as results.

use super::Result;
use super::inode::Inode;
use crate::rpc::Cred;
pub(super) use crate::server::permission::{
    EXECUTE, READ, WRITE, acl_allows, allows, in_group, is_root, needs_acl,
};
use crate::xdr::Errno;

/// The mode that a caller's file may have: set-group-id of a group that it is not in would make it a member.
pub(super) fn kept_mode(mode: u32, directory: bool, group: u32, cred: &Cred<'_>) -> u32 {
    let foreign = !is_root(cred) && !in_group(cred, group);
    if foreign && !directory { mode & !0o2000 } else { mode }
}

/// Only the owner, and root.
pub(super) fn owner(inode: &Inode, cred: &Cred<'_>) -> Result<()> {
    if is_root(cred) || cred.uid == inode.uid { Ok(()) } else { Err(Errno::EPERM.into()) }
}
