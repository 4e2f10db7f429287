//! Xattrs that are computed, not stored: questions to the brick in the form of names.

use super::Result;
use super::inode::Name;
use super::reply::Pairs;
use super::store::Store;
use brickwire_core::xdr::{Errno, Gfid, Value};

/// Followed by a name: how is it written in this directory, apart from upper and lower case?
const REAL_FILENAME: &[u8] = b"glusterfs.get_real_filename:";
/// The same for all bricks: `trusted.glusterfs.node-uuid`.
const HOST: Gfid = Gfid::v4(*b"brickwire-memory");

impl Store<'_> {
    /// Answers an xattr that is computed. Returns whether `name` was one.
    pub(super) fn virtual_xattr(
        &self,
        brick: u64,
        slot: u32,
        name: &[u8],
        pairs: &mut Pairs<'_>,
    ) -> Result<bool> {
        let inode = self.inode(slot)?;
        if let Some(wanted) = name.strip_prefix(REAL_FILENAME) {
            let found = self.real_filename(slot, wanted)?;
            pairs.put(name, &Value::Str(&found))?;
            return Ok(true);
        }
        match name {
            b"trusted.glusterfs.pathinfo" | b"glusterfs.pathinfo" => {
                self.pathinfo(brick, slot, name, pairs)?
            }
            b"glusterfs.gfid2path" => self.path(slot, name, pairs)?,
            b"glusterfs.gfidtopath" => self.paths(slot, name, pairs)?,
            // Distribute heals a directory's layout by the path, also when it was found by its
            // gfid.
            b"glusterfs.ancestry.path" if inode.is_dir() => self.path(slot, name, pairs)?,
            b"glusterfs.ancestry.path" => return Err(Errno::ENODATA.into()),
            b"glusterfs.gfid" => pairs.put(name, &Value::Ptr(&inode.gfid.0))?,
            b"glusterfs.gfid.string" => put_gfid(name, &inode.gfid, pairs)?,
            b"glusterfs.open-fd-count" => pairs.put(name, &Value::Uint(inode.opens.into()))?,
            b"trusted.glusterfs.node-uuid" => put_gfid(name, &HOST, pairs)?,
            _ => return self.index_xattr(brick, name, pairs),
        }
        Ok(true)
    }

    /// A name of a directory that differs from another one in ASCII case at most: that one itself
    /// if it is there.
    fn real_filename(&self, slot: u32, wanted: &[u8]) -> Result<Name> {
        if !self.inode(slot)?.is_dir() {
            return Err(Errno::ENOTDIR.into());
        }
        let (mut cookie, mut found) = (0, None);
        while let Some(entry) = self.entry_behind(slot, cookie) {
            cookie = entry.cookie;
            if entry.name.eq_ignore_ascii_case(wanted) {
                let same = entry.name == wanted;
                found = Some(entry.name);
                if same {
                    break;
                }
            }
        }
        found.ok_or(Errno::ENODATA.into())
    }
}

fn put_gfid(name: &[u8], gfid: &Gfid, pairs: &mut Pairs<'_>) -> Result<()> {
    let mut text: heapless::String<36> = heapless::String::new();
    // A gfid's text has 36 characters, so it fits.
    let _ = core::fmt::write(&mut text, format_args!("{gfid}"));
    pairs.put(name, &Value::Str(text.as_bytes()))
}
