//! Xattrs that are not on the disk: questions to the brick in the form of names. Samba, Ganesha,
//! the heal daemon and distribute ask them.

use std::os::fd::AsFd;

use brickwire_core::xdr::{Errno, Gfid};
use rustix::fs::{Dir, Mode, OFlags};
use xxhash_rust::xxh64::xxh64;

use super::handles::{is_dir, open_beneath};
use super::reply::Owned;
use super::{Brick, Result, errno};

/// Followed by a name: how is it written in this directory, apart from upper and lower case?
const REAL_FILENAME: &[u8] = b"glusterfs.get_real_filename:";

impl Brick {
    /// The answer to a name; `None` if it names no such xattr.
    pub(super) fn virtual_xattr(
        &self,
        gfid: &Gfid,
        fd: impl AsFd,
        name: &[u8],
    ) -> Option<Result<Owned>> {
        if let Some(wanted) = name.strip_prefix(REAL_FILENAME) {
            return Some(self.real_filename(gfid, fd, wanted).map(Owned::Text));
        }
        let value = match name {
            b"trusted.glusterfs.pathinfo" | b"glusterfs.pathinfo" => {
                self.pathinfo(fd).map(Owned::Text)
            }
            b"glusterfs.gfid2path" => self.path_in_volume(fd).map(Owned::Text),
            b"glusterfs.gfidtopath" => self.paths_in_volume(fd).map(Owned::Text),
            // Distribute heals a directory's layout by the path, also when it was found by its
            // gfid.
            b"glusterfs.ancestry.path" => {
                let is_dir = rustix::fs::fstat(&fd).is_ok_and(|stat| is_dir(&stat));
                is_dir.then(|| self.path_in_volume(fd)).flatten().map(Owned::Text)
            }
            b"glusterfs.gfid" => Some(Owned::Bytes(gfid.0.to_vec())),
            b"glusterfs.gfid.string" => Some(Owned::Text(gfid.to_string().into_bytes())),
            b"glusterfs.open-fd-count" => Some(Owned::Uint(self.inodes.opens(gfid).into())),
            b"trusted.glusterfs.node-uuid" => Some(Owned::Text(host_id().to_string().into())),
            _ => Some(self.index_xattr(name)?),
        };
        Some(value.ok_or(Errno::ENODATA))
    }

    /// A name of a directory that differs from another one in ASCII case at most: that one itself
    /// if it is there.
    fn real_filename(&self, gfid: &Gfid, fd: impl AsFd, wanted: &[u8]) -> Result<Vec<u8>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let fd = open_beneath(fd.as_fd(), ".", flags, Mode::empty()).map_err(errno)?;
        let mut found = None;
        for entry in Dir::read_from(&fd).map_err(errno)? {
            let entry = entry.map_err(errno)?;
            let name = entry.file_name().to_bytes();
            if self.is_hidden(gfid, name) || !name.eq_ignore_ascii_case(wanted) {
                continue;
            }
            found = Some(name.to_vec());
            if name == wanted {
                break;
            }
        }
        found.ok_or(Errno::ENODATA)
    }
}

/// The same for all bricks of this host: clients send work to the host that has the data. Hashed,
/// as a machine's id is not for strangers.
fn host_id() -> Gfid {
    let machine = std::fs::read("/etc/machine-id").unwrap_or_default();
    let host = rustix::system::uname().nodename().to_bytes().to_vec();
    let text = if machine.is_empty() { host } else { machine };
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&xxh64(&text, 3).to_be_bytes());
    bytes[8..].copy_from_slice(&xxh64(&text, 4).to_be_bytes());
    Gfid::v4(bytes)
}
