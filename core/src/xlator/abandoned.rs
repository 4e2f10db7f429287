//! Changes whose operation has ended while a brick may still execute them. No younger change may
//! touch their bytes before they are over.

use crate::id::RangeIx;
use crate::time::Instant;

/// Ranges that are kept for one inode. A further change widens the nearest one.
const RANGES: usize = 4;

/// Changes that a brick's process may have received on a connection that ended before the answer.
/// They are over when the process is known to be gone. Otherwise they count as executed after as
/// long as an operation may take, because the protocol has no way to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct InDoubt {
    /// The process, as the hash of its name; 0 if it is unknown.
    pub(crate) server: u64,
    pub(crate) until: Instant,
}

impl InDoubt {
    /// The doubt about this change and another one.
    fn and(self, other: Self) -> Self {
        Self {
            server: if self.server == other.server { self.server } else { 0 },
            until: self.until.max(other.until),
        }
    }

    /// Says whether the changes are over because another process answers.
    pub(crate) fn is_over_with(&self, server: u64) -> bool {
        self.server != 0 && server != 0 && self.server != server
    }
}

/// A range that holds abandoned changes, until all of them are over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct AbandonedRange {
    /// The first byte, and the one behind the last.
    from: u64,
    to: u64,
    /// Changes that the brick has and owes the answer to.
    unanswered: u32,
    /// Changes whose connection ended before the answer.
    in_doubt: Option<InDoubt>,
}

impl AbandonedRange {
    const FREE: Self = Self { from: 0, to: 0, unanswered: 0, in_doubt: None };

    fn is_free(&self) -> bool {
        self.unanswered == 0 && self.in_doubt.is_none()
    }

    fn overlaps(&self, from: u64, to: u64) -> bool {
        !self.is_free() && from < self.to && self.from < to
    }

    /// Number of bytes between it and these.
    fn gap(&self, from: u64, to: u64) -> u64 {
        from.saturating_sub(self.to).max(self.from.saturating_sub(to))
    }
}

/// The abandoned changes of one inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AbandonedChanges([AbandonedRange; RANGES]);

impl AbandonedChanges {
    pub(crate) const NONE: Self = Self([AbandonedRange::FREE; RANGES]);

    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(AbandonedRange::is_free)
    }

    /// Says whether a brick may still execute a change of bytes in `from..to`.
    pub(crate) fn holds(&self, from: u64, to: u64) -> bool {
        self.0.iter().any(|range| range.overlaps(from, to))
    }

    /// Adds a change that the brick owes the answer to.
    pub(crate) fn add_unanswered(&mut self, from: u64, to: u64) -> RangeIx {
        let at = self.place(from, to);
        if let Some(range) = self.get_mut(at) {
            range.unanswered += 1;
        }
        at
    }

    /// Adds a change whose connection has ended.
    pub(crate) fn add_in_doubt(&mut self, from: u64, to: u64, doubt: InDoubt) {
        let at = self.place(from, to);
        self.doubt(at, doubt);
    }

    /// The brick has answered such a change.
    pub(crate) fn answered(&mut self, at: RangeIx) {
        if let Some(range) = self.get_mut(at) {
            range.unanswered = range.unanswered.saturating_sub(1);
        }
    }

    /// The connection of such a change ended before the answer.
    pub(crate) fn unanswered(&mut self, at: RangeIx, doubt: InDoubt) {
        self.doubt(at, doubt);
        self.answered(at);
    }

    /// Ends the doubts that this says are over. Returns whether there were any.
    pub(crate) fn end_doubts(&mut self, is_over: impl Fn(&InDoubt) -> bool) -> bool {
        let mut ended = false;
        for range in &mut self.0 {
            ended |= range.in_doubt.take_if(|doubt| is_over(doubt)).is_some();
        }
        ended
    }

    /// The time at which the first doubt ends by itself.
    pub(crate) fn next_end(&self) -> Option<Instant> {
        self.0.iter().filter_map(|range| range.in_doubt).map(|doubt| doubt.until).min()
    }

    fn doubt(&mut self, at: RangeIx, doubt: InDoubt) {
        if let Some(range) = self.get_mut(at) {
            range.in_doubt = Some(range.in_doubt.map_or(doubt, |before| before.and(doubt)));
        }
    }

    fn get_mut(&mut self, at: RangeIx) -> Option<&mut AbandonedRange> {
        self.0.get_mut(usize::from(at.0))
    }

    /// The range for a change of these bytes: one that touches them, else a free one, else the
    /// nearest. It never changes its place, because calls in flight name it.
    fn place(&mut self, from: u64, to: u64) -> RangeIx {
        let cost = |range: &AbandonedRange| match range.gap(from, to) {
            _ if range.is_free() => (1, 0),
            0 => (0, 0),
            gap => (2, gap),
        };
        let ranges = self.0.iter().enumerate();
        let best = ranges.min_by_key(|(_, range)| cost(range)).map_or(0, |(at, _)| at);
        if let Some(range) = self.0.get_mut(best) {
            if range.is_free() {
                (range.from, range.to) = (from, to);
            } else {
                (range.from, range.to) = (range.from.min(from), range.to.max(to));
            }
        }
        RangeIx(best as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOUBT: InDoubt = InDoubt { server: 7, until: Instant::from_nanos(10) };

    #[test]
    fn changes_far_apart_leave_the_bytes_between_them_free() {
        let mut changes = AbandonedChanges::NONE;
        let places: [RangeIx; 4] =
            core::array::from_fn(|n| changes.add_unanswered(1000 * n as u64, 1000 * n as u64 + 10));
        assert!(changes.holds(1005, 1006) && changes.holds(0, 1) && changes.holds(3009, 9000));
        assert!(!changes.holds(10, 1000) && !changes.holds(3010, u64::MAX));
        // The fifth one widens the nearest.
        let fifth = changes.add_unanswered(2100, 2110);
        assert_eq!(fifth, places[2]);
        assert!(changes.holds(2050, 2051) && !changes.holds(2110, 3000));
        changes.answered(places[2]);
        assert!(changes.holds(2000, 2001), "one of the two is not over");
        changes.answered(fifth);
        assert!(!changes.holds(2000, 2110));
        for place in [places[0], places[1], places[3]] {
            assert!(!changes.is_empty());
            changes.answered(place);
        }
        assert!(changes.is_empty());
    }

    #[test]
    fn a_change_of_the_same_bytes_joins_their_range_and_leaves_the_free_ones() {
        let mut changes = AbandonedChanges::NONE;
        let first = changes.add_unanswered(100, 200);
        assert_eq!(changes.add_unanswered(150, 250), first);
        assert_eq!(changes.add_unanswered(250, 300), first, "it touches the range");
        assert_ne!(changes.add_unanswered(301, 302), first);
    }

    #[test]
    fn doubts_of_one_range_end_with_the_last_and_name_a_process_only_if_all_do() {
        let mut changes = AbandonedChanges::NONE;
        changes.add_in_doubt(0, 10, DOUBT);
        let at = changes.add_unanswered(5, 20);
        changes.unanswered(at, InDoubt { server: 8, until: Instant::from_nanos(30) });
        assert_eq!(changes.next_end(), Some(Instant::from_nanos(30)));
        assert!(!changes.end_doubts(|doubt| doubt.is_over_with(9)));
        assert!(!changes.end_doubts(|doubt| doubt.until <= Instant::from_nanos(29)));
        assert!(changes.holds(19, 20));
        assert!(changes.end_doubts(|doubt| doubt.until <= Instant::from_nanos(30)));
        assert!(changes.is_empty());
    }

    #[test]
    fn the_doubt_about_one_range_ends_without_the_others() {
        let mut changes = AbandonedChanges::NONE;
        changes.add_in_doubt(0, 10, DOUBT);
        changes.add_in_doubt(1000, 1010, InDoubt { server: 8, ..DOUBT });
        assert!(changes.end_doubts(|doubt| doubt.is_over_with(8)));
        assert!(!changes.holds(0, 10) && changes.holds(1000, 1001));
    }
}
