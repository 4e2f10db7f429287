//! Errors of opening a brick.

use std::fmt;
use std::io;
use std::path::PathBuf;

use brickwire_core::xdr::Gfid;

use crate::XattrNamespace;

/// Errors of opening a directory as a brick.
#[derive(Debug)]
#[non_exhaustive]
pub enum BrickError {
    /// It cannot be opened or created.
    Io {
        /// The action that failed.
        what: &'static str,
        /// Path of the directory.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// `trusted.*` xattrs cannot be set on it.
    NoXattrs {
        /// Path of the directory.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// Its attributes are in the other namespace.
    OtherSpace {
        /// Path of the directory.
        path: PathBuf,
        /// The namespace that it uses.
        is: XattrNamespace,
    },
    /// It is served already.
    Served {
        /// Path of the directory.
        path: PathBuf,
        /// The process that serves it.
        by: String,
    },
    /// It is not empty.
    NotEmpty {
        /// Path of the directory.
        path: PathBuf,
    },
    /// It is a brick of another volume.
    OtherVolume {
        /// Path of the directory.
        path: PathBuf,
        /// The volume id on the directory.
        is: Gfid,
        /// The volume id that was expected.
        wanted: Gfid,
    },
}

impl fmt::Display for BrickError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { what, path, error } => {
                let what_to_do = match error.kind() {
                    io::ErrorKind::StorageFull => ": free space on its file system",
                    io::ErrorKind::ReadOnlyFilesystem => &format!(": {READ_ONLY}"),
                    io::ErrorKind::PermissionDenied => ": run as root, or as the directory's owner",
                    _ => "",
                };
                write!(f, "brick {}: cannot {what}: {error}{what_to_do}", path.display())
            }
            Self::NoXattrs { path, error } => {
                let path = path.display();
                // EPERM means missing privileges; a file system without xattrs answers EOPNOTSUPP
                // to everybody.
                match error.kind() {
                    io::ErrorKind::PermissionDenied => write!(
                        f,
                        "brick {path}: cannot set trusted.* attributes ({error}): run as root \
                         (CAP_SYS_ADMIN), or use --xattrs user"
                    ),
                    io::ErrorKind::ReadOnlyFilesystem => {
                        write!(f, "brick {path}: {READ_ONLY}")
                    }
                    io::ErrorKind::StorageFull => write!(
                        f,
                        "brick {path}: no room for extended attributes ({error}): make room on its \
                         file system"
                    ),
                    _ => write!(
                        f,
                        "brick {path}: cannot set trusted.* attributes ({error}): use a file \
                         system that has extended attributes (ext4, XFS, btrfs, ZFS)"
                    ),
                }
            }
            Self::OtherSpace { path, is: XattrNamespace::User } => write!(
                f,
                "brick {}: it keeps its attributes as user.brickwire.*: serve it with --xattrs \
                 user",
                path.display()
            ),
            Self::OtherSpace { path, is: XattrNamespace::Trusted } => write!(
                f,
                "brick {}: it keeps its attributes as trusted.*, as GlusterFS does: serve it \
                 without --xattrs user",
                path.display()
            ),
            Self::Served { path, by } => {
                write!(
                    f,
                    "brick {} is served by {by}: stop that, or use another directory",
                    path.display()
                )
            }
            Self::NotEmpty { path } => {
                write!(f, "{} is not empty: a new brick needs an empty directory", path.display())
            }
            Self::OtherVolume { path, is, wanted } => write!(
                f,
                "brick {} belongs to volume {is}, not {wanted}: use another directory, or remove \
                 its trusted.glusterfs.volume-id if the data is not needed",
                path.display()
            ),
        }
    }
}

impl std::error::Error for BrickError {}

/// The sandbox of a systemd unit mounts what the unit does not name read-only for the service
/// alone. A directory that was made after the service was started is not writable either.
const READ_ONLY: &str = "its file system is read-only here: mount it for writing, or name it in \
                         ReadWritePaths= of the service's unit, and restart the service";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_only_brick_may_be_one_that_the_unit_does_not_name() {
        let error = || io::ErrorKind::ReadOnlyFilesystem.into();
        let path = || PathBuf::from("/srv/b");
        for error in [
            BrickError::NoXattrs { path: path(), error: error() },
            BrickError::Io { what: "make .glusterfs", path: path(), error: error() },
        ] {
            let said = error.to_string();
            assert!(said.contains("ReadWritePaths=") && said.contains("restart"), "{said}");
        }
    }
}
