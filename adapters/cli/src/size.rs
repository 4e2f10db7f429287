//! Sizes as qemu-img takes them.

/// Bytes of a text such as `4096`, `64k`, `512M`, `1.5T`. Suffixes are powers of 1024.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let bad = || {
        format!("{text} is no size: expected a number, or one with b, k, M, G, T, P or E, as 512M")
    };
    let (number, unit) = match text.char_indices().next_back().ok_or_else(bad)? {
        (at, suffix) if suffix.is_ascii_alphabetic() => {
            let shift = match suffix.to_ascii_lowercase() {
                'b' => 0,
                'k' => 10,
                'm' => 20,
                'g' => 30,
                't' => 40,
                'p' => 50,
                'e' => 60,
                _ => return Err(bad()),
            };
            (&text[..at], 1_u64 << shift)
        }
        _ => (text, 1),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || (number.contains('.') && !digits(fraction)) {
        return Err(bad());
    }
    let too_large = || format!("{text} is too large: a file has at most 2^63 - 1 bytes");
    let whole: u64 = whole.parse().map_err(|_| too_large())?;
    let mut bytes = u128::from(whole) * u128::from(unit);
    if !fraction.is_empty() {
        let fraction = &fraction[..fraction.len().min(18)];
        let value: u128 = fraction.parse().map_err(|_| bad())?;
        bytes += value * u128::from(unit) / 10_u128.pow(fraction.len() as u32);
    }
    u64::try_from(bytes).ok().filter(|bytes| *bytes <= i64::MAX as u64).ok_or_else(too_large)
}

/// A size for people: `1.5 GiB`.
pub(crate) fn human(bytes: u64) -> String {
    indicatif::HumanBytes(bytes).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_qemu_img_reads_them() {
        let cases = [
            ("0", 0),
            ("512", 512),
            ("512b", 512),
            ("4k", 4096),
            ("4K", 4096),
            ("512M", 512 << 20),
            ("5G", 5 << 30),
            ("1.5T", 3 << 39),
            ("0.5k", 512),
            ("1P", 1 << 50),
            ("7E", 7 << 60),
        ];
        for (text, bytes) in cases {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for text in ["", "x", "-1", "5GB", "1.", ".5G", "8E", "1e3", "5 G", "99999999999999999999"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
