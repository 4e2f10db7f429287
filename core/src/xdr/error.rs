//! Errors in decoded bytes, and where they are.

use core::fmt;

/// A peer's bytes are malformed: the field, the byte and the fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct XdrError {
    /// The field, by its name on the wire.
    pub field: &'static str,
    /// Offset of the field's first byte in the decoded bytes.
    pub offset: u32,
    /// The fault.
    pub fault: Fault,
}

/// Faults of a field.
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
    /// A length or count exceeds its limit.
    TooLong {
        /// The length or count.
        len: u32,
        /// The limit.
        max: u32,
    },
    /// A word has a value that is not allowed.
    Value {
        /// The value.
        got: u64,
        /// The allowed values.
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

/// The encoded bytes do not fit the buffer.
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
