//! Waiting is bounded: each operation ends within its time limit, and after the faults have stopped
//! everything that is pending ends within [`CALM`].

use super::Violation;
use crate::scenario::MS;

/// After the faults have stopped, every pending operation ends, and every volume can be used,
/// within this virtual time, in nanoseconds: the longest time limit of an operation, and a minute
/// for connections whose other end is gone.
pub const CALM: u64 = 240_000 * MS;

/// An operation may end so much later than its time limit, in nanoseconds: it ends when its
/// deadline fires, and events have no duration.
const SLACK: u64 = MS;

/// Checks the duration of an operation that has ended.
pub fn ended(began: u64, now: u64, limit_ms: u32, what: &str) -> Result<(), Violation> {
    let (took, limit) = (now - began, u64::from(limit_ms) * MS);
    if took <= limit + SLACK {
        return Ok(());
    }
    let message = format!("{what} took {} ms, its limit is {limit_ms} ms", took / MS);
    Err(Violation::new("waiting", message))
}

/// Something did not end although nothing is wrong any more.
pub fn never(what: &str, waited: u64) -> Violation {
    Violation::new("waiting", format!("{what} has not ended {} ms after the faults", waited / MS))
}
