//! An open file: one handle of the caller's, which outlives connections and graphs.

use crate::fop::OpenFlags;
use crate::id::{FdId, OpId};
use crate::xdr::Gfid;

/// An open file or directory.
#[derive(Clone, Copy, Debug)]
pub struct File {
    pub(crate) gfid: Gfid,
    pub(crate) flags: OpenFlags,
    pub(crate) dir: bool,
    /// Its remote fds, on whichever bricks and connections.
    pub(crate) first_fd: Option<FdId>,
    /// Its operations that are not over, oldest first.
    pub(crate) first_op: Option<OpId>,
    pub(crate) last_op: Option<OpId>,
    /// Those of them that wait for an older one.
    pub(crate) ordered: u32,
    /// Writes acknowledged, and how many of them a flush has made durable.
    pub(crate) acknowledged: u64,
    pub(crate) durable: u64,
    /// Changes that were given up (by their deadline, by the caller) while the brick had them, and the bytes that they are
    /// about: it may do them still, so nothing younger may touch these bytes before.
    pub(crate) ghosts: u32,
    pub(crate) haunted: (u64, u64),
    /// Acknowledged writes may be gone: no flush succeeds any more.
    pub(crate) lost: bool,
    /// Close was submitted; nothing more is taken.
    pub(crate) closing: bool,
}

impl File {
    pub(crate) fn new(gfid: Gfid, flags: OpenFlags, dir: bool) -> Self {
        Self {
            gfid,
            flags,
            dir,
            first_fd: None,
            first_op: None,
            last_op: None,
            ordered: 0,
            acknowledged: 0,
            durable: 0,
            ghosts: 0,
            haunted: (u64::MAX, 0),
            lost: false,
            closing: false,
        }
    }

    /// Has it acknowledged writes that no flush covers?
    pub(crate) fn is_dirty(&self) -> bool {
        self.acknowledged > self.durable
    }
}
