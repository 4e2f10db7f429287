//! An empty directory in the place of a former brick. A disk that is not mounted leaves the same,
//! so an administrator must confirm it: with `gluster volume reset-brick … commit force` on
//! GlusterFS, with a mark on the directory here.

use std::path::Path;

use brickwire_core::xdr::Gfid;
use rustix::fs::XattrFlags;

use super::layout::{VOLUME_ID, id_in};
use super::{Brick, XattrNamespace};
use crate::BrickError;

/// Xattr with the id of the volume that the directory may become a brick of.
const RESET: &[u8] = b"trusted.brickwire.reset";
const NAMESPACES: [XattrNamespace; 2] = [XattrNamespace::Trusted, XattrNamespace::User];

impl Brick {
    /// Permits an empty directory to become a brick of a volume whose other bricks have data.
    pub fn reset(
        path: &Path,
        volume_id: Gfid,
        namespace: XattrNamespace,
    ) -> Result<(), BrickError> {
        let failed = |error| BrickError::Io { what: "read it", path: path.to_owned(), error };
        for entry in std::fs::read_dir(path).map_err(failed)? {
            // A newly made file system contains it.
            if entry.map_err(failed)?.file_name() != "lost+found" {
                return Err(BrickError::NotEmpty { path: path.to_owned() });
            }
        }
        // The directory may have been a brick that was emptied.
        let _ = namespace.remove(path, VOLUME_ID);
        namespace
            .set(path, RESET, &volume_id.0, XattrFlags::empty())
            .map_err(|error| BrickError::NoXattrs { path: path.to_owned(), error: error.into() })
    }

    /// Whether the directory may become a brick of this volume.
    pub fn is_reset(path: &Path, volume_id: Gfid) -> bool {
        NAMESPACES.into_iter().any(|namespace| id_in(namespace, path, RESET) == Some(volume_id))
    }

    /// Whether a brick has any data that another could lack.
    pub fn holds_anything(path: &Path) -> bool {
        let Ok(mut entries) = std::fs::read_dir(path) else { return true };
        entries.any(|entry| entry.map_or(true, |entry| entry.file_name() != ".glusterfs"))
    }

    /// Removes the mark after the directory has become a brick.
    pub(super) fn unmark(&self, path: &Path) {
        for namespace in NAMESPACES {
            // Usually there is none.
            let _ = namespace.remove(path, RESET);
        }
    }
}
