//! The order in which a workload visits the blocks of its file.

use crate::args::Args;

/// Offsets of the operations of a run, without end. Random ones are those of a fixed seed, so that
/// every program visits the same blocks.
pub struct Offsets {
    blocks: u64,
    bs: u64,
    random: Option<u64>,
    next: u64,
}

impl Offsets {
    /// The offsets for a run with `args`, whose file has at least one block.
    pub fn new(args: &Args) -> Self {
        Self {
            blocks: args.blocks(),
            bs: u64::from(args.bs),
            random: args.rw.random.then_some(0x2545_f491_4f6c_dd1d),
            next: 0,
        }
    }

    /// The number of offsets taken so far.
    pub fn taken(&self) -> u64 {
        self.next
    }

    /// The offset of the next operation.
    pub fn take(&mut self) -> u64 {
        let block = match &mut self.random {
            Some(random) => {
                *random ^= *random << 13;
                *random ^= *random >> 7;
                *random ^= *random << 17;
                *random
            }
            None => self.next,
        };
        self.next += 1;
        block % self.blocks * self.bs
    }
}
