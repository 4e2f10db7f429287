//! The fops of each operation, once its path is resolved and no older operation blocks it.

use super::machine::Machine;
use super::operation::{Kind, OpState, Value};
use super::resolve::Found;
use super::{OpError, OpenFlags, Table};
use crate::boundary::Range;
use crate::id::{FileId, OpId};
use crate::xdr::{Errno, Gfid, Iatt};
use crate::xlator::{Attrs, Entry, Fd, Fop};

impl Machine<'_> {
    /// Begins an operation.
    pub(super) fn begin(&mut self, id: OpId) {
        let Some(op) = self.ops.get_mut(id) else { return };
        op.state = OpState::Acting;
        let kind = op.kind;
        let file = op.file;
        if let Some(error) = self.session.refusal(&kind) {
            return self.finish(id, Err(error));
        }
        match (kind, file) {
            (Kind::Start, _) => self.finish(id, Ok(0)),
            (Kind::Stop | Kind::Close, _) => {}
            (Kind::Statfs, _) => self.wind(id, Fop::Statfs { gfid: Gfid::ROOT }),
            (_, Some(file)) => self.begin_on_file(id, kind, file),
            (Kind::Symlink, None) => self.resolve(id, 1),
            (_, None) => self.resolve(id, 0),
        }
    }

    fn begin_on_file(&mut self, id: OpId, kind: Kind, file: FileId) {
        let Some(entry) = self.context.files.get(file) else {
            return self.finish(id, Err(OpError::Errno(Errno::EBADF)));
        };
        let fd = Fd { file, gfid: entry.gfid };
        let range = |len| Range { op: id, at: 0, len };
        let fop = match kind {
            Kind::Read { offset, len, .. } => Fop::Read { fd, offset, into: range(len) },
            Kind::Write { offset, len } => Fop::Write { fd, offset, data: range(len) },
            Kind::Flush { .. } if self.context.has_lost_writes(entry) => {
                return self.finish(id, Err(OpError::WritesLost));
            }
            Kind::Flush { data_only } => {
                let inode = self.context.inodes.get(entry.inode);
                let covers = inode.map_or(0, |inode| inode.synced.acknowledged);
                if let Some(op) = self.ops.get_mut(id) {
                    op.covers = covers;
                }
                Fop::Fsync { fd, data_only, last: false }
            }
            Kind::Discard { len: 0, .. }
            | Kind::WriteZeroes { len: 0, .. }
            | Kind::Allocate { len: 0, .. } => {
                return self.finish(id, Ok(0));
            }
            Kind::Discard { offset, len } => Fop::Discard { fd, offset, len },
            Kind::WriteZeroes { offset, len } => Fop::Zerofill { fd, offset, len },
            Kind::Allocate { offset, len, keep_size } => {
                Fop::Fallocate { fd, offset, len, keep_size }
            }
            Kind::Truncate { size } => Fop::Ftruncate { fd, size },
            Kind::Fstat => Fop::Fstat { fd },
            Kind::Seek { offset, hole } => Fop::Seek { fd, offset, hole },
            Kind::ReadDir { cookie } => Fop::Readdirp { fd, offset: cookie, size: self.page_bytes },
            _ => return self.finish(id, Err(OpError::Errno(Errno::EINVAL))),
        };
        self.wind(id, fop);
    }

    /// Begins a CLOSE: a FLUSH tells the brick that this owner is done, and when it is answered the
    /// remote fds are released. If the brick is away it has dropped the fd already, so the
    /// operation ends at once.
    pub(super) fn begin_close(&mut self, id: OpId) {
        let Some((file, entry)) = self
            .ops
            .get(id)
            .and_then(|op| op.file)
            .and_then(|file| Some((file, *self.context.files.get(file)?)))
        else {
            return self.finish(id, Ok(0));
        };
        if let Some(op) = self.ops.get_mut(id) {
            op.state = OpState::Acting;
        }
        if entry.dir {
            return self.finish(id, Ok(0));
        }
        if self.context.has_lost_writes(&entry) {
            return self.finish(id, Err(OpError::WritesLost));
        }
        if self.graphs.is_usable() {
            return self.wind(id, Fop::Flush { fd: Fd { file, gfid: entry.gfid } });
        }
        let down = self.graphs.last_down;
        let dirty = self.context.is_dirty(&entry);
        self.finish(id, if dirty { Err(OpError::NotConnected(down)) } else { Ok(0) });
    }

    /// Continues an operation whose path is resolved.
    pub(super) fn found(&mut self, id: OpId, found: Found<'_>) {
        let Some(op) = self.ops.get_mut(id) else { return };
        op.state = OpState::Acting;
        let (kind, path, first) = (op.kind, op.walk.path, op.first);
        let errno = |machine: &mut Self, errno| machine.finish(id, Err(OpError::Errno(errno)));
        match (kind, found) {
            (Kind::Stat { .. }, Found::Object(_, stat)) => {
                op.stat = *stat;
                op.value = Value::Stat;
                self.finish(id, Ok(0));
            }
            (Kind::Stat { .. }, Found::Directory(gfid)) => self.wind(id, Fop::LookupGfid { gfid }),
            (Kind::Open { .. }, Found::Directory(_)) => errno(self, Errno::EISDIR),
            (Kind::Open { flags, .. }, Found::Object(gfid, stat)) => {
                self.open(id, flags, gfid, stat)
            }
            (Kind::Open { flags, mode }, Found::Place(at)) => self.create(id, at, flags, mode),
            (Kind::OpenDir, Found::Object(_, stat)) if !stat.is_dir() => {
                errno(self, Errno::ENOTDIR)
            }
            (Kind::OpenDir, Found::Object(gfid, _) | Found::Directory(gfid)) => {
                self.open_dir(id, gfid)
            }
            (Kind::Mkdir { mode }, Found::Place(at)) => {
                let gfid_req = self.context.new_gfid();
                self.wind(id, Fop::Mkdir { at, mode, gfid_req });
            }
            (Kind::Mkdir { .. } | Kind::Symlink, Found::Directory(_)) => errno(self, Errno::EEXIST),
            (Kind::Rmdir, Found::Place(at)) => self.wind(id, Fop::Rmdir { at }),
            (Kind::Rmdir | Kind::Rename, Found::Directory(_)) => errno(self, Errno::EBUSY),
            (Kind::Unlink, Found::Place(at)) => self.wind(id, Fop::Unlink { at }),
            (Kind::Unlink | Kind::Link, Found::Directory(_)) => errno(self, Errno::EISDIR),
            (Kind::Rename, Found::Place(at)) if path == 0 => {
                op.first = Some(at);
                self.resolve(id, 1);
            }
            (Kind::Rename, Found::Place(to)) => match first {
                Some(from) => self.wind(id, Fop::Rename { from, to }),
                None => errno(self, Errno::EINVAL),
            },
            (Kind::Link, Found::Object(gfid, _)) => {
                let name = op.walk.name;
                op.first = Some(Entry { parent: gfid, name });
                self.resolve(id, 1);
            }
            (Kind::Link, Found::Place(to)) => match first {
                Some(Entry { parent: gfid, .. }) => self.wind(id, Fop::Link { gfid, to }),
                None => errno(self, Errno::EINVAL),
            },
            (Kind::Symlink, Found::Place(at)) => {
                let Some(target) = op.names[0].map(|name| self.context.names.whole(name)) else {
                    return;
                };
                let gfid_req = self.context.new_gfid();
                self.wind(id, Fop::Symlink { at, target, gfid_req });
            }
            (Kind::Readlink, Found::Object(gfid, stat)) if stat.is_symlink() => {
                self.wind(id, Fop::Readlink { gfid })
            }
            (Kind::Readlink, _) => errno(self, Errno::EINVAL),
            (Kind::TruncatePath { .. }, Found::Directory(_)) => errno(self, Errno::EISDIR),
            (Kind::TruncatePath { size }, Found::Object(gfid, _)) => self.truncate(id, gfid, size),
            (Kind::SetAttributes(set), Found::Object(gfid, _) | Found::Directory(gfid)) => {
                self.wind(id, Fop::SetAttr { gfid, attrs: attrs_of(&set) });
            }
            (
                Kind::GetXattr | Kind::ListXattr | Kind::SetXattr { .. } | Kind::RemoveXattr,
                Found::Object(gfid, _) | Found::Directory(gfid),
            ) => self.xattr(id, kind, gfid),
            _ => errno(self, Errno::EINVAL),
        }
    }

    /// Truncates at a path: from here on the operation has its place in the order of its inode.
    fn truncate(&mut self, id: OpId, gfid: Gfid, size: u64) {
        let Some(inode) = self.context.inodes.acquire(&gfid) else {
            return self.finish(id, Err(OpError::Busy(Table::Inodes)));
        };
        self.wind_in_order(id, inode, Fop::Truncate { gfid, size });
        // The list of its inode refers to it now.
        self.context.inodes.release(inode);
    }

    fn xattr(&mut self, id: OpId, kind: Kind, gfid: Gfid) {
        let name =
            self.ops.get(id).and_then(|op| op.names[1]).map(|name| self.context.names.whole(name));
        let fop = match (kind, name) {
            (Kind::GetXattr, Some(_)) => Fop::GetXattr { gfid, name },
            (Kind::ListXattr, _) => Fop::GetXattr { gfid, name: None },
            (Kind::SetXattr { len, flags }, Some(name)) => {
                Fop::SetXattr { gfid, name, value: Range { op: id, at: 0, len }, flags }
            }
            (Kind::RemoveXattr, Some(name)) => Fop::RemoveXattr { gfid, name },
            _ => return self.finish(id, Err(OpError::Errno(Errno::EINVAL))),
        };
        self.wind(id, fop);
    }

    /// Reserves an entry for the handle before the brick is asked, so that an answer never finds
    /// the table full.
    fn new_file(&mut self, id: OpId, gfid: Gfid, flags: OpenFlags, dir: bool) -> Option<Fd> {
        let file = match self.context.add_file(gfid, flags, dir) {
            Ok(file) => file,
            Err(table) => {
                self.finish(id, Err(OpError::Busy(table)));
                return None;
            }
        };
        if let Some(op) = self.ops.get_mut(id) {
            op.file = Some(file);
        }
        Some(Fd { file, gfid })
    }

    fn open(&mut self, id: OpId, flags: OpenFlags, gfid: Gfid, stat: &Iatt) {
        let error = if flags.has(OpenFlags::CREATE) && flags.has(OpenFlags::EXCLUSIVE) {
            Some(Errno::EEXIST)
        } else if stat.is_dir() {
            Some(Errno::EISDIR)
        } else if !stat.is_regular() {
            Some(Errno::EINVAL)
        } else {
            None
        };
        if let Some(errno) = error {
            return self.finish(id, Err(OpError::Errno(errno)));
        }
        if let Some(op) = self.ops.get_mut(id) {
            op.stat = *stat;
        }
        let Some(fd) = self.new_file(id, gfid, flags, false) else { return };
        let flags = flags.without(OpenFlags::CREATE).without(OpenFlags::EXCLUSIVE);
        let fop = Fop::Open { fd, flags };
        match self.context.files.get(fd.file).map(|file| file.inode) {
            Some(inode) if flags.has(OpenFlags::TRUNCATE) => self.wind_in_order(id, inode, fop),
            _ => self.wind(id, fop),
        }
    }

    fn create(&mut self, id: OpId, at: Entry, flags: OpenFlags, mode: u32) {
        let gfid_req = self.context.new_gfid();
        let Some(Fd { file, .. }) = self.new_file(id, gfid_req, flags, false) else { return };
        self.wind(
            id,
            Fop::Create { at, file, flags: flags.and(OpenFlags::CREATE), mode, gfid_req },
        );
    }

    fn open_dir(&mut self, id: OpId, gfid: Gfid) {
        let Some(fd) = self.new_file(id, gfid, OpenFlags::READ, true) else { return };
        self.wind(id, Fop::OpenDir { fd });
    }
}

fn attrs_of(set: &super::SetAttributes) -> Attrs {
    let mut attrs = Attrs::default();
    let mut put = |bit: u32| attrs.valid |= bit;
    // Bits of `valid`: docs/spec/01-wire.md, "Small enumerations".
    if set.mode.is_some() {
        put(0x1);
    }
    if set.uid.is_some() {
        put(0x2);
    }
    if set.gid.is_some() {
        put(0x4);
    }
    if set.atime.is_some() {
        put(0x10);
    }
    if set.mtime.is_some() {
        put(0x20);
    }
    Attrs {
        mode: set.mode.unwrap_or(0) & 0o7777,
        uid: set.uid.unwrap_or(0),
        gid: set.gid.unwrap_or(0),
        atime: set.atime.unwrap_or_default(),
        mtime: set.mtime.unwrap_or_default(),
        ..attrs
    }
}
