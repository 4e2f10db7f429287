//! Fops as translators pass them on: small values without lifetimes. Payload is a range of the
//! operation's buffer, a name is a part of its path, a file is an id. Only `client` turns them into
//! bytes.

use crate::boundary::Range;
use crate::fop::FopNumber;
use crate::fop::OpenFlags;
use crate::id::FileId;
use crate::names::Name;
use crate::xdr::Gfid;

/// A name in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Entry {
    pub(crate) parent: Gfid,
    pub(crate) name: Name,
}

/// An open file: the handle and the gfid of its inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Fd {
    pub(crate) file: FileId,
    pub(crate) gfid: Gfid,
}

/// Attributes to set; `valid` says which (docs/spec/01-wire.md, "Small enumerations").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Attrs {
    pub(crate) valid: u32,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) atime: (i64, u32),
    pub(crate) mtime: (i64, u32),
}

/// One file operation, as it is wound down a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Fop {
    Lookup { at: Entry, gfid_req: Gfid },
    LookupGfid { gfid: Gfid },
    SetAttr { gfid: Gfid, attrs: Attrs },
    Readlink { gfid: Gfid },
    Mkdir { at: Entry, mode: u32, gfid_req: Gfid },
    Rmdir { at: Entry },
    Unlink { at: Entry },
    Symlink { at: Entry, target: Name, gfid_req: Gfid },
    Rename { from: Entry, to: Entry },
    Link { gfid: Gfid, to: Entry },
    Truncate { gfid: Gfid, size: u64 },
    Open { fd: Fd, flags: OpenFlags },
    OpenDir { fd: Fd },
    Create { at: Entry, file: FileId, flags: OpenFlags, mode: u32, gfid_req: Gfid },
    Read { fd: Fd, offset: u64, into: Range },
    Write { fd: Fd, offset: u64, data: Range },
    Flush { fd: Fd },
    Fsync { fd: Fd, data_only: bool, last: bool },
    Ftruncate { fd: Fd, size: u64 },
    Discard { fd: Fd, offset: u64, len: u64 },
    Zerofill { fd: Fd, offset: u64, len: u64 },
    Fallocate { fd: Fd, offset: u64, len: u64, keep_size: bool },
    Fstat { fd: Fd },
    Seek { fd: Fd, offset: u64, hole: bool },
    Readdirp { fd: Fd, offset: u64, size: u32 },
    Statfs { gfid: Gfid },
    GetXattr { gfid: Gfid, name: Option<Name> },
    SetXattr { gfid: Gfid, name: Name, value: Range, flags: u32 },
    RemoveXattr { gfid: Gfid, name: Name },
}

impl Fop {
    pub(crate) fn number(&self) -> FopNumber {
        match self {
            Self::Lookup { .. } | Self::LookupGfid { .. } => FopNumber::Lookup,
            Self::SetAttr { .. } => FopNumber::Setattr,
            Self::Readlink { .. } => FopNumber::Readlink,
            Self::Mkdir { .. } => FopNumber::Mkdir,
            Self::Rmdir { .. } => FopNumber::Rmdir,
            Self::Unlink { .. } => FopNumber::Unlink,
            Self::Symlink { .. } => FopNumber::Symlink,
            Self::Rename { .. } => FopNumber::Rename,
            Self::Link { .. } => FopNumber::Link,
            Self::Truncate { .. } => FopNumber::Truncate,
            Self::Open { .. } => FopNumber::Open,
            Self::OpenDir { .. } => FopNumber::Opendir,
            Self::Create { .. } => FopNumber::Create,
            Self::Read { .. } => FopNumber::Read,
            Self::Write { .. } => FopNumber::Write,
            Self::Flush { .. } => FopNumber::Flush,
            Self::Fsync { .. } => FopNumber::Fsync,
            Self::Ftruncate { .. } => FopNumber::Ftruncate,
            Self::Discard { .. } => FopNumber::Discard,
            Self::Zerofill { .. } => FopNumber::Zerofill,
            Self::Fallocate { .. } => FopNumber::Fallocate,
            Self::Fstat { .. } => FopNumber::Fstat,
            Self::Seek { .. } => FopNumber::Seek,
            Self::Readdirp { .. } => FopNumber::Readdirp,
            Self::Statfs { .. } => FopNumber::Statfs,
            Self::GetXattr { .. } => FopNumber::Getxattr,
            Self::SetXattr { .. } => FopNumber::Setxattr,
            Self::RemoveXattr { .. } => FopNumber::Removexattr,
        }
    }

    /// The open file that the fop needs a remote fd of.
    pub(crate) fn fd(&self) -> Option<Fd> {
        match *self {
            Self::Read { fd, .. }
            | Self::Write { fd, .. }
            | Self::Flush { fd }
            | Self::Fsync { fd, .. }
            | Self::Ftruncate { fd, .. }
            | Self::Discard { fd, .. }
            | Self::Zerofill { fd, .. }
            | Self::Fallocate { fd, .. }
            | Self::Fstat { fd }
            | Self::Seek { fd, .. }
            | Self::Readdirp { fd, .. } => Some(fd),
            _ => None,
        }
    }

    /// Says whether the fop may be sent again when it is unknown whether the first copy was
    /// executed. True for fops that change nothing: a late execution of the first copy is harmless
    /// then.
    pub(crate) fn is_repeatable(&self) -> bool {
        match self {
            Self::Open { flags, .. } => !flags.has(OpenFlags::TRUNCATE),
            Self::Lookup { .. }
            | Self::LookupGfid { .. }
            | Self::Readlink { .. }
            | Self::OpenDir { .. }
            | Self::Read { .. }
            | Self::Fstat { .. }
            | Self::Seek { .. }
            | Self::Readdirp { .. }
            | Self::Statfs { .. }
            | Self::GetXattr { .. } => true,
            _ => false,
        }
    }

    /// Says whether the fop may be sent again once the process that may have received the first
    /// copy is known to be gone. True for changes that have the same result twice, because younger
    /// changes of the same bytes wait meanwhile. WRITEs through handles that append are excluded by
    /// the caller, which knows the handle.
    pub(crate) fn is_repeatable_after_restart(&self) -> bool {
        self.is_repeatable()
            || matches!(
                self,
                Self::Open { .. }
                    | Self::Write { .. }
                    | Self::Fsync { .. }
                    | Self::Flush { .. }
                    | Self::Ftruncate { .. }
                    | Self::Truncate { .. }
                    | Self::Discard { .. }
                    | Self::Zerofill { .. }
                    | Self::Fallocate { .. }
                    | Self::SetAttr { .. }
            )
    }
}
