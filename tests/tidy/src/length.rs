//! Files are read in one sitting.

use crate::Finding;
use crate::tree::File;

/// Lines of a Rust file at most. A file near it usually answers two questions.
const LINES: usize = 850;

/// Rust files only: a document may be as long as its subject.
pub(crate) fn check(file: &File) -> Vec<Finding> {
    let lines = file.text.lines().count();
    if !file.is_rust() || lines <= LINES {
        return Vec::new();
    }
    let message = format!("{lines} lines; split it, {LINES} are the most");
    vec![Finding { rule: "length", path: file.path.clone(), line: LINES, message }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_is_found() {
        let file = |lines| File { path: "a.rs".into(), text: "\n".repeat(lines) };
        assert!(check(&file(LINES)).is_empty());
        assert_eq!(check(&file(LINES + 1)).len(), 1);
    }
}
