//! Rules for the text of this repository that a program can check.
//!
//! [`check`] applies every rule to every file; `cargo test -p brickwire-tidy` runs it. It needs
//! nothing but the source tree. Each rule is a module with a test that shows what it catches.

mod citations;
mod columns;
mod comments;
mod layers;
mod length;
mod sentences;
mod tree;
mod words;

pub use tree::Tree;

use std::fmt;

/// A place in the tree that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Name of the rule, as [`check`] lists them.
    pub rule: &'static str,
    /// Path from the root of the repository.
    pub path: String,
    /// Line, from 1.
    pub line: usize,
    /// One sentence for the author of that line.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.path, self.line, self.rule, self.message)
    }
}

/// Everything in the tree that breaks a rule, by path and line.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files() {
        findings.extend(columns::check(file));
        findings.extend(sentences::check(file));
        findings.extend(words::check(file));
        findings.extend(length::check(file));
        findings.extend(layers::check(file));
        findings.extend(citations::check(file, tree));
    }
    findings.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
    findings
}
