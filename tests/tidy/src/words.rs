//! Metaphors that the project has renamed do not come back.

use crate::Finding;
use crate::tree::File;

/// A word, and the plain one for it.
const WORDS: [(&str, &str); 14] = [
    ("baton", "handoff"),
    ("crowd", "many clients"),
    ("crowds", "many clients"),
    ("desk", "mailbox"),
    ("doomed", "closing"),
    ("ghost", "abandoned"),
    ("ghosts", "abandoned"),
    ("haunt", "abandoned"),
    ("haunted", "abandoned"),
    ("haunts", "abandoned"),
    ("house", "repository, context"),
    ("settler", "time writer"),
    ("storey", "layer"),
    ("whereabouts", "pathinfo"),
];

/// Looks at every word of every identifier, comment and text.
pub(crate) fn check(file: &File) -> Vec<Finding> {
    // The list itself has to name them.
    if file.path.starts_with("tests/tidy/") {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (at, line) in file.text.lines().enumerate() {
        // Most lines have none, and taking a line apart is slow.
        let lower = line.to_ascii_lowercase();
        if !WORDS.iter().any(|(banned, _)| lower.contains(banned)) {
            continue;
        }
        for word in words(line) {
            if let Some((word, plain)) = WORDS.iter().find(|(banned, _)| *banned == word) {
                let message = format!("\"{word}\" is a private metaphor; say: {plain}");
                let (path, line) = (file.path.clone(), at + 1);
                findings.push(Finding { rule: "words", path, line, message });
            }
        }
    }
    findings
}

/// The words of a line in lower case: `HouseKeeping` and `house_keeping` are two each.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut upper_before = false;
    for c in line.chars() {
        let starts_word = c.is_uppercase() && !upper_before;
        if !c.is_alphabetic() || starts_word {
            words.push(String::new());
        }
        if c.is_alphabetic() {
            words.last_mut().unwrap().extend(c.to_lowercase());
        }
        upper_before = c.is_uppercase();
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metaphor_is_found_in_names_and_texts() {
        let text = "struct House;\nlet ghost_changes = 1;\n// The GHOST of it.\nlet warehouse = 2;";
        let file = File { path: "core/src/a.rs".into(), text: text.into() };
        let lines: Vec<_> = check(&file).iter().map(|finding| finding.line).collect();
        assert_eq!(lines, [1, 2, 3]);
    }
}
