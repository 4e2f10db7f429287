//! Deadlines of connections: for taking replies, for finishing a call, for logging in. A connection
//! that exceeds one is closed, because it holds what others may need.

use super::connections::{CloseReason, Connection};
use super::jobs::State as JobState;
use super::state::State;
use crate::id::ConnId;
use crate::time::Instant;

/// A connection that moves at least this many bytes within the stall timeout is not stalled.
pub(super) const MIN_PROGRESS_BYTES: u32 = 1 << 20;

impl State<'_> {
    /// Is it time to look for connections that exceeded a deadline? Resets the time if so.
    pub(super) fn take_due_check(&mut self) -> bool {
        self.next_check_at.take_if(|at| *at <= self.now).is_some()
    }

    /// The reason to close a connection, if it exceeded a deadline. Schedules the next look if it
    /// has deadlines ahead.
    pub(super) fn exceeded_deadline(&mut self, conn: ConnId) -> Option<CloseReason> {
        let deadlines = self.deadlines(self.open_connection(conn)?);
        let late =
            deadlines.into_iter().find(|(deadline, _)| deadline.is_some_and(|at| at <= self.now));
        if late.is_none() && deadlines.iter().any(|(deadline, _)| deadline.is_some()) {
            self.schedule_check();
        }
        late.map(|(_, why)| why)
    }

    /// The deadlines of a connection: for taking replies, for finishing a call, for logging in.
    fn deadlines(&self, connection: &Connection) -> [(Option<Instant>, CloseReason); 3] {
        let timeout = u64::from(self.config.stall_timeout_ms);
        // A connection that holds memory which others wait for has a quarter of the time.
        let much =
            connection.intake.keeps_memory() || connection.unsent >= self.limits.unsent_bytes;
        let patience = if much && self.connections.anyone_waits() { timeout / 4 } else { timeout };
        // While the next part of a reply is read, the connection waits for the storage and not for
        // the client.
        let waits = connection.first_out.and_then(|id| self.jobs.get(id)).is_some_and(
            |job| matches!(job.state, JobState::Ready { head, data: None } if head.len() == 0),
        );
        let takes = (connection.first_out.is_some() && !waits)
            .then(|| connection.stalled_since.plus_millis(patience));
        let gives =
            connection.intake.keeps_memory() && !connection.starved && !connection.stall_reset;
        let gives = gives.then(|| connection.slow_since.plus_millis(patience));
        let says = connection.login.is_none() && !connection.fetched_volfile;
        let says = says.then(|| connection.since.plus_millis(timeout));
        [(takes, CloseReason::Stalled), (gives, CloseReason::Stalled), (says, CloseReason::NoLogin)]
    }

    fn check_interval_ms(&self) -> u64 {
        u64::from(self.config.stall_timeout_ms) / 8 + 1
    }

    /// Schedules a look for exceeded deadlines.
    pub(super) fn schedule_check(&mut self) {
        if self.next_check_at.is_none() {
            self.next_check_at = Some(self.now.plus_millis(self.check_interval_ms()));
        }
    }

    /// Called before received bytes are taken. Returns whether the connection already holds memory
    /// for an unfinished call.
    pub(super) fn receive_started(&mut self, conn: ConnId) -> bool {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(conn) else { return false };
        if core::mem::take(&mut connection.stall_reset) {
            (connection.slow_since, connection.received) = (now, 0);
        }
        connection.intake.keeps_memory()
    }

    /// Called after bytes were taken. A connection that holds memory for a call must receive
    /// `MIN_PROGRESS_BYTES` in each stall timeout.
    pub(super) fn received_bytes(&mut self, conn: ConnId, bytes: usize, had_memory: bool) {
        let now = self.now;
        let Some(connection) =
            self.connections.get_mut(conn).filter(|connection| connection.intake.keeps_memory())
        else {
            return;
        };
        connection.received =
            connection.received.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        if !had_memory || connection.received >= MIN_PROGRESS_BYTES {
            (connection.slow_since, connection.received) = (now, 0);
        }
        self.schedule_check();
    }
}
