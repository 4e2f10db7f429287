//! The codec: big-endian words, counted bytes padded to four, and the types that GlusterFS builds
//! of them (docs/spec/01-wire.md, "Dictionaries", "Data types").
//!
//! What is decoded is borrowed from the record. A length is compared with what is there before it is used, and every
//! failure knows its field and its byte.

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

/// Bytes that `len` bytes take with their padding.
pub const fn padded(len: usize) -> usize {
    len.div_ceil(4).saturating_mul(4)
}
