//! Reading: a cursor over a record.

use super::{Fault, XdrError};

/// A type that can be decoded from a record.
pub trait Decode<'a>: Sized {
    /// Decodes it, and moves the cursor past it.
    fn decode(r: &mut Reader<'a>) -> Result<Self, XdrError>;
}

/// A cursor over bytes. Each read names its field, for errors.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A cursor at the beginning of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, rest: bytes }
    }

    /// Bytes read so far.
    #[inline]
    pub fn offset(&self) -> u32 {
        (self.bytes.len() - self.rest.len()) as u32
    }

    /// Bytes left.
    #[inline]
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    /// Bytes that are not read yet.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// An error about a field that begins at the cursor.
    #[cold]
    pub fn error(&self, field: &'static str, fault: Fault) -> XdrError {
        XdrError { field, offset: self.offset(), fault }
    }

    #[cold]
    fn truncated(&self, field: &'static str, needed: usize) -> XdrError {
        self.error(field, Fault::Truncated { needed: needed as u32, left: self.left() as u32 })
    }

    /// `N` bytes without a length.
    #[inline]
    pub fn fixed<const N: usize>(&mut self, field: &'static str) -> Result<&'a [u8; N], XdrError> {
        match self.rest.split_first_chunk::<N>() {
            Some((head, rest)) => {
                self.rest = rest;
                Ok(head)
            }
            None => Err(self.truncated(field, N)),
        }
    }

    /// A 32-bit word.
    #[inline]
    pub fn u32(&mut self, field: &'static str) -> Result<u32, XdrError> {
        self.fixed::<4>(field).map(|bytes| u32::from_be_bytes(*bytes))
    }

    /// A signed 32-bit word.
    #[inline]
    pub fn i32(&mut self, field: &'static str) -> Result<i32, XdrError> {
        self.fixed::<4>(field).map(|bytes| i32::from_be_bytes(*bytes))
    }

    /// A 64-bit word.
    #[inline]
    pub fn u64(&mut self, field: &'static str) -> Result<u64, XdrError> {
        self.fixed::<8>(field).map(|bytes| u64::from_be_bytes(*bytes))
    }

    /// A signed 64-bit word.
    #[inline]
    pub fn i64(&mut self, field: &'static str) -> Result<i64, XdrError> {
        self.fixed::<8>(field).map(|bytes| i64::from_be_bytes(*bytes))
    }

    /// Counted bytes of at most `max`, with their padding.
    pub fn opaque(&mut self, field: &'static str, max: usize) -> Result<&'a [u8], XdrError> {
        let start = *self;
        let len = self.u32(field)? as usize;
        if len > max {
            return Err(start.error(field, Fault::TooLong { len: len as u32, max: max as u32 }));
        }
        let whole = super::padded(len);
        let (Some(value), Some(rest)) = (self.rest.get(..len), self.rest.get(whole..)) else {
            return Err(start.truncated(field, whole + 4));
        };
        self.rest = rest;
        Ok(value)
    }

    /// Counted text of at most `max` bytes. A NUL in it is refused (docs/spec/01-wire.md,
    /// "Conventions"): the other end would cut the name there.
    pub fn string(&mut self, field: &'static str, max: usize) -> Result<&'a [u8], XdrError> {
        let start = *self;
        let text = self.opaque(field, max)?;
        if text.contains(&0) {
            return Err(start.error(field, Fault::Value { got: 0, expected: "text without a NUL" }));
        }
        Ok(text)
    }

    /// Any decodable type. An error keeps the inner field's name and offset.
    #[inline]
    pub fn field<T: Decode<'a>>(&mut self, _field: &'static str) -> Result<T, XdrError> {
        T::decode(self)
    }

    /// Skips bytes.
    pub fn skip(&mut self, field: &'static str, len: usize) -> Result<(), XdrError> {
        match self.rest.get(len..) {
            Some(rest) => {
                self.rest = rest;
                Ok(())
            }
            None => Err(self.truncated(field, len)),
        }
    }

    /// The bytes between an earlier state of this cursor and now.
    pub fn since(&self, start: &Reader<'a>) -> &'a [u8] {
        start.rest.get(..start.rest.len().saturating_sub(self.rest.len())).unwrap_or_default()
    }
}
