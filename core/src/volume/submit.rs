//! Submission of operations: their checks, and what is copied and reserved for them.

use super::machine::Machine;
use super::operation::{Kind, Operation};
use super::resolve::NAME_MAX;
use super::{Op, OpError, SubmitError, Table, Volume};
use crate::id::{FileId, Id, OpId};
use crate::time::Instant;
use crate::xlator::replicate::transaction;

/// Time that changes that are over get to be recorded when a volume stops.
const STOP_MS: u64 = 3_000;

/// The largest offset of a file, in bytes.
const OFFSET_MAX: u64 = i64::MAX as u64;

impl Volume<'_> {
    /// Takes an operation. Its buffer belongs to the volume until its
    /// [`Output::Complete`](super::Output::Complete), which comes exactly once. After an error
    /// nothing was taken, and the buffer stays the caller's.
    pub fn submit(&mut self, op: Op<'_>, now: Instant) -> Result<OpId, SubmitError> {
        self.tick(now);
        if self.machine.stopped {
            return Err(SubmitError::Stopped);
        }
        let Parsed { kind, texts, file } = parse(&op);
        self.check(&kind, &texts, file)?;
        let mut operation = Operation::new(kind);
        operation.file = file;
        if kind.keeps_answer() {
            operation.block = Some(self.records.reserve().ok_or(SubmitError::Busy(Table::Blocks))?);
        }
        let block = operation.block;
        let names = self.take_names(&texts);
        let id = match names {
            Ok(names) => {
                operation.names = names;
                self.machine.ops.insert(operation).ok_or(SubmitError::Busy(Table::Ops))
            }
            Err(error) => Err(error),
        };
        let id = match id {
            Ok(id) => id,
            Err(error) => {
                if let Some(block) = block {
                    self.records.give(block);
                }
                for name in names.into_iter().flatten().flatten() {
                    self.machine.context.names.give(name);
                }
                return Err(error);
            }
        };
        let timeout = u64::from(self.machine.context.config.op_timeout_ms);
        self.machine.context.timers.set(id.index() as u32, now.plus_millis(timeout));
        self.machine.accept(id, kind, file);
        self.end_step();
        Ok(id)
    }

    /// Cancels an operation: it ends with [`OpError::Stopped`], unless it has ended already. A
    /// brick may have executed it, or may execute it yet.
    pub fn cancel(&mut self, op: OpId, now: Instant) {
        self.tick(now);
        self.machine.abort(op, OpError::Stopped);
        self.end_step();
    }

    fn check(
        &self,
        kind: &Kind,
        texts: &[Option<&[u8]>; 2],
        file: Option<FileId>,
    ) -> Result<(), SubmitError> {
        let max = self.machine.context.names.size();
        for text in texts.iter().flatten() {
            if text.len() > max {
                return Err(SubmitError::TooLong { max: max as u32 });
            }
            if text.contains(&0) {
                return Err(SubmitError::BadPath);
            }
        }
        let name = matches!(kind, Kind::GetXattr | Kind::SetXattr { .. } | Kind::RemoveXattr)
            .then_some(texts[1])
            .flatten();
        if name.is_some_and(|name| name.is_empty() || name.len() > NAME_MAX) {
            return Err(SubmitError::BadPath);
        }
        let transfer = match *kind {
            Kind::Read { len, .. } | Kind::Write { len, .. } | Kind::SetXattr { len, .. } => len,
            _ => 0,
        };
        if transfer > self.limits.transfer_bytes {
            return Err(SubmitError::TooLong { max: self.limits.transfer_bytes });
        }
        let (offset, len) = kind.range();
        if offset.checked_add(len).is_none_or(|end| end > OFFSET_MAX) {
            return Err(SubmitError::BadRange);
        }
        if let Some(file) = file {
            let entry = self.machine.context.files.get(file).ok_or(SubmitError::BadFile)?;
            let fits =
                entry.dir == matches!(kind, Kind::ReadDir { .. }) || matches!(kind, Kind::Close);
            // A file that is still being opened has no handle yet, and one that is being closed has
            // none any more.
            if entry.closing
                || entry.first_fd.is_none() && entry.gfid == crate::xdr::Gfid::NONE
                || !fits
            {
                return Err(SubmitError::BadFile);
            }
        }
        Ok(())
    }

    /// Takes a buffer for each path of an operation.
    fn take_names(
        &mut self,
        texts: &[Option<&[u8]>; 2],
    ) -> Result<[Option<crate::names::NameIx>; 2], SubmitError> {
        let mut taken = [None; 2];
        for (slot, text) in taken.iter_mut().zip(texts) {
            let Some(text) = text else { continue };
            *slot = self.machine.context.names.take(text);
            if slot.is_none() {
                for name in taken.into_iter().flatten() {
                    self.machine.context.names.give(name);
                }
                return Err(SubmitError::Busy(Table::Names));
            }
        }
        Ok(taken)
    }
}

impl Machine<'_> {
    /// Begins an operation that was taken, or puts it where it waits.
    fn accept(&mut self, id: OpId, kind: Kind, file: Option<FileId>) {
        match (kind, file) {
            (Kind::Stop, _) => self.stop(id),
            (_, Some(file)) => {
                if kind == Kind::Close
                    && let Some(entry) = self.context.files.get_mut(file)
                {
                    entry.closing = true;
                }
                if self.join_file(id, file) {
                    self.admit(id);
                }
            }
            _ => self.admit(id),
        }
    }

    /// Ends all operations. Before the connections are closed, bricks are told that the changes are
    /// over, if that does not take long.
    fn stop(&mut self, id: OpId) {
        self.stopped = true;
        self.graphs.exchange = None;
        let mut from = 0;
        while let Some(each) = self.ops.next_from(from) {
            from = each.index() + 1;
            if each != id {
                self.abort(each, OpError::Stopped);
            }
        }
        for graph in 0..2 {
            transaction::release_all(&mut self.context, graph);
        }
        if self.context.transactions.len() == 0 {
            return self.stop_now(id);
        }
        self.stopping = Some(id);
        let until = self.context.now.plus_millis(STOP_MS);
        self.context.timers.set(id.index() as u32, until);
    }

    /// Closes all connections. Bricks free the fds and locks of closed connections.
    pub(super) fn stop_now(&mut self, id: OpId) {
        self.stopping = None;
        for graph in 0..2 {
            self.take_down(graph);
        }
        self.graphs.stop();
        self.context.disarm_exchange();
        // No graph is left whose bricks may still execute anything that matters to an operation.
        self.end_doubts(|_| true);
        self.context.disarm_doubt();
        self.session_stop();
        self.finish(id, Ok(0));
    }
}

/// An operation without borrowed fields, and the texts that it borrowed.
struct Parsed<'a> {
    kind: Kind,
    texts: [Option<&'a [u8]>; 2],
    file: Option<FileId>,
}

fn parse<'a>(op: &Op<'a>) -> Parsed<'a> {
    let plain = |kind| Parsed { kind, texts: [None; 2], file: None };
    let path = |kind, path| Parsed { kind, texts: [Some(path), None], file: None };
    let two = |kind, a, b| Parsed { kind, texts: [Some(a), Some(b)], file: None };
    let on = |kind, file| Parsed { kind, texts: [None; 2], file: Some(file) };
    match *op {
        Op::Start => plain(Kind::Start),
        Op::Stop => plain(Kind::Stop),
        Op::Statfs => plain(Kind::Statfs),
        Op::Stat { path: p, follow } => path(Kind::Stat { follow }, p),
        Op::Open { path: p, flags, mode } => path(Kind::Open { flags, mode }, p),
        Op::OpenDir { path: p } => path(Kind::OpenDir, p),
        Op::Mkdir { path: p, mode } => path(Kind::Mkdir { mode }, p),
        Op::Rmdir { path: p } => path(Kind::Rmdir, p),
        Op::Unlink { path: p } => path(Kind::Unlink, p),
        Op::Rename { from, to } => two(Kind::Rename, from, to),
        Op::Link { from, to } => two(Kind::Link, from, to),
        Op::Symlink { target, path: p } => two(Kind::Symlink, target, p),
        Op::Readlink { path: p } => path(Kind::Readlink, p),
        Op::TruncatePath { path: p, size } => path(Kind::TruncatePath { size }, p),
        Op::SetAttributes { path: p, set } => path(Kind::SetAttributes(set), p),
        Op::GetXattr { path: p, name } => two(Kind::GetXattr, p, name),
        Op::ListXattr { path: p } => path(Kind::ListXattr, p),
        Op::SetXattr { path: p, name, len, flags } => two(Kind::SetXattr { len, flags }, p, name),
        Op::RemoveXattr { path: p, name } => two(Kind::RemoveXattr, p, name),
        Op::Read { file, offset, len, fill } => on(Kind::Read { offset, len, fill }, file),
        Op::Write { file, offset, len } => on(Kind::Write { offset, len }, file),
        Op::Flush { file, data_only } => on(Kind::Flush { data_only }, file),
        Op::Discard { file, offset, len } => on(Kind::Discard { offset, len }, file),
        Op::WriteZeroes { file, offset, len } => on(Kind::WriteZeroes { offset, len }, file),
        Op::Allocate { file, offset, len, keep_size } => {
            on(Kind::Allocate { offset, len, keep_size }, file)
        }
        Op::Truncate { file, size } => on(Kind::Truncate { size }, file),
        Op::Fstat { file } => on(Kind::Fstat, file),
        Op::Seek { file, offset, hole } => on(Kind::Seek { offset, hole }, file),
        Op::ReadDir { dir, cookie } => on(Kind::ReadDir { cookie }, dir),
        Op::Close { file } => on(Kind::Close, file),
    }
}

impl Kind {
    /// Says whether the answer outlives the record that brings it.
    fn keeps_answer(&self) -> bool {
        matches!(self, Self::Readlink | Self::GetXattr | Self::ListXattr | Self::ReadDir { .. })
    }

    /// Offset and length of the bytes that it is about; (0, 0) if there are none.
    fn range(&self) -> (u64, u64) {
        match *self {
            Self::Read { offset, len, .. } | Self::Write { offset, len } => {
                (offset, u64::from(len))
            }
            Self::Discard { offset, len }
            | Self::WriteZeroes { offset, len }
            | Self::Allocate { offset, len, .. } => (offset, len),
            Self::Truncate { size } | Self::TruncatePath { size } => (size, 0),
            Self::Seek { offset, .. } => (offset, 0),
            _ => (0, 0),
        }
    }
}
