//! Sizes as qemu-img takes them, and with `KiB`, `MiB`, … too.

/// Bytes of a text such as `4096`, `64k`, `512M`, `10GiB`, `1.5T`. Suffixes are powers of 1024.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let bad = || "expected a number of bytes, or one as 64k, 512M, 10G, 10GiB, 1.5T".to_owned();
    let number_end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(number_end);
    let shift = match suffix.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kib" => 10,
        "m" | "mib" => 20,
        "g" | "gib" => 30,
        "t" | "tib" => 40,
        "p" | "pib" => 50,
        "e" | "eib" => 60,
        // Powers of 1000 for some programs and of 1024 for others: a wrong guess is 10 % of a disk.
        decimal @ ("kb" | "mb" | "gb" | "tb" | "pb" | "eb") => {
            let letter = decimal[..1].to_ascii_uppercase();
            return Err(format!("write {number}{letter}iB for powers of 1024, or the bytes"));
        }
        _ => return Err(bad()),
    };
    let unit = 1_u64 << shift;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || (number.contains('.') && !digits(fraction)) {
        return Err(bad());
    }
    let too_large = || "a file has at most 2^63 - 1 bytes".to_owned();
    let whole: u64 = whole.parse().map_err(|_| too_large())?;
    let mut bytes = u128::from(whole) * u128::from(unit);
    if !fraction.is_empty() {
        let fraction = &fraction[..fraction.len().min(18)];
        let value: u128 = fraction.parse().map_err(|_| bad())?;
        bytes += value * u128::from(unit) / 10_u128.pow(fraction.len() as u32);
    }
    u64::try_from(bytes).ok().filter(|bytes| *bytes <= i64::MAX as u64).ok_or_else(too_large)
}

/// A size for people: `1.50 GiB`.
pub(crate) fn human(bytes: u64) -> String {
    indicatif::HumanBytes(bytes).to_string()
}

/// A size in at most five characters, as `ls -h` prints it: `512`, `1.5G`, `20M`.
pub(crate) fn short(bytes: u64) -> String {
    if bytes < 1024 {
        return bytes.to_string();
    }
    let mut unit = 0;
    let mut value = bytes as f64;
    while value >= 1023.5 {
        value /= 1024.0;
        unit += 1;
    }
    let letter = char::from(b"BKMGTPE"[unit]);
    if value < 9.95 { format!("{value:.1}{letter}") } else { format!("{value:.0}{letter}") }
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
            ("10GiB", 10 << 30),
            ("1.5kib", 1536),
            ("2MIB", 2 << 20),
        ];
        for (text, bytes) in cases {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "x",
            "-1",
            "5GB",
            "1.",
            ".5G",
            "8E",
            "1e3",
            "5 G",
            "5i",
            "5ib",
            "5Gi",
            "1.2.3",
            "99999999999999999999",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse("5GB").unwrap_err().contains("5GiB"));
    }

    #[test]
    fn short_sizes_fit_five_characters() {
        for (bytes, text) in [
            (0, "0"),
            (1023, "1023"),
            (1024, "1.0K"),
            (1536, "1.5K"),
            (10 << 10, "10K"),
            (1023 << 10, "1023K"),
            ((1 << 20) - 1, "1.0M"),
            (3 << 39, "1.5T"),
            (i64::MAX as u64, "8.0E"),
        ] {
            assert_eq!(short(bytes), text, "{bytes}");
        }
    }
}
