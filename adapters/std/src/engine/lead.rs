//! The lead: one thread waits for the sockets on behalf of all others.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::MutexGuard;
use std::time::{Duration, Instant};

use super::state::{QueueId, State, Ticket};
use super::wait::Wait;
use super::{CALLBACK_OF, Engine};
use crate::Error;
use crate::net::Events;

/// How long the background thread leaves the lead to callers that follow each other.
const YIELD: Duration = Duration::from_millis(10);

/// The event that a parked thread waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waits {
    Ticket(Ticket),
    Queue(QueueId),
    /// Room in the volume's tables.
    Room,
    /// Something whose cause wakes the thread itself.
    Other,
    /// The lead.
    Background,
}

impl Engine {
    /// Drives the loop until `ready` returns a value, or until `end`.
    pub(crate) fn drive<T>(
        &self,
        who: Waits,
        end: Option<Instant>,
        ready: impl FnMut(&mut State) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let mut state = self.lock();
        state.read_clock();
        self.drive_on(state, who, end, ready)
    }

    /// As `drive`, for a caller that holds the lock.
    pub(super) fn drive_on<'a, T>(
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

    /// Runs the due callbacks without the lock. Another thread may lead meanwhile.
    fn run_callbacks<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        if !state.leading
            && let Some(next) = state.next_leader()
        {
            next.unpark();
        }
        while let Some(callback) = state.callbacks.pop_front() {
            drop(state);
            let outer = CALLBACK_OF.replace(self.address());
            // The panic of a callback must not unwind the thread that happens to drive; the panic
            // hook has reported it.
            let _ = catch_unwind(AssertUnwindSafe(callback));
            CALLBACK_OF.set(outer);
            state = self.lock();
        }
        state.read_clock();
        // A thread that took the lead meanwhile may wait for something that a callback has done.
        state.leader_due |= state.leading && state.leader == Waits::Other;
        self.wake_leader(&state);
        state
    }

    /// Waits for the sockets on behalf of all threads, then handles what happened.
    pub(super) fn lead<'a>(
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
                state.handle_events(&events, &self.poller);
                (state, waited)
            }
            Wait::One { conn, socket } => {
                let mut staging = state.take_staging();
                let asked = state.first_read(conn, staging.len());
                drop(state);
                let got = socket.read(&mut staging[..asked]);
                drop(socket);
                let mut state = self.awake();
                state.leader_read(conn, staging, asked, got, &self.poller);
                (state, Ok(()))
            }
        };
        match waited {
            Ok(()) => Ok(state),
            Err(error) => {
                // This thread leaves with the error; the others must not wait for it.
                if let Some(next) = state.next_leader() {
                    next.unpark();
                }
                Err(Error::io("cannot wait for sockets", &error))
            }
        }
    }

    fn awake(&self) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        state.read_clock();
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

    /// Parks until the leader, or another thread, wakes this one.
    pub(super) fn follow<'a>(
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
        state.read_clock();
        state.parked.retain(|(thread, waits)| thread.id() != id || *waits != who);
        state
    }

    /// Wakes the leader if the deadline has moved, if callbacks are due, or if its own operation is
    /// over because another thread found the connection broken.
    pub(super) fn wake_leader(&self, state: &State) {
        if state.leading
            && (state.leader_due || state.deadline_moved() || !state.callbacks.is_empty())
        {
            self.poller.waker().wake();
        }
    }

    /// Leads while no other thread does, until the volume stops. Callers that follow each other
    /// keep the lead: being handed a result by another thread costs more than the operation. Fails
    /// if it cannot wait for sockets; the caller then ends what relies on it, by `fail_callbacks`.
    pub(crate) fn lead_in_background(&self) -> Result<(), Error> {
        let mut state = self.lock();
        state.read_clock();
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
                state = self.lead(state, Waits::Background, None)?;
            }
        }
        Ok(())
    }

    /// Ends all operations in flight that have a callback, with this error.
    pub(crate) fn fail_callbacks(&self, error: &Error) {
        let mut state = self.lock();
        state.read_clock();
        state.fail_callbacks(error);
        state.pump(&self.poller);
        drop(self.run_callbacks(state));
    }
}
