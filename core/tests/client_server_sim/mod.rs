//! A simulation in one thread: our client against our server with bricks in memory. Every byte
//! between them passes through here. A seed decides how they are cut, ordered and delayed, when
//! connections break, when the server dies, and how time passes. Equal seeds make equal runs, to
//! the bit: see [`Simulation::trace`].
#![allow(dead_code, unreachable_pub)] // Each test file uses its part.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;

use brickwire_core::server::{
    self, Peer, Server, ServerConfig, ServerLimits, ServerMemory, Storage as _,
};
use brickwire_core::volume::{
    self, Answer, Closed, Config, Op, OpError, OpenFlags, Output, SetAttributes, SubmitError,
    Volume,
};
use brickwire_core::xdr::{Gfid, Iatt};
use brickwire_core::{ConnId, FileId, Instant, Limits, Memory, OpId};
use brickwire_memory::{MemoryLimits, MemoryStorage, MemoryTables};

use crate::server_harness::{PROCESS, SlowStorage, TestExports, VOLUME, VOLUME_ID};

/// The seeds of a test: its own, or those in the environment (`BRICKWIRE_SEEDS=17`,
/// `BRICKWIRE_SEEDS=0..1000`).
pub fn seeds(own: Range<u64>) -> Range<u64> {
    let Ok(text) = std::env::var("BRICKWIRE_SEEDS") else { return own };
    let number = |text: &str| {
        text.parse::<u64>().expect("BRICKWIRE_SEEDS is a number, or two with .. between")
    };
    match text.split_once("..") {
        Some((from, to)) => number(from)..number(to),
        None => number(&text)..number(&text) + 1,
    }
}

/// A source of decisions.
#[derive(Clone, Debug)]
pub enum Dice {
    /// A generator (xorshift64*) with a seed.
    Seed(u64),
    /// A fuzzer's bytes; zeroes after the last one.
    Bytes(VecDeque<u8>),
}

impl Dice {
    pub fn new(seed: u64) -> Self {
        // A generator in state zero stays there.
        Self::Seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn draw(&mut self, wide: bool) -> u64 {
        match self {
            Self::Seed(state) => {
                *state ^= *state >> 12;
                *state ^= *state << 25;
                *state ^= *state >> 27;
                state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
            }
            Self::Bytes(bytes) => {
                let mut byte = || u64::from(bytes.pop_front().unwrap_or(0));
                if wide { byte() << 8 | byte() } else { byte() }
            }
        }
    }

    /// A number below `n`, or 0 if `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        if n < 2 { 0 } else { (self.draw(n > 256) % n as u64) as usize }
    }

    /// True in `of_10_000` of 10,000 cases.
    pub fn chance(&mut self, of_10_000: u32) -> bool {
        of_10_000 > 0 && self.draw(true) % 10_000 < u64::from(of_10_000)
    }

    pub fn is_used_up(&self) -> bool {
        matches!(self, Self::Bytes(bytes) if bytes.is_empty())
    }
}

/// Rates of faults, in 10,000 steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// A connection breaks, and the bytes in transit are lost.
    pub resets: u32,
    /// The server dies and another process replaces it. Changes that were not synced may be lost.
    pub crashes: u32,
    /// A dial is refused.
    pub refusals: u32,
    /// Time passes although there is something to do.
    pub lags: u32,
    /// The storage begins, or ceases, to answer late.
    pub slow: u32,
    /// A byte in transit is changed.
    pub mangles: u32,
}

impl Faults {
    pub const DELAYS_ONLY: Faults =
        Faults { resets: 0, crashes: 0, refusals: 0, lags: 0, slow: 500, mangles: 0 };
    pub const RESETS: Faults =
        Faults { resets: 30, crashes: 0, refusals: 500, lags: 20, slow: 500, mangles: 0 };
    pub const RESETS_AND_CRASHES: Faults = Faults { crashes: 15, ..Faults::RESETS };
}

/// A connection: both ends, and the bytes in transit.
#[derive(Debug, Default)]
struct Wire {
    client: Option<ConnId>,
    server: Option<ConnId>,
    /// Bytes in transit to the server (`up`) and to the client (`down`).
    up: Vec<u8>,
    down: Vec<u8>,
    client_has_more: bool,
    server_has_more: bool,
    /// The client must read again, even if no byte has arrived.
    client_resumes: bool,
    server_resumes: bool,
}

/// An event that can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Dial(usize),
    ClientSends(usize),
    ServerSends(usize),
    ServerReads(usize),
    ClientReads(usize),
    ServerSeesTheEnd(usize),
    ClientSeesTheEnd(usize),
    Finish(usize),
}

/// An operation that has ended.
#[derive(Clone, Debug)]
pub struct Done {
    pub result: Result<u32, OpError>,
    pub got: Got,
    pub buffer: Vec<u8>,
}

/// The answer of an operation, besides its count.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Got {
    #[default]
    Nothing,
    Stat(Iatt),
    Opened(FileId, Gfid),
    Offset(u64),
    Link(Vec<u8>),
    Xattrs(BTreeMap<String, Vec<u8>>),
    Entries {
        names: Vec<Vec<u8>>,
        next: Option<u64>,
        last: bool,
    },
}

impl Got {
    fn of(answer: Answer<'_>) -> Self {
        match answer {
            Answer::Stat(stat) => Self::Stat(*stat),
            Answer::Opened { file, gfid, .. } => Self::Opened(file, gfid),
            Answer::Offset(offset) => Self::Offset(offset),
            Answer::Link(path) => Self::Link(path.to_vec()),
            Answer::Xattrs(dict) => Self::Xattrs(
                dict.pairs()
                    .filter_map(|(key, value)| {
                        Some((String::from_utf8(key.to_vec()).ok()?, value.as_bytes()?.to_vec()))
                    })
                    .collect(),
            ),
            Answer::Entries { entries, last } => Self::Entries {
                names: entries.iter().map(|entry| entry.name.to_vec()).collect(),
                next: entries.next_cookie(),
                last,
            },
            _ => Self::Nothing,
        }
    }
}

pub struct Simulation {
    pub volume: Volume<'static>,
    pub server: Server<'static>,
    pub storage: SlowStorage,
    pub exports: TestExports,
    pub now: Instant,
    pub dice: Dice,
    pub faults: Faults,
    server_limits: ServerLimits,
    wires: Vec<Wire>,
    dials: VecDeque<ConnId>,
    buffers: BTreeMap<OpId, Vec<u8>>,
    over: BTreeMap<OpId, Done>,
    /// Operations that have not ended.
    running: BTreeSet<OpId>,
    /// How often the server has died.
    pub crashes: u32,
    /// Number of bytes in transit that were changed.
    pub mangled: u64,
    pub steps: u64,
    trace: u64,
    /// Printed if the run fails.
    name: String,
}

/// Limits of the client.
pub const LIMITS: Limits = Limits {
    ops: 24,
    frames: 48,
    calls: 96,
    files: 16,
    inodes: 24,
    fds: 64,
    names: 16,
    name_bytes: 1024,
    blocks: 26,
    block_bytes: 8 * 1024,
    conns: 6,
    head_bytes: 4096,
    ..Limits::FIRMWARE
};

/// Limits of the storage, which is copied at each sync and is therefore small.
pub const MEMORY: MemoryLimits = MemoryLimits {
    inodes: 1024,
    entries: 1024,
    xattrs: 256,
    pages: 512,
    page_bytes: 1024,
    ..MemoryLimits::SMALL
};

impl Drop for Simulation {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "{} failed at step {} (BRICKWIRE_SEEDS=… runs one alone)",
                self.name, self.steps
            );
        }
    }
}

impl Simulation {
    pub fn new(seed: u64, faults: Faults) -> Self {
        Self::with(Dice::new(seed), faults, LIMITS, ServerLimits::SMALL, &format!("seed {seed}"))
    }

    pub fn with(
        dice: Dice,
        faults: Faults,
        limits: Limits,
        server_limits: ServerLimits,
        name: &str,
    ) -> Self {
        Self::with_memory(dice, faults, limits, Memory::on_heap(&limits), server_limits, name)
    }

    pub fn with_memory(
        dice: Dice,
        faults: Faults,
        limits: Limits,
        tables: Memory<'static>,
        server_limits: ServerLimits,
        name: &str,
    ) -> Self {
        let mut config = Config::new();
        config.volume = VOLUME.try_into().expect("short");
        let server = volume::Server::Tcp { host: "node1".try_into().expect("short"), port: 24007 };
        config.servers.push(server).expect("room");
        config.entropy = [7; 32];
        config.process_id = 42;
        config.unix_nanos_at_zero = 1_800_000_000_000_000_000;
        config.op_timeout_ms = 900_000;
        let volume = Volume::new(config, limits, tables, Instant::ZERO).expect("sane limits");
        let mut memory =
            MemoryStorage::new(&MEMORY, MemoryTables::on_heap(&MEMORY)).expect("sane limits");
        memory.set_time(1_800_000_000, 0);
        memory.add_brick(VOLUME_ID).expect("room");
        let mut sim = Self {
            volume,
            server: new_server(&server_limits, 0),
            storage: SlowStorage::new(memory),
            exports: TestExports::default(),
            now: Instant::ZERO,
            dice,
            faults,
            server_limits,
            wires: Vec::new(),
            dials: VecDeque::new(),
            buffers: BTreeMap::new(),
            over: BTreeMap::new(),
            running: BTreeSet::new(),
            crashes: 0,
            mangled: 0,
            steps: 0,
            trace: 0xcbf2_9ce4_8422_2325,
            name: name.to_owned(),
        };
        sim.pump();
        sim
    }

    /// From now on a crash of the server loses changes that were not synced.
    pub fn with_a_cache(mut self) -> Self {
        self.storage.durable = Some(Box::new(self.storage.memory.clone()));
        self
    }

    /// A hash of everything that has happened.
    pub fn trace(&self) -> u64 {
        self.trace
    }

    fn note(&mut self, words: &[u64]) {
        for word in words {
            self.trace = (self.trace ^ word).wrapping_mul(0x100_0000_01b3);
        }
    }

    /// Submits an operation as soon as there is room for it.
    pub fn submit(&mut self, op: Op<'_>, buffer: Vec<u8>) -> OpId {
        loop {
            match self.try_submit(op, buffer.clone()) {
                Ok(id) => return id,
                Err(SubmitError::Busy(_)) => self.step(),
                Err(error) => panic!("{op:?} was not taken: {error}"),
            }
        }
    }

    pub fn try_submit(&mut self, op: Op<'_>, buffer: Vec<u8>) -> Result<OpId, SubmitError> {
        let id = self.volume.submit(op, self.now)?;
        assert!(self.running.insert(id), "an id that is in use");
        self.over.remove(&id);
        self.buffers.insert(id, buffer);
        self.pump();
        Ok(id)
    }

    pub fn is_over(&self, op: OpId) -> bool {
        self.over.contains_key(&op)
    }

    /// Takes the result of an operation that has ended.
    pub fn take(&mut self, op: OpId) -> Done {
        self.over.remove(&op).expect("an operation that is over")
    }

    /// Runs until an operation has ended, and takes its result.
    pub fn wait(&mut self, op: OpId) -> Done {
        for _ in 0..2_000_000 {
            if self.is_over(op) {
                return self.take(op);
            }
            self.step();
        }
        panic!("an operation is never over: {:?}", self.volume.session_status());
    }

    /// Runs one operation to its end.
    pub fn ask(&mut self, op: Op<'_>, buffer: Vec<u8>) -> Done {
        let id = self.submit(op, buffer);
        self.wait(id)
    }

    pub fn do_(&mut self, op: Op<'_>) -> Result<Got, OpError> {
        let done = self.ask(op, Vec::new());
        done.result.map(|_| done.got)
    }

    pub fn open(&mut self, path: &str, flags: OpenFlags) -> Result<FileId, OpError> {
        match self.do_(Op::Open { path: path.as_bytes(), flags, mode: 0o644 })? {
            Got::Opened(file, _) => Ok(file),
            other => panic!("{other:?}"),
        }
    }

    pub fn write(&mut self, file: FileId, offset: u64, data: &[u8]) -> Result<u32, OpError> {
        self.ask(Op::Write { file, offset, len: data.len() as u32 }, data.to_vec()).result
    }

    pub fn read(&mut self, file: FileId, offset: u64, len: u32) -> Result<Vec<u8>, OpError> {
        let done = self.ask(Op::Read { file, offset, len, fill: false }, vec![0xee; len as usize]);
        done.result.map(|n| done.buffer[..n as usize].to_vec())
    }

    pub fn stat(&mut self, path: &str) -> Result<Iatt, OpError> {
        match self.do_(Op::Stat { path: path.as_bytes(), follow: false })? {
            Got::Stat(stat) => Ok(stat),
            other => panic!("{other:?}"),
        }
    }

    pub fn set_attributes(&mut self, path: &str, set: SetAttributes) -> Result<Got, OpError> {
        self.do_(Op::SetAttributes { path: path.as_bytes(), set })
    }

    /// All names in a directory but `.` and `..`, in the server's order.
    pub fn list(&mut self, path: &str) -> Result<Vec<String>, OpError> {
        let Got::Opened(dir, _) = self.do_(Op::OpenDir { path: path.as_bytes() })? else {
            panic!("a handle")
        };
        let (mut all, mut cookie) = (Vec::new(), 0);
        let result = loop {
            match self.do_(Op::ReadDir { dir, cookie }) {
                Ok(Got::Entries { names, next, last }) => {
                    all.extend(names);
                    match next {
                        Some(next) if !last => cookie = next,
                        _ => break Ok(()),
                    }
                }
                Ok(other) => panic!("{other:?}"),
                Err(error) => break Err(error),
            }
        };
        // The handle is closed even if this fails.
        let _ = self.do_(Op::Close { file: dir });
        result?;
        let names = all.into_iter().map(|name| String::from_utf8(name).expect("text"));
        Ok(names.filter(|name| name != "." && name != "..").collect())
    }

    /// The events that can happen now.
    fn events(&self) -> Vec<Event> {
        let mut events: Vec<Event> = (0..self.dials.len()).map(Event::Dial).collect();
        for (n, wire) in self.wires.iter().enumerate() {
            if wire.client.is_some() && wire.client_has_more {
                events.push(Event::ClientSends(n));
            }
            if wire.server.is_some() && wire.server_has_more {
                events.push(Event::ServerSends(n));
            }
            if let Some(server) = wire.server {
                let waits = self.server.intake(server) == server::Intake::Wait;
                if (!wire.up.is_empty() && !waits) || wire.server_resumes {
                    events.push(Event::ServerReads(n));
                } else if wire.up.is_empty() && wire.client.is_none() {
                    events.push(Event::ServerSeesTheEnd(n));
                }
            }
            if let Some(client) = wire.client {
                let waits = self.volume.intake(client) == volume::Intake::Wait;
                if (!wire.down.is_empty() && !waits) || wire.client_resumes {
                    events.push(Event::ClientReads(n));
                } else if wire.down.is_empty() && wire.server.is_none() {
                    events.push(Event::ClientSeesTheEnd(n));
                }
            }
        }
        events.extend((0..self.storage.held()).map(Event::Finish));
        events
    }

    /// Lets one event happen. If there is none, time passes to the next deadline.
    pub fn step(&mut self) {
        self.steps += 1;
        self.trouble();
        let events = self.events();
        if events.is_empty() || self.dice.chance(self.faults.lags) {
            self.pass_to_deadline();
        } else {
            let event = events[self.dice.below(events.len())];
            self.happen(event);
        }
        self.pump();
        self.wires.retain(|wire| wire.client.is_some() || wire.server.is_some());
    }

    /// Runs until only time can change anything.
    pub fn settle(&mut self) {
        for _ in 0..2_000_000 {
            if self.events().is_empty() {
                return;
            }
            self.step();
        }
        panic!("it never comes to rest");
    }

    /// Draws this step's faults.
    fn trouble(&mut self) {
        let Faults { resets, crashes, slow, mangles, .. } = self.faults;
        if self.dice.chance(slow) {
            self.storage.hold = !self.storage.hold;
        }
        if self.dice.chance(crashes) {
            self.crash();
        }
        if self.dice.chance(resets) && !self.wires.is_empty() {
            let n = self.dice.below(self.wires.len());
            self.reset(n);
        }
        if self.dice.chance(mangles) && !self.wires.is_empty() {
            let n = self.dice.below(self.wires.len());
            let (down, mask) = (self.dice.below(2) == 1, 1 + self.dice.below(255) as u8);
            let len = if down { self.wires[n].down.len() } else { self.wires[n].up.len() };
            let at = self.dice.below(len);
            let bytes = if down { &mut self.wires[n].down } else { &mut self.wires[n].up };
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= mask;
                self.mangled += 1;
            }
        }
    }

    /// Breaks a connection: bytes in transit are lost, and both ends are told.
    pub fn reset(&mut self, n: usize) {
        self.note(&[100, n as u64]);
        let wire = &mut self.wires[n];
        (wire.up, wire.down) = (Vec::new(), Vec::new());
        let (client, server) = (wire.client.take(), wire.server.take());
        if let Some(conn) = client {
            self.volume.closed(conn, Closed::Reset, self.now);
        }
        if let Some(conn) = server {
            self.server.closed(conn, self.now, &mut self.storage);
        }
        self.pump();
    }

    /// The server dies, and another process serves its bricks. Bytes that it had sent may still
    /// arrive.
    pub fn crash(&mut self) {
        self.crashes += 1;
        self.note(&[101]);
        let heard = self.dice.below(2) == 1;
        for wire in &mut self.wires {
            wire.up.clear();
            wire.server = None;
            (wire.server_has_more, wire.server_resumes) = (false, false);
            if !heard {
                wire.down.clear();
            }
        }
        self.storage.crash();
        self.server = new_server(&self.server_limits, self.crashes);
    }

    fn pass_to_deadline(&mut self) {
        let client = self.volume.deadline().map(|deadline| deadline.at);
        let next = [client, self.server.deadline()].into_iter().flatten().min();
        let Some(next) = next else { return };
        self.pass_to(next);
    }

    /// Time passes.
    pub fn pass_to(&mut self, to: Instant) {
        self.now = self.now.max(to);
        self.note(&[102, self.now.as_nanos()]);
        let nanos = self.now.as_nanos();
        let seconds = 1_800_000_000 + (nanos / 1_000_000_000) as i64;
        self.storage.memory.set_time(seconds, (nanos % 1_000_000_000) as u32);
        if self.volume.deadline().is_some_and(|deadline| deadline.at <= self.now) {
            self.volume.elapsed(self.now);
        }
        if self.server.deadline().is_some_and(|deadline| deadline <= self.now) {
            self.server.elapsed(self.now, &mut self.storage);
        }
        self.pump();
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Dial(n) => self.dial(n),
            Event::ClientSends(n) => self.client_sends(n),
            Event::ServerSends(n) => self.server_sends(n),
            Event::ServerReads(n) => self.server_reads(n),
            Event::ClientReads(n) => self.client_reads(n),
            Event::ServerSeesTheEnd(n) => {
                self.note(&[1, n as u64]);
                if let Some(conn) = self.wires[n].server.take() {
                    self.server.closed(conn, self.now, &mut self.storage);
                }
            }
            Event::ClientSeesTheEnd(n) => {
                self.note(&[2, n as u64]);
                if let Some(conn) = self.wires[n].client.take() {
                    self.volume.closed(conn, Closed::Eof, self.now);
                }
            }
            Event::Finish(n) => self.finish(n),
        }
    }

    /// Gives an answer that the storage has held back.
    pub fn finish(&mut self, n: usize) {
        self.note(&[3, n as u64]);
        if let Some((job, completion)) = self.storage.take(n) {
            self.server.completed(job, completion, self.now, &mut self.storage);
        }
        self.pump();
    }

    fn dial(&mut self, n: usize) {
        let Some(conn) = self.dials.remove(n) else { return };
        let refused = self.dice.chance(self.faults.refusals);
        let peer = Peer { address: "10.0.0.1".try_into().expect("short"), privileged: true };
        let server = if refused { None } else { self.server.accepted(peer, self.now) };
        self.note(&[4, u64::from(server.is_some())]);
        match server {
            Some(server) => {
                self.wires.push(Wire {
                    client: Some(conn),
                    server: Some(server),
                    ..Wire::default()
                });
                self.volume.connected(conn, self.now);
            }
            None => self.volume.closed(conn, Closed::Refused, self.now),
        }
    }

    /// How many of `len` bytes are transferred at once: mostly all, sometimes a few.
    fn cut(&mut self, len: usize) -> usize {
        // A fuzzer's program that is used up makes no more cuts.
        if self.dice.is_used_up() {
            return len;
        }
        match self.dice.below(4) {
            0 => 1 + self.dice.below(len),
            1 => len.min(1 + self.dice.below(64)),
            _ => len,
        }
    }

    fn client_sends(&mut self, n: usize) {
        let Some(conn) = self.wires[n].client else { return };
        let mut bytes = Vec::new();
        for record in self.volume.outgoing(conn) {
            bytes.extend_from_slice(record.head);
            if let Some(range) = record.data {
                bytes.extend_from_slice(part(&self.buffers, range));
            }
            bytes.extend_from_slice(record.tail);
        }
        let len = self.cut(bytes.len()).min(bytes.len());
        self.note(&[5, n as u64, len as u64]);
        let wire = &mut self.wires[n];
        wire.up.extend_from_slice(&bytes[..len]);
        wire.client_has_more = len < bytes.len();
        self.volume.sent(conn, len, self.now);
    }

    fn server_sends(&mut self, n: usize) {
        let Some(conn) = self.wires[n].server else { return };
        let mut bytes = Vec::new();
        for record in self.server.outgoing(conn) {
            bytes.extend_from_slice(record.head);
            if let Some(place) = record.data {
                let begin = place.at as usize;
                let data = self.storage.bytes_mut(place.buffer);
                bytes.extend_from_slice(&data[begin..begin + place.len as usize]);
            }
        }
        let len = self.cut(bytes.len()).min(bytes.len());
        self.note(&[6, n as u64, len as u64]);
        let wire = &mut self.wires[n];
        wire.down.extend_from_slice(&bytes[..len]);
        wire.server_has_more = len < bytes.len();
        self.server.sent(conn, len, self.now, &mut self.storage);
    }

    fn server_reads(&mut self, n: usize) {
        let len = self.cut(self.wires[n].up.len()).min(self.wires[n].up.len());
        let Some(conn) = self.wires[n].server else { return };
        let wire = &mut self.wires[n];
        wire.server_resumes = false;
        let bytes = &wire.up[..len];
        let used = match self.server.intake(conn) {
            server::Intake::Core => {
                self.server.received(conn, bytes, self.now, &self.exports, &mut self.storage)
            }
            server::Intake::Place(place) => {
                let (len, at) = (len.min(place.len as usize), place.at as usize);
                self.storage.bytes_mut(place.buffer)[at..at + len].copy_from_slice(&bytes[..len]);
                self.server.placed(conn, len, self.now, &self.exports, &mut self.storage);
                len
            }
            server::Intake::Wait => 0,
            server::Intake::Closed => len,
        };
        wire.up.drain(..used);
        self.note(&[7, n as u64, used as u64]);
    }

    fn client_reads(&mut self, n: usize) {
        let len = self.cut(self.wires[n].down.len()).min(self.wires[n].down.len());
        let Some(conn) = self.wires[n].client else { return };
        let wire = &mut self.wires[n];
        wire.client_resumes = false;
        let bytes = &wire.down[..len];
        let used = match self.volume.intake(conn) {
            volume::Intake::Core => self.volume.received(conn, bytes, self.now),
            volume::Intake::Place(range) => {
                let len = len.min(range.len as usize);
                assert!(self.running.contains(&range.op), "bytes for an operation that is over");
                let buffer = self.buffers.get_mut(&range.op).expect("a buffer");
                buffer[range.at as usize..][..len].copy_from_slice(&bytes[..len]);
                self.volume.placed(conn, len, self.now);
                len
            }
            volume::Intake::Discard { len: unwanted } => {
                let len = len.min(unwanted as usize);
                self.volume.placed(conn, len, self.now);
                len
            }
            volume::Intake::Wait => 0,
            volume::Intake::Closed => len,
        };
        wire.down.drain(..used);
        self.note(&[8, n as u64, used as u64]);
    }

    /// Carries out the outputs of both ends.
    fn pump(&mut self) {
        for _ in 0..100_000 {
            if let Some(output) = self.volume.poll(self.now) {
                self.client_wants(output);
            } else if let Some(output) = self.server.poll() {
                self.server_wants(output);
            } else {
                return;
            }
        }
        panic!("somebody wants endless things");
    }

    fn client_wire(&mut self, conn: ConnId) -> Option<&mut Wire> {
        self.wires.iter_mut().find(|wire| wire.client == Some(conn))
    }

    fn server_wire(&mut self, conn: ConnId) -> Option<&mut Wire> {
        self.wires.iter_mut().find(|wire| wire.server == Some(conn))
    }

    fn client_wants(&mut self, output: Output) {
        match output {
            Output::Connect { conn } => self.dials.push_back(conn),
            Output::Transmit { conn } => {
                self.client_wire(conn).expect("a connection").client_has_more = true;
            }
            Output::Close { conn } => {
                self.dials.retain(|dial| *dial != conn);
                if let Some(wire) = self.client_wire(conn) {
                    (wire.client, wire.client_has_more, wire.client_resumes) = (None, false, false);
                    wire.down.clear();
                }
            }
            Output::Resume { conn } => {
                if let Some(wire) = self.client_wire(conn) {
                    wire.client_resumes = true;
                }
            }
            Output::Zero(range) => {
                let buffer = self.buffers.get_mut(&range.op).expect("a buffer");
                buffer[range.at as usize..][..range.len as usize].fill(0);
            }
            Output::Complete { op, result } => {
                assert!(self.running.remove(&op), "an operation is over once");
                let got = Got::of(self.volume.answer(op));
                let buffer = self.buffers.remove(&op).expect("a buffer");
                self.note(&[9, op.slot() as u64, u64::from(result.unwrap_or(u32::MAX))]);
                self.over.insert(op, Done { result, got, buffer });
            }
            Output::Changed => {}
        }
    }

    fn server_wants(&mut self, output: server::Output) {
        match output {
            server::Output::Transmit { conn } => {
                if let Some(wire) = self.server_wire(conn) {
                    wire.server_has_more = true;
                }
            }
            server::Output::Resume { conn } => {
                if let Some(wire) = self.server_wire(conn) {
                    wire.server_resumes = true;
                }
            }
            server::Output::Close { conn, .. } => {
                if let Some(wire) = self.server_wire(conn) {
                    (wire.server, wire.server_has_more, wire.server_resumes) = (None, false, false);
                    wire.up.clear();
                }
            }
        }
    }

    /// Number of connections.
    pub fn wires(&self) -> usize {
        self.wires.len()
    }

    /// Number of operations that have not ended.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// The client disappears without a word. The server must hold nothing for it afterwards.
    pub fn client_vanishes(&mut self) {
        for wire in &mut self.wires {
            wire.client = None;
            wire.down.clear();
        }
        self.dials.clear();
        for _ in 0..1_000_000 {
            let servers: Vec<Event> = self
                .events()
                .into_iter()
                .filter(|event| {
                    !matches!(event, Event::Dial(_) | Event::ClientSends(_) | Event::ClientReads(_))
                })
                .collect();
            if servers.is_empty() {
                return;
            }
            let event = servers[self.dice.below(servers.len())];
            self.happen(event);
            while let Some(output) = self.server.poll() {
                self.server_wants(output);
            }
            self.wires.retain(|wire| wire.server.is_some());
            for wire in &mut self.wires {
                // Nobody reads these bytes.
                wire.down.clear();
            }
        }
        panic!("the server is never done with a client that went");
    }
}

fn part(buffers: &BTreeMap<OpId, Vec<u8>>, range: volume::Range) -> &[u8] {
    let buffer = buffers.get(&range.op).expect("bytes of an operation that is not over");
    &buffer[range.at as usize..][..range.len as usize]
}

fn new_server(limits: &ServerLimits, instance: u32) -> Server<'static> {
    let process_uuid: String = format!("{PROCESS}-{instance}");
    let config = ServerConfig {
        process_uuid: process_uuid.as_str().try_into().expect("short"),
        ..ServerConfig::default()
    };
    Server::new(config, limits, ServerMemory::on_heap(limits)).expect("sane limits")
}
