//! `mkdir`, `rm`, `mv`, `truncate`, `create`: small changes.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use brickwire_core::uri::Uri;
use brickwire_std::{ErrorKind, OpenOptions};

use crate::args::{Global, Prealloc};
use crate::connect::{open_path, parse, path_of};
use crate::failure::Failure;

/// Bytes that one call reserves: a brick answers when it is done, and must do so within the time of an operation.
const RESERVE: u64 = 1 << 30;
/// Bytes that one call zeroes: a slow disk may have to write them.
const ZERO: u64 = 64 << 20;

pub(crate) fn mkdir(uri: &str, parents: bool, global: &Global) -> Result<(), Failure> {
    let place = open_path(uri, global)?;
    if parents {
        place.volume.create_dir_all(&place.path, 0o755)
    } else {
        place.volume.create_dir(&place.path, 0o755)
    }?;
    Ok(())
}

pub(crate) fn rm(uri: &str, recursive: bool, global: &Global) -> Result<(), Failure> {
    let path = path_of(&parse(uri)?);
    // Path::components would hide a dot at the end.
    if let Some(b"." | b"..") =
        path.as_os_str().as_bytes().split(|byte| *byte == b'/').rfind(|name| !name.is_empty())
    {
        return Err(Failure::Usage(format!("{uri}: . and .. are not removed: name the directory")));
    }
    let place = open_path(uri, global)?;
    let is_dir = place.volume.lstat(&place.path)?.is_dir();
    match (is_dir, recursive) {
        (false, _) => place.volume.remove_file(&place.path),
        (true, false) => place.volume.remove_dir(&place.path),
        (true, true) => place.volume.remove_dir_all(&place.path),
    }?;
    Ok(())
}

pub(crate) fn mv(from: &str, to: &OsStr, global: &Global) -> Result<(), Failure> {
    let source = parse(from)?;
    let target = match to.to_str().filter(|to| to.starts_with("gluster") && to.contains("://")) {
        Some(to) => {
            let target =
                Uri::parse_image(to).map_err(|error| Failure::Usage(format!("{to}: {error}")))?;
            let same = target.transport() == source.transport()
                && target.host() == source.host()
                && target.port() == source.port()
                && target.socket() == source.socket()
                && target.volume() == source.volume();
            if !same {
                let what = format!(
                    "{to}: another volume than {from}; use export and import to copy between volumes"
                );
                return Err(Failure::Usage(what));
            }
            path_of(&target)
        }
        None => to.into(),
    };
    let place = open_path(from, global)?;
    // Into a directory, as mv does.
    let into = place.volume.exists(&target)? && place.volume.stat(&target)?.is_dir();
    let target = match place.path.file_name().filter(|_| into) {
        Some(name) => target.join(name),
        None => target,
    };
    place.volume.rename(&place.path, &target)?;
    Ok(())
}

pub(crate) fn truncate(uri: &str, size: u64, global: &Global) -> Result<(), Failure> {
    let place = open_path(uri, global)?;
    place.volume.set_len(&place.path, size)?;
    Ok(())
}

pub(crate) fn create(
    uri: &str,
    size: u64,
    prealloc: Prealloc,
    global: &Global,
) -> Result<(), Failure> {
    let place = open_path(uri, global)?;
    let options = OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600);
    let file = place.volume.open_file(&place.path, &options)?;
    let mut at = 0;
    while prealloc != Prealloc::Off && at < size {
        let step = if prealloc == Prealloc::Full { ZERO } else { RESERVE };
        let len = step.min(size - at);
        match prealloc {
            Prealloc::Falloc => file.allocate(at, len, false)?,
            Prealloc::Full => match file.write_zeroes(at, len) {
                // Not every brick's file system can zero a range by itself.
                Err(error) if error.kind() == ErrorKind::Errno && error.errno() == Some(95) => {
                    write_zeroes(&file, at, len)?;
                }
                other => other?,
            },
            Prealloc::Off => {}
        }
        at += len;
    }
    file.set_len(size)?;
    file.flush()?;
    file.close()?;
    Ok(())
}

fn write_zeroes(file: &brickwire_std::File, at: u64, len: u64) -> Result<(), Failure> {
    let zeroes = vec![0; 1 << 20];
    let mut done = 0;
    while done < len {
        let n = usize::try_from(len - done).unwrap_or(usize::MAX).min(zeroes.len());
        file.write_all_at(&zeroes[..n], at + done)?;
        done += n as u64;
    }
    Ok(())
}
