//! Attributes, directory entries, space.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use brickwire_core::fop::wire::Statvfs;
use brickwire_core::xdr::{FileType, Gfid, Iatt};

/// Attributes of a file, directory or link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    iatt: Iatt,
}

impl Metadata {
    pub(crate) fn new(iatt: Iatt) -> Self {
        Self { iatt }
    }

    /// Everything that the brick said.
    pub fn iatt(&self) -> &Iatt {
        &self.iatt
    }

    /// What it is; `None` if the brick did not say.
    pub fn file_type(&self) -> Option<FileType> {
        self.iatt.file_type()
    }

    /// Is it a directory?
    pub fn is_dir(&self) -> bool {
        self.iatt.is_dir()
    }

    /// Is it a regular file?
    pub fn is_file(&self) -> bool {
        self.iatt.is_regular()
    }

    /// Is it a symbolic link?
    pub fn is_symlink(&self) -> bool {
        self.iatt.is_symlink()
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        self.iatt.size
    }

    /// Bytes that are allocated on the brick.
    pub fn allocated(&self) -> u64 {
        self.iatt.blocks.saturating_mul(512)
    }

    /// Which inode of the volume.
    pub fn gfid(&self) -> Gfid {
        self.iatt.gfid
    }

    /// Permission bits.
    pub fn permissions(&self) -> u32 {
        self.iatt.mode & 0o7777
    }

    /// When the data last changed.
    pub fn modified(&self) -> SystemTime {
        time(self.iatt.mtime, self.iatt.mtime_nsec)
    }

    /// When it was last read, if the volume keeps that.
    pub fn accessed(&self) -> SystemTime {
        time(self.iatt.atime, self.iatt.atime_nsec)
    }
}

fn time(seconds: i64, nanos: u32) -> SystemTime {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let base =
        if seconds < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
    base.and_then(|base| base.checked_add(Duration::from_nanos(nanos.into()))).unwrap_or(UNIX_EPOCH)
}

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    name: Vec<u8>,
    metadata: Metadata,
}

impl DirEntry {
    pub(crate) fn new(name: &[u8], metadata: Metadata) -> Self {
        Self { name: name.to_vec(), metadata }
    }

    /// The name's bytes.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// The name, to be put behind a path.
    pub fn file_name(&self) -> &OsStr {
        OsStr::from_bytes(&self.name)
    }

    /// The name as text; bytes that are none become U+FFFD.
    pub fn name_lossy(&self) -> String {
        String::from_utf8_lossy(&self.name).into_owned()
    }

    /// Its attributes, as the listing had them; all zeroes if it had none.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}

/// Space and inodes of a volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statfs {
    /// Bytes altogether.
    pub total: u64,
    /// Bytes free.
    pub free: u64,
    /// Bytes free for ordinary users.
    pub available: u64,
    /// Inodes altogether.
    pub files: u64,
    /// Inodes free.
    pub files_free: u64,
    /// Bytes of a block.
    pub block_size: u64,
    /// Bytes of a name.
    pub name_max: u64,
}

impl Statfs {
    pub(crate) fn new(s: &Statvfs) -> Self {
        let bytes = |blocks: u64| blocks.saturating_mul(s.frsize);
        Self {
            total: bytes(s.blocks),
            free: bytes(s.bfree),
            available: bytes(s.bavail),
            files: s.files,
            files_free: s.ffree,
            block_size: s.bsize,
            name_max: s.namemax,
        }
    }
}
