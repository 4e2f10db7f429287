//! Open files. A handle of the caller outlives connections and graphs.

use crate::fop::OpenFlags;
use crate::id::{FdId, InodeId};
use crate::xdr::Gfid;

/// An open file or directory.
#[derive(Clone, Copy, Debug)]
pub struct File {
    pub(crate) inode: InodeId,
    pub(crate) gfid: Gfid,
    pub(crate) flags: OpenFlags,
    pub(crate) dir: bool,
    /// A close was submitted: no operation is accepted any more.
    pub(crate) closing: bool,
    /// First of its remote fds, on all bricks and connections.
    pub(crate) first_fd: Option<FdId>,
    /// `Synced::losses` of its inode when it was opened.
    pub(crate) losses: u32,
    /// Number of the last change of its inode that was acknowledged through this handle.
    pub(crate) last_change: u64,
    /// The child of a replicate from which the directory is being listed.
    pub(crate) read_child: Option<u16>,
}
