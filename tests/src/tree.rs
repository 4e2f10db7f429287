//! A directory tree as text, for comparison.

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use crate::brick::{xattr, xattr_names};

/// One line for each name below a directory: kind, mode, owner, links, size, modification time,
/// contents and `user.*` xattrs.
pub fn listing(root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    walk(root, root, &mut lines);
    lines
}

fn walk(root: &Path, dir: &Path, lines: &mut Vec<String>) {
    let mut paths: Vec<_> = std::fs::read_dir(dir)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    for path in paths {
        lines.push(line(root, &path));
        if path.symlink_metadata().expect("a look").is_dir() {
            walk(root, &path, lines);
        }
    }
}

fn line(root: &Path, path: &Path) -> String {
    let meta = path.symlink_metadata().expect("a look");
    let name = path.strip_prefix(root).expect("below").as_os_str().as_bytes().escape_ascii();
    let kind = meta.file_type();
    let mut text =
        format!("{name} {:o} {}:{} links {}", meta.mode(), meta.uid(), meta.gid(), meta.nlink());
    if kind.is_file() {
        let bytes = std::fs::read(path).expect("contents");
        let mut hash = DefaultHasher::new();
        bytes.hash(&mut hash);
        let times = (meta.mtime(), meta.mtime_nsec());
        write!(
            text,
            " size {} at {}.{:09} is {:016x}",
            meta.size(),
            times.0,
            times.1,
            hash.finish()
        )
        .expect("a text");
    } else if kind.is_symlink() {
        let target = std::fs::read_link(path).expect("a target");
        write!(text, " to {}", target.as_os_str().as_bytes().escape_ascii()).expect("a text");
    } else if kind.is_char_device() || kind.is_block_device() {
        write!(text, " device {:x}", meta.rdev()).expect("a text");
    }
    let mut names = xattr_names(path);
    names.retain(|name| name.starts_with(b"user."));
    names.sort();
    for name in names {
        let value = xattr(path, &name).unwrap_or_default();
        write!(text, " {}={}", name.escape_ascii(), value.escape_ascii()).expect("a text");
    }
    text
}

/// Panics with the first lines that differ.
pub fn assert_same(what: &str, left: &[String], right: &[String]) {
    if left == right {
        return;
    }
    let differ: Vec<String> = left
        .iter()
        .zip(right)
        .filter(|(left, right)| left != right)
        .take(10)
        .map(|(left, right)| format!("\n  {left}\n  {right}"))
        .collect();
    panic!(
        "{what}: {} lines and {} lines; these differ:{}",
        left.len(),
        right.len(),
        differ.concat()
    );
}
