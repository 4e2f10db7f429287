//! Checks that the bricks of a replica hold the same data and blame nobody. The bricks must be idle
//! while they are checked.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::brick::{self, xattr, xattr_names};

/// The self-heal daemon's directory for removed entries; it is not replicated.
const ANONYMOUS: &[u8] = b".glusterfs-anonymous-inode";
/// Directories that belong to one brick alone.
const OWN: &[u8] = b"trusted.afr.";
/// Only the modification time is compared: ctime is not replicated to a file that was renamed while
/// its brick was down, neither here nor by GlusterFS's bricks.
const TIMES: &[u8] = b"trusted.glusterfs.mdata";
const MTIME: std::ops::Range<usize> = 25..41;

/// All faults of the bricks of a replica: differences, changelog counters that are not zero,
/// entries in the heal index, and the faults of each brick. With `arbiter`, the last brick holds no
/// contents.
pub fn faults(bricks: &[PathBuf], arbiter: bool) -> Vec<String> {
    let mut faults = Vec::new();
    let looks: Vec<Vec<String>> = bricks
        .iter()
        .enumerate()
        .map(|(at, brick)| {
            faults.extend(pending(brick).into_iter().map(|fault| format!("brick {at}: {fault}")));
            look(brick, !arbiter)
        })
        .collect();
    for (at, other) in looks.iter().enumerate().skip(1) {
        let missing =
            looks[0].iter().filter(|line| !other.contains(line)).map(|line| ("only brick 0", line));
        let more =
            other.iter().filter(|line| !looks[0].contains(line)).map(|line| ("not brick 0", line));
        faults.extend(
            missing.chain(more).map(|(whose, line)| format!("brick {at}, {whose}: {line}")),
        );
    }
    if faults.is_empty() {
        // The bricks are idle now.
        for (at, brick) in bricks.iter().enumerate() {
            faults.extend(
                brick::faults(brick).into_iter().map(|fault| format!("brick {at}: {fault}")),
            );
        }
    }
    faults
}

/// Waits until the bricks have no fault; panics after `bound`.
pub fn wait_for(bricks: &[PathBuf], arbiter: bool, bound: Duration) {
    let end = Instant::now() + bound;
    loop {
        let faults = faults(bricks, arbiter);
        if faults.is_empty() {
            return;
        }
        let shown = &faults[..faults.len().min(20)];
        assert!(Instant::now() < end, "{} faults after {bound:?}: {shown:#?}", faults.len());
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn all(brick: &Path) -> Vec<PathBuf> {
    let (mut found, mut open) = (vec![brick.to_owned()], vec![brick.to_owned()]);
    while let Some(dir) = open.pop() {
        // An entry that a heal moves during the walk is seen by the next one.
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if dir == brick && (name == ".glusterfs" || name.as_bytes().starts_with(ANONYMOUS)) {
                continue;
            }
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                open.push(entry.path());
            }
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

fn look(brick: &Path, contents: bool) -> Vec<String> {
    all(brick)
        .iter()
        .filter_map(|path| {
            let meta = path.symlink_metadata().ok()?;
            let name = path.strip_prefix(brick).ok()?.as_os_str().as_bytes().escape_ascii();
            let mut text = format!(
                "{name} {:o} {}:{} links {}",
                meta.mode(),
                meta.uid(),
                meta.gid(),
                meta.nlink()
            );
            let mut hash = DefaultHasher::new();
            if meta.is_file() && contents {
                std::fs::read(path).ok()?.hash(&mut hash);
                text += &format!(" size {} is {:016x}", meta.size(), hash.finish());
            } else if meta.is_symlink() {
                text += &format!(" to {}", std::fs::read_link(path).ok()?.display());
            }
            let mut names = xattr_names(path);
            names.retain(|name| !name.starts_with(OWN));
            names.sort();
            for name in names {
                let mut value = xattr(path, &name)?;
                if name == TIMES {
                    value = value.get(MTIME)?.to_vec();
                }
                text += &format!(" {}={}", name.escape_ascii(), value.escape_ascii());
            }
            Some(text)
        })
        .collect()
}

/// Changes that a brick's index lists as missed by other bricks or in progress.
fn pending(brick: &Path) -> Vec<String> {
    let mut faults = Vec::new();
    for path in all(brick) {
        for name in xattr_names(&path).iter().filter(|name| name.starts_with(b"trusted.afr.")) {
            let value = xattr(&path, name).unwrap_or_default();
            if value.iter().any(|byte| *byte != 0) {
                faults.push(format!("{}: {} is {value:?}", path.display(), name.escape_ascii()));
            }
        }
    }
    for index in ["xattrop", "dirty", "entry-changes"] {
        let path = brick.join(".glusterfs/indices").join(index);
        for entry in std::fs::read_dir(&path).into_iter().flatten().flatten() {
            // All entries of the index are hard links of one base file, which is not an entry.
            if !entry.file_name().as_bytes().starts_with(format!("{index}-").as_bytes()) {
                faults.push(format!("listed: {}", entry.path().display()));
            }
        }
    }
    faults
}
