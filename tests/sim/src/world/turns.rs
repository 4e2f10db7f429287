//! The workload: what a client does when it is its turn.

use brickwire_core::volume::{Op, OpenFlags, SubmitError};

use super::{Event, World};
use crate::checkers::Violation;
use crate::checkers::register::Register;
use crate::client::{Handle, Pending};
use crate::scenario::{BLOCK, MS};
use crate::trace::Actor;

/// The name of a file.
pub fn file_name(file: usize) -> String {
    format!("file-{file}")
}

impl World {
    /// Lets these clients begin their work.
    pub fn begin_work(&mut self, workers: &[usize]) {
        (self.working, self.workers) = (true, workers.to_vec());
        for client in workers {
            self.clients[*client].left = self.scenario.workload.operations;
            self.schedule_turn(*client, 0);
        }
    }

    /// Whether some client has work left or in progress.
    pub fn is_at_work(&self) -> bool {
        self.clients.iter().any(|client| client.left > 0 || !client.pending.is_empty())
    }

    /// Clients begin nothing new.
    pub fn end_work(&mut self) {
        self.working = false;
        self.clients.iter_mut().for_each(|client| client.left = 0);
    }

    pub(super) fn schedule_turn(&mut self, number: usize, delay: u64) {
        let client = &mut self.clients[number];
        if self.working && client.left > 0 && !client.turn_due {
            client.turn_due = true;
            let process = client.process;
            self.after(delay, Event::Turn { client: number, process });
        }
    }

    pub(super) fn turn(&mut self, number: usize) -> Result<(), Violation> {
        if self.frozen.contains(&Actor::Client(number)) {
            self.schedule_turn(number, 100 * MS);
            return Ok(());
        }
        while self.working
            && self.clients[number].left > 0
            && self.clients[number].pending.len() < self.clients[number].plan.depth
        {
            let begun = self.begin(number);
            match begun {
                Ok(true) => self.clients[number].left -= 1,
                // Everything open is about to be closed: a completion brings the next turn.
                Ok(false) => return Ok(()),
                Err(SubmitError::Busy(_)) => {
                    self.schedule_turn(number, MS);
                    return Ok(());
                }
                Err(error) => {
                    let message = format!("client {number}: an operation was not taken: {error}");
                    return Err(Violation::new("completions", message));
                }
            }
            let pause = self.scenario.workload.pause;
            if pause > 0 {
                let pause = self.clients[number].dice.skewed(0, pause);
                self.schedule_turn(number, pause);
                return Ok(());
            }
        }
        Ok(())
    }

    /// Begins one operation. False: there is nothing to do before another one ends.
    fn begin(&mut self, number: usize) -> Result<bool, SubmitError> {
        let client = &self.clients[number];
        let opening = client.pending.values();
        let opening =
            opening.filter(|(_, pending)| matches!(pending, Pending::Open { .. })).count();
        let spoilt = client.handles.iter().copied().find(|handle| handle.spoilt);
        if let Some(handle) = spoilt {
            return self.close(number, handle).map(|()| true);
        }
        if client.handles.len() + opening < client.plan.open {
            return self.open(number).map(|()| true);
        }
        let client = &mut self.clients[number];
        if client.handles.is_empty() {
            return Ok(false);
        }
        let handle = client.handles[client.dice.below(client.handles.len())];
        let [writes, reads, flushes] = self.scenario.workload.mix;
        let which = client.dice.below(21);
        if which < writes {
            self.write_blocks(number, handle)
        } else if which < writes + reads {
            self.read_blocks(number, handle)
        } else if which < writes + reads + flushes {
            self.flush(number, handle)
        } else {
            self.other(number, handle)
        }
        .map(|()| true)
    }

    fn open(&mut self, number: usize) -> Result<(), SubmitError> {
        let files = self.scenario.workload.files;
        let dice = &mut self.clients[number].dice;
        let (file, synced) = (dice.below(files), dice.below(8) == 0);
        let sync = if synced { OpenFlags::SYNC } else { OpenFlags(0) };
        let (path, flags) = (file_name(file), OpenFlags::READ_WRITE.and(sync));
        let op = Op::Open { path: path.as_bytes(), flags, mode: 0 };
        self.submit(number, op, Vec::new(), Pending::Open { file, synced }).map(drop)
    }

    fn close(&mut self, number: usize, handle: Handle) -> Result<(), SubmitError> {
        let op = Op::Close { file: handle.id };
        self.submit(number, op, Vec::new(), Pending::Close { handle })?;
        self.clients[number].handles.retain(|other| other.id != handle.id);
        Ok(())
    }

    /// A random range of blocks.
    fn blocks(&mut self, number: usize) -> (usize, usize) {
        let workload = &self.scenario.workload;
        let dice = &mut self.clients[number].dice;
        let count = 1 + dice.below(workload.transfer.min(workload.blocks));
        (dice.below(workload.blocks - count + 1), count)
    }

    fn write_blocks(&mut self, number: usize, handle: Handle) -> Result<(), SubmitError> {
        let (first, count) = self.blocks(number);
        let now = self.next_tick();
        let volume = self.clients[number].plan.volume;
        let how = self.clients[number].dice.below(12);
        let zeroes = how < 2;
        let register = &mut self.registers[volume];
        let tag = register.write(handle.author, handle.file, (first, count), zeroes, now);
        let (file, offset, len) = (handle.id, (first * BLOCK) as u64, (count * BLOCK) as u64);
        let op = match how {
            0 => Op::Discard { file, offset, len },
            1 => Op::WriteZeroes { file, offset, len },
            _ => Op::Write { file, offset, len: len as u32 },
        };
        let data = if zeroes { Vec::new() } else { Register::content(tag, count) };
        let taken = self.submit(number, op, data, Pending::Write { handle, tag });
        if taken.is_err() {
            self.registers[volume].withdrawn(tag);
        }
        self.note(Actor::Client(number), &[5, tag.into()], || {
            format!("write {tag}: blocks {first} to {} of file {}", first + count, handle.file)
        });
        taken.map(drop)
    }

    fn read_blocks(&mut self, number: usize, handle: Handle) -> Result<(), SubmitError> {
        let (first, count) = self.blocks(number);
        let span = self.span(handle.file);
        let (offset, len) = ((first * BLOCK) as u64, (count * BLOCK) as u32);
        let op = Op::Read { file: handle.id, offset, len, fill: false };
        let room = vec![0xee; len as usize];
        self.submit(number, op, room, Pending::Read { span, first }).map(drop)
    }

    fn flush(&mut self, number: usize, handle: Handle) -> Result<(), SubmitError> {
        let span = self.span(handle.file);
        let data_only = self.clients[number].dice.below(2) == 0;
        let op = Op::Flush { file: handle.id, data_only };
        self.submit(number, op, Vec::new(), Pending::Flush { handle, span }).map(drop)
    }

    fn other(&mut self, number: usize, handle: Handle) -> Result<(), SubmitError> {
        let path = file_name(handle.file);
        let op = match self.clients[number].dice.below(4) {
            0 => return self.close(number, handle),
            1 => Op::Fstat { file: handle.id },
            2 => Op::Stat { path: path.as_bytes(), follow: true },
            _ => Op::Statfs,
        };
        self.submit(number, op, Vec::new(), Pending::Other).map(drop)
    }
}
