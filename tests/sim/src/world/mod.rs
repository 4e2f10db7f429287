//! The world: clients, server processes, connections and the clock, in one thread. Each step takes
//! the event that comes next, by its virtual time and the order of its scheduling.

mod clients;
mod network;
mod servers;
mod sockets;
mod trouble;
mod turns;

pub use turns::file_name;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use brickwire_core::{ConnId, Instant};

use crate::checkers::Violation;
use crate::checkers::register::Register;
use crate::client::Client;
use crate::cluster::Cluster;
use crate::dice::Dice;
use crate::disk::Disk;
use crate::link::{Link, Way};
use crate::locker::Locker;
use crate::mutant::Mutant;
use crate::process::Process;
use crate::scenario::{MS, Scenario};
use crate::trace::{Actor, Trace};

/// An event that is scheduled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// A client may begin an operation.
    Turn {
        /// The client.
        client: usize,
        /// Its process; the event is void for a later one.
        process: u64,
    },
    /// A dial reaches the server's host.
    Dial {
        /// The client.
        client: usize,
        /// Its process.
        process: u64,
        /// The dial.
        conn: ConnId,
    },
    /// A packet arrives.
    Arrive {
        /// The connection.
        link: usize,
        /// Whether it goes to the server.
        up: bool,
    },
    /// A kernel gives up a connection whose other end does not answer.
    GiveUp {
        /// The connection.
        link: usize,
    },
    /// A disk does late work.
    Work {
        /// The server process.
        process: usize,
        /// The process's number of starts: the event is void for a later one.
        starts: u32,
        /// The work.
        ticket: u64,
    },
    /// A kernel writes some of its cache to the disk.
    Background {
        /// The server process.
        process: usize,
    },
    /// A server process starts.
    Start {
        /// The server process.
        process: usize,
    },
    /// glusterd learns the port of a brick.
    Register {
        /// The server process.
        process: usize,
    },
    /// A host has power again.
    PowerBack {
        /// The host.
        host: usize,
    },
    /// A cut ends, or has lasted longer than kernels wait.
    Cut {
        /// The cut.
        cut: u64,
        /// It ends.
        ends: bool,
    },
    /// The locker of a brick has its turn.
    Lock {
        /// The brick's process.
        process: usize,
    },
    /// A client or server runs again.
    Thaw {
        /// The client, or
        client: Option<usize>,
        /// the server process.
        process: Option<usize>,
    },
    /// A connection that carries a long record breaks.
    Spring {
        /// The connection.
        link: usize,
        /// In the middle of the record.
        tear: bool,
    },
    /// A disk works well again.
    Heal {
        /// The server process.
        process: usize,
    },
    /// The next fault.
    Fault,
}

/// Nothing passes between a client and a host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    id: u64,
    client: usize,
    host: usize,
    up: bool,
    down: bool,
}

/// The world.
#[derive(Debug)]
pub struct World {
    /// The scenario that it plays.
    pub scenario: Scenario,
    /// The time.
    pub now: Instant,
    /// Everything that has happened.
    pub trace: Trace,
    /// The volumes and bricks.
    pub cluster: Cluster,
    /// The clients.
    pub clients: Vec<Client>,
    /// The server processes: glusterd of each host, then the bricks.
    pub processes: Vec<Process>,
    /// The files of each volume.
    pub registers: Vec<Register>,
    /// The broken part, if the run tests the tests.
    pub mutant: Option<Mutant>,
    /// Number of operations that have ended, with success and in all.
    pub ended: (u64, u64),
    /// Steps so far.
    pub steps: u64,
    queue: BinaryHeap<Reverse<(u64, u64, Event)>>,
    scheduled: u64,
    links: Vec<Option<Link>>,
    hosts_up: Vec<bool>,
    cuts: Vec<Cut>,
    /// Bricks that a client does not reach: the auditor's readable sets.
    unreached: Vec<(usize, usize)>,
    next_cut: u64,
    /// Resets that wait for a connection to carry a long record; true for those in its middle.
    armed: Vec<bool>,
    /// Clients and servers that do not run now.
    frozen: Vec<Actor>,
    /// Late work of disks for processes that do not run now: process, starts, ticket.
    thawed_work: Vec<(usize, u32, u64)>,
    /// Clients and servers whose outputs are to be carried out.
    dirty: VecDeque<Actor>,
    /// Faults that are yet to come.
    faults_left: usize,
    /// The client that works on names.
    pub names_client: Option<usize>,
    /// For each server process a client that takes locks there.
    lockers: Vec<Locker>,
    /// The clients of the workload, which faults may strike.
    workers: Vec<usize>,
    /// Clients begin operations of the workload.
    working: bool,
    /// Power failures of each volume's bricks, since everything was well.
    unpowered: Vec<Vec<usize>>,
    /// Number of the last submission, completion or power failure.
    tick: u64,
    next_process: u64,
    next_handle: u64,
    dice: Dice,
    network_dice: Dice,
}

/// Steps of a run at most; more mean that the world does not come to rest.
const STEPS: u64 = 3_000_000;

impl World {
    /// The world of a scenario at its beginning: all servers run, and there is no client.
    pub fn new(scenario: &Scenario, mutant: Option<Mutant>, printed: bool) -> Self {
        let seed = scenario.seed;
        let cluster = Cluster::new(scenario);
        let mut processes = Vec::new();
        let glusterds = (0..scenario.hosts).map(|host| (host, None));
        let bricks = cluster.bricks.iter().enumerate().map(|(n, brick)| (brick.host, Some(n)));
        for (n, (host, brick)) in glusterds.chain(bricks).enumerate() {
            let dice = Dice::new(seed ^ (n as u64) << 48, "disk");
            let volume = brick.map_or(0, |brick| cluster.bricks[brick].volume);
            let mut disk = Disk::new(cluster.volumes[volume].id, &scenario.memory, dice);
            disk.mutant = mutant;
            processes.push(Process { host, brick, port: 0, server: None, disk, starts: 0 });
        }
        let lockers = (0..processes.len() as u64)
            .map(|n| Locker::new(Dice::new(seed ^ n << 48, "locker")))
            .collect();
        let register = Register::new(scenario.workload.files, scenario.workload.blocks);
        let mut world = Self {
            now: Instant::ZERO,
            trace: Trace::new(printed),
            registers: vec![register; cluster.volumes.len()],
            unpowered: vec![Vec::new(); cluster.volumes.len()],
            cluster,
            clients: Vec::new(),
            processes,
            mutant,
            ended: (0, 0),
            steps: 0,
            queue: BinaryHeap::new(),
            scheduled: 0,
            links: Vec::new(),
            hosts_up: vec![true; scenario.hosts],
            cuts: Vec::new(),
            unreached: Vec::new(),
            next_cut: 0,
            armed: Vec::new(),
            frozen: Vec::new(),
            thawed_work: Vec::new(),
            dirty: VecDeque::new(),
            faults_left: 0,
            names_client: None,
            lockers,
            workers: Vec::new(),
            working: false,
            tick: 1,
            next_process: 1,
            next_handle: 1,
            dice: Dice::new(seed, "faults"),
            network_dice: Dice::new(seed, "network"),
            scenario: scenario.clone(),
        };
        for process in 0..world.processes.len() {
            world.start_process(process);
            world.register_port(process);
        }
        world
    }

    /// Lets events happen until `until` holds. Returns whether it did before this much virtual time
    /// had passed.
    pub fn run_until(
        &mut self,
        most: u64,
        mut until: impl FnMut(&mut Self) -> bool,
    ) -> Result<bool, Violation> {
        let end = self.now.as_nanos() + most;
        loop {
            self.pump()?;
            if until(self) {
                return Ok(true);
            }
            if self.now.as_nanos() >= end || !self.step(end)? {
                return Ok(false);
            }
        }
    }

    /// Lets this much virtual time pass.
    pub fn pass(&mut self, nanos: u64) -> Result<(), Violation> {
        let end = self.now.as_nanos() + nanos;
        self.pump()?;
        while self.step(end)? {}
        Ok(())
    }

    /// One step: the next event or deadline. If there is none before `end`, time passes to `end`
    /// and the answer is false.
    fn step(&mut self, end: u64) -> Result<bool, Violation> {
        let event = self.queue.peek().map_or(u64::MAX, |Reverse((at, ..))| *at);
        let (deadline, actor) = self.first_deadline();
        if event.min(deadline) > end {
            self.now = self.now.max(Instant::from_nanos(end));
            return Ok(false);
        }
        self.steps += 1;
        if self.steps > STEPS {
            let message = format!("{STEPS} events, and no end: {actor:?}, {:?}", self.queue.peek());
            return Err(Violation::new("waiting", message));
        }
        self.now = self.now.max(Instant::from_nanos(event.min(deadline)));
        if event <= deadline {
            if let Some(Reverse((_, _, event))) = self.queue.pop() {
                self.happen(event)?;
            }
        } else {
            self.elapse(actor);
        }
        self.pump()?;
        Ok(true)
    }

    /// Schedules an event after a delay.
    fn after(&mut self, delay: u64, event: Event) {
        self.scheduled += 1;
        let at = self.now.as_nanos().saturating_add(delay);
        self.queue.push(Reverse((at, self.scheduled, event)));
    }

    fn first_deadline(&self) -> (u64, Actor) {
        let clients = self.clients.iter().enumerate().filter_map(|(n, client)| {
            Some((client.volume.deadline()?.at.as_nanos(), 0, Actor::Client(n)))
        });
        let servers = self.processes.iter().enumerate().filter_map(|(n, process)| {
            let at = process.server.as_ref()?.deadline()?;
            Some((at.as_nanos(), 1, Actor::Process(n)))
        });
        let all = clients.chain(servers);
        let first = all
            .filter(|(_, _, actor)| !self.frozen.contains(actor))
            .min_by_key(|(at, kind, _)| (*at, *kind));
        first.map_or((u64::MAX, Actor::World), |(at, _, actor)| (at, actor))
    }

    fn elapse(&mut self, actor: Actor) {
        match actor {
            Actor::Client(n) => {
                let why = self.clients[n].volume.deadline().map(|deadline| deadline.why);
                self.note(actor, &[1], || format!("deadline: {why:?}"));
                self.clients[n].volume.elapsed(self.now);
            }
            Actor::Process(n) => {
                self.note(actor, &[1], || "deadline".to_owned());
                let (process, now) = (&mut self.processes[n], self.now);
                process.disk.set_time(now.as_nanos());
                if let Some(server) = &mut process.server {
                    server.elapsed(now, &mut process.disk);
                }
            }
            Actor::World | Actor::Link(_) => {}
        }
        self.touch(actor);
    }

    fn happen(&mut self, event: Event) -> Result<(), Violation> {
        match event {
            Event::Turn { client, process } => {
                if self.clients[client].process == process {
                    self.clients[client].turn_due = false;
                    self.turn(client)?;
                }
            }
            Event::Dial { client, process, conn } => {
                if self.clients[client].process == process {
                    self.dial(client, conn);
                }
            }
            Event::Arrive { link, up } => self.arrive(link, if up { Way::Up } else { Way::Down }),
            Event::GiveUp { link } => self.give_up(link),
            Event::Work { process, starts, ticket } => self.work(process, starts, ticket),
            Event::Background { process } => self.background(process),
            Event::Start { process } => self.start_process(process),
            Event::Register { process } => self.register_port(process),
            Event::PowerBack { host } => self.power_back(host),
            Event::Cut { cut, ends } => self.cut_event(cut, ends),
            Event::Lock { process } => self.lock_turn(process),
            Event::Thaw { client, process } => {
                let actors = client.map(Actor::Client).into_iter();
                actors.chain(process.map(Actor::Process)).for_each(|actor| self.thaw(actor));
            }
            Event::Spring { link, tear } => self.spring(link, tear),
            Event::Heal { process } => self.heal(process),
            Event::Fault => self.next_fault(),
        }
        Ok(())
    }

    /// Carries out the outputs of all that have changed.
    fn pump(&mut self) -> Result<(), Violation> {
        while let Some(actor) = self.dirty.pop_front() {
            match actor {
                _ if self.frozen.contains(&actor) => {}
                Actor::Client(n) => self.pump_client(n)?,
                Actor::Process(n) => self.pump_process(n)?,
                Actor::World | Actor::Link(_) => {}
            }
        }
        Ok(())
    }

    /// The outputs of this one are to be carried out.
    fn touch(&mut self, actor: Actor) {
        if !self.dirty.contains(&actor) {
            self.dirty.push_back(actor);
        }
    }

    fn note(&mut self, actor: Actor, words: &[u64], text: impl FnOnce() -> String) {
        self.trace.note(self.now, actor, words, text);
    }

    /// The number of this submission, completion or power failure.
    fn next_tick(&mut self) -> u64 {
        self.tick += 1;
        self.tick
    }

    /// Milliseconds of virtual time.
    pub fn millis(&self) -> u64 {
        self.now.as_nanos() / MS
    }
}
