//! The ring of encoded heads of one connection. Each record is contiguous.

/// The used bytes of a connection's region: from `start` to `end` (exclusive), possibly wrapped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ring {
    start: u32,
    end: u32,
    /// Records in the ring; 0 makes `start == end` mean empty.
    records: u32,
}

impl Ring {
    pub(crate) fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// The free pieces as (begin, end), the one after the last record first.
    pub(crate) fn free(&self, size: u32) -> [(u32, u32); 2] {
        if self.is_empty() {
            [(0, size), (0, 0)]
        } else if self.end > self.start {
            [(self.end, size), (0, self.start)]
        } else {
            [(self.end, self.start), (0, 0)]
        }
    }

    /// A record of `len` bytes was written at `at`.
    pub(crate) fn push(&mut self, at: u32, len: u32) {
        if self.is_empty() {
            self.start = at;
        }
        self.end = at + len;
        self.records += 1;
    }

    /// The first record is sent; the next one, if there is one, begins at `next`.
    pub(crate) fn pop(&mut self, next: Option<u32>) {
        self.records = self.records.saturating_sub(1);
        match next {
            Some(next) => self.start = next,
            None => *self = Ring::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    #[test]
    fn records_never_overlap_and_every_byte_comes_back() {
        let size = 100;
        let mut ring = Ring::default();
        let mut live: VecDeque<(u32, u32)> = VecDeque::new();
        let mut x = 1_u32;
        for _ in 0..5_000 {
            x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let len = (x >> 24) % 40 + 1;
            let piece = ring.free(size).into_iter().find(|(begin, end)| end - begin >= len);
            match piece {
                Some((begin, _)) if x & 1 == 0 || live.is_empty() => {
                    for (at, l) in &live {
                        assert!(begin + len <= *at || at + l <= begin, "overlap");
                    }
                    assert!(begin + len <= size);
                    ring.push(begin, len);
                    live.push_back((begin, len));
                }
                _ => {
                    live.pop_front();
                    ring.pop(live.front().map(|(at, _)| *at));
                }
            }
        }
        while live.pop_front().is_some() {
            ring.pop(live.front().map(|(at, _)| *at));
        }
        assert!(ring.is_empty());
        assert_eq!(ring.free(size), [(0, 100), (0, 0)]);
    }
}
