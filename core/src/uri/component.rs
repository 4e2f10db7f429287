//! A part of a URI, encoded and decoded.

use core::fmt::{self, Write};

/// A part of a URI, percent-encoded or not. It was checked when the URI was parsed: decoded, it has
/// no NUL, and is UTF-8 unless it is a path, whose names may be any bytes.
///
/// Two are equal if their decoded bytes are; `Display` writes the decoded text, with U+FFFD for
/// bytes that are not UTF-8.
#[derive(Clone, Copy, Debug)]
pub struct Component<'a> {
    raw: &'a str,
}

/// The buffer is too short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooShort {
    /// Bytes that are needed.
    pub needed: usize,
}

impl<'a> Component<'a> {
    pub(super) const fn new(raw: &'a str) -> Self {
        Self { raw }
    }

    /// The text as it was written.
    pub const fn raw(&self) -> &'a str {
        self.raw
    }

    /// The text, if nothing in it is escaped.
    pub fn as_str(&self) -> Option<&'a str> {
        (!self.raw.contains('%')).then_some(self.raw)
    }

    /// The decoded bytes.
    pub fn bytes(&self) -> impl Iterator<Item = u8> + use<'a> {
        self.located_bytes().map(|(_, byte)| byte)
    }

    /// The number of decoded bytes.
    pub fn decoded_len(&self) -> usize {
        self.bytes().count()
    }

    /// Writes the decoded bytes to `room`.
    pub fn decode_into<'b>(&self, room: &'b mut [u8]) -> Result<&'b [u8], TooShort> {
        let needed = self.decoded_len();
        let room = room.get_mut(..needed).ok_or(TooShort { needed })?;
        for (to, from) in room.iter_mut().zip(self.bytes()) {
            *to = from;
        }
        Ok(room)
    }

    /// Whether it is empty.
    pub const fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }

    /// The decoded bytes, each with its offset in the written text. A percent sign that begins no
    /// escape stands for itself; only the zone of an IPv6 address may have one.
    pub(super) fn located_bytes(&self) -> impl Iterator<Item = (usize, u8)> + Clone + use<'a> {
        let whole = self.raw.len();
        let mut rest = self.raw.as_bytes();
        core::iter::from_fn(move || {
            let at = whole - rest.len();
            let (byte, behind) = rest.split_first()?;
            rest = behind;
            if let (b'%', [high, low, behind @ ..]) = (byte, behind)
                && let Some(byte) = hex(*high, *low)
            {
                rest = behind;
                return Some((at, byte));
            }
            Some((at, *byte))
        })
    }

    /// The decoded characters, each with its offset in the written text; `None` for bytes that are
    /// not UTF-8.
    pub(super) fn chars(&self) -> impl Iterator<Item = (usize, Option<char>)> + use<'a> {
        let mut bytes = self.located_bytes();
        core::iter::from_fn(move || {
            let (at, first) = bytes.next()?;
            let width = match first {
                0xf0..=0xff => 4,
                0xe0..=0xef => 3,
                0xc0..=0xdf => 2,
                0x00..=0xbf => 1,
            };
            let mut character = [first, 0, 0, 0];
            let mut have = 1;
            let mut behind = bytes.clone();
            for (slot, (_, byte)) in character.iter_mut().take(width).skip(1).zip(&mut behind) {
                *slot = byte;
                have += 1;
            }
            let text = character.get(..have).and_then(|bytes| core::str::from_utf8(bytes).ok());
            let found = text.and_then(|text| text.chars().next());
            if found.is_some() {
                bytes = behind;
            }
            Some((at, found))
        })
    }

    /// Writes it encoded, so that parsing gives the same decoded bytes: characters that are not
    /// `plain` are escaped.
    pub(super) fn write_encoded(
        &self,
        f: &mut fmt::Formatter<'_>,
        plain: impl Fn(char) -> bool,
    ) -> fmt::Result {
        self.bytes().try_for_each(|byte| {
            let c = char::from(byte);
            if plain(c) { f.write_char(c) } else { write!(f, "%{byte:02X}") }
        })
    }
}

fn hex(high: u8, low: u8) -> Option<u8> {
    let (high, low) = (char::from(high).to_digit(16)?, char::from(low).to_digit(16)?);
    u8::try_from(high * 16 + low).ok()
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

/// The decoded text.
impl fmt::Display for Component<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.chars().try_for_each(|(_, c)| f.write_char(c.unwrap_or(char::REPLACEMENT_CHARACTER)))
    }
}

impl fmt::Display for TooShort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes of room are needed", self.needed)
    }
}

impl core::error::Error for TooShort {}
