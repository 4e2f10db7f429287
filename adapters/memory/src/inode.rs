//! Inodes, entries, xattrs and open files: the elements of the tables.

use brickwire_core::fop::OpenFlags;
use brickwire_core::server::HandleId;
use brickwire_core::xdr::{FileType, Gfid, Mdata};

/// The longest name of an entry, and of an xattr.
pub(super) const NAME_MAX: usize = 255;
/// The type bits of a mode.
pub(super) const TYPE: u32 = 0o170_000;
pub(super) const REGULAR: u32 = 0o100_000;
pub(super) const DIRECTORY: u32 = 0o040_000;
pub(super) const SYMLINK: u32 = 0o120_000;

/// A name of an entry or an xattr.
pub(super) type Name = heapless::Vec<u8, NAME_MAX>;

/// One inode.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Inode {
    pub(super) brick: u64,
    /// Serial number among all inodes that were ever created: tells an inode from an earlier one
    /// with the same gfid or slot.
    pub(super) serial: u64,
    /// A directory that was removed while it was open: its gfid finds nothing.
    pub(super) removed: bool,
    pub(super) gfid: Gfid,
    /// Belongs to the storage itself: clients get no gfid of it.
    pub(super) nameless: bool,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) rdev: u64,
    pub(super) size: u64,
    /// Entries that name it. For a directory: 2 plus its subdirectories, 0 if it was removed.
    pub(super) nlink: u32,
    /// Number of times that it is open.
    pub(super) opens: u32,
    /// For a directory: its parent.
    pub(super) parent: u32,
    /// For a directory: the cookie of its next entry.
    pub(super) next_cookie: u64,
    /// Times of the storage's clock.
    pub(super) times: Mdata,
    pub(super) born: (i64, u32),
    /// Times that clients set (docs/spec/40-brick-server.md, "Xattrs"). They replace `times` in
    /// replies.
    pub(super) mdata: Option<Mdata>,
}

impl Inode {
    /// An unused inode.
    pub const EMPTY: Inode = Inode {
        brick: 0,
        serial: 0,
        removed: false,
        gfid: Gfid::NONE,
        nameless: false,
        mode: 0,
        uid: 0,
        gid: 0,
        rdev: 0,
        size: 0,
        nlink: 0,
        opens: 0,
        parent: 0,
        next_cookie: FIRST_COOKIE,
        times: Mdata { atime: (0, 0), mtime: (0, 0), ctime: (0, 0) },
        born: (0, 0),
        mdata: None,
    };

    pub(super) fn kind(&self) -> FileType {
        // Modes are made by this crate and always have a type.
        FileType::of_mode(self.mode).unwrap_or(FileType::Regular)
    }

    pub(super) fn is_dir(&self) -> bool {
        self.mode & TYPE == DIRECTORY
    }

    pub(super) fn is_regular(&self) -> bool {
        self.mode & TYPE == REGULAR
    }

    pub(super) fn is_symlink(&self) -> bool {
        self.mode & TYPE == SYMLINK
    }
}

/// Cookies below it belong to `.` and `..`.
pub(super) const FIRST_COOKIE: u64 = 3;

/// One entry of a directory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entry {
    /// Slots of the directory and of the inode.
    pub(super) directory: u32,
    pub(super) inode: u32,
    /// Position in the directory's listing.
    pub(super) cookie: u64,
    pub(super) name: Name,
}

impl Entry {
    /// An unused entry.
    pub const EMPTY: Entry = Entry { directory: 0, inode: 0, cookie: 0, name: Name::new() };
}

/// Bytes of an xattr's value that are stored without a page.
pub(super) const VALUE_INLINE: usize = 64;

/// One xattr.
#[derive(Clone, Debug, PartialEq)]
pub struct Xattr {
    pub(super) inode: u32,
    pub(super) name: Name,
    pub(super) len: u32,
    /// The value if it fits; a longer one is in pages.
    pub(super) value: [u8; VALUE_INLINE],
}

impl Xattr {
    /// An unused xattr.
    pub const EMPTY: Xattr =
        Xattr { inode: 0, name: Name::new(), len: 0, value: [0; VALUE_INLINE] };
}

/// One open file or directory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OpenInode {
    pub(super) handle: Option<HandleId>,
    pub(super) inode: u32,
    pub(super) flags: OpenFlags,
}

impl OpenInode {
    /// Nobody's.
    pub const EMPTY: OpenInode = OpenInode { handle: None, inode: 0, flags: OpenFlags::READ };
}
