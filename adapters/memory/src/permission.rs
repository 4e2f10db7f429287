//! Permission checks by the server's rules, as results.

use super::Result;
use super::inode::Inode;
use brickwire_core::rpc::Cred;
pub(super) use brickwire_core::server::permission::{
    EXECUTE, Owned, READ, SET_ATIME, SET_CTIME, SET_GID, SET_MODE, SET_MTIME, SET_UID, WRITE,
    acl_allows, allows, is_root, kept_mode, mode_after_change, needs_acl, remove, setattr,
};

/// Permits the owner and root.
pub(super) fn owner(inode: &Inode, cred: &Cred<'_>) -> Result<()> {
    Ok(brickwire_core::server::permission::owner(inode.uid, cred)?)
}

/// Owner, group and mode of an inode.
pub(super) fn of(inode: &Inode) -> Owned {
    Owned { mode: inode.mode, uid: inode.uid, gid: inode.gid }
}
