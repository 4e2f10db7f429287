//! Numbers as C's functions read them, without floats.

use super::value::ValueFault;

/// A value's bytes and the position of the scan.
pub(super) struct Scan<'b> {
    bytes: &'b [u8],
    pub(super) at: usize,
}

impl<'b> Scan<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn rest(&self) -> &'b [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn first(&self) -> Option<u8> {
        self.rest().first().copied()
    }

    fn skip(&mut self, bytes: usize) {
        self.at = self.at.saturating_add(bytes).min(self.bytes.len());
    }

    pub(super) fn take(&mut self, byte: u8) -> bool {
        let taken = self.first() == Some(byte);
        self.skip(usize::from(taken));
        taken
    }

    /// The fault at this position.
    pub(super) fn fault(&self) -> ValueFault {
        if self.rest().is_empty() { ValueFault::Missing } else { ValueFault::Unexpected }
    }

    pub(super) fn end(&self) -> Result<(), ValueFault> {
        if self.rest().is_empty() { Ok(()) } else { Err(ValueFault::Unexpected) }
    }

    /// Skips the bytes that C's `isspace` accepts.
    pub(super) fn blanks(&mut self) {
        let blanks =
            self.rest().iter().take_while(|byte| matches!(byte, b' ' | b'\t'..=b'\r')).count();
        self.skip(blanks);
    }

    fn sign(&mut self) -> bool {
        let negative = self.take(b'-');
        if !negative {
            self.take(b'+');
        }
        negative
    }

    fn digit(&mut self, radix: u32) -> Option<u32> {
        let digit = char::from(self.first()?).to_digit(radix)?;
        self.skip(1);
        Some(digit)
    }

    /// `strtol` with base 0: blanks, a sign, then decimal, `0x` hexadecimal or `0` octal digits.
    pub(super) fn integer(&mut self) -> Result<i64, ValueFault> {
        self.blanks();
        let negative = self.sign();
        let radix = match self.rest() {
            [b'0', b'x' | b'X', digit, ..] if digit.is_ascii_hexdigit() => {
                self.skip(2);
                16
            }
            [b'0', ..] => 8,
            _ => 10,
        };
        let start = self.at;
        let mut value = Some(0_i64);
        while let Some(digit) = self.digit(radix) {
            value = value.and_then(|value| {
                let value = value.checked_mul(i64::from(radix))?;
                if negative {
                    value.checked_sub(i64::from(digit))
                } else {
                    value.checked_add(i64::from(digit))
                }
            });
        }
        if self.at == start {
            return Err(self.fault());
        }
        value.ok_or_else(|| self.out_of_range(start))
    }

    /// Digits with an optional fraction: the whole part, and the fraction in units of
    /// `FRACTION_UNIT`.
    pub(super) fn decimal(&mut self) -> Result<(u64, u64), ValueFault> {
        let start = self.at;
        let mut whole = Some(0_u64);
        let mut digits = 0_usize;
        while let Some(digit) = self.digit(10) {
            whole = whole.and_then(|whole| whole.checked_mul(10)?.checked_add(u64::from(digit)));
            digits = digits.saturating_add(1);
        }
        let mut fraction = 0_u64;
        if self.take(b'.') {
            let mut worth = FRACTION_UNIT;
            while let Some(digit) = self.digit(10) {
                worth /= 10;
                fraction = fraction.saturating_add(worth.saturating_mul(u64::from(digit)));
                digits = digits.saturating_add(1);
            }
        }
        if digits == 0 {
            return Err(self.fault());
        }
        whole.map(|whole| (whole, fraction)).ok_or_else(|| self.out_of_range(start))
    }

    /// A decimal number with blanks and a sign before it, in millionths.
    pub(super) fn millionths(&mut self) -> Result<i64, ValueFault> {
        self.blanks();
        let start = self.at;
        let negative = self.sign();
        let (whole, fraction) = self.decimal()?;
        let millionths = i64::try_from(whole)
            .ok()
            .and_then(|whole| whole.checked_mul(1_000_000))
            .and_then(|whole| whole.checked_add_unsigned(fraction / (FRACTION_UNIT / 1_000_000)))
            .ok_or_else(|| self.out_of_range(start))?;
        Ok(if negative { millionths.saturating_neg() } else { millionths })
    }

    /// The result of `decimal` times a unit.
    pub(super) fn scaled(whole: u64, fraction: u64, unit: u64) -> Option<u64> {
        let fraction =
            u128::from(fraction).checked_mul(u128::from(unit))? / u128::from(FRACTION_UNIT);
        whole.checked_mul(unit)?.checked_add(u64::try_from(fraction).ok()?)
    }

    fn out_of_range(&mut self, start: usize) -> ValueFault {
        self.at = start;
        ValueFault::OutOfRange
    }
}

/// Units of a fraction in one; digits beyond the eighteenth are dropped.
const FRACTION_UNIT: u64 = 1_000_000_000_000_000_000;
