//! Owners, domains and names of locks: strings of up to a few thousand bytes in a table of small
//! chunks.

use managed::ManagedSlice;

use crate::id::ChunkId;
use crate::slab::{Slab, Slot};

/// Bytes of a chunk: fits the owners of real clients (4 or 8 bytes) and most domains.
const CHUNK_BYTES: usize = 32;

/// A piece of a string.
#[derive(Clone, Copy, Debug)]
pub struct Chunk {
    bytes: [u8; CHUNK_BYTES],
    next: Option<ChunkId>,
    /// Valid in the first piece: number of references to the string.
    holders: u32,
}

/// A reference to a string in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StringRef {
    /// `None` if it is empty.
    first: Option<ChunkId>,
    len: u16,
    /// Checksum, to tell most strings apart without comparing them.
    sum: u32,
}

impl StringRef {
    /// Number of its chunks.
    pub(super) fn chunks(self) -> u32 {
        u32::from(self.len).div_ceil(CHUNK_BYTES as u32)
    }

    pub(super) fn mark(self) -> Mark {
        Mark(self.len.into(), self.sum)
    }
}

/// Length and checksum of a string, for comparisons where one mistake in four billion does no harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) struct Mark(usize, u32);

impl Mark {
    /// The mark of these bytes.
    pub(in crate::server) fn of(bytes: &[u8]) -> Self {
        Self(bytes.len(), sum(bytes))
    }
}

/// All strings.
#[derive(Debug)]
pub(super) struct Strings<'m> {
    slab: Slab<'m, Chunk, ChunkId>,
    free: usize,
}

/// FNV-1a with 32 bits.
fn sum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

impl<'m> Strings<'m> {
    pub(super) fn new(slots: ManagedSlice<'m, Slot<Chunk>>) -> Self {
        let free = crate::slab::room(&slots);
        Self { slab: Slab::new(slots), free }
    }

    /// Stores a string with one reference. `None`: no room.
    pub(super) fn put(&mut self, bytes: &[u8]) -> Option<StringRef> {
        let len = u16::try_from(bytes.len()).ok()?;
        if bytes.len().div_ceil(CHUNK_BYTES) > self.free {
            return None;
        }
        let mut next = None;
        for piece in bytes.chunks(CHUNK_BYTES).rev() {
            let mut chunk = Chunk { bytes: [0; CHUNK_BYTES], next, holders: 1 };
            if let Some(room) = chunk.bytes.get_mut(..piece.len()) {
                room.copy_from_slice(piece);
            }
            next = self.slab.insert(chunk);
            self.free -= 1;
        }
        Some(StringRef { first: next, len, sum: sum(bytes) })
    }

    /// Adds a reference.
    pub(super) fn share(&mut self, text: StringRef) -> StringRef {
        if let Some(chunk) = text.first.and_then(|first| self.slab.get_mut(first)) {
            chunk.holders += 1;
        }
        text
    }

    /// Drops a reference; the last one frees the string.
    pub(super) fn drop(&mut self, text: StringRef) {
        let Some(first) = text.first else { return };
        let Some(chunk) = self.slab.get_mut(first) else { return };
        chunk.holders = chunk.holders.saturating_sub(1);
        if chunk.holders > 0 {
            return;
        }
        let mut next = Some(first);
        while let Some(chunk) = next.and_then(|id| self.slab.remove(id)) {
            self.free += 1;
            next = chunk.next;
        }
    }

    /// The pieces of a string.
    pub(super) fn pieces(&self, text: StringRef) -> impl Iterator<Item = &[u8]> {
        let (mut next, mut left) = (text.first, usize::from(text.len));
        core::iter::from_fn(move || {
            let chunk = self.slab.get(next?)?;
            let piece = chunk.bytes.get(..left.min(CHUNK_BYTES))?;
            (next, left) = (chunk.next, left - piece.len());
            Some(piece)
        })
    }

    /// Is the string equal to `bytes`?
    pub(super) fn is(&self, text: StringRef, bytes: &[u8]) -> bool {
        usize::from(text.len) == bytes.len()
            && self.pieces(text).zip(bytes.chunks(CHUNK_BYTES)).all(|(one, other)| one == other)
    }

    /// Are two strings equal?
    pub(super) fn same(&self, one: StringRef, other: StringRef) -> bool {
        one.first == other.first
            || (one.len == other.len
                && one.sum == other.sum
                && self.pieces(one).zip(self.pieces(other)).all(|(one, other)| one == other))
    }

    /// Copies a string to the front of `room`; `None` if it does not fit.
    pub(super) fn copy<'r>(&self, text: StringRef, room: &'r mut [u8]) -> Option<&'r [u8]> {
        let room = room.get_mut(..usize::from(text.len))?;
        for (to, piece) in room.chunks_mut(CHUNK_BYTES).zip(self.pieces(text)) {
            to.copy_from_slice(piece.get(..to.len())?);
        }
        Some(room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn strings(chunks: usize) -> Strings<'static> {
        Strings::new(ManagedSlice::Owned(vec![Slot::EMPTY; chunks]))
    }

    #[test]
    fn texts_of_every_length_come_back_as_they_were_put_down() {
        let mut strings = strings(8);
        for len in [0, 1, 31, 32, 33, 64, 256] {
            let bytes: vec::Vec<u8> = (0..len).map(|n| n as u8).collect();
            let text = strings.put(&bytes).expect("there is room");
            assert!(strings.is(text, &bytes));
            assert_eq!(strings.copy(text, &mut [0; 256]), Some(&bytes[..]));
            if let Some(other) = bytes.len().checked_sub(1).map(|shorter| &bytes[..shorter]) {
                assert!(!strings.is(text, other));
            }
            strings.drop(text);
        }
        assert_eq!(strings.free, 8);
    }

    #[test]
    fn a_text_stays_as_long_as_somebody_holds_it_and_a_full_table_says_so() {
        let mut strings = strings(2);
        let one = strings.put(&[7; 40]).expect("there is room");
        strings.share(one);
        assert_eq!(strings.put(b"x"), None);
        strings.drop(one);
        assert!(strings.is(one, &[7; 40]));
        strings.drop(one);
        let other = strings.put(b"x").expect("there is room again");
        assert!(!strings.same(one, other));
    }
}
