//! Options of volumes in TOML, and what is wrong with a file.

use std::collections::BTreeMap;

/// Options as they stand in a file: numbers and truths need no quotes.
#[derive(Clone, Debug, Default)]
pub(super) struct Options(pub(super) BTreeMap<String, String>);

#[derive(serde::Deserialize)]
#[serde(
    untagged,
    expecting = "expected a text, a number, true or false for each option (and quotes around a name with dots in it)"
)]
enum OptionValue {
    Text(String),
    Number(i64),
    Truth(bool),
}

impl<'de> serde::Deserialize<'de> for Options {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let all = BTreeMap::<String, OptionValue>::deserialize(from)?;
        let text = |value| match value {
            OptionValue::Text(text) => text,
            OptionValue::Number(number) => number.to_string(),
            OptionValue::Truth(truth) => (if truth { "on" } else { "off" }).to_owned(),
        };
        Ok(Self(all.into_iter().map(|(key, value)| (key, text(value))).collect()))
    }
}
