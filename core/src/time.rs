//! Time as an argument: a 64-bit instant that the adapter makes from its own clock.

use core::ops::Add;
use core::time::Duration;

/// A point on the adapter's monotonic clock, in nanoseconds from a zero of the adapter's choice.
///
/// The core never reads a clock. Instants given to one [`Volume`](crate::volume::Volume) must not
/// go back; an earlier one counts as the latest seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The zero of the clock.
    pub const ZERO: Instant = Instant(0);

    /// The instant `nanos` nanoseconds after the zero.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The instant `millis` milliseconds after the zero (saturating).
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since the zero.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to this instant; zero if `earlier` is later.
    pub const fn since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// This instant and `millis` milliseconds (saturating).
    pub const fn plus_millis(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis.saturating_mul(1_000_000)))
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, rhs: Duration) -> Instant {
        let nanos = u64::try_from(rhs.as_nanos()).unwrap_or(u64::MAX);
        Instant(self.0.saturating_add(nanos))
    }
}

/// The wall-clock time at an [`Instant`], for the timestamps that a client sends with its calls
/// (docs/spec/01-wire.md, "Timestamps and the v3 flags/ctime").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct WallClock {
    /// Nanoseconds from 1970 at [`Instant::ZERO`].
    at_zero: u64,
}

impl WallClock {
    /// A clock that shows `unix_nanos` nanoseconds since 1970 at `now`.
    pub const fn new(now: Instant, unix_nanos: u64) -> Self {
        Self { at_zero: unix_nanos.saturating_sub(now.0) }
    }

    /// Seconds and nanoseconds since 1970 at `now`.
    pub const fn at(&self, now: Instant) -> (u64, u32) {
        let nanos = self.at_zero.saturating_add(now.0);
        (nanos / 1_000_000_000, (nanos % 1_000_000_000) as u32)
    }
}
