//! Citations lead somewhere: specifications and their sections, paths in backticks, links.

use crate::Finding;
use crate::comments::prose;
use crate::tree::{File, Tree};

/// Comments of Rust and all of Markdown.
pub(crate) fn check(file: &File, tree: &Tree) -> Vec<Finding> {
    let finding =
        |line, message| Finding { rule: "citations", path: file.path.clone(), line, message };
    let mut findings = Vec::new();
    for paragraph in prose(file) {
        let text = paragraph.text();
        for (at, message) in specifications(&text, tree) {
            findings.push(finding(paragraph.line_at(at), message));
        }
        for (at, path) in backticked(&text) {
            findings.extend(missing(path, file, tree).map(|m| finding(paragraph.line_at(at), m)));
        }
    }
    if file.is_markdown() {
        for (at, line) in file.text.lines().enumerate() {
            findings.extend(dead_links(line, file, tree).into_iter().map(|m| finding(at + 1, m)));
            if line.trim_start().starts_with('|') {
                let cells = backticked(line).into_iter();
                findings.extend(
                    cells
                        .filter_map(|(_, path)| missing(path, file, tree))
                        .map(|m| finding(at + 1, m)),
                );
            }
        }
    }
    findings
}

/// Citations like `docs/spec/01-wire.md, "Byte stream and records"` whose file or section is not
/// there. A section is the beginning of a heading without its number.
fn specifications(text: &str, tree: &Tree) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("docs/spec/") {
        let end = text[at..].find(".md").map(|len| at + len + 3);
        let Some(end) = end.filter(|end| !text[at..*end].contains(' ')) else { continue };
        let path = &text[at..end];
        let Some(cited) = tree.text(path) else {
            found.push((at, format!("{path} does not exist")));
            continue;
        };
        let mut rest = &text[end..];
        if rest.trim_start_matches([',', ' ']).starts_with('§') {
            found.push((at, "name the section in quotes: numbers change".to_owned()));
        }
        while let Some(quoted) = rest.strip_prefix(", \"").or_else(|| rest.strip_prefix(" and \""))
        {
            let Some((name, behind)) = quoted.split_once('"') else { break };
            if !sections(cited).any(|title| title.starts_with(name)) {
                found.push((at, format!("{path} has no section \"{name}\"")));
            }
            rest = behind;
        }
    }
    found
}

/// Titles of the headings of a document, without numbers and backticks.
fn sections(markdown: &str) -> impl Iterator<Item = String> {
    markdown.lines().filter(|line| line.starts_with('#')).map(|line| {
        let title = line.trim_start_matches('#').trim();
        let title = title.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        title.trim().replace('`', "")
    })
}

/// Position and content of the code spans of a text.
fn backticked(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut at = 0;
    for (index, part) in text.split('`').enumerate() {
        if index % 2 == 1 {
            found.push((at, part));
        }
        at += part.len() + 1;
    }
    found
}

/// Paths that are made by building, testing and measuring.
const MADE: [&str; 5] =
    ["target/", "fuzz/corpus", "fuzz/artifacts", "fuzz/coverage", "docs/peers.md"];

/// The message for a code span that looks like a path of this repository and is none. A comment may
/// name a path from the root of its crate.
fn missing(span: &str, file: &File, tree: &Tree) -> Option<String> {
    let (top, _) = span.split_once('/')?;
    let path_like = |c: char| c.is_alphanumeric() || "/._-{},".contains(c);
    let made = MADE.iter().any(|made| span.starts_with(made));
    // `fuzz/seeds/TARGET` stands for many.
    let is_capital = |c: char| c.is_ascii_uppercase() || c == '_';
    let placeholder = span.split('/').any(|part| !part.is_empty() && part.chars().all(is_capital));
    if made || placeholder || !tree.has_at_root(top) || !span.chars().all(path_like) {
        return None;
    }
    let exists = |path: &str| tree.has(path) || tree.has(&format!("{path}.rs"));
    let gone = braces(span).into_iter().find(|path| {
        let mut parents = file.path.match_indices('/').map(|(at, _)| &file.path[..at]);
        !exists(path) && !parents.any(|parent| exists(&format!("{parent}/{path}")))
    })?;
    Some(format!("{gone} does not exist"))
}

/// `a/{b,c}` is `a/b` and `a/c`.
fn braces(span: &str) -> Vec<String> {
    let Some((before, rest)) = span.split_once('{') else { return vec![span.to_owned()] };
    let Some((inner, after)) = rest.split_once('}') else { return vec![span.to_owned()] };
    inner.split(',').map(|one| format!("{before}{one}{after}")).collect()
}

/// Messages for relative links whose target is not there.
fn dead_links(line: &str, file: &File, tree: &Tree) -> Vec<String> {
    let directory = file.path.rsplit_once('/').map_or("", |(directory, _)| directory);
    let mut found = Vec::new();
    for part in line.split("](").skip(1) {
        let target = part.split([')', '#', ' ']).next().unwrap_or_default();
        if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
            continue;
        }
        let mut path: Vec<&str> = directory.split('/').filter(|part| !part.is_empty()).collect();
        for part in target.split('/') {
            match part {
                ".." => drop(path.pop()),
                "." | "" => {}
                part => path.push(part),
            }
        }
        let path = path.join("/");
        if !path.is_empty() && !tree.has(&path) {
            found.push(format!("a link leads to {path}, which does not exist"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(path: &str, text: &str) -> Vec<String> {
        let spec = "# Wire\n\n## 1.1 Byte stream and `records`\n";
        let tree =
            Tree::of(&[("docs/spec/01-wire.md", spec), ("core/src/id.rs", ""), (path, text)]);
        let file = tree.files().last().unwrap().clone();
        check(&file, &tree).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn a_citation_of_nothing_is_found() {
        let said = messages("a.rs", "// Marks (docs/spec/09-none.md, \"x\").");
        assert_eq!(said, ["docs/spec/09-none.md does not exist"]);
        let said = messages(
            "a.rs",
            "// Marks (docs/spec/01-wire.md, \"Byte stream\" and\n// \"Nothing\").",
        );
        assert_eq!(said, ["docs/spec/01-wire.md has no section \"Nothing\""]);
        assert_eq!(
            messages("a.rs", "// As `core/src/gone.rs` does."),
            ["core/src/gone.rs does not exist"]
        );
        assert_eq!(
            messages("a.md", "| `core/src/{id,gone}.rs` |"),
            ["core/src/gone.rs does not exist"]
        );
        assert_eq!(messages("docs/a.md", "See [it](../gone.md#there).").len(), 1);
    }

    #[test]
    fn citations_that_lead_somewhere_are_left_alone() {
        let text = "See `core/src/id`, `core/src/id.rs`, [the format](docs/spec/01-wire.md), \
                    docs/spec/01-wire.md, \"Byte stream and records\", `debug/io-stats`.";
        assert_eq!(messages("a.md", text), [""; 0]);
    }
}
