//! Errors in an option's value, and where they are.

use core::fmt;

/// A value that is not what its reader expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ValueError {
    /// The expected type.
    pub kind: ValueKind,
    /// The fault.
    pub fault: ValueFault,
    /// The byte of the volfile with the fault; for a [literal](super::Token::literal), the byte of
    /// the literal.
    pub offset: u32,
}

/// The type that a value is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ValueKind {
    /// on, off, yes, no, true, false, enable, disable, 1, 0
    Bool,
    /// An integer, as C reads it.
    Int,
    /// Bytes, perhaps with B, KB, MB, GB, TB or PB.
    Size,
    /// A percentage from 0 to 100.
    Percent,
    /// Either of these two.
    PercentOrSize,
    /// Seconds, perhaps with s, m, h, d or w.
    Time,
    /// A decimal number.
    Decimal,
    /// A host name or an internet address.
    Host,
    /// One of a list of words.
    Choice,
}

/// Faults of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ValueFault {
    /// Something is missing, such as a digit.
    Missing,
    /// This byte is not allowed here.
    Unexpected,
    /// The type is right; the value is too large or too small.
    OutOfRange,
    /// It is longer than any value of this type.
    TooLong,
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            ValueKind::Bool => "on or off",
            ValueKind::Int => "an integer",
            ValueKind::Size => "a size, as 64MB",
            ValueKind::Percent => "a percentage, as 10%",
            ValueKind::PercentOrSize => "a percentage or a size, as 10% or 1GB",
            ValueKind::Time => "a time, as 42 or 10m",
            ValueKind::Decimal => "a decimal number",
            ValueKind::Host => "a host name or an internet address",
            ValueKind::Choice => "one of the words that are accepted here",
        };
        let fault = match self.fault {
            ValueFault::Missing => "the text ends too early",
            ValueFault::Unexpected => "other text stands here",
            ValueFault::OutOfRange => "the value is out of range",
            ValueFault::TooLong => "the value is too long",
        };
        write!(f, "expected {kind}: {fault}, at byte {}", self.offset)
    }
}

impl core::error::Error for ValueError {}
