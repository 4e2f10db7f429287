//! Procedure numbers of the fop program (docs/spec/01-wire.md, "Fop program procedure numbers").

macro_rules! numbers {
    ($($name:ident = $number:literal,)+) => {
        /// A file operation, by its number on the wire.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u32)]
        #[allow(missing_docs)] // They are GlusterFS's names, and say it all.
        pub enum FopNumber {
            $($name = $number,)+
        }

        impl FopNumber {
            /// All fops.
            pub const ALL: &'static [FopNumber] = &[$(FopNumber::$name,)+];

            /// From the number on the wire.
            pub const fn from_u32(number: u32) -> Option<Self> {
                match number {
                    $($number => Some(Self::$name),)+
                    _ => None,
                }
            }

            /// The name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }
        }
    };
}

numbers! {
    Null = 0, Stat = 1, Readlink = 2, Mknod = 3, Mkdir = 4, Unlink = 5, Rmdir = 6, Symlink = 7,
    Rename = 8, Link = 9, Truncate = 10, Open = 11, Read = 12, Write = 13, Statfs = 14, Flush = 15,
    Fsync = 16, Setxattr = 17, Getxattr = 18, Removexattr = 19, Opendir = 20, Fsyncdir = 21,
    Access = 22, Create = 23, Ftruncate = 24, Fstat = 25, Lk = 26, Lookup = 27, Readdir = 28,
    Inodelk = 29, Finodelk = 30, Entrylk = 31, Fentrylk = 32, Xattrop = 33, Fxattrop = 34,
    Fgetxattr = 35, Fsetxattr = 36, Rchecksum = 37, Setattr = 38, Fsetattr = 39, Readdirp = 40,
    Release = 41, Releasedir = 42, Fremovexattr = 43, Fallocate = 44, Discard = 45, Zerofill = 46,
    Ipc = 47, Seek = 48, Compound = 49, Lease = 50, Getactivelk = 51, Setactivelk = 52,
    Icreate = 53, Namelink = 54, Put = 55, CopyFileRange = 56,
}

impl FopNumber {
    /// Whether it changes data, names or attributes. A read-only volume refuses these.
    pub const fn is_modifying(self) -> bool {
        matches!(
            self,
            Self::Mknod
                | Self::Mkdir
                | Self::Unlink
                | Self::Rmdir
                | Self::Symlink
                | Self::Rename
                | Self::Link
                | Self::Truncate
                | Self::Write
                | Self::Setxattr
                | Self::Removexattr
                | Self::Create
                | Self::Ftruncate
                | Self::Xattrop
                | Self::Fxattrop
                | Self::Fsetxattr
                | Self::Setattr
                | Self::Fsetattr
                | Self::Fremovexattr
                | Self::Fallocate
                | Self::Discard
                | Self::Zerofill
                | Self::Icreate
                | Self::Namelink
                | Self::Put
                | Self::CopyFileRange
        )
    }
}
