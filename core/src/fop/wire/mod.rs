//! Wire format of every fop of program version 400. Each request and reply is defined once, for the
//! end that encodes and the end that decodes (docs/spec/01-wire.md, "File operations").

mod entries;
mod reply;
mod request;

pub use entries::{ActiveLock, ActiveLocks, Dirent, Direntp, Direntps, Dirents};
pub use reply::{Body, LeaseId, Reply, Statvfs};
pub use request::*;

/// Bytes of a name. The peer answers names that are too long with ENAMETOOLONG, so requests may
/// carry longer ones.
const NAME_MAX: usize = 4096;
/// Bytes of a path: the target of a symlink.
const PATH_MAX: usize = 4096;
