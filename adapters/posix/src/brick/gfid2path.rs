//! The names of a file, kept on the file: one xattr `trusted.gfid2path.HASH` for each name, whose
//! value is `PARENT-GFID/NAME` (docs/spec/40-brick-server.md, "Xattrs").
//!
//! GlusterFS's tools and the self-heal daemon turn a gfid into a path with them. A brick works
//! without them, so a failure to keep them never fails a fop that has been carried out.

use std::os::fd::AsFd;

use brickwire_core::xdr::Gfid;
use rustix::fs::XattrFlags;

use super::handles::proc_path;
use super::{Result, XattrNamespace, errno};

/// Prefix of the names of these xattrs.
pub(super) const PREFIX: &str = "trusted.gfid2path.";

/// The xattr for one name, and its value.
fn xattr_of(parent: &Gfid, name: &[u8]) -> (String, Vec<u8>) {
    let mut text = format!("{parent}/").into_bytes();
    text.extend_from_slice(name);
    (format!("{PREFIX}{:016x}", xxhash_rust::xxh64::xxh64(&text, 0)), text)
}

pub(super) fn add(
    namespace: XattrNamespace,
    fd: impl AsFd,
    parent: &Gfid,
    name: &[u8],
) -> Result<()> {
    let (key, text) = xattr_of(parent, name);
    namespace.set(proc_path(&fd), key.as_bytes(), &text, XattrFlags::empty()).map_err(errno)
}

pub(super) fn remove(namespace: XattrNamespace, fd: impl AsFd, parent: &Gfid, name: &[u8]) {
    let (key, _) = xattr_of(parent, name);
    // A brick that was written without these xattrs is valid.
    let _ = namespace.remove(proc_path(&fd), key.as_bytes());
}

/// The names of a file, each as `PARENT-GFID/NAME`.
pub(super) fn all(namespace: XattrNamespace, fd: impl AsFd) -> Vec<Vec<u8>> {
    let names = namespace.names(&fd);
    let names = names.split(|byte| *byte == 0).map(|name| namespace.off_disk(name));
    let keys = names.filter(|name| name.starts_with(PREFIX.as_bytes()));
    keys.filter_map(|name| namespace.value(&fd, name).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_a_real_brick_has_this_key() {
        let (key, text) = xattr_of(&Gfid::ROOT, b"r.img");
        assert_eq!(text, b"00000000-0000-0000-0000-000000000001/r.img");
        assert_eq!(key, "trusted.gfid2path.70952f270f3a7db8");
    }
}
