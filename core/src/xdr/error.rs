//! What is wrong with bytes, and where.

use core::fmt;

/// A peer's bytes do not say what they must: which field, at which byte, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct XdrError {
    /// The field, by its name on the wire.
    pub field: &'static str,
    /// Offset of the field's first byte in what was being decoded.
    pub offset: u32,
    /// What is wrong with it.
    pub fault: Fault,
}

/// How a field is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// The bytes end too early.
    Truncated {
        /// Bytes that the field needs.
        needed: u32,
        /// Bytes that are left.
        left: u32,
    },
    /// A length or count is larger than is sane.
    TooLong {
        /// What it says.
        len: u32,
        /// The most that is accepted.
        max: u32,
    },
    /// A word has a value that it cannot have.
    Value {
        /// What it says.
        got: u64,
        /// What would be right.
        expected: &'static str,
    },
}

impl fmt::Display for XdrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}: ", self.field, self.offset)?;
        match self.fault {
            Fault::Truncated { needed, left } => write!(f, "needs {needed} bytes, {left} are left"),
            Fault::TooLong { len, max } => write!(f, "length {len}, at most {max} is accepted"),
            Fault::Value { got, expected } => write!(f, "is {got}, expected {expected}"),
        }
    }
}

impl core::error::Error for XdrError {}

/// What is to be encoded does not fit the bytes given for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NoRoom {
    /// Bytes needed, at least.
    pub needed: u32,
    /// Bytes there.
    pub has: u32,
}

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes are needed, there is room for {}", self.needed, self.has)
    }
}

impl core::error::Error for NoRoom {}
