//! Faults happen, and end.

use super::{Event, World};
use crate::disk::Health;
use crate::faults::Fault;
use crate::link::{Packet, Way};
use crate::scenario::MS;
use crate::trace::Actor;

/// Bytes of a record that is worth breaking: a WRITE of some blocks, sent at once.
const LONG: usize = 160;

impl World {
    /// Begins the faults of the scenario.
    pub fn begin_trouble(&mut self) {
        self.faults_left = self.scenario.rates.count;
        for process in 0..self.processes.len() {
            self.processes[process].disk.health = self.scenario.disk;
            if self.scenario.locks && self.processes[process].brick.is_some() {
                self.after(0, Event::Lock { process });
            }
            if self.processes[process].brick.is_some() && self.loses_power() {
                self.after(MS, Event::Background { process });
            }
        }
        self.schedule_fault();
    }

    fn loses_power(&self) -> bool {
        self.scenario.rates.kinds.contains(&Fault::PowerFailure)
    }

    /// Ends all faults: every process runs, every cut is healed, every disk works.
    pub fn end_trouble(&mut self) {
        self.note(Actor::World, &[4], || "the faults are over".to_owned());
        self.faults_left = 0;
        self.armed.clear();
        let cuts: Vec<u64> = self.cuts.iter().map(|cut| cut.id).collect();
        cuts.into_iter().for_each(|cut| self.cut_event(cut, true));
        self.frozen.clone().into_iter().for_each(|actor| self.thaw(actor));
        for host in 0..self.scenario.hosts {
            if !self.hosts_up[host] {
                self.power_back(host);
            }
        }
        for process in 0..self.processes.len() {
            self.processes[process].disk.health = Health::default();
            self.after(600 * MS, Event::Start { process });
            self.after(600 * MS, Event::Heal { process });
        }
        self.unpowered.iter_mut().for_each(Vec::clear);
    }

    /// All hosts lose their power, and have it again.
    pub fn all_power_fails(&mut self) {
        for host in 0..self.scenario.hosts {
            self.power_fails(host);
            self.after(MS, Event::PowerBack { host });
        }
    }

    fn schedule_fault(&mut self) {
        if self.faults_left > 0 {
            let pause = self.dice.skewed(0, self.scenario.rates.pause);
            self.after(pause, Event::Fault);
        }
    }

    pub(super) fn next_fault(&mut self) {
        if self.faults_left == 0 {
            return;
        }
        self.faults_left -= 1;
        let fault = self.dice.pick(&self.scenario.rates.kinds);
        let time = self.dice.skewed(0, self.scenario.rates.duration);
        self.note(Actor::World, &[5, fault as u64, time], || format!("fault: {fault:?}"));
        self.strike(fault, time);
        self.schedule_fault();
    }

    fn strike(&mut self, fault: Fault, time: u64) {
        let targets: Vec<usize> =
            (0..self.processes.len()).filter(|process| self.may_strike(*process)).collect();
        let process = self.dice.pick(&targets);
        let client = self.workers[self.dice.below(self.workers.len())];
        match fault {
            Fault::Kill => {
                self.kill_process(process);
                self.after(time, Event::Start { process });
            }
            Fault::PowerFailure => {
                let host = self.processes[process].host;
                if self.hosts_up[host] {
                    self.power_fails(host);
                    self.after(time, Event::PowerBack { host });
                }
            }
            Fault::KillClient | Fault::LoseClient => {
                for link in self.open_links() {
                    let it = self.link_mut(link);
                    if it.client != client || it.client_conn.is_none() {
                        continue;
                    }
                    if fault == Fault::KillClient {
                        self.client_end_closes(link);
                    } else {
                        self.client_vanishes(link);
                    }
                }
                self.replace_client(client);
            }
            Fault::Cut => {
                let host = self.processes[process].host;
                // The client that works on names is cut off, too.
                let client = if self.dice.below(3) == 0 {
                    self.names_client.unwrap_or(client)
                } else {
                    client
                };
                let ways = self.dice.pick(&[(true, true), (true, false), (false, true)]);
                // Some cuts last longer than clients wait, and some longer than kernels do.
                let time = match self.dice.below(10) {
                    0 => time + 60_000 * MS,
                    1..=4 => self.dice.between(5_000 * MS, 37_000 * MS),
                    _ => time,
                };
                self.cut(client, host, ways, time);
            }
            Fault::Freeze => {
                self.freeze(Actor::Process(process));
                self.after(time, Event::Thaw { client: None, process: Some(process) });
            }
            Fault::Sleep => {
                // Some sleep longer than any time limit.
                let time = if self.dice.chance(2_000) { time + 900_000 * MS } else { time };
                self.clients[client].slept += time;
                self.freeze(Actor::Client(client));
                self.after(time, Event::Thaw { client: Some(client), process: None });
            }
            Fault::Reset | Fault::Tear => self.armed.push(fault == Fault::Tear),
            Fault::Disk => {
                self.processes[process].disk.health = Health {
                    late: self.dice.pick(&[0, 5_000, 10_000]),
                    late_max: time,
                    broken: self.dice.pick(&[0, 0, 500, 5_000]),
                    full: self.dice.below(3) == 0,
                };
                self.after(time, Event::Heal { process });
            }
            Fault::NewVolfile => {
                let volume = self.dice.below(self.cluster.volumes.len());
                self.cluster.change_option(volume);
                for (n, process) in self.processes.iter_mut().enumerate() {
                    if let Some(server) =
                        process.server.as_mut().filter(|_| process.brick.is_none())
                    {
                        server.volfile_changed(self.now);
                        self.dirty.push_back(Actor::Process(n));
                    }
                }
            }
        }
    }

    /// Says whether faults may strike a process.
    fn may_strike(&self, process: usize) -> bool {
        let victim = self.scenario.victim;
        victim.is_none_or(|victim| self.processes[process].host == victim)
    }

    /// A client or server does not run any more.
    fn freeze(&mut self, actor: Actor) {
        self.note(actor, &[7], || "is frozen".to_owned());
        if !self.frozen.contains(&actor) {
            self.frozen.push(actor);
        }
    }

    /// It runs again: it reads what has arrived meanwhile, and finds its deadlines past.
    pub(super) fn thaw(&mut self, actor: Actor) {
        let Some(at) = self.frozen.iter().position(|other| *other == actor) else { return };
        self.frozen.remove(at);
        self.note(actor, &[8], || "runs again".to_owned());
        for link in self.open_links() {
            let it = self.link_mut(link);
            match actor {
                Actor::Client(n) if it.client == n => self.read(link, Way::Down),
                Actor::Process(n) if it.process == n => self.read(link, Way::Up),
                _ => {}
            }
        }
        if let Actor::Process(n) = actor {
            self.late_work(n);
        }
        self.touch(actor);
    }

    /// A client has sent so many bytes at once: they are what an armed reset waits for, perhaps.
    pub(super) fn bytes_went_up(&mut self, link: usize, len: usize) {
        if self.armed.is_empty() || len < LONG || !self.dice.chance(3_000) {
            return;
        }
        let process = self.links[link].as_ref().map(|link| link.process);
        if !process.is_some_and(|process| self.may_strike(process)) {
            return;
        }
        if let Some(tear) = self.armed.pop() {
            let delay = self.dice.skewed(0, 2 * self.scenario.network.latency.1);
            self.after(delay, Event::Spring { link, tear });
        }
    }

    /// Breaks a connection: for both ends in the middle of a record, or for the client only, while
    /// its bytes are on the way.
    pub(super) fn spring(&mut self, link: usize, tear: bool) {
        if self.links[link].is_none() {
            return;
        }
        if tear {
            self.deliver_a_part(link);
        } else if self.dice.below(4) > 0 {
            let delay = self.dice.skewed(0, 36_000 * MS);
            return self.client_end_breaks(link, delay);
        }
        if self.links[link].is_some() {
            self.break_link(link);
        }
    }

    /// Of the first packet in transit to the server only the beginning arrives.
    fn deliver_a_part(&mut self, link: usize) {
        let up = &mut self.link_mut(link).up;
        if !matches!(up.transit.front(), Some((_, Packet::Bytes(_)))) {
            return;
        }
        let Some((_, Packet::Bytes(mut bytes))) = up.transit.pop_front() else { return };
        let whole = bytes.len();
        bytes.truncate(self.dice.below(whole));
        let up = &mut self.link_mut(link).up;
        up.unread -= whole - bytes.len();
        up.arrived.extend(bytes);
        if self.link_mut(link).has_receiver(Way::Up) {
            self.read(link, Way::Up);
        }
    }

    pub(super) fn heal(&mut self, number: usize) {
        let base = if self.faults_left > 0 { self.scenario.disk } else { Health::default() };
        self.processes[number].disk.health = base;
    }

    pub(super) fn background(&mut self, number: usize) {
        self.processes[number].disk.background();
        if self.faults_left > 0 {
            let delay = self.dice.skewed(MS, 2_000 * MS);
            self.after(delay, Event::Background { process: number });
        }
    }
}
