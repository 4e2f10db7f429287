//! The loop: what carries the core's bytes.
//!
//! There is one lock, and whoever has to wait leads: it sleeps for all (without the lock), then does for all what there is to
//! do. A thread that finds a leader asleep sends its own records and parks until its operation is over, or until the
//! leader has its own answer and leaves. So a single thread never hands anything to another one, and a 4 KiB read is one
//! write, one wait, one read.
//!
//! What was promised to whom is kept under names of its own ([`Ticket`], [`QueueId`]), never under the slot of an operation: the
//! core gives that slot to the next operation while the owner of the last one is still on its way to look.

mod buffers;
mod connections;
mod outcome;

mod state;
#[cfg(test)]
mod tests;
mod trace;
mod transfer;
mod wait;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub(crate) use buffers::Lent;
pub(crate) use outcome::{Outcome, Owned};
pub(crate) use state::{QueueId, State, Target, Ticket};

use wait::Wait;

use brickwire_core::OpId;
use brickwire_core::volume::{Op, SubmitError};

use crate::net::{Events, Poller};
use crate::{Error, ErrorKind, Options};

/// An idle volume that nobody drove for so long may have lost its connections: look before something is sent on them.
const STALE: Duration = Duration::from_millis(100);
/// How long the background thread leaves the lead to callers that come one after the other.
const YIELD: Duration = Duration::from_millis(10);
/// A queue's operations that wait for company before they are sent.
const UNSENT_MAX: usize = 16;

/// A volume's loop.
pub(crate) struct Engine {
    state: Mutex<State>,
    poller: Poller,
    spin: Duration,
    /// The process that made it.
    owner: u32,
}

thread_local! {
    /// Whose callback this thread runs (the engine's address): what that submits there is sent when the callbacks are through.
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

    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Is this thread inside of one of our callbacks?
    fn in_callback(&self) -> bool {
        CALLBACK_OF.get() == self.address()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A thread that panicked under the lock has left a state that is only ever changed in whole steps of the core, and
        // has taken its own buffer back (`Hold`).
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Submits an operation. Waits while the volume's tables are full.
    pub(crate) fn submit(&self, op: Op<'_>, buffer: Lent, target: Target) -> Result<OpId, Error> {
        let mut state = self.lock();
        state.look_at_clock();
        self.look_first(&mut state);
        // A blocking caller leads in a moment.
        let leads = matches!(target, Target::Caller(_));
        let (id, mut state) = self.take(state, op, buffer, target)?;
        self.send(&mut state, leads);
        Ok(id)
    }

    /// The same, but it may wait for company before it is sent: at the latest until this thread waits.
    pub(crate) fn submit_lazily(
        &self,
        op: Op<'_>,
        buffer: Lent,
        target: Target,
    ) -> Result<OpId, Error> {
        let mut state = self.lock();
        state.look_at_clock();
        let (id, mut state) = self.take(state, op, buffer, target)?;
        state.unsent += 1;
        if state.unsent >= UNSENT_MAX {
            self.send(&mut state, false);
        }
        Ok(id)
    }

    /// Sends what was submitted lazily.
    pub(crate) fn flush(&self) {
        let mut state = self.lock();
        state.look_at_clock();
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
                    // What is over already makes room when it has been told.
                    state.pump(&self.poller);
                    looked = true;
                }
                Err(SubmitError::Busy(_)) if state.in_flight > 0 => {
                    state = if state.leading {
                        self.follow(state, Waits::Room, None)
                    } else {
                        self.lead(state, Waits::Room, None)?
                    };
                    looked = false;
                }
                Err(error) => {
                    state.cancel_target(target);
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

    /// Nobody may have driven for a while: hears what the sockets have to say before it is sent on them.
    fn look_first(&self, state: &mut State) {
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
            state.woke(&events, &self.poller);
        }
        state.pump(&self.poller);
    }

    /// Submits an operation and waits for its end.
    pub(crate) fn call(&self, op: Op<'_>, buffer: Lent) -> Outcome {
        let mut state = self.lock();
        state.look_at_clock();
        self.look_first(&mut state);
        let ticket = state.new_ticket();
        let (op, state) = self.take(state, op, buffer, Target::Caller(ticket))?;
        // From here on the buffer is not ours: however this ends, it is taken back first. (For that the lock is needed, so it is
        // moved away: a panic further down gives it back on its way up.)
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

    /// Drives the loop until `ready` says something, or until `end`.
    pub(crate) fn drive<T>(
        &self,
        who: Waits,
        end: Option<Instant>,
        ready: impl FnMut(&mut State) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let mut state = self.lock();
        state.look_at_clock();
        self.drive_on(state, who, end, ready)
    }

    /// The same, by whoever has the lock already.
    fn drive_on<'a, T>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        who: Waits,
        end: Option<Instant>,
        mut ready: impl FnMut(&mut State) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        loop {
            state.pump(&self.poller);
            if !state.callbacks.is_empty() && !self.in_callback() {
                state = self.run_callbacks(state);
                continue;
            }
            let found = ready(&mut state);
            if found.is_some() || end.is_some_and(|end| Instant::now() >= end) {
                if state.leading {
                    self.wake_leader(&state);
                } else {
                    state.caller_left = state.now();
                    if let Some(next) = state.next_leader() {
                        next.unpark();
                    }
                }
                return Ok(found);
            }
            state = if state.leading {
                self.follow(state, who, end)
            } else {
                self.lead(state, who, end)?
            };
        }
    }

    /// Runs what waits to be called, without the lock; meanwhile somebody else may lead.
    fn run_callbacks<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        if !state.leading
            && let Some(next) = state.next_leader()
        {
            next.unpark();
        }
        while let Some(callback) = state.callbacks.pop_front() {
            drop(state);
            let outer = CALLBACK_OF.replace(self.address());
            // A callback's panic is not that of the thread that happens to drive: the panic hook has reported it.
            let _ = catch_unwind(AssertUnwindSafe(callback));
            CALLBACK_OF.set(outer);
            state = self.lock();
        }
        state.look_at_clock();
        // Whoever took the lead meanwhile may sleep for what a callback has brought about.
        state.leader_due |= state.leading && state.leader == Waits::Other;
        self.wake_leader(&state);
        state
    }

    /// Sleeps for all, and does what there is to do.
    fn lead<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        who: Waits,
        end: Option<Instant>,
    ) -> Result<MutexGuard<'a, State>, Error> {
        let wait = state.prepare_wait(who, end);
        state.leading = true;
        state.leader = who;
        state.leader_due = false;
        let (state, waited) = match wait {
            Wait::Any { timeout } => {
                drop(state);
                let mut events = Events::default();
                let waited = self.wait(&mut events, timeout);
                let mut state = self.awake();
                self.poller.settle(&events);
                state.woke(&events, &self.poller);
                (state, waited)
            }
            Wait::One { conn, socket } => {
                let mut staging = state.take_staging();
                let asked = state.first_read(conn, staging.len());
                drop(state);
                let got = socket.read(&mut staging[..asked]);
                drop(socket);
                let mut state = self.awake();
                state.came(conn, staging, asked, got, &self.poller);
                (state, Ok(()))
            }
        };
        match waited {
            Ok(()) => Ok(state),
            Err(error) => Err(Error::io("cannot wait for sockets", &error)),
        }
    }

    fn awake(&self) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        state.look_at_clock();
        state.leading = false;
        state
    }

    fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> std::io::Result<()> {
        if !self.spin.is_zero() {
            let begin = Instant::now();
            while begin.elapsed() < self.spin {
                self.poller.wait(events, Some(Duration::ZERO))?;
                if !events.is_empty() {
                    return Ok(());
                }
            }
        }
        self.poller.wait(events, timeout)
    }

    /// Somebody else sleeps for us.
    fn follow<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        who: Waits,
        end: Option<Instant>,
    ) -> MutexGuard<'a, State> {
        self.wake_leader(&state);
        if who != Waits::Background {
            state.company_at = state.now();
        }
        let me = std::thread::current();
        let id = me.id();
        state.parked.push((me, who));
        drop(state);
        match end {
            Some(end) => std::thread::park_timeout(end.saturating_duration_since(Instant::now())),
            None => std::thread::park(),
        }
        let mut state = self.lock();
        state.look_at_clock();
        state.parked.retain(|(thread, waits)| thread.id() != id || *waits != who);
        state
    }

    /// A leader is woken that does not know of the newest deadline, of callbacks that are due, or that its own operation is
    /// over: another thread may have found its connection broken.
    fn wake_leader(&self, state: &State) {
        if state.leading
            && (state.leader_due || state.deadline_moved() || !state.callbacks.is_empty())
        {
            self.poller.waker().wake();
        }
    }

    /// Looks at the volume as it stands.
    pub(crate) fn peek<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.lock())
    }

    /// Nobody waits for this any more.
    pub(crate) fn give_up(&self, op: OpId, ticket: Ticket) {
        drop(Hold { engine: self, op, ticket });
    }

    /// Submits what nobody waits for.
    pub(crate) fn forget(&self, op: Op<'_>) {
        let _ = self.submit(op, Lent::NONE, Target::Nobody);
    }

    /// Looks at the volume, driving what is due first.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        state.look_at_clock();
        state.pump(&self.poller);
        let seen = look(&mut state);
        self.send(&mut state, true);
        seen
    }

    /// A thread that leads when nobody else does, until the volume stops. To callers that come one after the other it
    /// leaves the lead: being handed an answer by another thread costs more than the answer.
    pub(crate) fn lead_in_background(&self) {
        let mut state = self.lock();
        state.look_at_clock();
        while !state.stopped {
            state.pump(&self.poller);
            if !state.callbacks.is_empty() {
                state = self.run_callbacks(state);
                continue;
            }
            let recent = state.now().since(state.caller_left) < YIELD;
            let end = Some(Instant::now() + YIELD);
            if state.leading || (recent && state.in_flight == 0) {
                state = self.follow(state, Waits::Background, end);
            } else {
                match self.lead(state, Waits::Background, None) {
                    Ok(led) => state = led,
                    Err(_) => return,
                }
            }
        }
    }

    /// Ends everything: at most `bound`, usually at once.
    pub(crate) fn stop(&self, bound: Duration) {
        // In a forked child the sockets, and what waits for them, are the parent's: nothing of it is touched.
        if std::process::id() != self.owner {
            return;
        }
        let end = Instant::now() + bound;
        let mut state = self.lock();
        let ticket = state.new_ticket();
        let now = state.look_at_clock();
        match state.volume.submit(Op::Stop, now) {
            Ok(id) => {
                state.begin(id, Lent::NONE, Target::Caller(ticket));
                drop(state);
                let _ = self
                    .drive(Waits::Ticket(ticket), Some(end), |state| state.take_outcome(ticket));
                state = self.lock();
            }
            Err(_) => state.cancel_target(Target::Caller(ticket)),
        }
        state.pump(&self.poller);
        state.stopped = true;
        for (thread, _) in &state.parked {
            thread.unpark();
        }
        self.poller.waker().wake();
    }
}

/// A caller's buffer is in use. If the caller is on its way out (a panic, a loop that cannot wait any more) before its
/// operation is over, the buffer is taken back before it goes: nobody follows it any more.
struct Hold<'a> {
    engine: &'a Engine,
    op: OpId,
    ticket: Ticket,
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        let mut state = self.engine.lock();
        state.look_at_clock();
        state.abandon(self.op, self.ticket, &self.engine.poller);
        self.engine.wake_leader(&state);
    }
}

/// What a parked thread waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waits {
    Ticket(Ticket),
    Queue(QueueId),
    /// Room in the volume's tables.
    Room,
    /// Something that whoever brings it about knows how to wake.
    Other,
    /// The lead, if nobody else has it.
    Background,
}
