//! Calls from the moment that they are taken until their replies are sent.

use super::fops::reply_counts::CountRequest;
use super::fops::shard_size::SizeUse;
use super::{BrickIx, HandleId, JobId, Place};
use crate::fop::FopNumber;
use crate::id::{ConnId, LockId};
use crate::time::Instant;
use crate::xdr::Gfid;

/// Bytes of the longest reply that needs no room in the ring: a mark and header, a callback without
/// arguments, or LK's whole reply with the owner of a real client.
pub(super) const SHORT_HEAD: usize = 96;

/// One call, and later its reply.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    pub(super) conn: ConnId,
    /// `Connection::serial` of the caller: its id may belong to a new connection by now.
    pub(super) serial: u32,
    pub(super) xid: u32,
    pub(super) state: State,
    /// The next reply of the connection.
    pub(super) next_out: Option<JobId>,
    /// The handle that OPEN, OPENDIR or CREATE opens.
    pub(super) opens: Option<HandleId>,
    /// Open files that are not closed before the call is answered.
    pub(super) uses: [Option<HandleId>; 2],
    /// Bytes that a READ asks for while the storage works on it.
    pub(super) reading: u32,
    /// Use that it makes of the size of a sharded file: until the storage has answered, or, for
    /// [`SizeUse::Follows`], until the reply is queued.
    pub(super) size_use: SizeUse,
    /// The lock whose inode the storage is asked for; `number` is then the lock's fop.
    pub(super) lock: Option<LockId>,
    /// It is a LOOKUP on the way to the subdirectory of a SETVOLUME.
    pub(super) walks: bool,
    /// The caller's root directory, which its replies show as the volume's.
    pub(super) root: Gfid,
    /// Counts to fill in when the reply is sent.
    pub(super) count_request: Option<CountRequest>,
    pub(super) number: FopNumber,
    /// Whether it is executed in parts.
    pub(super) long: Long,
    /// When the call was read.
    pub(super) began: Instant,
    /// Reported to the storage when the call is over; `None` for calls that are not fops.
    pub(super) fop: Option<Counted>,
}

/// Progress of a READ or WRITE that is longer than one call of the storage: see `long_read` and
/// `long_write`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Long {
    /// The call is not executed in parts.
    No,
    /// The storage has, or will have, a part of a WRITE.
    Write,
    /// A READ whose reply brings `len` bytes; `more`: some of them follow those that it has now.
    Read { len: u32, more: bool },
}

/// A fop, for statistics.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counted {
    pub(super) brick: BrickIx,
    pub(super) number: FopNumber,
    /// Bytes of a WRITE's payload.
    pub(super) bytes: u32,
    /// Its answer is an error.
    pub(super) failed: bool,
}

/// Progress of a call.
#[derive(Clone, Copy, Debug)]
pub(super) enum State {
    /// The storage works on it.
    Running,
    /// It waits for a lock.
    Blocked,
    /// Its reply waits to be sent.
    Ready { head: Head, data: Option<Place> },
}

/// Where the encoded head of a reply is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Head {
    /// In the connection's ring.
    Ring { at: u32, len: u32 },
    /// In the job itself.
    Short { bytes: [u8; SHORT_HEAD], len: u8 },
}

impl Head {
    /// Nothing: it has been sent.
    pub(super) const NONE: Head = Head::Short { bytes: [0; SHORT_HEAD], len: 0 };

    pub(super) fn len(&self) -> u32 {
        match self {
            Self::Ring { len, .. } => *len,
            Self::Short { len, .. } => u32::from(*len),
        }
    }
}

impl Job {
    pub(super) fn new(conn: ConnId, serial: u32, xid: u32, began: Instant) -> Self {
        Self {
            conn,
            serial,
            xid,
            state: State::Running,
            next_out: None,
            opens: None,
            uses: [None; 2],
            reading: 0,
            size_use: SizeUse::None,
            lock: None,
            walks: false,
            root: Gfid::ROOT,
            count_request: None,
            number: FopNumber::Null,
            long: Long::No,
            began,
            fop: None,
        }
    }
}

impl Job {
    /// Does more data follow that the reply has now?
    pub(super) fn has_more(&self) -> bool {
        matches!(self.long, Long::Read { more: true, .. })
    }

    /// Marks the call as failed.
    pub(super) fn set_failed(&mut self) {
        if let Some(fop) = &mut self.fop {
            fop.failed = true;
        }
    }
}
