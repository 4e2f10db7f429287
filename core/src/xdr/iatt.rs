//! Attributes of an inode in replies (docs/spec/01-wire.md, "iattx", "iatt1").

use super::{Decode, Encode, Fault, Gfid, NoRoom, Reader, Writer, XdrError};

/// Nanoseconds in a second.
const NSEC: u32 = 1_000_000_000;

/// Type of an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileType {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A block device.
    Block,
    /// A character device.
    Character,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

impl FileType {
    /// From the type bits of a mode; `None` if they are no known type.
    pub const fn of_mode(mode: u32) -> Option<Self> {
        Some(match mode & 0o170_000 {
            0o100_000 => Self::Regular,
            0o040_000 => Self::Directory,
            0o120_000 => Self::Symlink,
            0o060_000 => Self::Block,
            0o020_000 => Self::Character,
            0o010_000 => Self::Fifo,
            0o140_000 => Self::Socket,
            _ => return None,
        })
    }
}

macro_rules! block {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $field:ident: $type:ident,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub struct $name {
            /// The inode; all zeroes in an empty block.
            pub gfid: Gfid,
            $($(#[$doc])* pub $field: $type,)+
        }

        impl Encode for $name {
            fn encode(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
                self.gfid.encode(w)?;
                $(w.$type(self.$field)?;)+
                Ok(())
            }
        }

        impl $name {
            const BYTES: usize = size_of::<Gfid>() $(+ size_of::<$type>())+;

            #[inline]
            fn fields(r: &mut Reader<'_>) -> Result<Self, XdrError> {
                // Usually the whole block is present. Its length is then checked once, not for each
                // of twenty fields.
                let mut whole = *r;
                match whole.fixed::<{ Self::BYTES }>("iatt") {
                    Ok(bytes) => {
                        *r = whole;
                        Self::each(&mut Reader::new(bytes))
                    }
                    Err(_) => Self::each(r),
                }
            }

            #[inline(always)]
            fn each(r: &mut Reader<'_>) -> Result<Self, XdrError> {
                Ok(Self {
                    gfid: Gfid::decode(r)?,
                    $($field: r.$type(concat!("ia_", stringify!($field)))?,)+
                })
            }
        }
    };
}

block! {
    /// Attributes: 148 bytes on the wire (program version 400).
    Iatt {
        /// Valid fields (docs/spec/01-wire.md, "iattx"); 0 in an empty block.
        flags: u64,
        /// Inode number.
        ino: u64,
        /// Device that contains the inode.
        dev: u64,
        /// Device number, if the inode is a device.
        rdev: u64,
        /// Bytes.
        size: u64,
        /// Blocks of 512 bytes.
        blocks: u64,
        /// `STATX_ATTR_*`
        attributes: u64,
        /// The bits of `attributes` that the brick supports.
        attributes_mask: u64,
        /// Last access, seconds since 1970.
        atime: i64,
        /// Last change of the data.
        mtime: i64,
        /// Last change of the inode.
        ctime: i64,
        /// Birth.
        btime: i64,
        /// Nanoseconds of `atime`.
        atime_nsec: u32,
        /// Nanoseconds of `mtime`.
        mtime_nsec: u32,
        /// Nanoseconds of `ctime`.
        ctime_nsec: u32,
        /// Nanoseconds of `btime`.
        btime_nsec: u32,
        /// Names.
        nlink: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
        /// Preferred size of I/O.
        blksize: u32,
        /// Type and permissions, as `st_mode` on Linux.
        mode: u32,
    }
}

block! {
    /// Attributes in callbacks: 100 bytes (program version 330).
    OldIatt {
        /// Inode number.
        ino: u64,
        /// Device that contains the inode.
        dev: u64,
        /// Type and permissions.
        mode: u32,
        /// Names.
        nlink: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
        /// Device number, if the inode is a device.
        rdev: u64,
        /// Bytes.
        size: u64,
        /// Preferred size of I/O.
        blksize: u32,
        /// Blocks of 512 bytes.
        blocks: u64,
        /// Last access, seconds since 1970.
        atime: u32,
        /// Its nanoseconds.
        atime_nsec: u32,
        /// Last change of the data.
        mtime: u32,
        /// Its nanoseconds.
        mtime_nsec: u32,
        /// Last change of the inode.
        ctime: u32,
        /// Its nanoseconds.
        ctime_nsec: u32,
    }
}

impl<'a> Decode<'a> for Iatt {
    fn decode(r: &mut Reader<'a>) -> Result<Self, XdrError> {
        let start = *r;
        let iatt = Self::fields(r)?;
        let nsecs = [iatt.atime_nsec, iatt.mtime_nsec, iatt.ctime_nsec, iatt.btime_nsec];
        if let Some(nsec) = nsecs.into_iter().find(|nsec| *nsec >= NSEC) {
            return Err(start.error(
                "ia_nsec",
                Fault::Value { got: nsec.into(), expected: "less than 1000000000" },
            ));
        }
        if i64::try_from(iatt.size).is_err() {
            return Err(
                start.error("ia_size", Fault::Value { got: iatt.size, expected: "less than 2^63" })
            );
        }
        if iatt.flags != 0 && iatt.file_type().is_none() {
            return Err(start.error(
                "ia_mode",
                Fault::Value { got: iatt.mode.into(), expected: "a file type" },
            ));
        }
        Ok(iatt)
    }
}

impl<'a> Decode<'a> for OldIatt {
    fn decode(r: &mut Reader<'a>) -> Result<Self, XdrError> {
        Self::fields(r)
    }
}

impl Iatt {
    /// Bytes on the wire.
    pub const LEN: usize = 148;
    /// `flags` of a block with every field except the birth time.
    pub const ALL: u64 = 0x17ff;

    /// Decodes a block without checking its type. In a request only some fields are valid and the
    /// mode has no type bits; in a failed reply the block is empty (docs/spec/01-wire.md, "iattx").
    pub fn decode_unchecked(r: &mut Reader<'_>) -> Result<Self, XdrError> {
        Self::fields(r)
    }

    /// The type of the inode.
    pub const fn file_type(&self) -> Option<FileType> {
        FileType::of_mode(self.mode)
    }

    /// Is it a directory?
    pub fn is_dir(&self) -> bool {
        self.file_type() == Some(FileType::Directory)
    }

    /// Is it a regular file?
    pub fn is_regular(&self) -> bool {
        self.file_type() == Some(FileType::Regular)
    }

    /// Is it a symbolic link?
    pub fn is_symlink(&self) -> bool {
        self.file_type() == Some(FileType::Symlink)
    }
}
