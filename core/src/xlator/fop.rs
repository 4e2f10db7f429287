//! Fops as translators pass them on: small values without lifetimes. Payload is a range of the
//! operation's buffer, a name is a part of its path, a file is an id. Only `client` turns them into
//! bytes.

use crate::boundary::Range;
use crate::fop::FopNumber;
use crate::fop::OpenFlags;
use crate::id::FileId;
use crate::names::{Name, NameIx};
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

/// The command of a lock fop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum LockCommand {
    /// Take the lock, or fail with EAGAIN.
    Try,
    /// Take the lock when its holders have released it.
    Wait,
    /// Release the lock.
    Release,
}

/// Owner of a lock: part of its identity on the brick, together with the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LockOwner(pub(crate) u64);

/// An inode, by a handle where it is open: an unlinked file can be reached in no other way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct InodeRef {
    pub(crate) gfid: Gfid,
    pub(crate) file: Option<FileId>,
}

/// A change of replication counters: data, metadata and entries
/// (docs/spec/10-replicate.md, "Value layout").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Delta {
    /// The children that are accused, as a mask.
    pub(crate) accused: u16,
    /// Added to the counters of each accused child.
    pub(crate) by: [i8; 3],
    /// Added to the counters of DIRTY.
    pub(crate) dirty: [i8; 3],
}

/// One file operation, as it is wound down a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Fop {
    Lookup {
        at: Entry,
        gfid_req: Gfid,
    },
    LookupGfid {
        gfid: Gfid,
    },
    SetAttr {
        gfid: Gfid,
        attrs: Attrs,
    },
    Readlink {
        gfid: Gfid,
    },
    Mkdir {
        at: Entry,
        mode: u32,
        gfid_req: Gfid,
    },
    Rmdir {
        at: Entry,
    },
    Unlink {
        at: Entry,
    },
    Symlink {
        at: Entry,
        target: Name,
        gfid_req: Gfid,
    },
    Rename {
        from: Entry,
        to: Entry,
    },
    Link {
        gfid: Gfid,
        to: Entry,
    },
    Truncate {
        gfid: Gfid,
        size: u64,
    },
    Open {
        fd: Fd,
        flags: OpenFlags,
    },
    OpenDir {
        fd: Fd,
    },
    Create {
        at: Entry,
        file: FileId,
        flags: OpenFlags,
        mode: u32,
        gfid_req: Gfid,
    },
    Read {
        fd: Fd,
        offset: u64,
        into: Range,
    },
    Write {
        fd: Fd,
        offset: u64,
        data: Range,
    },
    Flush {
        fd: Fd,
    },
    Fsync {
        fd: Fd,
        data_only: bool,
        last: bool,
    },
    Ftruncate {
        fd: Fd,
        size: u64,
    },
    Discard {
        fd: Fd,
        offset: u64,
        len: u64,
    },
    Zerofill {
        fd: Fd,
        offset: u64,
        len: u64,
    },
    Fallocate {
        fd: Fd,
        offset: u64,
        len: u64,
        keep_size: bool,
    },
    Fstat {
        fd: Fd,
    },
    Seek {
        fd: Fd,
        offset: u64,
        hole: bool,
    },
    Readdirp {
        fd: Fd,
        offset: u64,
        size: u32,
    },
    Statfs {
        gfid: Gfid,
    },
    GetXattr {
        gfid: Gfid,
        name: Option<Name>,
    },
    SetXattr {
        gfid: Gfid,
        name: Name,
        value: Range,
        flags: u32,
    },
    RemoveXattr {
        gfid: Gfid,
        name: Name,
    },
    /// A lock on the bytes of an inode from `start` to the end.
    InodeLock {
        on: InodeRef,
        start: u64,
        command: LockCommand,
        owner: LockOwner,
    },
    /// A lock on a name of a directory, or on all of them.
    EntryLock {
        dir: Gfid,
        name: Option<Name>,
        command: LockCommand,
        owner: LockOwner,
    },
    /// Arithmetic on the replication counters of an inode. `created` names an entry that may be
    /// missing on an accused child.
    Changelog {
        on: InodeRef,
        delta: Delta,
        created: Option<Name>,
        owner: LockOwner,
    },
    /// A WRITE without its data: an arbiter checks and counts it, and stores nothing.
    WriteWitness {
        fd: Fd,
        offset: u64,
    },
    /// An FSYNC of a translator: the brick may serve several of them with one flush.
    SyncBatch {
        on: InodeRef,
        owner: LockOwner,
    },
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
            Self::InodeLock { .. } => FopNumber::Inodelk,
            Self::EntryLock { .. } => FopNumber::Entrylk,
            Self::Changelog { .. } => FopNumber::Xattrop,
            Self::WriteWitness { .. } => FopNumber::Write,
            Self::SyncBatch { .. } => FopNumber::Fsync,
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
            | Self::Readdirp { fd, .. }
            | Self::WriteWitness { fd, .. } => Some(fd),
            _ => None,
        }
    }

    /// The owner that a translator's own fop names instead of the caller.
    pub(crate) fn owner(&self) -> Option<LockOwner> {
        match *self {
            Self::InodeLock { owner, .. }
            | Self::EntryLock { owner, .. }
            | Self::Changelog { owner, .. }
            | Self::SyncBatch { owner, .. } => Some(owner),
            _ => None,
        }
    }

    /// The buffers of the names that the fop refers to.
    pub(crate) fn names(&self) -> [Option<NameIx>; 2] {
        match *self {
            Self::Lookup { at, .. }
            | Self::Mkdir { at, .. }
            | Self::Rmdir { at }
            | Self::Unlink { at }
            | Self::Create { at, .. } => [Some(at.name.buffer), None],
            Self::Symlink { at, target, .. } => [Some(at.name.buffer), Some(target.buffer)],
            Self::Rename { from, to } => [Some(from.name.buffer), Some(to.name.buffer)],
            Self::Link { to, .. } => [Some(to.name.buffer), None],
            Self::SetXattr { name, .. } | Self::RemoveXattr { name, .. } => {
                [Some(name.buffer), None]
            }
            _ => [None, None],
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
