//! Errors of TOML files, in one line.

/// The error of a file with its line.
pub(crate) fn fault_in(text: &str, error: &toml::de::Error) -> String {
    let start = error.span().map_or(0, |span| span.start);
    let line = text.get(..start).unwrap_or_default().lines().count().max(1);
    // The start of a line is not in the one before.
    let line = line + usize::from(start > 0 && text[..start].ends_with('\n'));
    format!("line {line}: {}", error.message())
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
