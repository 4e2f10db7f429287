//! The outcomes of operations' fops: what each means for the operation, and what is acknowledged.

use super::machine::Machine;
use super::operation::{Kind, OpState, Value};
use super::{OpError, OpenFlags};
use crate::boundary::Range;
use crate::fop::wire::{Body, Reply};
use crate::id::{FileId, InodeId, OpId};
use crate::xdr::{Errno, Gfid};
use crate::xlator::{Failure, Fd, Fop, Outcome};

impl Machine<'_> {
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
                self.flush_failed(&fd.gfid);
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
                if let Some(file) = self.context.files.get(fd.file) {
                    if self.context.has_lost_writes(file) {
                        return self.finish(id, Err(OpError::WritesLost));
                    }
                    if let Some(inode) = self.context.inodes.get_mut(file.inode) {
                        inode.synced.flushed(covers);
                    }
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
                self.acknowledge_change_through(fd.file);
                result = 0;
            }
            (Fop::Create { file, flags, .. }, Some(Body::Create { stat, .. })) => {
                op.stat = *stat;
                op.value = Value::Opened;
                if stat.gfid != Gfid::NONE
                    && let Err(table) = self.context.change_inode(file, stat.gfid)
                {
                    return self.finish(id, Err(OpError::Busy(table)));
                }
                self.acknowledge_truncation(file, flags);
            }
            (Fop::Open { fd, flags }, _) => {
                op.value = Value::Opened;
                self.acknowledge_truncation(fd.file, flags);
            }
            (Fop::Truncate { .. }, _) => {
                if let Some(inode) = op.inode {
                    self.acknowledge_change(inode);
                }
                result = 0;
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
        let flags = self.context.files.get(file).map(|file| file.flags);
        if flags.is_some_and(|flags| !flags.has(OpenFlags::SYNC)) {
            self.acknowledge_change_through(file);
        }
    }

    /// Another change than a WRITE is about to be acknowledged. O_DSYNC and O_SYNC promise nothing
    /// about it, so a flush has to cover it in any case.
    fn acknowledge_change_through(&mut self, file: FileId) {
        if let Some(file) = self.context.files.get_mut(file)
            && let Some(inode) = self.context.inodes.get_mut(file.inode)
        {
            file.last_change = inode.synced.acknowledge();
        }
    }

    /// The same for a change at a path.
    fn acknowledge_change(&mut self, inode: InodeId) {
        if let Some(inode) = self.context.inodes.get_mut(inode) {
            inode.synced.acknowledge();
        }
    }

    /// Counts the truncation that an open with O_TRUNC has caused as a change.
    fn acknowledge_truncation(&mut self, file: FileId, flags: OpenFlags) {
        if flags.has(OpenFlags::TRUNCATE) {
            self.acknowledge_change_through(file);
        }
    }
}
