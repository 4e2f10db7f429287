//! What is wrong with an option's value, and where.

use core::fmt;

/// A value that is not what its reader expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ValueError {
    /// What was expected.
    pub kind: ValueKind,
    /// How it is not that.
    pub fault: ValueFault,
    /// The byte of the volfile where it goes wrong; of a [literal](super::Token::literal), its own byte.
    pub offset: u32,
}

/// What a value is read as.
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

/// How a value can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ValueFault {
    /// Nothing stands where something must, such as a digit.
    Missing,
    /// What stands here must not.
    Unexpected,
    /// It is what was expected, but too large, or too small.
    OutOfRange,
    /// It is longer than any such value.
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
