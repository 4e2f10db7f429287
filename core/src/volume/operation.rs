//! The state of one operation, from its submission until its completion is taken.

use super::{OpError, OpenFlags, SetAttributes};
use crate::fop::FopNumber;
use crate::fop::wire::Statvfs;
use crate::id::{FileId, InodeId, OpId};
use crate::names::{Name, NameIx};
use crate::rpc::transport::BlockIx;
use crate::xdr::{Gfid, Iatt};
use crate::xlator::{Entry, Fop, InDoubt};

/// The kind of an operation and its arguments, without paths: those are in the name buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Start,
    Stop,
    Stat { follow: bool },
    Open { flags: OpenFlags, mode: u32 },
    OpenDir,
    Mkdir { mode: u32 },
    Rmdir,
    Unlink,
    Rename,
    Link,
    Symlink,
    Readlink,
    TruncatePath { size: u64 },
    SetAttributes(SetAttributes),
    Statfs,
    GetXattr,
    ListXattr,
    SetXattr { len: u32, flags: u32 },
    RemoveXattr,
    Read { offset: u64, len: u32, fill: bool },
    Write { offset: u64, len: u32 },
    Flush { data_only: bool },
    Discard { offset: u64, len: u64 },
    WriteZeroes { offset: u64, len: u64 },
    Allocate { offset: u64, len: u64, keep_size: bool },
    Truncate { size: u64 },
    Fstat,
    Seek { offset: u64, hole: bool },
    ReadDir { cookie: u64 },
    Close,
}

/// The state of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpState {
    /// Not begun, or to begin again.
    New,
    /// Waits for an older operation of the same inode that it must not overtake.
    Ordered,
    /// Waits for the LOOKUP of a component of its path.
    Resolving,
    /// Waits for the READLINK of a symlink on its path.
    Following,
    /// Waits for the answer to its fop.
    Acting,
    /// Ended; its completion is queued, or has just been taken.
    Done(Result<u32, OpError>),
}

/// The list that a waiting operation is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum List {
    None,
    /// Continues later in this step.
    Ready,
    /// Continues when the volume can be used.
    Parked,
}

/// The position of an operation in the resolution of a path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walk {
    /// Index of the path in `Operation::names`.
    pub(crate) path: u8,
    /// Offset of the next byte to parse.
    pub(crate) pos: u16,
    /// The directory that was reached.
    pub(crate) parent: Gfid,
    /// The component that is being looked up.
    pub(crate) name: Name,
    pub(crate) links: u8,
    /// The resolution was begun again after ESTALE.
    pub(crate) again: bool,
}

/// The answer that [`answer`](super::Volume::answer) returns.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value {
    None,
    Stat,
    Opened,
    Offset(u64),
    Statfs(Statvfs),
    /// A reply that was copied to the operation's block: its length and the fop that it answers.
    Record {
        len: u32,
        number: FopNumber,
    },
}

/// One operation.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    pub(crate) kind: Kind,
    pub(crate) state: OpState,
    /// Path, second path or xattr name.
    pub(crate) names: [Option<NameIx>; 2],
    pub(crate) walk: Walk,
    /// The parent and name, or the object, that the first of two paths led to.
    pub(crate) first: Option<Entry>,
    pub(crate) file: Option<FileId>,
    /// The inode whose order it has joined.
    pub(crate) inode: Option<InodeId>,
    /// Its WRITE goes to the end of the file.
    pub(crate) appends: bool,
    pub(crate) block: Option<BlockIx>,
    /// The fop that waits for its answer, or that is sent again when the volume can be used.
    pub(crate) fop: Option<Fop>,
    /// Set after the connection ended with a change in flight: the process that may have executed
    /// it, or may execute it yet.
    pub(crate) doubt: Option<InDoubt>,
    /// Bytes transferred by earlier fops of this operation.
    pub(crate) done: u32,
    /// FSYNC: `Synced::acknowledged` when it was sent.
    pub(crate) covers: u64,
    pub(crate) stat: Iatt,
    pub(crate) value: Value,
    /// Part of the buffer that is zeroed before the completion: offset and length.
    pub(crate) zero: Option<(u32, u32)>,
    pub(crate) last_page: bool,
    /// The next operation of the list `list`, or of the ended ones.
    pub(crate) next: Option<OpId>,
    /// The list that it waits in.
    pub(crate) list: List,
    /// Neighbours in the list of its inode.
    pub(crate) older: Option<OpId>,
    pub(crate) newer: Option<OpId>,
}

impl Operation {
    pub(crate) fn new(kind: Kind) -> Self {
        let nowhere = Name { buffer: NameIx(0), at: 0, len: 0 };
        Self {
            kind,
            state: OpState::New,
            names: [None; 2],
            walk: Walk {
                path: 0,
                pos: 0,
                parent: Gfid::ROOT,
                name: nowhere,
                links: 0,
                again: false,
            },
            first: None,
            file: None,
            inode: None,
            appends: false,
            block: None,
            fop: None,
            doubt: None,
            done: 0,
            covers: 0,
            stat: Iatt::default(),
            value: Value::None,
            zero: None,
            last_page: false,
            next: None,
            list: List::None,
            older: None,
            newer: None,
        }
    }

    /// Notes that the reply was copied to the operation's block, or did not fit there.
    pub(crate) fn kept(&mut self, kept: bool, len: usize) {
        if kept {
            let number = match self.kind {
                Kind::Readlink => FopNumber::Readlink,
                Kind::ReadDir { .. } => FopNumber::Readdirp,
                _ => FopNumber::Getxattr,
            };
            self.value = Value::Record { len: len as u32, number };
        } else {
            self.state = OpState::Done(Err(OpError::AnswerTooLong));
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state, OpState::Done(_))
    }
}
