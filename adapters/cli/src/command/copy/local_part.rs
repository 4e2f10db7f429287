//! A new local file, written as a part and renamed when it is whole.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::{journal_of, part_of};
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
        options.read(true).write(true).create_new(true);
        let opened = match options.open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let name = path.display();
                if !force {
                    return Err(Failure::new(format_args!(
                        "{name}: is the part of another copy, interrupted or still running: \
                         --resume goes on with it, --force begins again"
                    )));
                }
                let old = File::open(&path).map_err(|error| self.failed(error))?;
                lock(&old, &path)?;
                fs::remove_file(&path).map_err(|error| self.failed(error))?;
                options.open(&path)
            }
            opened => opened,
        };
        let file = opened.map_err(|error| self.failed(error))?;
        lock(&file, &path)?;
        Ok(LocalPart { new: self, path, file })
    }

    pub(super) fn resume(self) -> Result<LocalPart, Failure> {
        let path = part_of(&self.path);
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let name = self.path.display();
                return Err(Failure::new(format_args!(
                    "{name}: no copy of it was interrupted: leave --resume out"
                )));
            }
            Err(error) => return Err(self.failed(error)),
        };
        lock(&file, &path)?;
        Ok(LocalPart { new: self, path, file })
    }
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

    pub(super) fn read_journal(&self) -> Vec<u8> {
        // Without a journal the copy begins again.
        fs::read(journal_of(&self.new.path)).unwrap_or_default()
    }

    /// Writes to the journal; it is durable when this returns.
    pub(super) fn write_journal(&self, at: u64, bytes: &[u8]) -> Result<(), Failure> {
        let write = || {
            let path = journal_of(&self.new.path);
            let mut options = OpenOptions::new();
            let file = options.write(true).create(true).truncate(at == 0).open(path)?;
            file.write_all_at(bytes, at)?;
            file.set_len(at + bytes.len() as u64)?;
            file.sync_all()
        };
        write().map_err(|error: io::Error| self.new.failed(error))
    }

    /// Removes what is after `len` bytes of the journal, durably.
    pub(super) fn cut_journal(&self, len: u64) -> Result<(), Failure> {
        let cut = || {
            let file = match OpenOptions::new().write(true).open(journal_of(&self.new.path)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                opened => opened?,
            };
            file.set_len(len)?;
            file.sync_all()
        };
        cut().map_err(|error: io::Error| self.new.failed(error))
    }

    /// Gives the file its name, durably. One that appeared meanwhile is not replaced.
    pub(super) fn commit(self) -> Result<(), Failure> {
        let (part, target) = (&self.path, &self.new.path);
        let commit = || {
            match &self.new.replaces {
                Some(old) => {
                    // Only root may give files away.
                    let _ = fchown(&self.file, Some(old.uid()), Some(old.gid()));
                    self.file.set_permissions(old.permissions())?;
                    fs::rename(part, target)?;
                }
                None => rename_new(part, target)?,
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
        if failure.is_transient() && bytes > 0 {
            let part = self.path.display().to_string();
            return failure.about(&name).with_part(Copied { bytes, total, part });
        }
        let _ = fs::remove_file(&self.path);
        let _ = fs::remove_file(journal_of(&self.new.path));
        let failure = failure.about(&name);
        match failure.is_interrupted() {
            true => failure.and_say("nothing of the copy is left"),
            false => failure,
        }
    }
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
