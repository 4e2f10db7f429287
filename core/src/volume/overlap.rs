//! The order of changes of one inode, through whatever handles or paths they come.
//!
//! Bricks execute requests that are in flight together in any order (docs/spec/30-client-stack.md,
//! "io-threads"). Therefore a change is sent only when all older changes of the same bytes are
//! answered. This also keeps a repeated write from undoing a younger one.

use super::OpenFlags;
use super::machine::Machine;
use super::operation::{Kind, OpState, Operation};
use crate::id::{FileId, InodeId, OpId};
use crate::rpc::transport::Purpose;
use crate::time::Instant;
use crate::xlator::{Fop, InDoubt, Inode};

/// The bytes that an operation changes: the first, and the one behind the last.
///
/// A WRITE through a handle that appends goes to the end of the file, wherever that is when the
/// brick executes it, so it counts as a change of every byte.
fn changes(op: &Operation) -> Option<(u64, u64)> {
    match op.kind {
        Kind::Write { .. } if op.appends => Some((0, u64::MAX)),
        Kind::Write { offset, len } => Some((offset, offset.saturating_add(u64::from(len)))),
        Kind::Discard { offset, len }
        | Kind::WriteZeroes { offset, len }
        | Kind::Allocate { offset, len, .. } => Some((offset, offset.saturating_add(len))),
        Kind::Open { flags, .. } if flags.has(OpenFlags::TRUNCATE) => Some((0, u64::MAX)),
        Kind::Truncate { size } | Kind::TruncatePath { size } => Some((size, u64::MAX)),
        _ => None,
    }
}

/// The older operations of the same inode that an operation waits for.
enum Waits {
    /// Nothing: the operation changes no bytes, and is neither a flush nor a close.
    Nothing,
    /// Changes of these bytes.
    Bytes(u64, u64),
    /// All changes: a flush covers everything that was submitted before it.
    Changes,
    /// All operations on this handle: a close ends it.
    Handle(Option<FileId>),
}

impl Waits {
    fn of(younger: &Operation) -> Self {
        match (younger.kind, changes(younger)) {
            (Kind::Close, _) => Self::Handle(younger.file),
            (Kind::Flush { .. }, _) => Self::Changes,
            (_, Some((from, to))) => Self::Bytes(from, to),
            (_, None) => Self::Nothing,
        }
    }

    #[inline]
    fn includes(&self, older: &Operation) -> bool {
        match *self {
            Self::Nothing => false,
            Self::Bytes(from, to) => {
                changes(older).is_some_and(|older| from < older.1 && older.0 < to)
            }
            Self::Changes => changes(older).is_some(),
            Self::Handle(file) => older.file == file,
        }
    }
}

impl Machine<'_> {
    /// Appends an operation on a handle to the list of its inode. Returns whether it may begin.
    pub(super) fn join_file(&mut self, id: OpId, file: FileId) -> bool {
        match self.context.files.get(file) {
            Some(file) => self.join_inode(id, file.inode, file.flags.has(OpenFlags::APPEND)),
            None => true,
        }
    }

    /// Appends an operation to the list of an inode. Returns whether it may begin.
    pub(super) fn join_inode(&mut self, id: OpId, inode: InodeId, appends: bool) -> bool {
        let Some(entry) = self.context.inodes.get_mut(inode) else { return true };
        let older = entry.last_op.replace(id);
        if entry.first_op.is_none() {
            entry.first_op = Some(id);
        }
        if let Some(older) = older.and_then(|older| self.ops.get_mut(older)) {
            older.newer = Some(id);
        }
        if let Some(op) = self.ops.get_mut(id) {
            op.older = older;
            op.inode = Some(inode);
            op.appends = appends;
        }
        let free = self.is_free(id, inode);
        if !free {
            self.order(id, inode);
        }
        free
    }

    /// Winds a change at a path when the older changes of its inode are answered.
    pub(super) fn wind_in_order(&mut self, id: OpId, inode: InodeId, fop: Fop) {
        if self.join_inode(id, inode, false) {
            self.wind(id, fop);
        } else if let Some(op) = self.ops.get_mut(id) {
            op.fop = Some(fop);
        }
    }

    fn order(&mut self, id: OpId, inode: InodeId) {
        if let Some(op) = self.ops.get_mut(id) {
            op.state = OpState::Ordered;
        }
        if let Some(inode) = self.context.inodes.get_mut(inode) {
            inode.ordered += 1;
        }
    }

    /// Says whether no older operation, and no change that a brick may still execute, blocks this
    /// one.
    fn is_free(&self, id: OpId, inode: InodeId) -> bool {
        let Some(op) = self.ops.get(id) else { return true };
        let waits = Waits::of(op);
        match waits {
            Waits::Nothing => return true,
            Waits::Bytes(from, to) => {
                let inode = self.context.inodes.get(inode);
                if inode.is_some_and(|inode| inode.abandoned.holds(from, to)) {
                    return false;
                }
            }
            Waits::Changes | Waits::Handle(_) => {}
        }
        let mut next = op.older;
        while let Some(older) = next.and_then(|older| self.ops.get(older)) {
            if waits.includes(older) && !older.is_over() {
                return false;
            }
            next = older.older;
        }
        true
    }

    /// Takes an operation out of the list of its inode, if it is in one, and begins those that
    /// waited for it.
    pub(super) fn leave_inode(&mut self, id: OpId) {
        let Some(op) = self.ops.get_mut(id) else { return };
        let Some(inode) = op.inode.take() else { return };
        let (older, newer) = (op.older.take(), op.newer.take());
        let was_ordered = op.state == OpState::Ordered;
        if let Some(older) = older.and_then(|older| self.ops.get_mut(older)) {
            older.newer = newer;
        }
        if let Some(newer) = newer.and_then(|newer| self.ops.get_mut(newer)) {
            newer.older = older;
        }
        let Some(entry) = self.context.inodes.get_mut(inode) else { return };
        if entry.first_op == Some(id) {
            entry.first_op = newer;
        }
        if entry.last_op == Some(id) {
            entry.last_op = older;
        }
        if was_ordered {
            entry.ordered -= 1;
        }
        self.begin_ordered(inode);
        self.context.inodes.settle(inode);
    }

    /// Begins the operations of an inode that waited and that nothing blocks any more.
    fn begin_ordered(&mut self, inode: InodeId) {
        let Some(entry) = self.context.inodes.get(inode) else { return };
        let (mut next, mut left) = (entry.first_op, entry.ordered);
        while left > 0
            && let Some(each) = next
        {
            let Some(op) = self.ops.get(each) else { return };
            next = op.newer;
            if op.state != OpState::Ordered {
                continue;
            }
            left -= 1;
            if self.is_free(each, inode) {
                if let Some(inode) = self.context.inodes.get_mut(inode) {
                    inode.ordered -= 1;
                }
                if let Some(op) = self.ops.get_mut(each) {
                    // An operation at a path has its fop already.
                    op.state = if op.fop.is_some() { OpState::Acting } else { OpState::New };
                }
                self.admit(each);
            }
        }
    }

    /// An operation ends while its call is in flight. If it is a change, younger changes of the
    /// same bytes wait until the brick has answered it. Returns what the answer still means.
    pub(super) fn change_abandoned(&mut self, id: OpId) -> Purpose {
        match self.changed_bytes(id) {
            Some((id, inode, from, to)) => {
                Purpose::AbandonedChange(id, inode.abandoned.add_unanswered(from, to))
            }
            None => Purpose::Abandoned,
        }
    }

    /// An operation ends while its FSYNC is in flight. Returns what the answer still means.
    pub(super) fn flush_abandoned(&mut self, id: OpId) -> Purpose {
        match self.ops.get(id).and_then(|op| op.inode) {
            Some(inode) => {
                self.context.inodes.retain(inode);
                Purpose::AbandonedFsync(inode)
            }
            None => Purpose::Abandoned,
        }
    }

    /// An operation ends whose connection is gone, while a process may still execute it. If it is a
    /// change, younger changes of the same bytes wait.
    pub(super) fn change_in_doubt(&mut self, id: OpId, doubt: InDoubt) {
        if let Some((_, inode, from, to)) = self.changed_bytes(id) {
            inode.abandoned.add_in_doubt(from, to, doubt);
            self.context.arm_doubt(doubt.until);
        }
    }

    /// The inode of an operation, and the bytes that it changes there.
    fn changed_bytes(&mut self, id: OpId) -> Option<(InodeId, &mut Inode, u64, u64)> {
        let op = self.ops.get(id)?;
        let (from, to) = changes(op)?;
        Some((op.inode?, self.context.inodes.get_mut(op.inode?)?, from, to))
    }

    /// The brick's process is `server` now: changes that another process may have received are
    /// over.
    pub(super) fn process_answers(&mut self, server: u64) {
        self.end_doubts(|doubt| doubt.is_over_with(server));
    }

    /// Ends the doubt about changes that have had as long as an operation may take.
    pub(super) fn doubt_over(&mut self, now: Instant) {
        if let Some(next) = self.end_doubts(|doubt| doubt.until <= now) {
            self.context.arm_doubt(next);
        }
    }

    /// Ends the doubts that this says are over. Returns when the first of the others ends by
    /// itself.
    pub(super) fn end_doubts(&mut self, is_over: impl Fn(&InDoubt) -> bool) -> Option<Instant> {
        let (mut from, mut next_end) = (0, None);
        while let Some(id) = self.context.inodes.next_from(from) {
            from = id.slot() + 1;
            let Some(inode) = self.context.inodes.get_mut(id) else { continue };
            let ended = inode.abandoned.end_doubts(&is_over);
            let ends = [next_end, inode.abandoned.next_end()];
            next_end = ends.into_iter().flatten().min();
            if ended {
                self.context.unblocked(id);
            }
        }
        next_end
    }

    /// Begins the waiting operations of inodes of which an abandoned change is over.
    pub(super) fn begin_unblocked(&mut self) {
        let mut from = 0;
        while let Some(id) = self.context.inodes.next_from(from) {
            from = id.slot() + 1;
            let inode = self.context.inodes.get_mut(id);
            if inode.is_some_and(|inode| core::mem::take(&mut inode.unblocked)) {
                self.begin_ordered(id);
            }
        }
    }
}
