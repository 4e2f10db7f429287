//! Errors in a URI, and where they are.

use core::fmt;

/// A part of a URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// Its beginning, up to and with `://`.
    Scheme,
    /// The server.
    Host,
    /// The server's port.
    Port,
    /// The volume's name.
    Volume,
    /// The path of the image.
    Path,
    /// The text after the question mark.
    Query,
    /// The parameter `socket` and its value.
    Socket,
}

/// Why a URI was rejected: the part, the byte and the fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UriError {
    /// Which part.
    pub part: Part,
    /// Byte of the text: the place of the fault, or the place where something is missing.
    pub offset: u32,
    /// The fault.
    pub fault: UriFault,
}

/// Faults of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UriFault {
    /// Neither `gluster` nor `gluster+tcp`, `+unix`, `+rdma`, followed by `://`.
    NotGluster,
    /// It is missing.
    Missing,
    /// It is not allowed with this transport.
    NotHere,
    /// A `%` without two hexadecimal digits.
    BadEscape,
    /// It contains a NUL.
    Nul,
    /// The decoded bytes are not UTF-8.
    NotUtf8,
    /// A character that is not allowed there, encoded or not.
    BadCharacter,
    /// A character that is only allowed there percent-encoded.
    NotEncoded,
    /// Not an IPv6 address.
    NotIpv6,
    /// Not the zone of an IPv6 address, or one that could be an escape.
    NotAZone,
    /// A bracket without the other one.
    Unclosed,
    /// Not a number from 0 to 65535.
    NotAPort,
    /// Not a volume's name: `.`, `..`, or with a slash in it.
    NotAVolume,
    /// A parameter that does not exist.
    UnknownParameter,
    /// A parameter twice.
    Repeated,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "scheme",
            Self::Host => "host",
            Self::Port => "port",
            Self::Volume => "volume",
            Self::Path => "path",
            Self::Query => "query",
            Self::Socket => "socket",
        })
    }
}

/// One line for a person: `port: expected a number from 0 to 65535 at byte 23`.
impl fmt::Display for UriError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fault = match (self.fault, self.part) {
            (UriFault::NotGluster, _) => {
                "expected gluster://, gluster+tcp://, gluster+unix:// or gluster+rdma://"
            }
            (UriFault::Missing, Part::Volume) => "expected the name of a volume",
            (UriFault::Missing, Part::Path) => "expected the path of an image",
            (UriFault::Missing, Part::Socket) => "expected ?socket= and the path of a unix socket",
            (UriFault::Missing, _) => "missing",
            (UriFault::NotHere, Part::Socket) => "only gluster+unix:// has a socket",
            (UriFault::NotHere, _) => "gluster+unix:// has neither host nor port",
            (UriFault::BadEscape, _) => "expected two hexadecimal digits after %",
            (UriFault::Nul, _) => "unexpected NUL",
            (UriFault::NotUtf8, _) => "decodes to what is not UTF-8",
            (UriFault::BadCharacter, _) => "unexpected character",
            (UriFault::NotEncoded, _) => "this character must be percent-encoded",
            (UriFault::NotIpv6, _) => "expected an IPv6 address between the brackets",
            (UriFault::NotAZone, _) => "expected %25 and the name of an interface",
            (UriFault::Unclosed, _) => "this bracket is never closed",
            (UriFault::NotAPort, _) => "expected a number from 0 to 65535",
            (UriFault::NotAVolume, _) => "expected a name without a slash, neither . nor ..",
            (UriFault::UnknownParameter, _) => "expected no parameter but socket",
            (UriFault::Repeated, _) => "given a second time",
        };
        write!(f, "{}: {fault} at byte {}", self.part, self.offset)
    }
}

impl core::error::Error for UriError {}
