//! How a command ends when it does not end well.

use std::fmt::Display;
use std::io;

/// Why a command failed, in one line.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Exit status 1.
    Said(String),
    /// Exit status 2.
    Usage(String),
    /// Nobody reads our output any more.
    PipeClosed,
}

impl Failure {
    pub(crate) fn new(text: impl Display) -> Self {
        // One line, whatever a peer put into a name.
        let text: String = text.to_string().chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        Self::Said(text)
    }

    /// An error of a local file.
    pub(crate) fn local(what: &str, error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::PipeClosed;
        }
        Self::new(format_args!("{what}: {error}"))
    }
}

impl From<brickwire_std::Error> for Failure {
    fn from(error: brickwire_std::Error) -> Self {
        Self::new(error)
    }
}
