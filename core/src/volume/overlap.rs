//! What must not overtake what on one file.
//!
//! Bricks execute what is in flight together in any order (docs/spec/30-client-stack.md,
//! "io-threads"). Changes of one range therefore never are: the
//! younger one is sent when the older one is answered. That also keeps a repeated write from undoing a younger one.

use super::machine::Machine;
use super::operation::{Kind, OpState, Operation};
use crate::id::{FileId, OpId};

/// The bytes of a file that an operation changes: first, and one behind the last.
fn changes(op: &Operation) -> Option<(u64, u64)> {
    match op.kind {
        Kind::Write { offset, len } => Some((offset, offset.saturating_add(u64::from(len)))),
        Kind::Discard { offset, len }
        | Kind::WriteZeroes { offset, len }
        | Kind::Allocate { offset, len, .. } => Some((offset, offset.saturating_add(len))),
        Kind::Truncate { size } => Some((size, u64::MAX)),
        _ => None,
    }
}

/// What an operation waits for.
enum Waits {
    /// Nothing: it changes nothing, and says nothing about changes.
    Nothing,
    /// Changes of these bytes.
    Bytes(u64, u64),
    /// All changes: what was submitted before is covered, acknowledged yet or not.
    Changes,
    /// Everything: the handle goes, and nothing may be left on it.
    All,
}

impl Waits {
    fn of(younger: &Operation) -> Self {
        match (younger.kind, changes(younger)) {
            (Kind::Close, _) => Self::All,
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
            Self::All => true,
        }
    }
}

impl Machine<'_> {
    /// Appends an operation to its file's list; says whether it may begin.
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

    /// Is there no older operation that this one must wait for?
    fn is_free(&self, id: OpId, file: FileId) -> bool {
        let Some(op) = self.ops.get(id) else { return true };
        let waits = Waits::of(op);
        if let (Waits::Bytes(from, to), Some(file)) = (&waits, self.context.files.get(file))
            && file.abandoned_changes > 0
            && *from < file.abandoned_range.1
            && file.abandoned_range.0 < *to
        {
            return false;
        }
        if let Waits::Nothing = waits {
            return true;
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

    /// Takes an operation out of its file's list and begins those that waited for it.
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

    /// Begins what waited on a file, and waits for nothing any more.
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

    /// A change is given up while the brick has it: what is younger waits until that is over.
    pub(super) fn change_abandoned(&mut self, id: OpId, file: FileId) {
        let range = self.ops.get(id).and_then(changes);
        if let Some(file) = self.context.files.get_mut(file) {
            if file.abandoned_changes == 0 {
                file.abandoned_range = (u64::MAX, 0);
            }
            file.abandoned_changes += 1;
            if let Some((from, to)) = range {
                file.abandoned_range =
                    (file.abandoned_range.0.min(from), file.abandoned_range.1.max(to));
            }
        }
    }

    /// Changes that were given up are over: on some file those who waited for them may begin.
    pub(super) fn begin_unblocked(&mut self) {
        let mut from = 0;
        while let Some(file) = self.context.files.next_from(from) {
            from = file.slot() + 1;
            if self
                .context
                .files
                .get(file)
                .is_some_and(|file| file.abandoned_changes == 0 && file.ordered > 0)
            {
                self.begin_ordered(file);
            }
        }
    }
}
