//! Errors of operations and of their submission.

use core::fmt;

use crate::xdr::Errno;
use crate::xlator::{Down, GraphError, Table};

/// The reason why `submit` did not take an operation. Nothing has happened; the buffer stays the
/// caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SubmitError {
    /// A table is full: submit again after a completion.
    Busy(Table),
    /// The handle is not open: it was closed, or belongs to another volume.
    BadFile,
    /// A path or xattr name is empty where one is needed, contains a NUL, or has a component of
    /// more than 255 bytes.
    BadPath,
    /// The range ends behind 2^63 − 1.
    BadRange,
    /// A path, name or transfer is longer than the `Limits` allow.
    TooLong {
        /// The limit, in bytes.
        max: u32,
    },
    /// The volume was stopped.
    Stopped,
}

/// The reason why an operation failed. It has ended; its buffer is the caller's again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OpError {
    /// The errno that the volume answered with.
    Errno(Errno),
    /// No connection, and none came up before the operation's deadline. The operation was not sent.
    NotConnected(Down),
    /// The connection ended with the operation in flight, and repeating it is not safe: whether it
    /// was or will be executed is unknown.
    Indeterminate(Down),
    /// No answer within `Config::op_timeout_ms`, although the brick was connected: whether the
    /// operation was or will be executed is unknown.
    TimedOut,
    /// Acknowledged writes that were not flushed may be gone: the brick's process was restarted, or
    /// a flush failed. Every flush of the file says so until the file is opened again.
    WritesLost,
    /// The answer is longer than `Limits::block_bytes`.
    AnswerTooLong,
    /// The graph of the volume cannot be used.
    Graph(GraphError),
    /// The operation was cancelled, or the volume was stopped.
    Stopped,
    /// A table was full in the middle of the operation: its last step was not sent.
    Busy(Table),
    /// The brick reported success without a field that such an answer must have: this one.
    BadAnswer(&'static str),
}

impl fmt::Display for SubmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy(table) => write!(f, "the table `{table}` is full: wait for a completion"),
            Self::BadFile => f.write_str("no such open file"),
            Self::BadPath => {
                f.write_str("not a valid path: empty, with a NUL, or a name of more than 255 bytes")
            }
            Self::BadRange => {
                f.write_str("the range ends behind the largest file offset, 2^63 - 1")
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
                write!(
                    f,
                    "the connection ended with the operation in flight ({down}): whether it was \
                     executed is unknown"
                )
            }
            Self::TimedOut => {
                f.write_str("no answer before the operation's deadline: it may still be executed")
            }
            Self::WritesLost => f.write_str(
                "writes acknowledged since the last flush may be lost (the brick's process was \
                 restarted, or a flush failed): open the file again and repeat them",
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
