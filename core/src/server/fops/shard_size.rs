//! The size of a sharded file, as its client keeps it: the order that it relies on.
//!
//! The shard translator of C clients remembers a file's size. It reads it with LOOKUP or FSTAT.
//! When its WRITE past the end is answered, it sends the difference with XATTROP and counts it as
//! done. A size that was read before the write, but is answered after it, undoes that: the next
//! write then sends a difference that is too large, and the file's size stays wrong. So on one
//! connection no change overtakes a size that is being read, and no such read overtakes a change.
//!
//! A size may also be asked for while a write is executed. It is the old one, since the client
//! sends the difference only later. So the write's reply is held back until the sizes are answered
//! that are being read when the write has been executed. Two races within the client remain:
//! docs/design/hard-cases.md, "Sizes of sharded files".

use crate::fop::wire::Request;
use crate::server::JobId;
use crate::xdr::Dict;

/// The xattr of a sharded file that has its size.
const SIZE: &[u8] = b"trusted.glusterfs.shard.file-size";

/// Use that a call makes of the size of a sharded file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum SizeUse {
    /// It reads it.
    Reads,
    /// It changes it.
    Changes,
    /// It changes something, which clients may take for a change of size.
    Follows,
    /// Nothing.
    None,
}

impl SizeUse {
    pub(in crate::server) fn of(request: &Request<'_>) -> Self {
        let has = |dict: &Dict<'_>| dict.pairs().any(|(key, _)| key == SIZE);
        match request {
            Request::Lookup(r) if has(&r.xdata) => Self::Reads,
            Request::Stat(r) if has(&r.xdata) => Self::Reads,
            Request::Fstat(r) if has(&r.xdata) => Self::Reads,
            Request::Xattrop(r) if has(&r.dict) => Self::Changes,
            Request::Fxattrop(r) if has(&r.dict) => Self::Changes,
            request if request.number().is_modifying() => Self::Follows,
            _ => Self::None,
        }
    }
}

/// Reads of sizes that may begin while replies are held back. A client that reads sizes all the
/// time would otherwise never get its other replies.
const READS_AFTER_HELD: u8 = 16;

/// Calls of one connection that the storage has: how many read a size, how many change one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::server) struct SizeUses {
    reads: u16,
    changes: u16,
    /// Replies that are held back, first and last; they are linked as replies to be sent are.
    held: Option<(JobId, JobId)>,
    /// Reads that began since.
    reads_after_held: u8,
}

impl SizeUses {
    /// Whether a call has to wait for those that the storage has.
    pub(in crate::server) fn defer(self, call: SizeUse) -> bool {
        match call {
            SizeUse::Reads => self.changes > 0 || self.reads_after_held >= READS_AFTER_HELD,
            SizeUse::Changes | SizeUse::Follows => self.reads > 0,
            SizeUse::None => false,
        }
    }

    /// The storage has a call.
    pub(in crate::server) fn begin(&mut self, call: SizeUse) {
        match call {
            SizeUse::Reads => {
                self.reads += 1;
                self.reads_after_held += u8::from(self.held.is_some());
            }
            SizeUse::Changes => self.changes += 1,
            SizeUse::Follows | SizeUse::None => {}
        }
    }

    /// It has answered. Returns whether calls that were deferred may go on.
    pub(in crate::server) fn end(&mut self, call: SizeUse) -> bool {
        let count = match call {
            SizeUse::Reads => &mut self.reads,
            SizeUse::Changes => &mut self.changes,
            SizeUse::Follows | SizeUse::None => return false,
        };
        *count = count.saturating_sub(1);
        *count == 0
    }

    /// Whether the reply to a call has to be held back.
    pub(in crate::server) fn holds_back(self, call: SizeUse) -> bool {
        call == SizeUse::Follows && self.reads > 0
    }

    /// Holds a reply back. Returns the one that it follows.
    pub(in crate::server) fn hold(&mut self, reply: JobId) -> Option<JobId> {
        let before = self.held;
        self.held = Some((before.map_or(reply, |(first, _)| first), reply));
        before.map(|(_, last)| last)
    }

    /// Takes the replies that need not be held back any more: the first and the last.
    pub(in crate::server) fn release(&mut self) -> Option<(JobId, JobId)> {
        if self.reads > 0 { None } else { self.release_all() }
    }

    /// Takes all replies that are held back.
    pub(in crate::server) fn release_all(&mut self) -> Option<(JobId, JobId)> {
        self.reads_after_held = 0;
        self.held.take()
    }
}
