//! The interface of a brick: it executes fops, on any thread, and may block on a disk.

use brickwire_core::rpc::Cred;
use brickwire_core::server::{Call, HandleId};
use brickwire_core::xdr::{Errno, Iatt};

/// Result of a successful read.
#[derive(Clone, Copy, Debug)]
pub struct ReadOutcome {
    /// Bytes read.
    pub len: u32,
    /// Iatt after the read.
    pub stat: Iatt,
    /// The read reached the end of the file.
    pub eof: bool,
}

/// Result of a successful write.
#[derive(Clone, Copy, Debug)]
pub struct WriteOutcome {
    /// Offset of the first byte written: with O_APPEND, not the one that was asked for.
    pub at: u64,
    /// Bytes written.
    pub len: u32,
    /// Iatt before the write.
    pub before: Iatt,
    /// Iatt after the write.
    pub after: Iatt,
}

impl WriteOutcome {
    /// Says whether the write reached or passed the previous end of the file.
    pub fn is_append(&self) -> bool {
        self.at.saturating_add(self.len.into()) >= self.before.size
    }
}

/// A brick.
pub trait Backend: Send + Sync {
    /// Executes one fop, however long it blocks, and appends the encoded body of its reply to
    /// `reply`; the data of a READ follows the body. Returns whether the fop failed.
    fn execute(&self, call: &Call<'_>, payload: &[u8], reply: &mut Vec<u8>) -> bool;

    /// Reads from an open file. With `now`, `None` if the read would block.
    fn read(
        &self,
        handle: HandleId,
        cred: &Cred<'_>,
        offset: u64,
        room: &mut [u8],
        now: bool,
    ) -> Option<Result<ReadOutcome, Errno>>;

    /// Writes to an open file. With `now`, `None` if the write would block; nothing is written
    /// then.
    fn write(
        &self,
        handle: HandleId,
        cred: &Cred<'_>,
        offset: u64,
        data: &[u8],
        now: bool,
    ) -> Option<Result<WriteOutcome, Errno>>;

    /// Closes an open file. With `now`, returns false, and does nothing, if that would block: the
    /// last close of an unlinked file frees its blocks.
    fn close(&self, handle: HandleId, now: bool) -> bool;
}
