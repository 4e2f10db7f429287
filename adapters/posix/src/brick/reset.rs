//! An empty directory in the place of a brick that has served before. What a disk that is not mounted leaves looks the same, so
//! somebody has to say that it is meant: `gluster volume reset-brick … commit force` there, a mark on the directory here.

use std::path::Path;

use brickwire_core::xdr::Gfid;
use rustix::fs::XattrFlags;

use super::layout::{VOLUME_ID, id_in};
use super::{Brick, XattrNamespace};
use crate::BrickError;

/// Holds the id of the volume whose brick the directory may become.
const RESET: &[u8] = b"trusted.brickwire.reset";
const NAMESPACES: [XattrNamespace; 2] = [XattrNamespace::Trusted, XattrNamespace::User];

impl Brick {
    /// Lets an empty directory become a brick of a volume that others have served without it.
    pub fn reset(
        path: &Path,
        volume_id: Gfid,
        namespace: XattrNamespace,
    ) -> Result<(), BrickError> {
        let failed = |error| BrickError::Io { what: "read it", path: path.to_owned(), error };
        for entry in std::fs::read_dir(path).map_err(failed)? {
            // A file system that was just made has this one.
            if entry.map_err(failed)?.file_name() != "lost+found" {
                return Err(BrickError::NotEmpty { path: path.to_owned() });
            }
        }
        // It may have been a brick and emptied.
        let _ = namespace.remove(path, VOLUME_ID);
        namespace
            .set(path, RESET, &volume_id.0, XattrFlags::empty())
            .map_err(|error| BrickError::NoXattrs { path: path.to_owned(), error: error.into() })
    }

    /// May the directory become a brick of this volume?
    pub fn is_reset(path: &Path, volume_id: Gfid) -> bool {
        NAMESPACES.into_iter().any(|namespace| id_in(namespace, path, RESET) == Some(volume_id))
    }

    /// Has a brick anything in it that another could lack?
    pub fn holds_anything(path: &Path) -> bool {
        let Ok(mut entries) = std::fs::read_dir(path) else { return true };
        entries.any(|entry| entry.map_or(true, |entry| entry.file_name() != ".glusterfs"))
    }

    /// It has become one.
    pub(super) fn unmark(&self, path: &Path) {
        for namespace in NAMESPACES {
            // It is mostly not there.
            let _ = namespace.remove(path, RESET);
        }
    }
}
