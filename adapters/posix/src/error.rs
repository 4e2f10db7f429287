//! Why a directory cannot be a brick.

use std::fmt;
use std::io;
use std::path::PathBuf;

use brickwire_core::xdr::Gfid;

/// Why a directory cannot be a brick.
#[derive(Debug)]
#[non_exhaustive]
pub enum BrickError {
    /// It cannot be opened or made.
    Io {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// What came of it.
        error: io::Error,
    },
    /// `trusted.*` xattrs cannot be set there.
    NoXattrs {
        /// Where.
        path: PathBuf,
        /// What came of it.
        error: io::Error,
    },
    /// It belongs to another volume.
    OtherVolume {
        /// Where.
        path: PathBuf,
        /// The volume that it belongs to.
        is: Gfid,
        /// The volume that it was to belong to.
        wanted: Gfid,
    },
}

impl fmt::Display for BrickError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { what, path, error } => write!(f, "brick {}: cannot {what}: {error}", path.display()),
            Self::NoXattrs { path, error } => write!(
                f,
                "brick {}: cannot set trusted.* attributes ({error}): run as root, on a file system that has \
                 extended attributes",
                path.display()
            ),
            Self::OtherVolume { path, is, wanted } => write!(
                f,
                "brick {} belongs to volume {is}, not {wanted}: use another directory, or remove its \
                 trusted.glusterfs.volume-id if the data is not needed",
                path.display()
            ),
        }
    }
}

impl std::error::Error for BrickError {}
