//! Lists of operations, linked through the operations.

use super::operation::{List, Operation};
use crate::id::OpId;
use crate::slab::Slab;

/// First and last of a linked list of operations. An operation is in one list at a time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OpList {
    first: Option<OpId>,
    last: Option<OpId>,
}

impl OpList {
    /// The first operation.
    pub(super) fn first(&self) -> Option<OpId> {
        self.first
    }

    /// Appends an operation.
    pub(super) fn push(&mut self, ops: &mut Slab<'_, Operation, OpId>, id: OpId) {
        if let Some(op) = ops.get_mut(id) {
            op.next = None;
        }
        match self.last.and_then(|last| ops.get_mut(last)) {
            Some(last) => last.next = Some(id),
            None => self.first = Some(id),
        }
        self.last = Some(id);
    }

    /// Takes the first operation.
    pub(super) fn pop(&mut self, ops: &mut Slab<'_, Operation, OpId>) -> Option<OpId> {
        let id = self.first?;
        self.first = ops.get_mut(id).and_then(|op| op.next.take());
        if self.first.is_none() {
            self.last = None;
        }
        Some(id)
    }

    /// Takes an operation out, wherever it is in the list.
    pub(super) fn remove(&mut self, ops: &mut Slab<'_, Operation, OpId>, id: OpId) {
        let mut all = core::mem::take(self);
        while let Some(each) = all.pop(ops) {
            if each != id {
                self.push(ops, each);
            }
        }
        if let Some(op) = ops.get_mut(id) {
            op.list = List::None;
        }
    }
}
