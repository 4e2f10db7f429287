//! Sentences have a plain subject.
//!
//! A sentence that opens with a pronoun as its subject ("Whoever reads this…") makes the reader
//! look for the thing that it is about. The sentence must name the
//! thing instead.

use crate::Finding;
use crate::comments::{Paragraph, prose};
use crate::tree::File;

const OPENERS: [&str; 8] =
    ["Who", "Whom", "Whose", "What", "Those", "Whoever", "Whatever", "Whichever"];

/// Comments of Rust and prose of Markdown. A heading of Markdown may be a question.
pub(crate) fn check(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    for paragraph in prose(file) {
        if paragraph.heading && paragraph.text().ends_with('?') {
            continue;
        }
        for (line, opener) in openers(&paragraph) {
            let message = format!("a sentence opens with \"{opener}\"; name its subject");
            findings.push(Finding { rule: "sentences", path: file.path.clone(), line, message });
        }
    }
    findings
}

/// Line and opening words of each sentence of the paragraph that has none of its own.
fn openers(paragraph: &Paragraph) -> Vec<(usize, String)> {
    let text = paragraph.text();
    let mut found = Vec::new();
    let mut starts = vec![0];
    for end in [". ", "! ", "? "] {
        starts.extend(text.match_indices(end).map(|(at, _)| at + end.len()));
    }
    starts.sort_unstable();
    for start in starts {
        let sentence = text[start..].trim_start_matches(['*', '_', '(', '"', '[', ' ']);
        let first = sentence.split(|c: char| !c.is_alphabetic()).next().unwrap_or_default();
        if OPENERS.contains(&first) {
            found.push((paragraph.line_at(start), first.to_owned()));
        } else if sentence.starts_with("Which of ") {
            found.push((paragraph.line_at(start), "Which of".to_owned()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        let file = File { path: path.into(), text: text.into() };
        check(&file).iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn a_sentence_with_a_pronoun_for_its_subject_is_found() {
        assert_eq!(lines("a.rs", "/// Who waits is told.\nfn f() {}"), [1]);
        assert_eq!(lines("a.rs", "// One. And\n// two. Whatever\n// comes is kept."), [2]);
        assert_eq!(lines("a.rs", "let a = 1; // What is left."), [1]);
        assert_eq!(
            lines("a.md", "Text.\n\n- **Those** that wait.\n- Which of them waits."),
            [3, 4]
        );
    }

    #[test]
    fn other_words_and_questions_in_headings_are_left_alone() {
        assert_eq!(lines("a.rs", "/// The rest. Whole words, e.g. whatever.\nfn f() {}"), [0; 0]);
        assert_eq!(lines("a.md", "# What is here?\n\nA list.\n\n```\nWhat\n```"), [0; 0]);
        assert_eq!(lines("a.md", "# What is here\n"), [1]);
    }
}
