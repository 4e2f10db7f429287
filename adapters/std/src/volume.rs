//! A volume, and its operations by path.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use brickwire_core::FileId;
use brickwire_core::uri::Uri;
use brickwire_core::volume::{ConnectionPhase, Op, SetAttributes};
use brickwire_core::xdr::Errno;

use crate::config::config;
use crate::engine::{Engine, Lent, Owned};
use crate::read_dir::ReadDir;
use crate::shared::{STOP, Shared};
use crate::{
    DirEntry, Error, ErrorKind, File, Metadata, OpenOptions, Options, Result, Statfs, Status,
};

/// Interval of polling for states that wake no thread.
const LOOK: Duration = Duration::from_millis(10);

/// A volume. Clones share one client; dropping the last one closes its connections.
///
/// Paths start at the volume's root, with or without a leading slash. Names are bytes and need not
/// be UTF-8.
///
/// A forked child process must not use it or files opened from it: the connections belong to the
/// parent. Dropping it in the child does nothing.
#[derive(Clone)]
pub struct Volume {
    pub(crate) shared: Arc<Shared>,
}

impl std::fmt::Debug for Volume {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Volume").field("name", &self.shared.name).finish_non_exhaustive()
    }
}

impl Volume {
    /// Opens the volume of a URI and waits until it can be used. A path in the URI is ignored.
    pub fn open(uri: &str) -> Result<Self> {
        Self::open_with(uri, &Options::new())
    }

    /// As [`Volume::open`], with options.
    pub fn open_with(uri: &str, options: &Options) -> Result<Self> {
        let volume = Self::connect(uri, options)?;
        volume.shared.engine.call(Op::Start, Lent::NONE)?;
        volume.shared.drive_if_locks_are_kept()?;
        Ok(volume)
    }

    /// Begins to connect and returns at once. Operations wait until the volume can be used.
    pub fn connect(uri: &str, options: &Options) -> Result<Self> {
        let parsed = Uri::parse(uri).map_err(|error| Error::uri(uri, &error))?;
        let epoch = Instant::now();
        let config = config(uri, &parsed, options)?;
        let name = config.volume.to_string();
        let engine = Arc::new(Engine::new(config, options, epoch)?);
        let shared = Arc::new(Shared { engine, name, driven: Arc::new(AtomicBool::new(false)) });
        if options.background {
            shared.drive_in_background()?;
        }
        Ok(Self { shared })
    }

    /// The volume's name.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// The volfile as the server sent it. Waits for it, but not for the bricks.
    pub fn volfile(&self) -> Result<String> {
        let engine = &self.shared.engine;
        // Op::Start waits for the volume: the volfile is fetched on the way, or its error is the
        // reason why not.
        let ticket = engine.peek(|state| state.new_ticket());
        let id = engine.submit(Op::Start, Lent::NONE, crate::engine::Target::Caller(ticket))?;
        let mut over = false;
        // The arrival of a volfile wakes no thread: while another thread drives, poll for it.
        let found = loop {
            let found = engine.drive(
                crate::engine::Waits::Ticket(ticket),
                Some(Instant::now() + LOOK),
                |state| {
                    let text = state.volume.volfile();
                    if !text.is_empty() {
                        return Some(Ok(String::from_utf8_lossy(text).into_owned()));
                    }
                    let outcome = state.take_outcome(ticket)?;
                    over = true;
                    Some(outcome.map(|_| String::new()))
                },
            )?;
            if let Some(found) = found {
                break found;
            }
        };
        if !over {
            engine.give_up(id, ticket);
        }
        found
    }

    /// The state of the volume's connections.
    pub fn status(&self) -> Status {
        self.shared.engine.with(|state| Status::of(&state.volume, state.now()))
    }

    /// Waits until each connection to a brick is up or has failed, for at most `bound`.
    pub fn settle(&self, bound: Duration) {
        let end = Instant::now() + bound;
        let wanted = |state: &mut crate::engine::State| {
            let volume = &state.volume;
            let busy = volume.bricks().any(|brick| {
                matches!(brick.phase, ConnectionPhase::Idle | ConnectionPhase::Connecting)
            });
            (!busy || Instant::now() >= end).then_some(())
        };
        while Instant::now() < end {
            let look = end.min(Instant::now() + LOOK);
            if !matches!(
                self.shared.engine.drive(crate::engine::Waits::Other, Some(look), wanted),
                Ok(None)
            ) {
                break;
            }
        }
    }

    fn call(&self, op: Op<'_>, path: &Path) -> Result<Owned> {
        let answer = self.shared.engine.call(op, Lent::NONE);
        // Also for a volume that was not waited for when it was opened.
        self.shared.drive_if_locks_are_kept()?;
        answer.map(|(_, owned)| owned).map_err(|error| error.about(path))
    }

    fn call_stat(&self, op: Op<'_>, path: &Path) -> Result<Metadata> {
        match self.call(op, path)? {
            Owned::Stat(stat) => Ok(Metadata::new(*stat)),
            _ => Err(lacks(path, "attributes")),
        }
    }

    fn call_open(&self, op: Op<'_>, path: &Path) -> Result<(FileId, Metadata)> {
        match self.call(op, path)? {
            Owned::Opened { file, stat, .. } => Ok((file, Metadata::new(*stat))),
            _ => Err(lacks(path, "file")),
        }
    }

    /// Attributes of the object at a path. Symlinks are followed.
    pub fn stat(&self, path: impl AsRef<Path>) -> Result<Metadata> {
        let path = path.as_ref();
        self.call_stat(Op::Stat { path: bytes(path), follow: true }, path)
    }

    /// As [`Volume::stat`], without following a symlink at the end of the path.
    pub fn lstat(&self, path: impl AsRef<Path>) -> Result<Metadata> {
        let path = path.as_ref();
        self.call_stat(Op::Stat { path: bytes(path), follow: false }, path)
    }

    /// Whether there is an object at this path. Symlinks are followed.
    pub fn exists(&self, path: impl AsRef<Path>) -> Result<bool> {
        let path = path.as_ref();
        match self.stat(path) {
            Ok(_) => Ok(true),
            Err(error) if error.is(Errno::ENOENT) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Opens a file.
    pub fn open_file(&self, path: impl AsRef<Path>, options: &OpenOptions) -> Result<File> {
        let path = path.as_ref();
        let op =
            Op::Open { path: bytes(path), flags: options.flags(), mode: options.permissions() };
        let (file, _) = self.call_open(op, path)?;
        Ok(File::new(self.shared.clone(), file, path))
    }

    /// Lists a directory, without `.` and `..`, in the brick's order.
    pub fn read_dir(&self, path: impl AsRef<Path>) -> Result<ReadDir> {
        let path = path.as_ref();
        let (dir, _) = self.call_open(Op::OpenDir { path: bytes(path) }, path)?;
        let page = Vec::new().into_iter();
        Ok(ReadDir {
            shared: self.shared.clone(),
            dir,
            path: path.to_owned(),
            page,
            cookie: Some(0),
        })
    }

    /// Creates a directory.
    pub fn create_dir(&self, path: impl AsRef<Path>, mode: u32) -> Result<()> {
        let path = path.as_ref();
        self.call(Op::Mkdir { path: bytes(path), mode }, path).map(drop)
    }

    /// Creates a directory and its missing parents.
    pub fn create_dir_all(&self, path: impl AsRef<Path>, mode: u32) -> Result<()> {
        let path = bytes(path.as_ref());
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        for end in slashes.chain([path.len()]) {
            let part = &path[..end];
            if part.iter().all(|byte| *byte == b'/') {
                continue;
            }
            let part = Path::new(OsStr::from_bytes(part));
            match self.create_dir(part, mode) {
                Err(error) if error.is(Errno::EEXIST) && self.stat(part)?.is_dir() => {}
                Err(error) => return Err(error),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    /// Removes an empty directory.
    pub fn remove_dir(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        self.call(Op::Rmdir { path: bytes(path) }, path).map(drop)
    }

    /// Removes a directory with its contents. Symlinks are removed, not followed.
    pub fn remove_dir_all(&self, path: impl AsRef<Path>) -> Result<()> {
        // Depth first, with a list instead of recursion: the tree may be deeper than the stack
        // allows.
        let mut pending = vec![(path.as_ref().to_owned(), false)];
        while let Some((dir, listed)) = pending.pop() {
            if listed {
                self.remove_dir(&dir)?;
                continue;
            }
            pending.push((dir.clone(), true));
            let entries: Vec<DirEntry> = self.read_dir(&dir)?.collect::<Result<_>>()?;
            for entry in entries {
                let path = dir.join(entry.file_name());
                let is_dir = match entry.metadata().file_type() {
                    Some(_) => entry.metadata().is_dir(),
                    None => self.lstat(&path)?.is_dir(),
                };
                if is_dir {
                    pending.push((path, false));
                } else {
                    self.remove_file(&path)?;
                }
            }
        }
        Ok(())
    }

    /// Removes a file or a symlink.
    pub fn remove_file(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        self.call(Op::Unlink { path: bytes(path) }, path).map(drop)
    }

    /// Renames an object. An existing object at `to` is replaced.
    pub fn rename(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
        let from = from.as_ref();
        let to = to.as_ref();
        self.call(Op::Rename { from: bytes(from), to: bytes(to) }, from).map(drop)
    }

    /// Creates a hard link `to` to the file `from`.
    pub fn link(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
        let from = from.as_ref();
        let to = to.as_ref();
        self.call(Op::Link { from: bytes(from), to: bytes(to) }, to).map(drop)
    }

    /// Creates a symlink at `path` with the target `target`.
    pub fn symlink(&self, target: impl AsRef<Path>, path: impl AsRef<Path>) -> Result<()> {
        let target = target.as_ref();
        let path = path.as_ref();
        self.call(Op::Symlink { target: bytes(target), path: bytes(path) }, path).map(drop)
    }

    /// The target of a symlink.
    pub fn read_link(&self, path: impl AsRef<Path>) -> Result<PathBuf> {
        let path = path.as_ref();
        match self.call(Op::Readlink { path: bytes(path) }, path)? {
            Owned::Bytes(target) => Ok(OsString::from_vec(target).into()),
            _ => Err(lacks(path, "target")),
        }
    }

    /// Sets the size of a file in bytes.
    pub fn set_len(&self, path: impl AsRef<Path>, size: u64) -> Result<()> {
        let path = path.as_ref();
        self.call(Op::TruncatePath { path: bytes(path), size }, path).map(drop)
    }

    /// Changes attributes and returns the new ones.
    pub fn set_attributes(&self, path: impl AsRef<Path>, set: SetAttributes) -> Result<Metadata> {
        let path = path.as_ref();
        self.call_stat(Op::SetAttributes { path: bytes(path), set }, path)
    }

    /// Space and inodes of the volume.
    pub fn statfs(&self) -> Result<Statfs> {
        match self.call(Op::Statfs, Path::new(self.name()))? {
            Owned::Statfs(statfs) => Ok(Statfs::new(&statfs)),
            _ => Err(Error::new(ErrorKind::System, "the answer has no numbers")),
        }
    }

    /// The value of an extended attribute; `None` if it does not exist.
    pub fn xattr(
        &self,
        path: impl AsRef<Path>,
        name: impl AsRef<OsStr>,
    ) -> Result<Option<Vec<u8>>> {
        let path = path.as_ref();
        let name = name.as_ref();
        match self.call(Op::GetXattr { path: bytes(path), name: name.as_bytes() }, path) {
            Ok(Owned::Xattrs(pairs)) => Ok(pairs
                .into_iter()
                .find(|(key, _)| key == name.as_bytes())
                .map(|(_, value)| value)),
            Ok(_) => Ok(None),
            Err(error) if error.is(Errno::ENODATA) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The names of all extended attributes.
    pub fn list_xattrs(&self, path: impl AsRef<Path>) -> Result<Vec<OsString>> {
        let path = path.as_ref();
        match self.call(Op::ListXattr { path: bytes(path) }, path)? {
            Owned::Xattrs(pairs) => {
                Ok(pairs.into_iter().map(|(key, _)| OsString::from_vec(key)).collect())
            }
            _ => Ok(Vec::new()),
        }
    }

    /// Sets an extended attribute.
    pub fn set_xattr(
        &self,
        path: impl AsRef<Path>,
        name: impl AsRef<OsStr>,
        value: &[u8],
    ) -> Result<()> {
        let path = path.as_ref();
        let name = name.as_ref();
        let len = u32::try_from(value.len())
            .map_err(|_| Error::new(ErrorKind::Invalid, "value too long"))?;
        let op = Op::SetXattr { path: bytes(path), name: name.as_bytes(), len, flags: 0 };
        self.shared
            .engine
            .call(op, Lent::readable(value))
            .map(drop)
            .map_err(|error| error.about(path))
    }

    /// Removes an extended attribute.
    pub fn remove_xattr(&self, path: impl AsRef<Path>, name: impl AsRef<OsStr>) -> Result<()> {
        let path = path.as_ref();
        let name = name.as_ref();
        self.call(Op::RemoveXattr { path: bytes(path), name: name.as_bytes() }, path).map(drop)
    }

    /// Closes the connections of this volume and its clones. Dropping the last clone does the same.
    pub fn close(self) {
        self.shared.engine.stop(STOP);
    }
}

/// The bytes of a path, as the core takes them.
fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

fn lacks(path: &Path, what: &str) -> Error {
    Error::new(ErrorKind::System, format!("{}: the answer has no {what}", path.display()))
}
