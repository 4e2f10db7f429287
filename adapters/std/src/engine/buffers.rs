//! The buffers of operations, by slot: the one place where the adapter holds memory that is not its own.
//!
//! The contract that every block here rests on: a buffer is *lent* from `submit` until it is *given back* (`give_back`), which the
//! engine does when the core has said that the operation is over, or when a blocked caller unwinds (`Hold`), and not before. A
//! blocking caller does not leave before that; an asynchronous one has given its `Vec` away into the slot. While a buffer is
//! lent, nothing but this table touches it, and the table is behind the engine's lock. Each is known by its operation's whole
//! id: what names a former operation of the slot finds nothing.
#![allow(unsafe_code)]

use brickwire_core::OpId;
use brickwire_core::volume::Range;

/// A lent buffer. `Lent::NONE` for operations without one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lent {
    start: *mut u8,
    len: usize,
    /// May it be written? (What `read_at` lends may, what `write_at` lends may not.)
    writable: bool,
}

// SAFETY: a `Lent` is an address and a length; it is only followed under the engine's lock, during the time for which the
// lender (a blocked thread, or a `Vec` moved into the slot) keeps the memory alive and leaves it alone. Which thread
// follows it makes no difference to `u8`s.
unsafe impl Send for Lent {}

impl Lent {
    pub(crate) const NONE: Lent = Lent { start: std::ptr::null_mut(), len: 0, writable: false };

    /// To be read into.
    pub(crate) fn writable(buffer: &mut [u8]) -> Self {
        Self { start: buffer.as_mut_ptr(), len: buffer.len(), writable: true }
    }

    /// To be written from.
    pub(crate) fn readable(buffer: &[u8]) -> Self {
        Self { start: buffer.as_ptr().cast_mut(), len: buffer.len(), writable: false }
    }

    fn contains(&self, range: Range) -> bool {
        (range.at as usize).checked_add(range.len as usize).is_some_and(|end| end <= self.len)
    }
}

/// What the core parses: sixteen answers of 4 KiB with their heads, half of a usual queue.
pub(super) const STAGING_BYTES: usize = 72 * 1024;

/// The entry of a slot in a table that is indexed by the core's slots. Entries are made when they are first used: the core takes
/// the lowest free slot first, so the memory of a large table is touched only as far as it is needed.
pub(super) fn slot_mut<T>(table: &mut Vec<Option<T>>, slot: usize) -> &mut Option<T> {
    if table.len() <= slot {
        table.resize_with(slot + 1, || None);
    }
    &mut table[slot]
}

/// All lent buffers, by the slot of their operation.
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

    /// The operation is over: its buffer is the lender's again.
    pub(crate) fn give_back(&mut self, op: OpId) {
        if let Some(slot) = self.slots.get_mut(op.slot())
            && slot.is_some_and(|(lender, _)| lender == op)
        {
            *slot = None;
        }
    }

    fn find(&self, range: Range) -> Option<Lent> {
        let (op, lent) = (*self.slots.get(range.op.slot())?)?;
        (op == range.op && range.len > 0 && lent.contains(range)).then_some(lent)
    }

    /// Bytes to be sent. `None` if the range is none of a lent buffer: whoever asks must not go on with that record.
    pub(crate) fn read(&self, range: Range) -> Option<&[u8]> {
        let lent = self.find(range)?;
        // SAFETY: the range lies within the lent buffer (`find`), which is alive and not written by anybody else while it is
        // lent (the module's contract). The result borrows the table, so the buffer is not given back meanwhile.
        Some(unsafe {
            std::slice::from_raw_parts(lent.start.add(range.at as usize), range.len as usize)
        })
    }

    /// Where received bytes go. `None` as for `read`.
    pub(crate) fn write(&mut self, range: Range) -> Option<&mut [u8]> {
        let lent = self.find(range).filter(|lent| lent.writable)?;
        // SAFETY: as for `read`; besides, the buffer was lent as `&mut [u8]` (`writable`), and the table is borrowed
        // mutably, so that no other slice of it exists.
        Some(unsafe {
            std::slice::from_raw_parts_mut(lent.start.add(range.at as usize), range.len as usize)
        })
    }
}
