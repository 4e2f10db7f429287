//! Connections: dialling, opening, closing.

use brickwire_core::ConnId;
use brickwire_core::volume::{Closed, Down};

use super::buffers::slot_mut;
use super::state::State;
use super::trace::peer;
use crate::net::{Dial, Poller, Progress, Socket, Waiting};

pub(super) struct Conn {
    pub(super) id: ConnId,
    pub(super) io: Io,
}

pub(super) enum Io {
    Dialing(Dial),
    Open(Stream),
}

pub(super) struct Stream {
    pub(super) socket: Socket,
    /// Handle for a leader that waits for this socket alone; made at its first use.
    pub(super) waiting: Option<Waiting>,
    /// The socket took only a part of the bytes: wait until it is writable.
    pub(super) writing: bool,
    /// Received bytes that the core had no room for.
    pub(super) held: Option<Vec<u8>>,
}

impl State {
    pub(super) fn is_blocked(&self, id: ConnId) -> bool {
        match self.conns.get(id.slot()) {
            Some(Some(Conn { io: Io::Open(stream), .. })) => stream.writing,
            _ => false,
        }
    }

    pub(super) fn conn(&mut self, id: ConnId) -> Option<&mut Conn> {
        self.conns.get_mut(id.slot())?.as_mut().filter(|conn| conn.id == id)
    }

    pub(super) fn dial(&mut self, id: ConnId, poller: &Poller) {
        let Some(endpoint) = self.volume.endpoint(id) else { return };
        log::debug!("connecting to {}", peer(&self.volume, id));
        let dial = Dial::begin(endpoint, id.slot() as u64, &poller.waker());
        self.conns_end = self.conns_end.max(id.slot() + 1);
        *slot_mut(&mut self.conns, id.slot()) = Some(Conn { id, io: Io::Dialing(dial) });
        self.dial_on(id, poller);
    }

    pub(super) fn dial_on(&mut self, id: ConnId, poller: &Poller) {
        let Some(conn) = self.conn(id) else { return };
        let Io::Dialing(dial) = &mut conn.io else { return };
        match dial.progress(poller) {
            Progress::Waiting(at) => {
                self.next_dial = match (self.next_dial, at) {
                    (Some(a), Some(b)) => Some(a.min(b)),
                    (a, b) => a.or(b),
                };
            }
            Progress::Connected(socket) => {
                if poller.add(&socket, id.slot() as u64, false).is_err() {
                    return self.lost(id, Closed::Reset, poller);
                }
                conn.io = Io::Open(Stream { socket, waiting: None, writing: false, held: None });
                let now = self.now();
                log::debug!("connected to {}: handshake begins", peer(&self.volume, id));
                self.volume.connected(id, now);
            }
            Progress::Failed(why) => self.lost(id, why, poller),
        }
    }

    pub(super) fn lost(&mut self, id: ConnId, why: Closed, poller: &Poller) {
        log::debug!("no connection to {}: {}", peer(&self.volume, id), Down::Closed(why));
        self.drop_conn(id, poller);
        let now = self.now();
        self.volume.closed(id, why, now);
    }

    pub(super) fn drop_conn(&mut self, id: ConnId, poller: &Poller) {
        if self.conn(id).is_none() {
            return;
        }
        match self.conns[id.slot()].take().map(|conn| conn.io) {
            Some(Io::Dialing(mut dial)) => dial.give_up(poller),
            Some(Io::Open(stream)) => poller.remove(&stream.socket),
            None => {}
        }
        while self.conns_end > 0 && self.conns[self.conns_end - 1].is_none() {
            self.conns_end -= 1;
        }
    }
}
