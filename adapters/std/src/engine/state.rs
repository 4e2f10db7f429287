//! The state behind the loop's lock: the core, sockets, buffers, and the receivers of results.

use std::collections::VecDeque;
use std::thread::Thread;
use std::time::Instant as Clock;

use brickwire_core::volume::{Config, OpError, Output, Volume};
use brickwire_core::{Instant, Memory, OpId};

use super::Waits;
use super::buffers::{Buffers, Lent, STAGING_BYTES, slot_mut};
use super::connections::{Conn, Io};
use super::outcome::{Outcome, Owned};
use super::trace::Trace;
use crate::net::{Events, Poller, Ready};
use crate::{Error, Options};

/// Up to this many connections with a low-water mark are read together; reading an empty socket
/// costs a system call.
const LOOK_AT: usize = 4;

/// A queue of completions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueueId(pub(crate) usize);

/// The receiver of an operation's result.
pub(crate) enum Target {
    /// The holder of a ticket.
    Caller(Ticket),
    /// Nobody.
    Nobody,
    /// A queue.
    Queue { queue: QueueId, token: u64, buffer: Vec<u8> },
    /// A function, which gets the result and the buffer.
    Callback { buffer: Vec<u8>, call: Box<dyn FnOnce(Outcome, Vec<u8>) + Send> },
}

/// A completed operation of a queue.
pub(crate) struct Finished {
    pub(crate) token: u64,
    pub(crate) buffer: Vec<u8>,
    pub(crate) outcome: Outcome,
}

/// The place where the result of an operation is kept until its owner takes it. The core may reuse
/// the operation's slot before that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket(usize);

pub(crate) struct State {
    pub(crate) volume: Volume<'static>,
    pub(super) conns: Vec<Option<Conn>>,
    pub(super) buffers: Buffers,
    /// Receivers of results, by slot of the operation.
    targets: Vec<Option<Target>>,
    tickets: Vec<Option<Outcome>>,
    free_tickets: Vec<Ticket>,
    queues: Vec<Option<VecDeque<Finished>>>,
    pub(super) staging: Vec<u8>,
    epoch: Clock,
    /// The time when the clock was last read. All that follows from one wake-up happens at one
    /// time: reading the clock for each record costs more than some records do.
    now: Instant,
    pub(crate) callbacks: VecDeque<Box<dyn FnOnce() + Send>>,
    pub(crate) parked: Vec<(Thread, Waits)>,
    pub(crate) leading: bool,
    /// The event that the leader itself waits for, and whether it has happened while the leader
    /// waits.
    pub(super) leader: Waits,
    pub(super) leader_due: bool,
    /// When the leader's wait times out.
    pub(super) waits_until: Option<Instant>,
    pub(crate) in_flight: usize,
    pub(crate) stopped: bool,
    /// Number of connections whose low-water mark is raised.
    pub(super) coalescing: usize,
    pub(super) next_dial: Option<Clock>,
    /// Operations submitted lazily that are not sent.
    pub(super) unsent: usize,
    /// When all sockets were last checked.
    pub(super) woke_at: Instant,
    /// When another thread was last seen beside the leader.
    pub(super) company_at: Instant,
    /// When a caller last left with a result.
    pub(super) caller_left: Instant,
    /// One more than the highest slot of a connection.
    pub(super) conns_end: usize,
    pub(super) trace: Trace,
}

impl State {
    pub(super) fn new(config: Config, options: &Options, epoch: Clock) -> Result<Self, Error> {
        let limits = options.core_limits();
        let memory = Memory::on_heap(&limits);
        let volume =
            Volume::new(config, limits, memory, Instant::ZERO).map_err(Error::new_volume)?;
        let ops = limits.ops as usize;
        Ok(Self {
            volume,
            conns: Vec::with_capacity(limits.conns.into()),
            buffers: Buffers::new(ops),
            targets: Vec::with_capacity(ops),
            tickets: Vec::new(),
            free_tickets: Vec::new(),
            queues: Vec::new(),
            staging: vec![0; STAGING_BYTES],
            epoch,
            now: Instant::ZERO,
            callbacks: VecDeque::new(),
            parked: Vec::new(),
            leading: false,
            leader: Waits::Background,
            leader_due: false,
            waits_until: None,
            in_flight: 0,
            stopped: false,
            coalescing: 0,
            next_dial: None,
            unsent: 0,
            woke_at: Instant::ZERO,
            company_at: Instant::ZERO,
            caller_left: Instant::ZERO,
            conns_end: 0,
            trace: Trace::default(),
        })
    }

    /// The time of the current step.
    pub(crate) fn now(&self) -> Instant {
        self.now
    }

    /// Reads the clock: at the beginning of each call, and after each time without the lock.
    pub(crate) fn read_clock(&mut self) -> Instant {
        self.now =
            Instant::from_nanos(u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX));
        self.now
    }

    /// Notes a submitted operation.
    pub(super) fn begin(&mut self, id: OpId, buffer: Lent, target: Target) {
        self.buffers.lend(id, buffer);
        *slot_mut(&mut self.targets, id.slot()) = Some(target);
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

    /// Takes the result if it is there; that frees the ticket.
    pub(crate) fn take_outcome(&mut self, ticket: Ticket) -> Option<Outcome> {
        let outcome = self.tickets.get_mut(ticket.0)?.take()?;
        self.free_tickets.push(ticket);
        Some(outcome)
    }

    /// Frees the target of an operation that was refused.
    pub(super) fn cancel_target(&mut self, target: &Target) {
        if let Target::Caller(ticket) = *target {
            self.free_tickets.push(ticket);
        }
    }

    /// Takes back the buffer of a caller that leaves, and cancels its operation unless it is over.
    pub(super) fn abandon(&mut self, op: OpId, ticket: Ticket, poller: &Poller) {
        self.buffers.give_back(op);
        if self.tickets[ticket.0].is_none() {
            *slot_mut(&mut self.targets, op.slot()) = Some(Target::Nobody);
            let now = self.now();
            self.volume.cancel(op, now);
            self.pump(poller);
        }
        self.tickets[ticket.0] = None;
        self.free_tickets.push(ticket);
    }

    /// Queues all callbacks of operations in flight with this error, and cancels the operations.
    pub(super) fn fail_callbacks(&mut self, error: &Error) {
        let now = self.now();
        for slot in 0..self.targets.len() {
            let Some(op) = self.buffers.lender(slot) else { continue };
            match self.targets[slot].take() {
                Some(Target::Callback { buffer, call }) => {
                    self.buffers.give_back(op);
                    let outcome = Err(error.clone());
                    self.callbacks.push_back(Box::new(move || call(outcome, buffer)));
                    self.targets[slot] = Some(Target::Nobody);
                    self.volume.cancel(op, now);
                }
                other => self.targets[slot] = other,
            }
        }
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

    /// Carries out the core's outputs until there are no more.
    pub(crate) fn pump(&mut self, poller: &Poller) {
        self.unsent = 0;
        loop {
            let now = self.now();
            let Some(output) = self.volume.poll(now) else { return };
            match output {
                Output::Connect { conn } => self.dial(conn, poller),
                // A blocked connection continues when its socket is writable.
                Output::Transmit { conn } if self.is_blocked(conn) => {}
                Output::Transmit { conn } => self.transmit(conn, poller),
                Output::Close { conn } => self.drop_conn(conn, poller),
                Output::Resume { conn } => self.resume(conn, poller),
                Output::Zero(range) => self.buffers.write(range).unwrap_or_default().fill(0),
                Output::Complete { op, result } => self.complete(op, result),
                Output::Changed => self.trace.changed(&self.volume, now),
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
        match self.targets.get_mut(op.slot()).and_then(Option::take) {
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
                // Another thread has brought its result: it may lead itself with its next call.
                self.caller_left = self.now;
            }
        }
    }

    /// The next leader: a parked thread that waits for a result, else the background thread if
    /// there is something to do.
    pub(super) fn next_leader(&self) -> Option<Thread> {
        let waiting = self.parked.iter().find(|(_, waits)| *waits != Waits::Background);
        waiting.map(|(thread, _)| thread.clone()).or_else(|| self.background_to_wake())
    }

    /// The background thread, if it is parked although there is something to do.
    pub(super) fn background_to_wake(&self) -> Option<Thread> {
        if self.in_flight == 0 && self.callbacks.is_empty() {
            return None;
        }
        let background = self.parked.iter().find(|(_, waits)| *waits == Waits::Background);
        background.map(|(thread, _)| thread.clone())
    }

    /// Whether the leader waits longer than the current deadline allows.
    pub(super) fn deadline_moved(&self) -> bool {
        match (self.volume.deadline(), self.waits_until) {
            (Some(deadline), Some(until)) => deadline.at < until,
            (Some(_), None) => true,
            (None, _) => false,
        }
    }

    /// Handles events, then the time: no operation times out whose reply has arrived.
    pub(super) fn handle_events(&mut self, events: &Events, poller: &Poller) {
        for Ready { token, readable, writable } in events.ready.iter().copied() {
            let Some(id) =
                self.conns.get(token as usize).and_then(|conn| conn.as_ref()).map(|conn| conn.id)
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
        self.woke_at = self.now;
        // After a timeout, connections may have fewer bytes than their marks. After an event on
        // one, the others, if they are few, probably have some, too.
        let late = events.ready.is_empty();
        if self.coalescing > 0 && (late || self.coalescing <= LOOK_AT) {
            for index in 0..self.conns_end {
                let heard = |ready: &Ready| ready.token == index as u64;
                if let Some(Conn { id, io: Io::Open(stream) }) = &self.conns[index]
                    && stream.socket.low_water() > 1
                    && !events.ready.iter().any(heard)
                {
                    self.receive(*id, poller);
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
}
