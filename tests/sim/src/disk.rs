//! The disk of a brick: storage in memory with a write cache, which executes calls at once or late,
//! fails some, fills up, and loses what was not synced when the power fails.

use std::collections::{BTreeMap, VecDeque};

use brickwire_core::fop::wire::{Body, Fxattrop, Reply, Request, Xattrop};
use brickwire_core::server::{
    BrickIx, BufferId, Call, Completion, HandleId, JobId, Payload, Place, Storage, Submitted,
};
use brickwire_core::xdr::{Dict, Errno, Gfid, Iatt, Writer};
use brickwire_memory::{Cached, MemoryLimits, MemoryStorage, MemoryTables};

use crate::dice::Dice;
use crate::late_call::LateCall;
use crate::mutant::Mutant;

/// Buffers from this number on belong to late answers.
const OWN: u32 = 1 << 31;
/// Room for a reply without data, as the server gives it.
const ROOM: usize = 1280;
const ENOSPC: i32 = 28;
const EIO: i32 = 5;

/// How well a disk works now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Of 10,000 calls so many are executed late.
    pub late: u32,
    /// They wait for so long at most, in nanoseconds.
    pub late_max: u64,
    /// Of 10,000 reads, writes and syncs so many fail with EIO.
    pub broken: u32,
    /// Calls that need room fail with ENOSPC.
    pub full: bool,
}

/// Work that a disk does later.
#[derive(Clone, Debug)]
enum Work {
    /// The call of a job that waits for its answer.
    Answer(JobId, LateCall),
    /// A mutant's: the answer was sent already.
    Silent(LateCall),
}

/// A disk with one brick.
#[derive(Clone, Debug)]
pub struct Disk {
    memory: MemoryStorage<'static>,
    /// How well it works.
    pub health: Health,
    /// The broken part, if the run tests the tests.
    pub mutant: Option<Mutant>,
    dice: Dice,
    late: BTreeMap<u64, Work>,
    next_ticket: u64,
    /// Tickets that the world has not yet scheduled, with their delays.
    pub unscheduled: VecDeque<(u64, u64)>,
    bodies: BTreeMap<u32, Vec<u8>>,
    next_body: u32,
    /// An earlier state, for a mutant.
    earlier: Option<Box<MemoryStorage<'static>>>,
    /// Number of calls.
    pub calls: u64,
}

impl Disk {
    /// An empty brick of a volume.
    pub fn new(volume_id: Gfid, limits: &MemoryLimits, dice: Dice) -> Self {
        let tables = MemoryTables::on_heap(limits);
        let mut memory = MemoryStorage::new(limits, tables).expect("sane limits");
        memory.add_brick(volume_id).expect("room");
        memory.enable_write_cache();
        Self {
            memory,
            health: Health::default(),
            mutant: None,
            dice,
            late: BTreeMap::new(),
            next_ticket: 0,
            unscheduled: VecDeque::new(),
            bodies: BTreeMap::new(),
            next_body: OWN,
            earlier: None,
            calls: 0,
        }
    }

    /// Sets the clock of the host.
    pub fn set_time(&mut self, nanos: u64) {
        let seconds = 1_800_000_000 + (nanos / 1_000_000_000) as i64;
        self.memory.set_time(seconds, (nanos % 1_000_000_000) as u32);
    }

    /// The server process is gone, and with it the calls that it waits for. Of the calls that the
    /// kernel has, some are executed.
    pub fn process_dies(&mut self) {
        for (_, work) in std::mem::take(&mut self.late) {
            if let Work::Answer(_, call) | Work::Silent(call) = work
                && self.dice.chance(5_000)
            {
                let _ = self.execute(&call);
            }
        }
        self.unscheduled.clear();
        self.bodies.clear();
        self.memory.restart();
    }

    /// The power fails.
    pub fn lose_power(&mut self) {
        self.process_dies();
        self.memory.lose_power();
    }

    /// The kernel writes some of its cache to the disk.
    pub fn background(&mut self) {
        if self.dice.chance(3_000) {
            self.memory.commit_metadata();
        }
        let share = self.dice.pick(&[0, 1_000, 5_000, 10_000]);
        let dice = &mut self.dice;
        self.memory.write_back(|_| dice.chance(share));
    }

    /// Does late work. Returns the answer for the server, if there is one.
    pub fn work(&mut self, ticket: u64) -> Option<(JobId, Completion)> {
        let work = self.late.remove(&ticket)?;
        let (job, call) = match work {
            Work::Answer(job, call) => (job, call),
            Work::Silent(call) => {
                let _ = self.execute(&call);
                return None;
            }
        };
        let Some((failed, bytes)) = self.execute(&call) else {
            // No buffer is free: try again soon.
            self.later(Work::Answer(job, call), 1_000_000);
            return None;
        };
        Some((job, self.completion(failed, bytes)))
    }

    /// Number of buffers in use.
    pub fn buffers(&self) -> usize {
        self.memory.usage().buffers as usize + self.bodies.len()
    }

    /// Number of calls that wait.
    pub fn waiting(&self) -> usize {
        self.late.len()
    }

    /// Number of files that the storage has open.
    pub fn files(&self) -> u32 {
        self.memory.usage().files
    }

    /// Checks the consistency of the storage.
    pub fn verify(&self) -> Result<(), &'static str> {
        self.memory.verify()
    }

    fn completion(&mut self, failed: bool, bytes: Vec<u8>) -> Completion {
        let buffer = BufferId(self.next_body);
        self.next_body += 1;
        let body = Place { buffer, at: 0, len: bytes.len() as u32 };
        self.bodies.insert(buffer.0, bytes);
        Completion { failed, body }
    }

    fn later(&mut self, work: Work, delay: u64) {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.late.insert(ticket, work);
        self.unscheduled.push_back((ticket, delay));
    }

    /// Executes a call now. `None` if no buffer is free for its reply.
    fn execute(&mut self, call: &LateCall) -> Option<(bool, Vec<u8>)> {
        let mut room = [0; ROOM];
        let mut w = Writer::new(&mut room);
        let submitted = call.with(|call| self.execute_now(call, &mut w));
        let Submitted::Done { failed, data } = submitted else { return None };
        let len = w.position();
        let mut bytes = room[..len].to_vec();
        if let Some(data) = data {
            let begin = data.at as usize;
            let all = self.memory.bytes_mut(data.buffer);
            bytes.extend_from_slice(&all[begin..begin + data.len as usize]);
            self.memory.release(data.buffer);
        }
        Some((failed, bytes))
    }

    fn execute_now(&mut self, call: &Call<'_>, reply: &mut Writer<'_>) -> Submitted {
        match (self.mutant, &call.request) {
            (Some(Mutant::FsyncLies), Request::Fsync(_)) => {
                return plain_success(call, 0, reply);
            }
            (Some(Mutant::FsyncByHalves), Request::Fsync(r)) => {
                self.memory.commit_metadata();
                self.memory.write_back(|part| match part {
                    Cached::Page { gfid, number } => gfid == r.gfid && number.is_multiple_of(2),
                    Cached::Size { gfid } => gfid == r.gfid,
                });
                return plain_success(call, 0, reply);
            }
            (Some(Mutant::RenameForgotten), Request::Rename(_)) => {
                let iatt = Iatt::default();
                let body = Body::Rename {
                    stat: iatt,
                    preoldparent: iatt,
                    postoldparent: iatt,
                    prenewparent: iatt,
                    postnewparent: iatt,
                };
                return success(call, 0, body, reply);
            }
            (Some(Mutant::BlameForgotten), Request::Xattrop(Xattrop { dict, .. }))
            | (Some(Mutant::BlameForgotten), Request::Fxattrop(Fxattrop { dict, .. }))
                if accuses(dict) =>
            {
                let (before, after) = (Iatt::default(), Iatt::default());
                return success(call, 0, Body::Dict { dict: *dict, before, after }, reply);
            }
            (Some(Mutant::ReadStale), Request::Read(_)) => {
                if self.calls.is_multiple_of(64) || self.earlier.is_none() {
                    self.earlier = Some(Box::new(self.memory.clone()));
                }
                if let Some(done) = self.read_earlier(call, reply) {
                    return done;
                }
            }
            (Some(Mutant::ReadMisplaced), Request::Read(r)) if self.dice.chance(300) => {
                let mut moved = *r;
                moved.offset ^= 0x200;
                let call = Call { request: Request::Read(moved), ..*call };
                return self.memory.execute(&call, reply);
            }
            (Some(Mutant::WriteCutShort), Request::Write(_))
                if call.payload.len() > 1024 && self.dice.chance(1_000) =>
            {
                return self.write_in_part(call, reply);
            }
            _ => {}
        }
        self.memory.execute(call, reply)
    }

    /// Answers a READ from an earlier state, if the file was open there.
    fn read_earlier(&mut self, call: &Call<'_>, reply: &mut Writer<'_>) -> Option<Submitted> {
        let earlier = self.earlier.as_mut()?;
        let mut room = [0; ROOM];
        let mut w = Writer::new(&mut room);
        let Submitted::Done { failed: false, data: Some(old) } = earlier.execute(call, &mut w)
        else {
            return None;
        };
        let bytes = earlier.bytes_mut(old.buffer)[..old.len as usize].to_vec();
        earlier.release(old.buffer);
        let done = self.memory.execute(call, reply);
        if let Submitted::Done { failed: false, data: Some(data) } = done
            && data.len as usize == bytes.len()
        {
            self.memory.bytes_mut(data.buffer)[..bytes.len()].copy_from_slice(&bytes);
        }
        Some(done)
    }

    fn write_in_part(&mut self, call: &Call<'_>, reply: &mut Writer<'_>) -> Submitted {
        let (bytes, buffer) = self.payload(call);
        let part = Call { payload: Payload::Bytes(&bytes[..1024]), ..*call };
        let mut room = [0; ROOM];
        let done = self.memory.execute(&part, &mut Writer::new(&mut room));
        if matches!(done, Submitted::Done { failed: false, .. }) {
            if let Some(buffer) = buffer {
                self.memory.release(buffer);
            }
            return plain_success(call, bytes.len() as i32, reply);
        }
        self.memory.execute(call, reply)
    }

    /// The payload of a call, and the buffer that it is in.
    fn payload(&mut self, call: &Call<'_>) -> (Vec<u8>, Option<BufferId>) {
        match call.payload {
            Payload::Bytes(bytes) => (bytes.to_vec(), None),
            Payload::Buffer(place) => {
                let begin = place.at as usize;
                let all = self.memory.bytes_mut(place.buffer);
                (all[begin..begin + place.len as usize].to_vec(), Some(place.buffer))
            }
        }
    }

    /// The call, owned. Its buffer is released.
    fn take(&mut self, call: &Call<'_>) -> LateCall {
        let (bytes, buffer) = self.payload(call);
        if let Some(buffer) = buffer {
            self.memory.release(buffer);
        }
        LateCall::new(call, bytes)
    }

    /// The errno with which this call fails today.
    fn refusal(&mut self, call: &Call<'_>) -> Option<i32> {
        let needs_room = matches!(
            call.request,
            Request::Write(_)
                | Request::Create(_)
                | Request::Mkdir(_)
                | Request::Mknod(_)
                | Request::Symlink(_)
                | Request::Link(_)
                | Request::Setxattr(_)
                | Request::Fallocate(_)
                | Request::Zerofill(_)
        );
        if self.health.full && needs_room {
            return Some(ENOSPC);
        }
        let touches_disk =
            matches!(call.request, Request::Write(_) | Request::Read(_) | Request::Fsync(_));
        (touches_disk && self.dice.chance(self.health.broken)).then_some(EIO)
    }
}

/// Says whether a change of counters accuses a brick.
fn accuses(dict: &Dict<'_>) -> bool {
    dict.pairs().any(|(key, value)| {
        let is_pending = key.starts_with(b"trusted.afr.") && key != b"trusted.afr.dirty";
        is_pending && value.as_bytes().is_some_and(|bytes| bytes.iter().any(|byte| *byte != 0))
    })
}

/// A success with this count, and attributes that say nothing.
fn plain_success(call: &Call<'_>, count: i32, reply: &mut Writer<'_>) -> Submitted {
    let (before, after) = (Iatt::default(), Iatt::default());
    success(call, count, Body::TwoIatts { before, after }, reply)
}

fn success(call: &Call<'_>, count: i32, body: Body<'_>, reply: &mut Writer<'_>) -> Submitted {
    let answer = Reply { op_ret: count, op_errno: 0, xdata: Dict::Null, body };
    answer.encode(call.request.number(), reply).expect("room for a reply");
    Submitted::Done { failed: false, data: None }
}

impl Storage for Disk {
    fn submit(&mut self, job: JobId, call: &Call<'_>, reply: &mut Writer<'_>) -> Submitted {
        self.calls += 1;
        if let Some(errno) = self.refusal(call) {
            if let Payload::Buffer(place) = call.payload {
                self.memory.release(place.buffer);
            }
            let number = call.request.number();
            Reply::plain(-1, Errno::from_wire(errno).to_wire())
                .encode(number, reply)
                .expect("room for a reply");
            return Submitted::Done { failed: true, data: None };
        }
        let is_write = matches!(call.request, Request::Write(_));
        match self.mutant {
            Some(Mutant::WriteAnsweredEarly) if is_write && self.dice.chance(1_000) => {
                let delay = self.dice.between(100_000, 50_000_000);
                let call_later = self.take(call);
                self.later(Work::Silent(call_later), delay);
                return plain_success(call, call.payload.len() as i32, reply);
            }
            Some(Mutant::WriteReplayed) if is_write && self.dice.chance(500) => {
                let delay = self.dice.between(100_000, 2_000_000_000);
                let (bytes, _) = self.payload(call);
                self.later(Work::Silent(LateCall::new(call, bytes)), delay);
            }
            Some(Mutant::CallForgotten) if is_write && self.dice.chance(100) => {
                let _ = self.take(call);
                return Submitted::Pending;
            }
            _ => {}
        }
        if self.dice.chance(self.health.late) {
            let delay = self.dice.skewed(10_000, self.health.late_max.max(20_000));
            let call = self.take(call);
            self.later(Work::Answer(job, call), delay);
            return Submitted::Pending;
        }
        self.execute_now(call, reply)
    }

    fn close(&mut self, brick: BrickIx, handle: HandleId) {
        self.memory.close(brick, handle);
    }

    fn reserve(&mut self, len: u32) -> Option<BufferId> {
        self.memory.reserve(len)
    }

    fn bytes_mut(&mut self, buffer: BufferId) -> &mut [u8] {
        match self.bodies.get_mut(&buffer.0) {
            Some(bytes) => bytes,
            None => self.memory.bytes_mut(buffer),
        }
    }

    fn release(&mut self, buffer: BufferId) {
        if buffer.0 >= OWN {
            assert!(self.bodies.remove(&buffer.0).is_some(), "a buffer is released once");
        } else {
            self.memory.release(buffer);
        }
    }
}
