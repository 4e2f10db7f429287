//! A new file on a volume, written as a part and renamed when it is whole.

use std::path::{Path, PathBuf};
use std::time::Duration;

use brickwire_core::xdr::Errno;
use brickwire_std::{ErrorKind, File, Gfid, Metadata, OpenOptions, SetAttributes, Volume};

use super::{base_name, check_hidden, journal_of, part_of, refuse_directory_name};
use crate::connect::{Place, with_path};
use crate::failure::{Copied, Failure};

/// A running copy changes its part within this time, unless its brick hangs.
const STILL_COPIED: Duration = Duration::from_secs(1);

/// The name of a file that is to be made.
pub(crate) struct NewFile<'a> {
    volume: &'a Volume,
    /// The URI that was given: names of other files are made from it.
    uri: &'a str,
    path: PathBuf,
    /// The file that has the name now.
    replaces: Option<Metadata>,
}

fn is(error: &brickwire_std::Error, errno: Errno) -> bool {
    error.errno() == Some(errno.to_wire())
}

impl<'a> NewFile<'a> {
    /// Looks at what has the name. A directory is where the file goes, under the name `source`; a
    /// file is only replaced with `force`.
    pub(crate) fn check(
        place: &'a Place,
        uri: &'a str,
        source: Option<&Path>,
        force: bool,
    ) -> Result<Self, Failure> {
        let mut new = Self { volume: &place.volume, uri, path: place.path.clone(), replaces: None };
        new.replaces = new.found(&new.path)?;
        let is_dir = new.replaces.is_some_and(|found| found.is_dir());
        if !is_dir {
            refuse_directory_name(&new.path, new.uri())?;
        }
        if is_dir && let Some(name) = source.and_then(base_name) {
            new.path.push(name);
            new.replaces = new.found(&new.path)?;
        }
        let name = new.uri_of(&new.path);
        match new.replaces {
            Some(found) if found.is_dir() => {
                Err(Failure::new(format_args!("{name}: is a directory: name a file in it")))
            }
            Some(found) if found.is_symlink() => Err(Failure::new(format_args!(
                "{name}: is a symbolic link: name the file that it leads to"
            ))),
            Some(_) if !force => Err(exists(&name)),
            _ => Ok(new),
        }
    }

    fn found(&self, path: &Path) -> Result<Option<Metadata>, Failure> {
        match self.volume.lstat(path) {
            Ok(found) => Ok(Some(found)),
            Err(error) if is(&error, Errno::ENOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn replaces(&self) -> bool {
        self.replaces.is_some()
    }

    pub(crate) fn uri(&self) -> String {
        self.uri_of(&self.path)
    }

    fn uri_of(&self, path: &Path) -> String {
        with_path(self.uri, path)
    }

    /// Begins the part. `None` if the volume lets no names be made, but has this one: an image of a
    /// block volume, which can only be written in place.
    pub(crate) fn begin(self, force: bool) -> Result<Result<Part<'a>, Self>, Failure> {
        let path = part_of(&self.path);
        let options = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600);
        let mut made = Vec::new();
        let mut opened = self.volume.open_file(&path, &options);
        if opened.as_ref().is_err_and(|error| is(error, Errno::EEXIST)) {
            let name = self.uri_of(&path);
            if !force {
                return Err(Failure::new(format_args!(
                    "{name}: is the part of another copy, interrupted or still running: --resume \
                     goes on with it, --force begins again"
                )));
            }
            if let Some(found) = self.found(&path)? {
                check_hidden(&name, found.is_file(), true, false)?;
                self.refuse_if_copied(&path)?;
                self.volume.remove_file(&path)?;
            }
            opened = self.volume.open_file(&path, &options);
        }
        if opened.as_ref().is_err_and(|error| is(error, Errno::ENOENT))
            && let Some(parent) = path.parent()
        {
            made = make_directories(self.volume, parent)?;
            opened = self.volume.open_file(&path, &options);
        }
        let file = match opened {
            Ok(file) => file,
            Err(error) if is(&error, Errno::EROFS) && self.replaces() => return Ok(Err(self)),
            // The person named the target, and has never heard of the part.
            Err(error) if error.kind() == ErrorKind::Errno => {
                let errno = Errno::from_wire(error.errno().unwrap_or(5));
                return Err(Failure::errno(&self.uri(), errno));
            }
            Err(error) => return Err(error.into()),
        };
        let gfid = file.metadata()?.gfid();
        // One of an earlier part would be refused by a later --resume.
        let _ = self.volume.remove_file(journal_of(&self.path));
        Ok(Ok(Part { new: self, path, gfid, made, file, is_resumed: false }))
    }

    /// Opens the part of an interrupted copy.
    pub(crate) fn resume(self) -> Result<Part<'a>, Failure> {
        let path = part_of(&self.path);
        let options = OpenOptions::new().read(true).write(true);
        let Some(file) = self.open_hidden(&path, &options)? else {
            let name = self.uri();
            return Err(Failure::new(format_args!(
                "{name}: no copy of it was interrupted: leave --resume out"
            )));
        };
        self.refuse_if_copied(&path)?;
        let gfid = self.check_hidden(&file, &path)?;
        Ok(Part { new: self, path, gfid, made: Vec::new(), file, is_resumed: true })
    }

    /// Opens a part or a journal, which somebody else may have put where it is: a link is not
    /// followed. `None` if nothing has the name.
    fn open_hidden(&self, path: &Path, options: &OpenOptions) -> Result<Option<File>, Failure> {
        let Some(found) = self.found(path)? else { return Ok(None) };
        check_hidden(self.uri_of(path), found.is_file(), true, false)?;
        match self.volume.open_file(path, options) {
            Ok(file) => {
                self.check_hidden(&file, path)?;
                Ok(Some(file))
            }
            Err(error) if is(&error, Errno::ENOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// A part or a journal is a regular file with one name, the one by which it was opened: with a
    /// second one it may be a finished copy, or a file that has nothing to do with any.
    fn check_hidden(&self, file: &File, path: &Path) -> Result<Gfid, Failure> {
        let (opened, named) = (file.metadata()?, self.found(path)?);
        let is_same = named.is_some_and(|named| named.gfid() == opened.gfid());
        let names = named.map_or(0, |named| named.iatt().nlink);
        check_hidden(self.uri_of(path), opened.is_file(), is_same, names > 1)?;
        Ok(opened.gfid())
    }

    /// Two copies to one part would be mixed.
    fn refuse_if_copied(&self, part: &Path) -> Result<(), Failure> {
        let state = |found: Metadata| (found.gfid(), found.modified(), found.allocated());
        let before = state(self.volume.lstat(part)?);
        std::thread::sleep(STILL_COPIED);
        if state(self.volume.lstat(part)?) != before {
            let name = self.uri_of(part);
            return Err(Failure::new(format_args!("{name}: another copy is writing it now")));
        }
        Ok(())
    }
}

fn exists(name: &str) -> Failure {
    Failure::errno(name, Errno::EEXIST).and_say("--force replaces it")
}

/// Makes a directory and those above it that are missing. The ones that were made, from the top.
fn make_directories(volume: &Volume, path: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut made = Vec::new();
    let mut above: Vec<&Path> =
        path.ancestors().filter(|path| path.file_name().is_some()).collect();
    above.reverse();
    for path in above {
        match volume.create_dir(path, 0o755) {
            Ok(()) => made.push(path.to_owned()),
            Err(error) if is(&error, Errno::EEXIST) => {}
            Err(error) => {
                remove_directories(volume, &made);
                return Err(error.into());
            }
        }
    }
    Ok(made)
}

fn remove_directories(volume: &Volume, made: &[PathBuf]) {
    for path in made.iter().rev() {
        // One that something was put into meanwhile stays.
        let _ = volume.remove_dir(path);
    }
}

/// A file that does not have its name yet.
pub(crate) struct Part<'a> {
    new: NewFile<'a>,
    path: PathBuf,
    gfid: Gfid,
    made: Vec<PathBuf>,
    pub(crate) file: File,
    /// An earlier run has made it: it is not this run's to delete.
    is_resumed: bool,
}

impl Part<'_> {
    pub(crate) fn uri(&self) -> String {
        self.new.uri()
    }

    /// The URI of the part itself.
    pub(crate) fn part_uri(&self) -> String {
        self.new.uri_of(&self.path)
    }

    pub(crate) fn replaces(&self) -> bool {
        self.new.replaces()
    }

    /// The part's path on the volume.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn gfid(&self) -> Gfid {
        self.gfid
    }

    /// A handle of its own: after a restart of its brick the old one's flushes cannot succeed.
    pub(crate) fn reopen(&mut self) -> Result<(), Failure> {
        let options = OpenOptions::new().read(true).write(true);
        let Some(file) = self.new.open_hidden(&self.path, &options)? else {
            let name = self.part_uri();
            return Err(Failure::new(format_args!("{name}: was removed while it was written")));
        };
        self.file = file;
        self.check_identity(self.file.metadata()?.gfid())
    }

    fn check_identity(&self, gfid: Gfid) -> Result<(), Failure> {
        if gfid != self.gfid {
            let name = self.new.uri_of(&self.path);
            return Err(Failure::new(format_args!("{name}: was replaced by another copy")));
        }
        Ok(())
    }

    pub(crate) fn read_journal(&self) -> Result<Vec<u8>, Failure> {
        let path = journal_of(&self.new.path);
        let Some(file) = self.new.open_hidden(&path, &OpenOptions::new().read(true))? else {
            return Ok(Vec::new());
        };
        let mut bytes = vec![0; usize::try_from(file.metadata()?.size()).unwrap_or(0)];
        let mut have = 0;
        while have < bytes.len() {
            match file.read_at(&mut bytes[have..], have as u64)? {
                0 => break,
                n => have += n,
            }
        }
        bytes.truncate(have);
        Ok(bytes)
    }

    /// Writes to the journal; it is durable when this returns.
    pub(crate) fn write_journal(&self, at: u64, bytes: &[u8]) -> Result<(), Failure> {
        let path = journal_of(&self.new.path);
        let options = OpenOptions::new().write(true);
        let file = match self.new.open_hidden(&path, &options)? {
            Some(file) => file,
            None => self.new.volume.open_file(&path, &options.create_new(true).mode(0o600))?,
        };
        change_journal(file, at, bytes)
    }

    /// Removes what is after `len` bytes of the journal, durably.
    pub(crate) fn cut_journal(&self, len: u64) -> Result<(), Failure> {
        let options = OpenOptions::new().write(true);
        match self.new.open_hidden(&journal_of(&self.new.path), &options)? {
            Some(file) => change_journal(file, len, &[]),
            None => Ok(()),
        }
    }

    /// Gives the file its name. One that appeared meanwhile is not replaced.
    pub(crate) fn commit(self) -> Result<(), Failure> {
        let Self { new: NewFile { volume, path: target, replaces, .. }, path: part, .. } = &self;
        self.check_identity(self.new.check_hidden(&self.file, part)?)?;
        match replaces {
            Some(old) => {
                keep_owner_and_mode(volume, part, old)?;
                volume.rename(part, target)?;
            }
            // A rename would replace; a second name is refused if there is a first.
            None => match volume.link(part, target) {
                Ok(()) => volume.remove_file(part)?,
                Err(error) if is(&error, Errno::EEXIST) => return Err(exists(&self.uri())),
                // A file system without hard links.
                Err(error) if is(&error, Errno::EPERM) || is(&error, Errno::EOPNOTSUPP) => {
                    if volume.exists(target)? {
                        return Err(exists(&self.uri()));
                    }
                    volume.rename(part, target)?;
                }
                Err(error) => return Err(error.into()),
            },
        }
        let _ = volume.remove_file(journal_of(target));
        Ok(())
    }

    /// Ends a copy that failed. With `copied` (bytes and total) the part stays if a later run can
    /// succeed; else nothing is left.
    pub(crate) fn abandon(self, failure: Failure, copied: Option<(u64, u64)>) -> Failure {
        let failure = failure.naming(&self.path, &self.uri());
        if let Some((bytes, total)) = copied
            && failure.is_transient()
            && (bytes > 0 || !failure.is_interrupted() || self.is_resumed)
        {
            let part = self.new.uri_of(&self.path);
            return failure.about(&self.uri()).with_part(Copied { bytes, total, part });
        }
        let Self { new, path, made, file, is_resumed, gfid } = self;
        let volume = new.volume;
        let _ = file.close();
        let is_ours = || volume.lstat(&path).is_ok_and(|found| found.gfid() == gfid);
        if is_resumed || !is_ours() {
            return failure.about(&new.uri());
        }
        let _ = volume.remove_file(&path);
        let _ = volume.remove_file(journal_of(&new.path));
        remove_directories(volume, &made);
        let failure = failure.about(&new.uri());
        match failure.is_interrupted() {
            true => failure.and_say("nothing of the copy is left"),
            false => failure,
        }
    }
}

/// Replaces what is after `at` bytes of a journal by `bytes`, durably.
fn change_journal(file: File, at: u64, bytes: &[u8]) -> Result<(), Failure> {
    file.set_len(at)?;
    file.write_all_at(bytes, at)?;
    file.flush()?;
    Ok(file.close()?)
}

/// A file that replaces another one has its mode, and its owner where that may be set.
fn keep_owner_and_mode(volume: &Volume, part: &Path, old: &Metadata) -> Result<(), Failure> {
    let (uid, gid) = (old.iatt().uid, old.iatt().gid);
    let owner = SetAttributes { uid: Some(uid), gid: Some(gid), ..SetAttributes::default() };
    match volume.set_attributes(part, owner) {
        Ok(_) => {}
        Err(error) if is(&error, Errno::EPERM) => {}
        Err(error) => return Err(error.into()),
    }
    let mode = SetAttributes { mode: Some(old.permissions()), ..SetAttributes::default() };
    volume.set_attributes(part, mode)?;
    Ok(())
}
