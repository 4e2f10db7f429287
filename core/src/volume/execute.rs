//! The fops of each operation, once its path is resolved and no older operation blocks it, and the
//! meaning of their answers.

use super::machine::Machine;
use super::operation::{Kind, OpState, Value};
use super::resolve::Found;
use super::{File, OpError, OpenFlags, Table};
use crate::boundary::Range;
use crate::fop::wire::{Body, Reply};
use crate::id::{FileId, OpId};
use crate::xdr::{Errno, Gfid, Iatt};
use crate::xlator::{Attrs, Entry, Failure, Fd, Fop, Outcome};

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
            Kind::Flush { .. } if entry.lost => return self.finish(id, Err(OpError::WritesLost)),
            Kind::Flush { data_only } => {
                let covers = entry.acknowledged;
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
        if entry.lost {
            return self.finish(id, Err(OpError::WritesLost));
        }
        if self.graphs.is_usable() {
            return self.wind(id, Fop::Flush { fd: Fd { file, gfid: entry.gfid } });
        }
        let down = self.graphs.last_down;
        self.finish(id, if entry.is_dirty() { Err(OpError::NotConnected(down)) } else { Ok(0) });
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
            (Kind::TruncatePath { size }, Found::Object(gfid, _)) => {
                self.wind(id, Fop::Truncate { gfid, size })
            }
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
        let Some(file) = self.context.files.insert(File::new(gfid, flags, dir)) else {
            self.finish(id, Err(OpError::Busy(Table::Files)));
            return None;
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
        self.wind(id, Fop::Open { fd, flags });
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

    /// Takes the outcome of an operation's fop.
    pub(super) fn op_answered(
        &mut self,
        id: OpId,
        fop: &Fop,
        outcome: Outcome,
        reply: Option<&Reply<'_>>,
    ) {
        let Some(op) = self.ops.get(id) else { return };
        let walking = matches!(op.state, OpState::Resolving | OpState::Following);
        match outcome.result {
            Err(Failure::NotSent(down)) => self.not_sent(id, fop, down),
            Err(Failure::Lost { down, server }) => self.lost(id, fop, down, server),
            Err(Failure::Errno(errno)) if walking => self.component_answered(id, Err(errno), None),
            Err(Failure::Errno(errno)) => self.refused(id, fop, errno),
            Err(Failure::TooLong) => self.finish(id, Err(OpError::AnswerTooLong)),
            Err(Failure::BadAnswer(what)) => self.finish(id, Err(OpError::BadAnswer(what))),
            Err(Failure::Busy(table)) => self.finish(id, Err(OpError::Busy(table))),
            Ok(count) if walking => self.component_answered(id, Ok(count), reply),
            Ok(count) => self.done(id, fop, count, outcome.end, reply),
        }
    }

    /// The brick answered with an error.
    fn refused(&mut self, id: OpId, fop: &Fop, errno: Errno) {
        self.drop_unopened(id);
        let Some(op) = self.ops.get_mut(id) else { return };
        match fop {
            // Somebody created the file between our LOOKUP and our CREATE: open it.
            Fop::Create { flags, .. }
                if errno == Errno::EEXIST && !flags.has(OpenFlags::EXCLUSIVE) && !op.walk.again =>
            {
                op.walk.again = true;
                self.resolve(id, 0);
            }
            // The kernel of the brick may have dropped what it could not write, and reports that
            // once.
            Fop::Fsync { fd, .. } => {
                self.flush_failed(fd.gfid);
                self.finish(id, Err(OpError::Errno(errno)));
            }
            _ if fop.fd().is_none() => self.resolve_failed(id, errno),
            _ => self.finish(id, Err(OpError::Errno(errno))),
        }
    }

    /// The brick answered with success.
    fn done(&mut self, id: OpId, fop: &Fop, count: u32, end: bool, reply: Option<&Reply<'_>>) {
        let Some(op) = self.ops.get_mut(id) else { return };
        op.fop = None;
        let body = reply.map(|reply| &reply.body);
        let mut result = count;
        match (*fop, body) {
            (Fop::Write { fd, offset, data }, _) => {
                return self.written(id, fd, offset, data, count);
            }
            (Fop::Read { fd, offset, into }, _) => {
                let end = offset.saturating_add(u64::from(count));
                let size = match body {
                    Some(Body::Read { stat, .. }) => stat.size,
                    _ => 0,
                };
                op.done = op.done.saturating_add(count);
                result = op.done;
                if count < into.len && count > 0 && end < size {
                    // Short, but not at the end of the file: the rest is data and not a hole.
                    let rest =
                        Range { at: into.at.saturating_add(count), len: into.len - count, ..into };
                    return self.wind(id, Fop::Read { fd, offset: end, into: rest });
                }
                if let Kind::Read { fill: true, len, .. } = op.kind
                    && result < len
                {
                    op.zero = Some((result, len - result));
                    result = len;
                }
            }
            (Fop::Fsync { fd, .. }, _) => {
                let covers = op.covers;
                match self.context.files.get_mut(fd.file) {
                    Some(file) if file.lost => return self.finish(id, Err(OpError::WritesLost)),
                    Some(file) => file.durable = file.durable.max(covers),
                    None => {}
                }
                result = 0;
            }
            (
                Fop::Discard { fd, .. }
                | Fop::Zerofill { fd, .. }
                | Fop::Ftruncate { fd, .. }
                | Fop::Fallocate { fd, .. },
                _,
            ) => {
                self.acknowledge_change(fd.file);
                result = 0;
            }
            (Fop::Create { file, flags, .. }, Some(Body::Create { stat, .. })) => {
                op.stat = *stat;
                op.value = Value::Opened;
                if stat.gfid != Gfid::NONE
                    && let Some(file) = self.context.files.get_mut(file)
                {
                    file.gfid = stat.gfid;
                }
                self.acknowledge_truncation(file, flags);
            }
            (Fop::Open { fd, flags }, _) => {
                op.value = Value::Opened;
                self.acknowledge_truncation(fd.file, flags);
            }
            (Fop::OpenDir { .. }, _) => op.value = Value::Opened,
            (Fop::LookupGfid { .. }, Some(Body::TwoIatts { before: stat, .. }))
            | (Fop::SetAttr { .. }, Some(Body::TwoIatts { after: stat, .. }))
            | (Fop::Fstat { .. }, Some(Body::Stat(stat))) => {
                op.stat = *stat;
                op.value = Value::Stat;
                result = 0;
            }
            (Fop::Seek { .. }, Some(Body::Seek { offset })) => op.value = Value::Offset(*offset),
            (Fop::Statfs { .. }, Some(Body::Statfs(statfs))) => op.value = Value::Statfs(*statfs),
            (Fop::Readlink { .. }, Some(Body::Readlink { .. }))
            | (Fop::GetXattr { .. }, Some(Body::Dict { .. }))
            | (Fop::Readdirp { .. }, Some(Body::Direntps(_))) => {
                op.last_page = end;
                self.keep = Some(id);
            }
            (
                Fop::LookupGfid { .. }
                | Fop::Fstat { .. }
                | Fop::Seek { .. }
                | Fop::Statfs { .. }
                | Fop::Readlink { .. }
                | Fop::GetXattr { .. }
                | Fop::Readdirp { .. }
                | Fop::Create { .. },
                _,
            ) => return self.finish(id, Err(OpError::BadAnswer("its body"))),
            _ => result = 0,
        }
        self.finish(id, Ok(result));
    }

    /// A WRITE is answered. The rest of a short one is written next; a count of 0 means that the
    /// brick has no space left.
    fn written(&mut self, id: OpId, fd: Fd, offset: u64, data: Range, count: u32) {
        let Some(op) = self.ops.get_mut(id) else { return };
        op.done = op.done.saturating_add(count);
        let done = op.done;
        if count == data.len {
            self.acknowledge_write(fd.file);
            return self.finish(id, Ok(done));
        }
        if count == 0 {
            return self.finish(id, Err(OpError::Errno(Errno::ENOSPC)));
        }
        let rest = Range { op: id, at: data.at + count, len: data.len - count };
        self.wind(
            id,
            Fop::Write { fd, offset: offset.saturating_add(u64::from(count)), data: rest },
        );
    }

    /// A WRITE is about to be acknowledged: from here on a flush has to cover it, unless the handle
    /// promises that each write is durable.
    fn acknowledge_write(&mut self, file: FileId) {
        if let Some(file) = self.context.files.get_mut(file)
            && !file.flags.has(OpenFlags::SYNC)
        {
            file.acknowledged += 1;
        }
    }

    /// Another change than a WRITE is about to be acknowledged. O_DSYNC and O_SYNC promise nothing
    /// about it, so a flush has to cover it in any case.
    fn acknowledge_change(&mut self, file: FileId) {
        if let Some(file) = self.context.files.get_mut(file) {
            file.acknowledged += 1;
        }
    }

    /// Counts the truncation that an open with O_TRUNC has caused as a change.
    fn acknowledge_truncation(&mut self, file: FileId, flags: OpenFlags) {
        if flags.has(OpenFlags::TRUNCATE) {
            self.acknowledge_change(file);
        }
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
