//! Errors of commands: one line for a person, an object with `--json`, an exit status.

use std::fmt::{self, Display};
use std::io;
use std::path::Path;

use brickwire_core::uri::Uri;
use brickwire_core::xdr::Errno;
use brickwire_std::ErrorKind;
use serde_json::{Value, json};

use crate::connect::path_of;

/// Why a command failed, in one line.
#[derive(Debug)]
pub(crate) struct Failure {
    kind: Kind,
    text: String,
    errno: Option<Errno>,
    copied: Option<Copied>,
}

const INTERRUPTED: &str = "interrupted";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The text names the file, volume or server that it is about.
    Named,
    /// The text is an errno alone: [`Failure::about`] adds the name.
    Unnamed,
    /// The connection to a server or brick was lost or never came: the same command may work later.
    Connection,
    Usage,
    /// Standard output was closed by its reader.
    PipeClosed,
    /// Ended by a signal of this number.
    Interrupted(i32),
}

/// The part of a copy that is kept after a failure.
#[derive(Clone, Debug)]
pub(crate) struct Copied {
    /// Bytes that are copied and flushed.
    pub(crate) bytes: u64,
    /// Bytes of the whole copy.
    pub(crate) total: u64,
    /// The file that holds them: a URI or a local path.
    pub(crate) part: String,
}

impl Failure {
    fn of(kind: Kind, text: String) -> Self {
        Self { kind, text: named_errnos(&text), errno: None, copied: None }
    }

    pub(crate) fn new(text: impl Display) -> Self {
        Self::of(Kind::Named, text.to_string())
    }

    /// The command line, or a file that belongs to it, is wrong.
    pub(crate) fn usage(text: impl Display) -> Self {
        Self::of(Kind::Usage, text.to_string())
    }

    pub(crate) fn interrupted(signal: i32) -> Self {
        Self::of(Kind::Interrupted(signal), INTERRUPTED.into())
    }

    /// An errno of a brick, about a file.
    pub(crate) fn errno(name: &str, errno: Errno) -> Self {
        let mut failure = Self::new(format_args!("{name}: {errno}"));
        failure.errno = Some(errno);
        failure
    }

    /// The same failure with a remedy.
    pub(crate) fn and_say(mut self, remedy: &str) -> Self {
        self.text = format!("{}: {remedy}", self.text);
        self
    }

    /// An error of a local file.
    pub(crate) fn local(name: impl Display, error: &io::Error) -> Self {
        let errno = error.raw_os_error().map(Errno::from_wire);
        let mut failure = Self::new(format_args!("{name}: {error}"));
        failure.errno = errno;
        failure
    }

    /// An error of standard output, where a closed pipe is no failure.
    pub(crate) fn printed(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::of(Kind::PipeClosed, "the reader of standard output has gone".into());
        }
        Self::local("standard output", error)
    }

    /// Names the URI `name` where the text names its path on the volume, or nothing.
    pub(crate) fn about(mut self, name: &str) -> Self {
        if let Ok(uri) = Uri::parse(name) {
            self = self.naming(&path_of(&uri), name);
        }
        if self.kind == Kind::Unnamed || self.text == INTERRUPTED {
            self.text = format!("{name}: {}", self.text);
        }
        if self.kind == Kind::Unnamed {
            self.kind = Kind::Named;
        }
        self
    }

    /// Says `name` for a path that the text begins with.
    pub(crate) fn naming(mut self, path: &Path, name: &str) -> Self {
        let path = path.display().to_string();
        if let Some(rest) = self.text.strip_prefix(&path).filter(|_| !path.is_empty())
            && rest.starts_with(": ")
        {
            self.text = format!("{name}{rest}");
        }
        self
    }

    /// The failure of a copy whose part stays and can be resumed.
    pub(crate) fn with_part(mut self, copied: Copied) -> Self {
        let (done, total) = (crate::size::human(copied.bytes), crate::size::human(copied.total));
        self.text = format!(
            "{}: {done} of {total} are copied to {}: the same command with --resume goes on",
            self.text, copied.part
        );
        self.copied = Some(copied);
        self
    }

    /// The same failure, of a command whose use was right.
    pub(crate) fn not_usage(mut self) -> Self {
        if self.kind == Kind::Usage {
            self.kind = Kind::Named;
        }
        self
    }

    #[cfg(test)]
    pub(crate) fn is_usage(&self) -> bool {
        self.kind == Kind::Usage
    }

    pub(crate) fn is_pipe_closed(&self) -> bool {
        self.kind == Kind::PipeClosed
    }

    pub(crate) fn is_interrupted(&self) -> bool {
        matches!(self.kind, Kind::Interrupted(_))
    }

    /// Can the same command succeed later without anything being changed?
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self.kind, Kind::Connection | Kind::Interrupted(_))
    }

    /// The exit status of a process that ends with this failure.
    pub(crate) fn status(&self) -> u8 {
        match self.kind {
            Kind::PipeClosed => 0,
            Kind::Named | Kind::Unnamed | Kind::Connection => 1,
            Kind::Usage => 2,
            // As shells count processes that a signal ended.
            Kind::Interrupted(signal) => 128 + signal.clamp(1, 64) as u8,
        }
    }

    pub(crate) fn json(&self) -> Value {
        let mut error = json!({
            "text": one_line(&self.text),
            "status": self.status(),
            "errno": self.errno.and_then(Errno::name),
        });
        if let Some(copied) = &self.copied {
            error["copied_bytes"] = copied.bytes.into();
            error["total_bytes"] = copied.total.into();
            error["part"] = copied.part.as_str().into();
        }
        json!({ "error": error })
    }
}

/// `text` without control characters, which names may contain.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// `text` with the operating system's error numbers as names: `(os error 28)` becomes `(ENOSPC)`,
/// the form that errors of bricks have.
pub(crate) fn named_errnos(text: &str) -> String {
    const MARK: &str = " (os error ";
    let (mut named, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once(MARK) {
        let end = after.find(')').unwrap_or(after.len());
        named.push_str(before);
        match after[..end].parse().ok().and_then(errno_name) {
            Some(name) => named.push_str(&format!(" ({name}")),
            None => named.push_str(&format!("{MARK}{}", &after[..end])),
        }
        rest = &after[end..];
    }
    named + rest
}

fn errno_name(errno: i32) -> Option<&'static str> {
    Some(match errno {
        15 => "ENOTBLK",
        25 => "ENOTTY",
        26 => "ETXTBSY",
        97 => "EAFNOSUPPORT",
        98 => "EADDRINUSE",
        99 => "EADDRNOTAVAIL",
        100 => "ENETDOWN",
        101 => "ENETUNREACH",
        104 => "ECONNRESET",
        113 => "EHOSTUNREACH",
        1..4096 => return Errno::from_wire(errno).name(),
        _ => return None,
    })
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<brickwire_std::Error> for Failure {
    fn from(error: brickwire_std::Error) -> Self {
        let text = error.to_string();
        let errno = error.errno().map(Errno::from_wire);
        let kind = match (error.kind(), errno) {
            (_, Some(errno)) if errno.to_string() == text => Kind::Unnamed,
            (
                ErrorKind::NotConnected
                | ErrorKind::Indeterminate
                | ErrorKind::WritesLost
                | ErrorKind::TimedOut,
                _,
            ) => Kind::Connection,
            (ErrorKind::Uri, _) => Kind::Usage,
            _ => Kind::Named,
        };
        Self { kind, text, errno, copied: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_errors_and_errors_of_bricks_have_one_form() {
        let local = Failure::local("a", &io::Error::from_raw_os_error(28));
        assert_eq!(local.to_string(), "a: No space left on device (ENOSPC)");
        let nested = Failure::new("x: Permission denied (os error 13): y (os error 9999)");
        assert_eq!(nested.to_string(), "x: Permission denied (EACCES): y (os error 9999)");
        assert_eq!(local.json()["error"]["errno"], "ENOSPC");
    }
}
