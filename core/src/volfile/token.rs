//! Words and strings of a volfile, as spans and as borrowed bytes.

use core::fmt::{self, Write as _};

/// The place of a token in the text. A string's span is the part between its quotes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TokenSpan {
    start: u32,
    // The highest bit says that the decoded bytes differ from the text.
    len_and_escaped: u32,
}

const ESCAPED: u32 = 1 << 31;
/// The longest text whose offsets and lengths leave that bit free.
pub(super) const TEXT_BYTES_MAX: u32 = ESCAPED - 1;

impl TokenSpan {
    pub(super) fn new(start: u32, len: u32, escaped: bool) -> Self {
        Self { start, len_and_escaped: len & TEXT_BYTES_MAX | if escaped { ESCAPED } else { 0 } }
    }

    /// Offset of its first byte in the text.
    pub const fn start(self) -> u32 {
        self.start
    }

    /// Its length in the text, escapes included.
    pub const fn text_len(self) -> u32 {
        self.len_and_escaped & TEXT_BYTES_MAX
    }

    /// The token itself. With a text other than the parsed one, the result is another token or an
    /// empty one.
    pub fn of(self, text: &[u8]) -> Token<'_> {
        let start = self.start as usize;
        let end = start.saturating_add(self.text_len() as usize);
        let raw = text.get(start..end).unwrap_or_default();
        Token { raw, start: self.start, escaped: self.len_and_escaped & ESCAPED != 0 }
    }
}

/// A word or string of a volfile: a name, a type, a key or a value. Tokens are compared and hashed
/// by their decoded bytes, however they were quoted.
#[derive(Clone, Copy)]
pub struct Token<'a> {
    raw: &'a [u8],
    start: u32,
    escaped: bool,
}

impl<'a> Token<'a> {
    /// A value that did not come from a volfile, such as an option given on a command line.
    pub const fn literal(bytes: &'a [u8]) -> Self {
        Self { raw: bytes, start: 0, escaped: false }
    }

    /// Its bytes in the text, if decoding leaves them unchanged, as it does in everything that
    /// glusterd generates.
    pub const fn as_raw(&self) -> Option<&'a [u8]> {
        if self.escaped { None } else { Some(self.raw) }
    }

    /// Its bytes as UTF-8, if decoding leaves them unchanged.
    pub fn as_str(&self) -> Option<&'a str> {
        core::str::from_utf8(self.as_raw()?).ok()
    }

    /// Whether it was a string with escapes or line ends in it.
    /// [`as_raw`](Self::as_raw) is then `None`.
    pub const fn is_escaped(&self) -> bool {
        self.escaped
    }

    /// Offset of its first byte in the text; see [`Volfile::position`](super::Volfile::position).
    pub const fn offset(&self) -> u32 {
        self.start
    }

    /// Its decoded bytes.
    pub const fn bytes(&self) -> Bytes<'a> {
        Bytes { rest: self.raw, escaped: self.escaped }
    }

    /// The number of its decoded bytes.
    pub fn decoded_len(&self) -> usize {
        if self.escaped { self.bytes().count() } else { self.raw.len() }
    }

    /// Whether it has no decoded bytes.
    pub fn is_empty(&self) -> bool {
        self.bytes().next().is_none()
    }

    /// Writes the decoded bytes to `out` and returns that part of it; `None` when
    /// `out` is shorter than [`decoded_len`](Self::decoded_len).
    pub fn decode_into<'b>(&self, out: &'b mut [u8]) -> Option<&'b [u8]> {
        let len = self.decoded_len();
        let out = out.get_mut(..len)?;
        out.iter_mut().zip(self.bytes()).for_each(|(to, from)| *to = from);
        Some(out)
    }

    /// The part of it from `from` to `to`, both counted in the text.
    pub(super) fn part(&self, from: usize, to: usize) -> Token<'a> {
        let start = self.start.saturating_add(u32::try_from(from).unwrap_or(u32::MAX));
        Token { raw: self.raw.get(from..to).unwrap_or_default(), start, escaped: self.escaped }
    }

    /// Its bytes in the text, with escapes.
    pub const fn raw(&self) -> &'a [u8] {
        self.raw
    }
}

impl<'a> From<&'a str> for Token<'a> {
    fn from(text: &'a str) -> Self {
        Self::literal(text.as_bytes())
    }
}

impl<'a> From<&'a [u8]> for Token<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::literal(bytes)
    }
}

/// The decoded bytes of a token.
#[derive(Clone, Debug)]
pub struct Bytes<'a> {
    rest: &'a [u8],
    escaped: bool,
}

impl Bytes<'_> {
    /// Bytes of the text that are not decoded yet.
    pub(super) const fn text_left(&self) -> usize {
        self.rest.len()
    }
}

impl Iterator for Bytes<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        loop {
            let (&byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            match byte {
                // docs/spec/02-volfile.md, "Stage 2: tokens": a raw newline in a string is dropped,
                // …
                b'\n' if self.escaped => continue,
                // … and a backslash makes the next byte stand for itself: `\n` is the letter n.
                b'\\' if self.escaped => {
                    let (&byte, rest) = rest.split_first()?;
                    self.rest = rest;
                    return Some(byte);
                }
                _ => return Some(byte),
            }
        }
    }
}

impl PartialEq for Token<'_> {
    fn eq(&self, other: &Self) -> bool {
        if self.escaped || other.escaped {
            self.bytes().eq(other.bytes())
        } else {
            self.raw == other.raw
        }
    }
}

impl Eq for Token<'_> {}

impl PartialEq<[u8]> for Token<'_> {
    fn eq(&self, other: &[u8]) -> bool {
        *self == Token::literal(other)
    }
}

impl PartialEq<str> for Token<'_> {
    fn eq(&self, other: &str) -> bool {
        *self == Token::literal(other.as_bytes())
    }
}

impl PartialEq<&str> for Token<'_> {
    fn eq(&self, other: &&str) -> bool {
        *self == Token::literal(other.as_bytes())
    }
}

impl core::hash::Hash for Token<'_> {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        self.bytes().for_each(|byte| state.write_u8(byte));
        state.write_u8(0);
    }
}

/// The decoded text. Bytes that are not UTF-8, and a character with an escape inside, become
/// U+FFFD.
impl fmt::Display for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.raw;
        while self.escaped
            && let Some(at) = rest.iter().position(|byte| matches!(byte, b'\\' | b'\n'))
        {
            let (before, from) = rest.split_at_checked(at).unwrap_or((rest, &[]));
            lossy(before, f)?;
            rest = match from {
                // The byte after a backslash begins the next piece and stands for itself.
                [b'\\', byte @ (b'\\' | b'\n'), behind @ ..] => {
                    f.write_char(char::from(*byte))?;
                    behind
                }
                [_, behind @ ..] => behind,
                [] => from,
            };
        }
        lossy(rest, f)
    }
}

fn lossy(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for chunk in bytes.utf8_chunks() {
        f.write_str(chunk.valid())?;
        if !chunk.invalid().is_empty() {
            f.write_char(char::REPLACEMENT_CHARACTER)?;
        }
    }
    Ok(())
}

/// Quoted, and safe to print with any content.
impl fmt::Debug for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        self.bytes().try_for_each(|byte| write!(f, "{}", byte.escape_ascii()))?;
        f.write_char('"')
    }
}
