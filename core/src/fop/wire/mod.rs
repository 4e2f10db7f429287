//! Every fop of program version 400 as it stands in a record: requests and replies, each defined once and used by the end
//! that encodes and the end that decodes (docs/spec/01-wire.md, "File operations").

mod entries;
mod reply;
mod request;

pub use entries::{ActiveLock, ActiveLocks, Dirent, Direntp, Direntps, Dirents};
pub use reply::{Body, LeaseId, Reply, Statvfs};
pub use request::*;

/// Bytes of a name; the peer answers longer ones with ENAMETOOLONG, so requests may have some more.
const NAME_MAX: usize = 4096;
/// Bytes of a path: the target of a symlink.
const PATH_MAX: usize = 4096;
