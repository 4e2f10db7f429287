//! Errors, each one line: what failed, where, and what to do.

use std::fmt;
use std::path::Path;

use brickwire_core::uri::UriError;
use brickwire_core::volume::{
    Closed, ConnectionPhase, Down, NewError, OpError, Server, SubmitError, Volume as Core,
};
use brickwire_core::xdr::Errno;

/// The kind of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The volume answered with an errno: see [`Error::errno`].
    Errno,
    /// The URI cannot be parsed, or its transport is not supported.
    Uri,
    /// There is no connection to glusterd or to a brick.
    NotConnected,
    /// glusterd has no volume of that name.
    NoSuchVolume,
    /// The connection was lost while the operation was in flight. It may or may not have been
    /// executed.
    Indeterminate,
    /// The brick process was restarted: acknowledged writes that were not flushed may be lost.
    WritesLost,
    /// No reply within the timeout.
    TimedOut,
    /// The volume needs a translator or feature that this client does not have.
    Unsupported,
    /// An argument is invalid.
    Invalid,
    /// A system call failed.
    System,
}

/// An error. Its text is one line for a person.
#[derive(Clone, Debug)]
pub struct Error {
    kind: ErrorKind,
    errno: Option<Errno>,
    text: String,
}

impl Error {
    /// The kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The errno (Linux numbers, on every host) if the kind is [`ErrorKind::Errno`].
    pub fn errno(&self) -> Option<i32> {
        self.errno.map(Errno::to_wire)
    }

    pub(crate) fn is(&self, errno: Errno) -> bool {
        self.errno == Some(errno)
    }

    pub(crate) fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        Self { kind, errno: None, text: text.into() }
    }

    pub(crate) fn io(what: &str, error: &std::io::Error) -> Self {
        Self::new(ErrorKind::System, format!("{what}: {error}"))
    }

    pub(crate) fn uri(text: &str, error: &UriError) -> Self {
        Self::new(ErrorKind::Uri, format!("{text}: {error}"))
    }

    pub(crate) fn submit(error: SubmitError) -> Self {
        Self::new(ErrorKind::Invalid, error.to_string())
    }

    pub(crate) fn new_volume(error: NewError) -> Self {
        Self::new(ErrorKind::Invalid, error.to_string())
    }

    /// Puts the path in front of the text, unless the text names a server or brick already.
    pub(crate) fn about(mut self, what: &Path) -> Self {
        // Other kinds name a server or a brick.
        if self.errno.is_some()
            || self.kind == ErrorKind::WritesLost
            || self.kind == ErrorKind::Invalid
        {
            self.text = format!("{}: {}", what.display(), self.text);
        }
        self
    }

    /// The error of an operation, with the server or brick that it is about.
    pub(crate) fn op(error: OpError, volume: &Core<'_>) -> Self {
        let name = volume.name();
        match error {
            OpError::Errno(errno) => {
                Self { kind: ErrorKind::Errno, errno: Some(errno), text: errno.to_string() }
            }
            OpError::NotConnected(down) => Self::down(down, volume, ErrorKind::NotConnected),
            OpError::Indeterminate(down) => {
                let mut error = Self::down(down, volume, ErrorKind::Indeterminate);
                error.text.push_str("; an operation was in flight, whether it happened is unknown");
                error
            }
            OpError::WritesLost => Self::new(ErrorKind::WritesLost, error.to_string()),
            OpError::TimedOut => Self::new(
                ErrorKind::TimedOut,
                format!("volume \"{name}\": {error}: {}", place(volume)),
            ),
            OpError::Graph(graph) => {
                Self::new(ErrorKind::Unsupported, format!("volume \"{name}\": {graph}"))
            }
            other => Self::new(ErrorKind::System, format!("volume \"{name}\": {other}")),
        }
    }

    fn down(down: Down, volume: &Core<'_>, kind: ErrorKind) -> Self {
        let name = volume.name();
        if down == Down::NoSuchVolume {
            let text = format!(
                "{} has no volume \"{name}\": `brickwire volume list` or `gluster volume list` \
                    there prints its volumes",
                place(volume)
            );
            return Self::new(ErrorKind::NoSuchVolume, text);
        }
        let at_glusterd = volume.bricks().next().is_none();
        let hint = match down {
            Down::Closed(Closed::Refused) if at_glusterd => {
                " (is glusterd or brickwire serve running there, and is this its port? It is \
                    24007 by default)"
            }
            Down::Closed(Closed::Eof | Closed::Reset) | Down::Peer(_) | Down::HandshakeTimeout
                if at_glusterd =>
            {
                " (is this the port of glusterd or brickwire serve? It is 24007 by default)"
            }
            Down::Closed(Closed::Refused | Closed::Eof | Closed::Reset) | Down::BrickNotRunning => {
                " (is the volume started, and does its server run?)"
            }
            _ => "",
        };
        Self::new(kind, format!("volume \"{name}\": {}: {down}{hint}", place(volume)))
    }
}

/// The server or brick to blame: before there is a volfile the volfile server, then the first brick
/// that is not up.
fn place(volume: &Core<'_>) -> String {
    let brick = volume
        .bricks()
        .find(|brick| brick.phase != ConnectionPhase::Up)
        .or_else(|| volume.bricks().next());
    match brick {
        Some(brick) => {
            let port = brick.port.map(|port| format!(" (port {port})")).unwrap_or_default();
            format!("brick {}:{}{port}", brick.host, brick.path)
        }
        None => match volume.session_status().server {
            Some(Server::Tcp { host, port }) if host.contains(':') => {
                format!("server [{host}]:{port}")
            }
            Some(Server::Tcp { host, port }) => format!("server {host}:{port}"),
            Some(Server::Unix { path }) => format!("server {path}"),
            None => "server".into(),
        },
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Error {}

impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        use std::io::ErrorKind as Io;
        let kind = match (error.kind, error.errno) {
            (ErrorKind::Errno, Some(Errno::ENOENT)) => Io::NotFound,
            (ErrorKind::Errno, Some(Errno::EEXIST)) => Io::AlreadyExists,
            (ErrorKind::Errno, Some(Errno::EACCES | Errno::EPERM)) => Io::PermissionDenied,
            (ErrorKind::Errno, Some(Errno::ENOSPC)) => Io::StorageFull,
            (ErrorKind::Errno, Some(Errno::EOPNOTSUPP)) | (ErrorKind::Unsupported, _) => {
                Io::Unsupported
            }
            (ErrorKind::NotConnected | ErrorKind::NoSuchVolume, _) => Io::NotConnected,
            (ErrorKind::TimedOut, _) => Io::TimedOut,
            (ErrorKind::Uri | ErrorKind::Invalid, _) => Io::InvalidInput,
            _ => Io::Other,
        };
        std::io::Error::new(kind, error)
    }
}
