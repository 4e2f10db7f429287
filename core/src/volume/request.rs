//! What a caller may ask of a volume, and what it is told besides a count.

use crate::fop::OpenFlags;
use crate::fop::wire::{Direntp, Direntps, Statvfs};
use crate::id::FileId;
use crate::xdr::{Dict, Gfid, Iatt};
use crate::xlator::distribute;

/// Changes of attributes; what is `None` stays. Times are seconds and nanoseconds since 1970.
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
    /// Time of the last change of the data.
    pub mtime: Option<(i64, u32)>,
}

/// One operation on a volume. Paths are bytes from the volume's root (a leading slash is optional); symlinks in the
/// middle are followed, at the end only where the operation says so. Data travels in the operation's buffer, which the
/// adapter keeps under the [`OpId`](crate::id::OpId) that `submit` returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op<'a> {
    /// Wait until the volume can be used. Every other operation waits by itself; this one only reports.
    Start,
    /// Say good-bye: flush nothing (that is the caller's), close every connection. Completes when all are closed.
    Stop,
    /// Attributes of what the path leads to. Answer: [`Answer::Stat`].
    Stat {
        /// Path.
        path: &'a [u8],
        /// Follow a symlink at the end.
        follow: bool,
    },
    /// Open or create a file. Answer: [`Answer::Opened`].
    Open {
        /// Path; a symlink at the end is followed, a dangling one creates its target (unless the file must be new).
        path: &'a [u8],
        /// How.
        flags: OpenFlags,
        /// Permission bits of a new file.
        mode: u32,
    },
    /// Open a directory for reading. Answer: [`Answer::Opened`].
    OpenDir {
        /// Path.
        path: &'a [u8],
    },
    /// Make a directory.
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
    /// Remove a name.
    Unlink {
        /// Path.
        path: &'a [u8],
    },
    /// Rename, replacing what the new name names.
    Rename {
        /// Path.
        from: &'a [u8],
        /// New path.
        to: &'a [u8],
    },
    /// A further name for a file.
    Link {
        /// The file; a symlink at the end is not followed.
        from: &'a [u8],
        /// New path.
        to: &'a [u8],
    },
    /// A symbolic link.
    Symlink {
        /// What it says.
        target: &'a [u8],
        /// Path of the link.
        path: &'a [u8],
    },
    /// What a symlink says. Answer: [`Answer::Link`].
    Readlink {
        /// Path.
        path: &'a [u8],
    },
    /// Set the size of what the path leads to.
    TruncatePath {
        /// Path.
        path: &'a [u8],
        /// New size in bytes.
        size: u64,
    },
    /// Change attributes of what the path leads to. Answer: [`Answer::Stat`].
    SetAttributes {
        /// Path.
        path: &'a [u8],
        /// What to change.
        set: SetAttributes,
    },
    /// Space and inodes of the volume. Answer: [`Answer::Statfs`].
    Statfs,
    /// One extended attribute. Answer: [`Answer::Xattrs`] with that key.
    GetXattr {
        /// Path.
        path: &'a [u8],
        /// Name, as `user.comment`.
        name: &'a [u8],
    },
    /// All extended attributes. Answer: [`Answer::Xattrs`].
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
        /// 0 any, 1 create only, 2 replace only.
        flags: u32,
    },
    /// Remove an extended attribute.
    RemoveXattr {
        /// Path.
        path: &'a [u8],
        /// Name.
        name: &'a [u8],
    },
    /// Read into the operation's buffer. Completes with the bytes read, fewer than `len` only at the end of the file.
    Read {
        /// File.
        file: FileId,
        /// First byte.
        offset: u64,
        /// How many.
        len: u32,
        /// Image view: what lies behind the end is filled with zeroes, and counts.
        fill: bool,
    },
    /// Write from the operation's buffer. Completes with the bytes written, which are all of them.
    Write {
        /// File.
        file: FileId,
        /// First byte.
        offset: u64,
        /// How many.
        len: u32,
    },
    /// Make everything written before durable.
    Flush {
        /// File.
        file: FileId,
        /// Data only (fdatasync).
        data_only: bool,
    },
    /// Free this range; it reads as zeroes. Never changes the size.
    Discard {
        /// File.
        file: FileId,
        /// First byte.
        offset: u64,
        /// How many.
        len: u64,
    },
    /// Make this range read as zeroes; extends the file where it ends behind the end.
    WriteZeroes {
        /// File.
        file: FileId,
        /// First byte.
        offset: u64,
        /// How many.
        len: u64,
    },
    /// Reserve space for this range.
    Allocate {
        /// File.
        file: FileId,
        /// First byte.
        offset: u64,
        /// How many.
        len: u64,
        /// Do not extend the file.
        keep_size: bool,
    },
    /// Set the size.
    Truncate {
        /// File.
        file: FileId,
        /// New size in bytes.
        size: u64,
    },
    /// Attributes of an open file. Answer: [`Answer::Stat`].
    Fstat {
        /// File.
        file: FileId,
    },
    /// The next data (or hole) at or after an offset. Answer: [`Answer::Offset`]; `ENXIO` if there is none.
    Seek {
        /// File.
        file: FileId,
        /// From here.
        offset: u64,
        /// Look for a hole instead of data.
        hole: bool,
    },
    /// The next entries of a directory. Answer: [`Answer::Entries`]. Completes with their number, 0 at the end.
    ReadDir {
        /// Directory.
        dir: FileId,
        /// 0, or the `offset` of the last entry seen.
        cookie: u64,
    },
    /// Close a file or directory. Reports write errors that nobody was told of yet; the handle is gone in any case.
    Close {
        /// File.
        file: FileId,
    },
}

/// Entries of a directory: name, attributes and cookie of each.
#[derive(Clone, Copy, Debug)]
pub struct Entries<'v>(pub(crate) Direntps<'v>);

impl<'v> Entries<'v> {
    /// The entries in the brick's order, without what is GlusterFS's own (link files).
    pub fn iter(&self) -> impl Iterator<Item = Direntp<'v>> + use<'v> {
        self.0.iter().filter(|entry| !distribute::hides(entry))
    }

    /// The cookie behind the last entry, hidden ones included: where the next page begins.
    pub fn next_cookie(&self) -> Option<u64> {
        self.0.iter().last().map(|entry| entry.offset)
    }
}

/// What an operation answered besides its count.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Answer<'v> {
    /// Nothing more.
    None,
    /// Attributes.
    Stat(&'v Iatt),
    /// A handle, and the attributes at that time.
    Opened {
        /// The handle.
        file: FileId,
        /// Which inode it is.
        gfid: Gfid,
        /// Attributes; zeroes if the file was opened without a look at them.
        stat: &'v Iatt,
    },
    /// A byte offset.
    Offset(u64),
    /// Space and inodes.
    Statfs(&'v Statvfs),
    /// What a symlink says.
    Link(&'v [u8]),
    /// Extended attributes.
    Xattrs(Dict<'v>),
    /// Directory entries. `last` says that no more follow.
    Entries {
        /// The entries, `.` and `..` among them.
        entries: Entries<'v>,
        /// The end of the directory is reached.
        last: bool,
    },
}
