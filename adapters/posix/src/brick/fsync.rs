//! Promises of FSYNC.
//!
//! A client whose FSYNC succeeded must find the file after a power cut: its data, attributes,
//! names, and its handle in `.glusterfs`, without which no gfid leads to it. fsync() covers data
//! and attributes. POSIX does not say that it covers names, but journals that keep the order of
//! changes do. On ext4 and XFS the fsync() of a file commits the journal up to the last change of
//! its inode, and each new name, the handle among them, has changed the inode (its link count). On
//! btrfs, f2fs and ZFS the names of a file with several names are covered, and each file of a brick
//! has several. The real server relies on that. On any other file system, a name is made durable
//! here when it is created, before the call is answered.
//!
//! FSYNCDIR syncs the directory (the real server only answers). SETATTR and xattrs are durable with
//! the next FSYNC.

use std::os::fd::AsFd;

use brickwire_core::xdr::Gfid;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno as Os;

use super::handles::{Object, open_beneath};
use super::{Brick, Result, errno};

/// File systems whose fsync() of a file covers its names: ext2 to ext4, XFS, btrfs, f2fs, ZFS.
const ORDERED: [u64; 5] = [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010, 0x2fc1_2fc1];

/// Whether the brick is on one of them.
pub(super) fn names_follow(root: impl AsFd) -> Result<bool, Os> {
    let fs = rustix::fs::fstatfs(root)?;
    Ok(ORDERED.contains(&(fs.f_type as u64)))
}

fn sync_directory(at: impl AsFd, path: &str) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let fd = open_beneath(at.as_fd(), path, flags, Mode::empty()).map_err(errno)?;
    rustix::fs::fsync(fd).map_err(errno)
}

impl Brick {
    /// Makes a change of names in a directory durable, and the handle if it is a new one.
    pub(super) fn make_names_durable(
        &self,
        directory: &Object,
        handle: Option<&Gfid>,
    ) -> Result<()> {
        if self.names_follow {
            return Ok(());
        }
        self.sync_names(directory, handle)
    }

    fn sync_names(&self, directory: &Object, handle: Option<&Gfid>) -> Result<()> {
        if let Some(gfid) = handle {
            let [a, b, ..] = gfid.0;
            sync_directory(&self.root, &format!(".glusterfs/{a:02x}/{b:02x}"))?;
            sync_directory(&self.root, &format!(".glusterfs/{a:02x}"))?;
        }
        sync_directory(&directory.fd, ".")
    }
}
