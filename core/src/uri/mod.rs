//! Volumes and images by URI.
//!
//! ```text
//! gluster[+tcp|+unix|+rdma]://[server[:port]]/volname[/path/to/image][?socket=/path]
//! ```
//!
//! ```
//! use brickwire_core::uri::{Transport, Uri};
//! let uri = Uri::parse("gluster+tcp://server.domain.com:24007/testvol/dir/a.img")?;
//! assert_eq!(uri.transport(), Transport::Tcp);
//! assert_eq!(uri.host().unwrap(), "server.domain.com");
//! assert_eq!(uri.port(), Some(24007));
//! assert_eq!(uri.volume(), "testvol");
//! assert_eq!(uri.path().unwrap(), "dir/a.img");
//! # Ok::<(), brickwire_core::uri::UriError>(())
//! ```
//!
//! What QEMU's gluster driver accepts is accepted and what it rejects is rejected, but for these, where it is careless:
//!
//! | input | QEMU 7.2 | here | why |
//! |---|---|---|---|
//! | `gluster://h/vol` (no image) | rejected | accepted by [`Uri::parse`], rejected by [`Uri::parse_image`] | some commands are about the volume |
//! | `gluster+unix:///vol/img?socket=` | accepted, fails to connect | rejected | an empty path is no socket |
//! | `gluster+unix://h/vol/img?socket=/s` | the host is ignored | rejected | a part that has no effect is a mistake |
//! | `gluster://h/vol/a%00b` | the name is cut at the NUL | rejected | it would open another image |
//! | `gluster://h/vol/a%zz` | taken literally or cut | rejected | not a percent-encoding |
//! | `gluster://h/vol/img#x` | the fragment is dropped | rejected | a file name with `#` must be encoded |
//! | `gluster://u@h/vol/img` | the user is ignored | rejected | there are no users here |
//! | `gluster://[1.2.3.4]/vol/img` | passed on to the resolver | rejected | brackets hold an IPv6 address |
//! | `gluster+rdma://…` | opened over tcp with a warning | parsed as rdma | whoever connects decides |

mod component;
mod error;
mod parse;

pub use component::{Component, TooShort};
pub use error::{Part, UriError, UriFault};

use core::fmt;

/// glusterd's port.
pub const DEFAULT_PORT: u16 = 24007;

/// How glusterd is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// A unix socket.
    Unix,
    /// RDMA.
    Rdma,
}

impl Transport {
    /// `tcp`, `unix` or `rdma`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Unix => "unix",
            Self::Rdma => "rdma",
        }
    }
}

/// A parsed URI. Its parts are borrowed from the text.
#[derive(Clone, Copy, Debug)]
pub struct Uri<'a> {
    transport: Transport,
    host: Option<Component<'a>>,
    port: Option<u16>,
    volume: Component<'a>,
    path: Option<Component<'a>>,
    socket: Option<Component<'a>>,
}

impl<'a> Uri<'a> {
    /// Parses the URI of a volume, or of an image on one.
    pub fn parse(text: &'a str) -> Result<Self, UriError> {
        parse::uri(text)
    }

    /// Parses the URI of an image.
    pub fn parse_image(text: &'a str) -> Result<Self, UriError> {
        let uri = parse::uri(text)?;
        if uri.path.is_none() {
            let offset = u32::try_from(text.find('?').unwrap_or(text.len())).unwrap_or(u32::MAX);
            return Err(UriError { part: Part::Path, offset, fault: UriFault::Missing });
        }
        Ok(uri)
    }

    /// How glusterd is reached.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// The server, without brackets; `localhost` if the URI names none. `None` for a unix socket.
    pub fn host(&self) -> Option<Component<'a>> {
        self.host
    }

    /// The port; 24007 if the URI names none, or 0. `None` for a unix socket.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The volume.
    pub fn volume(&self) -> Component<'a> {
        self.volume
    }

    /// The image, without leading slashes.
    pub fn path(&self) -> Option<Component<'a>> {
        self.path
    }

    /// The unix socket.
    pub fn socket(&self) -> Option<Component<'a>> {
        self.socket
    }
}

/// The URI again, with everything said: it parses to the same parts.
impl fmt::Display for Uri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gluster+{}://", self.transport.name())?;
        if let Some(host) = &self.host {
            if host.raw().contains(':') { write!(f, "[{}]", host.raw()) } else { f.write_str(host.raw()) }?;
        }
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        write!(f, "/{}", self.volume.raw())?;
        if let Some(path) = &self.path {
            write!(f, "/{}", path.raw())?;
        }
        match &self.socket {
            Some(socket) => write!(f, "?socket={}", socket.raw()),
            None => Ok(()),
        }
    }
}

impl PartialEq for Uri<'_> {
    /// The same parts, however they are encoded.
    fn eq(&self, other: &Self) -> bool {
        self.transport == other.transport
            && self.host == other.host
            && self.port == other.port
            && self.volume == other.volume
            && self.path == other.path
            && self.socket == other.socket
    }
}

impl Eq for Uri<'_> {}
