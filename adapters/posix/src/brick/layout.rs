//! Preparing a directory to be served as a brick (docs/spec/40-brick-server.md, "On-disk layout of
//! a brick").

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::sync::OnceLock;

use brickwire_core::xdr::Gfid;
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, XattrFlags};
use rustix::io::Errno as Os;

use super::fsync::names_follow;
use super::handles::handle_path;
use super::{Brick, XattrNamespace, files::OpenFiles, glusterfsd_guard, inodes::Inodes};
use crate::BrickError;

/// Options of a brick.
#[derive(Clone, Debug, Default)]
pub struct BrickOptions {
    /// Volume id. A directory that belongs to another volume is refused.
    pub volume_id: Gfid,
    /// Owner of the volume's root (`storage.owner-uid`, `storage.owner-gid`).
    pub owner: (Option<u32>, Option<u32>),
    /// Namespace of the brick's own xattrs. A directory that uses the other one is refused.
    pub xattrs: XattrNamespace,
    /// Number of bricks on the same file system; STATFS divides its size by it.
    pub shared_by: u32,
    /// Show the file system's times and store no others (`features.ctime off`).
    pub disk_times: bool,
    /// The brick is one of a replica set: only clients may choose gfids.
    pub replicated: bool,
}

/// Claims the directory for as long as the returned descriptor is open. A second server would not
/// know the locks and open files of the first.
fn claimed(path: &Path, root: &OwnedFd) -> Result<OwnedFd, BrickError> {
    let failed =
        |error: Os| BrickError::Io { what: "lock it", path: path.to_owned(), error: error.into() };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let lock = rustix::fs::openat(root, ".", flags, Mode::empty()).map_err(failed)?;
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Os::AGAIN) => {
            return Err(BrickError::Served {
                path: path.to_owned(),
                by: "another brickwire".into(),
            });
        }
        // The file system has no such locks.
        Err(Os::NOLCK | Os::OPNOTSUPP | Os::NOSYS) => {}
        Err(error) => return Err(failed(error)),
    }
    match glusterfsd_guard::glusterfsd_of(path) {
        Some(pid) => Err(BrickError::Served {
            path: path.to_owned(),
            by: format!("glusterfsd (process {pid})"),
        }),
        None => Ok(lock),
    }
}

pub(super) const VOLUME_ID: &[u8] = b"trusted.glusterfs.volume-id";

pub(super) fn id_in(namespace: XattrNamespace, path: &Path, key: &[u8]) -> Option<Gfid> {
    let mut id = [0; 16];
    let len = namespace.get(path, key, &mut id).ok()?;
    (len == 16).then_some(Gfid(id))
}

impl Brick {
    /// Opens a directory as a brick; missing parts of the layout are made.
    pub fn open(path: &Path, options: BrickOptions) -> Result<Self, BrickError> {
        let failed = |what: &'static str| {
            let path = path.to_owned();
            move |error: Os| BrickError::Io { what, path, error: error.into() }
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(path, flags, Mode::empty()).map_err(failed("open it"))?;
        let lock = claimed(path, &root)?;
        let names_follow = names_follow(&root).map_err(failed("ask for its file system"))?;
        let brick = Self {
            root,
            files: OpenFiles::default(),
            deep: Default::default(),
            removed: Default::default(),
            inodes: Inodes::default(),
            names: std::array::from_fn(|_| Default::default()),
            attrs: std::array::from_fn(|_| Default::default()),
            options,
            intent_log: OnceLock::new(),
            write_throttle: Default::default(),
            time_writer: Default::default(),
            names_follow,
            _lock: lock,
        };
        brick.claim(path)?;
        brick.make_layout().map_err(failed("make .glusterfs in it"))?;
        brick.empty_unlink().map_err(failed("empty .glusterfs/unlink"))?;
        brick.replay_intents().map_err(failed("put .glusterfs/brickwire in it in order"))?;
        brick.empty_landfill();
        let (uid, gid) = brick.options.owner;
        if uid.is_some() || gid.is_some() {
            let (uid, gid) =
                (uid.map(rustix::fs::Uid::from_raw), gid.map(rustix::fs::Gid::from_raw));
            rustix::fs::chownat(&brick.root, "", uid, gid, AtFlags::EMPTY_PATH)
                .map_err(failed("set its owner"))?;
        }
        Ok(brick)
    }

    /// Id of the volume that a directory is a brick of, if it is one.
    pub fn volume_id_of(path: &Path) -> Option<Gfid> {
        [XattrNamespace::Trusted, XattrNamespace::User]
            .into_iter()
            .find_map(|namespace| id_in(namespace, path, VOLUME_ID))
    }

    /// The namespace for attributes in a directory: the one that it has, or the one that this
    /// process may set there.
    pub fn xattr_namespace_of(path: &Path) -> XattrNamespace {
        if let Some(namespace) = [XattrNamespace::Trusted, XattrNamespace::User]
            .into_iter()
            .find(|namespace| id_in(*namespace, path, VOLUME_ID).is_some())
        {
            return namespace;
        }
        const PROBE: &str = "trusted.brickwire.probe";
        match rustix::fs::setxattr(path, PROBE, b"", XattrFlags::empty()) {
            Err(Os::PERM) => XattrNamespace::User,
            // Other errors do not depend on the namespace.
            Err(_) => XattrNamespace::Trusted,
            Ok(()) => {
                let _ = rustix::fs::removexattr(path, PROBE);
                XattrNamespace::Trusted
            }
        }
    }

    fn claim(&self, path: &Path) -> Result<(), BrickError> {
        let wanted = self.options.volume_id;
        let other = match self.namespace() {
            XattrNamespace::Trusted => XattrNamespace::User,
            XattrNamespace::User => XattrNamespace::Trusted,
        };
        if id_in(other, path, VOLUME_ID).is_some() {
            return Err(BrickError::OtherSpace { path: path.to_owned(), is: other });
        }
        match id_in(self.namespace(), path, VOLUME_ID) {
            Some(is) if is != wanted => {
                return Err(BrickError::OtherVolume { path: path.to_owned(), is, wanted });
            }
            Some(_) => {}
            None => self.set_root(path, VOLUME_ID, &wanted.0)?,
        }
        self.unmark(path);
        self.set_root(path, super::stat::GFID, &Gfid::ROOT.0)
    }

    fn set_root(&self, path: &Path, key: &[u8], value: &[u8; 16]) -> Result<(), BrickError> {
        let mut there = [0; 16];
        if self.namespace().get(path, key, &mut there) == Ok(16) && there == *value {
            return Ok(());
        }
        self.namespace()
            .set(path, key, value, XattrFlags::empty())
            .map_err(|error| BrickError::NoXattrs { path: path.to_owned(), error: error.into() })
    }

    fn make_layout(&self) -> Result<(), Os> {
        let make = |path: &str, mode| {
            let mode = self.namespace().mode(mode);
            match rustix::fs::mkdirat(&self.root, path, Mode::from_raw_mode(mode)) {
                Ok(()) => rustix::fs::chmodat(
                    &self.root,
                    path,
                    Mode::from_raw_mode(mode),
                    AtFlags::empty(),
                ),
                Err(Os::EXIST) => Ok(()),
                Err(error) => Err(error),
            }
        };
        make(".glusterfs", 0o600)?;
        for first in 0..=255_u8 {
            make(&format!(".glusterfs/{first:02x}"), 0o700)?;
        }
        make(".glusterfs/00/00", 0o700)?;
        make(".glusterfs/unlink", 0o600)?;
        make(".glusterfs/landfill", 0o755)?;
        make(".glusterfs/indices", 0o600)?;
        for index in ["xattrop", "dirty", "entry-changes"] {
            make(&format!(".glusterfs/indices/{index}"), 0o600)?;
        }
        // Unused here; glusterfsd makes them too.
        for changelogs in ["changelogs", "changelogs/htime", "changelogs/csnap"] {
            make(&format!(".glusterfs/{changelogs}"), 0o600)?;
        }
        match rustix::fs::symlinkat("../../..", &self.root, handle_path(&Gfid::ROOT)) {
            Ok(()) | Err(Os::EXIST) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// These files were open in a process that is gone.
    fn empty_unlink(&self) -> Result<(), Os> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(self.root.as_fd(), ".glusterfs/unlink", flags, Mode::empty())?;
        for entry in rustix::fs::Dir::read_from(&fd)? {
            let entry = entry?;
            if Gfid::parse(entry.file_name().to_bytes()).is_some() {
                rustix::fs::unlinkat(&fd, entry.file_name(), AtFlags::empty())?;
            }
        }
        Ok(())
    }
}
