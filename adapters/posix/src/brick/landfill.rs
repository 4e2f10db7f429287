//! Removal of a directory with its content: it leaves the tree at once, and its content and handles
//! are removed afterwards.

use std::os::fd::{AsFd as _, OwnedFd};

use brickwire_core::xdr::Gfid;
use rustix::fs::{AtFlags, Mode, OFlags};

use super::handles::{Object, is_dir, open_beneath};
use super::stat::gfid_of;
use super::{Brick, Result, errno, gfid2path};

const LANDFILL: &str = ".glusterfs/landfill";
/// Depth of directories that a thread's stack and descriptors suffice for. Deeper ones are moved to
/// the top of the landfill for the next round.
const DEPTH: u32 = 60;

impl Brick {
    /// Path of a directory that waits to be removed.
    pub(super) fn in_landfill(name: &str) -> String {
        format!("{LANDFILL}/{name}")
    }

    /// Removes the content of the landfill. Anything that cannot be removed is tried again next
    /// time.
    pub(super) fn empty_landfill(&self) {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        if let Ok(fd) = open_beneath(self.root.as_fd(), LANDFILL, flags, Mode::empty()) {
            self.clear(&fd, None, DEPTH);
        }
    }

    fn clear(&self, directory: &OwnedFd, gfid: Option<Gfid>, depth: u32) {
        let Ok(entries) = rustix::fs::Dir::read_from(directory) else { return };
        let names: Vec<Vec<u8>> =
            entries.flatten().map(|entry| entry.file_name().to_bytes().to_vec()).collect();
        for name in names.iter().filter(|name| !matches!(&name[..], b"." | b"..")) {
            // An entry that fails is left in place, with the directories above it.
            let _ = self.clear_entry(directory, gfid, name, depth);
        }
    }

    fn clear_entry(
        &self,
        directory: &OwnedFd,
        parent: Option<Gfid>,
        name: &[u8],
        depth: u32,
    ) -> Result<()> {
        let nofollow = OFlags::PATH | OFlags::NOFOLLOW;
        let fd = open_beneath(directory.as_fd(), name, nofollow, Mode::empty()).map_err(errno)?;
        let stat = rustix::fs::fstat(&fd).map_err(errno)?;
        let object = Object { fd, stat };
        let gfid = gfid_of(self.namespace(), &object.fd);
        if !is_dir(&object.stat) {
            rustix::fs::unlinkat(directory, name, AtFlags::empty()).map_err(errno)?;
            let Some(gfid) = gfid else { return Ok(()) };
            let now = rustix::fs::fstat(&object.fd).map_err(errno)?;
            if now.st_nlink <= 1 {
                self.last_name_gone(&gfid, &object);
            } else if let Some(parent) = parent {
                gfid2path::remove(self.namespace(), &object.fd, &parent, name);
            }
            return Ok(());
        }
        if depth > 0 {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
            let below =
                open_beneath(directory.as_fd(), name, flags, Mode::empty()).map_err(errno)?;
            self.clear(&below, gfid, depth - 1);
            rustix::fs::unlinkat(directory, name, AtFlags::REMOVEDIR).map_err(errno)?;
        } else {
            let beside = Self::in_landfill(&gfid.unwrap_or_default().to_string());
            rustix::fs::renameat(directory, name, &self.root, beside).map_err(errno)?;
        }
        // The gfid may have been created anew meanwhile.
        if let Some(gfid) = gfid.filter(|gfid| self.is_orphan(gfid)) {
            self.directory_gone(gfid);
        }
        Ok(())
    }
}
