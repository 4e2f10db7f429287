//! The checkers: each looks at one promise. A violation ends the run.

pub mod leftovers;
pub mod limits;
pub mod register;
pub mod tree;
pub mod waiting;

/// A promise that was broken, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Name of the checker.
    pub checker: &'static str,
    /// The observation, and the allowed ones.
    pub message: String,
}

impl Violation {
    /// A violation that a checker has found.
    pub fn new(checker: &'static str, message: String) -> Self {
        Self { checker, message }
    }
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.checker, self.message)
    }
}
