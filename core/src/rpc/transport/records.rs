//! Memory for records that arrive in pieces, and for replies that are kept after their record.
//!
//! There are three kinds: an *inline buffer* for each connection, pooled *blocks* for longer
//! records and kept replies, and two buffers for volfiles ([`VolfileBuffers`]).

use managed::ManagedSlice;

use super::{Owner, Stored, TransportIx};
use crate::shift::shift;
use crate::slab::room;

/// Bytes of a connection's inline buffer: enough for the replies of most fops, and for the head of
/// every READ reply without xdata.
pub const INLINE_BYTES: usize = 640;

/// The inline buffer of a connection.
pub type InlineBuffer = [u8; INLINE_BYTES];

/// Index of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct BlockIx(pub(crate) u16);

/// Whether a block is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockSlot {
    taken: bool,
}

/// The inline buffers and blocks.
#[derive(Debug)]
pub(crate) struct Records<'m> {
    inline_buffers: ManagedSlice<'m, InlineBuffer>,
    inline_max: usize,
    blocks: ManagedSlice<'m, u8>,
    slots: ManagedSlice<'m, BlockSlot>,
    block_bytes: usize,
    free: usize,
    transfer_bytes: u32,
}

impl<'m> Records<'m> {
    pub(crate) fn new(
        inline_buffers: ManagedSlice<'m, InlineBuffer>,
        blocks: ManagedSlice<'m, u8>,
        slots: ManagedSlice<'m, BlockSlot>,
        transfer_bytes: u32,
    ) -> Self {
        let block_bytes = blocks.len().checked_div(slots.len()).unwrap_or(0);
        let free = slots.len();
        let inline_max = room(&inline_buffers);
        Self { inline_buffers, inline_max, blocks, slots, block_bytes, free, transfer_bytes }
    }

    /// Makes sure that a connection has its inline buffer. A table that came empty is filled up to
    /// it, within its capacity.
    pub(crate) fn reach(&mut self, at: TransportIx) {
        #[cfg(feature = "alloc")]
        if let ManagedSlice::Owned(inline_buffers) = &mut self.inline_buffers {
            let wanted = (usize::from(at.0) + 1).min(self.inline_max);
            while inline_buffers.len() < wanted {
                inline_buffers.push([0; INLINE_BYTES]);
            }
        }
        #[cfg(not(feature = "alloc"))]
        let _ = (at, self.inline_max);
    }

    pub(crate) fn block_bytes(&self) -> usize {
        self.block_bytes
    }

    /// Takes a block for a reply that is kept after its record. The last free block is left to the
    /// intake, so operations that hold all other blocks can still receive their replies.
    pub(crate) fn reserve(&mut self) -> Option<BlockIx> {
        if self.free < 2 { None } else { self.take_for_intake() }
    }

    pub(crate) fn take_for_intake(&mut self) -> Option<BlockIx> {
        let index = self.slots.iter().position(|slot| !slot.taken)?;
        self.slots.get_mut(index)?.taken = true;
        self.free -= 1;
        Some(BlockIx(index as u16))
    }

    pub(crate) fn give(&mut self, block: BlockIx) {
        if let Some(slot) = self.slots.get_mut(usize::from(block.0))
            && slot.taken
        {
            slot.taken = false;
            self.free += 1;
        }
    }

    /// Number of blocks in use.
    pub(crate) fn taken(&self) -> usize {
        self.slots.len() - self.free
    }

    pub(crate) fn has_free(&self) -> bool {
        self.free > 0
    }

    pub(crate) fn block(&self, block: BlockIx) -> &[u8] {
        let at = usize::from(block.0) * self.block_bytes;
        self.blocks.get(at..at + self.block_bytes).unwrap_or_default()
    }

    fn block_mut(&mut self, block: BlockIx) -> &mut [u8] {
        let at = usize::from(block.0) * self.block_bytes;
        self.blocks.get_mut(at..at + self.block_bytes).unwrap_or_default()
    }

    pub(crate) fn inline_buffer(&self, at: TransportIx) -> &[u8] {
        self.inline_buffers
            .get(usize::from(at.0))
            .map(|inline_buffer| &inline_buffer[..])
            .unwrap_or_default()
    }

    /// Copies `bytes` to `offset` of a connection's inline buffer or of a block.
    pub(crate) fn put(&mut self, at: TransportIx, stored: Stored, offset: usize, bytes: &[u8]) {
        let place = match stored {
            Stored::Block(block) => self.block_mut(block),
            Stored::Inline | Stored::Volfile => self
                .inline_buffers
                .get_mut(usize::from(at.0))
                .map(|inline_buffer| &mut inline_buffer[..])
                .unwrap_or_default(),
        };
        put(place, offset, bytes);
    }

    /// Copies `len` bytes from a connection's inline buffer into a block; returns whether they fit.
    pub(crate) fn keep_inline(&mut self, block: BlockIx, at: TransportIx, len: usize) -> bool {
        let Some(inline_buffer) = self.inline_buffers.get(usize::from(at.0)).copied() else {
            return false;
        };
        self.keep(block, inline_buffer.get(..len).unwrap_or_default())
    }

    /// Copies a record into a block; returns whether it fits.
    pub(crate) fn keep(&mut self, block: BlockIx, record: &[u8]) -> bool {
        put(self.block_mut(block), 0, record)
    }
}

/// Two halves: the volfile in use, and the one that is being fetched or replaced.
#[derive(Debug)]
pub(crate) struct VolfileBuffers<'m> {
    bytes: ManagedSlice<'m, u8>,
    /// The half that the next volfile goes to.
    pub(crate) spare: u8,
}

impl<'m> VolfileBuffers<'m> {
    pub(crate) fn new(bytes: ManagedSlice<'m, u8>) -> Self {
        Self { bytes, spare: 0 }
    }

    pub(crate) fn size(&self) -> usize {
        self.bytes.len() / 2
    }

    /// Copies `len` bytes of a half from `from` to `to`. Returns whether both are within it.
    pub(crate) fn copy(&mut self, which: u8, from: usize, to: usize, len: usize) -> bool {
        shift(self.half_mut(which), from, to, len)
    }

    pub(crate) fn half_mut(&mut self, which: u8) -> &mut [u8] {
        let (size, at) = (self.size(), usize::from(which & 1) * self.size());
        self.bytes.get_mut(at..at + size).unwrap_or_default()
    }

    pub(crate) fn half(&self, which: u8) -> &[u8] {
        let size = self.size();
        let at = usize::from(which & 1) * size;
        self.bytes.get(at..at + size).unwrap_or_default()
    }

    fn spare_mut(&mut self) -> &mut [u8] {
        let size = self.size();
        let at = usize::from(self.spare & 1) * size;
        self.bytes.get_mut(at..at + size).unwrap_or_default()
    }

    /// Copies a volfile that arrived in one piece into the spare half; returns whether it fits.
    pub(crate) fn keep(&mut self, text: &[u8]) -> bool {
        put(self.spare_mut(), 0, text)
    }

    /// Moves the volfile in a record that was gathered in the spare half to the half's beginning.
    pub(crate) fn keep_gathered(&mut self, from: usize, len: usize) -> bool {
        shift(self.spare_mut(), from, 0, len)
    }
}

/// All memory that a record may be gathered in.
pub(crate) struct GatherBuffers<'a, 'm> {
    pub(crate) records: &'a mut Records<'m>,
    pub(crate) volfiles: &'a mut VolfileBuffers<'m>,
}

impl GatherBuffers<'_, '_> {
    pub(crate) fn size_of(&self, stored: Stored) -> usize {
        match stored {
            Stored::Inline => INLINE_BYTES,
            Stored::Block(_) => self.records.block_bytes,
            Stored::Volfile => self.volfiles.size(),
        }
    }

    /// The longest record that is accepted on a connection.
    pub(crate) fn record_max(&self, owner: Owner) -> u32 {
        let block = self.records.block_bytes.max(INLINE_BYTES) as u32;
        match owner {
            Owner::Glusterd => (self.volfiles.size() as u32).max(block),
            _ => self.records.transfer_bytes.saturating_add(block),
        }
    }

    /// The first `len` gathered bytes of a connection.
    pub(crate) fn gathered(&self, at: TransportIx, stored: Stored, len: usize) -> &[u8] {
        let bytes = match stored {
            Stored::Inline => self.records.inline_buffer(at),
            Stored::Block(block) => self.records.block(block),
            Stored::Volfile => self.volfiles.half(self.volfiles.spare),
        };
        bytes.get(..len).unwrap_or_default()
    }

    pub(crate) fn store(&mut self, at: TransportIx, stored: Stored, offset: usize, bytes: &[u8]) {
        let place = match stored {
            Stored::Inline => self
                .records
                .inline_buffers
                .get_mut(usize::from(at.0))
                .map(|inline_buffer| &mut inline_buffer[..])
                .unwrap_or_default(),
            Stored::Block(block) => self.records.block_mut(block),
            Stored::Volfile => self.volfiles.spare_mut(),
        };
        put(place, offset, bytes);
    }

    /// Moves the bytes gathered in the inline buffer to the buffer that is used from now on.
    pub(crate) fn move_inline(&mut self, at: TransportIx, to: Stored, len: usize) {
        let Some(inline_buffer) = self.records.inline_buffers.get(usize::from(at.0)).copied()
        else {
            return;
        };
        self.store(at, to, 0, inline_buffer.get(..len).unwrap_or_default());
    }
}

fn put(place: &mut [u8], offset: usize, bytes: &[u8]) -> bool {
    match place.get_mut(offset..).and_then(|behind| behind.get_mut(..bytes.len())) {
        Some(place) => {
            place.copy_from_slice(bytes);
            true
        }
        None => false,
    }
}
