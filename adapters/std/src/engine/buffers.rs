//! The buffers of operations, by slot: the one place where the adapter holds memory that is not its own.
//!
//! The contract that every block here rests on: a buffer is *lent* from `submit` until its slot is *returned*, which happens when the
//! core has said that the operation is over, and not before. A blocking caller does not leave before that; an asynchronous
//! one has given its `Vec` away into the slot. While a buffer is lent, nothing but this table touches it, and the table is
//! behind the engine's lock.
#![allow(unsafe_code)]

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

/// All lent buffers, by the slot of their operation.
#[derive(Debug)]
pub(crate) struct Buffers {
    slots: Vec<Lent>,
}

impl Buffers {
    pub(crate) fn new(ops: usize) -> Self {
        Self { slots: vec![Lent::NONE; ops] }
    }

    pub(crate) fn lend(&mut self, slot: usize, buffer: Lent) {
        self.slots[slot] = buffer;
    }

    /// The operation is over: its buffer is the lender's again.
    pub(crate) fn give_back(&mut self, slot: usize) {
        self.slots[slot] = Lent::NONE;
    }

    /// Bytes to be sent. Empty if the range is none of a lent buffer, which the core never asks for.
    pub(crate) fn read(&self, range: Range) -> &[u8] {
        let lent = self.slots[range.op.slot()];
        if range.len == 0 || !lent.contains(range) {
            return &[];
        }
        // SAFETY: the range lies within the lent buffer (checked above), which is alive and not written by anybody else
        // while it is lent (the module's contract). The result borrows the table, so the slot is not given back meanwhile.
        unsafe { std::slice::from_raw_parts(lent.start.add(range.at as usize), range.len as usize) }
    }

    /// Where received bytes go.
    pub(crate) fn write(&mut self, range: Range) -> &mut [u8] {
        let lent = self.slots[range.op.slot()];
        if range.len == 0 || !lent.writable || !lent.contains(range) {
            return &mut [];
        }
        // SAFETY: as for `read`; besides, the buffer was lent as `&mut [u8]` (`writable`), and the table is borrowed
        // mutably, so that no other slice of it exists.
        unsafe { std::slice::from_raw_parts_mut(lent.start.add(range.at as usize), range.len as usize) }
    }
}
