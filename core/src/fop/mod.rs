//! File operations: their numbers, and their form on the wire, for both ends.

mod number;
pub mod wire;

pub use number::FopNumber;
