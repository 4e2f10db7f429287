//! Server processes: start, end, outputs, and the late work of their disks.

use brickwire_core::server::{Output, Usage};

use super::{Event, World};
use crate::checkers::{Violation, limits};
use crate::scenario::MS;
use crate::trace::Actor;

impl World {
    /// Starts a server process if it does not run and its host has power.
    pub(super) fn start_process(&mut self, number: usize) {
        let process = &self.processes[number];
        if process.server.is_some() || !self.hosts_up[process.host] {
            return;
        }
        let port = self.new_port(number);
        let name = format!("{}-{number}", self.scenario.seed);
        self.processes[number].start(&name, port, &self.scenario.server);
        let brick = self.processes[number].brick;
        self.note(Actor::Process(number), &[2, port.into()], || match brick {
            Some(brick) => format!("brick {brick} starts on port {port}"),
            None => "glusterd starts".to_owned(),
        });
        if self.scenario.rates.count > 0 {
            self.processes[number].disk.health = self.scenario.disk;
        }
        let delay = self.network_dice.between(0, 300 * MS);
        self.after(delay, Event::Register { process: number });
    }

    /// glusterd learns the port of a brick that has started.
    pub(super) fn register_port(&mut self, number: usize) {
        let process = &self.processes[number];
        if let Some(brick) = process.brick.filter(|_| process.server.is_some()) {
            self.cluster.bricks[brick].port = Some(process.port);
        }
    }

    /// A process is killed; the kernel closes its connections.
    pub(super) fn kill_process(&mut self, number: usize) {
        let process = &mut self.processes[number];
        if process.server.take().is_none() {
            return;
        }
        process.disk.process_dies();
        self.frozen.retain(|actor| *actor != Actor::Process(number));
        let process = &self.processes[number];
        if let Some(brick) = process.brick {
            self.cluster.bricks[brick].port = None;
        }
        self.note(Actor::Process(number), &[3], || "is killed".to_owned());
        for link in self.open_links() {
            let it = self.link_mut(link);
            if it.process == number && it.server_conn.is_some() {
                self.server_end_closes(link);
            }
        }
    }

    /// A host loses its power.
    pub(super) fn power_fails(&mut self, host: usize) {
        self.note(Actor::World, &[3, host as u64], || format!("node{host} loses its power"));
        self.hosts_up[host] = false;
        for link in self.open_links() {
            let it = self.link_mut(link);
            let (process, open) = (it.process, it.server_conn.is_some());
            if self.processes[process].host == host && open {
                self.server_vanishes(link);
            }
        }
        let now = self.next_tick();
        let processes = &self.processes;
        self.frozen.retain(|actor| match actor {
            Actor::Process(n) => processes[*n].host != host,
            _ => true,
        });
        for process in self.processes.iter_mut().filter(|process| process.host == host) {
            process.server = None;
            process.disk.lose_power();
            let Some(brick) = process.brick else { continue };
            self.cluster.bricks[brick].port = None;
            let volume = self.cluster.bricks[brick].volume;
            if !self.unpowered[volume].contains(&brick) {
                self.unpowered[volume].push(brick);
            }
            if self.unpowered[volume].len() > self.cluster.volumes[volume].shape.tolerates() {
                self.registers[volume].power_failed(now);
            }
        }
    }

    /// A host has power again: its processes start one after the other.
    pub(super) fn power_back(&mut self, host: usize) {
        self.hosts_up[host] = true;
        for number in 0..self.processes.len() {
            if self.processes[number].host == host {
                let delay = self.network_dice.between(0, 500 * MS);
                self.after(delay, Event::Start { process: number });
            }
        }
    }

    pub(super) fn pump_process(&mut self, number: usize) -> Result<(), Violation> {
        loop {
            while let Some(output) =
                self.processes[number].server.as_mut().and_then(|server| server.poll())
            {
                self.server_output(number, output);
            }
            self.schedule_work(number);
            self.lockers[number].drain(&mut self.processes[number], self.now);
            if !self.move_bytes(Actor::Process(number)) {
                break;
            }
        }
        match &self.processes[number].server {
            Some(server) => limits::server(&server.usage(), &self.scenario.server),
            None => Ok(()),
        }
    }

    fn server_output(&mut self, number: usize, output: Output) {
        match output {
            Output::Transmit { conn } => {
                if let Some(link) = self.server_link(number, conn) {
                    self.link_mut(link).down.has_more = true;
                }
            }
            Output::Resume { conn } => {
                if let Some(link) = self.server_link(number, conn) {
                    self.link_mut(link).up.must_read = true;
                }
            }
            Output::Close { conn, why } => {
                if let Some(link) = self.server_link(number, conn) {
                    self.note(Actor::Process(number), &[4, link as u64], || {
                        format!("closes link {link}: {why:?}")
                    });
                    self.server_end_closes(link);
                }
            }
        }
    }

    /// Schedules the late work that a disk has taken.
    fn schedule_work(&mut self, number: usize) {
        while let Some((ticket, delay)) = self.processes[number].disk.unscheduled.pop_front() {
            let starts = self.processes[number].starts;
            self.after(delay, Event::Work { process: number, starts, ticket });
        }
    }

    pub(super) fn work(&mut self, number: usize, starts: u32, ticket: u64) {
        let now = self.now;
        if self.frozen.contains(&Actor::Process(number)) {
            self.thawed_work.push((number, starts, ticket));
            return;
        }
        let process = &mut self.processes[number];
        if process.starts != starts {
            return;
        }
        let Some(server) = &mut process.server else { return };
        process.disk.set_time(now.as_nanos());
        if let Some((job, completion)) = process.disk.work(ticket) {
            server.completed(job, completion, now, &mut process.disk);
        }
        self.note(Actor::Process(number), &[5, ticket], || format!("late work {ticket}"));
        self.touch(Actor::Process(number));
    }

    /// A process that was frozen takes the answers of its disk.
    pub(super) fn late_work(&mut self, number: usize) {
        let (mine, others) =
            self.thawed_work.iter().copied().partition(|(process, ..)| *process == number);
        self.thawed_work = others;
        let mine: Vec<(usize, u32, u64)> = mine;
        mine.into_iter().for_each(|(process, starts, ticket)| self.work(process, starts, ticket));
    }

    /// A locker takes or releases a lock.
    pub(super) fn lock_turn(&mut self, number: usize) {
        if !self.working {
            return;
        }
        if self.frozen.contains(&Actor::Process(number)) {
            return self.after(1_000 * MS, Event::Lock { process: number });
        }
        let process = &mut self.processes[number];
        self.lockers[number].turn(process, &self.cluster, self.now);
        self.note(Actor::Process(number), &[6], || "the locker has its turn".to_owned());
        self.touch(Actor::Process(number));
        let pause = self.network_dice.skewed(MS, 200 * MS);
        self.after(pause, Event::Lock { process: number });
    }

    /// All lockers leave.
    pub fn lockers_leave(&mut self) {
        for (number, locker) in self.lockers.iter_mut().enumerate() {
            locker.leave(&mut self.processes[number], self.now);
            self.dirty.push_back(Actor::Process(number));
        }
    }

    /// The use of each running server's tables.
    pub fn usages(&self) -> Vec<(usize, Usage)> {
        let running = self.processes.iter().enumerate();
        running.filter_map(|(n, process)| Some((n, process.server.as_ref()?.usage()))).collect()
    }
}
