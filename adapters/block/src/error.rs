//! Why a device or file cannot be an image.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a device or file cannot be an image.
#[derive(Debug)]
#[non_exhaustive]
pub enum ImageError {
    /// It cannot be opened.
    Open {
        /// Which.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// Somebody else uses it: it is mounted, part of something, or served already.
    InUse {
        /// Which.
        path: PathBuf,
    },
    /// It is neither a block device nor a file.
    NoImage {
        /// Which.
        path: PathBuf,
    },
    /// No name that a directory can have, or one that is there twice.
    Name {
        /// Which.
        name: String,
    },
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open { path, error } => {
                write!(f, "image {}: cannot open it: {error}", path.display())
            }
            Self::InUse { path } => write!(
                f,
                "image {}: somebody uses it (is it mounted, part of a RAID or LVM set, or served already?): end that first",
                path.display()
            ),
            Self::NoImage { path } => {
                write!(f, "image {}: neither a block device nor a file", path.display())
            }
            Self::Name { name } => {
                write!(
                    f,
                    "image {name:?}: no name for a file, or one that is there already: say NAME=PATH"
                )
            }
        }
    }
}

impl std::error::Error for ImageError {}
