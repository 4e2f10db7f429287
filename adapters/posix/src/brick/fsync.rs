//! What survives a power cut.
//!
//! A client that was told that its FSYNC succeeded must find the file again: its bytes, its attributes, its names, and its handle in
//! `.glusterfs`, without which nothing is found by gfid. The bytes and attributes are the fsync's own business. Names are not,
//! by the letter of POSIX, but with journals that keep the order of changes they follow: on ext4 and XFS a file's fsync commits the journal up
//! to the last change of its inode, and each of its names, its handle among them, changed it (its count of links); on btrfs,
//! f2fs and ZFS a file with several names, as all of ours are, takes them along. The real server leaves it at that. On any
//! other file system a name is made durable here when it is made, before anybody is told of it.
//!
//! FSYNCDIR syncs the directory (the real server only says that it did), and SETATTR and xattrs are durable with the next FSYNC.

use std::os::fd::AsFd;

use brickwire_core::xdr::Gfid;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno as Os;

use super::handles::{Object, open_beneath};
use super::{Brick, Result, errno};

/// File systems whose fsync of a file takes its names along: ext2 to ext4, XFS, btrfs, f2fs, ZFS.
const ORDERED: [u64; 5] = [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010, 0x2fc1_2fc1];

/// Is the brick on one of them?
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
    /// Something was named, moved or unnamed in a directory; its handle, if it is a new one, is to last too.
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
