//! Types of the values of options, and the check of a value against its type.

use core::fmt;

use super::addresses::address_rules;
use crate::volfile::{PercentOrSize, Token, ValueError};

/// The type of an option's value. All ranges include both ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum ValueType {
    Bool,
    /// A boolean that must be off: this server lacks the function that the text names.
    Off(&'static str),
    /// A boolean that must be on: off would need the function that the text names.
    On(&'static str),
    /// This word; any other one would need the function that the second text names.
    Only(&'static str, &'static str),
    /// A boolean or one of these words.
    BoolOr(&'static [&'static str]),
    Int(i64, i64),
    /// Bytes.
    Size(u64, u64),
    /// Seconds.
    Time(u64, u64),
    Percent,
    PercentOrSize,
    Choice(&'static [&'static str]),
    /// Addresses or patterns of addresses, separated by commas; or directories with these.
    Addresses,
    /// Any one word of a volfile.
    Word,
}

/// Why the value of an option is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ValueWrong {
    /// It cannot be parsed as its type.
    Unreadable(ValueError),
    /// The number is less than `min` or greater than `max`.
    OutOfRange {
        /// The least valid value.
        min: i64,
        /// The greatest valid value.
        max: i64,
    },
    /// It must be one of these words.
    NotOneOf(&'static [&'static str]),
    /// It must be a boolean or one of these words.
    NotBoolOr(&'static [&'static str]),
    /// It must be a list of addresses or patterns of addresses, or of directories with those.
    NotAddresses,
    /// It is not one plain word of a volfile: it is empty, a keyword, or has a blank, a quote, a
    /// backslash, a backtick or a control character. Values are written into volfiles unquoted.
    NoWord,
}

impl ValueType {
    /// Checks a value. `Ok(Some(function))` if it would turn on a function that this server lacks.
    pub(super) fn check(self, value: &str) -> Result<Option<&'static str>, ValueWrong> {
        // Names of directories may have blanks. These lists are not written into volfiles.
        let blanks = matches!(self, Self::Addresses) && value.starts_with('/');
        let fits = if blanks { value.split(' ').all(is_plain) } else { is_word(value) };
        if !fits {
            return Err(ValueWrong::NoWord);
        }
        let token = Token::from(value);
        match self {
            Self::Bool => _ = token.to_bool().map_err(ValueWrong::Unreadable)?,
            Self::Off(what) => {
                return Ok(token.to_bool().map_err(ValueWrong::Unreadable)?.then_some(what));
            }
            Self::On(what) => {
                return Ok((!token.to_bool().map_err(ValueWrong::Unreadable)?).then_some(what));
            }
            Self::Only(word, what) => return Ok((value != word).then_some(what)),
            Self::BoolOr(words) => {
                if token.to_bool().is_err() && token.to_choice(words).is_err() {
                    return Err(ValueWrong::NotBoolOr(words));
                }
            }
            Self::Int(min, max) => {
                within(token.to_int().map_err(ValueWrong::Unreadable)?, min, max)?;
            }
            Self::Size(min, max) => {
                unsigned_within(token.to_size().map_err(ValueWrong::Unreadable)?, min, max)?;
            }
            Self::Time(min, max) => {
                unsigned_within(token.to_seconds().map_err(ValueWrong::Unreadable)?, min, max)?;
            }
            Self::Percent => _ = token.to_percent().map_err(ValueWrong::Unreadable)?,
            Self::PercentOrSize => {
                let (PercentOrSize::Percent(_) | PercentOrSize::Size(_)) =
                    token.to_percent_or_size().map_err(ValueWrong::Unreadable)?;
            }
            // Case matters: some translators compare these words exactly.
            Self::Choice(words) if !words.contains(&value) => {
                return Err(ValueWrong::NotOneOf(words));
            }
            Self::Addresses => address_rules(value).try_for_each(|rule| rule.map(drop))?,
            Self::Choice(_) | Self::Word => {}
        }
        Ok(None)
    }
}

/// Whether the lexer of volfiles reads `text` as one unquoted word.
pub(super) fn is_word(text: &str) -> bool {
    let keyword =
        matches!(text, "volume" | "type" | "option" | "subvolumes" | "subvolumeS" | "end-volume");
    !text.is_empty() && !keyword && !text.starts_with('#') && is_plain(text)
}

/// Has the text no blank, quote, backslash, backtick or control character?
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte > b' ' && !matches!(byte, b'"' | b'\\' | b'`' | 0x7f))
}

fn within(value: i64, min: i64, max: i64) -> Result<(), ValueWrong> {
    if (min..=max).contains(&value) { Ok(()) } else { Err(ValueWrong::OutOfRange { min, max }) }
}

fn unsigned_within(value: u64, min: u64, max: u64) -> Result<(), ValueWrong> {
    let signed = |value| i64::try_from(value).unwrap_or(i64::MAX);
    within(signed(value), signed(min), signed(max))
}

impl fmt::Display for ValueWrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = |f: &mut fmt::Formatter<'_>, words: &[&str]| {
            words.iter().enumerate().try_for_each(|(at, word)| {
                let before = if at > 0 { ", " } else { "" };
                write!(f, "{before}{word}")
            })
        };
        match self {
            Self::Unreadable(error) => error.fmt(f),
            Self::OutOfRange { min, max } => write!(f, "must be from {min} to {max}"),
            Self::NotOneOf(list) => {
                f.write_str("must be one of ")?;
                words(f, list)
            }
            Self::NotBoolOr(list) => {
                f.write_str("must be on, off or ")?;
                words(f, list)
            }
            Self::NotAddresses => f.write_str(
                "must be addresses or patterns such as 10.0.0.*, separated by commas, or \
                 directories with addresses such as /dir(10.0.0.*|::1); host names and masks are \
                 not supported",
            ),
            Self::NoWord => f.write_str("must be one word without blanks, quotes and backslashes"),
        }
    }
}
