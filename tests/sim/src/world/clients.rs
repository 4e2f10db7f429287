//! Clients: their start and end, their outputs, and the ends of their operations.

use brickwire_core::OpId;
use brickwire_core::volume::{Op, OpError, Output, SubmitError, Volume};

use super::{Event, World};
use crate::checkers::register::{Author, Outcome, Reader, Span};
use crate::checkers::{Violation, limits, waiting};
use crate::client::{Client, Done, Got, Handle, Pending};
use crate::dice::Dice;
use crate::scenario::{ClientPlan, MS};
use crate::trace::Actor;

impl World {
    /// Starts a client. Returns its number.
    pub fn add_client(&mut self, plan: &ClientPlan) -> usize {
        let client = self.new_client(plan);
        self.clients.push(client);
        let number = self.clients.len() - 1;
        self.touch(Actor::Client(number));
        number
    }

    fn new_client(&mut self, plan: &ClientPlan) -> Client {
        let process = self.next_process;
        self.next_process += 1;
        let name = &self.cluster.volumes[plan.volume].name;
        let dice = Dice::new(self.scenario.seed ^ process << 32, "client");
        Client::new(plan, name, self.scenario.hosts, process, dice, self.now)
    }

    /// Another process takes the place of a client whose connections are gone already.
    pub(super) fn replace_client(&mut self, number: usize) {
        let plan = self.clients[number].plan.clone();
        let left = self.clients[number].left;
        let client = self.new_client(&plan);
        self.frozen.retain(|actor| *actor != Actor::Client(number));
        self.clients[number] = client;
        self.clients[number].left = left;
        self.schedule_turn(number, 0);
        self.touch(Actor::Client(number));
    }

    /// Submits an operation.
    pub(super) fn submit(
        &mut self,
        number: usize,
        op: Op<'_>,
        buffer: Vec<u8>,
        pending: Pending,
    ) -> Result<OpId, SubmitError> {
        let client = &mut self.clients[number];
        let id = client.volume.submit(op, self.now)?;
        client.buffers.insert(id, buffer);
        client.pending.insert(id, (self.now.as_nanos(), pending));
        self.note(Actor::Client(number), &[2, id.slot() as u64], || format!("submits {op:?}"));
        self.touch(Actor::Client(number));
        Ok(id)
    }

    /// Runs one operation to its end, for the script of a phase.
    pub fn ask(&mut self, number: usize, op: Op<'_>, buffer: Vec<u8>) -> Result<Done, Violation> {
        let mut id = None;
        let begun = self.run_until(waiting::CALM, |world| {
            id = world.submit(number, op, buffer.clone(), Pending::Script).ok();
            id.is_some()
        })?;
        let Some(id) = id.filter(|_| begun) else {
            return Err(waiting::never(&format!("a full table that {op:?} needs"), waiting::CALM));
        };
        let mut done = None;
        let over = self.run_until(waiting::CALM, |world| {
            done = world.clients[number].done.remove(&id);
            done.is_some()
        })?;
        match done.filter(|_| over) {
            Some(done) => Ok(done),
            None => Err(waiting::never(&format!("{op:?}"), waiting::CALM)),
        }
    }

    pub(super) fn pump_client(&mut self, number: usize) -> Result<(), Violation> {
        loop {
            while let Some(output) = self.clients[number].volume.poll(self.now) {
                self.client_output(number, output)?;
            }
            if !self.move_bytes(Actor::Client(number)) {
                break;
            }
        }
        let client = &self.clients[number];
        limits::client(&client.volume.in_use(), &client.plan.limits)
    }

    fn client_output(&mut self, number: usize, output: Output) -> Result<(), Violation> {
        let process = self.clients[number].process;
        match output {
            Output::Connect { conn } => {
                self.clients[number].dials.push(conn);
                let delay = self.latency();
                self.after(delay, Event::Dial { client: number, process, conn });
            }
            Output::Transmit { conn } => {
                if let Some(link) = self.client_link(number, conn) {
                    self.link_mut(link).up.has_more = true;
                }
            }
            Output::Resume { conn } => {
                if let Some(link) = self.client_link(number, conn) {
                    self.link_mut(link).down.must_read = true;
                }
            }
            Output::Close { conn } => {
                self.clients[number].dials.retain(|dial| *dial != conn);
                if let Some(link) = self.client_link(number, conn) {
                    self.note(Actor::Client(number), &[3, link as u64], || {
                        format!("closes link {link}")
                    });
                    self.client_end_closes(link);
                }
            }
            Output::Zero(range) => {
                let buffer = self.clients[number].buffers.get_mut(&range.op).expect("a buffer");
                buffer[range.at as usize..][..range.len as usize].fill(0);
            }
            Output::Complete { op, result } => self.completed(number, op, result)?,
            Output::Changed => {}
        }
        Ok(())
    }

    fn completed(
        &mut self,
        number: usize,
        op: OpId,
        result: Result<u32, OpError>,
    ) -> Result<(), Violation> {
        let client = &mut self.clients[number];
        let got = Got::of(client.volume.answer(op));
        let (Some(buffer), Some((began, pending))) =
            (client.buffers.remove(&op), client.pending.remove(&op))
        else {
            let message = format!("client {number}: an operation ended twice");
            return Err(Violation::new("completions", message));
        };
        // A client that does not run ends nothing.
        let limit = client.plan.op_timeout_ms + (client.slept / MS) as u32;
        let count = result.unwrap_or(u32::MAX);
        self.note(Actor::Client(number), &[4, op.slot() as u64, count.into()], || {
            format!(
                "{} {pending:?}",
                match &result {
                    Ok(count) => format!("ends with {count}:"),
                    Err(error) => format!("ends with {error:?}:"),
                }
            )
        });
        self.ended.0 += u64::from(result.is_ok());
        self.ended.1 += 1;
        waiting::ended(began, self.now.as_nanos(), limit, &format!("{pending:?}"))?;
        self.check_fairness(number, &pending, &result)?;
        if let Pending::Script = pending {
            self.clients[number].done.insert(op, Done { result, got, buffer });
            return Ok(());
        }
        self.judge(number, pending, result, &got, &buffer)?;
        self.schedule_turn(number, 0);
        Ok(())
    }

    /// Without faults nothing fails, but for lack of room in the client's own tables.
    fn check_fairness(
        &self,
        number: usize,
        pending: &Pending,
        result: &Result<u32, OpError>,
    ) -> Result<(), Violation> {
        // A script judges for itself.
        let script = matches!(pending, Pending::Script);
        match result {
            Err(error)
                if !script
                    && self.scenario.rates.count == 0
                    && !matches!(error, OpError::Busy(_)) =>
            {
                let message =
                    format!("client {number}: {pending:?} failed without faults: {error}");
                Err(Violation::new("fairness", message))
            }
            _ => Ok(()),
        }
    }

    fn judge(
        &mut self,
        number: usize,
        pending: Pending,
        result: Result<u32, OpError>,
        got: &Got,
        buffer: &[u8],
    ) -> Result<(), Violation> {
        let now = self.next_tick();
        let (process, volume) = (self.clients[number].process, self.clients[number].plan.volume);
        let reader = self.reader(number);
        let register = &mut self.registers[volume];
        let whole = |count: u32| {
            if count as usize == buffer.len() {
                return Ok(());
            }
            let message = format!("{count} of {} bytes: {pending:?}", buffer.len());
            Err(Violation::new("completions", message))
        };
        match (&pending, result) {
            (Pending::Open { file, synced }, Ok(_)) => {
                let id = got.opened().expect("an open file");
                let author = Author { process, handle: self.next_handle, opened: now };
                self.next_handle += 1;
                let handle = Handle { file: *file, id, author, synced: *synced, spoilt: false };
                self.clients[number].handles.push(handle);
            }
            (Pending::Write { handle, tag }, Ok(count)) => {
                whole(count)?;
                register.wrote(*tag, Outcome::Acked, now);
                // O_DSYNC promises writes only.
                if handle.synced && !buffer.is_empty() {
                    register.synced(*tag, now);
                }
            }
            (Pending::Write { tag, .. }, Err(OpError::Errno(_) | OpError::NotConnected(_))) => {
                register.wrote(*tag, Outcome::Refused, now);
            }
            (Pending::Write { tag, .. }, Err(_)) => register.wrote(*tag, Outcome::Unknown, now),
            (Pending::Read { span, first }, Ok(count)) => {
                whole(count)?;
                register.read(*span, *first, buffer, reader, now)?;
            }
            (Pending::Flush { handle, span }, Ok(_)) => register.flushed(handle.author, *span, now),
            (Pending::Flush { handle, .. }, Err(OpError::Errno(_) | OpError::WritesLost)) => {
                self.lost_writes(number, handle.file);
            }
            (Pending::Close { handle }, Err(_)) => {
                self.lost_writes(number, handle.file);
            }
            _ => {}
        }
        Ok(())
    }

    /// The client was told that writes to a file may be lost: its handles of the file are to be
    /// closed.
    fn lost_writes(&mut self, number: usize, file: usize) {
        let client = &mut self.clients[number];
        for handle in client.handles.iter_mut().filter(|handle| handle.file == file) {
            handle.spoilt = true;
        }
        self.registers[client.plan.volume].told(client.process, file);
    }

    /// The span of a read or flush that begins now.
    pub fn span(&mut self, file: usize) -> Span {
        Span { file, start: self.next_tick() }
    }

    /// Checks what a script has read.
    pub fn check_read(
        &mut self,
        client: usize,
        span: Span,
        first: usize,
        bytes: &[u8],
    ) -> Result<(), Violation> {
        let (now, volume) = (self.next_tick(), self.clients[client].plan.volume);
        let reader = self.reader(client);
        self.registers[volume].read(span, first, bytes, reader, now)
    }

    /// The writes with which the reads of a client are compared.
    fn reader(&self, client: usize) -> Reader {
        let volume = self.clients[client].plan.volume;
        let has_copies = self.cluster.volumes[volume].shape.bricks() > 1;
        let alone = self.scenario.rates.count == 0 || !self.workers.contains(&client);
        match has_copies && !alone {
            true => Reader::OfOwn(self.clients[client].process),
            false => Reader::OfAll,
        }
    }

    /// The volume of a client, for reading its state.
    pub fn volume(&self, client: usize) -> &Volume<'static> {
        &self.clients[client].volume
    }
}
