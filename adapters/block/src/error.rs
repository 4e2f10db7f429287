//! Errors of opening a device or file as an image.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// A device or file that cannot be served as an image.
#[derive(Debug)]
#[non_exhaustive]
pub enum ImageError {
    /// Opening it failed.
    Open {
        /// Path of the device or file.
        path: PathBuf,
        /// The operating system's error.
        error: io::Error,
    },
    /// It is in use: mounted, part of a RAID or LVM set, or served already.
    InUse {
        /// Path of the device or file.
        path: PathBuf,
    },
    /// It is neither a block device nor a regular file.
    NoImage {
        /// Path of the object.
        path: PathBuf,
    },
    /// The name is not valid for a directory entry, or another image has it.
    Name {
        /// The name.
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
                "image {}: in use (mounted, part of a RAID or LVM set, or served already): \
                 release it first",
                path.display()
            ),
            Self::NoImage { path } => {
                write!(f, "image {}: neither a block device nor a regular file", path.display())
            }
            Self::Name { name } => {
                write!(
                    f,
                    "image {name:?}: not a valid file name, or used twice: name it with NAME=PATH"
                )
            }
        }
    }
}

impl std::error::Error for ImageError {}
