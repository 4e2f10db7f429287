//! Record marking: what stands before every fragment on the stream (docs/spec/01-wire.md, "Byte
//! stream and records").

/// The mark of a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RecordMark {
    /// Is this the last fragment of its record?
    pub last: bool,
    /// Bytes that follow.
    pub len: u32,
}

impl RecordMark {
    /// Bytes of a mark.
    pub const LEN: usize = 4;

    /// Reads a mark.
    pub const fn parse(bytes: [u8; 4]) -> Self {
        let word = u32::from_be_bytes(bytes);
        Self { last: word & 0x8000_0000 != 0, len: word & 0x7fff_ffff }
    }

    /// The word of a record in one fragment, which is how every record is sent.
    pub const fn last(len: u32) -> u32 {
        0x8000_0000 | len
    }

    /// The word of this mark.
    pub const fn word(self) -> u32 {
        if self.last { Self::last(self.len) } else { self.len & 0x7fff_ffff }
    }
}
