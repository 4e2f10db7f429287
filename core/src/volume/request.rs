//! Operations on a volume, and what they return besides a count.

use crate::fop::OpenFlags;
use crate::fop::wire::{Direntp, Direntps, Statvfs};
use crate::id::FileId;
use crate::xdr::{Dict, Gfid, Iatt};
use crate::xlator::{distribute, replicate};

/// Attributes to change; `None` leaves one as it is. Times are seconds and nanoseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SetAttributes {
    /// Permission bits.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Time of the last access.
    pub atime: Option<(i64, u32)>,
    /// Time of the last change of data.
    pub mtime: Option<(i64, u32)>,
}

/// One operation on a volume. Paths are bytes, relative to the volume's root; a leading slash is
/// optional. Symlinks in the middle of a path are followed, at its end only where the operation
/// says so. Data is in the operation's buffer, which the adapter keeps under the
/// [`OpId`](crate::id::OpId) that `submit` returns. Sizes, offsets and lengths are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op<'a> {
    /// Wait until the volume can be used. Every other operation waits as well; this one only
    /// reports.
    Start,
    /// End all operations and close every connection. Nothing is flushed: that is for the caller to
    /// do before. Completes at once, or, if a replicated file was changed in the last second and is
    /// still open, within 3 s: the bricks are told first that the changes are over. The adapter
    /// closes the connections as `Output::Close` says.
    Stop,
    /// Get the attributes of the object at a path. Answer: [`Answer::Stat`].
    Stat {
        /// Path.
        path: &'a [u8],
        /// Follow a symlink at the end.
        follow: bool,
    },
    /// Open or create a file. Answer: [`Answer::Opened`].
    Open {
        /// Path. A symlink at the end is followed, and a dangling one creates its target (unless
        /// the file must be new).
        path: &'a [u8],
        /// Access mode and the flags of open(2).
        flags: OpenFlags,
        /// Permission bits of a new file.
        mode: u32,
    },
    /// Open a directory to read it. Answer: [`Answer::Opened`].
    OpenDir {
        /// Path.
        path: &'a [u8],
    },
    /// Create a directory.
    Mkdir {
        /// Path.
        path: &'a [u8],
        /// Permission bits.
        mode: u32,
    },
    /// Remove an empty directory.
    Rmdir {
        /// Path.
        path: &'a [u8],
    },
    /// Remove a name of a file.
    Unlink {
        /// Path.
        path: &'a [u8],
    },
    /// Rename; an object at the new path is replaced.
    Rename {
        /// Path.
        from: &'a [u8],
        /// New path.
        to: &'a [u8],
    },
    /// Add a name to a file.
    Link {
        /// The file; a symlink at the end is not followed.
        from: &'a [u8],
        /// New path.
        to: &'a [u8],
    },
    /// Create a symbolic link.
    Symlink {
        /// Target of the link.
        target: &'a [u8],
        /// Path of the link.
        path: &'a [u8],
    },
    /// Read the target of a symlink. Answer: [`Answer::Link`].
    Readlink {
        /// Path.
        path: &'a [u8],
    },
    /// Set the size of the file at a path.
    TruncatePath {
        /// Path.
        path: &'a [u8],
        /// New size in bytes.
        size: u64,
    },
    /// Change attributes of the object at a path. Answer: [`Answer::Stat`].
    SetAttributes {
        /// Path.
        path: &'a [u8],
        /// Attributes to change.
        set: SetAttributes,
    },
    /// Get space and inodes of the volume. Answer: [`Answer::Statfs`].
    Statfs,
    /// Get one extended attribute. Answer: [`Answer::Xattrs`] with that key.
    GetXattr {
        /// Path.
        path: &'a [u8],
        /// Name, such as `user.comment`.
        name: &'a [u8],
    },
    /// Get all extended attributes. Answer: [`Answer::Xattrs`].
    ListXattr {
        /// Path.
        path: &'a [u8],
    },
    /// Set an extended attribute; the value is the first `len` bytes of the operation's buffer.
    SetXattr {
        /// Path.
        path: &'a [u8],
        /// Name.
        name: &'a [u8],
        /// Length of the value.
        len: u32,
        /// 0 create or replace, 1 create only, 2 replace only.
        flags: u32,
    },
    /// Remove an extended attribute.
    RemoveXattr {
        /// Path.
        path: &'a [u8],
        /// Name.
        name: &'a [u8],
    },
    /// Read into the operation's buffer. Completes with the number of bytes read, which is less
    /// than `len` only at the end of the file.
    Read {
        /// File.
        file: FileId,
        /// First byte.
        offset: u64,
        /// Number of bytes.
        len: u32,
        /// Fill the buffer behind the end of the file with zeroes, and count them.
        fill: bool,
    },
    /// Write from the operation's buffer. Completes with the number of bytes written: always all.
    Write {
        /// File.
        file: FileId,
        /// First byte.
        offset: u64,
        /// Number of bytes.
        len: u32,
    },
    /// Make all acknowledged changes of the file durable.
    Flush {
        /// File.
        file: FileId,
        /// The data only, as fdatasync(2) does.
        data_only: bool,
    },
    /// Free this range; it reads as zeroes afterwards. The size stays.
    Discard {
        /// File.
        file: FileId,
        /// First byte.
        offset: u64,
        /// Number of bytes.
        len: u64,
    },
    /// Make this range read as zeroes. The file grows if the range ends behind its end.
    WriteZeroes {
        /// File.
        file: FileId,
        /// First byte.
        offset: u64,
        /// Number of bytes.
        len: u64,
    },
    /// Reserve space for this range. The file grows if the range ends behind its end.
    Allocate {
        /// File.
        file: FileId,
        /// First byte.
        offset: u64,
        /// Number of bytes.
        len: u64,
        /// The size stays.
        keep_size: bool,
    },
    /// Set the size of an open file.
    Truncate {
        /// File.
        file: FileId,
        /// New size in bytes.
        size: u64,
    },
    /// Get the attributes of an open file. Answer: [`Answer::Stat`].
    Fstat {
        /// File.
        file: FileId,
    },
    /// Find the next data, or hole, at or behind an offset. Answer: [`Answer::Offset`]; `ENXIO` if
    /// there is none.
    Seek {
        /// File.
        file: FileId,
        /// Offset to begin at.
        offset: u64,
        /// Find a hole instead of data.
        hole: bool,
    },
    /// Read the next entries of a directory. Completes with their number; 0 at the end. Answer:
    /// [`Answer::Entries`].
    ReadDir {
        /// Directory.
        dir: FileId,
        /// 0 for the first page; then the `offset` of the last entry.
        cookie: u64,
    },
    /// Close a file or directory. Reports write errors that were not reported before; the handle is
    /// closed in any case.
    Close {
        /// File.
        file: FileId,
    },
}

/// Entries of a directory: name, attributes and cookie of each.
#[derive(Clone, Copy, Debug)]
pub struct Entries<'v> {
    pub(crate) page: Direntps<'v>,
    /// It is a page of the root of a volume with replicas.
    pub(crate) of_replicated_root: bool,
}

impl<'v> Entries<'v> {
    /// The entries, in the brick's order, without those that only GlusterFS uses (link files, the
    /// directory of self-heal).
    pub fn iter(&self) -> impl Iterator<Item = Direntp<'v>> + use<'v> {
        let of_replicated_root = self.of_replicated_root;
        self.page.iter().filter(move |entry| {
            let is_hidden = of_replicated_root && replicate::hides_in_root(entry.name);
            !distribute::hides(entry) && !is_hidden
        })
    }

    /// The cookie of the next page: that of the last entry, which may be a hidden one.
    pub fn next_cookie(&self) -> Option<u64> {
        self.page.iter().last().map(|entry| entry.offset)
    }
}

/// The answer of an operation, besides its count.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Answer<'v> {
    /// There is none.
    None,
    /// Attributes.
    Stat(&'v Iatt),
    /// A handle, and the attributes at that time.
    Opened {
        /// The handle.
        file: FileId,
        /// Gfid of the inode.
        gfid: Gfid,
        /// Attributes; all zero if the object was opened without a LOOKUP of it.
        stat: &'v Iatt,
    },
    /// A byte offset.
    Offset(u64),
    /// Space and inodes.
    Statfs(&'v Statvfs),
    /// Target of a symlink.
    Link(&'v [u8]),
    /// Extended attributes.
    Xattrs(Dict<'v>),
    /// Entries of a directory.
    Entries {
        /// The entries, including `.` and `..`.
        entries: Entries<'v>,
        /// This is the last page.
        last: bool,
    },
}
