//! A scenario: everything that a seed decides before the first event.

use brickwire_core::server::ServerLimits;
use brickwire_core::{Limits, volume};
use brickwire_memory::MemoryLimits;

use crate::dice::Dice;
use crate::disk::Health;
use crate::faults::{Fault, Rates};
use crate::shape::Shape;

/// Bytes of a block: the unit of the register checker. A page of the storage holds whole blocks.
pub const BLOCK: usize = 128;

/// Nanoseconds of a millisecond.
pub const MS: u64 = 1_000_000;

/// One volume.
#[derive(Clone, Debug)]
pub struct VolumePlan {
    /// How its bricks share its files.
    pub shape: Shape,
    /// The host of each brick.
    pub hosts: Vec<usize>,
}

/// One client.
#[derive(Clone, Debug)]
pub struct ClientPlan {
    /// The volume that it uses.
    pub volume: usize,
    /// Its tables.
    pub limits: Limits,
    /// Operations at a time.
    pub depth: usize,
    /// Files that it has open at a time.
    pub open: usize,
    /// Time limit of an operation.
    pub op_timeout_ms: u32,
    /// Connections to each brick.
    pub lanes: u8,
}

/// The work of the clients.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Files of each volume.
    pub files: usize,
    /// Blocks of each file.
    pub blocks: usize,
    /// Blocks of the longest transfer.
    pub transfer: usize,
    /// Operations of each client.
    pub operations: usize,
    /// Longest pause before an operation, in nanoseconds.
    pub pause: u64,
    /// Of 20 operations so many are writes, reads and flushes; the rest are others.
    pub mix: [usize; 3],
}

/// The network.
#[derive(Clone, Debug)]
pub struct Network {
    /// Shortest and longest time of a packet, in nanoseconds.
    pub latency: (u64, u64),
    /// Bytes that are sent and not read, at most.
    pub window: usize,
    /// Of 10,000 transfers so many are split.
    pub splits: u32,
}

/// Everything that a seed decides beforehand.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The seed.
    pub seed: u64,
    /// Number of hosts with servers.
    pub hosts: usize,
    /// The volumes.
    pub volumes: Vec<VolumePlan>,
    /// The clients.
    pub clients: Vec<ClientPlan>,
    /// Their work.
    pub workload: Workload,
    /// The network.
    pub network: Network,
    /// The volumes' option `network.ping-timeout`, in seconds.
    pub ping: u32,
    /// Whether there are clients that take locks.
    pub locks: bool,
    /// Whether a client works on names. Power failures may take names back, so there are none then.
    pub names: bool,
    /// Tables of each server.
    pub server: ServerLimits,
    /// Tables of each storage.
    pub memory: MemoryLimits,
    /// How well disks work while nothing is wrong.
    pub disk: Health,
    /// Faults.
    pub rates: Rates,
    /// The only host that faults strike, if a volume has copies. Nobody heals copies in this world,
    /// so each of two hosts that fail one after the other would miss what the other one has.
    pub victim: Option<usize>,
}

impl Scenario {
    /// The scenario of a seed.
    pub fn draw(seed: u64) -> Self {
        let mut dice = Dice::new(seed, "scenario");
        // A third of the scenarios has many writes of few blocks, and connections that break.
        let focused = dice.below(3) == 0;
        let few = 1 + dice.below(2);
        let count = if focused { 1 } else { 1 + dice.below(2) };
        let volumes: Vec<VolumePlan> = (0..count)
            .map(|_| {
                let shape = dice.pick(&Shape::OPENED);
                let hosts = match shape {
                    Shape::Single => vec![dice.below(few)],
                    // No two copies of a file are on one host.
                    Shape::Replicate { replicas, .. } => (0..replicas).collect(),
                };
                VolumePlan { shape, hosts }
            })
            .collect();
        let most = volumes.iter().flat_map(|volume| &volume.hosts).max();
        let hosts = few.max(most.map_or(0, |host| host + 1));
        let workload = workload(&mut dice, focused);
        let clients: Vec<ClientPlan> = (0..count + dice.below(4 - count + 1))
            .map(|n| client(&mut dice, n % count, volumes[n % count].shape, &workload))
            .collect();
        let slowest = dice.pick(&[1, 5, 50]);
        let network = Network {
            latency: (20_000, slowest * MS),
            window: dice.pick(&[512, 4096, 65_536]),
            splits: dice.pick(&[0, 2_000, 8_000]),
        };
        let server = server(&mut dice, clients.len());
        let late = dice.pick(&[0, 0, 1_000, 5_000]);
        let disk = Health { late, late_max: dice.pick(&[1, 20, 300]) * MS, ..Health::default() };
        // A transfer takes two packets or more; pauses and delays are half their maximum or less.
        let each = workload.pause / 4 + 2 * network.latency.1 / 3;
        let mut rates = Rates::draw(&mut dice, workload.operations as u64 * each, focused);
        let replicated = volumes.iter().any(|volume| volume.shape.bricks() > 1);
        let victim = replicated.then(|| dice.below(hosts));
        if replicated {
            // A client that ends in the middle of a write leaves copies that differ.
            let ends = [Fault::KillClient, Fault::LoseClient, Fault::Sleep];
            rates.kinds.retain(|kind| !ends.contains(kind));
            if rates.kinds.is_empty() {
                rates.kinds.push(dice.pick(&[Fault::Kill, Fault::Freeze, Fault::Cut]));
            }
        }
        Self {
            seed,
            hosts,
            volumes,
            clients,
            workload,
            network,
            ping: dice.pick(&[4, 20, 42]),
            names: dice.below(3) == 0 && !rates.kinds.contains(&Fault::PowerFailure),
            locks: dice.below(3) == 0,
            server,
            memory: MEMORY,
            disk,
            rates,
            victim,
        }
    }

    /// Without faults, and with a disk that answers at once.
    pub fn without_faults(mut self) -> Self {
        self.rates = Rates::default();
        self.disk = Health::default();
        self
    }
}

/// Tables of a storage, small because they are copied at each sync.
pub const MEMORY: MemoryLimits = MemoryLimits {
    bricks: 1,
    inodes: 160,
    // With the names of the indices of what is to be healed.
    entries: 240,
    // Each copy of a file has four with counters.
    xattrs: 240,
    files: 64,
    pages: 128,
    page_bytes: 512,
    buffers: 24,
    buffer_bytes: 192 * 1024,
    reply_bytes: 24 * 1024,
};

fn workload(dice: &mut Dice, focused: bool) -> Workload {
    if focused {
        let blocks = dice.pick(&[1, 2, 4, 8]);
        return Workload {
            files: 1,
            blocks,
            transfer: blocks,
            operations: 40 + dice.below(80),
            pause: dice.pick(&[1, 20, 400]) * MS,
            mix: dice.pick(&[[12, 6, 1], [9, 9, 1]]),
        };
    }
    Workload {
        files: 1 + dice.below(3),
        blocks: dice.pick(&[4, 24, 64]),
        transfer: dice.pick(&[1, 4, 16, 48]),
        operations: 20 + dice.below(100),
        pause: dice.pick(&[0, 1, 20, 400]) * MS,
        mix: dice.pick(&[[10, 6, 2], [6, 10, 2], [9, 4, 6], [16, 3, 1]]),
    }
}

/// Limits of a client: sometimes the least with which it can work, sometimes ample.
fn client(dice: &mut Dice, volume: usize, shape: Shape, workload: &Workload) -> ClientPlan {
    let bricks = shape.bricks();
    // Frames below that of an operation, and below that of its transaction, each reserved twice.
    let width = if bricks > 1 { 4 * bricks } else { 0 };
    let absurd = dice.below(2) == 0;
    let (ops, files, lanes) =
        if absurd { (1 + dice.below(4), 1, 1) } else { (8 + dice.below(24), 6, 1 + dice.below(2)) };
    let spare = |dice: &mut Dice, most: usize| if absurd { dice.below(2) } else { most };
    let limits = Limits {
        ops: ops as u32,
        frames: (ops * (1 + width) + 1 + spare(dice, 24)) as u32,
        calls: (ops + 1 + if bricks > 1 { 2 * bricks } else { 0 } + spare(dice, 60)) as u32,
        files: files as u32,
        // Inodes of closed files stay while a brick may still execute a change.
        inodes: (files + workload.files) as u32,
        fds: (files * 2 * bricks * (1 + lanes) + spare(dice, 16)) as u32,
        names: (2 + spare(dice, 14)) as u16,
        name_bytes: 256,
        blocks: (2 + spare(dice, 14)) as u16,
        block_bytes: 1024 << spare(dice, 2),
        conns: (1 + 2 * bricks * lanes + spare(dice, 2)) as u16,
        head_bytes: 1024 + 512 * spare(dice, 4) as u32,
        nodes: 6,
        volumes: 24,
        options: 96,
        children: 24,
        volfile_bytes: 6144,
        transfer_bytes: (workload.transfer * BLOCK) as u32,
    };
    ClientPlan {
        volume,
        limits,
        depth: 1 + dice.below(ops.min(8)),
        open: 1 + dice.below(files),
        op_timeout_ms: dice.pick(&[60_000, 90_000, 180_000]),
        lanes: lanes as u8,
    }
}

fn server(dice: &mut Dice, clients: usize) -> ServerLimits {
    let tight = dice.below(2) == 0;
    ServerLimits {
        // Ends that are cut off keep their connections for a while.
        connections: (8 + 8 * clients) as u16,
        jobs: if tight { 2 + dice.below(6) as u32 } else { 64 },
        jobs_per_connection: if tight { 1 + dice.below(4) as u16 } else { 16 },
        unsent_bytes: if tight { 4 * 1024 } else { 128 * 1024 },
        files: 64,
        files_per_connection: 32,
        head_bytes: if tight { 1280 } else { 4096 },
        blocks: if tight { 1 } else { 4 },
        block_bytes: 16 * 1024,
        transfer_bytes: dice.pick(&[4 * 1024, 16 * 1024]),
        ..ServerLimits::SMALL
    }
}

/// Limits of an auditor, with room for everything.
pub const AUDITOR: volume::Limits = Limits {
    ops: 8,
    frames: 128,
    calls: 64,
    files: 4,
    inodes: 4,
    fds: 48,
    names: 8,
    name_bytes: 256,
    blocks: 8,
    block_bytes: 4096,
    conns: 16,
    head_bytes: 4096,
    nodes: 16,
    volumes: 32,
    options: 192,
    children: 48,
    volfile_bytes: 8192,
    transfer_bytes: 64 * 1024,
};
