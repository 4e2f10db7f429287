//! A part of a URI as it was written, and as it is meant.

use core::fmt::{self, Write};

/// A part of a URI, percent-encoded or not. It was checked when the URI was parsed: what it means is UTF-8 without a NUL.
#[derive(Clone, Copy, Debug)]
pub struct Component<'a> {
    raw: &'a str,
}

/// The room given is too short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooShort {
    /// Bytes that are needed.
    pub needed: usize,
}

impl<'a> Component<'a> {
    pub(super) const fn new(raw: &'a str) -> Self {
        Self { raw }
    }

    /// As it was written.
    pub const fn raw(&self) -> &'a str {
        self.raw
    }

    /// As it is meant, if that is how it was written.
    pub fn as_str(&self) -> Option<&'a str> {
        (!self.raw.contains('%')).then_some(self.raw)
    }

    /// What it means, byte by byte.
    pub fn bytes(&self) -> impl Iterator<Item = u8> + use<'a> {
        let mut rest = self.raw.as_bytes();
        core::iter::from_fn(move || {
            let (byte, next) = rest.split_first()?;
            if let (b'%', Some([high, low, behind @ ..])) = (byte, Some(next)) {
                let (high, low) = (char::from(*high).to_digit(16)?, char::from(*low).to_digit(16)?);
                rest = behind;
                return u8::try_from(high * 16 + low).ok();
            }
            rest = next;
            Some(*byte)
        })
    }

    /// Bytes of what it means.
    pub fn decoded_len(&self) -> usize {
        self.bytes().count()
    }

    /// Puts what it means into `room`.
    pub fn decode_into<'b>(&self, room: &'b mut [u8]) -> Result<&'b str, TooShort> {
        let needed = self.decoded_len();
        let room = room.get_mut(..needed).ok_or(TooShort { needed })?;
        for (to, from) in room.iter_mut().zip(self.bytes()) {
            *to = from;
        }
        core::str::from_utf8(room).map_err(|_| TooShort { needed })
    }

    /// Is there nothing in it?
    pub const fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }
}

impl PartialEq for Component<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes().eq(other.bytes())
    }
}

impl Eq for Component<'_> {}

impl PartialEq<str> for Component<'_> {
    fn eq(&self, other: &str) -> bool {
        self.bytes().eq(other.bytes())
    }
}

impl PartialEq<&str> for Component<'_> {
    fn eq(&self, other: &&str) -> bool {
        self.bytes().eq(other.bytes())
    }
}

/// What it means.
impl fmt::Display for Component<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut window, mut have) = ([0_u8; 4], 0_usize);
        for byte in self.bytes() {
            // A character has at most four bytes, and they are complete when they decode.
            if let Some(slot) = window.get_mut(have) {
                *slot = byte;
                have += 1;
            }
            if let Some(Ok(text)) = window.get(..have).map(core::str::from_utf8) {
                f.write_str(text)?;
                have = 0;
            } else if have == window.len() {
                f.write_char(char::REPLACEMENT_CHARACTER)?;
                have = 0;
            }
        }
        Ok(())
    }
}
