//! What a peer did wrong. The connection goes; nothing else does.

use core::fmt;

use crate::xdr::XdrError;

/// Why a peer was disconnected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PeerError {
    /// A record, or its fragments together, are longer than the limit of that connection.
    RecordTooLong {
        /// Announced bytes.
        len: u32,
        /// The limit.
        max: u32,
    },
    /// An empty fragment that is not the last one: no sender needs it, and it never ends.
    EmptyFragment,
    /// A record that is too short for an RPC header.
    RecordTooShort {
        /// Its bytes.
        len: u32,
    },
    /// A field that is not what it must be.
    Xdr(XdrError),
    /// A reply to a call that was never made, or was answered before.
    UnknownXid(u32),
    /// Too many answers are still owed to calls that nobody waits for any more.
    Abandoned,
    /// The RPC layer of the peer refused a call that it must know.
    Refused(&'static str),
    /// A READ reply carries more than was asked for, or not what it announces.
    ReadLength {
        /// `op_ret`, the announced bytes.
        announced: u32,
        /// Asked for.
        asked: u32,
        /// In the record.
        carried: u32,
    },
    /// A WRITE reply claims more than was sent.
    WriteLength {
        /// `op_ret`.
        announced: u32,
        /// Sent.
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
                    "READ reply announces {announced} bytes and carries {carried}, {asked} were asked for"
                )
            }
            Self::WriteLength { announced, asked } => {
                write!(f, "WRITE reply claims {announced} bytes, {asked} were sent")
            }
        }
    }
}

impl core::error::Error for PeerError {}
