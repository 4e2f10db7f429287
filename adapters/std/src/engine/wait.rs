//! The leader's wait: for what, and for how long.
//!
//! Usually the leader waits for any socket, for another thread and for a timeout ([`Wait::Any`],
//! epoll), and reads afterwards: two system calls for each reply. A program with one thread that
//! expects replies on one connection only waits in the read of that socket instead ([`Wait::One`]).
//! Nothing else can wake it then, so such a wait takes at most [`ALONE`], and it is not used if
//! other threads take part.

use std::time::{Duration, Instant as Clock};

use brickwire_core::volume::Intake;
use brickwire_core::{ConnId, Instant};

use super::Waits;
use super::connections::{Conn, Io, Stream};
use super::state::State;
use super::transfer::LAND;
use crate::net::Waiting;

/// With fewer operations in flight, the leader does not wait for several replies at a time.
const COALESCE_FROM: usize = 8;
/// Smallest low-water mark: about two replies without payload.
const LOW_WATER_MIN: u32 = 512;
/// Largest low-water mark. It must be less than a socket's receive buffer.
const LOW_WATER_MAX: u64 = 128 * 1024;
/// Timeout of a wait for several replies: error replies are short and must not be delayed.
const COALESCE_FOR: Duration = Duration::from_millis(1);
/// Longest wait for one connection. Events of other connections, earlier deadlines and other
/// threads are delayed by at most this time.
const ALONE: Duration = Duration::from_millis(5);
/// How long after the last call of another thread it is expected to call again.
const COMPANY: Duration = Duration::from_millis(100);

/// The leader's wait.
pub(super) enum Wait {
    /// For any socket, another thread, or the timeout.
    Any { timeout: Option<Duration> },
    /// For bytes of one connection, for [`ALONE`].
    One { conn: ConnId, socket: Waiting },
}

impl State {
    /// Chooses the wait of a leader that itself waits for `who`, and sets the sockets' low-water
    /// marks.
    pub(super) fn prepare_wait(&mut self, who: Waits, end: Option<Clock>) -> Wait {
        let now = self.now();
        let mut timeout = self.volume.deadline().map(|deadline| deadline.at.since(now));
        self.waits_until = self.volume.deadline().map(|deadline| deadline.at);
        for at in [self.next_dial, end].into_iter().flatten() {
            let left = at.saturating_duration_since(Clock::now());
            timeout = Some(timeout.map_or(left, |timeout| timeout.min(left)));
        }
        self.coalesce();
        if self.coalescing == 0
            && timeout.is_none_or(|timeout| timeout > 2 * ALONE)
            && let Some((conn, socket)) = self.only_one_owes(who, now)
        {
            return Wait::One { conn, socket };
        }
        if self.coalescing > 0 {
            timeout = Some(timeout.map_or(COALESCE_FOR, |timeout| timeout.min(COALESCE_FOR)));
        }
        Wait::Any { timeout }
    }

    /// Sets the low-water mark of each socket: for one busy connection half of the bytes that it
    /// owes; for several a larger part of each, because the first that reaches its mark wakes the
    /// leader for all of them (`handle_events`).
    fn coalesce(&mut self) {
        self.coalescing = 0;
        let busy = self.in_flight >= COALESCE_FROM;
        let conns = &mut self.conns[..self.conns_end];
        let owing = |conn: &&mut Conn| self.volume.owed(conn.id) > 0;
        let parts = if busy {
            conns.iter_mut().flatten().filter(owing).count().clamp(1, 3) as u64
        } else {
            0
        };
        for conn in conns.iter_mut().flatten() {
            let Io::Open(stream) = &mut conn.io else { continue };
            if !busy && stream.socket.low_water() == 1 {
                continue;
            }
            let share = self.volume.owed(conn.id) * parts / (parts + 1);
            let low = coarse(share.min(LOW_WATER_MAX) as u32);
            let low = if low < LOW_WATER_MIN { 1 } else { low };
            stream.socket.set_low_water(low);
            self.coalescing += usize::from(low > 1);
        }
    }

    /// The only connection on which anything is expected, if there is one.
    fn only_one_owes(&mut self, who: Waits, now: Instant) -> Option<(ConnId, Waiting)> {
        // All sockets are checked regularly, however busy this one is.
        let looked = now.since(self.woke_at) < ALONE;
        let alone = now.since(self.company_at) >= COMPANY
            && self.parked.iter().all(|(_, waits)| *waits == Waits::Background);
        if !looked || !alone || !matches!(who, Waits::Ticket(_) | Waits::Queue(_)) {
            return None;
        }
        let mut only = None;
        for (at, conn) in self.conns[..self.conns_end].iter().enumerate() {
            let Some(conn) = conn else { continue };
            let Io::Open(Stream { writing: false, held: None, .. }) = conn.io else { return None };
            if self.volume.owed(conn.id) > 0 && only.replace((at, conn.id)).is_some() {
                return None;
            }
        }
        let (at, id) = only?;
        // Bytes that are received into a lent buffer are read under the lock, which keeps it lent.
        if matches!(self.volume.intake(id), Intake::Place(range) if range.len > LAND) {
            return None;
        }
        let Some(Conn { io: Io::Open(stream), .. }) = &mut self.conns[at] else { return None };
        // With a mark above 1 a blocking read may never end (see `Waiting::read`).
        if stream.socket.low_water() != 1 {
            return None;
        }
        if stream.waiting.is_none() {
            stream.waiting = stream.socket.waiting(ALONE).ok();
        }
        Some((id, stream.waiting.clone()?))
    }
}

/// Rounds down to three significant bits, so that marks change seldom: each change is a system
/// call.
fn coarse(n: u32) -> u32 {
    let step = n.checked_ilog2().map_or(1, |log| 1 << log.saturating_sub(2));
    n - n % step
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_at_most_a_fifth_below_what_was_meant() {
        assert_eq!([0, 1, 3, 5504, 22_891, 68_672].map(coarse), [0, 1, 3, 5120, 20_480, 65_536]);
        for n in 1..200_000 {
            assert!(coarse(n) <= n && coarse(n) as u64 * 5 >= n as u64 * 4, "{n}: {}", coarse(n));
        }
    }
}
