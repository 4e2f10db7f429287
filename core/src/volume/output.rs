//! Outputs of a volume: the actions of its adapter.

use crate::boundary::Range;
use crate::id::{ConnId, OpId};

/// An action that the adapter has to carry out. Take all from [`poll`](super::Volume::poll) until
/// it returns `None`, then send, receive and wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Dial the [`endpoint`](super::Volume::endpoint) of `conn`, and call `connected` or `closed`.
    Connect {
        /// The connection to make.
        conn: ConnId,
    },
    /// `conn` has records to send: gather them from `outgoing`, now or when the socket is writable.
    Transmit {
        /// The connection with records to send.
        conn: ConnId,
    },
    /// Close the connection. Do not call `closed` for it.
    Close {
        /// The connection to close.
        conn: ConnId,
    },
    /// Read from `conn` again after [`Intake::Wait`](crate::boundary::Intake::Wait).
    Resume {
        /// The connection that waited.
        conn: ConnId,
    },
    /// Fill this part of the operation's buffer with zeroes: a hole, or bytes behind the end of an
    /// image.
    Zero(Range),
    /// `op` has ended; its buffer is the caller's again. Comes exactly once for each `submit`. The
    /// rest of the answer is in [`answer`](super::Volume::answer) until the next call of `poll`.
    Complete {
        /// The operation.
        op: OpId,
        /// The number of bytes or entries, or the error.
        result: Result<u32, super::OpError>,
    },
    /// A connection or the volfile changed: see [`bricks`](super::Volume::bricks) and
    /// [`session_status`](super::Volume::session_status). For diagnostics; may be ignored.
    Changed,
}
