//! Buffers for payloads and long replies: taken and given back without allocating once there are enough.

use brickwire_core::server::BufferId;

/// The smallest buffer: a page.
const SMALLEST: u32 = 4096;
/// Powers of two from `SMALLEST` up to 32 MiB.
const CLASSES: usize = 14;

/// A pool of buffers by size.
#[derive(Debug)]
pub(crate) struct Buffers {
    /// What is lent out, by number; an empty one is nobody's.
    lent: Vec<Vec<u8>>,
    numbers: Vec<u32>,
    free: [Vec<Vec<u8>>; CLASSES],
    /// Bytes lent out, and the most that may be.
    out: usize,
    out_max: usize,
    /// Bytes kept for the next, and the most that are.
    kept: usize,
    kept_max: usize,
}

/// The class of the smallest buffers that `len` bytes fit into; the largest if there is none.
fn class_of(len: u32) -> usize {
    let pages = u64::from(len).div_ceil(SMALLEST.into()).max(1);
    (pages.next_power_of_two().trailing_zeros() as usize).min(CLASSES - 1)
}

fn size_of(class: usize) -> usize {
    (SMALLEST as usize) << class
}

impl Buffers {
    pub(crate) fn new(out_max: usize, kept_max: usize) -> Self {
        Self {
            lent: Vec::new(),
            numbers: Vec::new(),
            free: std::array::from_fn(|_| Vec::new()),
            out: 0,
            out_max,
            kept: 0,
            kept_max,
        }
    }

    /// Bytes that are lent out, and bytes that are kept for the next.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        (self.out as u64, self.kept as u64)
    }

    /// A buffer of at least `len` bytes, unless too many bytes are lent out.
    pub(crate) fn reserve(&mut self, len: u32) -> Option<BufferId> {
        let bytes = self.take(len)?;
        Some(self.lend(bytes))
    }

    /// The same without a number: for somebody who gives it back with [`Buffers::lend`].
    pub(crate) fn take(&mut self, len: u32) -> Option<Vec<u8>> {
        let class = class_of(len);
        let size = size_of(class);
        // Whoever is alone may have more than there should be: it would wait for ever.
        if size < len as usize || (self.out > 0 && self.out + size > self.most(len)) {
            return None;
        }
        self.out += size;
        match self.free[class].pop() {
            Some(bytes) => {
                self.kept -= size;
                Some(bytes)
            }
            None => Some(vec![0; size]),
        }
    }

    /// Counts bytes as lent out that somebody will allocate elsewhere. Not if too many are: see [`Buffers::take`].
    pub(crate) fn charge(&mut self, len: u32) -> bool {
        let fits = len == 0 || self.out == 0 || self.out + len as usize <= self.most(len);
        if fits {
            self.out += len as usize;
        }
        fits
    }

    /// What was charged is over, or counted as itself from now on.
    pub(crate) fn discharge(&mut self, len: u32) {
        self.out -= (len as usize).min(self.out);
    }

    /// How much may be lent out with a buffer of this length: who floods the server with long transfers leaves some for usual ones,
    /// and those leave some for short answers.
    fn most(&self, len: u32) -> usize {
        match len {
            0..=0x2_0000 => self.out_max,
            0x2_0001..=0x10_0000 => self.out_max / 8 * 7,
            _ => self.out_max / 4 * 3,
        }
    }

    /// Gives a taken buffer a number.
    pub(crate) fn lend(&mut self, bytes: Vec<u8>) -> BufferId {
        match self.numbers.pop() {
            Some(number) => {
                self.lent[number as usize] = bytes;
                BufferId(number)
            }
            None => {
                self.lent.push(bytes);
                BufferId(self.lent.len() as u32 - 1)
            }
        }
    }

    /// Gives bytes that came from elsewhere a number. They count as lent out until they are released, and are kept then only
    /// if they have a buffer's size.
    pub(crate) fn adopt(&mut self, bytes: Vec<u8>) -> BufferId {
        self.out += bytes.len();
        self.lend(bytes)
    }

    /// The bytes of a buffer; none if there is no such buffer.
    pub(crate) fn get(&self, id: BufferId) -> &[u8] {
        self.lent.get(id.0 as usize).map(Vec::as_slice).unwrap_or_default()
    }

    pub(crate) fn get_mut(&mut self, id: BufferId) -> &mut [u8] {
        self.lent.get_mut(id.0 as usize).map(Vec::as_mut_slice).unwrap_or_default()
    }

    /// Takes the bytes of a buffer away from its number.
    pub(crate) fn unlend(&mut self, id: BufferId) -> Option<Vec<u8>> {
        let bytes = self.lent.get_mut(id.0 as usize).map(std::mem::take)?;
        if bytes.is_empty() {
            return None;
        }
        self.numbers.push(id.0);
        Some(bytes)
    }

    pub(crate) fn release(&mut self, id: BufferId) {
        if let Some(bytes) = self.unlend(id) {
            self.give(bytes);
        }
    }

    /// Gives a taken buffer back.
    pub(crate) fn give(&mut self, bytes: Vec<u8>) {
        let size = bytes.len();
        self.out -= size.min(self.out);
        let class = class_of(size as u32);
        if size == size_of(class) && self.kept + size <= self.kept_max {
            self.kept += size;
            self.free[class].push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_that_came_back_is_given_out_again() {
        let mut buffers = Buffers::new(1 << 20, 1 << 20);
        let first = buffers.reserve(5000).unwrap();
        buffers.get_mut(first)[4999] = 7;
        buffers.release(first);
        let second = buffers.reserve(8192).unwrap();
        assert_eq!((buffers.get(second).len(), buffers.get(second)[4999]), (8192, 7));
    }

    #[test]
    fn more_than_the_most_is_only_for_who_is_alone() {
        let mut buffers = Buffers::new(10_000, 0);
        let big = buffers.reserve(100_000).unwrap();
        assert_eq!(buffers.reserve(1), None);
        buffers.release(big);
        assert!(buffers.reserve(1).is_some());
        assert_eq!(buffers.reserve(u32::MAX), None);
    }

    #[test]
    fn long_transfers_leave_buffers_for_short_ones() {
        let mut buffers = Buffers::new(64 << 20, 0);
        let long = std::iter::from_fn(|| buffers.reserve(16 << 20)).count();
        let usual = std::iter::from_fn(|| buffers.reserve(1 << 20)).count();
        let short = std::iter::from_fn(|| buffers.reserve(128 << 10)).count();
        assert_eq!((long, usual, short), (3, 8, 64));
    }

    #[test]
    fn what_is_allocated_elsewhere_counts_too() {
        let mut buffers = Buffers::new(100_000, 0);
        assert!(buffers.charge(80_000) && buffers.charge(0));
        assert!(!buffers.charge(30_000));
        assert_eq!(buffers.reserve(30_000), None);
        buffers.discharge(80_000);
        let alone = buffers.reserve(90_000).unwrap();
        assert!(!buffers.charge(1));
        buffers.release(alone);
        assert!(buffers.charge(200_000), "whoever is alone may");
    }
}
