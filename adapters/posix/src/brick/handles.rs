//! Objects by gfid: `.glusterfs/ab/cd/<gfid>` (docs/spec/40-brick-server.md, "Handles").
//!
//! The handle of a file is another link to it. The handle of a directory is a symlink to its name
//! in its parent's handle. Every path is resolved beneath the brick's root, so that a symlink that
//! a client made, also one swapped in during a fop, leads nowhere else.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use brickwire_core::server::Call;
use brickwire_core::xdr::{Errno, Gfid};
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno as Os;

use super::stat::read_gfid;
use super::{Brick, Result, errno};

/// An object that was found.
#[derive(Debug)]
pub(super) struct Object {
    /// An O_PATH descriptor of the object itself.
    pub(super) fd: OwnedFd,
    pub(super) stat: Stat,
}

/// Suffix of the name under which a directory's new handle is prepared.
const BESIDE: &str = ".new";

/// The path of a handle, from the brick's root.
pub(super) fn handle_path(gfid: &Gfid) -> String {
    let [a, b, ..] = gfid.0;
    format!(".glusterfs/{a:02x}/{b:02x}/{gfid}")
}

/// The path of a descriptor, for calls that take only paths.
pub(super) fn proc_path(fd: impl AsFd) -> String {
    use std::os::fd::AsRawFd as _;
    format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd())
}

/// Opens a path beneath a directory; links that lead outside are not followed.
pub(super) fn open_beneath(
    at: BorrowedFd<'_>,
    path: impl rustix::path::Arg,
    flags: OFlags,
    mode: Mode,
) -> Result<OwnedFd, Os> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let path = path.into_c_str()?;
    loop {
        match rustix::fs::openat2(at, &*path, flags | OFlags::CLOEXEC, mode, resolve) {
            // A concurrent rename: the kernel asks to try again.
            Err(Os::AGAIN | Os::INTR) => {}
            result => return result,
        }
    }
}

/// ESTALE only for errors which prove that nothing is at a path. A process without descriptors or
/// memory, or a disk that fails, proves nothing.
pub(super) fn stale(error: Os) -> Errno {
    match error {
        Os::NOENT | Os::NOTDIR | Os::XDEV => Errno::ESTALE,
        error => errno(error),
    }
}

pub(super) fn is_dir(stat: &Stat) -> bool {
    stat.st_mode & 0o170_000 == 0o040_000
}

pub(super) fn is_regular(stat: &Stat) -> bool {
    stat.st_mode & 0o170_000 == 0o100_000
}

pub(super) fn is_symlink(stat: &Stat) -> bool {
    stat.st_mode & 0o170_000 == 0o120_000
}

pub(super) fn same_inode(one: &Stat, other: &Stat) -> bool {
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

/// Target of the symlink that is a directory's handle.
fn dir_link(parent: &Gfid, name: &[u8]) -> Vec<u8> {
    let [a, b, ..] = parent.0;
    let mut target = format!("../../{a:02x}/{b:02x}/{parent}/").into_bytes();
    target.extend_from_slice(name);
    target
}

/// Parent and name in the symlink that is a directory's handle.
pub(super) fn parse_dir_link(target: &[u8]) -> Option<(Gfid, &[u8])> {
    let rest = target.strip_prefix(b"../../")?;
    let mut parts = rest.splitn(4, |byte| *byte == b'/');
    let (a, b, gfid, name) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let gfid = Gfid::parse(gfid)?;
    let good = a.len() == 2 && b.len() == 2 && !name.is_empty() && !name.contains(&b'/');
    // `.glusterfs` is hidden in the root only.
    let hidden = gfid == Gfid::ROOT && name == b".glusterfs";
    (good && !hidden && !matches!(name, b"." | b"..")).then_some((gfid, name))
}

impl Brick {
    /// Finds the object of a call's gfid. ESTALE if there is none, or if it has no name and the
    /// calling client does not have it open.
    pub(super) fn object_of(&self, call: &Call<'_>, gfid: &Gfid) -> Result<Object> {
        self.find(gfid, call.opened)
    }

    /// Finds the object of a gfid; ESTALE if it has no name.
    pub(super) fn object(&self, gfid: &Gfid) -> Result<Object> {
        self.find(gfid, false)
    }

    /// Finds the object of a gfid; with `unlinked`, also an open file without a name. A directory
    /// is returned itself, not its handle's symlink.
    pub(super) fn find(&self, gfid: &Gfid, unlinked: bool) -> Result<Object> {
        if *gfid == Gfid::NONE {
            return Err(Errno::EINVAL);
        }
        let handle = handle_path(gfid);
        let root = self.root.as_fd();
        let nofollow = OFlags::PATH | OFlags::NOFOLLOW;
        let fd = match open_beneath(root, &handle, nofollow, Mode::empty()) {
            Err(Os::NOENT) => {
                let index = self.index_directory(gfid);
                let unlinked = || unlinked.then(|| format!(".glusterfs/unlink/{gfid}"));
                let path = index.or_else(unlinked).ok_or(Errno::ESTALE)?;
                open_beneath(root, path, nofollow, Mode::empty()).map_err(stale)?
            }
            result => result.map_err(errno)?,
        };
        let stat = rustix::fs::fstat(&fd).map_err(errno)?;
        // A client's symlink has at least two links: its name and its handle.
        if !is_symlink(&stat) || stat.st_nlink != 1 {
            return Ok(Object { fd, stat });
        }
        let fd = self.directory_of(gfid, &handle)?;
        let stat = rustix::fs::fstat(&fd).map_err(errno)?;
        Ok(Object { fd, stat })
    }

    /// Opens a directory by its handle.
    fn directory_of(&self, gfid: &Gfid, handle: &str) -> Result<OwnedFd> {
        if *gfid == Gfid::ROOT {
            let flags = OFlags::PATH | OFlags::DIRECTORY;
            return open_beneath(self.root.as_fd(), ".", flags, Mode::empty()).map_err(errno);
        }
        let target = rustix::fs::readlinkat(&self.root, handle, Vec::new()).map_err(stale)?;
        parse_dir_link(target.to_bytes()).ok_or(Errno::ESTALE)?;
        if let Some(fd) = self.deep.get(gfid) {
            return Ok(fd);
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        match open_beneath(self.root.as_fd(), handle, flags, Mode::empty()) {
            Err(Os::LOOP) => self.deep_directory(gfid),
            // A handle dangles if the directory was removed or moved by another program.
            result => result.map_err(stale),
        }
    }

    /// Finds a directory by gfid; ENOTDIR for other types.
    pub(super) fn directory(&self, gfid: &Gfid) -> Result<Object> {
        let object = self.object(gfid)?;
        if is_dir(&object.stat) { Ok(object) } else { Err(Errno::ENOTDIR) }
    }

    /// Finds an object by its name in a directory.
    pub(super) fn child(&self, parent: &Object, name: &[u8]) -> Result<Object> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW;
        let fd = open_beneath(parent.fd.as_fd(), name, flags, Mode::empty()).map_err(errno)?;
        let stat = rustix::fs::fstat(&fd).map_err(errno)?;
        Ok(Object { fd, stat })
    }

    /// Says whether a name is `.glusterfs` in the root, which clients do not see.
    pub(super) fn is_hidden(&self, parent: &Gfid, name: &[u8]) -> bool {
        *parent == Gfid::ROOT && name == b".glusterfs"
    }

    /// Makes the two levels of directories above a handle.
    fn make_handle_dirs(&self, gfid: &Gfid) -> Result<(), Os> {
        let [a, b, ..] = gfid.0;
        for path in [format!(".glusterfs/{a:02x}"), format!(".glusterfs/{a:02x}/{b:02x}")] {
            match rustix::fs::mkdirat(&self.root, path, Mode::RWXU) {
                Ok(()) | Err(Os::EXIST) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Links a file's handle to one of its names.
    pub(super) fn link_handle(&self, parent: &Object, name: &[u8], gfid: &Gfid) -> Result<(), Os> {
        let handle = handle_path(gfid);
        let link = || rustix::fs::linkat(&parent.fd, name, &self.root, &handle, AtFlags::empty());
        match link() {
            Err(Os::NOENT) => {
                self.make_handle_dirs(gfid)?;
                link()
            }
            result => result,
        }
    }

    /// Whether an object with this name in this directory has its handle. A file's handle is one of
    /// its links.
    pub(super) fn has_handle(
        &self,
        parent: &Gfid,
        name: &[u8],
        object: &Object,
        gfid: &Gfid,
    ) -> Result<bool, Os> {
        if !is_dir(&object.stat) {
            // The link count does not tell: an adopted file may have several names.
            let handle =
                rustix::fs::statat(&self.root, handle_path(gfid), AtFlags::SYMLINK_NOFOLLOW);
            return match handle {
                Ok(handle) => Ok(same_inode(&handle, &object.stat)),
                Err(Os::NOENT) => Ok(false),
                Err(error) => Err(error),
            };
        }
        let target = rustix::fs::readlinkat(&self.root, handle_path(gfid), Vec::new());
        match target {
            Ok(target) => Ok(target.to_bytes() == dir_link(parent, name)),
            // There is none, or it is a file's.
            Err(Os::NOENT | Os::INVAL) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Makes a missing handle, or replaces a directory's outdated one.
    pub(super) fn mend_handle(
        &self,
        gfid_of_parent: &Gfid,
        parent: &Object,
        name: &[u8],
        object: &Object,
        gfid: &Gfid,
    ) -> Result<(), Os> {
        if self.has_handle(gfid_of_parent, name, object, gfid)? {
            return Ok(());
        }
        if is_dir(&object.stat) {
            if self.is_copied_directory(gfid, object) {
                return Ok(());
            }
            return self.link_dir_handle(gfid_of_parent, name, gfid);
        }
        match self.link_handle(parent, name, gfid) {
            // A copy with all attributes of its original; the original keeps the gfid.
            Err(Os::EXIST) => Ok(()),
            result => result,
        }
    }

    /// Makes a directory's handle, or updates it after a rename.
    pub(super) fn link_dir_handle(
        &self,
        parent: &Gfid,
        name: &[u8],
        gfid: &Gfid,
    ) -> Result<(), Os> {
        let target = dir_link(parent, name);
        let handle = handle_path(gfid);
        // Made under another name and renamed, so that a handle exists at every moment.
        let beside = format!("{handle}{BESIDE}");
        let make = || rustix::fs::symlinkat(target.as_slice(), &self.root, &beside);
        match make() {
            Err(Os::NOENT) => {
                self.make_handle_dirs(gfid)?;
                make()?;
            }
            Err(Os::EXIST) => {
                rustix::fs::unlinkat(&self.root, &beside, AtFlags::empty())?;
                make()?;
            }
            result => result?,
        }
        rustix::fs::renameat(&self.root, &beside, &self.root, &handle)
    }

    /// Is a handle all that is left of an object whose names somebody removed by hand, and holds it
    /// no data? Then whoever makes the object anew may have its gfid.
    pub(super) fn is_left_behind(&self, gfid: &Gfid) -> bool {
        let handle = handle_path(gfid);
        match rustix::fs::statat(&self.root, &handle, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if stat.st_nlink != 1 || is_regular(&stat) => false,
            // Of a directory that is there, the handle is a symlink with one name, too.
            Ok(stat) if is_symlink(&stat) => {
                self.find(gfid, true).is_err_and(|e| e == Errno::ESTALE)
            }
            Ok(_) => true,
            Err(_) => false,
        }
    }

    /// Whether a file with this gfid is a copy made by hand with its original's xattrs: the handle
    /// is another inode, or cannot be read now. A file without handle is none.
    pub(super) fn is_copy(&self, gfid: &Gfid, object: &Object) -> bool {
        let handle = rustix::fs::statat(&self.root, handle_path(gfid), AtFlags::SYMLINK_NOFOLLOW);
        match handle {
            Ok(handle) => !same_inode(&handle, &object.stat),
            Err(error) => error != Os::NOENT,
        }
    }

    /// Whether a directory with this gfid is a copy made by hand: the handle leads to another one
    /// with the gfid, which keeps it.
    pub(super) fn is_copied_directory(&self, gfid: &Gfid, object: &Object) -> bool {
        self.object(gfid).is_ok_and(|original| {
            !same_inode(&original.stat, &object.stat)
                && read_gfid(self.namespace(), &original.fd) == Ok(Some(*gfid))
        })
    }

    pub(super) fn unlink_handle(&self, gfid: &Gfid) -> Result<(), Os> {
        match rustix::fs::unlinkat(&self.root, handle_path(gfid), AtFlags::empty()) {
            Err(Os::NOENT) => Ok(()),
            result => result,
        }
    }

    /// Removes a directory's new handle that was not yet renamed.
    pub(super) fn unlink_new_handle(&self, gfid: &Gfid) {
        // It exists only after a crash, so a failure is ignored.
        let _ = rustix::fs::unlinkat(&self.root, handle_path(gfid) + BESIDE, AtFlags::empty());
    }

    /// The last name of an open file was removed: its handle is kept in `unlink/` until the last
    /// close.
    pub(super) fn park_handle(&self, gfid: &Gfid) -> Result<(), Os> {
        let parked = format!(".glusterfs/unlink/{gfid}");
        rustix::fs::renameat(&self.root, handle_path(gfid), &self.root, parked)
    }

    pub(super) fn unpark_handle(&self, gfid: &Gfid) {
        let parked = format!(".glusterfs/unlink/{gfid}");
        // It exists only if the file was unlinked while open, so a failure is ignored.
        let _ = rustix::fs::unlinkat(&self.root, parked, AtFlags::empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_link_names_parent_and_entry_and_nothing_else_does() {
        let good = b"../../00/00/00000000-0000-0000-0000-000000000001/dir";
        assert_eq!(parse_dir_link(good), Some((Gfid::ROOT, &b"dir"[..])));
        let deep = b"../../02/02/02020202-0202-0202-0202-020202020202/.glusterfs";
        assert_eq!(parse_dir_link(deep), Some((Gfid([2; 16]), &b".glusterfs"[..])));
        for bad in [
            &b"../../00/00/00000000-0000-0000-0000-000000000001/a/b"[..],
            b"../../00/00/00000000-0000-0000-0000-000000000001/..",
            b"../../00/00/00000000-0000-0000-0000-000000000001/.glusterfs",
            b"../../../etc",
            b"/etc",
            b"",
        ] {
            assert_eq!(parse_dir_link(bad), None);
        }
    }
}
