//! Why a directory cannot be a brick.

use std::fmt;
use std::io;
use std::path::PathBuf;

use brickwire_core::xdr::Gfid;

use crate::XattrNamespace;

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
    /// Its attributes are kept in another place.
    OtherSpace {
        /// Where.
        path: PathBuf,
        /// In this one.
        is: XattrNamespace,
    },
    /// Somebody serves it already.
    Served {
        /// Where.
        path: PathBuf,
        /// Who.
        by: String,
    },
    /// There is something in it.
    NotEmpty {
        /// Where.
        path: PathBuf,
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
            Self::Io { what, path, error } => {
                let what_to_do = match error.kind() {
                    io::ErrorKind::StorageFull => ": make room on its file system",
                    io::ErrorKind::ReadOnlyFilesystem => ": its file system is mounted read-only",
                    io::ErrorKind::PermissionDenied => ": run as root, or as the directory's owner",
                    _ => "",
                };
                write!(f, "brick {}: cannot {what}: {error}{what_to_do}", path.display())
            }
            Self::NoXattrs { path, error } => {
                let path = path.display();
                // EPERM is of those who may not; a file system that has none says EOPNOTSUPP, to everybody.
                match error.kind() {
                    io::ErrorKind::PermissionDenied => write!(
                        f,
                        "brick {path}: cannot set trusted.* attributes ({error}): run as root (CAP_SYS_ADMIN), or say \
                         --xattrs user"
                    ),
                    io::ErrorKind::ReadOnlyFilesystem => {
                        write!(
                            f,
                            "brick {path}: its file system is mounted read-only: mount it for writing"
                        )
                    }
                    io::ErrorKind::StorageFull => write!(
                        f,
                        "brick {path}: no room for extended attributes ({error}): make room on its file system"
                    ),
                    _ => write!(
                        f,
                        "brick {path}: cannot set trusted.* attributes ({error}): use a file system that has extended \
                         attributes (ext4, XFS, btrfs, ZFS)"
                    ),
                }
            }
            Self::OtherSpace { path, is: XattrNamespace::User } => write!(
                f,
                "brick {}: it keeps its attributes as user.brickwire.*: serve it with --xattrs user",
                path.display()
            ),
            Self::OtherSpace { path, is: XattrNamespace::Trusted } => write!(
                f,
                "brick {}: it keeps its attributes as trusted.*, as GlusterFS does: serve it without --xattrs user",
                path.display()
            ),
            Self::Served { path, by } => {
                write!(
                    f,
                    "brick {} is served by {by}: stop that, or use another directory",
                    path.display()
                )
            }
            Self::NotEmpty { path } => write!(
                f,
                "{} is not empty: a brick that begins anew begins in an empty directory",
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
