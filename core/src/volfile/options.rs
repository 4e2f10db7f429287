//! What options' values mean (volfile spec §4). Values are text; whoever reads one decides what it is.

use core::fmt;

use super::Token;

/// What a value was expected to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ValueKind {
    /// on, off, yes, no, true, false, enable, disable, 1, 0
    Bool,
    /// An integer, as C reads it.
    Int,
    /// Bytes, with KB, MB, GB, TB or PB.
    Size,
    /// A percentage.
    Percent,
    /// Seconds, with s, m, h, d or w.
    Time,
}

/// A value that is not what it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ValueError {
    /// What was expected.
    pub kind: ValueKind,
    /// Where the value stands in the volfile.
    pub offset: u32,
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            ValueKind::Bool => "on or off",
            ValueKind::Int => "an integer",
            ValueKind::Size => "a size, as 64MB",
            ValueKind::Percent => "a percentage",
            ValueKind::Time => "a time, as 42 or 10m",
        };
        write!(f, "the value at byte {} is not {what}", self.offset)
    }
}

impl core::error::Error for ValueError {}

/// The longest number that is read.
const NUMBER_MAX: usize = 40;

impl<'a> Token<'a> {
    fn wrong(&self, kind: ValueKind) -> ValueError {
        ValueError { kind, offset: self.offset() }
    }

    fn with_text<T>(&self, kind: ValueKind, read: impl FnOnce(&str) -> Option<T>) -> Result<T, ValueError> {
        let mut room = [0; NUMBER_MAX];
        let bytes = self.decode_into(&mut room).ok_or(self.wrong(kind))?;
        core::str::from_utf8(bytes).ok().and_then(read).ok_or(self.wrong(kind))
    }

    /// As a boolean, in any letter case.
    pub fn to_bool(&self) -> Result<bool, ValueError> {
        self.with_text(ValueKind::Bool, |text| {
            let any = |words: [&str; 5]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
            if any(["1", "on", "yes", "true", "enable"]) {
                Some(true)
            } else if any(["0", "off", "no", "false", "disable"]) {
                Some(false)
            } else {
                None
            }
        })
    }

    /// As an integer: decimal, `0x` hexadecimal, leading `0` octal.
    pub fn to_int(&self) -> Result<i64, ValueError> {
        self.with_text(ValueKind::Int, |text| {
            let (value, rest) = c_int(text)?;
            rest.is_empty().then_some(value)
        })
    }

    /// As bytes. Suffixes are powers of 1024; a fraction is allowed, as in `1.5GB`.
    pub fn to_size(&self) -> Result<u64, ValueError> {
        self.with_text(ValueKind::Size, |text| {
            let text = text.trim_start_matches([' ', '\t']);
            let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
            let (whole, rest) = text.split_at(digits);
            let whole: u64 = whole.parse().ok()?;
            let (fraction, suffix) = match rest.strip_prefix('.') {
                Some(rest) => rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())),
                None => ("", rest),
            };
            let unit: u64 = match suffix {
                "" => 1,
                _ if suffix.eq_ignore_ascii_case("b") => 1,
                _ if suffix.eq_ignore_ascii_case("kb") => 1 << 10,
                _ if suffix.eq_ignore_ascii_case("mb") => 1 << 20,
                _ if suffix.eq_ignore_ascii_case("gb") => 1 << 30,
                _ if suffix.eq_ignore_ascii_case("tb") => 1 << 40,
                _ if suffix.eq_ignore_ascii_case("pb") => 1 << 50,
                _ => return None,
            };
            let fraction = match fraction {
                "" => 0,
                digits => {
                    let digits = digits.get(..digits.len().min(9))?;
                    let value: u128 = digits.parse().ok()?;
                    u64::try_from(value * u128::from(unit) / 10_u128.pow(digits.len() as u32)).ok()?
                }
            };
            whole.checked_mul(unit)?.checked_add(fraction)
        })
    }

    /// As a whole percentage, with or without its sign.
    pub fn to_percent(&self) -> Result<u8, ValueError> {
        self.with_text(ValueKind::Percent, |text| {
            let value: u8 = text.strip_suffix('%').unwrap_or(text).parse().ok()?;
            (value <= 100).then_some(value)
        })
    }

    /// As seconds.
    pub fn to_seconds(&self) -> Result<u64, ValueError> {
        self.with_text(ValueKind::Time, |text| {
            let (value, suffix) = c_int(text)?;
            let unit = match suffix {
                "" | "s" | "sec" => 1,
                "m" | "min" => 60,
                "h" | "hr" => 3_600,
                "d" | "days" => 86_400,
                "w" | "wk" => 604_800,
                _ => return None,
            };
            u64::try_from(value).ok()?.checked_mul(unit)
        })
    }

    /// As a list: parts between commas. (Lists that glusterd writes have no escapes.)
    pub fn to_list(&self) -> List<'a> {
        List { rest: Some(*self) }
    }
}

/// Parts between commas.
#[derive(Clone, Debug)]
pub struct List<'a> {
    rest: Option<Token<'a>>,
}

impl<'a> Iterator for List<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let rest = self.rest.take()?;
        let raw = rest.raw();
        match raw.iter().position(|byte| *byte == b',') {
            Some(comma) => {
                self.rest = Some(rest.part(comma + 1, raw.len()));
                Some(rest.part(0, comma))
            }
            None => Some(rest),
        }
    }
}

/// A number as strtol with base 0 reads it, and what follows.
fn c_int(text: &str) -> Option<(i64, &str)> {
    let text = text.trim_start_matches([' ', '\t']);
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = match text.strip_prefix("0x").or(text.strip_prefix("0X")) {
        Some(rest) => (16, rest),
        None if text.len() > 1 && text.starts_with('0') => (8, text),
        None => (10, text),
    };
    let end = digits.find(|c: char| !c.is_digit(radix)).unwrap_or(digits.len());
    let (digits, rest) = digits.split_at(end);
    let value = i64::from_str_radix(digits, radix).ok()?;
    Some((if negative { value.checked_neg()? } else { value }, rest))
}
