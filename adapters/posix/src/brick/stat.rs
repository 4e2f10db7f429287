//! Iatts and gfids of objects on disk.

use std::os::fd::AsFd;

use brickwire_core::xdr::{Errno, Gfid, Iatt};
use rustix::fs::Stat;
use rustix::io::Errno as Os;

use super::handles::{Object, is_dir, proc_path};
use super::{Brick, Result, XattrNamespace, errno, mdata};

/// Xattr that holds an inode's gfid.
pub(super) const GFID: &[u8] = b"trusted.gfid";

/// Gfid of an object; `None` if it has none.
pub(super) fn gfid_of(namespace: XattrNamespace, fd: impl AsFd) -> Option<Gfid> {
    let mut bytes = [0; 16];
    let len = namespace.get(proc_path(&fd), GFID, &mut bytes).ok()?;
    (len == 16 && bytes != [0; 16]).then_some(Gfid(bytes))
}

/// Gfid of an object; unlike [`gfid_of`] it tells an object without gfid from a failure.
pub(super) fn read_gfid(namespace: XattrNamespace, fd: impl AsFd) -> Result<Option<Gfid>> {
    let mut bytes = [0; 16];
    match namespace.get(proc_path(&fd), GFID, &mut bytes) {
        Ok(len) => Ok((len == 16 && bytes != [0; 16]).then_some(Gfid(bytes))),
        // A longer value is no gfid.
        Err(Os::NODATA | Os::RANGE) => Ok(None),
        Err(error) => Err(errno(error)),
    }
}

/// Iatt from a stat: with the file system's times.
pub(super) fn iatt_of(stat: &Stat, gfid: Gfid) -> Iatt {
    let [.., a, b, c, d, e, f, g, h] = gfid.0;
    // The handle is a hard link that clients do not count.
    let names = if is_dir(stat) { stat.st_nlink } else { stat.st_nlink.saturating_sub(1) };
    let mut iatt = Iatt {
        gfid,
        flags: Iatt::ALL,
        ino: u64::from_be_bytes([a, b, c, d, e, f, g, h]),
        dev: stat.st_dev,
        // GlusterFS stores each half of a device number in a word of its own.
        rdev: u64::from(rustix::fs::major(stat.st_rdev)) << 32
            | u64::from(rustix::fs::minor(stat.st_rdev)),
        size: stat.st_size as u64,
        // File systems allocate more (XFS preallocates for appends, ext4 for xattrs). Clients that
        // add up blocks, such as shard, expect at most what the size needs, which is how glusterfsd
        // caps it.
        blocks: (stat.st_blocks as u64).min((stat.st_size as u64).div_ceil(512)),
        nlink: names as u32,
        uid: stat.st_uid,
        gid: stat.st_gid,
        blksize: stat.st_blksize as u32,
        mode: stat.st_mode,
        ..Iatt::default()
    };
    mdata::apply(&mdata::of_stat(stat), &mut iatt);
    iatt
}

impl Brick {
    /// Iatt of an object, with clients' times if it has them.
    pub(super) fn iatt(&self, object: &Object, gfid: Gfid) -> Iatt {
        self.iatt_with(&object.stat, gfid, &object.fd)
    }

    pub(super) fn iatt_with(&self, stat: &Stat, gfid: Gfid, fd: impl AsFd) -> Iatt {
        let mut iatt = iatt_of(stat, gfid);
        if let Some(times) = self.times(&gfid, fd) {
            mdata::apply(&times, &mut iatt);
        }
        iatt
    }

    /// Current iatt of a descriptor's object.
    pub(super) fn iatt_now(&self, fd: impl AsFd, gfid: Gfid) -> Result<Iatt> {
        let stat = rustix::fs::fstat(&fd).map_err(errno)?;
        Ok(self.iatt_with(&stat, gfid, fd))
    }

    /// Gfid of an object; ENODATA if it has none.
    pub(super) fn gfid(&self, object: &Object) -> Result<Gfid> {
        gfid_of(self.namespace(), &object.fd).ok_or(Errno::ENODATA)
    }
}
