//! Protocol errors of a peer. Each ends its connection and nothing else.

use core::fmt;

use crate::xdr::XdrError;

/// Why a peer was disconnected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PeerError {
    /// A record is longer than the connection's limit.
    RecordTooLong {
        /// Bytes announced.
        len: u32,
        /// The limit.
        max: u32,
    },
    /// An empty fragment that is not the last: a record of such fragments would never end.
    EmptyFragment,
    /// A record is too short for an RPC header.
    RecordTooShort {
        /// Bytes of the record.
        len: u32,
    },
    /// A field cannot be decoded.
    Xdr(XdrError),
    /// A reply to a call that was never made or has been answered.
    UnknownXid(u32),
    /// Too many abandoned calls are unanswered.
    Abandoned,
    /// The peer's RPC layer refused a call of a program that it lists.
    Refused(&'static str),
    /// A READ reply has more than was requested, or not the length that it announces.
    ReadLength {
        /// `op_ret`: bytes announced.
        announced: u32,
        /// Bytes requested.
        asked: u32,
        /// Bytes of payload in the record.
        carried: u32,
    },
    /// A WRITE reply reports more bytes than were sent.
    WriteLength {
        /// `op_ret`.
        announced: u32,
        /// Bytes that the call carried.
        asked: u32,
    },
}

impl From<XdrError> for PeerError {
    fn from(error: XdrError) -> Self {
        Self::Xdr(error)
    }
}

impl fmt::Display for PeerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RecordTooLong { len, max } => {
                write!(f, "record of {len} bytes, the limit is {max}")
            }
            Self::EmptyFragment => f.write_str("an empty fragment that is not the last"),
            Self::RecordTooShort { len } => {
                write!(f, "record of {len} bytes, too short for a header")
            }
            Self::Xdr(error) => error.fmt(f),
            Self::UnknownXid(xid) => write!(f, "reply to call {xid}, which was not made"),
            Self::Abandoned => f.write_str("too many calls were given up without an answer"),
            Self::Refused(what) => write!(f, "the call was refused: {what}"),
            Self::ReadLength { announced, asked, carried } => {
                write!(
                    f,
                    "READ reply announces {announced} bytes and has {carried}; {asked} were \
                     requested"
                )
            }
            Self::WriteLength { announced, asked } => {
                write!(f, "WRITE reply claims {announced} bytes, {asked} were sent")
            }
        }
    }
}

impl core::error::Error for PeerError {}
