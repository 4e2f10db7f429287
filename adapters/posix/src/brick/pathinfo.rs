//! Location of an object on this host: `trusted.glusterfs.pathinfo`. A self-heal daemon heals
//! objects on its own host, and programs that move work to its data ask for it.

use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use brickwire_core::xdr::Gfid;

use super::handles::{handle_path, is_dir, proc_path};
use super::{Brick, gfid2path};

/// The form of GlusterFS's bricks: `<POSIX(BRICK):HOST:PATH>`.
fn format_pathinfo(brick: &Path, host: &[u8], path: &Path) -> Vec<u8> {
    let parts = [
        &b"<POSIX("[..],
        brick.as_os_str().as_bytes(),
        b"):",
        host,
        b":",
        path.as_os_str().as_bytes(),
    ];
    let mut text = parts.concat();
    if path == brick {
        text.push(b'/');
    }
    text.push(b'>');
    text
}

fn place(fd: impl AsFd) -> Option<PathBuf> {
    std::fs::read_link(proc_path(fd)).ok()
}

impl Brick {
    /// Brick, host and path, if the brick directory still has a path.
    pub(super) fn pathinfo(&self, fd: impl AsFd) -> Option<Vec<u8>> {
        let (brick, path) = self.brick_and_path(fd)?;
        Some(format_pathinfo(&brick, rustix::system::uname().nodename().to_bytes(), &path))
    }

    /// The path in the volume, which a self-heal daemon asks for before it heals an inode.
    pub(super) fn path_in_volume(&self, fd: impl AsFd) -> Option<Vec<u8>> {
        let (brick, path) = self.brick_and_path(fd)?;
        let mut text = vec![b'/'];
        text.extend_from_slice(path.strip_prefix(&brick).ok()?.as_os_str().as_bytes());
        Some(text)
    }

    /// The brick's directory, and the path of an object in it.
    fn brick_and_path(&self, fd: impl AsFd) -> Option<(PathBuf, PathBuf)> {
        // A removed object has no name but its handle, and the system would return its former path.
        let stat = rustix::fs::fstat(&fd).ok()?;
        if stat.st_nlink < if is_dir(&stat) { 1 } else { 2 } {
            return None;
        }
        let brick = place(&self.root)?;
        let found = place(&fd)?;
        let by_handle = found.starts_with(brick.join(".glusterfs"));
        let path =
            if by_handle { self.by_names(&brick, &fd).next().unwrap_or(found) } else { found };
        Some((brick, path))
    }

    /// All paths in the volume of a file, with a colon between two of them.
    pub(super) fn paths_in_volume(&self, fd: impl AsFd) -> Option<Vec<u8>> {
        let first = self.path_in_volume(&fd)?;
        let brick = place(&self.root)?;
        let mut paths: Vec<Vec<u8>> = self
            .by_names(&brick, &fd)
            .filter_map(|path| {
                Some([b"/", path.strip_prefix(&brick).ok()?.as_os_str().as_bytes()].concat())
            })
            .collect();
        // A directory, or a file of a brick without these xattrs.
        if paths.is_empty() {
            paths.push(first);
        }
        paths.sort();
        Some(paths.join(&b':'))
    }

    /// The paths of a file by the names that are kept on it: those that are still there.
    fn by_names(&self, brick: &Path, fd: impl AsFd) -> impl Iterator<Item = PathBuf> {
        gfid2path::all(self.namespace(), fd).into_iter().filter_map(|text| {
            let parent = Gfid::parse(text.get(..36)?)?;
            let base = text.get(37..)?;
            let parent = std::fs::canonicalize(brick.join(handle_path(&parent))).ok()?;
            let path = parent.join(OsStr::from_bytes(base));
            path.symlink_metadata().is_ok().then_some(path)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_told_as_glusterfs_tells_it() {
        let text =
            format_pathinfo(Path::new("/bricks/b1"), b"server1", Path::new("/bricks/b1/d/f"));
        assert_eq!(text, b"<POSIX(/bricks/b1):server1:/bricks/b1/d/f>");
        let text = format_pathinfo(Path::new("/bricks/b1"), b"server1", Path::new("/bricks/b1"));
        assert_eq!(text, b"<POSIX(/bricks/b1):server1:/bricks/b1/>");
    }
}
