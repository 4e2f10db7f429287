//! The loop: what carries the core's bytes.
//!
//! There is one lock, and whoever has to wait leads: it sleeps for all (without the lock), then does for all what there is to
//! do. A thread that finds a leader asleep sends its own records and parks until its operation is over, or until the
//! leader has its own answer and leaves. So a single thread never hands anything to another one, and a 4 KiB read is one
//! write, one wait, one read.

mod buffers;
mod outcome;
mod state;

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

pub(crate) use buffers::Lent;
pub(crate) use outcome::{Outcome, Owned};
pub(crate) use state::{QueueId, State, Target};

use brickwire_core::OpId;
use brickwire_core::volume::{Op, SubmitError};

use crate::net::{Events, Poller};
use crate::{Error, Options};

/// A volume's loop.
pub(crate) struct Engine {
    state: Mutex<State>,
    poller: Poller,
    spin: Duration,
}

impl Engine {
    pub(crate) fn new(
        config: brickwire_core::volume::Config,
        options: &Options,
        epoch: Instant,
    ) -> Result<Self, Error> {
        let poller = Poller::new().map_err(|error| Error::io("cannot wait for sockets", &error))?;
        let state = State::new(config, options, epoch)?;
        Ok(Self { state: Mutex::new(state), poller, spin: options.spin_time() })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // A thread that panicked under the lock has left a state that is only ever changed in whole steps of the core.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Submits an operation. Waits while the volume's tables are full.
    pub(crate) fn submit(&self, op: Op<'_>, buffer: Lent, target: Target) -> Result<OpId, Error> {
        let mut target = Some(target);
        let submitted = self.drive(None, |state| {
            let now = state.now();
            match state.volume.submit(op, now) {
                Ok(id) => {
                    if let Some(target) = target.take() {
                        state.begin(id, buffer, target);
                    }
                    Some(Ok(id))
                }
                Err(SubmitError::Busy(_)) if state.in_flight > 0 => None,
                Err(error) => Some(Err(Error::submit(error))),
            }
        })?;
        let id = submitted?;
        let mut state = self.lock();
        state.pump(&self.poller);
        self.wake_leader(&state);
        Ok(id)
    }

    /// Submits an operation and waits for its end.
    pub(crate) fn call(&self, op: Op<'_>, buffer: Lent) -> Outcome {
        let id = self.submit(op, buffer, Target::Caller)?;
        let slot = id.slot();
        let outcome = self.drive(Some(Waits::Op(slot)), |state| state.take_outcome(slot));
        match outcome {
            Ok(outcome) => outcome,
            Err(error) => {
                // The loop cannot wait any more. The buffer must come back before we leave.
                let mut state = self.lock();
                let now = state.now();
                state.volume.cancel(id, now);
                state.pump(&self.poller);
                state.take_outcome(slot).unwrap_or(Err(error))
            }
        }
    }

    /// Drives the loop until `ready` says something.
    pub(crate) fn drive<T>(
        &self,
        who: Option<Waits>,
        mut ready: impl FnMut(&mut State) -> Option<T>,
    ) -> Result<T, Error> {
        let mut state = self.lock();
        loop {
            state.pump(&self.poller);
            if let Some(callback) = state.callbacks.pop_front() {
                drop(state);
                callback();
                state = self.lock();
                continue;
            }
            if let Some(found) = ready(&mut state) {
                if !state.leading
                    && let Some(next) = state.next_leader()
                {
                    next.unpark();
                }
                return Ok(found);
            }
            state = if state.leading { self.follow(state, who) } else { self.lead(state)? };
        }
    }

    /// Sleeps for all, and does what there is to do.
    fn lead<'a>(&'a self, mut state: MutexGuard<'a, State>) -> Result<MutexGuard<'a, State>, Error> {
        let timeout = state.prepare_to_sleep();
        let mut events = Events::default();
        state.leading = true;
        drop(state);
        let waited = self.wait(&mut events, timeout);
        let mut state = self.lock();
        state.leading = false;
        self.poller.settle(&events);
        state.woke(&events, &self.poller);
        match waited {
            Ok(()) => Ok(state),
            Err(error) => Err(Error::io("cannot wait for sockets", &error)),
        }
    }

    fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
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
    fn follow<'a>(&'a self, mut state: MutexGuard<'a, State>, who: Option<Waits>) -> MutexGuard<'a, State> {
        self.wake_leader(&state);
        let me = std::thread::current();
        state.parked.push((me.clone(), who));
        drop(state);
        std::thread::park();
        let mut state = self.lock();
        let id = me.id();
        state.parked.retain(|(thread, _): &(Thread, _)| thread.id() != id);
        state
    }

    /// A leader that sleeps longer than the newest deadline allows is woken.
    fn wake_leader(&self, state: &State) {
        if state.leading && state.deadline_moved() {
            self.poller.waker().wake();
        }
    }

    /// Looks at the volume, driving what is due first.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        state.pump(&self.poller);
        look(&mut state)
    }

    /// A thread that leads whenever nobody else does, until the volume stops.
    pub(crate) fn lead_in_background(&self) {
        let _ = self.drive(None, |state| state.stopped.then_some(()));
    }

    /// Ends everything: at most `bound`, usually at once.
    pub(crate) fn stop(&self, bound: Duration) {
        let end = Instant::now() + bound;
        let Ok(id) = self.submit(Op::Stop, Lent::NONE, Target::Caller) else { return };
        let slot = id.slot();
        let _ = self.drive(Some(Waits::Op(slot)), |state| {
            (state.take_outcome(slot).is_some() || Instant::now() >= end).then_some(())
        });
        let mut state = self.lock();
        state.pump(&self.poller);
        state.stopped = true;
        for (thread, _) in state.parked.drain(..) {
            thread.unpark();
        }
        self.poller.waker().wake();
    }
}

/// What a parked thread waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waits {
    Op(usize),
    Queue(QueueId),
}
