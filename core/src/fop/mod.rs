//! File operations: their numbers and their wire format, for both ends.

mod number;
mod open;
pub mod wire;

pub use number::FopNumber;
pub use open::OpenFlags;
