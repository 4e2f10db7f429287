//! A new local file, written as a part and renamed when it is whole.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read as _};
use std::os::unix::fs::{
    FileExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
    fchown,
};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, RenameFlags, renameat_with};

use super::{check_hidden, journal_of, part_of, refuse_directory_name};
use crate::failure::{Copied, Failure};

/// Where an export goes.
pub(super) enum LocalTarget {
    /// Bytes have places, and a part gets the name at the end.
    File(NewLocalFile),
    /// A device: bytes have places, but there is no name to change.
    Device(PathBuf),
    /// A pipe or a terminal: bytes follow each other.
    Stream(PathBuf),
}

pub(super) struct NewLocalFile {
    path: PathBuf,
    replaces: Option<Metadata>,
}

impl LocalTarget {
    /// Looks at what has the name. A directory is where the file goes, under the name `source`.
    pub(super) fn find(file: &Path, source: Option<&OsStr>, force: bool) -> Result<Self, Failure> {
        let mut path = file.to_owned();
        let mut found = look(&path)?;
        if let (Some(true), Some(name)) = (found.as_ref().map(Metadata::is_dir), source) {
            path.push(name);
            found = look(&path)?;
        }
        let Some(found) = found else {
            refuse_directory_name(&path, path.display())?;
            return Ok(Self::File(NewLocalFile { path, replaces: None }));
        };
        let name = path.display();
        if found.is_dir() {
            let text = format!("{name}: is a directory: name a file in it");
            return Err(Failure::new(text));
        }
        let is_device = found.file_type().is_block_device();
        if !found.is_file() && !is_device {
            return Ok(Self::Stream(path));
        }
        if !force {
            let what = if is_device {
                "is a device: --force writes to"
            } else {
                "file exists (EEXIST): --force replaces"
            };
            return Err(Failure::new(format_args!("{name}: {what} it")));
        }
        if is_device {
            return Ok(Self::Device(path));
        }
        // A link stays, and leads to the new file.
        let path = path.canonicalize().map_err(|error| Failure::local(path.display(), &error))?;
        Ok(Self::File(NewLocalFile { path, replaces: Some(found) }))
    }
}

/// The file that a path leads to; `None` if its name is free.
fn look(path: &Path) -> Result<Option<Metadata>, Failure> {
    match fs::metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if path.symlink_metadata().is_ok() {
                let name = path.display();
                return Err(Failure::new(format_args!("{name}: is a symbolic link to nothing")));
            }
            Ok(None)
        }
        Err(error) => Err(Failure::local(path.display(), &error)),
    }
}

impl NewLocalFile {
    fn failed(&self, error: io::Error) -> Failure {
        Failure::local(self.path.display(), &error)
    }

    pub(super) fn begin(self, force: bool) -> Result<LocalPart, Failure> {
        let path = part_of(&self.path);
        let mut options = OpenOptions::new();
        // The data may be less public than a new file: the part gets its mode with its name.
        options.read(true).write(true).create_new(true).mode(0o600);
        let opened = match options.open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let name = path.display();
                if !force {
                    return Err(Failure::new(format_args!(
                        "{name}: is the part of another copy, interrupted or still running: \
                         --resume goes on with it, --force begins again"
                    )));
                }
                if let Some(old) = open_hidden(&path, OpenOptions::new().read(true))? {
                    lock(&old, &path)?;
                    check_name(&old, &path)?;
                }
                fs::remove_file(&path).map_err(|error| self.failed(error))?;
                options.open(&path)
            }
            opened => opened,
        };
        let file = opened.map_err(|error| self.failed(error))?;
        lock(&file, &path)?;
        check_name(&file, &path)?;
        // One of an earlier part would be refused by a later --resume.
        let _ = fs::remove_file(journal_of(&self.path));
        Ok(LocalPart { new: self, path, file, is_resumed: false })
    }

    pub(super) fn resume(self) -> Result<LocalPart, Failure> {
        let path = part_of(&self.path);
        let Some(file) = open_hidden(&path, OpenOptions::new().read(true).write(true))? else {
            let name = self.path.display();
            return Err(Failure::new(format_args!(
                "{name}: no copy of it was interrupted: leave --resume out"
            )));
        };
        lock(&file, &path)?;
        check(&file, &path)?;
        Ok(LocalPart { new: self, path, file, is_resumed: true })
    }
}

/// Opens a part or a journal, which somebody else may have put where it is: neither a link is
/// followed nor a pipe waited for. `None` if nothing has the name.
fn open_hidden(path: &Path, options: &mut OpenOptions) -> Result<Option<File>, Failure> {
    match path.symlink_metadata() {
        Ok(found) => check_hidden(path.display(), found.is_file(), true, false)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(Failure::local(path.display(), &error)),
    }
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    match options.custom_flags(flags.cast_signed()).open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::local(path.display(), &error)),
    }
}

/// The file that was opened has this name still.
fn has_name(file: &File, path: &Path) -> io::Result<bool> {
    let opened = file.metadata()?;
    match path.symlink_metadata() {
        Ok(named) => Ok((named.dev(), named.ino()) == (opened.dev(), opened.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn check_name(file: &File, path: &Path) -> Result<(), Failure> {
    let is_same = has_name(file, path).map_err(|error| Failure::local(path.display(), &error))?;
    check_hidden(path.display(), true, is_same, false)
}

/// A part or a journal is a regular file with one name, the one by which it was opened: with a
/// second one it may be a finished copy, or a file that has nothing to do with any.
fn check(file: &File, path: &Path) -> Result<(), Failure> {
    check_name(file, path)?;
    let opened = file.metadata().map_err(|error| Failure::local(path.display(), &error))?;
    check_hidden(path.display(), opened.is_file(), true, opened.nlink() != 1)
}

/// Two copies to one part would be mixed. The lock goes with the process.
fn lock(file: &File, path: &Path) -> Result<(), Failure> {
    match file.try_lock() {
        // Some file systems have no locks.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            Err(Failure::new(format_args!("{}: another copy is writing it now", path.display())))
        }
    }
}

/// A file that does not have its name yet.
pub(super) struct LocalPart {
    new: NewLocalFile,
    path: PathBuf,
    pub(super) file: File,
    /// An earlier run has made it: it is not this run's to delete.
    is_resumed: bool,
}

impl LocalPart {
    pub(super) fn target(&self) -> &Path {
        &self.new.path
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn replaces(&self) -> bool {
        self.new.replaces.is_some()
    }

    /// Reads the journal of an earlier run; empty without one: then the copy begins again.
    pub(super) fn read_journal(&self) -> Result<Vec<u8>, Failure> {
        let path = journal_of(&self.new.path);
        let mut bytes = Vec::new();
        if let Some(mut file) = open_hidden(&path, OpenOptions::new().read(true))? {
            check(&file, &path)?;
            file.read_to_end(&mut bytes).map_err(|error| Failure::local(path.display(), &error))?;
        }
        Ok(bytes)
    }

    /// Writes to the journal; it is durable when this returns.
    pub(super) fn write_journal(&self, at: u64, bytes: &[u8]) -> Result<(), Failure> {
        let mut options = OpenOptions::new();
        self.change_journal(options.write(true).create(true).mode(0o600), at, bytes)
    }

    /// Removes what is after `len` bytes of the journal, durably.
    pub(super) fn cut_journal(&self, len: u64) -> Result<(), Failure> {
        self.change_journal(OpenOptions::new().write(true), len, &[])
    }

    /// Replaces what is after `at` bytes of the journal by `bytes`.
    fn change_journal(
        &self,
        options: &mut OpenOptions,
        at: u64,
        bytes: &[u8],
    ) -> Result<(), Failure> {
        let path = journal_of(&self.new.path);
        let Some(file) = open_hidden(&path, options)? else { return Ok(()) };
        check(&file, &path)?;
        let change = || {
            file.set_len(at)?;
            file.write_all_at(bytes, at)?;
            file.sync_all()
        };
        change().map_err(|error: io::Error| Failure::local(path.display(), &error))
    }

    /// Gives the file its name, durably. One that appeared meanwhile is not replaced.
    pub(super) fn commit(self) -> Result<(), Failure> {
        let (part, target) = (&self.path, &self.new.path);
        check(&self.file, part)?;
        let commit = || {
            match &self.new.replaces {
                Some(old) => {
                    // Only root may give files away.
                    let _ = fchown(&self.file, Some(old.uid()), Some(old.gid()));
                    self.file.set_permissions(old.permissions())?;
                    fs::rename(part, target)?;
                }
                None => {
                    self.file.set_permissions(mode_of_new_file())?;
                    rename_new(part, target)?;
                }
            }
            let _ = fs::remove_file(journal_of(target));
            let directory = target.parent().filter(|parent| !parent.as_os_str().is_empty());
            File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
        };
        commit().map_err(|error: io::Error| self.new.failed(error))
    }

    /// Ends a copy that failed. The part stays if a later run can succeed.
    pub(super) fn abandon(self, failure: Failure, bytes: u64, total: u64) -> Failure {
        let name = self.new.path.display().to_string();
        if failure.is_transient() && (bytes > 0 || self.is_resumed) {
            let part = self.path.display().to_string();
            return failure.about(&name).with_part(Copied { bytes, total, part });
        }
        let failure = failure.about(&name);
        if self.is_resumed || !has_name(&self.file, &self.path).unwrap_or(false) {
            return failure;
        }
        let _ = fs::remove_file(&self.path);
        let _ = fs::remove_file(journal_of(&self.new.path));
        match failure.is_interrupted() {
            true => failure.and_say("nothing of the copy is left"),
            false => failure,
        }
    }
}

/// The mode that programs make files with.
fn mode_of_new_file() -> Permissions {
    // The mask can only be read by setting it.
    let mask = rustix::process::umask(Mode::from_raw_mode(0o077));
    rustix::process::umask(mask);
    Permissions::from_mode(0o666 & !mask.as_raw_mode())
}

fn rename_new(part: &Path, target: &Path) -> io::Result<()> {
    match renameat_with(CWD, part, CWD, target, RenameFlags::NOREPLACE) {
        // A file system without this flag has hard links.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            fs::hard_link(part, target)?;
            fs::remove_file(part)
        }
        renamed => Ok(renamed?),
    }
}
