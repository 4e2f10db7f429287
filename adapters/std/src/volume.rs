//! A volume, and everything that is done by path.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use brickwire_core::FileId;
use brickwire_core::uri::Uri;
use brickwire_core::volume::{ConnectionPhase, Op, SetAttributes};
use brickwire_core::xdr::Errno;

use crate::config::config;
use crate::engine::{Engine, Lent, Outcome, Owned, Target};
use crate::pending::{Pending, Promise};
use crate::{
    DirEntry, Error, ErrorKind, File, Metadata, OpenOptions, Options, Result, Statfs, Status,
};

/// How long the end of a volume may take. It takes milliseconds; this is for a loop that cannot go on.
const STOP: Duration = Duration::from_secs(1);
/// How often somebody looks for what nobody is told of.
const LOOK: Duration = Duration::from_millis(10);

/// A volume. Clones share one client; the last one that goes closes its connections.
///
/// Paths are from the volume's root, whether they begin with a slash or not. Their names are bytes: one that is not UTF-8 is an
/// `OsStr` of them.
///
/// A child process that was forked must not use it, or what was opened from it: the connections are the parent's. Dropping it
/// there does nothing.
#[derive(Clone)]
pub struct Volume {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) engine: Arc<Engine>,
    name: String,
    /// Whether the thread that drives the loop on behalf of futures and callbacks has been started.
    driven: AtomicBool,
}

impl Shared {
    /// Starts the thread that drives the loop whenever no caller does, unless it has been started.
    ///
    /// Futures and callbacks need it: their owner may never call anything that drives.
    pub(crate) fn drive_in_background(&self) -> Result<()> {
        if self.driven.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let engine = self.engine.clone();
        let thread = std::thread::Builder::new().name("brickwire".into());
        match thread.spawn(move || engine.lead_in_background()) {
            Ok(_) => Ok(()),
            Err(error) => {
                self.driven.store(false, Ordering::Release);
                Err(Error::io("cannot start the thread that drives the volume", &error))
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn is_driven(&self) -> bool {
        self.driven.load(Ordering::Acquire)
    }

    /// Submits an operation that is waited for later; `make` turns its count and buffer into the result.
    pub(crate) fn begin<T: Send + 'static>(
        self: &Arc<Self>,
        op: Op<'_>,
        lent: Lent,
        buffer: Vec<u8>,
        make: impl FnOnce(u32, Vec<u8>) -> T + Send + 'static,
    ) -> Pending<T> {
        let (promise, pending) = Promise::new(self.clone());
        let keep = promise.clone();
        let call = Box::new(move |outcome: Outcome, buffer| {
            promise.keep(outcome.map(|(count, _)| make(count, buffer)));
        });
        if let Err(error) = self.engine.submit(op, lent, Target::Callback { buffer, call }) {
            keep.keep(Err(error));
        }
        pending
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.engine.stop(STOP);
    }
}

impl std::fmt::Debug for Volume {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Volume").field("name", &self.shared.name).finish_non_exhaustive()
    }
}

impl Volume {
    /// Opens the volume of a URI (a path in it is ignored) and waits until it can be used.
    pub fn open(uri: &str) -> Result<Self> {
        Self::open_with(uri, &Options::new())
    }

    /// The same, with options.
    pub fn open_with(uri: &str, options: &Options) -> Result<Self> {
        let volume = Self::connect(uri, options)?;
        volume.shared.engine.call(Op::Start, Lent::NONE)?;
        Ok(volume)
    }

    /// Begins to connect, and waits for nothing: operations wait for the volume by themselves.
    pub fn connect(uri: &str, options: &Options) -> Result<Self> {
        let parsed = Uri::parse(uri).map_err(|error| Error::uri(uri, &error))?;
        let epoch = Instant::now();
        let config = config(uri, &parsed, options)?;
        let name = config.volume.to_string();
        let engine = Arc::new(Engine::new(config, options, epoch)?);
        let shared = Arc::new(Shared { engine, name, driven: AtomicBool::new(false) });
        if options.background {
            shared.drive_in_background()?;
        }
        Ok(Self { shared })
    }

    /// The volume's name.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// The volfile, as glusterd gave it. Waits for it; not for the bricks.
    pub fn volfile(&self) -> Result<String> {
        let engine = &self.shared.engine;
        // An operation that waits for the volume: the volfile comes on the way, or the reason why it does not.
        let ticket = engine.peek(|state| state.new_ticket());
        let id = engine.submit(Op::Start, Lent::NONE, crate::engine::Target::Caller(ticket))?;
        let mut over = false;
        // Nobody is told of a volfile: while somebody else drives, look now and then.
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

    /// The state of its connections.
    pub fn status(&self) -> Status {
        self.shared.engine.with(|state| Status::of(&state.volume, state.now()))
    }

    /// Waits until every connection to its bricks is up, or is known not to come, for at most `bound`.
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
        self.shared
            .engine
            .call(op, Lent::NONE)
            .map(|(_, owned)| owned)
            .map_err(|error| error.about(path))
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

    /// Attributes of what a path leads to; symlinks are followed.
    pub fn stat(&self, path: impl AsRef<Path>) -> Result<Metadata> {
        let path = path.as_ref();
        self.call_stat(Op::Stat { path: bytes(path), follow: true }, path)
    }

    /// The same, of a symlink itself.
    pub fn lstat(&self, path: impl AsRef<Path>) -> Result<Metadata> {
        let path = path.as_ref();
        self.call_stat(Op::Stat { path: bytes(path), follow: false }, path)
    }

    /// Is there something at this path?
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

    /// The entries of a directory, without `.` and `..`, in the brick's order.
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

    /// Makes a directory.
    pub fn create_dir(&self, path: impl AsRef<Path>, mode: u32) -> Result<()> {
        let path = path.as_ref();
        self.call(Op::Mkdir { path: bytes(path), mode }, path).map(drop)
    }

    /// Makes a directory and those above it that are missing.
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

    /// Removes a directory and all that is in it. Symlinks are removed, not followed.
    pub fn remove_dir_all(&self, path: impl AsRef<Path>) -> Result<()> {
        // Depth first, with a list instead of recursion: a tree may be deeper than a stack.
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

    /// Removes a file, or a symlink.
    pub fn remove_file(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        self.call(Op::Unlink { path: bytes(path) }, path).map(drop)
    }

    /// Renames; what the new name named is replaced.
    pub fn rename(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
        let from = from.as_ref();
        let to = to.as_ref();
        self.call(Op::Rename { from: bytes(from), to: bytes(to) }, from).map(drop)
    }

    /// Makes a further name for a file.
    pub fn link(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
        let from = from.as_ref();
        let to = to.as_ref();
        self.call(Op::Link { from: bytes(from), to: bytes(to) }, to).map(drop)
    }

    /// Makes a symbolic link at `path` that says `target`.
    pub fn symlink(&self, target: impl AsRef<Path>, path: impl AsRef<Path>) -> Result<()> {
        let target = target.as_ref();
        let path = path.as_ref();
        self.call(Op::Symlink { target: bytes(target), path: bytes(path) }, path).map(drop)
    }

    /// What a symbolic link says.
    pub fn read_link(&self, path: impl AsRef<Path>) -> Result<PathBuf> {
        let path = path.as_ref();
        match self.call(Op::Readlink { path: bytes(path) }, path)? {
            Owned::Bytes(target) => Ok(OsString::from_vec(target).into()),
            _ => Err(lacks(path, "target")),
        }
    }

    /// Sets the size of a file.
    pub fn set_len(&self, path: impl AsRef<Path>, size: u64) -> Result<()> {
        let path = path.as_ref();
        self.call(Op::TruncatePath { path: bytes(path), size }, path).map(drop)
    }

    /// Changes attributes; says what they are then.
    pub fn set_attributes(&self, path: impl AsRef<Path>, set: SetAttributes) -> Result<Metadata> {
        let path = path.as_ref();
        self.call_stat(Op::SetAttributes { path: bytes(path), set }, path)
    }

    /// Space and inodes.
    pub fn statfs(&self) -> Result<Statfs> {
        match self.call(Op::Statfs, Path::new(self.name()))? {
            Owned::Statfs(statfs) => Ok(Statfs::new(&statfs)),
            _ => Err(Error::new(ErrorKind::System, "the answer has no numbers")),
        }
    }

    /// An extended attribute; `None` if there is none of that name.
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

    /// Closes its connections now, whatever other clones do. Dropping the last clone does the same.
    pub fn close(self) {
        self.shared.engine.stop(STOP);
    }
}

/// Iterates over a directory.
pub struct ReadDir {
    shared: Arc<Shared>,
    dir: FileId,
    path: PathBuf,
    page: std::vec::IntoIter<DirEntry>,
    /// Where the next page begins; `None` behind the last.
    cookie: Option<u64>,
}

impl std::fmt::Debug for ReadDir {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReadDir").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Iterator for ReadDir {
    type Item = Result<DirEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.page.next() {
                return Some(Ok(entry));
            }
            let cookie = self.cookie.take()?;
            match self.shared.engine.call(Op::ReadDir { dir: self.dir, cookie }, Lent::NONE) {
                Ok((_, Owned::Entries { entries, next, last })) => {
                    // A page without entries that is not the last one would come again for ever.
                    self.cookie = next.filter(|_| !last);
                    self.page = entries.into_iter();
                }
                Ok(_) => return None,
                Err(error) => return Some(Err(error.about(&self.path))),
            }
        }
    }
}

impl Drop for ReadDir {
    fn drop(&mut self) {
        // Nobody waits: a brick that does not answer must not hold whoever is through with it.
        self.shared.engine.forget(Op::Close { file: self.dir });
    }
}

/// A path as the core takes it: names are bytes.
fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

fn lacks(path: &Path, what: &str) -> Error {
    Error::new(ErrorKind::System, format!("{}: the answer has no {what}", path.display()))
}
