//! Writing: a cursor over a buffer for a record.

use super::NoRoom;

/// A type that can be encoded into a record.
pub trait Encode {
    /// Appends its encoding to the writer.
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), NoRoom>;

    /// The number of bytes that `encode` writes.
    fn encoded_len(&self) -> usize {
        let mut w = Writer::counting();
        // A counting writer never runs out of room.
        let _ = self.encode(&mut w);
        w.position()
    }
}

/// A cursor over a buffer; or over none, to count bytes.
#[derive(Debug)]
pub struct Writer<'b> {
    room: Option<&'b mut [u8]>,
    at: usize,
}

impl<'b> Writer<'b> {
    /// A writer at the beginning of `room`.
    pub fn new(room: &'b mut [u8]) -> Self {
        Self { room: Some(room), at: 0 }
    }

    /// A writer that only counts.
    pub fn counting() -> Writer<'static> {
        Writer { room: None, at: 0 }
    }

    /// Bytes written so far.
    #[inline]
    pub fn position(&self) -> usize {
        self.at
    }

    /// Bytes that still fit; `usize::MAX` for a writer that only counts.
    pub fn left(&self) -> usize {
        self.room.as_ref().map_or(usize::MAX, |room| room.len().saturating_sub(self.at))
    }

    /// Goes back to the beginning and discards what was written.
    pub fn rewind(&mut self) {
        self.at = 0;
    }

    /// Bytes without a length or padding.
    #[inline]
    pub fn raw(&mut self, bytes: &[u8]) -> Result<(), NoRoom> {
        if let Some(room) = &mut self.room {
            // In two steps, from which the compiler sees that the lengths are equal.
            let place = room.get_mut(self.at..).and_then(|left| left.get_mut(..bytes.len()));
            match place {
                Some(place) => place.copy_from_slice(bytes),
                None => return Err(self.no_room(bytes.len())),
            }
        }
        self.at = self.at.saturating_add(bytes.len());
        Ok(())
    }

    #[cold]
    fn no_room(&self, len: usize) -> NoRoom {
        let has = self.room.as_ref().map_or(0, |room| room.len());
        NoRoom { needed: self.at.saturating_add(len) as u32, has: has as u32 }
    }

    /// `N` bytes without a length.
    #[inline]
    pub fn fixed<const N: usize>(&mut self, bytes: &[u8; N]) -> Result<(), NoRoom> {
        if let Some(room) = &mut self.room {
            match room.get_mut(self.at..).and_then(|left| left.first_chunk_mut::<N>()) {
                Some(place) => *place = *bytes,
                None => return Err(self.no_room(N)),
            }
        }
        self.at += N;
        Ok(())
    }

    /// A 32-bit word.
    #[inline]
    pub fn u32(&mut self, word: u32) -> Result<(), NoRoom> {
        self.fixed(&word.to_be_bytes())
    }

    /// A signed 32-bit word.
    #[inline]
    pub fn i32(&mut self, word: i32) -> Result<(), NoRoom> {
        self.fixed(&word.to_be_bytes())
    }

    /// A 64-bit word.
    #[inline]
    pub fn u64(&mut self, word: u64) -> Result<(), NoRoom> {
        self.fixed(&word.to_be_bytes())
    }

    /// A signed 64-bit word.
    #[inline]
    pub fn i64(&mut self, word: i64) -> Result<(), NoRoom> {
        self.fixed(&word.to_be_bytes())
    }

    /// Counted bytes, with their padding.
    pub fn opaque(&mut self, bytes: &[u8]) -> Result<(), NoRoom> {
        self.u32(bytes.len() as u32)?;
        self.raw(bytes)?;
        self.pad(bytes.len())
    }

    /// The padding after `len` bytes.
    pub fn pad(&mut self, len: usize) -> Result<(), NoRoom> {
        self.raw([0; 3].get(..super::padded(len) - len).unwrap_or_default())
    }

    /// Overwrites an earlier word.
    pub fn patch_u32(&mut self, at: usize, word: u32) {
        let room = self.room.as_mut().and_then(|room| room.get_mut(at..)?.first_chunk_mut());
        if let Some(place) = room {
            *place = word.to_be_bytes();
        }
    }
}
