//! Acknowledged writes are there and flushed ones stay, whatever the faults: many operations at a
//! time on files of small sectors. Each write has a tag of its own, and a ledger knows which tags
//! each sector may have.

mod client_server_sim;
mod server_harness;

use std::collections::BTreeMap;

use brickwire_core::volume::{Op, OpError, OpenFlags};
use brickwire_core::{FileId, OpId};
use client_server_sim::{Dice, Done, Faults, Simulation, seeds};

const SECTOR: usize = 64;
const SECTORS: usize = 200;
const BYTES: u64 = (SECTOR * SECTORS) as u64;

/// The possible contents of a sector: tags of writes, in the order of their submission.
#[derive(Clone, Debug)]
struct Sector {
    tags: Vec<u32>,
    /// No read returns a tag before this one (an index of `tags`).
    floor: usize,
    /// No crash brings back a tag before this one.
    durable: usize,
    /// Writes up to this one were reported as possibly lost, and no flush covers them any more.
    told: usize,
}

impl Sector {
    fn place(&self, tag: u32) -> Option<usize> {
        self.tags.iter().rposition(|other| *other == tag)
    }
}

#[derive(Clone, Debug)]
enum Kind {
    Write {
        tag: u32,
    },
    /// The floors at the time of its submission.
    Read {
        floors: Vec<usize>,
    },
    Flush {
        floors: Vec<usize>,
    },
}

#[derive(Clone, Debug)]
struct Pending {
    file: usize,
    first: usize,
    count: usize,
    kind: Kind,
    crashes: u32,
}

struct File {
    path: String,
    handle: FileId,
    sectors: Vec<Sector>,
    /// Writes were lost, so it must be opened again.
    spoilt: bool,
}

struct Ledger {
    sim: Simulation,
    /// Decisions of the test; the simulation has dice of its own.
    dice: Dice,
    files: Vec<File>,
    pending: BTreeMap<OpId, Pending>,
    next_tag: u32,
    crashes: u32,
    writes: u32,
    lost: u32,
}

fn filled(tag: u32, count: usize) -> Vec<u8> {
    tag.to_le_bytes().repeat(count * SECTOR / 4)
}

/// The tag of a sector that one write has written.
fn tag_of(sector: &[u8]) -> Option<u32> {
    let first = u32::from_le_bytes(*sector.first_chunk()?);
    sector.chunks(4).all(|word| word == first.to_le_bytes()).then_some(first)
}

impl Ledger {
    fn new(seed: u64, faults: Faults) -> Self {
        let mut sim = Simulation::new(seed, Faults::default()).with_a_cache();
        let files = (0..2).map(|n| {
            let path = format!("file-{n}");
            let handle = sim
                .open(&path, OpenFlags::READ_WRITE.and(OpenFlags::CREATE))
                .expect("without faults");
            sim.do_(Op::Truncate { file: handle, size: BYTES }).expect("without faults");
            sim.do_(Op::Flush { file: handle, data_only: false }).expect("without faults");
            let sectors = vec![Sector { tags: vec![0], floor: 0, durable: 0, told: 0 }; SECTORS];
            File { path, handle, sectors, spoilt: false }
        });
        let files = files.collect();
        sim.faults = faults;
        let dice = Dice::new(seed ^ 0x5eed);
        Self {
            sim,
            dice,
            files,
            pending: BTreeMap::new(),
            next_tag: 1,
            crashes: 0,
            writes: 0,
            lost: 0,
        }
    }

    fn run(&mut self, operations: usize) {
        for _ in 0..operations {
            while self.pending.len() >= 8 || self.files.iter().any(|file| file.spoilt) {
                if self.pending.is_empty() {
                    self.open_anew();
                    continue;
                }
                self.step();
            }
            self.submit();
            for _ in 0..self.dice.below(12) {
                self.step();
            }
        }
        self.sim.faults = Faults::default();
        self.sim.storage.hold = false;
        while !self.pending.is_empty() {
            self.step();
        }
        self.open_anew();
        for file in 0..self.files.len() {
            self.submit_read(file, 0, SECTORS);
        }
        while !self.pending.is_empty() {
            self.step();
        }
    }

    fn open_anew(&mut self) {
        for file in &mut self.files {
            if !file.spoilt {
                continue;
            }
            // It reports once more that writes were lost; the handle is closed in any case.
            let _ = self.sim.do_(Op::Close { file: file.handle });
            // With faults not every attempt succeeds.
            for _ in 0..1000 {
                if let Ok(handle) = self.sim.open(&file.path, OpenFlags::READ_WRITE) {
                    (file.handle, file.spoilt) = (handle, false);
                    for sector in &mut file.sectors {
                        sector.told = sector.floor;
                    }
                    break;
                }
            }
            assert!(!file.spoilt, "{} cannot be opened any more", file.path);
        }
        self.notice_crashes();
    }

    fn submit(&mut self) {
        let file = self.dice.below(self.files.len());
        let count = 1 + self.dice.below(40);
        let first = self.dice.below(SECTORS - count);
        match self.dice.below(10) {
            0 => {
                let floors = self.floors(file, 0, SECTORS);
                let op =
                    Op::Flush { file: self.files[file].handle, data_only: self.dice.below(2) == 1 };
                self.begin(op, Vec::new(), file, 0, SECTORS, Kind::Flush { floors });
            }
            1..=3 => self.submit_read(file, first, count),
            _ => {
                let tag = self.next_tag;
                self.next_tag += 1;
                for sector in &mut self.files[file].sectors[first..first + count] {
                    sector.tags.push(tag);
                }
                let (offset, len) = ((first * SECTOR) as u64, (count * SECTOR) as u32);
                let op = Op::Write { file: self.files[file].handle, offset, len };
                self.begin(op, filled(tag, count), file, first, count, Kind::Write { tag });
            }
        }
    }

    fn submit_read(&mut self, file: usize, first: usize, count: usize) {
        let floors = self.floors(file, first, count);
        let (offset, len) = ((first * SECTOR) as u64, (count * SECTOR) as u32);
        let op = Op::Read { file: self.files[file].handle, offset, len, fill: false };
        self.begin(op, vec![0xee; count * SECTOR], file, first, count, Kind::Read { floors });
    }

    fn floors(&self, file: usize, first: usize, count: usize) -> Vec<usize> {
        self.files[file].sectors[first..first + count].iter().map(|sector| sector.floor).collect()
    }

    fn begin(
        &mut self,
        op: Op<'_>,
        buffer: Vec<u8>,
        file: usize,
        first: usize,
        count: usize,
        kind: Kind,
    ) {
        let id = self.sim.submit(op, buffer);
        self.notice_crashes();
        self.pending.insert(id, Pending { file, first, count, kind, crashes: self.crashes });
        self.collect();
    }

    fn step(&mut self) {
        self.sim.step();
        self.notice_crashes();
        self.collect();
    }

    /// Lowers the floors after a crash: changes that were not flushed may be gone.
    fn notice_crashes(&mut self) {
        if self.crashes == self.sim.crashes {
            return;
        }
        self.crashes = self.sim.crashes;
        for sector in self.files.iter_mut().flat_map(|file| &mut file.sectors) {
            sector.floor = sector.durable;
        }
    }

    fn collect(&mut self) {
        let over: Vec<OpId> =
            self.pending.keys().copied().filter(|op| self.sim.is_over(*op)).collect();
        for op in over {
            let pending = self.pending.remove(&op).expect("it was there");
            let done = self.sim.take(op);
            self.judge(&pending, &done);
        }
    }

    fn judge(&mut self, pending: &Pending, done: &Done) {
        let Pending { file, first, count, .. } = *pending;
        let crashed_meanwhile = pending.crashes != self.crashes;
        if let Err(error) = done.result {
            let fair = self.sim.faults == Faults::DELAYS_ONLY;
            assert!(!fair, "{pending:?} failed without faults: {error}");
            if error == OpError::WritesLost {
                assert!(self.crashes > 0, "nothing can have been lost, nobody died");
                assert!(matches!(pending.kind, Kind::Flush { .. }));
                self.lost += 1;
                self.files[file].spoilt = true;
            }
            return;
        }
        let sectors = &mut self.files[file].sectors[first..first + count];
        match &pending.kind {
            Kind::Write { tag } => {
                assert_eq!(
                    done.result,
                    Ok((count * SECTOR) as u32),
                    "a write is written completely"
                );
                self.writes += 1;
                // If the server died meanwhile, the write may be gone with it, and a flush will
                // report that.
                if !crashed_meanwhile {
                    for sector in sectors {
                        sector.floor = sector.floor.max(sector.place(*tag).expect("submitted"));
                    }
                }
            }
            Kind::Read { floors } => {
                assert_eq!(done.result, Ok((count * SECTOR) as u32));
                for (n, (sector, floor)) in sectors.iter().zip(floors).enumerate() {
                    let bytes = &done.buffer[n * SECTOR..(n + 1) * SECTOR];
                    let place = tag_of(bytes).and_then(|tag| sector.place(tag));
                    let floor = if crashed_meanwhile { sector.durable } else { *floor };
                    assert!(
                        place.is_some_and(|place| place >= floor),
                        "sector {} of file {file} has {:?} (place {place:?}), but not before \
                         {floor} of {:?} is allowed",
                        first + n,
                        tag_of(bytes),
                        sector.tags
                    );
                }
            }
            Kind::Flush { floors } => {
                for (sector, floor) in sectors.iter_mut().zip(floors) {
                    if *floor > sector.told {
                        sector.durable = sector.durable.max(*floor);
                    }
                    sector.floor = sector.floor.max(sector.durable);
                }
            }
        }
    }
}

#[test]
fn what_was_acknowledged_is_read_whatever_the_cuts_and_delays() {
    for seed in seeds(0..25) {
        let mut ledger = Ledger::new(seed, Faults::DELAYS_ONLY);
        ledger.run(120);
        assert!(ledger.writes > 40, "only {} writes", ledger.writes);
    }
}

#[test]
fn what_was_acknowledged_is_read_although_connections_break() {
    let mut writes = 0;
    for seed in seeds(100..150) {
        let mut ledger = Ledger::new(seed, Faults::RESETS);
        ledger.run(120);
        assert_eq!(ledger.lost, 0);
        writes += ledger.writes;
    }
    assert!(writes > 40, "only {writes} writes came through");
}

#[test]
fn what_was_flushed_survives_the_server_and_a_flush_that_cannot_cover_says_so() {
    let (mut lost, mut crashes) = (0, 0);
    for seed in seeds(200..260) {
        let mut ledger = Ledger::new(seed, Faults::RESETS_AND_CRASHES);
        ledger.run(120);
        (lost, crashes) = (lost + ledger.lost, crashes + ledger.crashes);
    }
    assert!(
        (lost > 0 && crashes > 0) || seeds(200..260).count() == 1,
        "{lost} losses in {crashes} crashes"
    );
}

#[test]
fn the_same_seed_makes_the_same_run() {
    let run = |seed| {
        let mut ledger = Ledger::new(seed, Faults::RESETS_AND_CRASHES);
        ledger.run(60);
        (ledger.sim.trace(), ledger.sim.steps, ledger.sim.now, ledger.sim.storage.memory.clone())
    };
    let (first, second, other) = (run(7), run(7), run(8));
    assert_eq!((first.0, first.1, first.2), (second.0, second.1, second.2));
    assert!(first.3 == second.3, "the bricks are equal, bit for bit");
    assert_ne!(first.0, other.0);
}
