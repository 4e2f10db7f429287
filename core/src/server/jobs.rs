//! Calls from the moment they are taken until their replies are sent.

use super::fops::reply_counts::Recount;
use super::{BrickIx, HandleId, JobId, Place};
use crate::fop::FopNumber;
use crate::id::{ConnId, LockId};
use crate::time::Instant;

/// Bytes of a reply's mark and header, of a callback without arguments, or of LK's whole reply with the owner of a real client.
pub(super) const SHORT_HEAD: usize = 96;

/// One call, and later its reply.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    pub(super) conn: ConnId,
    /// Whose `conn` was when it was taken: see `Client::serial`.
    pub(super) serial: u32,
    pub(super) xid: u32,
    pub(super) state: State,
    /// The reply behind this one on its connection.
    pub(super) next_out: Option<JobId>,
    /// What OPEN, OPENDIR or CREATE opens.
    pub(super) opens: Option<HandleId>,
    /// Open files that must not be closed before the call is answered.
    pub(super) uses: [Option<HandleId>; 2],
    /// Bytes that a READ asks for which the storage has.
    pub(super) reading: u32,
    /// The lock whose inode the storage is asked for, and what its reply is to.
    pub(super) lock: Option<LockId>,
    /// Counts of its reply are to be those of then.
    pub(super) recount: Option<Recount>,
    pub(super) number: FopNumber,
    /// Is it carried out in parts?
    pub(super) long: Long,
    /// When it was read.
    pub(super) began: Instant,
    /// What is told of it when it is over; of calls that are no fops, nothing is.
    pub(super) fop: Option<Counted>,
}

/// How a READ or WRITE that is longer than one call of the storage stands: see `long_read` and
/// `long_write`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Long {
    /// It is not.
    No,
    /// The storage has a part of a WRITE, or will have.
    Write,
    /// A READ, whose reply brings `len` bytes; `more` of them come behind what the reply has now.
    Read { len: u32, more: bool },
}

/// A fop, as it will be counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counted {
    pub(super) brick: BrickIx,
    pub(super) number: FopNumber,
    /// The payload of a WRITE.
    pub(super) bytes: u32,
    /// Its answer is an error.
    pub(super) failed: bool,
}

/// Where a call stands.
#[derive(Clone, Copy, Debug)]
pub(super) enum State {
    /// The storage has it.
    Running,
    /// It waits for a lock.
    Blocked,
    /// Its reply is to be sent.
    Ready { head: Head, data: Option<Place> },
}

/// Where the encoded beginning of a reply stands.
#[derive(Clone, Copy, Debug)]
pub(super) enum Head {
    /// In the connection's ring.
    Ring { at: u32, len: u32 },
    /// Here.
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
            lock: None,
            recount: None,
            number: FopNumber::Null,
            long: Long::No,
            began,
            fop: None,
        }
    }
}

impl Job {
    /// Follows more data behind what the reply has now?
    pub(super) fn has_more(&self) -> bool {
        matches!(self.long, Long::Read { more: true, .. })
    }

    /// The call is answered with an error.
    pub(super) fn fails(&mut self) {
        if let Some(fop) = &mut self.fop {
            fop.failed = true;
        }
    }
}
