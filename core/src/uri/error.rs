//! What is wrong with a URI, and where.

use core::fmt;

/// A part of a URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // They are what their names say.
pub enum Part {
    Scheme,
    Host,
    Port,
    Volume,
    Path,
    Query,
    Socket,
}

/// Why a URI was rejected: which part, at which byte, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UriError {
    /// Which part.
    pub part: Part,
    /// Byte of the text.
    pub offset: u32,
    /// What is wrong there.
    pub fault: UriFault,
}

/// What can be wrong with a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UriFault {
    /// Neither `gluster` nor `gluster+tcp`, `+unix`, `+rdma`, followed by `://`.
    NotGluster,
    /// It is missing.
    Missing,
    /// It must not be there with this transport.
    NotHere,
    /// A `%` without two hexadecimal digits.
    BadEscape,
    /// It contains a NUL.
    Nul,
    /// Decoded it is not UTF-8.
    NotUtf8,
    /// A character that cannot stand there.
    BadCharacter,
    /// Not an IPv6 address.
    NotIpv6,
    /// A bracket without the other one.
    Unclosed,
    /// Not a number from 0 to 65535.
    NotAPort,
    /// A parameter that does not exist.
    UnknownParameter,
    /// A parameter twice.
    Repeated,
}

impl fmt::Display for UriError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = match self.part {
            Part::Scheme => "scheme",
            Part::Host => "host",
            Part::Port => "port",
            Part::Volume => "volume",
            Part::Path => "path",
            Part::Query => "query",
            Part::Socket => "socket",
        };
        let fault = match self.fault {
            UriFault::NotGluster => "expected gluster://, gluster+tcp://, gluster+unix:// or gluster+rdma://",
            UriFault::Missing => "is missing",
            UriFault::NotHere => "cannot be given with this transport",
            UriFault::BadEscape => "% must be followed by two hexadecimal digits",
            UriFault::Nul => "cannot contain a NUL",
            UriFault::NotUtf8 => "is not UTF-8 when it is decoded",
            UriFault::BadCharacter => "has a character that cannot stand there",
            UriFault::NotIpv6 => "brackets must hold an IPv6 address",
            UriFault::Unclosed => "the closing bracket is missing",
            UriFault::NotAPort => "expected a number from 0 to 65535",
            UriFault::UnknownParameter => "the only parameter is socket, of gluster+unix",
            UriFault::Repeated => "the socket is given twice",
        };
        write!(f, "{part}: {fault} (byte {})", self.offset)
    }
}

impl core::error::Error for UriError {}
