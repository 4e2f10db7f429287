//! Random programs of fops, and their reduction to the shortest that still fails.

/// Object of a fop: a gfid by its index in [`GFIDS`](crate::tables), or one of the open files.
#[derive(Clone, Copy, Debug)]
pub(crate) enum On {
    Gfid(usize),
    Open(usize),
}

/// A directory, by its number, and a name in it, by its number.
pub(crate) type Place = (usize, usize);

/// One fop. Numbers are of the rig's tables: gfids, names, xattrs, open files.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    Lookup { at: Place, keys: usize },
    LookupGfid { gfid: usize, keys: usize },
    Stat { on: On, keys: usize },
    Access { gfid: usize, mask: u32 },
    Mknod { at: Place, gfid: usize, mode: u32, umask: u32, internal: bool },
    Mkdir { at: Place, gfid: usize, mode: u32, xattr: usize },
    Symlink { at: Place, gfid: usize, target: usize },
    Create { at: Place, gfid: usize, flags: u32, mode: u32, xattr: usize, slot: usize },
    Link { gfid: usize, at: Place },
    Unlink { at: Place },
    Rmdir { at: Place, all: bool },
    Rename { from: Place, to: Place },
    Open { gfid: usize, flags: u32, slot: usize },
    Opendir { gfid: usize, slot: usize },
    Close { slot: usize },
    Read { on: On, offset: u64, size: u32, fast: bool },
    Write { on: On, offset: u64, len: usize, byte: u8, fast: bool },
    Truncate { on: On, size: u64 },
    Fallocate { on: On, flags: u32, offset: u64, size: u64 },
    Discard { on: On, offset: u64, size: u64 },
    Zerofill { on: On, offset: u64, size: u64 },
    Seek { on: On, offset: u64, what: i32 },
    Rchecksum { on: On, offset: u64, len: u32 },
    Copy { from: On, to: On, off_in: u64, off_out: u64, size: u32 },
    Fsync { on: On },
    Fsyncdir { on: On },
    Setattr { on: On, valid: i32, mode: u32, uid: u32, gid: u32, time: i64 },
    Readlink { gfid: usize, size: u32 },
    Setxattr { on: On, xattr: usize, len: usize, flags: u32 },
    Getxattr { on: On, xattr: usize },
    Removexattr { on: On, xattr: usize },
    RemoveMany { on: On, keys: usize },
    Xattrop { on: On, xattr: usize, op: u32, by: usize, words: usize },
    List { on: On, size: u32, plus: bool, keys: usize },
}

/// A fop and its caller.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) who: usize,
    pub(crate) times: u32,
    pub(crate) op: Op,
}

/// A program, and what kind of clients send it.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    /// Credentials carry times (`features/utime`).
    pub(crate) timed: bool,
    pub(crate) steps: Vec<Step>,
}

impl Program {
    pub(crate) fn cut(mut self, steps: usize) -> Self {
        self.steps.truncate(steps);
        self
    }
}

/// A generator (xorshift64*), of a seed.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        // The state must not be zero.
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// A parent: mostly the root, else any gfid, which may be missing or not a directory.
    fn directory(&mut self) -> usize {
        if self.one_in(2) { 0 } else { self.gfid() }
    }

    fn gfid(&mut self) -> usize {
        self.below(crate::tables::GFIDS)
    }

    /// A gfid for a new inode, at times an invalid one.
    fn new_gfid(&mut self) -> usize {
        if self.one_in(40) { self.gfid() } else { 1 + self.below(crate::tables::GFIDS - 2) }
    }

    fn place(&mut self) -> Place {
        let name = if self.one_in(16) { self.below(crate::tables::NAMES) } else { self.below(4) };
        (self.directory(), name)
    }

    fn on(&mut self) -> On {
        if self.one_in(2) { On::Open(self.slot()) } else { On::Gfid(self.gfid()) }
    }

    fn slot(&mut self) -> usize {
        self.below(crate::tables::SLOTS)
    }

    fn mode(&mut self) -> u32 {
        self.pick(&[0o644, 0o666, 0o600, 0o755, 0o777, 0o700, 0o1777, 0o2775, 0o4755, 0o6770, 0])
    }

    fn flags(&mut self) -> u32 {
        let access = self.pick(&[0, 1, 2, 2, 2]);
        access | self.pick(&[0, 0, 0, 0o1000, 0o2000, 0o3000, 0o100, 0o300, 0o10000])
    }

    fn offset(&mut self) -> u64 {
        let huge = [i64::MAX as u64, i64::MAX as u64 + 1, u64::MAX];
        if self.one_in(40) {
            self.pick(&huge)
        } else {
            self.pick(&[0, 0, 1, 511, 4095, 4096, 5000, 8192, 70_000])
        }
    }

    fn size(&mut self) -> u64 {
        if self.one_in(40) {
            u64::MAX
        } else {
            self.pick(&[0, 1, 100, 4096, 4097, 12_288, 100_000])
        }
    }

    fn keys(&mut self) -> usize {
        self.below(crate::tables::KEYS)
    }

    fn xattr(&mut self) -> usize {
        self.below(crate::tables::XATTRS)
    }

    fn op(&mut self) -> Op {
        match self.below(64) {
            0..=2 => Op::Lookup { at: self.place(), keys: self.keys() },
            3 => Op::LookupGfid { gfid: self.gfid(), keys: self.keys() },
            4 => Op::Stat { on: self.on(), keys: self.keys() },
            5 => Op::Access { gfid: self.gfid(), mask: self.below(8) as u32 },
            6..=7 => {
                let kind = self
                    .pick(&[0o100_000, 0o100_000, 0, 0o010_000, 0o140_000, 0o020_000, 0o040_000]);
                let (mode, umask) = (kind | self.mode(), self.pick(&[0, 0o022]));
                let (at, gfid, internal) = (self.place(), self.new_gfid(), self.one_in(4));
                Op::Mknod { at, gfid, mode, umask, internal }
            }
            8..=11 => Op::Mkdir {
                at: self.place(),
                gfid: self.new_gfid(),
                mode: self.mode(),
                xattr: self.xattr(),
            },
            12 => Op::Symlink { at: self.place(), gfid: self.new_gfid(), target: self.below(4) },
            13..=17 => Op::Create {
                at: self.place(),
                gfid: self.new_gfid(),
                flags: self.flags(),
                mode: self.mode(),
                xattr: self.xattr(),
                slot: self.slot(),
            },
            18..=19 => Op::Link { gfid: self.gfid(), at: self.place() },
            20..=21 => Op::Unlink { at: self.place() },
            22..=23 => Op::Rmdir { at: self.place(), all: self.one_in(8) },
            24..=27 => Op::Rename { from: self.place(), to: self.place() },
            28..=30 => Op::Open { gfid: self.gfid(), flags: self.flags(), slot: self.slot() },
            31 => Op::Opendir { gfid: self.directory(), slot: self.slot() },
            32 => Op::Close { slot: self.slot() },
            33..=35 => {
                let size = self.pick(&[0, 1, 100, 4096, 70_000]);
                Op::Read { on: self.on(), offset: self.offset(), size, fast: self.one_in(2) }
            }
            36..=39 => {
                let len = self.pick(&[0, 1, 100, 4096, 6000]);
                let byte = self.below(255) as u8 + 1;
                Op::Write { on: self.on(), offset: self.offset(), len, byte, fast: self.one_in(2) }
            }
            40 => Op::Truncate { on: self.on(), size: self.offset() },
            41 => {
                let flags = self.pick(&[0, 1]);
                Op::Fallocate { on: self.on(), flags, offset: self.offset(), size: self.size() }
            }
            42 => Op::Discard { on: self.on(), offset: self.offset(), size: self.size() },
            43 => Op::Zerofill { on: self.on(), offset: self.offset(), size: self.size() },
            44 => Op::Seek { on: self.on(), offset: self.offset(), what: self.below(3) as i32 },
            45 => Op::Rchecksum {
                on: self.on(),
                offset: self.offset(),
                len: self.pick(&[0, 100, 70_000]),
            },
            46 => Op::Copy {
                from: self.on(),
                to: self.on(),
                off_in: self.offset(),
                off_out: self.offset(),
                size: self.pick(&[0, 1, 5000, 70_000]),
            },
            47 => Op::Fsync { on: self.on() },
            48 => Op::Fsyncdir { on: self.on() },
            49..=51 => Op::Setattr {
                on: self.on(),
                valid: self.below(128) as i32 & 0x77,
                mode: self.mode(),
                uid: self.pick(&[0, 1000, 2000]),
                gid: self.pick(&[0, 77, 1000, 2000]),
                time: 1000 + self.below(1000) as i64,
            },
            52 => Op::Readlink { gfid: self.gfid(), size: self.pick(&[0, 3, 4096]) },
            53..=55 => {
                let len = self.pick(&[0, 1, 16, 64, 65, 3000]);
                Op::Setxattr {
                    on: self.on(),
                    xattr: self.xattr(),
                    len,
                    flags: self.pick(&[0, 0, 1, 2, 3]),
                }
            }
            56 => Op::Getxattr { on: self.on(), xattr: self.xattr() },
            57 => Op::Removexattr { on: self.on(), xattr: self.xattr() },
            58 => Op::RemoveMany { on: self.on(), keys: self.keys() },
            59..=60 => Op::Xattrop {
                on: self.on(),
                xattr: self.xattr(),
                op: self.below(8) as u32,
                by: self.below(3),
                words: self.below(4),
            },
            _ => {
                let size = self.pick(&[0, 64, 400, 1000, 8192]);
                Op::List { on: self.on(), size, plus: self.one_in(2), keys: self.keys() }
            }
        }
    }

    pub(crate) fn program(&mut self, len: usize) -> Program {
        let timed = self.one_in(2);
        let steps = (0..len).map(|_| {
            let who = if self.one_in(2) { 0 } else { self.below(crate::tables::CALLERS) };
            Step { who, times: self.pick(&[0x3f, 0x1b, 1, 3, 4, 0x18]), op: self.op() }
        });
        let steps = steps.collect();
        Program { timed, steps }
    }
}

/// The shortest program (by leaving steps out) that still fails.
pub(crate) fn shrunk(mut program: Program, fails: impl Fn(&Program) -> bool) -> Program {
    let mut piece = program.steps.len() / 2;
    while piece > 0 {
        let mut at = 0;
        while at < program.steps.len() {
            let mut shorter = program.clone();
            shorter.steps.drain(at..(at + piece).min(program.steps.len()));
            if fails(&shorter) {
                program = shorter;
            } else {
                at += piece;
            }
        }
        piece /= 2;
    }
    program
}
