//! The size of a sharded file, as its client keeps it: the order that it relies on.
//!
//! The shard translator of C clients remembers a file's size. It reads it with LOOKUP or FSTAT.
//! When its WRITE past the end is answered, it sends the difference with XATTROP and counts it as
//! done. A size that was read before the write, but is answered after it, undoes that: the next
//! write then sends a difference that is too large, and the file's size stays wrong. So on one
//! connection no change overtakes a size that is being read, and no such read overtakes a change.

use crate::fop::wire::Request;
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

/// Calls of one connection that the storage has: how many read a size, how many change one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::server) struct SizeUses {
    reads: u16,
    changes: u16,
}

impl SizeUses {
    /// Whether a call has to wait for those that the storage has.
    pub(in crate::server) fn defer(self, call: SizeUse) -> bool {
        match call {
            SizeUse::Reads => self.changes > 0,
            SizeUse::Changes | SizeUse::Follows => self.reads > 0,
            SizeUse::None => false,
        }
    }

    /// The storage has a call.
    pub(in crate::server) fn begin(&mut self, call: SizeUse) {
        match call {
            SizeUse::Reads => self.reads += 1,
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
}
