//! Checks of a brick's directory on disk: gfids, handles, link counts. The brick must be idle while
//! it is checked.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh64::xxh64;

const ROOT: &str = "00000000-0000-0000-0000-000000000001";

/// The value of an xattr; a symlink is not followed.
pub fn xattr(path: &Path, name: impl AsRef<[u8]>) -> Option<Vec<u8>> {
    let mut value = vec![0; 64 * 1024];
    let len = rustix::fs::lgetxattr(path, name.as_ref(), &mut value[..]).ok()?;
    value.truncate(len);
    Some(value)
}

/// The names of all xattrs; a symlink is not followed.
pub fn xattr_names(path: &Path) -> Vec<Vec<u8>> {
    let mut names = vec![0; 64 * 1024];
    let len = rustix::fs::llistxattr(path, &mut names[..]).unwrap_or(0);
    names[..len]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(<[u8]>::to_vec)
        .collect()
}

/// A gfid in its usual text form.
pub fn gfid_text(gfid: &[u8]) -> String {
    let mut text = String::new();
    for (at, byte) in gfid.iter().enumerate() {
        let dash = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
        write!(text, "{dash}{byte:02x}").expect("a text");
    }
    text
}

/// The gfid of an object of a brick.
pub fn gfid(path: &Path) -> Option<String> {
    xattr(path, "trusted.gfid").filter(|gfid| gfid.len() == 16).map(|gfid| gfid_text(&gfid))
}

/// The path of a gfid's handle.
pub fn handle(brick: &Path, gfid: &str) -> PathBuf {
    brick.join(".glusterfs").join(&gfid[..2]).join(&gfid[2..4]).join(gfid)
}

/// All faults of a brick: missing or wrong gfids, handles, link counts and `gfid2path` xattrs, and
/// temporary files left behind. Empty if there are none.
pub fn faults(brick: &Path) -> Vec<String> {
    let mut check =
        Check { brick, faults: Vec::new(), names: BTreeMap::new(), inodes: HashMap::new() };
    check.directory(brick, ROOT);
    check.handles();
    check.inodes();
    check.parked();
    check.faults
}

/// The gfid of a parent directory and a name in it.
type Name = (String, Vec<u8>);

struct Check<'a> {
    brick: &'a Path,
    faults: Vec<String>,
    /// For each gfid: whether it is a directory, and its names as parent and base name.
    names: BTreeMap<String, (bool, Vec<Name>)>,
    /// For each inode of a file: its gfid, link count and one path.
    inodes: HashMap<u64, (String, u64, PathBuf)>,
}

impl Check<'_> {
    fn fault(&mut self, path: &Path, what: &str) {
        let path = path.strip_prefix(self.brick).unwrap_or(path);
        self.faults.push(format!("{}: {what}", path.display()));
    }

    fn directory(&mut self, path: &Path, parent: &str) {
        for entry in std::fs::read_dir(path).expect("a directory") {
            let entry = entry.expect("an entry");
            if entry.file_name() == ".glusterfs" && path == self.brick {
                continue;
            }
            let path = entry.path();
            let meta = path.symlink_metadata().expect("a look");
            let Some(gfid) = gfid(&path) else {
                self.fault(&path, "no gfid");
                continue;
            };
            let base = entry.file_name().as_bytes().to_vec();
            let names =
                self.names.entry(gfid.clone()).or_insert_with(|| (meta.is_dir(), Vec::new()));
            names.1.push((parent.to_owned(), base.clone()));
            if meta.is_dir() {
                self.directory_handle(&path, &gfid, parent, &base);
                self.directory(&path, &gfid);
            } else {
                self.file(&path, &meta, gfid);
            }
        }
    }

    fn directory_handle(&mut self, path: &Path, gfid: &str, parent: &str, base: &[u8]) {
        let mut wanted = format!("../../{}/{}/{parent}/", &parent[..2], &parent[2..4]).into_bytes();
        wanted.extend_from_slice(base);
        match std::fs::read_link(handle(self.brick, gfid)) {
            Ok(target) if target.as_os_str().as_bytes() == wanted => {}
            Ok(target) => self.fault(path, &format!("its handle leads to {}", target.display())),
            Err(error) => self.fault(path, &format!("its handle: {error}")),
        }
    }

    fn file(&mut self, path: &Path, meta: &Metadata, gfid: String) {
        match handle(self.brick, &gfid).symlink_metadata() {
            Ok(found) if found.ino() == meta.ino() => {}
            Ok(_) => self.fault(path, "its handle is another file"),
            Err(error) => self.fault(path, &format!("its handle: {error}")),
        }
        let known = self.inodes.insert(meta.ino(), (gfid.clone(), meta.nlink(), path.to_owned()));
        if known.is_some_and(|(known, ..)| known != gfid) {
            self.fault(path, "another name of it has another gfid");
        }
    }

    fn handles(&mut self) {
        for first in 0..=255_u8 {
            let first = self.brick.join(format!(".glusterfs/{first:02x}"));
            for second in std::fs::read_dir(&first).into_iter().flatten() {
                let second = second.expect("an entry").path();
                for entry in std::fs::read_dir(&second).into_iter().flatten() {
                    let entry = entry.expect("an entry");
                    let name = entry.file_name().to_string_lossy().into_owned();
                    if name == ROOT {
                        continue;
                    }
                    if !self.names.contains_key(&name) {
                        self.fault(&entry.path(), "a handle of nothing");
                    }
                }
            }
        }
    }

    fn inodes(&mut self) {
        for (gfid, nlink, path) in std::mem::take(&mut self.inodes).into_values() {
            let names = self.names.get(&gfid).map(|(_, names)| names.clone()).unwrap_or_default();
            if nlink != names.len() as u64 + 1 {
                self.fault(
                    &path,
                    &format!("{} names and a handle, but {nlink} links", names.len()),
                );
            }
            let mut wanted: Vec<(Vec<u8>, Vec<u8>)> = names
                .iter()
                .map(|(parent, base)| {
                    let mut text = format!("{parent}/").into_bytes();
                    text.extend_from_slice(base);
                    (format!("trusted.gfid2path.{:016x}", xxh64(&text, 0)).into_bytes(), text)
                })
                .collect();
            wanted.sort();
            let all = xattr_names(&path);
            let keys = all.iter().filter(|name| name.starts_with(b"trusted.gfid2path."));
            let mut found: Vec<_> =
                keys.map(|key| (key.clone(), xattr(&path, key).unwrap_or_default())).collect();
            found.sort();
            if found != wanted {
                let show = |all: &[(Vec<u8>, Vec<u8>)]| {
                    let texts: Vec<_> = all
                        .iter()
                        .map(|(_, text)| String::from_utf8_lossy(text).into_owned())
                        .collect();
                    texts.join(", ")
                };
                self.fault(
                    &path,
                    &format!("gfid2path says [{}], not [{}]", show(&found), show(&wanted)),
                );
            }
        }
        let doubles: Vec<_> =
            self.names.iter().filter(|(_, (dir, names))| *dir && names.len() > 1).collect();
        let doubles: Vec<_> = doubles.into_iter().map(|(gfid, _)| gfid.clone()).collect();
        for gfid in doubles {
            self.faults.push(format!("{gfid}: a directory with two names"));
        }
    }

    fn parked(&mut self) {
        for name in ["unlink", "landfill"] {
            let dir = self.brick.join(".glusterfs").join(name);
            for entry in std::fs::read_dir(&dir).into_iter().flatten() {
                self.fault(&entry.expect("an entry").path(), "left behind");
            }
        }
    }
}
