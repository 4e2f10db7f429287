//! The order of changes of one file.
//!
//! Bricks execute requests that are in flight together in any order (docs/spec/30-client-stack.md,
//! "io-threads"). Therefore a change is sent only when all older changes of the same bytes are
//! answered. This also keeps a repeated write from undoing a younger one.

use super::OpenFlags;
use super::machine::Machine;
use super::operation::{Kind, OpState, Operation};
use crate::id::{FileId, OpId};
use crate::time::Instant;
use crate::xlator::InDoubt;

/// The bytes that an operation changes: the first, and the one behind the last.
///
/// A WRITE through a handle that appends goes to the end of the file, wherever that is when the
/// brick executes it, so it counts as a change of every byte.
fn changes(op: &Operation, appends: bool) -> Option<(u64, u64)> {
    match op.kind {
        Kind::Write { .. } if appends => Some((0, u64::MAX)),
        Kind::Write { offset, len } => Some((offset, offset.saturating_add(u64::from(len)))),
        Kind::Discard { offset, len }
        | Kind::WriteZeroes { offset, len }
        | Kind::Allocate { offset, len, .. } => Some((offset, offset.saturating_add(len))),
        Kind::Truncate { size } => Some((size, u64::MAX)),
        _ => None,
    }
}

/// The older operations of the same file that an operation waits for.
enum Waits {
    /// Nothing: the operation changes no bytes, and is neither a flush nor a close.
    Nothing,
    /// Changes of these bytes.
    Bytes(u64, u64),
    /// All changes: a flush covers everything that was submitted before it.
    Changes,
    /// All operations: a close ends the handle.
    All,
}

impl Waits {
    fn of(younger: &Operation, appends: bool) -> Self {
        match (younger.kind, changes(younger, appends)) {
            (Kind::Close, _) => Self::All,
            (Kind::Flush { .. }, _) => Self::Changes,
            (_, Some((from, to))) => Self::Bytes(from, to),
            (_, None) => Self::Nothing,
        }
    }

    #[inline]
    fn includes(&self, older: &Operation, appends: bool) -> bool {
        match *self {
            Self::Nothing => false,
            Self::Bytes(from, to) => {
                changes(older, appends).is_some_and(|older| from < older.1 && older.0 < to)
            }
            Self::Changes => changes(older, appends).is_some(),
            Self::All => true,
        }
    }
}

impl Machine<'_> {
    /// Appends an operation to the list of its file. Returns whether it may begin.
    pub(super) fn join_file(&mut self, id: OpId, file: FileId) -> bool {
        let Some(entry) = self.context.files.get_mut(file) else { return true };
        let older = entry.last_op.replace(id);
        if entry.first_op.is_none() {
            entry.first_op = Some(id);
        }
        if let Some(older) = older.and_then(|older| self.ops.get_mut(older)) {
            older.newer = Some(id);
        }
        if let Some(op) = self.ops.get_mut(id) {
            op.older = older;
        }
        let free = self.is_free(id, file);
        if !free {
            self.order(id, file);
        }
        free
    }

    fn order(&mut self, id: OpId, file: FileId) {
        if let Some(op) = self.ops.get_mut(id) {
            op.state = OpState::Ordered;
        }
        if let Some(file) = self.context.files.get_mut(file) {
            file.ordered += 1;
        }
    }

    /// Says whether no older operation, and no change that a brick may still execute, blocks this
    /// one.
    fn is_free(&self, id: OpId, file: FileId) -> bool {
        let Some(op) = self.ops.get(id) else { return true };
        let Some(file) = self.context.files.get(file) else { return true };
        let appends = file.flags.has(OpenFlags::APPEND);
        let waits = Waits::of(op, appends);
        if let Waits::Bytes(from, to) = waits
            && file.is_abandoned(from, to)
        {
            return false;
        }
        if let Waits::Nothing = waits {
            return true;
        }
        let mut next = op.older;
        while let Some(older) = next.and_then(|older| self.ops.get(older)) {
            if waits.includes(older, appends) && !older.is_over() {
                return false;
            }
            next = older.older;
        }
        true
    }

    /// Takes an operation out of the list of its file and begins those that waited for it.
    pub(super) fn leave_file(&mut self, id: OpId, file: FileId) {
        let Some(op) = self.ops.get_mut(id) else { return };
        let (older, newer) = (op.older.take(), op.newer.take());
        let was_ordered = op.state == OpState::Ordered;
        if let Some(older) = older.and_then(|older| self.ops.get_mut(older)) {
            older.newer = newer;
        }
        if let Some(newer) = newer.and_then(|newer| self.ops.get_mut(newer)) {
            newer.older = older;
        }
        let Some(entry) = self.context.files.get_mut(file) else { return };
        if entry.first_op == Some(id) {
            entry.first_op = newer;
        }
        if entry.last_op == Some(id) {
            entry.last_op = older;
        }
        if was_ordered {
            entry.ordered -= 1;
        }
        self.begin_ordered(file);
    }

    /// Begins the operations of a file that waited and that nothing blocks any more.
    fn begin_ordered(&mut self, file: FileId) {
        let Some(entry) = self.context.files.get(file) else { return };
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
            if self.is_free(each, file) {
                if let Some(file) = self.context.files.get_mut(file) {
                    file.ordered -= 1;
                }
                if let Some(op) = self.ops.get_mut(each) {
                    op.state = OpState::New;
                }
                self.admit(each);
            }
        }
    }

    /// Notes that an operation ends while its call is in flight: younger changes of the same bytes
    /// wait until the brick has answered it. Returns whether it changes any.
    pub(super) fn change_abandoned(&mut self, id: OpId, file: FileId) -> bool {
        let changes = self.add_abandoned_range(id, file);
        if let Some(file) = self.context.files.get_mut(file).filter(|_| changes) {
            file.abandoned_changes += 1;
        }
        changes
    }

    /// Notes that an operation ends whose connection is gone, while a process may still execute its
    /// change: younger changes of the same bytes wait.
    pub(super) fn change_in_doubt(&mut self, id: OpId, file: FileId, doubt: InDoubt) {
        if self.add_abandoned_range(id, file) {
            self.context.add_doubt(file, doubt);
        }
    }

    /// Adds the bytes that an operation changes to those that younger changes must not touch.
    /// Returns whether there are any.
    fn add_abandoned_range(&mut self, id: OpId, file: FileId) -> bool {
        let (Some(op), Some(file)) = (self.ops.get(id), self.context.files.get_mut(file)) else {
            return false;
        };
        let Some((from, to)) = changes(op, file.flags.has(OpenFlags::APPEND)) else {
            return false;
        };
        file.add_abandoned_range(from, to);
        true
    }

    /// The brick's process is `server` now: changes that another process may have received are
    /// over.
    pub(super) fn process_answers(&mut self, server: u64) {
        self.end_doubt(|doubt| doubt.server != 0 && server != 0 && doubt.server != server);
    }

    /// Ends the doubt about changes that have had as long as an operation may take.
    pub(super) fn doubt_over(&mut self, now: Instant) {
        self.end_doubt(|doubt| doubt.until <= now);
        let files = &self.context.files;
        let doubts = files.ids().filter_map(|id| files.get(id)?.in_doubt);
        if let Some(next) = doubts.map(|doubt| doubt.until).min() {
            self.context.arm_doubt(next);
        }
    }

    fn end_doubt(&mut self, is_over: impl Fn(InDoubt) -> bool) {
        let mut from = 0;
        while let Some(id) = self.context.files.next_from(from) {
            from = id.slot() + 1;
            if let Some(file) = self.context.files.get_mut(id)
                && file.in_doubt.is_some_and(&is_over)
            {
                file.in_doubt = None;
                self.context.abandoned_settled |= !file.has_abandoned_changes();
            }
        }
    }

    /// Begins the waiting operations of files whose last abandoned change is over.
    pub(super) fn begin_unblocked(&mut self) {
        let mut from = 0;
        while let Some(id) = self.context.files.next_from(from) {
            from = id.slot() + 1;
            let file = self.context.files.get(id);
            if file.is_some_and(|file| file.ordered > 0 && !file.has_abandoned_changes()) {
                self.begin_ordered(id);
            }
        }
    }
}
