//! Options of volumes in TOML files: numbers, true and false need no quotes.

use std::collections::BTreeMap;

use brickwire_core::volgen::full_name;

/// Options by name, as texts.
#[derive(Clone, Debug, Default)]
pub(super) struct Options(pub(super) BTreeMap<String, String>);

#[derive(serde::Deserialize)]
#[serde(
    untagged,
    expecting = "expected text, a number, true or false (and quotes around a name with dots in it)"
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
        let mut options = BTreeMap::new();
        for (key, value) in all {
            // A short name that is unknown or ambiguous is reported when the volume is verified.
            let full = full_name(&key).unwrap_or(&key).to_owned();
            if let Some(before) = options.insert(full, text(value)) {
                return Err(serde::de::Error::custom(format_args!(
                    "option {key:?} is set twice, by its full and its short name; first to \
                    {before:?}"
                )));
            }
        }
        Ok(Self(options))
    }
}
