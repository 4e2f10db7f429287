//! `mkdir`, `rm`, `mv`, `truncate`, `create`: small changes.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use brickwire_core::uri::Uri;
use brickwire_core::xdr::Errno;
use brickwire_std::{ErrorKind, File, Gfid, Metadata, Volume};
use serde_json::{Value, json};

use super::copy::{NewFile, interrupt, refuse_directory_name};
use crate::args::{Create, Mkdir, Mv, Prealloc, Rm, Truncate};
use crate::connect::{Place, open_path, parse, path_of, with_path};
use crate::failure::Failure;
use crate::output;
use crate::settings::Settings;

/// Bytes that one call reserves: a brick answers when it is done, and must do so within the time of
/// an operation.
const RESERVE: u64 = 1 << 30;
/// Bytes that one call zeroes: a slow disk may have to write them.
const ZERO: u64 = 16 << 20;

/// The object of a command that is done. As text a command that succeeds says nothing.
fn done(settings: &Settings, object: Value) -> Result<(), Failure> {
    if settings.json { output::json(&object) } else { Ok(()) }
}

pub(crate) fn mkdir(args: &Mkdir, settings: &Settings) -> Result<(), Failure> {
    let Place { volume, path } = open_path(&args.uri, settings)?;
    if args.parents {
        volume.create_dir_all(&path, 0o755)?;
    } else {
        volume.create_dir(&path, 0o755)?;
    }
    done(settings, json!({ "command": "mkdir", "uri": args.uri }))
}

pub(crate) fn rm(args: &Rm, settings: &Settings) -> Result<(), Failure> {
    let uri = &args.uri;
    let path = path_of(&parse(uri)?);
    // Path::components would hide a dot at the end.
    if let Some(b"." | b"..") =
        path.as_os_str().as_bytes().split(|byte| *byte == b'/').rfind(|name| !name.is_empty())
    {
        let text = format!("{uri}: . and .. are not removed: name the directory");
        return Err(Failure::usage(text));
    }
    let Place { volume, path } = open_path(uri, settings)?;
    let is_dir = volume.lstat(&path)?.is_dir();
    match (is_dir, args.recursive) {
        (false, _) => volume.remove_file(&path)?,
        (true, false) => volume.remove_dir(&path).map_err(|error| {
            let is_full = error.errno() == Some(Errno::ENOTEMPTY.to_wire());
            let failure = Failure::from(error);
            if is_full { failure.and_say("-r removes what is in it too") } else { failure }
        })?,
        (true, true) => volume.remove_dir_all(&path)?,
    }
    done(settings, json!({ "command": "rm", "uri": uri, "directory": is_dir }))
}

pub(crate) fn mv(args: &Mv, settings: &Settings) -> Result<(), Failure> {
    let target = target_of(&args.from, &args.to)?;
    let Place { volume, path } = open_path(&args.from, settings)?;
    let lstat = |path: &Path| match volume.lstat(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.errno() == Some(Errno::ENOENT.to_wire()) => Ok(None),
        Err(error) => Err(Failure::from(error)),
    };
    let source = volume.lstat(&path)?;
    // Into a directory, as mv(1).
    let into = volume.exists(&target)? && volume.stat(&target)?.is_dir();
    if !into {
        refuse_directory_name(&target, with_path(&args.from, &target))?;
    }
    let target = match path.file_name().filter(|_| into) {
        Some(name) => target.join(name),
        None => target,
    };
    let to = with_path(&args.from, &target);
    let found: Option<Metadata> = lstat(&target)?;
    let renamed = match found {
        Some(found) if found.gfid() == source.gfid() => {
            let text = format!("{} and {to} are the same file", args.from);
            return Err(Failure::new(text));
        }
        Some(_) if args.no_clobber => false,
        Some(_) if !args.force => {
            return Err(Failure::errno(&to, Errno::EEXIST).and_say("-f replaces it"));
        }
        Some(_) => {
            volume.rename(&path, &target)?;
            true
        }
        // A rename would replace a file that appears meanwhile; a second name is refused.
        None if source.is_file() => {
            match volume.link(&path, &target) {
                Ok(()) => {
                    let gfid = source.gfid();
                    remove_old_name(&volume, (&path, &args.from), (&target, &to), gfid)?
                }
                Err(error)
                    if [Errno::EPERM, Errno::EOPNOTSUPP, Errno::EMLINK]
                        .iter()
                        .any(|errno| error.errno() == Some(errno.to_wire())) =>
                {
                    volume.rename(&path, &target)?
                }
                Err(error) => return Err(error.into()),
            }
            true
        }
        None => {
            volume.rename(&path, &target)?;
            true
        }
    };
    let replaced = renamed && found.is_some();
    done(
        settings,
        json!({
            "command": "mv", "from": args.from, "to": to, "renamed": renamed, "replaced": replaced,
        }),
    )
}

/// Ends a move of a file that has both names, each a path and its URI.
fn remove_old_name(
    volume: &Volume,
    (old, from): (&Path, &str),
    (new, to): (&Path, &str),
    gfid: Gfid,
) -> Result<(), Failure> {
    let found = |path: &Path| match volume.lstat(path) {
        Ok(found) => Ok(Some(found.gfid())),
        Err(error) if error.errno() == Some(Errno::ENOENT.to_wire()) => Ok(None),
        Err(error) => Err(error),
    };
    let both = |error: brickwire_std::Error| {
        Failure::from(error)
            .about(from)
            .and_say(&format!("the file may have both names, also {to}"))
    };
    match found(old).map_err(both)? {
        // Another client has removed it.
        None => return Ok(()),
        Some(now) if now != gfid => {
            return Err(Failure::new(format_args!(
                "{from}: another client replaced it meanwhile, and the new file stays: the one \
                 that had the name is {to}"
            )));
        }
        Some(_) => {}
    }
    let Err(error) = volume.remove_file(old) else { return Ok(()) };
    // An answer that was lost may be one of success: then the new name is the only one.
    let is_refused = error.kind() == ErrorKind::Errno
        && [old, new].iter().all(|path| found(path).is_ok_and(|found| found == Some(gfid)));
    if is_refused && volume.remove_file(new).is_ok() {
        return Err(Failure::from(error).about(from).and_say("it keeps its name"));
    }
    Err(both(error))
}

/// The path that the second argument of `mv` names.
fn target_of(from: &str, to: &OsStr) -> Result<PathBuf, Failure> {
    let source = parse(from)?;
    let Some(to) = to.to_str().filter(|to| to.starts_with("gluster") && to.contains("://")) else {
        return Ok(to.into());
    };
    let target =
        Uri::parse_image(to).map_err(|error| Failure::usage(format_args!("{to}: {error}")))?;
    let same = target.transport() == source.transport()
        && target.host() == source.host()
        && target.port() == source.port()
        && target.socket() == source.socket()
        && target.volume() == source.volume();
    if !same {
        return Err(Failure::usage(format_args!(
            "{to}: another volume than {from}; use export and import to copy between volumes"
        )));
    }
    Ok(path_of(&target))
}

pub(crate) fn truncate(args: &Truncate, settings: &Settings) -> Result<(), Failure> {
    let place = open_path(&args.uri, settings)?;
    place.volume.set_len(&place.path, args.size)?;
    done(settings, json!({ "command": "truncate", "uri": args.uri, "size": args.size }))
}

pub(crate) fn create(args: &Create, settings: &Settings) -> Result<(), Failure> {
    let Create { uri, size, prealloc, force, .. } = args;
    let place = open_path(uri, settings)?;
    let new = NewFile::check(&place, uri, None, *force)?;
    let replaced = new.replaces();
    let part = match new.begin(*force)? {
        Ok(part) => part,
        Err(new) => {
            let text =
                format!("{}: is an image of a block volume, which keeps its size", new.uri());
            return Err(Failure::new(text));
        }
    };
    interrupt::watch(&part.uri(), settings.json)?;
    if let Err(failure) = fill(&part.file, *size, *prealloc) {
        return Err(part.abandon(failure, None));
    }
    part.commit()?;
    done(settings, json!({ "command": "create", "uri": uri, "size": size, "replaced": replaced }))
}

/// Gives a new image its size and reserves space for it.
fn fill(file: &File, size: u64, prealloc: Prealloc) -> Result<(), Failure> {
    let mut at = 0;
    while prealloc != Prealloc::Off && at < size {
        interrupt::check()?;
        let step = if prealloc == Prealloc::Full { ZERO } else { RESERVE };
        let len = step.min(size - at);
        match prealloc {
            Prealloc::Falloc => file.allocate(at, len, false)?,
            Prealloc::Full => match file.write_zeroes(at, len) {
                // Not every brick's file system can zero a range by itself.
                Err(error)
                    if error.kind() == ErrorKind::Errno
                        && error.errno() == Some(Errno::EOPNOTSUPP.to_wire()) =>
                {
                    write_zeroes(file, at, len)?;
                }
                other => other?,
            },
            Prealloc::Off => {}
        }
        at += len;
    }
    file.set_len(size)?;
    file.flush()?;
    Ok(())
}

fn write_zeroes(file: &File, at: u64, len: u64) -> Result<(), Failure> {
    let zeroes = vec![0; 1 << 20];
    let mut done = 0;
    while done < len {
        let n = usize::try_from(len - done).unwrap_or(usize::MAX).min(zeroes.len());
        file.write_all_at(&zeroes[..n], at + done)?;
        done += n as u64;
    }
    Ok(())
}
