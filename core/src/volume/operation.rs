//! An operation that was submitted and is not yet over.

use super::{OpError, OpenFlags, SetAttributes};
use crate::fop::FopNumber;
use crate::fop::wire::Statvfs;
use crate::id::{FileId, OpId};
use crate::names::{Name, NameIx};
use crate::rpc::transport::BlockIx;
use crate::xdr::{Gfid, Iatt};
use crate::xlator::{Entry, Fop, InDoubt};

/// What is to be done, without paths (those are in the name buffers).
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

/// Where an operation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpState {
    /// Not begun: the volume cannot be used yet.
    New,
    /// Waits for an older operation of the same file that it must not overtake.
    Ordered,
    /// Looks up its path.
    Resolving,
    /// Asks what a symlink on its path says.
    Following,
    /// Its fop is on its way.
    Acting,
    /// Over; the adapter is yet to be told, or has just been.
    Done(Result<u32, OpError>),
}

/// Which list of those who wait an operation stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum List {
    None,
    /// It may go on, later in this step.
    Ready,
    /// Until the volume can be used.
    Parked,
}

/// Where a walk along a path is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walk {
    /// Which of the operation's paths.
    pub(crate) path: u8,
    /// The next byte to look at.
    pub(crate) pos: u16,
    /// The directory reached.
    pub(crate) parent: Gfid,
    /// The component being looked up.
    pub(crate) name: Name,
    pub(crate) links: u8,
    /// The walk was begun again after ESTALE.
    pub(crate) again: bool,
}

/// What is kept for [`answer`](super::Volume::answer).
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value {
    None,
    Stat,
    Opened,
    Offset(u64),
    Statfs(Statvfs),
    /// A reply in the operation's block: its number, and where its body stands.
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
    /// What the first of two paths led to.
    pub(crate) first: Option<Entry>,
    pub(crate) file: Option<FileId>,
    pub(crate) block: Option<BlockIx>,
    /// The fop that is on its way, or is to be sent again when the volume can be used.
    pub(crate) fop: Option<Fop>,
    /// The process that may have executed the change already, or may execute it yet.
    pub(crate) doubt: Option<InDoubt>,
    /// Bytes written already.
    pub(crate) done: u32,
    /// Writes acknowledged when the flush was sent.
    pub(crate) covers: u64,
    pub(crate) stat: Iatt,
    pub(crate) value: Value,
    /// Part of the buffer to be zeroed before the completion: offset and length.
    pub(crate) zero: Option<(u32, u32)>,
    pub(crate) last_page: bool,
    /// Next of those that wait for the volume, or of those that are over.
    pub(crate) next: Option<OpId>,
    /// The list that it waits in.
    pub(crate) list: List,
    /// Neighbours in the file's list.
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

    /// The answer stands in the operation's block, or did not fit there.
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
