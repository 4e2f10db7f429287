//! Option values by type (docs/spec/02-volfile.md, "Option value syntaxes"). A value is text; its
//! reader chooses the type.

use core::fmt;
use core::net::{IpAddr, Ipv6Addr};

use super::Token;
use super::number::Scan;
use super::value::{ValueError, ValueFault, ValueKind};

/// A decimal number, in millionths; digits beyond the sixth are cut off. The core has no floats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decimal {
    /// A million times the number.
    pub millionths: i64,
}

/// Value of options like `min-free-disk`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PercentOrSize {
    /// A percentage from 0 to 100.
    Percent(Decimal),
    /// Bytes.
    Size(u64),
}

/// A host in an option's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Host<'a> {
    /// A name, to be resolved by the adapter.
    Name(Token<'a>),
    /// An address.
    Ip(IpAddr),
    /// An IPv6 address and, behind its `%`, the interface where it is valid.
    Scoped(Ipv6Addr, Token<'a>),
}

impl<'a> Token<'a> {
    /// As a boolean, in any letter case.
    pub fn to_bool(&self) -> Result<bool, ValueError> {
        self.choose(ValueKind::Bool, BOOLS).map(|at| at < BOOLS.len() / 2)
    }

    /// The index of the value in `words`, in any letter case.
    pub fn to_choice(&self, words: &[&str]) -> Result<usize, ValueError> {
        self.choose(ValueKind::Choice, words)
    }

    /// As an integer: decimal, `0x` hexadecimal, or octal with a leading `0`.
    pub fn to_int(&self) -> Result<i64, ValueError> {
        self.scan(ValueKind::Int, |scan| {
            let value = scan.integer()?;
            scan.end()?;
            Ok(value)
        })
    }

    /// As bytes. Suffixes are powers of 1024; a fraction is allowed, as in `1.5GB`.
    pub fn to_size(&self) -> Result<u64, ValueError> {
        self.scan(ValueKind::Size, size)
    }

    /// As a percentage from 0 to 100, with or without its sign.
    pub fn to_percent(&self) -> Result<Decimal, ValueError> {
        self.scan(ValueKind::Percent, percent)
    }

    /// As a percentage if it ends in `%`, else as bytes.
    pub fn to_percent_or_size(&self) -> Result<PercentOrSize, ValueError> {
        self.scan(ValueKind::PercentOrSize, |scan| {
            if scan.rest().ends_with(b"%") {
                percent(scan).map(PercentOrSize::Percent)
            } else {
                size(scan).map(PercentOrSize::Size)
            }
        })
    }

    /// As seconds.
    pub fn to_seconds(&self) -> Result<u64, ValueError> {
        self.scan(ValueKind::Time, |scan| {
            let value = scan.integer()?;
            let unit = match scan.rest() {
                b"" | b"s" | b"sec" => 1,
                b"m" | b"min" => 60,
                b"h" | b"hr" => 3_600,
                b"d" | b"days" => 86_400,
                b"w" | b"wk" => 604_800,
                _ => return Err(ValueFault::Unexpected),
            };
            let seconds = u64::try_from(value).ok().and_then(|value| value.checked_mul(unit));
            seconds.ok_or_else(|| {
                scan.at = 0;
                ValueFault::OutOfRange
            })
        })
    }

    /// As a decimal number. Other forms that `strtod` reads (exponents, hexadecimal, infinity) are
    /// refused.
    pub fn to_decimal(&self) -> Result<Decimal, ValueError> {
        self.scan(ValueKind::Decimal, |scan| {
            let millionths = scan.millionths()?;
            scan.end()?;
            Ok(Decimal { millionths })
        })
    }

    /// As a list of the parts between commas, which may be empty. An empty value is an empty list.
    pub fn to_list(&self) -> List<'a> {
        List { rest: (!self.is_empty()).then_some(*self) }
    }

    /// As a host name or an internet address, without a port.
    pub fn to_host(&self) -> Result<Host<'a>, ValueError> {
        let mut room = [0; IP_TEXT_MAX];
        let raw = self.raw();
        let scope = raw.iter().position(|byte| *byte == b'%').filter(|_| !self.is_escaped());
        let address = self.part(0, scope.unwrap_or(raw.len()));
        let ip = address
            .decode_into(&mut room)
            .and_then(|bytes| core::str::from_utf8(bytes).ok())
            .and_then(|text| text.parse::<IpAddr>().ok());
        match (ip, scope) {
            (Some(ip), None) => Ok(Host::Ip(ip)),
            (Some(IpAddr::V6(ip)), Some(at)) if at.saturating_add(1) < raw.len() => {
                Ok(Host::Scoped(ip, self.part(at.saturating_add(1), raw.len())))
            }
            _ => self.check_host_name().map(|()| Host::Name(*self)),
        }
    }

    /// Labels of letters, digits, `-` and `_`, separated by single dots. If the last label had
    /// digits only, the name would be an IPv4 address, and parsing it as one has failed.
    fn check_host_name(&self) -> Result<(), ValueError> {
        let (mut label, mut numeric, mut before) = (0_usize, true, b'.');
        for (at, byte) in self.bytes().enumerate() {
            let fault = match byte {
                b'.' if label == 0 || before == b'-' => Some(ValueFault::Unexpected),
                b'-' if label == 0 => Some(ValueFault::Unexpected),
                b'.' | b'-' | b'_' => None,
                _ if byte.is_ascii_alphanumeric() => None,
                _ => Some(ValueFault::Unexpected),
            };
            let fault =
                fault.or((label >= 63 && byte != b'.' || at >= 253).then_some(ValueFault::TooLong));
            if let Some(fault) = fault {
                return Err(self.wrong(ValueKind::Host, fault, at));
            }
            if byte == b'.' {
                (label, numeric) = (0, true);
            } else {
                label = label.saturating_add(1);
                numeric &= byte.is_ascii_digit();
            }
            before = byte;
        }
        let fault = match before {
            // Empty, or with a dot at the end.
            b'.' => ValueFault::Missing,
            b'-' => ValueFault::Unexpected,
            _ if numeric => ValueFault::Unexpected,
            _ => return Ok(()),
        };
        let last = self.decoded_len().saturating_sub(usize::from(before != b'.'));
        Err(self.wrong(ValueKind::Host, fault, last))
    }

    fn choose(&self, kind: ValueKind, words: &[&str]) -> Result<usize, ValueError> {
        let found = words.iter().position(|word| {
            let lower = |byte: u8| byte.to_ascii_lowercase();
            self.bytes().map(lower).eq(word.bytes().map(lower))
        });
        let fault = if self.is_empty() { ValueFault::Missing } else { ValueFault::Unexpected };
        found.ok_or_else(|| self.wrong(kind, fault, 0))
    }

    fn scan<T>(
        &self,
        kind: ValueKind,
        read: impl FnOnce(&mut Scan<'_>) -> Result<T, ValueFault>,
    ) -> Result<T, ValueError> {
        let mut room = [0; NUMBER_BYTES_MAX];
        let bytes = self
            .decode_into(&mut room)
            .ok_or_else(|| self.wrong(kind, ValueFault::TooLong, NUMBER_BYTES_MAX))?;
        let mut scan = Scan::new(bytes);
        read(&mut scan).map_err(|fault| self.wrong(kind, fault, scan.at))
    }

    /// A fault at the byte `at` of the decoded token.
    fn wrong(&self, kind: ValueKind, fault: ValueFault, at: usize) -> ValueError {
        let mut bytes = self.bytes();
        let before = bytes.by_ref().take(at).count();
        let read = if before < at {
            self.raw().len()
        } else {
            self.raw().len().saturating_sub(bytes.text_left())
        };
        let offset = self.offset().saturating_add(u32::try_from(read).unwrap_or(u32::MAX));
        ValueError { kind, fault, offset }
    }
}

fn size(scan: &mut Scan<'_>) -> Result<u64, ValueFault> {
    scan.blanks();
    let start = scan.at;
    let (whole, fraction) = scan.decimal()?;
    let suffix = scan.rest();
    let units: [&[u8]; 7] = [b"", b"b", b"kb", b"mb", b"gb", b"tb", b"pb"];
    let unit = match units.iter().position(|unit| suffix.eq_ignore_ascii_case(unit)) {
        Some(power) => {
            1024_u64.checked_pow(u32::try_from(power).unwrap_or(u32::MAX).saturating_sub(1))
        }
        None => return Err(ValueFault::Unexpected),
    };
    unit.and_then(|unit| Scan::scaled(whole, fraction, unit)).ok_or_else(|| {
        scan.at = start;
        ValueFault::OutOfRange
    })
}

fn percent(scan: &mut Scan<'_>) -> Result<Decimal, ValueFault> {
    let millionths = scan.millionths()?;
    scan.take(b'%');
    scan.end()?;
    if (0..=100_000_000).contains(&millionths) {
        return Ok(Decimal { millionths });
    }
    scan.at = 0;
    Err(ValueFault::OutOfRange)
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (
            self.millionths.unsigned_abs() / 1_000_000,
            self.millionths.unsigned_abs() % 1_000_000,
        );
        let sign = if self.millionths < 0 { "-" } else { "" };
        write!(f, "{sign}{whole}")?;
        if part > 0 { write!(f, ".{part:06}") } else { Ok(()) }
    }
}

/// The parts of a value between its commas.
#[derive(Clone, Debug)]
pub struct List<'a> {
    rest: Option<Token<'a>>,
}

impl<'a> Iterator for List<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let rest = self.rest.take()?;
        let raw = rest.raw();
        // An escaped comma separates, too; a backslash alone at the end of a part is dropped.
        let Some(comma) = raw.iter().position(|byte| *byte == b',') else { return Some(rest) };
        self.rest = Some(rest.part(comma.saturating_add(1), raw.len()));
        Some(rest.part(0, comma))
    }
}

/// The words for yes, then as many words for no.
const BOOLS: &[&str] = &["1", "on", "yes", "true", "enable", "0", "off", "no", "false", "disable"];

/// The longest number that is read.
const NUMBER_BYTES_MAX: usize = 64;

/// The longest IPv6 address, with an IPv4 one at its end.
const IP_TEXT_MAX: usize = 45;
