//! One run: files are made, clients work under faults, the faults end, and everything is checked.
//!
//! 1. *Setup.* An auditor makes the files of each volume, and flushes them.
//! 2. *Trouble.* Clients work; faults come and go.
//! 3. *Calm.* The faults are over: everything pending ends, and every client can use its volume.
//! 4. *Audit.* An auditor reads every block from each readable set of bricks.
//! 5. *Leaving.* Clients close their files and leave; nothing is left of them.
//! 6. *Power failure.* All hosts lose their power; the auditor reads what was flushed.

use std::panic::{AssertUnwindSafe, catch_unwind};

use brickwire_core::FileId;
use brickwire_core::volume::{Op, OpError, OpenFlags};

use crate::checkers::{Violation, leftovers, waiting};
use crate::client::Done;
use crate::mutant::Mutant;
use crate::names::Names;
use crate::scenario::{AUDITOR, BLOCK, ClientPlan, MS, Scenario};
use crate::world::{World, file_name};

/// The result of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// A hash of everything that happened.
    pub hash: u64,
    /// Events and deadlines.
    pub steps: u64,
    /// Virtual time, in nanoseconds.
    pub virtual_nanos: u64,
    /// Operations that ended with success, and all that ended.
    pub ended: (u64, u64),
    /// Blocks that were compared with the register.
    pub compared: u64,
    /// Losses that clients were told of.
    pub told: u64,
    /// The first promise that was broken.
    pub violation: Option<Violation>,
}

/// How to run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// The broken part, to test the tests.
    pub mutant: Option<Mutant>,
    /// Each event is a line on standard output.
    pub trace: bool,
}

/// Runs the scenario of a seed.
pub fn run(seed: u64, options: Options) -> Report {
    run_scenario(&Scenario::draw(seed), options)
}

/// Runs a scenario.
pub fn run_scenario(scenario: &Scenario, options: Options) -> Report {
    let mut world = World::new(scenario, options.mutant, options.trace);
    if options.trace {
        println!("{scenario:#?}");
    }
    let result = catch_unwind(AssertUnwindSafe(|| play(&mut world)));
    let violation = match result {
        Ok(result) => result.err(),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string()));
            Some(Violation::new("panic", text.unwrap_or_default()))
        }
    };
    Report {
        seed: scenario.seed,
        hash: world.trace.hash(),
        steps: world.steps,
        virtual_nanos: world.now.as_nanos(),
        ended: world.ended,
        compared: world.registers.iter().map(|register| register.compared).sum(),
        told: world.registers.iter().map(|register| register.told).sum(),
        violation,
    }
}

fn play(world: &mut World) -> Result<(), Violation> {
    setup(world)?;
    let workers: Vec<usize> =
        world.scenario.clients.clone().iter().map(|plan| world.add_client(plan)).collect();
    let mut names = world.scenario.names.then(|| Names::begin(world));
    world.begin_work(&workers);
    world.begin_trouble();
    if let Some(names) = &mut names {
        names.work(world)?;
    }
    // A run whose clients wait through one fault after the other ends when it has lasted long.
    world.run_until(1_800_000 * MS, |world| !world.is_at_work())?;
    world.end_trouble();
    calm(world, &workers)?;
    if let Some(names) = names {
        names.end(world)?;
    }
    audit(world)?;
    leave(world, &workers)?;
    power_failure(world)
}

fn setup(world: &mut World) -> Result<(), Violation> {
    for volume in 0..world.cluster.volumes.len() {
        let auditor = auditor(world, volume);
        for file in 0..world.scenario.workload.files {
            let flags = OpenFlags::READ_WRITE.and(OpenFlags::CREATE);
            let id = open(world, auditor, file, flags)?;
            let size = (world.scenario.workload.blocks * BLOCK) as u64;
            must(world.ask(auditor, Op::Truncate { file: id, size }, Vec::new())?)?;
            must(world.ask(auditor, Op::Flush { file: id, data_only: false }, Vec::new())?)?;
            must(world.ask(auditor, Op::Close { file: id }, Vec::new())?)?;
        }
        must(world.ask(auditor, Op::Stop, Vec::new())?)?;
    }
    Ok(())
}

/// A client without absurd limits.
fn auditor(world: &mut World, volume: usize) -> usize {
    world.add_client(&ClientPlan {
        volume,
        limits: AUDITOR,
        depth: 1,
        open: 1,
        op_timeout_ms: 60_000,
        lanes: 1,
    })
}

fn open(
    world: &mut World,
    client: usize,
    file: usize,
    flags: OpenFlags,
) -> Result<FileId, Violation> {
    let name = file_name(file);
    let op = Op::Open { path: name.as_bytes(), flags, mode: 0o644 };
    let done = must(world.ask(client, op, Vec::new())?)?;
    Ok(done.got.opened().expect("an open file"))
}

/// While nothing is wrong, operations succeed.
pub(crate) fn must(done: Done) -> Result<Done, Violation> {
    match done.result {
        Ok(_) => Ok(done),
        Err(error) => {
            let message = format!("an operation failed while nothing was wrong: {error}");
            Err(Violation::new("calm", message))
        }
    }
}

fn calm(world: &mut World, workers: &[usize]) -> Result<(), Violation> {
    let began = world.now.as_nanos();
    let over = world.run_until(waiting::CALM, |world| !world.is_at_work())?;
    if !over {
        let pending = world.clients.iter().flat_map(|client| client.pending.values().next());
        let what = format!("{:?}", pending.collect::<Vec<_>>());
        return Err(waiting::never(&what, world.now.as_nanos() - began));
    }
    world.end_work();
    world.lockers_leave();
    // Kernels have yet to give up connections of clients that vanished, which have files open.
    world.pass(40_000 * MS)?;
    workers.iter().try_for_each(|worker| usable(world, *worker))
}

/// Waits until a client can use its volume. One that has never been connected is told of failures
/// from before the faults were over, and asks again.
pub(crate) fn usable(world: &mut World, client: usize) -> Result<(), Violation> {
    let began = world.now.as_nanos();
    loop {
        let done = world.ask(client, Op::Start, Vec::new())?;
        match done.result {
            Err(OpError::NotConnected(_)) if world.now.as_nanos() - began < waiting::CALM => {
                world.pass(100 * MS)?;
            }
            _ => return must(done).map(drop),
        }
    }
}

/// Reads everything from each readable set of bricks.
fn audit(world: &mut World) -> Result<(), Violation> {
    for volume in 0..world.cluster.volumes.len() {
        let victim = world.scenario.victim;
        let hosts = &world.scenario.volumes[volume].hosts;
        let behind = victim.and_then(|victim| hosts.iter().position(|host| *host == victim));
        for set in world.cluster.volumes[volume].shape.readable_sets(behind) {
            let auditor = auditor(world, volume);
            world.isolate(auditor, &set);
            usable(world, auditor)?;
            for file in 0..world.scenario.workload.files {
                read_file(world, auditor, file)?;
            }
            must(world.ask(auditor, Op::Stop, Vec::new())?)?;
            world.end_isolation(auditor);
        }
    }
    Ok(())
}

fn read_file(world: &mut World, client: usize, file: usize) -> Result<(), Violation> {
    let id = open(world, client, file, OpenFlags::READ)?;
    let blocks = world.scenario.workload.blocks;
    let most = world.clients[client].plan.limits.transfer_bytes as usize / BLOCK;
    let mut first = 0;
    while first < blocks {
        let count = most.min(blocks - first);
        let (offset, len) = ((first * BLOCK) as u64, (count * BLOCK) as u32);
        let span = world.span(file);
        let op = Op::Read { file: id, offset, len, fill: false };
        let done = must(world.ask(client, op, vec![0xee; len as usize])?)?;
        world.check_read(client, span, first, &done.buffer)?;
        first += count;
    }
    must(world.ask(client, Op::Close { file: id }, Vec::new())?).map(drop)
}

fn leave(world: &mut World, workers: &[usize]) -> Result<(), Violation> {
    for worker in workers {
        // A client with few tables closes before it opens.
        while let Some(handle) = world.clients[*worker].handles.pop() {
            // It may report losses of which it was not told before.
            let _ = world.ask(*worker, Op::Close { file: handle.id }, Vec::new())?;
        }
        read_file(world, *worker, 0)?;
    }
    // The last RELEASEs are in transit, kernels have yet to give up what vanished, and a change may
    // be in doubt for as long as an operation may take.
    world.pass(180_000 * MS)?;
    for worker in workers {
        leftovers::client(*worker, &world.volume(*worker).in_use())?;
    }
    for (number, usage) in world.usages() {
        leftovers::server(number, &usage, &world.processes[number].disk)?;
    }
    for worker in workers {
        must(world.ask(*worker, Op::Stop, Vec::new())?)?;
    }
    world.pass(1_000 * MS)?;
    for (number, usage) in world.usages() {
        leftovers::connections(number, &usage)?;
    }
    Ok(())
}

/// All hosts lose their power, and what was flushed is there.
fn power_failure(world: &mut World) -> Result<(), Violation> {
    world.all_power_fails();
    world.pass(2_000 * MS)?;
    audit(world)
}
