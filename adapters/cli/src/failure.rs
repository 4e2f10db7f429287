//! How a command ends when it does not end well.

use std::fmt::Display;
use std::io;

use brickwire_core::xdr::Errno;

/// Why a command failed, in one line.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Exit status 1.
    Said(String),
    /// The same for what a brick answered about something that is not named yet.
    Bare(String),
    /// Exit status 2.
    Usage(String),
    /// Nobody reads the facts that we print any more. (For a copy that is a failure.)
    PipeClosed,
}

impl Failure {
    pub(crate) fn new(text: impl Display) -> Self {
        Self::Said(text.to_string())
    }

    /// With what it is about, if that is not said.
    pub(crate) fn about(self, what: &str) -> Self {
        match self {
            Self::Bare(text) => Self::Said(format!("{what}: {text}")),
            named => named,
        }
    }

    /// An error of a local file, or of a copy's other end.
    pub(crate) fn local(what: impl Display, error: &io::Error) -> Self {
        Self::new(format_args!("{what}: {error}"))
    }

    /// An error of what facts are printed to.
    pub(crate) fn printed(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::PipeClosed;
        }
        Self::local("standard output", error)
    }

    /// What is said, in one line, whatever was put into a name.
    pub(crate) fn line(text: &str) -> String {
        text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Said(text) | Self::Bare(text) | Self::Usage(text) => f.write_str(text),
            Self::PipeClosed => f.write_str("a file is a pipe that nobody writes to"),
        }
    }
}

impl From<brickwire_std::Error> for Failure {
    fn from(error: brickwire_std::Error) -> Self {
        let text = error.to_string();
        match error.errno() {
            Some(errno) if Errno::from_wire(errno).to_string() == text => Self::Bare(text),
            _ => Self::Said(text),
        }
    }
}
