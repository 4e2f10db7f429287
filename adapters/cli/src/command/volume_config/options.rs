//! Options of volumes in TOML, and what is wrong with a file.

use std::collections::BTreeMap;

/// What is wrong with a file, and in which line.
pub(crate) fn fault_in(text: &str, error: &toml::de::Error) -> String {
    let start = error.span().map_or(0, |span| span.start);
    let line = text.get(..start).unwrap_or_default().lines().count().max(1);
    // The start of a line is not in the one before.
    let line = line + usize::from(start > 0 && text[..start].ends_with('\n'));
    format!("line {line}: {}", error.message())
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_has_the_line_that_it_is_in() {
        for (text, line) in [("x", 1), ("a = 1\nx", 2), ("a = 1\n\n\nx = \n", 4), ("a = \"\n", 1)] {
            let error = toml::from_str::<toml::Table>(text).unwrap_err();
            let said = fault_in(text, &error);
            assert!(
                said.starts_with(&format!("line {line}: ")) && !said.contains('\n'),
                "{text:?}: {said}"
            );
        }
    }
}
