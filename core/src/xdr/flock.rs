//! A byte range and its owner, as in lock fops (docs/spec/01-wire.md, "gf_flock, locks").

use super::{Decode, Encode, NoRoom, Reader, Writer, XdrError};

/// The longest lock owner.
const OWNER_MAX: usize = 1024;

/// `gf_flock`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flock<'a> {
    /// 0 read, 1 write, 2 unlock.
    pub kind: u32,
    /// 0: `start` counts from the beginning.
    pub whence: u32,
    /// First byte.
    pub start: u64,
    /// Bytes; 0 means to the end of the file.
    pub len: u64,
    /// Informative.
    pub pid: u32,
    /// Owner. Bricks use the one in the credential instead.
    pub lk_owner: &'a [u8],
}

impl<'a> Decode<'a> for Flock<'a> {
    fn decode(r: &mut Reader<'a>) -> Result<Self, XdrError> {
        Ok(Self {
            kind: r.u32("flock.type")?,
            whence: r.u32("flock.whence")?,
            start: r.u64("flock.start")?,
            len: r.u64("flock.len")?,
            pid: r.u32("flock.pid")?,
            lk_owner: r.opaque("flock.lk_owner", OWNER_MAX)?,
        })
    }
}

impl Encode for Flock<'_> {
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        w.u32(self.kind)?;
        w.u32(self.whence)?;
        w.u64(self.start)?;
        w.u64(self.len)?;
        w.u32(self.pid)?;
        w.opaque(self.lk_owner)
    }
}
