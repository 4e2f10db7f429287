//! The journal of a copy: how far it is flushed, with a checksum of each stretch, so that a later
//! run can prove that what it finds is what it would copy.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use xxhash_rust::xxh64::xxh64;

use super::BLOCK;
use crate::sparse::{Blocks, is_zero, next_data};

/// Bytes of a line: two numbers of 16 hexadecimal digits, a blank, a line feed.
const LINE: usize = 34;
/// Checksums are taken of pieces of this size, at its multiples: holes need not end anywhere else.
const PIECE: u64 = 4096;

/// A header line that says what is copied, then a line for each stretch. A line that was cut off
/// does not count.
pub(super) struct Journal {
    header: String,
    stretches: Vec<Stretch>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stretch {
    end: u64,
    sum: u64,
}

impl Journal {
    /// An empty journal. `copied` says what is copied: a journal that says otherwise is refused.
    pub(super) fn new(copied: &str) -> Self {
        Self { header: format!("brickwire copy 1: {copied}\n"), stretches: Vec::new() }
    }

    /// Adds what an earlier run has written. False if that run was of another copy; a header that
    /// was cut off is of this one, and says nothing yet.
    #[must_use]
    pub(super) fn read(&mut self, bytes: &[u8]) -> bool {
        let header = self.header.as_bytes();
        let Some(lines) = bytes.strip_prefix(header) else { return header.starts_with(bytes) };
        for line in lines.chunks_exact(LINE) {
            let Some(stretch) = parse(line).filter(|stretch| stretch.end > self.end()) else {
                break;
            };
            self.stretches.push(stretch);
        }
        true
    }

    /// Where the flushed part ends.
    pub(super) fn end(&self) -> u64 {
        self.stretches.last().map_or(0, |stretch| stretch.end)
    }

    /// Keeps the stretches from the start for which `sum` finds the checksum that was noted.
    pub(super) fn check<E>(
        &mut self,
        mut sum: impl FnMut(Range<u64>) -> Result<u64, E>,
    ) -> Result<(), E> {
        let mut start = 0;
        for at in 0..self.stretches.len() {
            let Stretch { end, sum: noted } = self.stretches[at];
            if sum(start..end)? != noted {
                self.stretches.truncate(at);
                break;
            }
            start = end;
        }
        Ok(())
    }

    /// Bytes of the file with the lines that are kept. A file that has more of them is cut to this
    /// before its part changes: a line that stays behind would be believed once more lines come.
    pub(super) fn len(&self) -> u64 {
        match self.stretches.len() {
            0 => 0,
            lines => (self.header.len() + lines * LINE) as u64,
        }
    }

    /// Adds a stretch, and says which bytes to write where. The first write includes the header.
    pub(super) fn push(&mut self, end: u64, sum: u64) -> (u64, Vec<u8>) {
        let at = self.len();
        self.stretches.push(Stretch { end, sum });
        let line = format!("{end:016x} {sum:016x}\n");
        match at {
            0 => (0, (self.header.clone() + &line).into_bytes()),
            at => (at, line.into_bytes()),
        }
    }
}

fn parse(line: &[u8]) -> Option<Stretch> {
    let text = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let (end, sum) = text.split_once(' ')?;
    Some(Stretch {
        end: u64::from_str_radix(end, 16).ok()?,
        sum: u64::from_str_radix(sum, 16).ok()?,
    })
}

/// A checksum of a stretch. The order in which blocks are added does not matter, and zeroes count
/// as holes do.
#[derive(Default)]
pub(super) struct StretchSum(u64);

impl StretchSum {
    pub(super) fn add(&mut self, at: u64, block: &[u8]) {
        for piece in Blocks::new(at..at + block.len() as u64, PIECE) {
            let bytes = &block[(piece.start - at) as usize..(piece.end - at) as usize];
            if !is_zero(bytes) {
                self.0 = self.0.wrapping_add(xxh64(bytes, piece.start));
            }
        }
    }

    pub(super) fn value(&self) -> u64 {
        self.0
    }
}

/// The checksum of a stretch of a local file.
pub(super) fn sum_of(file: &File, stretch: Range<u64>) -> io::Result<u64> {
    let mut sum = StretchSum::default();
    let mut buffer = Vec::new();
    let mut at = stretch.start;
    while let Some(data) = next_data(file, at, stretch.end)? {
        for block in Blocks::new(data.clone(), BLOCK) {
            buffer.resize((block.end - block.start) as usize, 0);
            file.read_exact_at(&mut buffer, block.start)?;
            sum.add(block.start, &buffer);
        }
        at = data.end;
    }
    Ok(sum.value())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(journal: &mut Journal, stretches: &[(u64, u64)]) -> Vec<u8> {
        let mut file = Vec::new();
        for (end, sum) in stretches {
            let (at, bytes) = journal.push(*end, *sum);
            file.truncate(at as usize);
            file.extend(bytes);
        }
        file
    }

    #[test]
    fn a_journal_is_read_up_to_a_line_that_was_cut_off_and_only_of_the_same_copy() {
        let file = written(&mut Journal::new("import 9"), &[(256, 1), (512, u64::MAX)]);
        let mut same = Journal::new("import 9");
        assert!(same.read(&file));
        assert_eq!(same.end(), 512);
        let mut cut = Journal::new("import 9");
        assert!(cut.read(&file[..file.len() - 1]));
        assert_eq!(cut.end(), 256);
        let mut other = Journal::new("import 99");
        assert!(!other.read(&file));
        assert_eq!(other.end(), 0);
        assert!(other.read(b"") && other.read(b"brickwire cop") && !other.read(b"brickwire cap"));
        // A line more is where it would have been.
        assert_eq!(cut.push(512, u64::MAX).0 as usize, file.len() - LINE);
    }

    #[test]
    fn only_stretches_before_the_first_wrong_one_are_kept() {
        let mut journal = Journal::new("x");
        written(&mut journal, &[(10, 1), (20, 2), (30, 3)]);
        let sums = |stretch: Range<u64>| Ok::<u64, ()>(if stretch.start == 10 { 9 } else { 1 });
        journal.check(sums).unwrap();
        assert_eq!(journal.end(), 10);
    }

    #[test]
    fn the_length_of_a_journal_is_that_of_the_lines_that_are_kept() {
        let mut journal = Journal::new("x");
        assert_eq!(journal.len(), 0);
        let file = written(&mut journal, &[(10, 1), (20, 2)]);
        assert_eq!(journal.len(), file.len() as u64);
        journal.check(|stretch| Ok::<u64, ()>(if stretch.start == 0 { 1 } else { 9 })).unwrap();
        assert_eq!(journal.len() as usize, file.len() - LINE);
        journal.check(|_| Ok::<u64, ()>(9)).unwrap();
        assert_eq!(journal.len(), 0, "a header alone says nothing");
    }

    #[test]
    fn a_checksum_depends_on_contents_and_places_and_not_on_order_or_holes() {
        let block: Vec<u8> = (0..PIECE * 3).map(|n| (n / 7) as u8 | 1).collect();
        let (first, rest) = block.split_at(PIECE as usize);
        let sum = |parts: &[(u64, &[u8])]| {
            let mut sum = StretchSum::default();
            parts.iter().for_each(|(at, bytes)| sum.add(*at, bytes));
            sum.value()
        };
        let whole = sum(&[(0, &block)]);
        assert_eq!(whole, sum(&[(PIECE, rest), (PIECE * 9, &[0; 999]), (0, first)]));
        assert_ne!(whole, sum(&[(PIECE, first), (0, rest)]));
        let mut changed = block.clone();
        changed[5] ^= 1;
        assert_ne!(whole, sum(&[(0, &changed)]));
    }
}
