//! What the values of options are, and whether one is that.

use core::fmt;

use crate::volfile::{PercentOrSize, Token, ValueError};

/// What the value of an option is.
#[derive(Clone, Copy, Debug)]
pub(super) enum ValueType {
    Bool,
    /// A boolean that must say no: what it would turn on is not there.
    Off(&'static str),
    /// A boolean that must say yes.
    On(&'static str),
    /// This word; all others would need something that is not there.
    Only(&'static str, &'static str),
    BoolOr(&'static [&'static str]),
    /// From the first to the second, both included, as in all ranges here.
    Int(i64, i64),
    Size(u64, u64),
    Time(u64, u64),
    Percent,
    PercentOrSize,
    Choice(&'static [&'static str]),
    /// Addresses or patterns of them, between commas.
    Addresses,
    /// Anything that is one word of a volfile.
    Word,
}

/// What is wrong with the value of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ValueWrong {
    /// It cannot be read as what it must be.
    Unreadable(ValueError),
    /// It can be, but is less than `min` or more than `max`.
    OutOfRange {
        /// The least value.
        min: i64,
        /// The greatest value.
        max: i64,
    },
    /// It is none of these words.
    NotOneOf(&'static [&'static str]),
    /// It is neither a boolean nor one of these words.
    NotBoolOr(&'static [&'static str]),
    /// No list of addresses or patterns of them.
    NotAddresses,
    /// Addresses for a directory of the volume only, which this server cannot tell apart.
    Subdirectory,
    /// It is empty, a keyword, or holds a blank, a quote, a backslash, a backtick or a control character: no single plain
    /// word of a volfile. glusterd writes values as they are, so a client could not read it.
    NoWord,
}

impl ValueType {
    /// `Ok(Some(what))` if the value would turn on something that is not there.
    pub(super) fn check(self, value: &str) -> Result<Option<&'static str>, ValueWrong> {
        if !is_word(value) {
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
            // Words are compared as they are: some translators do.
            Self::Choice(words) if !words.contains(&value) => {
                return Err(ValueWrong::NotOneOf(words));
            }
            Self::Addresses => addresses(value)?,
            Self::Choice(_) | Self::Word => {}
        }
        Ok(None)
    }
}

/// Does the lexer of a volfile read it as one word, as it is?
pub(super) fn is_word(text: &str) -> bool {
    let keyword =
        matches!(text, "volume" | "type" | "option" | "subvolumes" | "subvolumeS" | "end-volume");
    let plain = |byte: u8| byte > b' ' && !matches!(byte, b'"' | b'\\' | b'`' | 0x7f);
    !text.is_empty() && !keyword && !text.starts_with('#') && text.bytes().all(plain)
}

fn addresses(list: &str) -> Result<(), ValueWrong> {
    for address in list.split(',') {
        if address.starts_with('/') {
            return Err(ValueWrong::Subdirectory);
        }
        // A host's name would have to be looked up, and a mask counted: what would never match is not taken for a rule.
        let v6 = address.contains(':');
        let plain = |byte: u8| byte.is_ascii_digit() || b".*?".contains(&byte);
        let plain = |byte: u8| plain(byte) || v6 && (byte == b':' || byte.is_ascii_hexdigit());
        if address.is_empty() || !address.bytes().all(plain) {
            return Err(ValueWrong::NotAddresses);
        }
    }
    Ok(())
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
            Self::OutOfRange { min, max } => write!(f, "not from {min} to {max}"),
            Self::NotOneOf(list) => {
                f.write_str("none of ")?;
                words(f, list)
            }
            Self::NotBoolOr(list) => {
                f.write_str("neither on nor off nor ")?;
                words(f, list)
            }
            Self::NotAddresses => f.write_str(
                "no list of addresses or patterns of them (10.0.0.*), between commas: names of hosts and masks are none",
            ),
            Self::Subdirectory => f.write_str("this server admits clients to whole volumes only"),
            Self::NoWord => f.write_str("not a single plain word"),
        }
    }
}
