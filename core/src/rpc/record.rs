//! Record marking: the word before every fragment of a stream (docs/spec/01-wire.md, "Byte stream
//! and records").

/// The mark of a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RecordMark {
    /// Whether this is the last fragment of its record.
    pub last: bool,
    /// Bytes of the fragment.
    pub len: u32,
}

impl RecordMark {
    /// Encodes a mark.
    pub const LEN: usize = 4;

    /// Decodes a mark.
    pub const fn parse(bytes: [u8; 4]) -> Self {
        let word = u32::from_be_bytes(bytes);
        Self { last: word & 0x8000_0000 != 0, len: word & 0x7fff_ffff }
    }

    /// The mark of a record in one fragment. Every record is sent so.
    pub const fn last(len: u32) -> u32 {
        0x8000_0000 | len
    }

    /// The word of this mark.
    pub const fn word(self) -> u32 {
        if self.last { Self::last(self.len) } else { self.len & 0x7fff_ffff }
    }
}
