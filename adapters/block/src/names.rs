//! Opening images, and listing the root directory.

use std::sync::Arc;

use brickwire_core::fop::OpenFlags;
use brickwire_core::fop::wire::{
    Body, Create, Dirent, Direntp, Direntps, Dirents, Open, Opendir, Readdir, Readdirp,
};
use brickwire_core::rpc::Cred;
use brickwire_core::server::{Call, Target};
use brickwire_core::xdr::{Dict, Errno, Gfid, Iatt};
use brickwire_server::permission;
use brickwire_server::reply::Out;

use crate::image::{Image, Kind};
use crate::images::{Images, Object, Opened, Result, check};

/// Entry types on the wire: the values of `d_type`.
const DIRECTORY: u32 = 4;
const FILE: u32 = 8;
/// Size of an entry on the wire without its name.
const ENTRY_FRAME: usize = 28;
const ENTRYP_FRAME: usize = ENTRY_FRAME + Iatt::LEN + 12;

impl Images {
    pub(crate) fn open_image(
        &self,
        call: &Call<'_>,
        r: &Open<'_>,
        out: &mut Out<'_>,
    ) -> Result<()> {
        let flags = OpenFlags(r.flags);
        let fd = match self.object(&r.gfid)? {
            Object::Image(_) if flags.has(OpenFlags::DIRECTORY) => return Err(Errno::ENOTDIR),
            Object::Image(image) => self.open_with(call, &image, flags)?,
            // A directory may be opened like a file, for fops that need no data: Samba does this.
            Object::Root if flags.writes() || flags.has(OpenFlags::TRUNCATE) => {
                return Err(Errno::EISDIR);
            }
            Object::Root => {
                self.may_list(call)?;
                self.keep(call, Opened::Root)?
            }
        };
        out.body(Body::Open { fd });
        Ok(())
    }

    fn open_with(&self, call: &Call<'_>, image: &Arc<Image>, flags: OpenFlags) -> Result<i64> {
        may_open(image, &call.cred, flags)?;
        if flags.has(OpenFlags::DIRECT) {
            image.direct()?;
        }
        if flags.has(OpenFlags::TRUNCATE) {
            image.set_size(0)?;
        }
        self.keep(call, Opened::Image(Arc::clone(image), flags))
    }

    /// CREATE of an existing image opens it, as on a real brick; a new name is EROFS.
    pub(crate) fn create(&self, call: &Call<'_>, r: &Create<'_>, out: &mut Out<'_>) -> Result<()> {
        let flags = OpenFlags(r.flags);
        let image = match self.named(&r.pargfid, r.bname) {
            Ok(_) if flags.has(OpenFlags::EXCLUSIVE) => return Err(Errno::EEXIST),
            Ok(image) => Arc::clone(image),
            Err(Errno::ENOENT) => return Err(Errno::EROFS),
            Err(error) => return Err(error),
        };
        let fd = self.open_with(call, &image, flags)?;
        let root = self.root();
        let body =
            Body::Create { stat: image.iatt()?, fd: fd as u64, preparent: root, postparent: root };
        out.body(body);
        Ok(())
    }

    pub(crate) fn opendir(
        &self,
        call: &Call<'_>,
        r: &Opendir<'_>,
        out: &mut Out<'_>,
    ) -> Result<()> {
        let Object::Root = self.object(&r.gfid)? else { return Err(Errno::ENOTDIR) };
        self.may_list(call)?;
        let fd = self.keep(call, Opened::Root)?;
        out.body(Body::Open { fd });
        Ok(())
    }

    fn may_list(&self, call: &Call<'_>) -> Result<()> {
        let root = self.root();
        let may = permission::allows(root.mode, root.uid, root.gid, &call.cred, permission::READ);
        if may { Ok(()) } else { Err(Errno::EACCES) }
    }

    /// Entries after `offset`: `.`, `..`, then the images. An entry's offset is its number, from 1.
    fn entries(
        &self,
        call: &Call<'_>,
        gfid: Gfid,
        offset: u64,
    ) -> Result<impl Iterator<Item = (u64, &str, Iatt)>> {
        let Object::Root = self.about(call.target, gfid)? else { return Err(Errno::ENOTDIR) };
        if call.target == Target::Gfid {
            // An anonymous fd: distribute uses it to see whether a directory is empty.
            self.may_list(call)?;
        }
        // Nothing is above the root of a volume.
        let own = [(".", self.root()), ("..", self.root())];
        // An image whose stat() fails is listed without attributes; clients then send a LOOKUP.
        let images =
            self.images.iter().map(|image| (image.name.as_str(), image.iatt().unwrap_or_default()));
        let all = own.into_iter().chain(images).zip(1_u64..);
        Ok(all.filter(move |(_, at)| *at > offset).map(|((name, iatt), at)| (at, name, iatt)))
    }

    fn last(&self) -> u64 {
        self.images.len() as u64 + 2
    }

    pub(crate) fn readdir(
        &self,
        call: &Call<'_>,
        r: &Readdir<'_>,
        out: &mut Out<'_>,
    ) -> Result<()> {
        let mut left = r.size as usize;
        let mut entries = Vec::new();
        for (offset, name, iatt) in self.entries(call, r.gfid, r.offset)? {
            let bytes = ENTRY_FRAME + name.len().next_multiple_of(4);
            if bytes > left && !entries.is_empty() {
                break;
            }
            left = left.saturating_sub(bytes);
            let (len, kind) = (name.len() as u32, kind(&iatt));
            entries.push(Dirent { ino: iatt.ino, offset, len, kind, name: name.as_bytes() });
        }
        let end = entries.last().is_none_or(|entry| entry.offset == self.last());
        out.success(entries.len() as i32, at_end(end), &[], Body::Dirents(Dirents::of(&entries)));
        Ok(())
    }

    pub(crate) fn readdirp(
        &self,
        call: &Call<'_>,
        r: &Readdirp<'_>,
        out: &mut Out<'_>,
    ) -> Result<()> {
        let mut left = r.size as usize;
        let mut entries = Vec::new();
        for (offset, name, stat) in self.entries(call, r.gfid, r.offset)? {
            let bytes = ENTRYP_FRAME + name.len().next_multiple_of(4);
            if bytes > left && !entries.is_empty() {
                break;
            }
            left = left.saturating_sub(bytes);
            let (len, kind) = (name.len() as u32, kind(&stat));
            let name = name.as_bytes();
            entries.push(Direntp {
                ino: stat.ino,
                offset,
                len,
                kind,
                name,
                stat,
                dict: Dict::Null,
            });
        }
        let end = entries.last().is_none_or(|entry| entry.offset == self.last());
        out.success(entries.len() as i32, at_end(end), &[], Body::Direntps(Direntps::of(&entries)));
        Ok(())
    }
}

fn kind(iatt: &Iatt) -> u32 {
    if iatt.is_dir() { DIRECTORY } else { FILE }
}

/// errno of a successful READDIR reply: ENOENT says that no entries follow.
fn at_end(end: bool) -> i32 {
    if end { Errno::ENOENT.to_wire() } else { 0 }
}

fn may_open(image: &Image, cred: &Cred<'_>, flags: OpenFlags) -> Result<()> {
    let mut want = if flags.0 & 3 == 1 { 0 } else { permission::READ };
    let changes = flags.writes() || flags.has(OpenFlags::TRUNCATE);
    if changes {
        want |= permission::WRITE;
    }
    check(image, cred, want)?;
    if changes {
        image.writable()?;
    }
    // O_TRUNC on a device would have to zero all of it: almost certainly a mistake of the caller.
    if image.kind == Kind::Device && flags.has(OpenFlags::TRUNCATE) {
        return Err(Errno::EPERM);
    }
    Ok(())
}
