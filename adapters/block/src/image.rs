//! One image: a device or a file, kept open while it is served.

use std::fs::{File, TryLockError};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use brickwire_core::xdr::{Errno, Gfid, Iatt};
use brickwire_server::o_direct::Direct;
use rustix::fs::{FileType, Mode, OFlags, SeekFrom, Stat};
use rustix::io::Errno as Os;

use crate::ImageError;
use crate::images::{ImagesOptions, Result, errno};

/// A device or file, and its name in the volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageSpec {
    /// Name of the entry in the volume's root: 1 to 255 bytes, no `/` and no NUL.
    pub name: String,
    /// Path of the device or file on this host.
    pub path: PathBuf,
}

impl ImageSpec {
    /// Parses `NAME=PATH` or `PATH`; without a name, the last component of the path is the name.
    pub fn parse(text: &str) -> Self {
        match text.split_once('=') {
            Some((name, path)) if !name.contains('/') => {
                Self { name: name.into(), path: path.into() }
            }
            _ => {
                let path = PathBuf::from(text);
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                Self { name, path }
            }
        }
    }

    fn check(&self) -> Result<(), ImageError> {
        let bytes = self.name.as_bytes();
        let bad =
            matches!(bytes, b"" | b"." | b"..") || bytes.contains(&b'/') || bytes.contains(&0);
        if bad || bytes.len() > 255 {
            return Err(ImageError::Name { name: self.name.clone() });
        }
        Ok(())
    }
}

/// Storage behind an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Device,
    File,
}

/// An image that is served.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) name: String,
    pub(crate) gfid: Gfid,
    pub(crate) kind: Kind,
    /// The device or file could only be opened for reading.
    pub(crate) read_only: bool,
    /// Alignment in bytes of a device's discard and zeroing: its logical block, 1 for a file.
    pub(crate) granule: u64,
    file: File,
    /// The same object opened with O_DIRECT, on the first request that needs it.
    direct: OnceLock<(File, Direct)>,
    owner: (Option<u32>, Option<u32>),
    /// Time of the last change through this server, in nanoseconds since 1970. Only used for a
    /// device, whose inode's times say nothing about its data.
    changed: AtomicU64,
}

impl AsFd for Image {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Gfid of an image: a hash of the volume id and the image's name, so it survives restarts.
pub(crate) fn gfid_of(volume: &Gfid, name: &str) -> Gfid {
    let mut text = volume.0.to_vec();
    text.extend_from_slice(name.as_bytes());
    let halves = [0, 1].map(|seed| xxhash_rust::xxh64::xxh64(&text, seed));
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&halves[0].to_be_bytes());
    bytes[8..].copy_from_slice(&halves[1].to_be_bytes());
    Gfid::v4(bytes)
}

impl Image {
    pub(crate) fn open(spec: &ImageSpec, options: &ImagesOptions) -> Result<Self, ImageError> {
        spec.check()?;
        let path = &spec.path;
        let failed = |error: Os| match error {
            Os::BUSY => ImageError::InUse { path: path.clone() },
            error => ImageError::Open { path: path.clone(), error: error.into() },
        };
        // The type is checked before open(): opening a fifo blocks, and opening a tape rewinds it.
        let stat = rustix::fs::stat(path).map_err(failed)?;
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::BlockDevice => Kind::Device,
            FileType::RegularFile => Kind::File,
            _ => return Err(ImageError::NoImage { path: path.clone() }),
        };
        let (file, read_only) = open(path, kind).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(ImageError::InUse { path: path.clone() }),
            Err(TryLockError::Error(error)) => {
                return Err(ImageError::Open { path: path.clone(), error });
            }
        }
        let granule = match kind {
            Kind::Device => rustix::fs::ioctl_blksszget(&file).map_err(failed)?.max(512).into(),
            Kind::File => 1,
        };
        let image = Self {
            gfid: gfid_of(&options.volume_id, &spec.name),
            name: spec.name.clone(),
            kind,
            read_only,
            granule,
            file,
            direct: OnceLock::new(),
            owner: options.owner,
            changed: AtomicU64::new(0),
        };
        image.touch();
        Ok(image)
    }

    /// Descriptor for O_DIRECT transfers. EINVAL if the file system does not support O_DIRECT.
    pub(crate) fn direct(&self) -> Result<&(File, Direct)> {
        if let Some(direct) = self.direct.get() {
            return Ok(direct);
        }
        let access = if self.read_only { OFlags::RDONLY } else { OFlags::RDWR };
        let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        let flags = access | OFlags::DIRECT | OFlags::CLOEXEC;
        let file: File = rustix::fs::open(path, flags, Mode::empty()).map_err(errno)?.into();
        let direct = Direct::of(&file);
        // If two threads get here at once, the second descriptor is dropped.
        Ok(self.direct.get_or_init(|| (file, direct)))
    }

    /// Records that the data changed now.
    pub(crate) fn touch(&self) {
        if self.kind == Kind::Device {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            self.changed.fetch_max(now.as_nanos() as u64, Ordering::Relaxed);
        }
    }

    pub(crate) fn stat(&self) -> Result<Stat> {
        rustix::fs::fstat(&self.file).map_err(errno)
    }

    /// Size in bytes. It is asked for anew each time, because a device may grow while it is served.
    pub(crate) fn size(&self, stat: &Stat) -> Result<u64> {
        match self.kind {
            // All transfers are positioned, so moving the descriptor's offset is harmless.
            Kind::Device => rustix::fs::seek(&self.file, SeekFrom::End(0)).map_err(errno),
            Kind::File => Ok(stat.st_size as u64),
        }
    }

    /// Attributes; a device is presented as a regular file.
    pub(crate) fn iatt(&self) -> Result<Iatt> {
        let stat = self.stat()?;
        let size = self.size(&stat)?;
        let [.., a, b, c, d, e, f, g, h] = self.gfid.0;
        let (uid, gid) = self.owner;
        let write_bits = if self.read_only { 0o222 } else { 0 };
        let mut iatt = Iatt {
            gfid: self.gfid,
            flags: Iatt::ALL,
            ino: u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            size,
            // Never more than the size needs, as real bricks say.
            blocks: (stat.st_blocks as u64).min(size.div_ceil(512)),
            nlink: 1,
            uid: uid.unwrap_or(stat.st_uid),
            gid: gid.unwrap_or(stat.st_gid),
            blksize: 4096,
            mode: 0o100_000 | (stat.st_mode & 0o777 & !write_bits),
            ..Iatt::default()
        };
        match self.kind {
            Kind::Device => {
                iatt.blocks = size / 512;
                let nanos = self.changed.load(Ordering::Relaxed);
                let time = ((nanos / 1_000_000_000) as i64, (nanos % 1_000_000_000) as u32);
                (iatt.atime, iatt.atime_nsec) = time;
                (iatt.mtime, iatt.mtime_nsec) = time;
                (iatt.ctime, iatt.ctime_nsec) = time;
            }
            Kind::File => {
                (iatt.atime, iatt.atime_nsec) = (stat.st_atime, stat.st_atime_nsec as u32);
                (iatt.mtime, iatt.mtime_nsec) = (stat.st_mtime, stat.st_mtime_nsec as u32);
                (iatt.ctime, iatt.ctime_nsec) = (stat.st_ctime, stat.st_ctime_nsec as u32);
            }
        }
        Ok(iatt)
    }

    /// EROFS if the image could only be opened for reading.
    pub(crate) fn writable(&self) -> Result<()> {
        if self.read_only { Err(Errno::EROFS) } else { Ok(()) }
    }
}

/// Opens a device (exclusively) or a file: for writing if that is permitted, else for reading. The
/// flag says that it is read-only.
fn open(path: &Path, kind: Kind) -> Result<(File, bool), Os> {
    let exclusive = if kind == Kind::Device { OFlags::EXCL } else { OFlags::empty() };
    let open = |access| {
        rustix::fs::open(
            path.as_os_str().as_bytes(),
            access | exclusive | OFlags::CLOEXEC,
            Mode::empty(),
        )
    };
    match open(OFlags::RDWR) {
        Ok(fd) => Ok((fd.into(), false)),
        Err(error @ (Os::ACCESS | Os::PERM | Os::ROFS)) => match open(OFlags::RDONLY) {
            Ok(fd) => Ok((fd.into(), true)),
            Err(_) => Err(error),
        },
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_called_as_its_file_unless_a_name_stands_before_it() {
        let spec = |name: &str, path: &str| ImageSpec { name: name.into(), path: path.into() };
        assert_eq!(ImageSpec::parse("/dev/vg/lv"), spec("lv", "/dev/vg/lv"));
        assert_eq!(ImageSpec::parse("disk1=/dev/vg/lv"), spec("disk1", "/dev/vg/lv"));
        assert_eq!(ImageSpec::parse("/images/a=b"), spec("a=b", "/images/a=b"));
    }

    #[test]
    fn a_gfid_depends_on_the_volume_and_the_name_alone() {
        let one = gfid_of(&Gfid([1; 16]), "disk");
        assert_eq!(one, gfid_of(&Gfid([1; 16]), "disk"));
        assert_ne!(one, gfid_of(&Gfid([2; 16]), "disk"));
        assert_ne!(one, gfid_of(&Gfid([1; 16]), "disk2"));
    }
}
