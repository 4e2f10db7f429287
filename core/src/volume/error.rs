//! What a caller is told when something did not work: by the caller, by a peer, by the volume.

use core::fmt;

use crate::xdr::Errno;
use crate::xlator::{Down, GraphError, Table};

/// Why `submit` did not take an operation. Nothing has happened; the buffer stays the caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SubmitError {
    /// A table is full: try again when something has completed.
    Busy(Table),
    /// No such open file (closed, or of another volume).
    BadFile,
    /// A path is empty where a name is needed, has a NUL, or a component of more than 255 bytes.
    BadPath,
    /// A range of a file that ends behind 2^63 − 1.
    BadRange,
    /// A path, name or transfer is longer than the `Limits` allow; this is the most.
    TooLong {
        /// The limit, in bytes.
        max: u32,
    },
    /// Nothing more is taken: the volume was stopped.
    Stopped,
}

/// How an operation failed. It is over; its buffer is the caller's again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OpError {
    /// The volume's own answer.
    Errno(Errno),
    /// No connection, and none came within the operation's time: why is in the status of the volume.
    NotConnected(Down),
    /// The connection died with the operation in flight and it is not safe to repeat it: whether it happened is
    /// unknown.
    Indeterminate(Down),
    /// The operation took longer than `Config::op_timeout_ms` although its brick was connected.
    TimedOut,
    /// Writes that had been acknowledged, but not flushed, may be gone: the brick process was restarted, or a flush
    /// failed. Said by every flush of the file until it is opened anew.
    WritesLost,
    /// The answer does not fit `Limits::block_bytes`.
    AnswerTooLong,
    /// The volume's graph cannot be served.
    Graph(GraphError),
    /// The volume was stopped while the operation waited.
    Stopped,
    /// A table was full half-way: nothing was sent.
    Busy(Table),
    /// The brick answered with success but not with what must be in such an answer.
    BadAnswer(&'static str),
}

impl fmt::Display for SubmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy(table) => write!(f, "the table `{table}` is full: wait for a completion"),
            Self::BadFile => f.write_str("no such open file"),
            Self::BadPath => {
                f.write_str("not a path: empty, a NUL, or a name of more than 255 bytes")
            }
            Self::BadRange => {
                f.write_str("the range ends behind the largest offset that a file has")
            }
            Self::TooLong { max } => write!(f, "longer than the limit of {max} bytes"),
            Self::Stopped => f.write_str("the volume was stopped"),
        }
    }
}

impl fmt::Display for OpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Errno(errno) => errno.fmt(f),
            Self::NotConnected(down) => write!(f, "not connected: {down}"),
            Self::Indeterminate(down) => {
                write!(f, "connection lost with the operation in flight ({down}): whether it happened is unknown")
            }
            Self::TimedOut => f.write_str("no answer within the operation's time"),
            Self::WritesLost => f.write_str(
                "writes acknowledged since the last flush may be lost (the brick process was restarted, or a flush failed): \
                 open the file anew and write them again",
            ),
            Self::AnswerTooLong => f.write_str("the answer is longer than Limits::block_bytes"),
            Self::Graph(error) => error.fmt(f),
            Self::Stopped => f.write_str("the volume was stopped"),
            Self::Busy(table) => write!(f, "the table `{table}` is full"),
            Self::BadAnswer(what) => write!(f, "the brick's answer lacks {what}"),
        }
    }
}

impl core::error::Error for SubmitError {}
impl core::error::Error for OpError {}
