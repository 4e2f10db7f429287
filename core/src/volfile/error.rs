//! Errors in a volfile, and where they are.

use core::fmt;

use super::token::TokenSpan;

/// Why a volfile was refused: what, in which line and column, and in which volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VolfileError {
    /// Line from 1, counted by line feeds.
    pub line: u32,
    /// Byte of that line, from 1.
    pub column: u32,
    /// The fault.
    pub fault: Fault,
    /// The name of the volume with the fault, for [`volume`](Self::volume).
    volume: TokenSpan,
}

/// A table that the caller lends: a field of [`Tables`](super::Tables).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Table {
    /// `volumes`
    Volumes,
    /// `options`
    Options,
    /// `children`
    Children,
}

/// Faults of a volfile. The place of an error is the token that the fault names, or the token that
/// was found where another was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// The text is longer than the limit.
    TextTooLong {
        /// The limit.
        max: u32,
    },
    /// A backtick, wherever it stands: the real parser would run a shell command.
    Backtick,
    /// A NUL byte, wherever it stands.
    NulByte,
    /// A backslash that is not in a string.
    BackslashOutsideString,
    /// A backslash before a line feed, which is no escape.
    BackslashBeforeNewline,
    /// A string that no quote closes.
    UnterminatedString,
    /// A word or string longer than the limit.
    TokenTooLong {
        /// The limit.
        max: u32,
    },
    /// Nothing but blanks and comments.
    NoVolume,
    /// Outside of volumes only `volume` may stand.
    ExpectedVolume,
    /// After a volume's name only `type` may stand.
    ExpectedType,
    /// `volume` within a volume: the one before lacks its `end-volume`.
    NestedVolume,
    /// The text ends within a volume.
    UnendedVolume,
    /// `volume` without a name.
    MissingName,
    /// `type` without a name.
    MissingType,
    /// `option` without a key.
    MissingOptionKey,
    /// `option` without a value.
    MissingOptionValue,
    /// `subvolumes` without a name.
    MissingSubvolume,
    /// The empty string as a name, type, key or subvolume.
    EmptyName,
    /// A volume with neither options nor subvolumes.
    EmptyVolume,
    /// A second `type`.
    RepeatedType,
    /// A second `subvolumes`.
    RepeatedSubvolumes,
    /// A word where a keyword must stand, such as a second value of an option.
    UnexpectedWord,
    /// A volume of that name is there already.
    DefinedAgain {
        /// Line of the first one.
        first_line: u32,
    },
    /// A subvolume that is not defined, or not defined before the next error.
    UndefinedSubvolume,
    /// A subvolume that is defined too late.
    ForwardSubvolume {
        /// The line of its definition.
        line: u32,
    },
    /// A subvolume that is defined later, above the volume that lists it.
    CyclicSubvolume {
        /// The line of its definition.
        line: u32,
    },
    /// A volume that lists itself.
    OwnSubvolume,
    /// A subvolume that the same volume has listed already.
    RepeatedSubvolume,
    /// More volumes than the limit.
    TooManyVolumes {
        /// The limit.
        max: u16,
    },
    /// More options in one volume than the limit.
    TooManyOptions {
        /// The limit.
        max: u16,
    },
    /// More subvolumes of one volume than the limit.
    TooManyChildren {
        /// The limit.
        max: u16,
    },
    /// A longer chain of volumes from top to leaf than the limit.
    TooDeep {
        /// The limit.
        max: u16,
    },
    /// Names made to be slow to look up.
    CollidingNames,
    /// A lent table has too few entries.
    TableFull {
        /// Which.
        table: Table,
        /// Entries that it has.
        has: u32,
        /// Entries that the whole text needs.
        needs: u32,
    },
}

impl VolfileError {
    pub(super) fn new(
        text: &[u8],
        (fault, offset): (Fault, u32),
        volume: Option<TokenSpan>,
    ) -> Self {
        let (line, column) = position(text, offset);
        Self { line, column, fault, volume: volume.unwrap_or_default() }
    }

    /// The place in the text of the name of the volume with the fault, if a volume has it:
    /// [`TokenSpan::of`] the same text is the name.
    pub fn volume(&self) -> Option<TokenSpan> {
        // A volume's name is never empty.
        (self.volume.text_len() > 0).then_some(self.volume)
    }

    /// The error with the names from the text, for a person.
    pub fn explain<'a>(&'a self, text: &'a [u8]) -> Explained<'a> {
        Explained { error: self, text }
    }
}

/// Line and column of a byte, both from 1.
pub(super) fn position(text: &[u8], offset: u32) -> (u32, u32) {
    let before = text.get(..offset as usize).unwrap_or(text);
    let column = before.iter().rev().take_while(|byte| **byte != b'\n').count();
    (
        line_feeds(before).saturating_add(1),
        u32::try_from(column).unwrap_or(u32::MAX).saturating_add(1),
    )
}

pub(super) fn line_feeds(text: &[u8]) -> u32 {
    u32::try_from(text.iter().filter(|byte| **byte == b'\n').count()).unwrap_or(u32::MAX)
}

/// `line 79, column 8: …`
impl fmt::Display for VolfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.fault)
    }
}

/// A [`VolfileError`] that displays as `line 79, column 8, in volume "vms-trace": …`.
#[derive(Clone, Copy, Debug)]
pub struct Explained<'a> {
    error: &'a VolfileError,
    text: &'a [u8],
}

impl fmt::Display for Explained<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let VolfileError { line, column, fault, .. } = self.error;
        write!(f, "line {line}, column {column}, ")?;
        if let Some(volume) = self.error.volume() {
            write!(f, "in volume {:?}: ", volume.of(self.text))?;
        }
        fault.fmt(f)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match *self {
            Self::TextTooLong { max } => return write!(f, "longer than {max} bytes"),
            Self::Backtick => "a backtick: volfiles that run shell commands are refused",
            Self::NulByte => "a NUL byte",
            Self::BackslashOutsideString => "a backslash outside quotes",
            Self::BackslashBeforeNewline => "a backslash at the end of a line",
            Self::UnterminatedString => "a string without its closing quote",
            Self::TokenTooLong { max } => return write!(f, "a word of more than {max} bytes"),
            Self::NoVolume => "no volume is defined",
            Self::ExpectedVolume => "expected \"volume\"",
            Self::ExpectedType => "expected \"type\"",
            Self::NestedVolume => "a volume inside a volume: end-volume is missing",
            Self::UnendedVolume => "the text ends inside a volume",
            Self::MissingName => "volume without a name",
            Self::MissingType => "type without a name",
            Self::MissingOptionKey => "option without a key",
            Self::MissingOptionValue => "option without a value",
            Self::MissingSubvolume => "subvolumes without a name",
            Self::EmptyName => "an empty name",
            Self::EmptyVolume => "a volume without options and subvolumes",
            Self::RepeatedType => "a second type",
            Self::RepeatedSubvolumes => "a second subvolumes",
            Self::UnexpectedWord => "an unexpected word (a value with blanks needs quotes)",
            Self::DefinedAgain { first_line } => {
                return write!(
                    f,
                    "this volume is defined again: the first is in line {first_line}"
                );
            }
            Self::UndefinedSubvolume => "this subvolume is not defined before",
            Self::ForwardSubvolume { line } => {
                return write!(f, "this subvolume is only defined later, in line {line}");
            }
            Self::CyclicSubvolume { line } => {
                return write!(
                    f,
                    "a cycle: this subvolume, of line {line}, is above this volume itself"
                );
            }
            Self::OwnSubvolume => "a volume that is its own subvolume",
            Self::RepeatedSubvolume => "the same subvolume twice",
            Self::TooManyVolumes { max } => return write!(f, "more than {max} volumes"),
            Self::TooManyOptions { max } => {
                return write!(f, "more than {max} options in one volume");
            }
            Self::TooManyChildren { max } => {
                return write!(f, "more than {max} subvolumes of one volume");
            }
            Self::TooDeep { max } => {
                return write!(f, "more than {max} volumes on top of each other");
            }
            Self::CollidingNames => "too many volume names with the same hash",
            Self::TableFull { table, has, needs } => {
                let what = match table {
                    Table::Volumes => "volumes",
                    Table::Options => "options",
                    Table::Children => "subvolumes",
                };
                return write!(f, "there is room for {has} {what}, the volfile has {needs}");
            }
        };
        f.write_str(text)
    }
}

impl core::error::Error for VolfileError {}
