//! Buffers of operations, by slot: the only place where the adapter holds pointers to memory of its
//! callers.
//!
//! The contract of each unsafe block: a buffer is *lent* from `submit` until `give_back`. The
//! engine calls that when the core has completed the operation, or when a blocked caller unwinds
//! (`Hold`), and not before. A blocking caller does not return before that; an asynchronous caller
//! has moved its `Vec` into the slot. While a buffer is lent, only this table accesses it, and the
//! table is behind the engine's lock. Entries are compared by the operation's whole id, so the id
//! of a former operation of a slot finds nothing.
#![allow(unsafe_code)]

use brickwire_core::OpId;
use brickwire_core::volume::Range;

/// A lent buffer; `Lent::NONE` for operations without one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lent {
    start: *mut u8,
    len: usize,
    /// Whether it may be written: lent by `read_at`, not by `write_at`.
    writable: bool,
}

// SAFETY: a `Lent` is an address and a length. It is dereferenced only under the engine's lock,
// while the lender (a blocked thread, or a `Vec` moved into the slot) keeps the memory alive and
// does not access it. `u8`s may be accessed from any thread.
unsafe impl Send for Lent {}

impl Lent {
    pub(crate) const NONE: Lent = Lent { start: std::ptr::null_mut(), len: 0, writable: false };

    /// A buffer that received bytes are written to.
    pub(crate) fn writable(buffer: &mut [u8]) -> Self {
        Self { start: buffer.as_mut_ptr(), len: buffer.len(), writable: true }
    }

    /// A buffer whose bytes are sent.
    pub(crate) fn readable(buffer: &[u8]) -> Self {
        Self { start: buffer.as_ptr().cast_mut(), len: buffer.len(), writable: false }
    }

    fn contains(&self, range: Range) -> bool {
        (range.at as usize).checked_add(range.len as usize).is_some_and(|end| end <= self.len)
    }
}

/// Bytes of the buffer for received records: sixteen replies of 4 KiB with their heads, half of a
/// usual queue.
pub(super) const STAGING_BYTES: usize = 72 * 1024;

/// The entry of a slot in a table that is indexed by the core's slots. Entries are made at their
/// first use: the core takes the lowest free slot first, so the memory of a large table is touched
/// only as far as it is needed.
pub(super) fn slot_mut<T>(table: &mut Vec<Option<T>>, slot: usize) -> &mut Option<T> {
    if table.len() <= slot {
        table.resize_with(slot + 1, || None);
    }
    &mut table[slot]
}

/// All lent buffers, by slot of the operation.
#[derive(Debug)]
pub(crate) struct Buffers {
    slots: Vec<Option<(OpId, Lent)>>,
}

impl Buffers {
    pub(crate) fn new(ops: usize) -> Self {
        Self { slots: Vec::with_capacity(ops) }
    }

    pub(crate) fn lend(&mut self, op: OpId, buffer: Lent) {
        *slot_mut(&mut self.slots, op.slot()) = Some((op, buffer));
    }

    /// Returns the buffer of a completed operation to its lender.
    pub(crate) fn give_back(&mut self, op: OpId) {
        if let Some(slot) = self.slots.get_mut(op.slot())
            && slot.is_some_and(|(lender, _)| lender == op)
        {
            *slot = None;
        }
    }

    /// The operation in flight that has this slot.
    pub(crate) fn lender(&self, slot: usize) -> Option<OpId> {
        self.slots.get(slot).copied().flatten().map(|(op, _)| op)
    }

    fn find(&self, range: Range) -> Option<Lent> {
        let (op, lent) = (*self.slots.get(range.op.slot())?)?;
        (op == range.op && range.len > 0 && lent.contains(range)).then_some(lent)
    }

    /// The bytes of a range, to be sent. `None` if the range is not within a lent buffer; the
    /// caller must not send the record then.
    pub(crate) fn read(&self, range: Range) -> Option<&[u8]> {
        let lent = self.find(range)?;
        // SAFETY: the range is within the lent buffer (`find`), which is alive and not written by
        // others while it is lent (the module's contract). The result borrows the table, so the
        // buffer is not given back meanwhile.
        Some(unsafe {
            std::slice::from_raw_parts(lent.start.add(range.at as usize), range.len as usize)
        })
    }

    /// The bytes of a range, to be received into. `None` as for `read`.
    pub(crate) fn write(&mut self, range: Range) -> Option<&mut [u8]> {
        let lent = self.find(range).filter(|lent| lent.writable)?;
        // SAFETY: as for `read`; besides, the buffer was lent as `&mut [u8]` (`writable`), and the
        // table is borrowed mutably, so no other slice of it exists.
        Some(unsafe {
            std::slice::from_raw_parts_mut(lent.start.add(range.at as usize), range.len as usize)
        })
    }
}
