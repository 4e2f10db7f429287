//! Types of option values: docs/spec/02-volfile.md, "Option value syntaxes".

use ValueFault::{Missing, OutOfRange, TooLong, Unexpected};
use brickwire_core::volfile::{
    Decimal, Host, PercentOrSize, Token, ValueError, ValueFault, ValueKind,
};

fn check<T: PartialEq + std::fmt::Debug + Copy>(
    kind: ValueKind,
    read: impl Fn(Token<'static>) -> Result<T, ValueError>,
    good: &[(&'static str, T)],
    bad: &[(&'static str, ValueFault, u32)],
) {
    for (text, value) in good {
        assert_eq!(read(Token::from(*text)), Ok(*value), "{text:?}");
    }
    for &(text, fault, offset) in bad {
        assert_eq!(read(Token::from(text)), Err(ValueError { kind, fault, offset }), "{text:?}");
    }
}

#[test]
fn booleans_are_ten_words_in_any_letter_case() {
    check(
        ValueKind::Bool,
        |token| token.to_bool(),
        &[("1", true), ("on", true), ("Yes", true), ("TRUE", true), ("enable", true)],
        &[
            ("enabled", Unexpected, 0),
            ("", Missing, 0),
            ("2", Unexpected, 0),
            (" on", Unexpected, 0),
        ],
    );
    check(
        ValueKind::Bool,
        |token| token.to_bool(),
        &[("0", false), ("OFF", false), ("no", false), ("false", false), ("Disable", false)],
        &[("disabled", Unexpected, 0)],
    );
}

#[test]
fn integers_are_those_of_strtol() {
    check(
        ValueKind::Int,
        |token| token.to_int(),
        &[
            ("10", 10),
            ("0x10", 16),
            ("0Xff", 255),
            ("010", 8),
            ("  7", 7),
            ("-3", -3),
            ("+3", 3),
            ("0", 0),
            ("-0x8000000000000000", i64::MIN),
            ("9223372036854775807", i64::MAX),
        ],
        &[
            ("", Missing, 0),
            ("-", Missing, 1),
            ("08", Unexpected, 1),
            ("0x", Unexpected, 1),
            ("10 ", Unexpected, 2),
            ("ten", Unexpected, 0),
            ("9223372036854775808", OutOfRange, 0),
        ],
    );
    let long = "0".repeat(65).leak();
    assert_eq!(Token::from(&*long).to_int().unwrap_err().fault, TooLong);
}

#[test]
fn sizes_are_powers_of_1024_with_one_kind_of_suffix() {
    check(
        ValueKind::Size,
        |token| token.to_size(),
        &[
            ("0", 0),
            ("08", 8),
            ("3495253B", 3_495_253),
            ("64MB", 64 << 20),
            ("1kb", 1024),
            ("1.5GB", 3 << 29),
            ("0.1KB", 102),
            (" 2tB", 2 << 40),
            ("3PB", 3 << 50),
            ("18446744073709551615", u64::MAX),
            ("0.5PB", 1 << 49),
        ],
        &[
            ("", Missing, 0),
            ("10k", Unexpected, 2),
            ("10M", Unexpected, 2),
            ("5 MB", Unexpected, 1),
            ("-5MB", Unexpected, 0),
            ("MB", Unexpected, 0),
            (".", Missing, 1),
            ("1e3", Unexpected, 1),
            ("0x10", Unexpected, 1),
            ("18446744073709551616", OutOfRange, 0),
            ("16384PB", OutOfRange, 0),
        ],
    );
}

#[test]
fn percentages_are_read_without_floats() {
    let percent = |millionths| Decimal { millionths };
    check(
        ValueKind::Percent,
        |token| token.to_percent(),
        &[
            ("10%", percent(10_000_000)),
            ("33.3", percent(33_300_000)),
            ("0", percent(0)),
            ("100%", percent(100_000_000)),
        ],
        &[
            ("100.1%", OutOfRange, 0),
            ("-1%", OutOfRange, 0),
            ("%", Unexpected, 0),
            ("5%%", Unexpected, 2),
            ("5 %", Unexpected, 1),
        ],
    );
    check(
        ValueKind::PercentOrSize,
        |token| token.to_percent_or_size(),
        &[
            ("10%", PercentOrSize::Percent(percent(10_000_000))),
            ("10", PercentOrSize::Size(10)),
            ("1GB", PercentOrSize::Size(1 << 30)),
        ],
        &[("101%", OutOfRange, 0), ("1G", Unexpected, 1), ("1GB%", Unexpected, 1)],
    );
}

#[test]
fn times_are_seconds_with_one_of_nine_suffixes() {
    check(
        ValueKind::Time,
        |token| token.to_seconds(),
        &[
            ("42", 42),
            ("0", 0),
            ("7s", 7),
            ("7sec", 7),
            ("10m", 600),
            ("10min", 600),
            ("2h", 7_200),
            ("2hr", 7_200),
            ("1d", 86_400),
            ("2days", 172_800),
            ("1w", 604_800),
            ("1wk", 604_800),
            ("0x10", 16),
        ],
        &[
            ("08", Unexpected, 1),
            ("1day", Unexpected, 1),
            ("10M", Unexpected, 2),
            ("", Missing, 0),
            ("-1", OutOfRange, 0),
            ("9223372036854775807w", OutOfRange, 0),
        ],
    );
}

#[test]
fn decimals_keep_six_digits() {
    let decimal = |millionths| Decimal { millionths };
    check(
        ValueKind::Decimal,
        |token| token.to_decimal(),
        &[
            ("1", decimal(1_000_000)),
            ("-0.5", decimal(-500_000)),
            (" +2.1234569", decimal(2_123_456)),
            (".25", decimal(250_000)),
        ],
        &[
            ("1e3", Unexpected, 1),
            ("inf", Unexpected, 0),
            ("0x1", Unexpected, 1),
            ("9223372036855", OutOfRange, 0),
            ("1.2.3", Unexpected, 3),
        ],
    );
    assert_eq!(decimal(-1_500_000).to_string(), "-1.500000");
    assert_eq!(decimal(10_000_000).to_string(), "10");
}

#[test]
fn hosts_are_names_or_addresses_without_a_port() {
    let host = |text: &'static str| Token::from(text).to_host();
    for name in ["vm", "node-1.example.org", "3com.example", "snow_white", &"a".repeat(63)] {
        let token = Token::from(&*String::from(name).leak());
        assert_eq!(token.to_host(), Ok(Host::Name(token)), "{name}");
    }
    assert_eq!(host("10.0.0.7"), Ok(Host::Ip("10.0.0.7".parse().unwrap())));
    assert_eq!(host("fe80::1"), Ok(Host::Ip("fe80::1".parse().unwrap())));
    assert_eq!(
        host("fe80::1%eth0"),
        Ok(Host::Scoped("fe80::1".parse().unwrap(), Token::from("eth0")))
    );
    check(
        ValueKind::Host,
        |token| token.to_host(),
        &[],
        &[
            ("", Missing, 0),
            ("a..b", Unexpected, 2),
            ("a.", Missing, 2),
            ("-a", Unexpected, 0),
            ("a-.b", Unexpected, 2),
            ("a-", Unexpected, 1),
            ("a:24007", Unexpected, 1),
            ("[::1]", Unexpected, 0),
            ("fe80::1%", Unexpected, 4),
            ("1.2.3.4%eth0", Unexpected, 7),
            ("300.1.1.1", Unexpected, 8),
            ("gl\u{fc}ster", Unexpected, 2),
        ],
    );
    let long = "a".repeat(64).leak();
    assert_eq!(
        Token::from(&*long).to_host(),
        Err(ValueError { kind: ValueKind::Host, fault: TooLong, offset: 63 })
    );
    let long = "a.".repeat(127).leak();
    assert_eq!(
        Token::from(&*long).to_host(),
        Err(ValueError { kind: ValueKind::Host, fault: TooLong, offset: 253 })
    );
}

#[test]
fn lists_are_what_stands_between_commas() {
    let parts = |text: &'static str| {
        Token::from(text).to_list().map(|part| part.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(parts("a,b,c"), ["a", "b", "c"]);
    assert_eq!(parts("a"), ["a"]);
    assert_eq!(parts("a,,b,"), ["a", "", "b", ""]);
    assert!(parts("").is_empty());
}

#[test]
fn choices_are_found_in_any_letter_case() {
    let types = ["none", "auto", "fixed"];
    assert_eq!(Token::from("AUTO").to_choice(&types), Ok(1));
    let error = Token::from("most").to_choice(&types).unwrap_err();
    assert_eq!((error.kind, error.fault), (ValueKind::Choice, Unexpected));
}
