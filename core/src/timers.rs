//! Deadlines in order: a binary heap that knows the place of each key, so that a deadline can be
//! moved or removed.

use managed::ManagedSlice;

use crate::time::Instant;

/// One element of the heap, and the place of one key: both fields share a table.
#[derive(Clone, Copy, Debug, Default)]
pub struct TimerSlot {
    at: Instant,
    /// The key at this place of the heap.
    key: u32,
    /// The place of the key with this slot's index plus one; 0 if it is not armed.
    place: u32,
}

/// Deadlines by key (a small dense number); at most one for each key.
#[derive(Debug)]
pub(crate) struct Timers<'m> {
    slots: ManagedSlice<'m, TimerSlot>,
    armed: usize,
}

impl<'m> Timers<'m> {
    pub(crate) fn new(slots: ManagedSlice<'m, TimerSlot>) -> Self {
        Self { slots, armed: 0 }
    }

    /// Number of armed deadlines.
    pub(crate) fn armed(&self) -> usize {
        self.armed
    }

    /// Arms or moves the deadline of `key`.
    pub(crate) fn set(&mut self, key: u32, at: Instant) {
        let Some(slot) = self.slots.get(key as usize) else { return };
        let place = match slot.place {
            0 => {
                self.armed += 1;
                self.armed - 1
            }
            place => place as usize - 1,
        };
        self.put(place, at, key);
        let place = self.rise(place);
        self.sink(place);
    }

    pub(crate) fn clear(&mut self, key: u32) {
        let Some(slot) = self.slots.get_mut(key as usize) else { return };
        let Some(place) = (slot.place as usize).checked_sub(1) else { return };
        slot.place = 0;
        self.armed -= 1;
        if place != self.armed
            && let Some((at, key)) = self.due(self.armed)
        {
            self.put(place, at, key);
            let place = self.rise(place);
            self.sink(place);
        }
    }

    pub(crate) fn is_set(&self, key: u32) -> bool {
        self.slots.get(key as usize).is_some_and(|slot| slot.place != 0)
    }

    /// The earliest deadline.
    pub(crate) fn first(&self) -> Option<(Instant, u32)> {
        if self.armed > 0 { self.due(0) } else { None }
    }

    /// Removes and returns the earliest deadline if it is due.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<(Instant, u32)> {
        let (at, key) = self.first()?;
        if at > now {
            return None;
        }
        self.clear(key);
        Some((at, key))
    }

    /// The deadline at a place of the heap.
    fn due(&self, place: usize) -> Option<(Instant, u32)> {
        self.slots.get(place).map(|slot| (slot.at, slot.key))
    }

    fn put(&mut self, place: usize, at: Instant, key: u32) {
        if let Some(slot) = self.slots.get_mut(place) {
            slot.at = at;
            slot.key = key;
        }
        if let Some(slot) = self.slots.get_mut(key as usize) {
            slot.place = place as u32 + 1;
        }
    }

    /// Earlier first; at the same time the lower key first, so that the order is the same
    /// everywhere.
    fn before(&self, a: usize, b: usize) -> bool {
        self.due(a).zip(self.due(b)).is_some_and(|(a, b)| a < b)
    }

    fn swap(&mut self, a: usize, b: usize) {
        let Some(((at_a, key_a), (at_b, key_b))) = self.due(a).zip(self.due(b)) else { return };
        self.put(a, at_b, key_b);
        self.put(b, at_a, key_a);
    }

    fn rise(&mut self, mut place: usize) -> usize {
        while place > 0 {
            let parent = (place - 1) / 2;
            if !self.before(place, parent) {
                break;
            }
            self.swap(place, parent);
            place = parent;
        }
        place
    }

    fn sink(&mut self, mut place: usize) {
        loop {
            let left = 2 * place + 1;
            if left >= self.armed {
                return;
            }
            let right = left + 1;
            let child = if right < self.armed && self.before(right, left) { right } else { left };
            if !self.before(child, place) {
                return;
            }
            self.swap(child, place);
            place = child;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    #[test]
    fn deadlines_come_out_in_order_whatever_is_moved_or_dropped() {
        let mut timers = Timers::new(ManagedSlice::Owned(vec![TimerSlot::default(); 64]));
        let mut expect: Vec<(u64, u32)> = Vec::new();
        let mut x = 7_u64;
        for round in 0..2_000_u32 {
            x = x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let key = (x >> 33) as u32 % 64;
            expect.retain(|(_, k)| *k != key);
            if round % 3 == 0 {
                timers.clear(key);
            } else {
                let at = x >> 50;
                timers.set(key, Instant::from_nanos(at));
                expect.push((at, key));
            }
            assert_eq!(
                timers.first().map(|(at, k)| (at.as_nanos(), k)),
                expect.iter().min().copied()
            );
        }
        expect.sort();
        for (at, key) in expect {
            assert_eq!(
                timers.take_due(Instant::from_nanos(u64::MAX)),
                Some((Instant::from_nanos(at), key))
            );
            assert!(!timers.is_set(key));
        }
        assert_eq!(timers.first(), None);
    }
}
