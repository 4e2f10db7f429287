//! From received bytes to calls: which bytes are taken, and why a connection stops being read.
//!
//! A connection stops ([`Intake::Wait`](super::Intake::Wait)) when its next call needs something
//! that is not free: a slot for the call, a block to gather it in, or a buffer of the storage. It
//! then waits in one of the queues of [`wait_queues`](super::wait_queues), and the adapter is told
//! to read on with [`Output::Resume`](super::Output::Resume).

use super::connections::CloseReason;
use super::intake::{Incoming, IntakeState, Progress};
use super::state::{Handled, Host};
use super::wait_queues::WaitQueue;
use super::{Exports, Payload, Place, Server, Storage};
use crate::id::ConnId;
use crate::rpc::PeerError;
use crate::time::Instant;

/// Result of one step over received bytes.
enum Step {
    /// A call was taken; so many bytes are used. The next call may follow.
    Next(usize),
    /// Nothing more can be taken now; so many bytes are used.
    Stop(usize),
}

impl Server<'_> {
    /// Takes bytes that were read from `conn`. Returns how many are used; ask `intake` again before
    /// handing over the rest.
    pub fn received<E: Exports, S: Storage>(
        &mut self,
        conn: ConnId,
        bytes: &[u8],
        now: Instant,
        exports: &E,
        storage: &mut S,
    ) -> usize {
        self.state.at(now);
        let mut host = Host { exports, storage };
        let had_memory = self.state.receive_started(conn);
        let used = match self.take(conn, bytes, &mut host) {
            Ok(used) => {
                self.state.received_bytes(conn, used, had_memory);
                used
            }
            Err(error) => {
                self.end(conn, CloseReason::Peer(error), host.storage);
                bytes.len()
            }
        };
        self.end_broken(host.storage);
        self.wake_waiters();
        used
    }

    /// `n` bytes were read into the place that [`Intake::Place`](super::Intake::Place) named.
    pub fn placed<E: Exports, S: Storage>(
        &mut self,
        conn: ConnId,
        n: usize,
        now: Instant,
        exports: &E,
        storage: &mut S,
    ) {
        self.state.at(now);
        let connection = self.state.connections.get_mut(conn);
        let complete = connection.is_some_and(|connection| connection.intake.placed(n));
        self.state.received_bytes(conn, n, true);
        if complete {
            self.received(conn, &[], now, exports, storage);
        }
    }

    /// Takes as many calls as `bytes` hold and as there is room for.
    fn take<E: Exports, S: Storage>(
        &mut self,
        conn: ConnId,
        bytes: &[u8],
        host: &mut Host<'_, E, S>,
    ) -> Result<usize, PeerError> {
        let mut used = 0;
        loop {
            match self.take_one(conn, bytes.get(used..).unwrap_or_default(), host)? {
                Step::Next(n) => used += n,
                Step::Stop(n) => return Ok(used + n),
            }
        }
    }

    /// Takes the bytes of at most one call.
    fn take_one<E: Exports, S: Storage>(
        &mut self,
        conn: ConnId,
        bytes: &[u8],
        host: &mut Host<'_, E, S>,
    ) -> Result<Step, PeerError> {
        let Some(connection) = self.state.open_connection(conn) else {
            return Ok(Step::Stop(bytes.len()));
        };
        if connection.starved {
            return Ok(Step::Stop(0));
        }
        if let Some(place) = connection.intake.place() {
            if place.len > 0 {
                return Ok(Step::Stop(0));
            }
            // The payload of a WRITE is complete in its buffer.
            let place = Place { buffer: place.buffer, at: 0, len: place.at };
            let record = connection.intake.gathered(conn, &self.records);
            let handled = if connection.long_write.is_some() {
                self.state.write_part(conn, record, place, host)?
            } else {
                self.state.handle(conn, record, Some(Payload::Buffer(place)), host)?
            };
            return Ok(self.after_call(conn, handled, 0, 0));
        }
        match self.advance(conn, bytes)? {
            Progress::More { used } | Progress::Stop { used } => Ok(Step::Stop(used)),
            Progress::Starved { used } => {
                self.state.connections.wait(conn, Some(WaitQueue::Blocks));
                Ok(Step::Stop(used))
            }
            Progress::WriteHead { used, len } if len > self.state.limits.transfer_bytes => {
                let intake = self.intake_of_long_call(conn, len)?;
                let record = intake.gathered(conn, &self.records);
                let handled = self.state.begin_long_write(conn, record, len)?;
                Ok(self.after_call(conn, handled, used, 0))
            }
            Progress::WriteHead { used, len } => {
                self.reserve_payload(conn, len, host)?;
                Ok(Step::Stop(used))
            }
            Progress::TooLong { used, len } => {
                let intake = self.intake_of_long_call(conn, len)?;
                let record = intake.gathered(conn, &self.records);
                let handled = self.state.refuse_long_call(conn, record)?;
                Ok(self.after_call(conn, handled, used, 0))
            }
            Progress::Part { used, left } => {
                let long = self.state.connections.get(conn).and_then(|conn| conn.long_write);
                let handled = match long {
                    // The connection was woken for another reason.
                    Some(write) if write.pending => Handled::NotNow { wants: None },
                    Some(write) if !write.answered => {
                        let len = left.min(self.state.part_bytes());
                        self.reserve_payload(conn, len, host)?;
                        return Ok(Step::Stop(used));
                    }
                    _ => Handled::Done,
                };
                Ok(self.after_call(conn, handled, used, 0))
            }
            Progress::Dropped { used } => {
                let handled = self.state.answer_refused(conn, host);
                Ok(self.after_call(conn, handled, used, 0))
            }
            Progress::Gathered { used } => {
                let intake = self.state.connections.get(conn).map(|connection| connection.intake);
                let record = intake.unwrap_or_default().gathered(conn, &self.records);
                let handled = self.state.handle(conn, record, None, host)?;
                Ok(self.after_call(conn, handled, used, 0))
            }
            Progress::Staged { used, len } => {
                let record = bytes.get(used..used + len).unwrap_or_default();
                let handled = self.state.handle(conn, record, None, host)?;
                Ok(self.after_call(conn, handled, used, len))
            }
        }
    }

    /// Consumes bytes with the connection's parser.
    fn advance(&mut self, conn: ConnId, bytes: &[u8]) -> Result<Progress, PeerError> {
        let transfer_max = self.state.limits.transfer_bytes;
        let may_take_block = !self.state.connections.must_queue(conn, WaitQueue::Blocks);
        let Some(connection) = self.state.connections.get_mut(conn) else {
            return Ok(Progress::Stop { used: 0 });
        };
        let (records, logged_in) = (&mut self.records, connection.login.is_some());
        let intake = &mut connection.intake;
        let progress =
            intake.advance(conn, bytes, records, transfer_max, may_take_block, logged_in);
        if connection.wants == Some(WaitQueue::Blocks) && connection.intake.has_block() {
            self.state.connections.stop_waiting(conn);
        }
        progress
    }

    /// Parser state for a call that is too long to be gathered; `len` bytes follow its head.
    fn intake_of_long_call(&self, conn: ConnId, len: u32) -> Result<IntakeState, PeerError> {
        match self.state.connections.get(conn) {
            Some(connection) if connection.login.is_some() => Ok(connection.intake),
            // There is no valid fd, and nothing that has to be answered: disconnect rather than
            // receive all of it.
            _ => {
                let max = self.records.block_bytes() as u32;
                Err(PeerError::RecordTooLong { len, max })
            }
        }
    }

    /// Reserves a buffer for the `len` payload bytes of a WRITE whose head is gathered. Without one
    /// the connection waits.
    fn reserve_payload<E, S: Storage>(
        &mut self,
        conn: ConnId,
        len: u32,
        host: &mut Host<'_, E, S>,
    ) -> Result<(), PeerError> {
        let Some(connection) = self.state.connections.get_mut(conn) else { return Ok(()) };
        if connection.login.is_none() {
            // Not logged in, so there is no valid fd: disconnect rather than buffer the payload.
            let max = self.records.block_bytes() as u32;
            return Err(PeerError::RecordTooLong { len, max });
        }
        match host.storage.reserve(len) {
            Some(buffer) => {
                connection.intake.payload = Some(Incoming { buffer, len, at: 0 });
                self.state.connections.stop_waiting(conn);
            }
            None => self.state.connections.wait(conn, Some(WaitQueue::Storage)),
        }
        Ok(())
    }

    /// After a call was handled: `before` bytes are used in any case, the `record` bytes behind
    /// them only if the call was taken.
    fn after_call(&mut self, conn: ConnId, handled: Handled, before: usize, record: usize) -> Step {
        match handled {
            Handled::Done => {
                if let Some(connection) = self.state.connections.get_mut(conn) {
                    connection.intake.finish_record(&mut self.records);
                    (connection.long_write, connection.refused) = (None, None);
                }
                self.state.connections.stop_waiting(conn);
                Step::Next(before + record)
            }
            Handled::Part => {
                if let Some(connection) = self.state.connections.get_mut(conn) {
                    connection.intake.give_unneeded_block(&mut self.records);
                }
                self.state.connections.stop_waiting(conn);
                Step::Next(before)
            }
            Handled::NotNow { wants } => {
                self.state.connections.wait(conn, wants);
                Step::Stop(before)
            }
        }
    }
}
