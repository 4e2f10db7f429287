//! The event loop around the core.
//!
//! One lock protects the state. Of the threads that wait for operations one is the *leader*: it
//! waits for the sockets without holding the lock, then receives and sends for all. A thread that
//! finds a leader sends its own records and parks until its operation is over, or until the leader
//! leaves with its own result. A program with one thread therefore never hands anything to another
//! thread, and a 4 KiB read is one write, one wait and one read.
//!
//! Results are kept by [`Ticket`] or [`QueueId`] and not by the operation's slot, because the core
//! may reuse the slot before the owner has taken the result.

mod buffers;
mod connections;
mod lead;
mod outcome;
mod state;
#[cfg(test)]
mod tests;
mod trace;
mod transfer;
mod wait;

use std::cell::Cell;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub(crate) use buffers::Lent;
pub(crate) use lead::Waits;
pub(crate) use outcome::{Outcome, Owned};
pub(crate) use state::{QueueId, State, Target, Ticket};

use brickwire_core::OpId;
use brickwire_core::volume::{Op, SubmitError};

use crate::net::{Events, Poller};
use crate::{Error, ErrorKind, Options};

/// After this time without being driven, connections may be lost: they are checked before anything
/// is sent.
const STALE: Duration = Duration::from_millis(100);
/// Operations of a queue that are collected before they are sent.
const UNSENT_MAX: usize = 16;

/// The event loop of a volume.
pub(crate) struct Engine {
    state: Mutex<State>,
    poller: Poller,
    spin: Duration,
    /// Id of the process that made it.
    owner: u32,
}

thread_local! {
    /// Address of the engine whose callback this thread runs. Operations that a callback submits
    /// are sent after the callbacks.
    static CALLBACK_OF: Cell<usize> = const { Cell::new(0) };
}

impl Engine {
    pub(crate) fn new(
        config: brickwire_core::volume::Config,
        options: &Options,
        epoch: Instant,
    ) -> Result<Self, Error> {
        let poller = Poller::new().map_err(|error| Error::io("cannot wait for sockets", &error))?;
        let state = State::new(config, options, epoch)?;
        Ok(Self {
            state: Mutex::new(state),
            poller,
            spin: options.spin_time(),
            owner: std::process::id(),
        })
    }

    /// Makes every wait for sockets fail.
    #[cfg(test)]
    pub(crate) fn break_poller(&mut self) {
        self.poller = Poller::broken();
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Whether this thread is in a callback of this engine.
    fn in_callback(&self) -> bool {
        CALLBACK_OF.get() == self.address()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is valid after a panic under the lock: it changes in whole steps of the core,
        // and the thread that panicked has taken its buffer back (`Hold`).
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Submits an operation. Blocks while the volume's tables are full.
    pub(crate) fn submit(&self, op: Op<'_>, buffer: Lent, target: Target) -> Result<OpId, Error> {
        let mut state = self.lock();
        state.read_clock();
        self.check_sockets_first(&mut state);
        // A blocking caller will lead itself.
        let leads = matches!(target, Target::Caller(_));
        let (id, mut state) = self.take(state, op, buffer, target)?;
        self.send(&mut state, leads);
        Ok(id)
    }

    /// Submits an operation that may be sent later, together with others: at the latest when this
    /// thread waits.
    pub(crate) fn submit_lazily(
        &self,
        op: Op<'_>,
        buffer: Lent,
        target: Target,
    ) -> Result<OpId, Error> {
        let mut state = self.lock();
        state.read_clock();
        let (id, mut state) = self.take(state, op, buffer, target)?;
        state.unsent += 1;
        if state.unsent >= UNSENT_MAX {
            self.send(&mut state, false);
        }
        Ok(id)
    }

    /// Sends the operations of `submit_lazily`.
    pub(crate) fn flush(&self) {
        let mut state = self.lock();
        state.read_clock();
        self.send(&mut state, false);
    }

    fn take<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        op: Op<'_>,
        buffer: Lent,
        target: Target,
    ) -> Result<(OpId, MutexGuard<'a, State>), Error> {
        let mut looked = false;
        loop {
            let now = state.now();
            match state.volume.submit(op, now) {
                Ok(id) => {
                    state.begin(id, buffer, target);
                    return Ok((id, state));
                }
                Err(SubmitError::Busy(_)) if !looked => {
                    // Reporting completed operations may make room.
                    state.pump(&self.poller);
                    looked = true;
                }
                Err(SubmitError::Busy(_)) if state.in_flight > 0 => {
                    state = if state.leading {
                        self.follow(state, Waits::Room, None)
                    } else {
                        match self.lead(state, Waits::Room, None) {
                            Ok(led) => led,
                            Err(error) => {
                                self.lock().cancel_target(&target);
                                return Err(error);
                            }
                        }
                    };
                    looked = false;
                }
                Err(error) => {
                    state.cancel_target(&target);
                    // A callback may own a `File`, whose drop takes the lock. `target` is dropped
                    // when this returns.
                    drop(state);
                    return Err(Error::submit(error));
                }
            }
        }
    }

    fn send(&self, state: &mut State, leads: bool) {
        if self.in_callback() {
            return;
        }
        state.pump(&self.poller);
        if state.leading {
            state.company_at = state.now();
            self.wake_leader(state);
        } else if !leads && let Some(background) = state.background_to_wake() {
            background.unpark();
        }
    }

    /// If the loop has not been driven for a while: handles pending events before anything is sent.
    fn check_sockets_first(&self, state: &mut State) {
        if state.leading
            || self.in_callback()
            || state.in_flight > 0
            || state.now().since(state.woke_at) < STALE
        {
            return;
        }
        let mut events = Events::default();
        if self.poller.wait(&mut events, Some(Duration::ZERO)).is_ok() {
            self.poller.settle(&events);
            state.handle_events(&events, &self.poller);
        }
        state.pump(&self.poller);
    }

    /// Submits an operation and waits for its result.
    pub(crate) fn call(&self, op: Op<'_>, buffer: Lent) -> Outcome {
        let mut state = self.lock();
        state.read_clock();
        self.check_sockets_first(&mut state);
        let ticket = state.new_ticket();
        let (op, state) = self.take(state, op, buffer, Target::Caller(ticket))?;
        // The buffer is lent from here on and has to be taken back before returning, also after a
        // panic. That needs the lock, so its guard is moved into `drive_on`, which releases it when
        // it unwinds.
        let hold = Hold { engine: self, op, ticket };
        let outcome =
            self.drive_on(state, Waits::Ticket(ticket), None, |state| state.take_outcome(ticket));
        match outcome {
            Ok(Some(outcome)) => {
                std::mem::forget(hold);
                outcome
            }
            Ok(None) => Err(Error::new(ErrorKind::System, "the loop has ended")),
            Err(error) => Err(error),
        }
    }

    /// Accesses the state without driving the loop.
    pub(crate) fn peek<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.lock())
    }

    /// Abandons an operation that a ticket was taken for.
    pub(crate) fn give_up(&self, op: OpId, ticket: Ticket) {
        drop(Hold { engine: self, op, ticket });
    }

    /// Whether this process is a forked child of the one that made the engine: the sockets and the
    /// poller belong to the parent, and the lock may be held by a thread that the child lacks.
    pub(crate) fn is_forked(&self) -> bool {
        std::process::id() != self.owner
    }

    /// Submits an operation without waiting for its result. Does nothing in a forked child.
    pub(crate) fn forget(&self, op: Op<'_>) {
        if self.is_forked() {
            return;
        }
        let _ = self.submit(op, Lent::NONE, Target::Nobody);
    }

    /// Accesses the state after driving what is due.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        state.read_clock();
        state.pump(&self.poller);
        let seen = look(&mut state);
        self.send(&mut state, true);
        seen
    }

    /// Stops the volume, for at most `bound`. Does nothing in a forked child.
    pub(crate) fn stop(&self, bound: Duration) {
        if self.is_forked() {
            return;
        }
        let end = Instant::now() + bound;
        let mut state = self.lock();
        let ticket = state.new_ticket();
        let now = state.read_clock();
        match state.volume.submit(Op::Stop, now) {
            Ok(id) => {
                state.begin(id, Lent::NONE, Target::Caller(ticket));
                drop(state);
                let _ = self
                    .drive(Waits::Ticket(ticket), Some(end), |state| state.take_outcome(ticket));
                state = self.lock();
            }
            Err(_) => state.cancel_target(&Target::Caller(ticket)),
        }
        state.pump(&self.poller);
        state.stopped = true;
        for (thread, _) in &state.parked {
            thread.unpark();
        }
        self.poller.waker().wake();
    }
}

/// Guard of a blocking caller's buffer. If the caller leaves before its operation is over (a panic,
/// a poller that fails), it takes the buffer back, so that nothing refers to it any more.
struct Hold<'a> {
    engine: &'a Engine,
    op: OpId,
    ticket: Ticket,
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        let mut state = self.engine.lock();
        state.read_clock();
        state.abandon(self.op, self.ticket, &self.engine.poller);
        self.engine.wake_leader(&state);
    }
}
