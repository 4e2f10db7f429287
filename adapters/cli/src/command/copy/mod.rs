//! `brickwire import`, `export` and `cat`.
//!
//! A copy is written to a part, a hidden file beside its target, which is renamed when the copy is
//! whole. After every stretch of [`CHECKPOINT`] bytes the part is flushed and a line is added to a
//! journal beside the part; `--resume` goes on from there.

pub(crate) mod export;
pub(crate) mod import;
pub(super) mod interrupt;
mod journal;
mod local_part;
mod remote_part;
mod report;
mod stream;
mod verify;

pub(super) use import::{Destination, Source};
pub(super) use remote_part::NewFile;
pub(super) use verify::compare;

use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh64::xxh64;

use crate::failure::Failure;

/// Bytes of one read or write.
const BLOCK: u64 = 1 << 20;
/// Reads or writes in flight.
const DEPTH: usize = 8;
/// Bytes between flushes: the most that is copied again after a brick process was restarted, or
/// when a copy is resumed.
const CHECKPOINT: u64 = 256 << 20;
/// Bytes that a file name may have.
const NAME_MAX: usize = 255;

/// The hidden file beside `target` with this suffix.
fn hidden(target: &Path, suffix: &str) -> PathBuf {
    let name = target.file_name().unwrap_or_default().as_bytes();
    let room = NAME_MAX - suffix.len() - 1;
    let mut hidden = vec![b'.'];
    if name.len() <= room {
        hidden.extend_from_slice(name);
    } else {
        // The name's hash keeps two long names apart.
        let hash = format!("{:016x}", xxh64(name, 0));
        hidden.extend_from_slice(&name[..room - hash.len()]);
        hidden.extend_from_slice(hash.as_bytes());
    }
    hidden.extend_from_slice(suffix.as_bytes());
    target.with_file_name(OsString::from_vec(hidden))
}

fn part_of(target: &Path) -> PathBuf {
    hidden(target, ".brickwire-part")
}

fn journal_of(target: &Path) -> PathBuf {
    hidden(target, ".brickwire-journal")
}

/// The refusal of a part whose journal says that it is of something else.
fn of_another_copy(part: impl Display) -> Failure {
    Failure::new(format_args!(
        "{part}: is the part of another copy, or of a source that has changed since: --force \
         without --resume begins again, or remove it"
    ))
}

/// Why a file that was opened is not the part, or the journal, that its name promises.
fn check_hidden(
    name: impl Display,
    is_regular: bool,
    is_same: bool,
    has_names: bool,
) -> Result<(), Failure> {
    let why = match (is_regular, is_same, has_names) {
        (false, ..) => "is no regular file, as the files of a copy are: remove it",
        (_, false, _) => "another copy has replaced or finished it meanwhile",
        (.., true) => "has a second name, which may be a finished copy: remove this name",
        _ => return Ok(()),
    };
    Err(Failure::new(format_args!("{name}: {why}")))
}

/// Refuses a path that is to be made, and is no directory, if it ends as a directory's does.
pub(super) fn refuse_directory_name(path: &Path, name: impl Display) -> Result<(), Failure> {
    let bytes = path.as_os_str().as_bytes();
    if bytes.ends_with(b"/") || bytes.ends_with(b"/.") {
        return Err(Failure::new(format_args!(
            "{name}: is no directory, as the slash in its end says: leave it out, or make the \
             directory first"
        )));
    }
    Ok(())
}

/// The last name of a path, if it has one.
fn base_name(path: &Path) -> Option<&OsStr> {
    path.file_name()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_files_are_beside_their_target_and_their_names_are_not_too_long() {
        assert_eq!(part_of(Path::new("d/a.img")), Path::new("d/.a.img.brickwire-part"));
        let long = |last: char| PathBuf::from(format!("d/{}{last}", "x".repeat(254)));
        let (one, two) = (part_of(&long('a')), part_of(&long('b')));
        assert_ne!(one, two);
        assert_eq!(one.file_name().unwrap().len(), NAME_MAX);
        assert_eq!(one.parent(), Some(Path::new("d")));
    }
}
