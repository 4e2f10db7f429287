//! Attributes, directory entries, file system statistics.

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

    /// All attributes as the brick sent them.
    pub fn iatt(&self) -> &Iatt {
        &self.iatt
    }

    /// The type; `None` if the brick did not send it.
    pub fn file_type(&self) -> Option<FileType> {
        self.iatt.file_type()
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.iatt.is_dir()
    }

    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        self.iatt.is_regular()
    }

    /// Whether it is a symbolic link.
    pub fn is_symlink(&self) -> bool {
        self.iatt.is_symlink()
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        self.iatt.size
    }

    /// Bytes allocated on the brick.
    pub fn allocated(&self) -> u64 {
        self.iatt.blocks.saturating_mul(512)
    }

    /// The gfid: the inode's id in the volume.
    pub fn gfid(&self) -> Gfid {
        self.iatt.gfid
    }

    /// Permission bits.
    pub fn permissions(&self) -> u32 {
        self.iatt.mode & 0o7777
    }

    /// Time of the last change of the data.
    pub fn modified(&self) -> SystemTime {
        time(self.iatt.mtime, self.iatt.mtime_nsec)
    }

    /// Time of the last read, if the volume maintains it.
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

    /// The name as an `OsStr`.
    pub fn file_name(&self) -> &OsStr {
        OsStr::from_bytes(&self.name)
    }

    /// The name as text; bytes that are not UTF-8 become U+FFFD.
    pub fn name_lossy(&self) -> String {
        String::from_utf8_lossy(&self.name).into_owned()
    }

    /// Attributes from the listing; all zeroes if the listing had none.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}

/// Space and inodes of a volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statfs {
    /// Size in bytes.
    pub total: u64,
    /// Bytes free.
    pub free: u64,
    /// Bytes free for unprivileged users.
    pub available: u64,
    /// Number of inodes.
    pub files: u64,
    /// Inodes free.
    pub files_free: u64,
    /// Block size in bytes.
    pub block_size: u64,
    /// Longest name in bytes.
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
