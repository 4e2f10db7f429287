//! The codec: big-endian words, counted bytes padded to four, and GlusterFS's types made of them
//! (docs/spec/01-wire.md, "Dictionaries", "Data types").
//!
//! Decoded values borrow from the record. A length is compared with the bytes that are present
//! before it is used, and each error has the field and the byte.

mod dict;
mod errno;
mod error;
mod flock;
mod gfid;
mod iatt;
mod reader;
mod writer;

pub use dict::{Dict, LegacyDict, LegacyPair, Mdata, Pair, Pairs, Value, put_legacy};
pub use errno::Errno;
pub use error::{Fault, NoRoom, XdrError};
pub use flock::Flock;
pub use gfid::Gfid;
pub use iatt::{FileType, Iatt, OldIatt};
pub use reader::{Decode, Reader};
pub use writer::{Encode, Writer};

/// The length of `len` bytes with their padding.
pub const fn padded(len: usize) -> usize {
    len.div_ceil(4).saturating_mul(4)
}
