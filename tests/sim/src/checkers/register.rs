//! Each block of a file is a register: a read returns the block as one write has left it, and not a
//! write that another one had replaced before the read began.
//!
//! Each write has a tag of its own, which fills its blocks. Times are numbers of events. A write
//! may take effect from its beginning until it has *ended*; one with an unknown outcome never ends,
//! but it lands before the next overlapping change through its handle that is acknowledged, and
//! before any of its process that was submitted after the outcome was reported. A write is
//! *visible* from its acknowledgement on, and in a block from the end of a read that returned it
//! (servers execute long writes in parts). A read must not return a write W if another write X of
//! the block began after W had ended and was visible before the read began. The exception is a
//! power failure after X began, before X was *durable*: it may take X away and bring W back.
//!
//! X is durable when a flush that began after its acknowledgement has succeeded: any client's, if
//! no power failed in the meantime; in any case one through a handle of X's process that was open
//! before X, unless the process was told of losses.
//!
//! Where a file has copies, a client may read from a brick that another client cannot reach and
//! goes on without. It learns that when its own connection ends, or when the inode is refreshed:
//! until then its reads are compared with the writes of its own process only. (So it is with the C
//! client.)
//!
//! Discards and zero-fills are writes without a tag: a block of zeroes may be of any of them.

use super::Violation;
use crate::scenario::BLOCK;

/// The handle of one client process: a write's author.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Author {
    /// Number of the client process.
    pub process: u64,
    /// Number of the handle.
    pub handle: u64,
    /// When it was opened.
    pub opened: u64,
}

#[derive(Clone, Debug)]
struct Write {
    author: Author,
    start: u64,
    ended: Option<u64>,
    acked: Option<u64>,
    /// Its end was reported to its author.
    reported: Option<u64>,
    /// It writes zeroes.
    zeroes: bool,
    durable: bool,
    /// Its author was told that it may be lost.
    told: bool,
    file: usize,
    first: usize,
    count: usize,
}

/// A write, in one block.
#[derive(Clone, Copy, Debug)]
struct InBlock {
    tag: u32,
    /// The end of the first read that returned it.
    seen: Option<u64>,
}

/// The outcome of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Acknowledged.
    Acked,
    /// Refused by the brick: it has no effect later.
    Refused,
    /// It may have been executed, or may be yet.
    Unknown,
}

/// The blocks of all files of a volume.
#[derive(Clone, Debug)]
pub struct Register {
    /// By tag.
    writes: Vec<Write>,
    /// For each file and block the writes in order of their beginning.
    blocks: Vec<Vec<Vec<InBlock>>>,
    /// Power failures.
    failures: Vec<u64>,
    /// Number of blocks that were compared.
    pub compared: u64,
    /// Number of writes that were lost and whose author was told.
    pub told: u64,
}

/// A read or a flush in progress.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// The file.
    pub file: usize,
    /// When it began.
    pub start: u64,
}

/// A reader, and what its reads are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// Every write.
    OfAll,
    /// The writes of this process.
    OfOwn(u64),
}

impl Register {
    /// Files of zeroes, which are durable.
    pub fn new(files: usize, blocks: usize) -> Self {
        let nobody = Author { process: 0, handle: 0, opened: 0 };
        let zero = Write {
            author: nobody,
            start: 0,
            ended: Some(0),
            acked: Some(0),
            reported: Some(0),
            zeroes: true,
            durable: true,
            told: false,
            file: 0,
            first: 0,
            count: 0,
        };
        Self {
            writes: vec![zero],
            blocks: vec![vec![vec![InBlock { tag: 0, seen: None }]; blocks]; files],
            failures: Vec::new(),
            compared: 0,
            told: 0,
        }
    }

    /// A write begins, or, if `zeroes`, a discard or zero-fill. Returns its tag.
    pub fn write(
        &mut self,
        author: Author,
        file: usize,
        (first, count): (usize, usize),
        zeroes: bool,
        now: u64,
    ) -> u32 {
        let tag = self.writes.len() as u32;
        self.writes.push(Write {
            author,
            start: now,
            ended: None,
            acked: None,
            reported: None,
            zeroes,
            durable: false,
            told: false,
            file,
            first,
            count,
        });
        for block in &mut self.blocks[file][first..first + count] {
            block.push(InBlock { tag, seen: None });
        }
        tag
    }

    /// The bytes that a write of this tag writes to each of `count` blocks.
    pub fn content(tag: u32, count: usize) -> Vec<u8> {
        tag.to_le_bytes().repeat(count * BLOCK / 4)
    }

    /// A write was not taken: it never happened.
    pub fn withdrawn(&mut self, tag: u32) {
        let Write { file, first, count, .. } = self.writes[tag as usize];
        for block in &mut self.blocks[file][first..first + count] {
            block.retain(|other| other.tag != tag);
        }
    }

    /// A write is over.
    pub fn wrote(&mut self, tag: u32, outcome: Outcome, now: u64) {
        let write = &mut self.writes[tag as usize];
        write.reported = Some(now);
        match outcome {
            Outcome::Acked => (write.ended, write.acked) = (Some(now), Some(now)),
            Outcome::Refused => write.ended = Some(now),
            Outcome::Unknown => {}
        }
    }

    /// A flush has succeeded.
    pub fn flushed(&mut self, author: Author, span: Span, now: u64) {
        for write in &mut self.writes {
            let before = write.file == span.file && write.acked.is_some_and(|at| at < span.start);
            if !before || write.durable {
                continue;
            }
            let lost = self.failures.iter().any(|at| write.start < *at && *at < now);
            // A handle that is opened after a loss knows nothing of it.
            let knows = write.author.process == author.process && author.opened < write.start;
            write.durable = !lost || (knows && !write.told);
        }
    }

    /// A write through a handle with O_SYNC was acknowledged.
    pub fn synced(&mut self, tag: u32, now: u64) {
        let write = &mut self.writes[tag as usize];
        write.durable = !self.failures.iter().any(|at| write.start < *at && *at < now);
    }

    /// The client process was told that changes of a file may be lost.
    pub fn told(&mut self, process: u64, file: usize) {
        for write in &mut self.writes {
            if write.author.process == process && write.file == file && !write.durable {
                write.told = true;
            }
        }
        self.told += 1;
    }

    /// The power of a brick has failed.
    pub fn power_failed(&mut self, now: u64) {
        self.failures.push(now);
    }

    /// A read of whole blocks from `first` on has returned these bytes.
    pub fn read(
        &mut self,
        span: Span,
        first: usize,
        bytes: &[u8],
        reader: Reader,
        now: u64,
    ) -> Result<(), Violation> {
        for (n, block) in bytes.chunks(BLOCK).enumerate() {
            self.check_block(span, first + n, block, reader, now)?;
        }
        Ok(())
    }

    fn check_block(
        &mut self,
        span: Span,
        number: usize,
        bytes: &[u8],
        reader: Reader,
        now: u64,
    ) -> Result<(), Violation> {
        self.compared += 1;
        let broken = |message: String| {
            let file = span.file;
            Err(Violation::new("register", format!("block {number} of file {file}: {message}")))
        };
        let Some(tag) = tag_of(bytes) else {
            return broken(format!("no write has left these bytes: {:?}…", &bytes[..16]));
        };
        let there = self.blocks[span.file][number].iter().map(|write| write.tag);
        let candidates: Vec<u32> = there
            .filter(|it| if tag == 0 { self.writes[*it as usize].zeroes } else { *it == tag })
            .collect();
        let others: Vec<Option<u32>> =
            candidates.iter().map(|it| self.replaced_by(*it, span, number, reader, now)).collect();
        let Some(last) = candidates.last() else {
            return broken(format!("{tag} was never written there"));
        };
        if let Some(Some(other)) = others.last().filter(|_| others.iter().all(Option::is_some)) {
            let other = *other;
            return broken(format!(
                "a read from {} to {now} returned write {last} ({:?}), although write {other} \
                 ({:?}) had replaced it; power failures: {:?}",
                span.start, self.writes[*last as usize], self.writes[other as usize], self.failures
            ));
        }
        if let [one] = candidates[..]
            && let Some(write) =
                self.blocks[span.file][number].iter_mut().find(|write| write.tag == one)
        {
            write.seen = write.seen.or(Some(now));
        }
        Ok(())
    }

    /// The write that had replaced another one in a block before a read began.
    fn replaced_by(
        &self,
        tag: u32,
        span: Span,
        block: usize,
        reader: Reader,
        now: u64,
    ) -> Option<u32> {
        let mut others = self.blocks[span.file][block].iter().filter(|other| other.tag != tag);
        let other = others.find(|other| {
            let author = self.writes[other.tag as usize].author.process;
            (reader == Reader::OfAll || reader == Reader::OfOwn(author))
                && self.replaces(other.tag, tag)
                && self.must_be_seen(other, span.start, now)
        })?;
        Some(other.tag)
    }

    /// Whether write `new` was certainly executed after write `old`.
    fn replaces(&self, new: u32, old: u32) -> bool {
        let (new, old) = (&self.writes[new as usize], &self.writes[old as usize]);
        let ended = old.ended.is_some_and(|at| at < new.start);
        // Changes of one handle that overlap are executed in the order of their submission, and
        // those of one process if the older was over for its caller.
        let reported = old.author.process == new.author.process
            && old.reported.is_some_and(|at| at < new.start);
        let same_handle = old.author == new.author && old.start < new.start;
        ended || ((same_handle || reported) && new.acked.is_some())
    }

    /// Whether a write is there during the whole of a read, unless it is replaced.
    fn must_be_seen(&self, in_block: &InBlock, start: u64, now: u64) -> bool {
        let write = &self.writes[in_block.tag as usize];
        let lost = || self.failures.iter().any(|at| write.start < *at && *at < now);
        let mut visible = write.acked.into_iter().chain(in_block.seen);
        visible.any(|at| at < start) && (write.durable || !lost())
    }

    /// Number of writes that were acknowledged.
    pub fn acked(&self) -> usize {
        self.writes.iter().skip(1).filter(|write| write.acked.is_some()).count()
    }

    /// The blocks that a write has written, for a trace.
    pub fn place(&self, tag: u32) -> (usize, usize, usize) {
        let write = &self.writes[tag as usize];
        (write.file, write.first, write.count)
    }
}

/// The tag of a block that one write has written.
fn tag_of(block: &[u8]) -> Option<u32> {
    let first = u32::from_le_bytes(*block.first_chunk()?);
    block.chunks(4).all(|word| word == first.to_le_bytes()).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Author = Author { process: 1, handle: 1, opened: 0 };
    const TWO: Author = Author { process: 2, handle: 2, opened: 0 };

    fn read(register: &mut Register, tag: u32, start: u64, now: u64) -> bool {
        let bytes = Register::content(tag, 1);
        register.read(Span { file: 0, start }, 0, &bytes, Reader::OfAll, now).is_ok()
    }

    fn wrote(register: &mut Register, author: Author, start: u64, end: u64) -> u32 {
        let tag = register.write(author, 0, (0, 1), false, start);
        register.wrote(tag, Outcome::Acked, end);
        tag
    }

    #[test]
    fn a_replaced_write_is_not_read_and_concurrent_ones_are() {
        let mut register = Register::new(1, 1);
        let first = wrote(&mut register, ONE, 1, 3);
        let second = register.write(TWO, 0, (0, 1), false, 4);
        assert!(read(&mut register, first, 5, 6), "the second has not ended");
        assert!(read(&mut register, second, 7, 8), "but it may be there");
        assert!(!read(&mut register, first, 9, 10), "once it was seen, it stays");
        register.wrote(second, Outcome::Acked, 11);
        assert!(!read(&mut register, 0, 12, 13), "zeroes were replaced long ago");
        assert!(!read(&mut register, 99, 12, 13), "nobody has written that");
    }

    #[test]
    fn power_failures_take_only_writes_that_no_flush_covers() {
        let mut register = Register::new(1, 1);
        let first = wrote(&mut register, ONE, 1, 2);
        register.flushed(ONE, Span { file: 0, start: 3 }, 4);
        let second = wrote(&mut register, ONE, 5, 6);
        register.power_failed(7);
        assert!(read(&mut register, first, 8, 9));
        assert!(!read(&mut register, 0, 8, 9), "the first was durable");
        // A flush through the same handle that succeeds says that nothing was lost.
        register.flushed(ONE, Span { file: 0, start: 10 }, 11);
        assert!(!read(&mut register, first, 12, 13));
        assert!(read(&mut register, second, 12, 13));
    }

    #[test]
    fn a_write_of_unknown_outcome_may_come_late_but_not_after_its_own_handles_next() {
        let mut register = Register::new(1, 1);
        let unknown = register.write(ONE, 0, (0, 1), false, 1);
        register.wrote(unknown, Outcome::Unknown, 2);
        wrote(&mut register, TWO, 3, 4);
        assert!(read(&mut register, unknown, 5, 6));
        wrote(&mut register, ONE, 7, 8);
        assert!(!read(&mut register, unknown, 9, 10));
    }
}
