//! Buffers for payloads that are being received, and for long replies. Each is a piece of one
//! stretch of bytes, of exactly the length needed, in the first gap that is long enough.

use managed::ManagedSlice;

use super::sorted_table::Region;
use brickwire_core::server::{BufferId, Place};

/// A piece in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    at: u32,
    /// 0 for a piece that is not in use.
    len: u32,
}

#[derive(Debug, PartialEq)]
#[cfg_attr(feature = "alloc", derive(Clone))]
pub(super) struct Arena<'m> {
    bytes: Region<'m, u8>,
    extents: Region<'m, Extent>,
}

impl<'m> Arena<'m> {
    pub(super) fn new(bytes: ManagedSlice<'m, u8>, extents: ManagedSlice<'m, Extent>) -> Self {
        let mut extents = Region::from(extents);
        extents.fill(Extent::default());
        Self { bytes: bytes.into(), extents }
    }

    /// Length of the longest buffer that can ever be given out.
    pub(super) fn longest(&self) -> usize {
        if self.extents.is_empty() { 0 } else { self.bytes.len().min(u32::MAX as usize) }
    }

    pub(super) fn reserve(&mut self, len: u32) -> Option<BufferId> {
        // A buffer of length 0 still takes a byte, so that it has a place of its own.
        let len = len.max(1);
        let number = self.extents.iter().position(|extent| extent.len == 0)?;
        let mut at = 0_u32;
        let end = loop {
            let end = at.checked_add(len).filter(|end| *end as usize <= self.longest())?;
            let mut taken = self.extents.iter().filter(|extent| extent.len > 0);
            match taken.find(|extent| extent.at < end && extent.at + extent.len > at) {
                // Continue after the piece in the way; `at` rises in each turn.
                Some(extent) => at = extent.at + extent.len,
                None => break end,
            }
        };
        *self.extents.get_mut(number)? = Extent { at, len: end - at };
        Some(BufferId(number as u32))
    }

    pub(super) fn release(&mut self, buffer: BufferId) {
        if let Some(extent) = self.extents.get_mut(buffer.0 as usize) {
            *extent = Extent::default();
        }
    }

    pub(super) fn release_all(&mut self) {
        self.extents.fill(Extent::default());
    }

    fn extent(&self, buffer: BufferId) -> core::ops::Range<usize> {
        let Extent { at, len } = self.extents.get(buffer.0 as usize).copied().unwrap_or_default();
        at as usize..(at + len) as usize
    }

    pub(super) fn bytes_mut(&mut self, buffer: BufferId) -> &mut [u8] {
        let range = self.extent(buffer);
        self.bytes.get_mut(range).unwrap_or_default()
    }

    pub(super) fn bytes(&self, place: Place) -> &[u8] {
        let bytes = self.bytes.get(self.extent(place.buffer)).unwrap_or_default();
        let begin = place.at as usize;
        bytes.get(begin..begin.saturating_add(place.len as usize)).unwrap_or_default()
    }

    /// Number of buffers in use.
    pub(super) fn taken(&self) -> u32 {
        self.extents.iter().filter(|extent| extent.len > 0).count() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn buffers_never_overlap_and_the_first_gap_that_is_long_enough_is_taken() {
        let mut arena = Arena::new(
            ManagedSlice::Owned(vec![0; 100]),
            ManagedSlice::Owned(vec![Extent::default(); 4]),
        );
        let ids = [40, 20, 40].map(|len| arena.reserve(len).unwrap());
        assert_eq!(arena.reserve(1), None, "all bytes are taken");
        arena.release(ids[1]);
        assert_eq!(arena.reserve(21), None);
        let small = arena.reserve(15).unwrap();
        assert_eq!(small, ids[1]);
        for (n, id) in [ids[0], small, ids[2]].into_iter().enumerate() {
            arena.bytes_mut(id).fill(n as u8 + 1);
        }
        let place = |buffer, len| Place { buffer, at: 0, len };
        assert_eq!(arena.bytes(place(ids[0], 40)), [1; 40]);
        assert_eq!(arena.bytes(place(small, 15)), [2; 15]);
        assert_eq!(arena.bytes(place(ids[2], 40)), [3; 40]);
        assert_eq!(arena.taken(), 3);
        assert_eq!(arena.reserve(101), None);
    }
}
