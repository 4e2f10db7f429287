//! Detects whether the page cache takes writes at once.
//!
//! Usually it does, and a write is executed in the loop. When dirty pages are written back under
//! pressure, or a journal is full, the kernel makes writers wait, and no flag of ext4 prevents
//! that. A slow write is a sign of it. Writes then go to threads for a while, so that the loop
//! stays responsive.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A write that takes longer has waited for the disk (or for a processor, which does no harm).
const LONG: Duration = Duration::from_millis(20);
/// Time for which writes then go to threads.
const WHILE: Duration = Duration::from_millis(500);

/// Speed of recent writes.
#[derive(Debug)]
pub(super) struct WriteThrottle {
    start: Instant,
    /// Milliseconds since the start until which writes count as slow.
    slow_until: AtomicU64,
}

impl Default for WriteThrottle {
    fn default() -> Self {
        Self { start: Instant::now(), slow_until: AtomicU64::new(0) }
    }
}

impl WriteThrottle {
    /// Whether a write may have to wait.
    pub(super) fn is_slow(&self, now: Instant) -> bool {
        let slow_until = self.slow_until.load(Ordering::Relaxed);
        slow_until > 0 && self.millis(now) < slow_until
    }

    /// Records the duration of a write.
    pub(super) fn wrote(&self, began: Instant, now: Instant) {
        if now.duration_since(began) >= LONG {
            self.slow_until.store(self.millis(now + WHILE), Ordering::Relaxed);
        }
    }

    fn millis(&self, at: Instant) -> u64 {
        at.duration_since(self.start).as_millis() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_write_that_took_long_others_are_not_waited_for_for_a_while() {
        let (throttle, t) = (WriteThrottle::default(), Instant::now() + Duration::from_secs(1));
        let after = |millis: u64| t + Duration::from_millis(millis);
        assert!(!throttle.is_slow(t));
        throttle.wrote(t, after(3));
        assert!(!throttle.is_slow(after(3)));
        throttle.wrote(t, after(30));
        assert!(throttle.is_slow(after(40)) && throttle.is_slow(after(500)));
        assert!(!throttle.is_slow(after(531)));
        throttle.wrote(after(40), after(100));
        assert!(throttle.is_slow(after(590)), "the last long one counts");
    }
}
