//! Sockets: bytes from the core into pipes, and from pipes into the core, in pieces of any length.

use brickwire_core::{server, volume};

use super::World;
use crate::link::{Packet, Way};
use crate::trace::Actor;

impl World {
    /// Sends and reads on all connections of this one what can be sent and must be read. Returns
    /// whether anything has moved.
    pub(super) fn move_bytes(&mut self, actor: Actor) -> bool {
        let mut moved = false;
        for link in 0..self.links.len() {
            let Some(it) = &self.links[link] else { continue };
            let (way, mine) = match actor {
                Actor::Client(n) => (Way::Up, it.client == n && it.client_conn.is_some()),
                Actor::Process(n) => (Way::Down, it.process == n && it.server_conn.is_some()),
                Actor::World | Actor::Link(_) => return false,
            };
            if !mine {
                continue;
            }
            if self.link_mut(link).pipe(way).has_more {
                moved |= self.send(link, way);
            }
            let must_read =
                self.links[link].as_mut().is_some_and(|link| link.pipe(way.back()).must_read);
            if must_read {
                self.read(link, way.back());
                moved = true;
            }
        }
        moved
    }

    /// The length of one transfer of at most `len` bytes: mostly all.
    fn piece(&mut self, len: usize) -> usize {
        if len < 2 || !self.network_dice.chance(self.scenario.network.splits) {
            return len;
        }
        let most = if self.network_dice.below(2) == 0 { len } else { len.min(64) };
        1 + self.network_dice.below(most)
    }

    /// Sends as much as the window allows.
    fn send(&mut self, link: usize, way: Way) -> bool {
        let window = self.scenario.network.window;
        let it = self.link_mut(link);
        let (client, process) = (it.client, it.process);
        let (client_conn, server_conn) = (it.client_conn, it.server_conn);
        let room = window.saturating_sub(it.pipe(way).unread);
        if room == 0 {
            return false;
        }
        let mut bytes = Vec::new();
        match way {
            Way::Up => {
                let from = &self.clients[client];
                for record in from.volume.outgoing(client_conn.expect("open")) {
                    bytes.extend_from_slice(record.head);
                    if let Some(range) = record.data {
                        let buffer = &from.buffers[&range.op];
                        bytes.extend_from_slice(&buffer[range.at as usize..][..range.len as usize]);
                    }
                    bytes.extend_from_slice(record.tail);
                    if bytes.len() > room {
                        break;
                    }
                }
            }
            Way::Down => {
                let from = &mut self.processes[process];
                let server = from.server.as_ref().expect("it runs");
                for record in server.outgoing(server_conn.expect("open")) {
                    bytes.extend_from_slice(record.head);
                    if let Some(place) = record.data {
                        let data = server::Storage::bytes_mut(&mut from.disk, place.buffer);
                        bytes.extend_from_slice(&data[place.at as usize..][..place.len as usize]);
                    }
                    if bytes.len() > room {
                        break;
                    }
                }
            }
        }
        let len = self.piece(bytes.len().min(room));
        let more = len < bytes.len();
        bytes.truncate(len);
        let pipe = self.link_mut(link).pipe(way);
        pipe.has_more = more;
        if len == 0 {
            return false;
        }
        pipe.unread += len;
        self.note(Actor::Link(link), &[6, u64::from(way == Way::Up), len as u64], || {
            let way = if way == Way::Up { "up" } else { "down" };
            let calls = crate::calls::of(&bytes);
            format!("(client {client}, server {process}) {len} bytes {way}{calls}")
        });
        let now = self.now;
        match way {
            Way::Up => {
                self.clients[client].volume.sent(client_conn.expect("open"), len, now);
                self.touch(Actor::Client(client));
            }
            Way::Down => {
                let from = &mut self.processes[process];
                let server = from.server.as_mut().expect("it runs");
                server.sent(server_conn.expect("open"), len, now, &mut from.disk);
                self.touch(Actor::Process(process));
            }
        }
        self.post(link, way, Packet::Bytes(bytes));
        if way == Way::Up {
            self.bytes_went_up(link, len);
        }
        true
    }

    /// The receiver of a direction reads what has arrived, as far as it wants to.
    pub(super) fn read(&mut self, link: usize, way: Way) {
        let Some(it) = &self.links[link] else { return };
        let receiver = match way {
            Way::Up => Actor::Process(it.process),
            Way::Down => Actor::Client(it.client),
        };
        if self.frozen.contains(&receiver) {
            return;
        }
        let mut refusals = 0;
        loop {
            let Some(it) = self.links[link].as_mut().filter(|link| link.has_receiver(way)) else {
                return;
            };
            let pipe = it.pipe(way);
            let (len, must) = (pipe.arrived.len(), std::mem::take(&mut pipe.must_read));
            if len == 0 && !must {
                break;
            }
            let n = self.piece(len);
            let used = match way {
                Way::Up => self.server_reads(link, n),
                Way::Down => self.client_reads(link, n),
            };
            let Some(used) = used else { break };
            let Some(it) = &mut self.links[link] else { return };
            let pipe = it.pipe(way);
            let used = used.min(pipe.arrived.len());
            pipe.arrived.drain(..used);
            pipe.unread -= used;
            // Nothing was taken: the next bytes belong elsewhere, or must wait.
            refusals = if used == 0 { refusals + 1 } else { 0 };
            if refusals > 1 {
                break;
            }
        }
        self.after_reading(link, way);
    }

    /// The sender has room again, and the receiver learns of the end behind the last byte.
    fn after_reading(&mut self, link: usize, way: Way) {
        let Some(it) = &mut self.links[link] else { return };
        let (client, process) = (it.client, it.process);
        let pipe = it.pipe(way);
        let (ended, has_more) = (pipe.ended.filter(|_| pipe.arrived.is_empty()), pipe.has_more);
        self.touch(Actor::Client(client));
        if has_more || way == Way::Up {
            self.touch(Actor::Process(process));
        }
        if let Some(why) = ended {
            match way {
                Way::Up => self.server_end_closed(link),
                Way::Down => self.client_end_closed(link, why),
            }
        }
    }

    /// The server reads up to `n` bytes. `None`: it reads nothing now.
    fn server_reads(&mut self, link: usize, n: usize) -> Option<usize> {
        let it = self.links[link].as_mut()?;
        let (number, conn) = (it.process, it.server_conn?);
        let bytes = &it.up.arrived.make_contiguous()[..n];
        let process = &mut self.processes[number];
        process.disk.set_time(self.now.as_nanos());
        let server = process.server.as_mut()?;
        let exports = crate::cluster::View {
            cluster: &self.cluster,
            host: process.host,
            brick: process.brick,
        };
        let disk = &mut process.disk;
        match server.intake(conn) {
            server::Intake::Core => Some(server.received(conn, bytes, self.now, &exports, disk)),
            server::Intake::Place(place) => {
                let (n, at) = (n.min(place.len as usize), place.at as usize);
                server::Storage::bytes_mut(disk, place.buffer)[at..at + n]
                    .copy_from_slice(&bytes[..n]);
                server.placed(conn, n, self.now, &exports, disk);
                Some(n)
            }
            server::Intake::Wait => None,
            server::Intake::Closed => Some(n),
        }
    }

    /// The client reads up to `n` bytes. `None`: it reads nothing now.
    fn client_reads(&mut self, link: usize, n: usize) -> Option<usize> {
        let it = self.links[link].as_mut()?;
        let (number, conn) = (it.client, it.client_conn?);
        let bytes = &it.down.arrived.make_contiguous()[..n];
        let client = &mut self.clients[number];
        match client.volume.intake(conn) {
            volume::Intake::Core => Some(client.volume.received(conn, bytes, self.now)),
            volume::Intake::Place(range) => {
                let n = n.min(range.len as usize);
                let buffer = client.buffers.get_mut(&range.op);
                let buffer = buffer.expect("bytes for an operation that is over");
                buffer[range.at as usize..][..n].copy_from_slice(&bytes[..n]);
                client.volume.placed(conn, n, self.now);
                Some(n)
            }
            volume::Intake::Discard { len } => {
                let n = n.min(len as usize);
                client.volume.placed(conn, n, self.now);
                Some(n)
            }
            volume::Intake::Wait => None,
            volume::Intake::Closed => Some(n),
        }
    }
}
