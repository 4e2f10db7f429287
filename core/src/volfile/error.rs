//! What is wrong with a volfile, and where.

use core::fmt;

use super::token::TokenSpan;

/// Why a volfile was refused: line and column (from 1), and in which volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VolfileError {
    /// Line, counted by line feeds.
    pub line: u32,
    /// Byte of that line.
    pub column: u32,
    /// What is wrong there.
    pub fault: Fault,
}

/// A table that the caller lends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Table {
    /// `Tables::volumes`
    Volumes,
    /// `Tables::options`
    Options,
    /// `Tables::children`
    Children,
}

/// What can be wrong with a volfile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[allow(missing_docs)] // Their texts are below.
pub enum Fault {
    Backtick,
    NulByte,
    BackslashOutsideString,
    BackslashBeforeNewline,
    UnterminatedString,
    TextTooLong { max: u32 },
    TokenTooLong { max: u32 },
    NoVolume,
    ExpectedVolume,
    ExpectedType,
    NestedVolume,
    UnendedVolume,
    MissingName,
    MissingType,
    MissingOptionKey,
    MissingOptionValue,
    MissingSubvolume,
    EmptyName,
    EmptyVolume,
    RepeatedType,
    RepeatedSubvolumes,
    UnexpectedWord,
    DefinedAgain,
    UndefinedSubvolume,
    OwnSubvolume,
    RepeatedSubvolume,
    TooManyVolumes { max: u16 },
    TooManyOptions { max: u16 },
    TooManyChildren { max: u16 },
    TooDeep { max: u16 },
    TableFull { table: Table, has: u32 },
}

impl VolfileError {
    pub(super) fn new(text: &[u8], (fault, offset): (Fault, u32), _volume: Option<TokenSpan>) -> Self {
        let (line, column) = position(text, offset);
        Self { line, column, fault }
    }
}

/// Line and column of a byte, both from 1.
pub(super) fn position(text: &[u8], offset: u32) -> (u32, u32) {
    let before = text.get(..(offset as usize).min(text.len())).unwrap_or_default();
    let line = before.iter().filter(|byte| **byte == b'\n').count() as u32 + 1;
    let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() as u32 + 1;
    (line, column)
}

impl fmt::Display for VolfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: ", self.line, self.column)?;
        match self.fault {
            Fault::Backtick => f.write_str("a backtick: volfiles that run shell commands are refused"),
            Fault::NulByte => f.write_str("a NUL byte"),
            Fault::BackslashOutsideString => f.write_str("a backslash outside quotes"),
            Fault::BackslashBeforeNewline => f.write_str("a backslash at the end of a line"),
            Fault::UnterminatedString => f.write_str("a string without its closing quote"),
            Fault::TextTooLong { max } => write!(f, "longer than {max} bytes"),
            Fault::TokenTooLong { max } => write!(f, "a word of more than {max} bytes"),
            Fault::NoVolume => f.write_str("no volume is defined"),
            Fault::ExpectedVolume => f.write_str("expected \"volume\""),
            Fault::ExpectedType => f.write_str("expected \"type\""),
            Fault::NestedVolume => f.write_str("a volume inside a volume: end-volume is missing"),
            Fault::UnendedVolume => f.write_str("the file ends inside a volume"),
            Fault::MissingName => f.write_str("volume without a name"),
            Fault::MissingType => f.write_str("type without a name"),
            Fault::MissingOptionKey => f.write_str("option without a key"),
            Fault::MissingOptionValue => f.write_str("option without a value"),
            Fault::MissingSubvolume => f.write_str("subvolumes without a name"),
            Fault::EmptyName => f.write_str("an empty name"),
            Fault::EmptyVolume => f.write_str("a volume without options and subvolumes"),
            Fault::RepeatedType => f.write_str("a second type"),
            Fault::RepeatedSubvolumes => f.write_str("a second subvolumes"),
            Fault::UnexpectedWord => f.write_str("an unexpected word"),
            Fault::DefinedAgain => f.write_str("this volume is defined again"),
            Fault::UndefinedSubvolume => f.write_str("this subvolume is not defined before"),
            Fault::OwnSubvolume => f.write_str("a volume that is its own subvolume"),
            Fault::RepeatedSubvolume => f.write_str("the same subvolume twice"),
            Fault::TooManyVolumes { max } => write!(f, "more than {max} volumes"),
            Fault::TooManyOptions { max } => write!(f, "more than {max} options in one volume"),
            Fault::TooManyChildren { max } => write!(f, "more than {max} subvolumes of one volume"),
            Fault::TooDeep { max } => write!(f, "more than {max} volumes on top of each other"),
            Fault::TableFull { table, has } => write!(f, "the table {table:?} is full with {has}"),
        }
    }
}

impl core::error::Error for VolfileError {}
