//! Attributes, free space, and the few xattrs that images support.

use std::collections::HashMap;
use std::sync::{MutexGuard, PoisonError};

use brickwire_core::fop::wire::{Access, Body, Lookup, Statvfs};
use brickwire_core::server::{Call, xattr_names};
use brickwire_core::xdr::{Dict, Errno, Gfid, Iatt, Pair};
use brickwire_server::permission;
use brickwire_server::reply::{Key, Out, Owned};

use crate::image::{Image, Kind};
use crate::images::{Images, Object, Result, check, errno};

/// Block size that STATFS answers in.
const BLOCK: u64 = 4096;
/// Bounds on the xattrs that clients' translators may set on the root directory.
const NOTES_MAX: usize = 64;
const NOTE_BYTES_MAX: usize = 4096;

impl Images {
    pub(crate) fn lookup(&self, r: &Lookup<'_>, out: &mut Out<'_>) -> Result<()> {
        let (object, parent) = if r.bname.is_empty() {
            let gfid = if r.gfid == Gfid::NONE { r.pargfid } else { r.gfid };
            // A LOOKUP by an unknown gfid is ENOENT, as on a real brick; other fops get ESTALE.
            (self.object(&gfid).map_err(|_| Errno::ENOENT)?, Iatt::default())
        } else {
            (Object::Image(self.named(&r.pargfid, r.bname)?.clone()), self.root())
        };
        let stat = self.iatt(&object)?;
        let keys = self.asked(&object, &r.xdata);
        out.success(0, 0, &keys, Body::TwoIatts { before: stat, after: parent });
        Ok(())
    }

    /// Finds an image by name. ENOTDIR if `parent` is an image.
    pub(crate) fn named(&self, parent: &Gfid, name: &[u8]) -> Result<&std::sync::Arc<Image>> {
        match self.object(parent)? {
            Object::Image(_) => Err(Errno::ENOTDIR),
            Object::Root => {
                let image = self.images.iter().find(|image| image.name.as_bytes() == name);
                image.ok_or(Errno::ENOENT)
            }
        }
    }

    pub(crate) fn iatt(&self, object: &Object) -> Result<Iatt> {
        match object {
            Object::Root => Ok(self.root()),
            Object::Image(image) => image.iatt(),
        }
    }

    fn notes(&self) -> MutexGuard<'_, HashMap<Vec<u8>, Vec<u8>>> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The xattrs among the keys of `xdata` that the object has.
    pub(crate) fn asked(&self, object: &Object, xdata: &Dict<'_>) -> Vec<Key> {
        let Object::Root = object else { return Vec::new() };
        let notes = self.notes();
        let noted = |name: &[u8]| Some((name.to_owned(), Owned::Bytes(notes.get(name)?.clone())));
        xdata.pairs().filter_map(|(name, _)| noted(name)).collect()
    }

    pub(crate) fn stat(&self, call: &Call<'_>, gfid: Gfid, out: &mut Out<'_>) -> Result<()> {
        let object = self.about(call.target, gfid)?;
        out.body(Body::Stat(self.iatt(&object)?));
        Ok(())
    }

    pub(crate) fn access(&self, call: &Call<'_>, r: &Access<'_>, out: &mut Out<'_>) -> Result<()> {
        match self.object(&r.gfid)? {
            Object::Root => {
                let root = self.root();
                if !permission::allows(root.mode, root.uid, root.gid, &call.cred, r.mask & 7) {
                    return Err(Errno::EACCES);
                }
            }
            // An image is never executable.
            Object::Image(_) if r.mask & permission::EXECUTE != 0 => return Err(Errno::EACCES),
            Object::Image(image) => check(&image, &call.cred, r.mask & 7)?,
        }
        out.done();
        Ok(())
    }

    /// Sums the images' sizes. The free space is that of the file systems that hold image files.
    pub(crate) fn statfs(&self, out: &mut Out<'_>) -> Result<()> {
        let (mut bytes, mut free) = (0_u64, 0_u64);
        let mut disks = Vec::new();
        for image in &self.images {
            let stat = image.stat()?;
            bytes = bytes.saturating_add(image.size(&stat)?);
            // The free space of a file system counts once, however many images it holds.
            if image.kind == Kind::File && !disks.contains(&stat.st_dev) {
                disks.push(stat.st_dev);
                let disk = rustix::fs::fstatvfs(image).map_err(errno)?;
                free = free.saturating_add(disk.f_bavail.saturating_mul(disk.f_frsize));
            }
        }
        out.body(Body::Statfs(Statvfs {
            bsize: BLOCK,
            frsize: BLOCK,
            blocks: bytes.saturating_add(free) / BLOCK,
            bfree: free / BLOCK,
            bavail: free / BLOCK,
            files: self.images.len() as u64 + 1,
            ffree: 0,
            favail: 0,
            fsid: 0,
            flag: 0,
            namemax: 255,
        }));
        Ok(())
    }

    pub(crate) fn getxattr(
        &self,
        call: &Call<'_>,
        gfid: Gfid,
        name: &[u8],
        out: &mut Out<'_>,
    ) -> Result<()> {
        let object = self.about(call.target, gfid)?;
        let gfid = self.iatt(&object)?.gfid;
        let noted = |name: &[u8]| match object {
            Object::Root => self.notes().get(name).cloned().map(Owned::Bytes),
            Object::Image(_) => None,
        };
        let keys: Vec<Key> = match name {
            b"" => Vec::new(),
            b"glusterfs.gfid" => vec![(name.into(), Owned::Bytes(gfid.0.to_vec()))],
            b"glusterfs.gfid.string" => {
                vec![(name.into(), Owned::Text(gfid.to_string().into_bytes()))]
            }
            _ => vec![(name.into(), noted(name).ok_or(Errno::ENODATA)?)],
        };
        let pairs: Vec<Pair<'_>> =
            keys.iter().map(|(key, value)| Pair { key, value: value.value() }).collect();
        let none = Iatt::default();
        let dict = if pairs.is_empty() { Dict::Null } else { Dict::Pairs(&pairs) };
        out.success(0, 0, &[], Body::Dict { dict, before: none, after: none });
        Ok(())
    }

    /// Keeps the `trusted.glusterfs.*` xattrs that translators set on the root (a layout, times) in
    /// memory; they set them again after a restart. All others are EOPNOTSUPP, because they would
    /// be lost with this process.
    pub(crate) fn setxattr(
        &self,
        call: &Call<'_>,
        gfid: Gfid,
        dict: &Dict<'_>,
        out: &mut Out<'_>,
    ) -> Result<()> {
        let object = self.about(call.target, gfid)?;
        for (name, value) in dict.pairs() {
            if xattr_names::is_ignored(name) || name == b"set-ctime-mdata" {
                continue;
            }
            let Object::Root = object else { return Err(Errno::EOPNOTSUPP) };
            if !name.starts_with(b"trusted.glusterfs.") {
                return Err(Errno::EOPNOTSUPP);
            }
            let bytes = value.as_bytes().ok_or(Errno::EINVAL)?;
            let mut notes = self.notes();
            if bytes.len() > NOTE_BYTES_MAX
                || (notes.len() >= NOTES_MAX && !notes.contains_key(name))
            {
                return Err(Errno::ENOSPC);
            }
            notes.insert(name.to_owned(), bytes.to_vec());
        }
        out.done();
        Ok(())
    }
}
