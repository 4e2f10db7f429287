//! Data and holes of a file: found with SEEK_DATA and SEEK_HOLE where the file system has them, and
//! by looking for zeroes.

use std::fs::File;
use std::io;
use std::ops::Range;

use rustix::fs::SeekFrom;

/// Runs of zeroes shorter than this are written: file systems keep no holes smaller than a block.
const GRANULE: usize = 64 * 1024;

/// The parts of `block` that are not zero, in whole granules: only they are written where the
/// target is zero already.
pub(crate) fn runs(block: &[u8]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for start in (0..block.len()).step_by(GRANULE) {
        let end = (start + GRANULE).min(block.len());
        if is_zero(&block[start..end]) {
            continue;
        }
        match runs.last_mut() {
            Some(last) if last.end == start => last.end = end,
            _ => runs.push(start..end),
        }
    }
    runs
}

/// Are all bytes zero?
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    // Chunks of a fixed size let the compiler use wide compares.
    let chunks = bytes.chunks_exact(64);
    let rest = chunks.remainder();
    chunks.into_iter().all(|chunk| chunk.iter().fold(0, |all, byte| all | byte) == 0)
        && rest.iter().all(|byte| *byte == 0)
}

/// The next stretch of data of a local file at or after `at`; `None` if only a hole follows. On a
/// file system without SEEK_DATA everything is data.
pub(crate) fn next_data(file: &File, at: u64, size: u64) -> io::Result<Option<Range<u64>>> {
    if at >= size {
        return Ok(None);
    }
    let start = match rustix::fs::seek(file, SeekFrom::Data(at)) {
        Ok(start) => start,
        Err(rustix::io::Errno::NXIO) => return Ok(None),
        Err(_) => return Ok(Some(at..size)),
    };
    let end = rustix::fs::seek(file, SeekFrom::Hole(start)).unwrap_or(size);
    Ok((start < size).then_some(start..end.min(size)))
}

/// Cuts stretches of data into blocks of at most `block` bytes that do not cross multiples of it.
#[derive(Debug)]
pub(crate) struct Blocks {
    stretch: Range<u64>,
    block: u64,
}

impl Blocks {
    pub(crate) fn new(stretch: Range<u64>, block: u64) -> Self {
        Self { stretch, block }
    }
}

impl Iterator for Blocks {
    type Item = Range<u64>;

    fn next(&mut self) -> Option<Range<u64>> {
        let start = self.stretch.start;
        if start >= self.stretch.end {
            return None;
        }
        let end = ((start / self.block + 1) * self.block).min(self.stretch.end);
        self.stretch.start = end;
        Some(start..end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Seek, SeekFrom as From, Write};

    #[test]
    fn only_granules_with_data_are_written() {
        let mut block = vec![0; 5 * GRANULE + 10];
        assert_eq!(runs(&block), []);
        block[GRANULE + 1] = 1;
        block[2 * GRANULE] = 1;
        block[5 * GRANULE + 9] = 1;
        assert_eq!(runs(&block), [GRANULE..3 * GRANULE, 5 * GRANULE..5 * GRANULE + 10]);
        assert!(is_zero(&[]) && is_zero(&[0; 77]) && !is_zero(&[0, 0, 1]));
    }

    #[test]
    fn blocks_do_not_cross_their_multiples() {
        let blocks: Vec<_> = Blocks::new(5..27, 10).collect();
        assert_eq!(blocks, [5..10, 10..20, 20..27]);
        assert_eq!(Blocks::new(5..5, 10).count(), 0);
    }

    #[test]
    fn holes_of_a_local_file_are_skipped() {
        let mut file = tempfile::tempfile().unwrap();
        file.set_len(8 << 20).unwrap();
        file.seek(From::Start(4 << 20)).unwrap();
        file.write_all(&[1; 4096]).unwrap();
        let data = next_data(&file, 0, 8 << 20).unwrap().unwrap();
        assert!(data.contains(&(4 << 20)) || data == (0..8 << 20), "{data:?}");
        assert_eq!(next_data(&file, 8 << 20, 8 << 20).unwrap(), None);
    }
}
