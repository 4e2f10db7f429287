//! Ids of inodes.

use core::fmt;

use super::{Decode, Encode, NoRoom, Reader, Writer, XdrError};

/// A gfid: 16 bytes that identify an inode of a volume, the same on every brick
/// (docs/spec/01-wire.md, "gfid and errno").
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gfid(pub [u8; 16]);

impl Gfid {
    /// None: all zeroes.
    pub const NONE: Gfid = Gfid([0; 16]);
    /// The root directory of every volume.
    pub const ROOT: Gfid = Gfid([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);

    /// A random gfid (UUID version 4) from these bytes.
    pub const fn v4(mut bytes: [u8; 16]) -> Self {
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        Self(bytes)
    }

    /// Reads the canonical text, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text: &[u8; 36] = text.try_into().ok()?;
        let mut bytes = [0; 16];
        let mut nibbles = 0;
        for (at, byte) in text.iter().enumerate() {
            if matches!(at, 8 | 13 | 18 | 23) {
                if *byte != b'-' {
                    return None;
                }
                continue;
            }
            let digit = char::from(*byte).to_digit(16)? as u8;
            let slot = bytes.get_mut(nibbles / 2)?;
            *slot = (*slot << 4) | digit;
            nibbles += 1;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for Gfid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Gfid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<'a> Decode<'a> for Gfid {
    #[inline]
    fn decode(r: &mut Reader<'a>) -> Result<Self, XdrError> {
        r.fixed("gfid").map(|bytes| Self(*bytes))
    }
}

impl Encode for Gfid {
    #[inline]
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        w.fixed(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn a_gfid_prints_as_it_parses() {
        let text = "cb847cb8-8f7e-4d08-8d4a-e4240c17aea0";
        let gfid = Gfid::parse(text.as_bytes()).unwrap();
        assert_eq!(gfid.to_string(), text);
        assert_eq!(Gfid::parse(b"cb847cb8-8f7e-4d08-8d4a_e4240c17aea0"), None);
        assert_eq!(Gfid::parse(b""), None);
        assert_eq!(Gfid::v4([0xff; 16]).to_string(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }
}
