//! The network: dials, packets in transit, cuts, and kernels that give up.
//!
//! Packets of one direction of a connection do not overtake each other. A cut holds them back until
//! it ends. A cut that lasts [`KERNEL_WAITS`] ends the connections across it: no byte of a
//! connection is delivered so long after it was sent.

use brickwire_core::ConnId;
use brickwire_core::server::Peer;
use brickwire_core::volume::{Closed, Endpoint};

use super::{Cut, Event, World};
use crate::cluster::{GLUSTERD_PORT, host_name};
use crate::link::{Link, Packet, Way};
use crate::mutant::Mutant;
use crate::scenario::MS;
use crate::trace::Actor;

/// How long a kernel waits for a peer that does not answer, in nanoseconds: as long as GlusterFS's
/// keepalive settings say.
pub(super) const KERNEL_WAITS: u64 = 38_000 * MS;
/// A dial that nobody answers is tried again after this time.
const SYN_AGAIN: u64 = 1_000 * MS;

impl World {
    /// The time of one packet.
    pub(super) fn latency(&mut self) -> u64 {
        let (least, most) = self.scenario.network.latency;
        self.network_dice.skewed(least, most)
    }

    pub(super) fn link_mut(&mut self, link: usize) -> &mut Link {
        self.links[link].as_mut().expect("a connection")
    }

    pub(super) fn client_link(&self, client: usize, conn: ConnId) -> Option<usize> {
        self.links.iter().position(|link| {
            link.as_ref()
                .is_some_and(|link| link.client == client && link.client_conn == Some(conn))
        })
    }

    pub(super) fn server_link(&self, process: usize, conn: ConnId) -> Option<usize> {
        self.links.iter().position(|link| {
            link.as_ref()
                .is_some_and(|link| link.process == process && link.server_conn == Some(conn))
        })
    }

    /// The connections that exist.
    pub(super) fn open_links(&self) -> Vec<usize> {
        (0..self.links.len()).filter(|link| self.links[*link].is_some()).collect()
    }

    fn is_cut(&self, client: usize, host: usize, way: Way) -> bool {
        self.cuts.iter().any(|cut| {
            cut.client == client
                && cut.host == host
                && if way == Way::Up { cut.up } else { cut.down }
        })
    }

    /// A dial arrives.
    pub(super) fn dial(&mut self, client: usize, conn: ConnId) {
        let it = &self.clients[client];
        let Some(endpoint) = it.volume.endpoint(conn).filter(|_| it.dials.contains(&conn)) else {
            return;
        };
        let Endpoint::Tcp { host, port, tls: None, .. } = endpoint else { panic!("{endpoint:?}") };
        let host = (0..self.scenario.hosts).find(|known| host_name(*known) == host);
        let host = host.expect("a host of the volfile");
        let cut = self.is_cut(client, host, Way::Up) || self.is_cut(client, host, Way::Down);
        let asleep = self.frozen.contains(&Actor::Client(client));
        if cut || asleep || !self.hosts_up[host] {
            let process = self.clients[client].process;
            return self.after(SYN_AGAIN, Event::Dial { client, process, conn });
        }
        self.clients[client].dials.retain(|dial| *dial != conn);
        let listens = |process: &crate::process::Process| {
            let reached =
                process.brick.is_none_or(|brick| !self.unreached.contains(&(client, brick)));
            reached && process.server.is_some() && process.host == host && process.port == port
        };
        let process = self.processes.iter().position(listens);
        let peer = Peer { address: "10.0.0.1".try_into().expect("short"), privileged: true };
        let now = self.now;
        let accepted = process.and_then(|process| {
            let server = self.processes[process].server.as_mut()?;
            Some((process, server.accepted(peer, now)?))
        });
        match accepted {
            Some((process, server_conn)) => {
                let free = self.links.iter().position(Option::is_none);
                let link = free.unwrap_or(self.links.len());
                if free.is_none() {
                    self.links.push(None);
                }
                self.links[link] = Some(Link::new(client, conn, process, server_conn));
                self.note(Actor::Link(link), &[1, client as u64, process as u64], || {
                    format!("client {client} connects with server {process}")
                });
                self.clients[client].volume.connected(conn, now);
                self.touch(Actor::Process(process));
            }
            None => {
                self.note(Actor::Client(client), &[6, host as u64, port.into()], || {
                    format!("{} refuses port {port}", host_name(host))
                });
                self.clients[client].volume.closed(conn, Closed::Refused, now);
            }
        }
        self.touch(Actor::Client(client));
    }

    /// Puts a packet on its way.
    pub(super) fn post(&mut self, link: usize, way: Way, packet: Packet) {
        let (latency, now) = (self.latency(), self.now.as_nanos());
        let pipe = self.link_mut(link).pipe(way);
        let at = (now + latency).max(pipe.last);
        pipe.last = at;
        pipe.transit.push_back((at, packet));
        self.after(at - now, Event::Arrive { link, up: way == Way::Up });
    }

    /// A packet arrives, unless there is a cut.
    pub(super) fn arrive(&mut self, link: usize, way: Way) {
        let Some(it) = &self.links[link] else { return };
        let (client, host) = (it.client, self.processes[it.process].host);
        if self.is_cut(client, host, way) {
            return;
        }
        let now = self.now.as_nanos();
        let pipe = self.link_mut(link).pipe(way);
        if pipe.transit.front().is_none_or(|(at, _)| *at > now) {
            return;
        }
        let Some((_, packet)) = pipe.transit.pop_front() else { return };
        if !self.link_mut(link).has_receiver(way) {
            return self.answer_for_nobody(link, way, &packet);
        }
        let pipe = self.link_mut(link).pipe(way);
        match packet {
            Packet::Bytes(bytes) => pipe.arrived.extend(bytes),
            Packet::Fin => pipe.ended = Some(Closed::Eof),
            Packet::Reset => {
                let unread = pipe.arrived.len();
                pipe.arrived.clear();
                pipe.unread -= unread;
                pipe.ended = Some(Closed::Reset);
            }
        }
        self.read(link, way);
    }

    /// A packet arrives where the connection is not known.
    fn answer_for_nobody(&mut self, link: usize, way: Way, packet: &Packet) {
        let it = self.link_mut(link);
        if let Packet::Bytes(bytes) = packet {
            let pipe = it.pipe(way);
            pipe.unread = pipe.unread.saturating_sub(bytes.len());
            let (host, silent) = (it.process, it.silent);
            let alive = self.hosts_up[self.processes[host].host];
            // A host that lost its power answers once it is back; a client's host stays away.
            if self.link_mut(link).has_receiver(way.back()) && alive && (way == Way::Up || !silent)
            {
                self.post(link, way.back(), Packet::Reset);
            }
        }
        self.forget_if_over(link);
    }

    /// A connection both of whose ends are closed is forgotten, once nothing is in transit.
    pub(super) fn forget_if_over(&mut self, link: usize) {
        let Some(it) = &self.links[link] else { return };
        if it.is_over() && it.up.transit.is_empty() && it.down.transit.is_empty() {
            self.links[link] = None;
        }
    }

    /// A kernel closes an end whose peer does not answer.
    pub(super) fn give_up(&mut self, link: usize) {
        let Some(it) = &self.links[link] else { return };
        if !it.silent {
            return;
        }
        self.note(Actor::Link(link), &[2], || "the kernel gives it up".to_owned());
        self.server_end_closed(link);
        self.client_end_closed(link, Closed::Reset);
    }

    /// The client's end is told that the connection has ended.
    pub(super) fn client_end_closed(&mut self, link: usize, why: Closed) {
        let Some(it) = self.links[link].as_mut() else { return };
        let client = it.client;
        it.down.close_receiver();
        it.up.has_more = false;
        if self.frozen.contains(&Actor::Client(client)) && it.client_conn.is_some() {
            // It learns of the end when it runs again.
            it.down.ended = Some(why);
            return;
        }
        if let Some(conn) = it.client_conn.take() {
            self.note(Actor::Link(link), &[3], || format!("the client's end is over: {why:?}"));
            self.clients[client].volume.closed(conn, why, self.now);
            self.touch(Actor::Client(client));
        }
        self.forget_if_over(link);
    }

    /// The server's end is told that the connection has ended.
    pub(super) fn server_end_closed(&mut self, link: usize) {
        let Some(it) = self.links[link].as_mut() else { return };
        let number = it.process;
        it.up.close_receiver();
        it.down.has_more = false;
        if self.frozen.contains(&Actor::Process(number)) && it.server_conn.is_some() {
            it.up.ended = Some(Closed::Reset);
            return;
        }
        if let Some(conn) = it.server_conn.take() {
            self.note(Actor::Link(link), &[4], || "the server's end is over".to_owned());
            let forgotten =
                self.mutant == Some(Mutant::CloseForgotten) && self.network_dice.chance(3_000);
            let process = &mut self.processes[number];
            if let Some(server) = process.server.as_mut().filter(|_| !forgotten) {
                server.closed(conn, self.now, &mut process.disk);
            }
            self.touch(Actor::Process(number));
        }
        self.forget_if_over(link);
    }

    /// The client closes its end: bytes that it has sent arrive, mostly.
    pub(super) fn client_end_closes(&mut self, link: usize) {
        let reset = self.network_dice.chance(2_000);
        let it = self.link_mut(link);
        it.client_conn = None;
        it.down.close_receiver();
        it.up.has_more = false;
        self.post(link, Way::Up, if reset { Packet::Reset } else { Packet::Fin });
    }

    /// The server closes its end.
    pub(super) fn server_end_closes(&mut self, link: usize) {
        let reset = self.network_dice.chance(2_000);
        let it = self.link_mut(link);
        it.server_conn = None;
        it.up.close_receiver();
        it.down.has_more = false;
        self.post(link, Way::Down, if reset { Packet::Reset } else { Packet::Fin });
    }

    /// Nothing passes between a client and a host for some time.
    pub(super) fn cut(&mut self, client: usize, host: usize, (up, down): (bool, bool), time: u64) {
        let id = self.next_cut;
        self.next_cut += 1;
        self.note(Actor::World, &[1, client as u64, host as u64, up.into(), down.into()], || {
            format!(
                "cut between client {client} and {} ({}{}) for {} ms",
                host_name(host),
                if up { "up" } else { "" },
                if down { "down" } else { "" },
                time / MS
            )
        });
        self.cuts.push(Cut { id, client, host, up, down });
        self.after(time, Event::Cut { cut: id, ends: true });
        self.after(KERNEL_WAITS, Event::Cut { cut: id, ends: false });
    }

    pub(super) fn cut_event(&mut self, id: u64, ends: bool) {
        let Some(at) = self.cuts.iter().position(|cut| cut.id == id) else { return };
        let Cut { client, host, .. } = self.cuts[at];
        let links = self.open_links().into_iter().filter(|link| {
            let link = self.links[*link].as_ref().expect("open");
            link.client == client && self.processes[link.process].host == host
        });
        let links: Vec<usize> = links.collect();
        self.note(Actor::World, &[2, id, ends.into()], || {
            let what = if ends { "ends" } else { "lasts" };
            format!("the cut between client {client} and {} {what}", host_name(host))
        });
        if ends {
            self.cuts.remove(at);
            for link in links {
                self.resume(link);
            }
        } else {
            for link in links {
                self.break_link(link);
            }
        }
    }

    /// Packets that a cut held back go on.
    fn resume(&mut self, link: usize) {
        for way in [Way::Up, Way::Down] {
            let now = self.now.as_nanos();
            let latency = self.latency();
            let pipe = self.link_mut(link).pipe(way);
            let mut last = 0;
            for (at, _) in &mut pipe.transit {
                *at = (*at).max(now + latency);
                last = *at;
            }
            pipe.last = pipe.last.max(last);
            let times: Vec<u64> = pipe.transit.iter().map(|(at, _)| *at - now).collect();
            for delay in times {
                self.after(delay, Event::Arrive { link, up: way == Way::Up });
            }
        }
    }

    /// Both ends are told that the connection is broken; bytes in transit are lost.
    pub(super) fn break_link(&mut self, link: usize) {
        self.note(Actor::Link(link), &[5], || "breaks".to_owned());
        let it = self.link_mut(link);
        it.up.lose_transit();
        it.down.lose_transit();
        self.client_end_closed(link, Closed::Reset);
        self.server_end_closed(link);
    }

    /// The client's end breaks at once. The server learns it much later; the bytes in transit
    /// arrive before that, when other connections have carried younger ones.
    pub(super) fn client_end_breaks(&mut self, link: usize, delay: u64) {
        let client = self.link_mut(link).client;
        if self.frozen.contains(&Actor::Client(client)) {
            return self.break_link(link);
        }
        self.note(Actor::Link(link), &[7, delay], || {
            format!("breaks for the client; the server learns it in {} ms", delay / MS)
        });
        let now = self.now.as_nanos();
        let up = &mut self.link_mut(link).up;
        for (at, _) in &mut up.transit {
            *at = (*at).max(now + delay);
        }
        up.last = up.last.max(now + delay);
        let count = up.transit.len();
        for _ in 0..count {
            self.after(delay, Event::Arrive { link, up: true });
        }
        let open = self.link_mut(link).client_conn.is_some();
        self.client_end_closed(link, Closed::Reset);
        if open && self.links[link].as_ref().is_some_and(|link| link.client_conn.is_none()) {
            self.post(link, Way::Up, Packet::Fin);
        }
    }

    /// The host of the client's end is gone without a word.
    pub(super) fn client_vanishes(&mut self, link: usize) {
        let it = self.link_mut(link);
        it.up.lose_transit();
        it.down.close_receiver();
        (it.client_conn, it.silent) = (None, true);
        self.after(KERNEL_WAITS, Event::GiveUp { link });
    }

    /// The host of the server's end is gone without a word.
    pub(super) fn server_vanishes(&mut self, link: usize) {
        let it = self.link_mut(link);
        it.down.lose_transit();
        it.up.close_receiver();
        (it.server_conn, it.silent) = (None, true);
        self.after(KERNEL_WAITS, Event::GiveUp { link });
    }

    /// A client reaches only these bricks of its volume, and every glusterd.
    pub fn isolate(&mut self, client: usize, bricks: &[usize]) {
        let all = &self.cluster.volumes[self.clients[client].plan.volume].bricks;
        let reached: Vec<usize> = bricks.iter().map(|brick| all[*brick]).collect();
        let unreached = all.iter().copied().filter(|brick| !reached.contains(brick));
        self.unreached = unreached.map(|brick| (client, brick)).collect();
    }

    /// It reaches all of them again.
    pub fn end_isolation(&mut self, client: usize) {
        self.unreached.retain(|(other, _)| *other != client);
    }

    /// The port of a process that is started.
    pub(super) fn new_port(&mut self, process: usize) -> u16 {
        if self.processes[process].brick.is_none() {
            return GLUSTERD_PORT;
        }
        // Ports of different processes never meet; mostly a brick gets a new one.
        let turn = self.network_dice.below(8) as u16;
        49_152 + 8 * process as u16 + turn
    }
}
