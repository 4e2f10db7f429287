//! What is behind the loop's lock: the core, the sockets, the buffers, and who is told of what.

use std::collections::VecDeque;
use std::io::{ErrorKind, IoSlice, IoSliceMut};
use std::thread::Thread;
use std::time::{Duration, Instant as Clock};

use brickwire_core::volume::{Closed, Config, Intake, OpError, Output, Volume};
use brickwire_core::{ConnId, Instant, Memory, OpId};

use super::Waits;
use super::buffers::{Buffers, Lent};
use super::outcome::{Outcome, Owned};
use crate::net::{Dial, Events, Poller, Progress, Ready, Socket, reason};
use crate::{Error, Options};

/// What the core parses: more than most replies together.
const STAGING: usize = 64 * 1024;
/// Payloads of more than this go from the socket into the caller's buffer; smaller ones are copied there.
const LAND: u32 = 16 * 1024;
/// Pieces of one write.
const PIECES: usize = 64;
/// Beside a payload of more than this, staging is kept short: what follows is likely another one, with a place of its own.
const TAIL_FROM: u32 = 64 * 1024;
/// So short.
const TAIL: usize = 4 * 1024;
/// Fewer operations in flight than this are not worth waiting for several answers at a time.
const COALESCE_FROM: usize = 8;
/// Two answers without payload: less is not waited for.
const LOW_WATER_MIN: u32 = 512;
/// How long answers are waited for together: error answers are short, and must not wait for others.
const COALESCE_FOR: Duration = Duration::from_millis(1);

/// A queue of completions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueueId(pub(crate) usize);

/// Who is told that an operation is over.
pub(crate) enum Target {
    /// The holder of a ticket; the outcome waits there.
    Caller(Ticket),
    /// Nobody.
    Nobody,
    /// A queue, with the caller's token and buffer.
    Queue { queue: QueueId, token: u64, buffer: Vec<u8> },
    /// A function, which gets the buffer back.
    Callback { buffer: Vec<u8>, call: Box<dyn FnOnce(Outcome, Vec<u8>) + Send> },
}

/// An operation in a queue that is over.
pub(crate) struct Finished {
    pub(crate) token: u64,
    pub(crate) buffer: Vec<u8>,
    pub(crate) outcome: Outcome,
}

/// Where the outcome of one operation waits for whoever asked for it. It is the asker's until it is taken, and so outlives the
/// operation's slot, which the core gives to the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket(usize);

struct Conn {
    id: ConnId,
    io: Io,
}

enum Io {
    Dialing(Dial),
    Open(Stream),
}

struct Stream {
    socket: Socket,
    /// The socket took less than there was: wait until it takes more.
    writing: bool,
    /// The core has no room now: bytes that it has not taken yet.
    held: Option<Vec<u8>>,
}

pub(crate) struct State {
    pub(crate) volume: Volume<'static>,
    conns: Vec<Option<Conn>>,
    buffers: Buffers,
    /// Who is told, by the slot of the operation.
    targets: Vec<Option<Target>>,
    tickets: Vec<Option<Outcome>>,
    free_tickets: Vec<Ticket>,
    queues: Vec<Option<VecDeque<Finished>>>,
    staging: Vec<u8>,
    epoch: Clock,
    pub(crate) callbacks: VecDeque<Box<dyn FnOnce() + Send>>,
    pub(crate) parked: Vec<(Thread, Waits)>,
    pub(crate) leading: bool,
    /// What the leader itself waits for, and whether that came about while it sleeps.
    pub(super) leader: Waits,
    pub(super) leader_due: bool,
    /// When the leader will wake by itself.
    sleeps_until: Option<Instant>,
    pub(crate) in_flight: usize,
    pub(crate) stopped: bool,
    coalescing: bool,
    next_dial: Option<Clock>,
    /// Operations that were taken and wait for company before they are sent.
    pub(super) unsent: usize,
    /// When the sockets were looked at last.
    pub(super) woke_at: Clock,
    /// When a caller last went away with an answer.
    pub(super) caller_left: Clock,
    /// No connection has a slot from here on.
    conns_end: usize,
}

impl State {
    pub(super) fn new(config: Config, options: &Options, epoch: Clock) -> Result<Self, Error> {
        let limits = options.core_limits();
        let memory = Memory::on_heap(&limits);
        let volume = Volume::new(config, limits, memory, Instant::ZERO).map_err(Error::new_volume)?;
        let ops = limits.ops as usize;
        Ok(Self {
            volume,
            conns: (0..limits.conns).map(|_| None).collect(),
            buffers: Buffers::new(ops),
            targets: (0..ops).map(|_| None).collect(),
            tickets: Vec::new(),
            free_tickets: Vec::new(),
            queues: Vec::new(),
            staging: vec![0; STAGING],
            epoch,
            callbacks: VecDeque::new(),
            parked: Vec::new(),
            leading: false,
            leader: Waits::Background,
            leader_due: false,
            sleeps_until: None,
            in_flight: 0,
            stopped: false,
            coalescing: false,
            next_dial: None,
            unsent: 0,
            woke_at: epoch,
            caller_left: epoch,
            conns_end: 0,
        })
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::from_nanos(u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// An operation was submitted.
    pub(super) fn begin(&mut self, id: OpId, buffer: Lent, target: Target) {
        self.buffers.lend(id, buffer);
        self.targets[id.slot()] = Some(target);
        self.in_flight += 1;
    }

    #[cfg(test)]
    pub(super) fn buffers(&self) -> &Buffers {
        &self.buffers
    }

    pub(crate) fn new_ticket(&mut self) -> Ticket {
        self.free_tickets.pop().unwrap_or_else(|| {
            self.tickets.push(None);
            Ticket(self.tickets.len() - 1)
        })
    }

    /// The outcome, once it is there; the ticket is used up.
    pub(crate) fn take_outcome(&mut self, ticket: Ticket) -> Option<Outcome> {
        let outcome = self.tickets.get_mut(ticket.0)?.take()?;
        self.free_tickets.push(ticket);
        Some(outcome)
    }

    /// The operation was not taken.
    pub(super) fn cancel_target(&mut self, target: Target) {
        if let Target::Caller(ticket) = target {
            self.free_tickets.push(ticket);
        }
    }

    /// The caller leaves before its operation is over: its buffer is not followed from here on.
    pub(super) fn abandon(&mut self, op: OpId, ticket: Ticket, poller: &Poller) {
        self.buffers.give_back(op);
        if self.tickets[ticket.0].is_none() {
            self.targets[op.slot()] = Some(Target::Nobody);
            let now = self.now();
            self.volume.cancel(op, now);
            self.pump(poller);
        }
        self.tickets[ticket.0] = None;
        self.free_tickets.push(ticket);
    }

    pub(crate) fn new_queue(&mut self, depth: usize) -> QueueId {
        let queue = VecDeque::with_capacity(depth);
        let free = self.queues.iter().position(Option::is_none);
        let index = free.unwrap_or_else(|| {
            self.queues.push(None);
            self.queues.len() - 1
        });
        self.queues[index] = Some(queue);
        QueueId(index)
    }

    pub(crate) fn drop_queue(&mut self, queue: QueueId) {
        self.queues[queue.0] = None;
    }

    pub(crate) fn take_finished(&mut self, queue: QueueId) -> Option<Finished> {
        self.queues[queue.0].as_mut()?.pop_front()
    }

    /// Does what the core wants, until it wants nothing more.
    pub(crate) fn pump(&mut self, poller: &Poller) {
        self.unsent = 0;
        loop {
            let now = self.now();
            let Some(output) = self.volume.poll(now) else { return };
            match output {
                Output::Connect { conn } => self.dial(conn, poller),
                // What is blocked goes on when the socket says so.
                Output::Transmit { conn } if self.is_blocked(conn) => {}
                Output::Transmit { conn } => self.transmit(conn, poller),
                Output::Close { conn } => self.drop_conn(conn, poller),
                Output::Resume { conn } => self.resume(conn, poller),
                Output::Zero(range) => self.buffers.write(range).unwrap_or_default().fill(0),
                Output::Complete { op, result } => self.complete(op, result),
                Output::Changed => {}
            }
        }
    }

    fn complete(&mut self, op: OpId, result: Result<u32, OpError>) {
        self.buffers.give_back(op);
        self.in_flight = self.in_flight.saturating_sub(1);
        let outcome = match result {
            Ok(count) => Ok((count, Owned::of(self.volume.answer(op)))),
            Err(error) => Err(Error::op(error, &self.volume)),
        };
        match self.targets[op.slot()].take() {
            Some(Target::Caller(ticket)) => {
                self.tickets[ticket.0] = Some(outcome);
                self.unpark(Waits::Ticket(ticket));
            }
            Some(Target::Queue { queue, token, buffer }) => {
                if let Some(Some(finished)) = self.queues.get_mut(queue.0) {
                    finished.push_back(Finished { token, buffer, outcome });
                }
                self.unpark(Waits::Queue(queue));
            }
            Some(Target::Callback { buffer, call }) => {
                self.callbacks.push_back(Box::new(move || call(outcome, buffer)));
            }
            Some(Target::Nobody) | None => {}
        }
        self.unpark(Waits::Room);
    }

    fn unpark(&mut self, who: Waits) {
        self.leader_due |= self.leading && self.leader == who;
        for (thread, waits) in &self.parked {
            if *waits == who {
                thread.unpark();
                // It was told by somebody else: next time it may well lead itself.
                self.caller_left = Clock::now();
            }
        }
    }

    /// Who leads when the leader has its answer: somebody who waits for one; else the background thread, if there is
    /// something to lead for.
    pub(super) fn next_leader(&self) -> Option<Thread> {
        let waiting = self.parked.iter().find(|(_, waits)| *waits != Waits::Background);
        waiting.map(|(thread, _)| thread.clone()).or_else(|| self.background_to_wake())
    }

    /// The background thread, if it rests although there is something to do.
    pub(super) fn background_to_wake(&self) -> Option<Thread> {
        if self.in_flight == 0 && self.callbacks.is_empty() {
            return None;
        }
        let background = self.parked.iter().find(|(_, waits)| *waits == Waits::Background);
        background.map(|(thread, _)| thread.clone())
    }

    fn is_blocked(&self, id: ConnId) -> bool {
        matches!(self.conns.get(id.slot()), Some(Some(Conn { io: Io::Open(stream), .. })) if stream.writing)
    }

    fn conn(&mut self, id: ConnId) -> Option<&mut Conn> {
        self.conns.get_mut(id.slot())?.as_mut().filter(|conn| conn.id == id)
    }

    fn dial(&mut self, id: ConnId, poller: &Poller) {
        let Some(endpoint) = self.volume.endpoint(id) else { return };
        let dial = Dial::begin(endpoint, id.slot() as u64, &poller.waker());
        self.conns_end = self.conns_end.max(id.slot() + 1);
        self.conns[id.slot()] = Some(Conn { id, io: Io::Dialing(dial) });
        self.dial_on(id, poller);
    }

    fn dial_on(&mut self, id: ConnId, poller: &Poller) {
        let Some(conn) = self.conn(id) else { return };
        let Io::Dialing(dial) = &mut conn.io else { return };
        match dial.progress(poller) {
            Progress::Waiting(at) => {
                self.next_dial = match (self.next_dial, at) {
                    (Some(a), Some(b)) => Some(a.min(b)),
                    (a, b) => a.or(b),
                };
            }
            Progress::Connected(socket) => {
                if poller.add(&socket, id.slot() as u64, false).is_err() {
                    return self.lost(id, Closed::Reset, poller);
                }
                conn.io = Io::Open(Stream { socket, writing: false, held: None });
                let now = self.now();
                self.volume.connected(id, now);
            }
            Progress::Failed(why) => self.lost(id, why, poller),
        }
    }

    fn lost(&mut self, id: ConnId, why: Closed, poller: &Poller) {
        self.drop_conn(id, poller);
        let now = self.now();
        self.volume.closed(id, why, now);
    }

    fn drop_conn(&mut self, id: ConnId, poller: &Poller) {
        if self.conn(id).is_none() {
            return;
        }
        match self.conns[id.slot()].take().map(|conn| conn.io) {
            Some(Io::Dialing(mut dial)) => dial.give_up(poller),
            Some(Io::Open(stream)) => poller.remove(&stream.socket),
            None => {}
        }
        while self.conns_end > 0 && self.conns[self.conns_end - 1].is_none() {
            self.conns_end -= 1;
        }
    }

    /// Sends what there is, as far as the socket takes it: many records with one call.
    fn transmit(&mut self, id: ConnId, poller: &Poller) {
        loop {
            let Some(Some(Conn { id: open, io: Io::Open(stream) })) = self.conns.get(id.slot()) else {
                return;
            };
            if *open != id {
                return;
            }
            let mut torn = false;
            let (total, written) = {
                let mut pieces: heapless::Vec<IoSlice<'_>, PIECES> = heapless::Vec::new();
                let mut total = 0;
                'records: for record in self.volume.outgoing(id) {
                    // A record whose payload is not there must not go on: its bytes would be somebody else's.
                    let data = match record.data.map(|range| self.buffers.read(range)) {
                        None => Default::default(),
                        Some(Some(data)) => data,
                        Some(None) => {
                            torn = true;
                            break 'records;
                        }
                    };
                    for piece in [record.head, data, record.tail] {
                        if piece.is_empty() {
                            continue;
                        }
                        if pieces.push(IoSlice::new(piece)).is_err() {
                            break 'records;
                        }
                        total += piece.len();
                    }
                }
                if torn {
                    (0, Err(ErrorKind::InvalidData.into()))
                } else if total == 0 {
                    break;
                } else {
                    (total, stream.socket.write(&pieces))
                }
            };
            match written {
                Ok(sent) => {
                    let now = self.now();
                    self.volume.sent(id, sent, now);
                    if sent < total {
                        return self.wait_to_write(id, true, poller);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return self.wait_to_write(id, true, poller);
                }
                Err(_) => return self.lost(id, Closed::Reset, poller),
            }
        }
        self.wait_to_write(id, false, poller);
    }

    fn wait_to_write(&mut self, id: ConnId, writing: bool, poller: &Poller) {
        let Some(Conn { io: Io::Open(stream), .. }) = self.conn(id) else { return };
        if stream.writing != writing {
            stream.writing = writing;
            let _ = poller.change(&stream.socket, id.slot() as u64, stream.held.is_none(), writing);
        }
    }

    /// The core has room again for what it had to leave.
    fn resume(&mut self, id: ConnId, poller: &Poller) {
        let Some(Conn { io: Io::Open(stream), .. }) = self.conn(id) else { return };
        let Some(held) = stream.held.take() else { return };
        let _ = poller.change(&stream.socket, id.slot() as u64, true, stream.writing);
        self.feed(id, &held, poller);
    }

    /// Before a sleep: how long it may last, and how much is to be there before it ends.
    pub(super) fn prepare_to_sleep(&mut self) -> Option<Duration> {
        let now = self.now();
        self.coalescing = false;
        let busy = self.in_flight >= COALESCE_FROM;
        for conn in self.conns[..self.conns_end].iter_mut().flatten() {
            let Io::Open(stream) = &mut conn.io else { continue };
            if !busy && stream.socket.low_water() == 1 {
                continue;
            }
            let share = if busy { self.volume.owed(conn.id) / 3 } else { 0 };
            // A power of two: it changes seldom, and each change is a system call.
            let low = share.checked_ilog2().map_or(1, |log| 1_u32 << log.clamp(0, 17));
            let low = if low < LOW_WATER_MIN { 1 } else { low };
            stream.socket.set_low_water(low);
            self.coalescing |= low > 1;
        }
        let deadline = self.volume.deadline().map(|deadline| deadline.at);
        self.sleeps_until = deadline;
        let mut timeout = deadline.map(|at| at.since(now));
        if let Some(at) = self.next_dial {
            let dial = at.saturating_duration_since(Clock::now());
            timeout = Some(timeout.map_or(dial, |timeout| timeout.min(dial)));
        }
        if self.coalescing {
            timeout = Some(timeout.map_or(COALESCE_FOR, |timeout| timeout.min(COALESCE_FOR)));
        }
        timeout
    }

    /// Does the leader sleep longer than it may by now?
    pub(super) fn deadline_moved(&self) -> bool {
        match (self.volume.deadline(), self.sleeps_until) {
            (Some(deadline), Some(until)) => deadline.at < until,
            (Some(_), None) => true,
            (None, _) => false,
        }
    }

    /// After a sleep: bytes first, then time, so that nobody is given up whose answer is here already.
    pub(super) fn woke(&mut self, events: &Events, poller: &Poller) {
        for Ready { token, readable, writable } in events.ready.iter().copied() {
            let Some(id) = self.conns.get(token as usize).and_then(|conn| conn.as_ref()).map(|conn| conn.id)
            else {
                continue;
            };
            if matches!(self.conn(id), Some(Conn { io: Io::Dialing(_), .. })) {
                self.dial_on(id, poller);
                continue;
            }
            if readable {
                self.receive(id, poller);
            }
            if writable {
                self.transmit(id, poller);
            }
        }
        self.woke_at = Clock::now();
        if self.coalescing && events.ready.is_empty() {
            // Too little came in time for the mark: look at what there is.
            for index in 0..self.conns_end {
                if let Some(Conn { id, io: Io::Open(_) }) = self.conns[index] {
                    self.receive(id, poller);
                }
            }
        }
        if let Some(at) = self.next_dial
            && Clock::now() >= at
        {
            self.next_dial = None;
        }
        for index in 0..self.conns_end {
            if let Some(Conn { id, io: Io::Dialing(_) }) = self.conns[index] {
                self.dial_on(id, poller);
            }
        }
        let now = self.now();
        if self.volume.deadline().is_some_and(|deadline| deadline.at <= now) {
            self.volume.elapsed(now);
        }
    }

    /// Takes what a socket has.
    fn receive(&mut self, id: ConnId, poller: &Poller) {
        loop {
            let place = match self.volume.intake(id) {
                Intake::Core => None,
                Intake::Place(range) => Some(range),
                Intake::Discard { .. } => None,
                Intake::Wait | Intake::Closed => return,
            };
            let Some(Some(Conn { io: Io::Open(stream), .. })) = self.conns.get_mut(id.slot()) else { return };
            let direct = place.filter(|range| range.len > LAND);
            let mut staging = std::mem::take(&mut self.staging);
            let (landed, asked, got) = match direct {
                Some(range) => match self.buffers.write(range) {
                    Some(target) => {
                        // The next record's head comes with the same call; little of its payload, if it is a long one too.
                        let tail = if range.len > TAIL_FROM { TAIL } else { staging.len() };
                        let (len, asked) = (target.len(), target.len() + tail);
                        let mut places = [IoSliceMut::new(target), IoSliceMut::new(&mut staging[..tail])];
                        (len, asked, stream.socket.read(&mut places))
                    }
                    None => {
                        self.staging = staging;
                        return self.lost(id, Closed::Reset, poller);
                    }
                },
                None => (0, staging.len(), stream.socket.read(&mut [IoSliceMut::new(&mut staging)])),
            };
            match got {
                Ok(0) => {
                    self.staging = staging;
                    return self.lost(id, Closed::Eof, poller);
                }
                Ok(got) => {
                    if direct.is_some() {
                        let now = self.now();
                        self.volume.placed(id, got.min(landed), now);
                    }
                    let staged = got.saturating_sub(landed);
                    self.feed(id, &staging[..staged], poller);
                    self.staging = staging;
                    if got < asked {
                        return;
                    }
                }
                Err(error) => {
                    self.staging = staging;
                    if error.kind() != ErrorKind::WouldBlock {
                        let why = match reason(&error) {
                            Closed::TimedOut => Closed::TimedOut,
                            _ => Closed::Reset,
                        };
                        self.lost(id, why, poller);
                    }
                    return;
                }
            }
        }
    }

    /// Hands bytes to the core, and to where it says that they belong.
    fn feed(&mut self, id: ConnId, mut bytes: &[u8], poller: &Poller) {
        while !bytes.is_empty() {
            let now = self.now();
            let taken = match self.volume.intake(id) {
                Intake::Core => self.volume.received(id, bytes, now),
                Intake::Place(range) => {
                    // A place that is none (never by the core's own rules) ends the connection, not the program.
                    let Some(target) = self.buffers.write(range) else {
                        return self.lost(id, Closed::Reset, poller);
                    };
                    let n = target.len().min(bytes.len());
                    target[..n].copy_from_slice(&bytes[..n]);
                    self.volume.placed(id, n, now);
                    n
                }
                Intake::Discard { len } => {
                    let n = (len as usize).min(bytes.len());
                    self.volume.placed(id, n, now);
                    n
                }
                Intake::Wait => {
                    if let Some(Conn { io: Io::Open(stream), .. }) = self.conn(id) {
                        stream.held = Some(bytes.to_vec());
                        let _ = poller.change(&stream.socket, id.slot() as u64, false, stream.writing);
                    }
                    return;
                }
                Intake::Closed => return,
            };
            bytes = &bytes[taken.min(bytes.len())..];
        }
    }
}
