//! Directories below more than 40 others.
//!
//! A directory's handle is a symlink through its parent's handle, and the kernel follows at most 40
//! symlinks. Below that the handles are read one by one, and the names in them opened from the top.
//! A tree is made and removed level by level, so the directories found last are kept open for a
//! moment: the walk begins at the first of them that it meets.

use std::collections::VecDeque;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use brickwire_core::xdr::{Errno, Gfid};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno as Os;

use super::handles::{handle_path, open_beneath, parse_dir_link, stale};
use super::stat::read_gfid;
use super::{Brick, Result};

/// Directories below each other: more than a path of one-letter names can have.
const LEVELS_MAX: usize = 4096;
/// Bytes of a path that are opened at once: the kernel takes less than 4096.
const PIECE_MAX: usize = 4000;
/// How often a directory is looked for while names above it change.
const TRIES: usize = 3;
/// Directories that are kept open, and for how long: what is moved out of the brick by a stranger
/// is not to be reached for longer.
const KEPT_MAX: usize = 32;
const KEPT_FOR: Duration = Duration::from_secs(1);

/// Deep directories that were found a moment ago, the latest first.
#[derive(Debug, Default)]
pub(super) struct DeepDirectories {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    directories: VecDeque<(Gfid, Instant, OwnedFd)>,
    /// How often all were forgotten. A walk that began before keeps nothing.
    round: u64,
}

impl DeepDirectories {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The handle of the directory is there.
    pub(super) fn get(&self, gfid: &Gfid) -> Option<OwnedFd> {
        let kept = &mut self.lock().directories;
        kept.retain(|(_, since, _)| since.elapsed() < KEPT_FOR);
        let at = kept.iter().position(|(is, ..)| is == gfid)?;
        let (_, _, fd) = &kept[at];
        // Removed since, and perhaps made anew under the same gfid.
        if rustix::fs::fstat(fd).map_or(0, |stat| stat.st_nlink) == 0 {
            kept.remove(at);
            return None;
        }
        fd.try_clone().ok()
    }

    fn round(&self) -> u64 {
        self.lock().round
    }

    fn put(&self, round: u64, gfid: Gfid, fd: &OwnedFd) {
        let Ok(fd) = fd.try_clone() else { return };
        let mut kept = self.lock();
        if kept.round == round {
            kept.directories.truncate(KEPT_MAX - 1);
            kept.directories.push_front((gfid, Instant::now(), fd));
        }
    }

    /// A directory was moved or left the brick's tree, with directories below it that may be kept.
    /// An open directory stays usable wherever it is, so a file created in it could be lost.
    pub(super) fn forget(&self) {
        let mut kept = self.lock();
        kept.directories.clear();
        kept.round += 1;
    }
}

impl Brick {
    /// A directory whose handle the kernel cannot follow.
    pub(super) fn deep_directory(&self, gfid: &Gfid) -> Result<OwnedFd> {
        for _ in 0..TRIES {
            let round = self.deep.round();
            let (top, names) = self.way_to(gfid)?;
            let fd = match walk(top, &names).map_err(stale) {
                Err(Errno::ESTALE) => continue,
                result => result?,
            };
            // Else something above it was moved meanwhile, and another directory has its name.
            if read_gfid(self.namespace(), &fd)? == Some(*gfid) {
                if !names.is_empty() {
                    self.deep.put(round, *gfid, &fd);
                }
                return Ok(fd);
            }
        }
        Err(Errno::ESTALE)
    }

    /// A directory above, and the names from there, the last one first.
    fn way_to(&self, gfid: &Gfid) -> Result<(OwnedFd, Vec<Vec<u8>>)> {
        let (mut names, mut at) = (Vec::new(), *gfid);
        while at != Gfid::ROOT {
            if let Some(fd) = self.deep.get(&at) {
                return Ok((fd, names));
            }
            // Handles that a stranger has made may lead in a circle.
            if names.len() >= LEVELS_MAX {
                return Err(Errno::ELOOP);
            }
            let target = rustix::fs::readlinkat(&self.root, handle_path(&at), Vec::new()).map_err(
                |error| match error {
                    // The handle of a file: no directory has this gfid.
                    Os::INVAL => Errno::ESTALE,
                    error => stale(error),
                },
            )?;
            let (parent, name) = parse_dir_link(target.to_bytes()).ok_or(Errno::ESTALE)?;
            names.push(name.to_vec());
            at = parent;
        }
        Ok((self.root.try_clone().map_err(|_| Errno::EMFILE)?, names))
    }
}

fn walk(mut fd: OwnedFd, names: &[Vec<u8>]) -> Result<OwnedFd, Os> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW;
    let mut left = names.len();
    while left > 0 {
        let mut path = Vec::new();
        while left > 0 && path.len() + names[left - 1].len() < PIECE_MAX {
            path.extend_from_slice(&names[left - 1]);
            path.push(b'/');
            left -= 1;
        }
        fd = open_beneath(fd.as_fd(), path, flags, Mode::empty())?;
    }
    Ok(fd)
}
