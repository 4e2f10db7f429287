//! Index directories that the self-heal daemon reads: `.glusterfs/indices`, with an entry for each
//! inode with pending changes, named by its gfid. Each entry is a link to one empty base file
//! (docs/spec/10-replicate.md, "Brick index side effects").

use std::os::fd::AsFd as _;

use brickwire_core::xdr::{Dict, Errno, Gfid, Value};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno as Os;

use super::handles::{Object, is_dir, open_beneath};
use super::reply::Owned;
use super::{Brick, Result, errno};

/// Prefix of the keys that count changes which another brick has missed.
const PENDING: &[u8] = b"trusted.afr.";
const DIRTY: &[u8] = b"trusted.afr.dirty";

/// The name of an index below `indices`, and the number that its gfid is made of.
const XATTROP: (&str, u8) = ("xattrop", 1);
const DIRTIES: (&str, u8) = ("dirty", 2);
const ENTRIES: (&str, u8) = ("entry-changes", 3);

fn is_pending(key: &[u8]) -> bool {
    key.starts_with(PENDING) && key != DIRTY
}

fn some(bytes: &[u8]) -> bool {
    bytes.iter().any(|byte| *byte != 0)
}

impl Brick {
    /// Before an XATTROP: adds the entry first, so that a crash cannot hide a pending change.
    pub(super) fn index_before(
        &self,
        gfid: &Gfid,
        dict: &Dict<'_>,
        xdata: &Dict<'_>,
    ) -> Result<()> {
        let asks = |wanted: fn(&[u8]) -> bool| {
            dict.pairs().any(|(key, value)| wanted(key) && value.as_bytes().is_some_and(some))
        };
        if asks(is_pending) {
            self.index_add(XATTROP.0, gfid.to_string().as_bytes()).map_err(errno)?;
        }
        if asks(|key| key == DIRTY) {
            self.index_add(DIRTIES.0, gfid.to_string().as_bytes()).map_err(errno)?;
        }
        if let Some(name) = entry_name(xdata, "glusterfs.xattrop-entry-create")? {
            let directory = format!(".glusterfs/indices/{}/{gfid}", ENTRIES.0);
            match rustix::fs::mkdirat(
                &self.root,
                directory,
                Mode::from_raw_mode(self.namespace().mode(0o600)),
            ) {
                Ok(()) | Err(Os::EXIST) => {}
                Err(error) => return Err(errno(error)),
            }
            self.index_add(ENTRIES.0, &in_directory(gfid, name)).map_err(errno)?;
        }
        Ok(())
    }

    /// After an XATTROP: removes the entry if nothing is pending.
    pub(super) fn index_after(
        &self,
        gfid: &Gfid,
        answers: &[(Vec<u8>, Vec<u8>)],
        xdata: &Dict<'_>,
    ) {
        let clean = |wanted: fn(&[u8]) -> bool| {
            let mut values = answers.iter().filter(|(key, _)| wanted(key)).peekable();
            values.peek().is_some() && values.all(|(_, value)| !some(value))
        };
        if clean(is_pending) {
            self.index_remove(XATTROP.0, gfid.to_string().as_bytes());
        }
        if clean(|key| key == DIRTY) {
            self.index_remove(DIRTIES.0, gfid.to_string().as_bytes());
        }
        if let Ok(Some(name)) = entry_name(xdata, "glusterfs.xattrop-entry-delete") {
            self.index_remove(ENTRIES.0, &in_directory(gfid, name));
        }
        let purge = xdata.get("glusterfs.xattrop-purge-index").and_then(|value| value.as_u64());
        if purge == Some(1) && clean(is_pending) {
            self.purge_entries(gfid);
        }
    }

    /// Removes the index entries of an inode that is gone.
    pub(super) fn unindex(&self, gfid: &Gfid) {
        self.index_remove(XATTROP.0, gfid.to_string().as_bytes());
        self.index_remove(DIRTIES.0, gfid.to_string().as_bytes());
        self.purge_entries(gfid);
    }

    fn purge_entries(&self, gfid: &Gfid) {
        let path = format!(".glusterfs/indices/{}/{gfid}", ENTRIES.0);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let Ok(fd) = rustix::fs::openat(&self.root, path.as_str(), flags, Mode::empty()) else {
            return;
        };
        let Ok(entries) = rustix::fs::Dir::read_from(&fd) else { return };
        for entry in entries.flatten() {
            // Fails for `.` and `..`, as it should.
            let _ = rustix::fs::unlinkat(&fd, entry.file_name(), AtFlags::empty());
        }
        let _ = rustix::fs::unlinkat(&self.root, path.as_str(), AtFlags::REMOVEDIR);
    }

    fn index_add(&self, index: &str, entry: &[u8]) -> Result<(), Os> {
        let directory = format!(".glusterfs/indices/{index}");
        let base = format!("{directory}/{index}-{}", self.options.volume_id);
        let entry = [directory.as_bytes(), b"/", entry].concat();
        let link =
            || rustix::fs::linkat(&self.root, &base, &self.root, &entry[..], AtFlags::empty());
        match link() {
            Ok(()) | Err(Os::EXIST) => Ok(()),
            Err(Os::NOENT) => {
                let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
                rustix::fs::openat(&self.root, &base, flags, Mode::empty())?;
                match link() {
                    Err(Os::EXIST) => Ok(()),
                    result => result,
                }
            }
            // The base file has the maximum of links: start another one.
            Err(Os::MLINK) => {
                rustix::fs::unlinkat(&self.root, &base, AtFlags::empty())?;
                let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
                rustix::fs::openat(&self.root, &base, flags, Mode::empty())?;
                link()
            }
            Err(error) => Err(error),
        }
    }

    fn index_remove(&self, index: &str, entry: &[u8]) {
        let path = [format!(".glusterfs/indices/{index}/").as_bytes(), entry].concat();
        // Usually there is none.
        let _ = rustix::fs::unlinkat(&self.root, path, AtFlags::empty());
    }

    /// If a directory is an index: the prefix of its base file's name, which is not an entry.
    pub(super) fn base_of(&self, directory: &Gfid) -> Option<Vec<u8>> {
        self.index_of(directory).map(|(name, _)| format!("{name}-").into_bytes())
    }

    /// Type of the objects that an index lists, as the daemon asks for it: 1 for any, 2 for
    /// directories.
    pub(super) fn listed_kind(&self, gfid: &Gfid) -> Option<u64> {
        self.index_of(gfid).map(|index| if index == ENTRIES { 2 } else { 1 })
    }

    /// Number of inodes with pending changes.
    pub(super) fn index_count(&self) -> i64 {
        let path = format!(".glusterfs/indices/{}", XATTROP.0);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let Ok(fd) = rustix::fs::openat(&self.root, path, flags, Mode::empty()) else { return 0 };
        let Ok(entries) = rustix::fs::Dir::read_from(&fd) else { return 0 };
        entries
            .flatten()
            .filter(|entry| Gfid::parse(entry.file_name().to_bytes()).is_some())
            .count() as i64
    }

    /// The gfids of the indices, which the daemon asks for. No other gfid leads to these
    /// directories.
    pub(super) fn index_xattr(&self, name: &[u8]) -> Option<Owned> {
        let (_, which) = match name {
            b"glusterfs.xattrop_index_gfid" => XATTROP,
            b"glusterfs.xattrop_dirty_gfid" => DIRTIES,
            b"glusterfs.xattrop_entry_changes_gfid" => ENTRIES,
            b"glusterfs.xattrop_index_count" => {
                return Some(Owned::Uint(self.index_count().unsigned_abs()));
            }
            _ => return None,
        };
        Some(Owned::Bytes(self.index_gfid(which).0.to_vec()))
    }

    /// The gfid of an index. It is derived from the volume id, so it is the same after a restart.
    fn index_gfid(&self, which: u8) -> Gfid {
        let mut bytes = self.options.volume_id.0;
        bytes[0] ^= 0xa5;
        bytes[15] ^= which;
        Gfid(bytes)
    }

    /// The index with a gfid.
    fn index_of(&self, gfid: &Gfid) -> Option<(&'static str, u8)> {
        [XATTROP, DIRTIES, ENTRIES].into_iter().find(|(_, which)| self.index_gfid(*which) == *gfid)
    }

    /// Converts the gfid of a directory to that of the list of its changed names, and back.
    fn names_gfid(&self, gfid: &Gfid) -> Gfid {
        let mut bytes = self.index_gfid(5).0;
        bytes.iter_mut().zip(gfid.0).for_each(|(byte, other)| *byte ^= other);
        Gfid(bytes)
    }

    /// The index directory with a gfid.
    pub(super) fn index_directory(&self, gfid: &Gfid) -> Option<String> {
        if let Some((name, _)) = self.index_of(gfid) {
            return Some(format!(".glusterfs/indices/{name}"));
        }
        let path = format!(".glusterfs/indices/{}/{}", ENTRIES.0, self.names_gfid(gfid));
        let found = rustix::fs::statat(&self.root, &path, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        is_dir(&found).then_some(path)
    }

    /// Looks a name up in an index, if `parent` is one. The daemon looks up the lists of changed
    /// names in directories; nothing else in an index is an object.
    pub(super) fn in_index(&self, parent: &Gfid, name: &[u8]) -> Option<Result<(Object, Gfid)>> {
        let index = self.index_of(parent)?;
        let gfid =
            Gfid::parse(name).filter(|_| index == ENTRIES).map(|gfid| self.names_gfid(&gfid));
        let Some((gfid, path)) = gfid.and_then(|gfid| Some((gfid, self.index_directory(&gfid)?)))
        else {
            return Some(Err(Errno::ENOENT));
        };
        let flags = OFlags::PATH | OFlags::NOFOLLOW;
        let object = open_beneath(self.root.as_fd(), path, flags, Mode::empty()).and_then(|fd| {
            let stat = rustix::fs::fstat(&fd)?;
            Ok((Object { fd, stat }, gfid))
        });
        Some(object.map_err(errno))
    }
}

impl Brick {
    /// Refuses fops on indices. Clients may only list them and remove entries.
    pub(super) fn not_an_index(&self, gfid: &Gfid) -> Result<()> {
        if self.index_directory(gfid).is_some() { Err(Errno::EPERM) } else { Ok(()) }
    }
}

/// The path of a changed name in the list of a directory.
fn in_directory(gfid: &Gfid, name: &[u8]) -> Vec<u8> {
    [format!("{gfid}/").as_bytes(), name].concat()
}

fn entry_name<'a>(xdata: &Dict<'a>, key: &str) -> Result<Option<&'a [u8]>> {
    let Some(value) = xdata.get(key) else { return Ok(None) };
    let (Value::Str(name) | Value::Ptr(name) | Value::StrOld(name)) = value else {
        return Err(Errno::EINVAL);
    };
    let bad = name.is_empty()
        || name.contains(&b'/')
        || name.contains(&0)
        || matches!(name, b"." | b"..");
    if bad { Err(Errno::EINVAL) } else { Ok(Some(name)) }
}
