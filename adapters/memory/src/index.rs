//! Index directories that the self-heal daemon reads. They lie beside the volume's tree and have an
//! entry for each inode with pending changes, named by its gfid (docs/spec/10-replicate.md, "Brick
//! index side effects"). All entries name one empty file.

use super::Result;
use super::inode::{DIRECTORY, Inode, Name};
use super::reply::Pairs;
use super::store::{Birth, Brick, Store};
use brickwire_core::xdr::{Dict, Errno, Gfid, Value};

/// Prefix of the keys that count changes which another brick has missed.
const PENDING: &[u8] = b"trusted.afr.";
const DIRTY: &[u8] = b"trusted.afr.dirty";
/// Positions of the indices in `Brick::indices`.
const XATTROP: usize = 0;
const DIRTIES: usize = 1;
const ENTRIES: usize = 2;

/// The gfid of an index. It is derived from the volume id, so it is always the same and never
/// another object's.
fn index_gfid(volume_id: &Gfid, which: u8) -> Gfid {
    let Gfid([first, middle @ .., last]) = volume_id;
    let mut bytes = [0; 16];
    let [a, rest @ .., z] = &mut bytes;
    (*a, *z) = (first ^ 0xa5, last ^ which);
    rest.copy_from_slice(middle);
    Gfid(bytes)
}

pub(super) fn gfids(volume_id: &Gfid) -> [Gfid; 3] {
    [1, 2, 3].map(|which| index_gfid(volume_id, which))
}

pub(super) fn base_gfid(volume_id: &Gfid) -> Gfid {
    index_gfid(volume_id, 4)
}

/// The gfid of the index directory for changed names in a directory.
fn names_gfid(volume_id: &Gfid, directory: &Gfid) -> Gfid {
    // The root's gfid is 1, and none of the others may come out.
    let mut bytes = index_gfid(volume_id, 0x80).0;
    for (byte, other) in bytes.iter_mut().zip(directory.0) {
        *byte ^= other;
    }
    Gfid(bytes)
}

fn is_pending(key: &[u8]) -> bool {
    key.starts_with(PENDING) && key != DIRTY
}

fn some(value: &Value<'_>) -> bool {
    value.as_bytes().is_some_and(|bytes| bytes.iter().any(|byte| *byte != 0))
}

/// The text of a gfid, as an entry's name.
fn name_of(gfid: &Gfid) -> Name {
    let mut text: heapless::String<36> = heapless::String::new();
    // A gfid's text has 36 characters, so it fits.
    let _ = core::fmt::write(&mut text, format_args!("{gfid}"));
    Name::from_slice(text.as_bytes()).unwrap_or_default()
}

fn entry_name<'a>(xdata: &Dict<'a>, key: &str) -> Result<Option<&'a [u8]>> {
    let Some(value) = xdata.get(key) else { return Ok(None) };
    let name = value.as_bytes().ok_or(Errno::EINVAL)?;
    let bad = name.contains(&b'/') || name.contains(&0) || matches!(name, b"" | b"." | b"..");
    if bad { Err(Errno::EINVAL.into()) } else { Ok(Some(name)) }
}

/// Whether the answers have values of the `wanted` kind and all of them are zero.
fn clean(answers: &Dict<'_>, wanted: fn(&[u8]) -> bool) -> bool {
    let mut values = answers.pairs().filter(|(key, _)| wanted(key)).peekable();
    values.peek().is_some() && values.all(|(_, value)| !some(&value))
}

impl Store<'_> {
    /// Before an XATTROP: adds the entry first, so that a crash cannot hide a pending change.
    pub(super) fn index_before(
        &mut self,
        brick: u64,
        gfid: &Gfid,
        dict: &Dict<'_>,
        xdata: &Dict<'_>,
    ) -> Result<()> {
        let asks = |wanted: fn(&[u8]) -> bool| {
            dict.pairs().any(|(key, value)| wanted(key) && some(&value))
        };
        let [xattrop, dirties, entries] = self.brick(brick)?.indices;
        if asks(is_pending) {
            self.list(brick, xattrop, &name_of(gfid))?;
        }
        if asks(|key| key == DIRTY) {
            self.list(brick, dirties, &name_of(gfid))?;
        }
        if let Some(name) = entry_name(xdata, "glusterfs.xattrop-entry-create")? {
            let directory = self.names_directory(brick, entries, gfid)?;
            self.list(brick, directory, name)?;
        }
        Ok(())
    }

    /// After an XATTROP: removes the entry if nothing is pending.
    pub(super) fn index_after(
        &mut self,
        brick: u64,
        gfid: &Gfid,
        answers: &Dict<'_>,
        xdata: &Dict<'_>,
    ) {
        let Ok(indices) = self.brick(brick).map(|brick| brick.indices) else { return };
        if clean(answers, is_pending) {
            self.unlist(brick, indices[XATTROP], &name_of(gfid));
        }
        if clean(answers, |key| key == DIRTY) {
            self.unlist(brick, indices[DIRTIES], &name_of(gfid));
        }
        if let Ok(Some(name)) = entry_name(xdata, "glusterfs.xattrop-entry-delete")
            && let Ok(directory) = self.child(indices[ENTRIES], &name_of(gfid))
        {
            self.unlist(brick, directory, name);
        }
        let purge = xdata.get("glusterfs.xattrop-purge-index").and_then(|value| value.as_u64());
        if purge == Some(1) && clean(answers, is_pending) {
            self.purge_names(brick, gfid);
        }
    }

    /// Removes the index entries of an inode that is gone.
    pub(super) fn unindex(&mut self, brick: u64, gfid: &Gfid) {
        let Ok(indices) = self.brick(brick).map(|brick| brick.indices) else { return };
        self.unlist(brick, indices[XATTROP], &name_of(gfid));
        self.unlist(brick, indices[DIRTIES], &name_of(gfid));
        self.purge_names(brick, gfid);
    }

    /// The index directory for changed names in a directory; created if missing.
    fn names_directory(&mut self, brick: u64, entries: u32, gfid: &Gfid) -> Result<u32> {
        let name = name_of(gfid);
        if let Ok(slot) = self.child(entries, &name) {
            // A client may have created something else in its place, which is left alone.
            return if self.inode(slot)?.is_dir() { Ok(slot) } else { Err(Errno::ENOTDIR.into()) };
        }
        if self.entries.free() == 0 {
            return Err(Errno::ENOSPC.into());
        }
        let gfid = names_gfid(&self.brick(brick)?.volume_id, gfid);
        let birth = Birth { brick, gfid, mode: DIRECTORY | 0o600, uid: 0, gid: 0 };
        let slot = self.new_inode(&birth).ok_or(Errno::ENOSPC)?;
        self.inode_mut(slot)?.parent = entries;
        self.add_entry(entries, &name, slot)?;
        self.count_subdirectory(entries, 1);
        Ok(slot)
    }

    fn purge_names(&mut self, brick: u64, gfid: &Gfid) {
        let Ok(Brick { indices, base, .. }) = self.brick(brick) else { return };
        let (entries, name) = (indices[ENTRIES], name_of(gfid));
        let Ok(directory) = self.child(entries, &name) else { return };
        if !self.inode(directory).is_ok_and(Inode::is_dir) {
            return;
        }
        while let Some(entry) = self.entry_at(directory, self.cookie_place(directory, 0)) {
            // An entry that a client created is not removed.
            if entry.inode != base {
                return;
            }
            let name = entry.name.clone();
            self.unlist(brick, directory, &name);
        }
        self.remove_entry(entries, &name);
        self.count_subdirectory(entries, -1);
        self.bury(directory);
    }

    fn list(&mut self, brick: u64, directory: u32, name: &[u8]) -> Result<()> {
        let base = self.brick(brick)?.base;
        if self.child(directory, name).is_ok() {
            return Ok(());
        }
        self.add_entry(directory, name, base)?;
        self.inode_mut(base)?.nlink += 1;
        Ok(())
    }

    fn unlist(&mut self, brick: u64, directory: u32, name: &[u8]) {
        let Ok(base) = self.brick(brick).map(|brick| brick.base) else { return };
        if self.child(directory, name) != Ok(base) {
            return;
        }
        self.remove_entry(directory, name);
        if let Some(base) = self.inodes.get_mut(base) {
            base.nlink = base.nlink.saturating_sub(1);
        }
    }

    /// Number of inodes with pending changes.
    pub(super) fn index_count(&self, brick: u64) -> Result<i64> {
        let directory = self.brick(brick)?.indices[XATTROP];
        let first = self.cookie_place(directory, 0);
        let behind = self.cookie_place(directory, u64::MAX);
        Ok((behind - first) as i64)
    }

    /// Type of the objects that an index directory lists, as the daemon asks for it: 1 for any, 2
    /// for directories.
    pub(super) fn listed_kind(&self, brick: u64, gfid: &Gfid) -> Result<Option<u64>> {
        let index = gfids(&self.brick(brick)?.volume_id).iter().position(|index| index == gfid);
        Ok(index.map(|which| if which == ENTRIES { 2 } else { 1 }))
    }

    /// Answers the xattrs with which the daemon asks for the gfids of the indices. Returns whether
    /// `name` was one of them.
    pub(super) fn index_xattr(
        &self,
        brick: u64,
        name: &[u8],
        pairs: &mut Pairs<'_>,
    ) -> Result<bool> {
        let which = match name {
            b"glusterfs.xattrop_index_gfid" => XATTROP,
            b"glusterfs.xattrop_dirty_gfid" => DIRTIES,
            b"glusterfs.xattrop_entry_changes_gfid" => ENTRIES,
            b"glusterfs.xattrop_index_count" => {
                pairs.put(name, &Value::Uint(self.index_count(brick)?.unsigned_abs()))?;
                return Ok(true);
            }
            _ => return Ok(false),
        };
        let gfid = gfids(&self.brick(brick)?.volume_id)[which];
        pairs.put(name, &Value::Ptr(&gfid.0))?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_changed_names_in_the_root_has_a_gfid_of_its_own() {
        let volume = Gfid([7; 16]);
        let root = names_gfid(&volume, &Gfid::ROOT);
        assert!(root != base_gfid(&volume) && !gfids(&volume).contains(&root));
    }
}
