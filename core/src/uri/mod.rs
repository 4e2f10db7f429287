//! URIs of volumes and images.
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
//! Host, volume, path and socket may be percent-encoded. They decode to UTF-8, except the path,
//! whose names are bytes. Slashes before the volume and before the path do not count. Slashes
//! within the path are kept, and so are its `.` and `..`, which the path walk resolves. The server
//! defaults to `localhost` and the port to 24007; port 0 means 24007, too.
//!
//! URIs are accepted and rejected as by QEMU's gluster driver, and have the same parts, with the
//! exceptions below, where that driver is careless. `tests/uri_qemu.rs` records the behaviour of
//! QEMU 7.2.22.
//!
//! | input | QEMU 7.2 | here | why |
//! |---|---|---|---|
//! | `gluster://h/vol` (no image) | rejected | accepted by [`Uri::parse`], rejected by [`Uri::parse_image`] | some commands are about the volume |
//! | `gluster+rdma://…` | tcp, with a warning | parsed as rdma | the adapter decides |
//! | `gluster://[::1]/vol/img` | the brackets stay in the name of the host, which does not resolve | the address | it is what the text means |
//! | `gluster://[host]/vol/img`, `[1.2.3.4]`, `[]`, `[%31::1]` | as above | rejected | brackets hold an IPv6 address |
//! | `[fe80::1%ab]` (also `%`, `%25` and no zone) | the byte 0xAB, or no zone | rejected; `%25ab` is meant | a zone must not be mistaken for an escape |
//! | `gluster:/vol/img`, `gluster:vol/img` | `localhost` | rejected | a server was forgotten, or a slash |
//! | `gluster://u@h/vol/img` | the user is ignored | rejected | a part without effect is a mistake |
//! | `gluster://h/vol/img#x` | the fragment is ignored | rejected | it was the name of a file, and would open another |
//! | `…?=x` | the parameter is ignored | rejected | a part without effect is a mistake |
//! | `gluster+unix://:0/vol/img?socket=/s` | the port is ignored | rejected, as every other port is | a part without effect is a mistake |
//! | `gluster+unix:///vol/img?socket`, `…?socket=` | no socket, or one with an empty path | rejected | it cannot connect |
//! | `%00` in any part | the part ends there | rejected | it would open another image |
//! | `%FF` and the like in host, volume or socket | passed on as bytes | rejected | not UTF-8, as every name of these is |
//! | `gluster://a,b/vol/img`, `a!b`, `h%2Fx`, `h%3A1` | passed on as one host's name | rejected | no host is called that |
//! | `gluster://h/./img`, `gluster://h/../img` | passed on | rejected | no volume is called that |
//! | `gluster://h/vol%2Fimg`, `gluster://h/%2Fvol/img` | volume `vol`, image `img` | rejected | an encoded slash is part of a name, and no volume has one in its |

mod component;
mod error;
mod parse;
mod query;

pub use component::{Component, TooShort};
pub use error::{Part, UriError, UriFault};

use core::fmt;

use parse::{is_segment, is_unreserved};

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

    /// The server; `localhost` if the URI names none, `None` for a unix socket. An IPv6 address has
    /// no brackets, and its zone stands after a single `%`.
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

    /// The image, without slashes before it.
    pub fn path(&self) -> Option<Component<'a>> {
        self.path
    }

    /// The unix socket.
    pub fn socket(&self) -> Option<Component<'a>> {
        self.socket
    }
}

/// The canonical form of the URI, with defaults filled in. It parses to the same parts, and URIs
/// with the same parts have the same one.
impl fmt::Display for Uri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gluster+{}://", self.transport.name())?;
        if let Some(host) = &self.host {
            // Only an IPv6 address has a colon.
            if host.bytes().any(|byte| byte == b':') {
                f.write_str("[")?;
                host.write_encoded(f, |c| is_unreserved(c) || c == ':')?;
                f.write_str("]")?;
            } else {
                host.write_encoded(f, is_unreserved)?;
            }
        }
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        f.write_str("/")?;
        self.volume.write_encoded(f, is_segment)?;
        if let Some(path) = &self.path {
            f.write_str("/")?;
            path.write_encoded(f, |c| is_segment(c) || c == '/')?;
        }
        if let Some(socket) = &self.socket {
            f.write_str("?socket=")?;
            socket.write_encoded(f, |c| is_unreserved(c) || c == '/')?;
        }
        Ok(())
    }
}

impl PartialEq for Uri<'_> {
    /// Equal if the decoded parts are.
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
