//! Pool of buffers for payloads and long replies. Once it is warm, taking and returning a buffer
//! does not allocate.

use brickwire_core::server::BufferId;

/// Size of the smallest buffer in bytes: a page.
const SMALLEST: u32 = 4096;
/// Number of buffer sizes: powers of two from `SMALLEST` to 32 MiB.
const CLASSES: usize = 14;

/// Pool of buffers, in size classes.
#[derive(Debug)]
pub(crate) struct Buffers {
    /// Lent buffers by number; an empty one marks a free number.
    lent: Vec<Vec<u8>>,
    numbers: Vec<u32>,
    free: [Vec<Vec<u8>>; CLASSES],
    /// Bytes lent out, and their limit.
    out: usize,
    out_max: usize,
    /// Bytes of free buffers kept for re-use, and their limit.
    kept: usize,
    kept_max: usize,
}

/// Class of the smallest buffers that hold `len` bytes; the largest class if none does.
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

    /// Bytes lent out, and bytes kept for re-use.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        (self.out as u64, self.kept as u64)
    }

    /// Lends a buffer of at least `len` bytes; `None` if the limit would be passed.
    pub(crate) fn reserve(&mut self, len: u32) -> Option<BufferId> {
        let bytes = self.take(len)?;
        Some(self.lend(bytes))
    }

    /// Takes a buffer without giving it a number; [`Buffers::lend`] or [`Buffers::give`] returns
    /// it.
    pub(crate) fn take(&mut self, len: u32) -> Option<Vec<u8>> {
        let size = size_of(class_of(len));
        // The only borrower may pass the limit: nothing would be returned that it could wait for.
        if size < len as usize || (self.out > 0 && self.out + size > self.most(len)) {
            return None;
        }
        Some(self.take_beyond(len))
    }

    /// The same, also beyond the limit: for a short buffer, at most one for each call, that a
    /// borrower of another buffer needs before it can return that one.
    pub(crate) fn take_beyond(&mut self, len: u32) -> Vec<u8> {
        let class = class_of(len);
        let size = size_of(class);
        self.out += size;
        match self.free[class].pop() {
            Some(bytes) => {
                self.kept -= size;
                bytes
            }
            None => vec![0; size],
        }
    }

    /// Counts `len` bytes that are allocated elsewhere as lent out. False, and nothing is counted,
    /// if the limit would be passed (with the exception in [`Buffers::take`]).
    pub(crate) fn charge(&mut self, len: u32) -> bool {
        let fits = len == 0 || self.out == 0 || self.out + len as usize <= self.most(len);
        if fits {
            self.out += len as usize;
        }
        fits
    }

    /// Takes back a [`Buffers::charge`].
    pub(crate) fn discharge(&mut self, len: u32) {
        self.out -= (len as usize).min(self.out);
    }

    /// Limit of the bytes lent out for a buffer of this length. Transfers above 1 MiB leave a
    /// quarter of the memory to shorter ones, and those above 128 KiB leave an eighth, so that a
    /// flood of long transfers does not stop short calls.
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

    /// Gives bytes that were allocated elsewhere a number. They count as lent out until they are
    /// released; only bytes of a class's size are kept for re-use then.
    pub(crate) fn adopt(&mut self, bytes: Vec<u8>) -> BufferId {
        self.out += bytes.len();
        self.lend(bytes)
    }

    /// Bytes of a lent buffer; an empty slice if there is no such buffer.
    pub(crate) fn get(&self, id: BufferId) -> &[u8] {
        self.lent.get(id.0 as usize).map(Vec::as_slice).unwrap_or_default()
    }

    pub(crate) fn get_mut(&mut self, id: BufferId) -> &mut [u8] {
        self.lent.get_mut(id.0 as usize).map(Vec::as_mut_slice).unwrap_or_default()
    }

    /// Frees a buffer's number and returns its bytes, which still count as lent out.
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

    /// Returns a buffer from [`Buffers::take`] or [`Buffers::unlend`] to the pool.
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
    fn only_a_sole_borrower_passes_the_limit() {
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
        assert!(buffers.charge(200_000), "a sole borrower may");
    }
}
