//! The brick of images: its table of open files, and the dispatch of fops.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use brickwire_core::fop::OpenFlags;
use brickwire_core::fop::wire::Request;
use brickwire_core::rpc::Cred;
use brickwire_core::server::{Call, HandleId, Target};
use brickwire_core::xdr::{Errno, Gfid, Iatt};
use brickwire_server::reply::Out;
use brickwire_server::{Backend, ReadOutcome, WriteOutcome, permission};

use crate::image::{Image, gfid_of};
use crate::{ImageError, ImageSpec};

/// Options of a volume of images.
#[derive(Clone, Debug, Default)]
pub struct ImagesOptions {
    /// Volume id; the images' gfids are derived from it.
    pub volume_id: Gfid,
    /// Uid and gid that the images show instead of those of the devices and files
    /// (`storage.owner-uid`, `storage.owner-gid`).
    pub owner: (Option<u32>, Option<u32>),
}

/// A brick whose root directory lists devices and files.
#[derive(Debug)]
pub struct Images {
    pub(crate) images: Vec<Arc<Image>>,
    open: RwLock<HashMap<HandleId, Opened>>,
    owner: (u32, u32),
    since: (i64, u32),
    /// Xattrs that clients' translators have set on the root directory.
    pub(crate) notes: Mutex<HashMap<Vec<u8>, Vec<u8>>>,
}

/// Object behind a client's open fd.
#[derive(Clone, Debug)]
pub(crate) enum Opened {
    Image(Arc<Image>, OpenFlags),
    Root,
}

/// Object that a fop is applied to.
#[derive(Clone, Debug)]
pub(crate) enum Object {
    Root,
    Image(Arc<Image>),
}

pub(crate) type Result<T, E = Errno> = std::result::Result<T, E>;

/// The operating system's errno as a wire errno: both use Linux's numbers.
pub(crate) fn errno(error: rustix::io::Errno) -> Errno {
    Errno::from_wire(error.raw_os_error())
}

impl Images {
    /// Opens all images, each exclusively for this process. Fails on the first that cannot be
    /// opened and on a name that occurs twice.
    pub fn open(specs: &[ImageSpec], options: &ImagesOptions) -> Result<Self, ImageError> {
        let mut images: Vec<Arc<Image>> = Vec::new();
        for spec in specs {
            if images.iter().any(|image| image.name == spec.name) {
                return Err(ImageError::Name { name: spec.name.clone() });
            }
            images.push(Arc::new(Image::open(spec, options)?));
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (uid, gid) = options.owner;
        Ok(Self {
            images,
            open: RwLock::default(),
            owner: (uid.unwrap_or(0), gid.unwrap_or(0)),
            since: (now.as_secs() as i64, now.subsec_nanos()),
            notes: Mutex::default(),
        })
    }

    /// Volume id for a volume that has no place to store one: a hash of its name, so that its
    /// images have the same gfids after a restart.
    pub fn volume_id(name: &str) -> Gfid {
        gfid_of(&Gfid::NONE, name)
    }

    /// Attributes of the root directory.
    pub(crate) fn root(&self) -> Iatt {
        let (seconds, nanos) = self.since;
        Iatt {
            gfid: Gfid::ROOT,
            flags: Iatt::ALL,
            ino: 1,
            size: 4096,
            blocks: 8,
            nlink: 2,
            uid: self.owner.0,
            gid: self.owner.1,
            blksize: 4096,
            mode: 0o040_755,
            atime: seconds,
            atime_nsec: nanos,
            mtime: seconds,
            mtime_nsec: nanos,
            ctime: seconds,
            ctime_nsec: nanos,
            ..Iatt::default()
        }
    }

    /// Finds the object of a gfid; ESTALE if there is none.
    pub(crate) fn object(&self, gfid: &Gfid) -> Result<Object> {
        if *gfid == Gfid::ROOT {
            return Ok(Object::Root);
        }
        let image = self.images.iter().find(|image| image.gfid == *gfid);
        image.map(|image| Object::Image(Arc::clone(image))).ok_or(Errno::ESTALE)
    }

    /// Finds the object of a fop by its fd or, if it has none, by its gfid.
    pub(crate) fn about(&self, target: Target, gfid: Gfid) -> Result<Object> {
        match target {
            Target::Open(handle) => match self.opened(handle)? {
                Opened::Image(image, _) => Ok(Object::Image(image)),
                Opened::Root => Ok(Object::Root),
            },
            Target::Gfid => self.object(&gfid),
        }
    }

    pub(crate) fn opened(&self, handle: HandleId) -> Result<Opened> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.get(&handle).cloned().ok_or(Errno::EBADF)
    }

    pub(crate) fn keep(&self, call: &Call<'_>, opened: Opened) -> Result<i64> {
        let handle = call.opens.ok_or(Errno::EINVAL)?;
        self.open.write().unwrap_or_else(PoisonError::into_inner).insert(handle, opened);
        Ok(handle.wire())
    }

    /// Finds the image that a fop reads or changes, and the flags it was opened with.
    pub(crate) fn image(
        &self,
        call: &Call<'_>,
        gfid: Gfid,
        write: bool,
    ) -> Result<(Arc<Image>, OpenFlags)> {
        let (image, flags) = match call.target {
            Target::Open(handle) => match self.opened(handle)? {
                Opened::Image(image, flags) => (image, flags),
                Opened::Root => return Err(Errno::EISDIR),
            },
            Target::Gfid => match self.object(&gfid)? {
                Object::Image(image) => {
                    check(
                        &image,
                        &call.cred,
                        if write { permission::WRITE } else { permission::READ },
                    )?;
                    (image, OpenFlags::READ_WRITE)
                }
                Object::Root => return Err(Errno::EISDIR),
            },
        };
        if write && !flags.writes() {
            return Err(Errno::EBADF);
        }
        if write {
            image.writable()?;
        }
        Ok((image, flags))
    }

    fn dispatch(&self, call: &Call<'_>, payload: &[u8], out: &mut Out<'_>) -> Result<()> {
        match &call.request {
            Request::Lookup(r) => self.lookup(r, out),
            Request::Stat(r) => self.stat(call, r.gfid, out),
            Request::Fstat(r) => self.stat(call, r.gfid, out),
            Request::Access(r) => self.access(call, r, out),
            Request::Statfs(_) => self.statfs(out),
            Request::Open(r) => self.open_image(call, r, out),
            Request::Create(r) => self.create(call, r, out),
            Request::Opendir(r) => self.opendir(call, r, out),
            Request::Readdir(r) => self.readdir(call, r, out),
            Request::Readdirp(r) => self.readdirp(call, r, out),
            Request::Read(r) => self.read_fop(call, r, out),
            Request::Write(r) => self.write_fop(call, r, payload, out),
            Request::Truncate(r) => self.truncate(call, r.gfid, r.offset, out),
            Request::Ftruncate(r) => self.truncate(call, r.gfid, r.offset, out),
            Request::Fsync(r) => self.fsync(call, r, out),
            Request::Fsyncdir(_) => {
                out.done();
                Ok(())
            }
            Request::Fallocate(r) => self.fallocate(call, r, out),
            Request::Discard(r) => self.discard(call, r, out),
            Request::Zerofill(r) => self.zerofill(call, r, out),
            Request::Seek(r) => self.seek(call, r, out),
            Request::Getxattr(r) => self.getxattr(call, r.gfid, r.name, out),
            Request::Fgetxattr(r) => self.getxattr(call, r.gfid, r.name, out),
            Request::Setxattr(r) => self.setxattr(call, r.gfid, &r.dict, out),
            Request::Fsetxattr(r) => self.setxattr(call, r.gfid, &r.dict, out),
            Request::Removexattr(_) | Request::Fremovexattr(_) => Err(Errno::ENODATA),
            Request::Readlink(_) => Err(Errno::EINVAL),
            // The directory is as it was configured, and so is who owns what.
            Request::Mknod(_)
            | Request::Mkdir(_)
            | Request::Symlink(_)
            | Request::Link(_)
            | Request::Unlink(_)
            | Request::Rmdir(_)
            | Request::Rename(_) => Err(Errno::EROFS),
            Request::Setattr(_) | Request::Fsetattr(_) => Err(Errno::EPERM),
            // Changelogs have no place on a device; the server itself answers the others.
            Request::Xattrop(_)
            | Request::Fxattrop(_)
            | Request::Rchecksum(_)
            | Request::CopyFileRange(_)
            | Request::Put(_)
            | brickwire_core::answered_by_the_server!() => Err(Errno::EOPNOTSUPP),
        }
    }
}

/// EACCES unless the image's mode grants the caller `want` (bits of `permission`).
pub(crate) fn check(image: &Image, cred: &Cred<'_>, want: u32) -> Result<()> {
    let iatt = image.iatt()?;
    if permission::allows(iatt.mode, iatt.uid, iatt.gid, cred, want) {
        Ok(())
    } else {
        Err(Errno::EACCES)
    }
}

impl Backend for Images {
    fn execute(&self, call: &Call<'_>, payload: &[u8], reply: &mut Vec<u8>) -> bool {
        let mut out = Out::new(call, reply);
        match self.dispatch(call, payload, &mut out) {
            Ok(()) => false,
            Err(errno) => {
                out.fail(errno);
                true
            }
        }
    }

    fn read(
        &self,
        handle: HandleId,
        _: &Cred<'_>,
        offset: u64,
        room: &mut [u8],
        now: bool,
    ) -> Option<Result<ReadOutcome>> {
        match self.opened(handle) {
            Ok(Opened::Image(image, flags)) => image.read_at(flags, offset, room, now),
            Ok(Opened::Root) => Some(Err(Errno::EISDIR)),
            Err(error) => Some(Err(error)),
        }
    }

    fn write(
        &self,
        handle: HandleId,
        _: &Cred<'_>,
        offset: u64,
        data: &[u8],
        now: bool,
    ) -> Option<Result<WriteOutcome>> {
        match self.opened(handle) {
            Ok(Opened::Image(image, flags)) => image.write_at(flags, offset, data, now),
            Ok(Opened::Root) => Some(Err(Errno::EBADF)),
            Err(error) => Some(Err(error)),
        }
    }

    fn close(&self, handle: HandleId, _: bool) -> bool {
        self.open.write().unwrap_or_else(PoisonError::into_inner).remove(&handle);
        true
    }
}
