//! What comes out of a volume.

use crate::boundary::Range;
use crate::id::{ConnId, OpId};

/// What the volume wants of its adapter. Drain [`poll`](super::Volume::poll) to `None`, then send, receive, wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Dial the [`endpoint`](super::Volume::endpoint) of `conn`; answer with `connected` or `closed`.
    Connect {
        /// The connection to make.
        conn: ConnId,
    },
    /// `conn` has records to send: gather them from `outgoing`, now or when the socket takes them.
    Transmit {
        /// The connection that has something to send.
        conn: ConnId,
    },
    /// Drop the connection. Nothing more is to be said about it; do not answer with `closed`.
    Close {
        /// The connection to drop.
        conn: ConnId,
    },
    /// `conn` may be read again after [`Intake::Wait`](crate::boundary::Intake::Wait).
    Resume {
        /// The connection whose intake was full.
        conn: ConnId,
    },
    /// Fill this part of the operation's buffer with zeroes (a hole, or what lies behind the end of an image).
    Zero(Range),
    /// `op` is over: said exactly once for each `submit`; its buffer is the caller's again. What else was answered is
    /// in [`answer`](super::Volume::answer) until the next call of `poll`.
    Complete {
        /// The operation.
        op: OpId,
        /// Bytes or entries done, or why not.
        result: Result<u32, super::OpError>,
    },
    /// A connection or the volfile changed: see [`bricks`](super::Volume::bricks) and
    /// [`session_status`](super::Volume::session_status). For diagnostics; may be ignored.
    Changed,
}
