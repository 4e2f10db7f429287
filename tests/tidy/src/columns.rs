//! Lines end at column 100.

use crate::Finding;
use crate::tree::File;

const WIDTH: usize = 100;

/// Rust files, comments included, and prose of Markdown. Tables, code blocks and addresses are as
/// wide as they are.
pub(crate) fn check(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut fenced = false;
    for (at, line) in file.text.lines().enumerate() {
        let start = line.trim_start();
        let documented = start.strip_prefix("//!").or_else(|| start.strip_prefix("///"));
        if documented.is_some_and(|text| text.trim_start().starts_with('|')) {
            continue;
        }
        if file.is_markdown() {
            fenced ^= start.starts_with("```");
            if fenced || start.starts_with('|') {
                continue;
            }
        }
        // Rows of tables in code that rustfmt is told to leave alone.
        let row = file.is_rust() && (start.starts_with("(\"") || start.starts_with("(b\""));
        if row && line.ends_with("),") {
            continue;
        }
        let width = line.chars().count();
        if width > WIDTH && !is_unbreakable(line) {
            let message = format!("{width} columns; wrap at {WIDTH}");
            findings.push(Finding {
                rule: "columns",
                path: file.path.clone(),
                line: at + 1,
                message,
            });
        }
    }
    findings
}

/// One word is so long that no wrapping helps: an address, a link.
fn is_unbreakable(line: &str) -> bool {
    line.contains("://") && line.split_whitespace().any(|word| word.chars().count() > WIDTH / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        let file = File { path: path.into(), text: text.into() };
        check(&file).iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn a_long_line_is_found() {
        let long = format!("// {}", "word ".repeat(20));
        assert_eq!(lines("a.rs", &format!("fn f() {{}}\n{long}\n")), [2]);
        assert_eq!(lines("a.md", &"word ".repeat(20)), [0; 0]);
        assert_eq!(lines("a.md", &"word ".repeat(21)), [1]);
    }

    #[test]
    fn tables_fences_and_addresses_are_left_alone() {
        let cell = "| word ".repeat(20);
        assert_eq!(lines("a.rs", &format!("/// {cell}")), [0; 0]);
        assert_eq!(lines("a.rs", &format!("    (\"{}\", 1),", "word ".repeat(20))), [0; 0]);
        let code = format!("```\n{}\n```", "word ".repeat(30));
        let link = format!("See https://example.org/{}.", "a/".repeat(50));
        assert_eq!(lines("a.md", &format!("{cell}\n{code}\n{link}")), [0; 0]);
    }
}
