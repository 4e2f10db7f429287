//! What a brick of this server is: something that carries fops out, from any thread, and may wait for a disk.

use brickwire_core::rpc::Cred;
use brickwire_core::server::{Call, HandleId};
use brickwire_core::xdr::{Errno, Iatt};

/// What a read that needs no waiting brought.
#[derive(Clone, Copy, Debug)]
pub struct ReadOutcome {
    /// Bytes.
    pub len: u32,
    /// Attributes afterwards.
    pub stat: Iatt,
    /// Did it reach the end of the file?
    pub eof: bool,
}

/// What a write did.
#[derive(Clone, Copy, Debug)]
pub struct WriteOutcome {
    /// The first byte that it wrote.
    pub at: u64,
    /// Bytes.
    pub len: u32,
    /// Attributes before.
    pub before: Iatt,
    /// Attributes afterwards.
    pub after: Iatt,
}

impl WriteOutcome {
    /// Did it end at or beyond the end?
    pub fn is_append(&self) -> bool {
        self.at.saturating_add(self.len.into()) >= self.before.size
    }
}

/// A brick.
pub trait Backend: Send + Sync {
    /// Carries out one fop, for as long as it takes, and appends the encoded body of its reply (the data of a READ behind it) to
    /// `reply`. Says whether it failed.
    fn execute(&self, call: &Call<'_>, payload: &[u8], reply: &mut Vec<u8>) -> bool;

    /// Reads from an open file. With `now`, only if that needs no waiting: `None` otherwise.
    fn read(
        &self,
        handle: HandleId,
        cred: &Cred<'_>,
        offset: u64,
        room: &mut [u8],
        now: bool,
    ) -> Option<Result<ReadOutcome, Errno>>;

    /// Writes to an open file. With `now`, only if that needs no waiting: `None` otherwise, and nothing was written.
    fn write(
        &self,
        handle: HandleId,
        cred: &Cred<'_>,
        offset: u64,
        data: &[u8],
        now: bool,
    ) -> Option<Result<WriteOutcome, Errno>>;

    /// Closes what a call opened, and says whether it has. With `now`, only if that needs no waiting: the last close of a file
    /// that was unlinked frees its blocks.
    fn close(&self, handle: HandleId, now: bool) -> bool;
}
