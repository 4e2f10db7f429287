//! Connections: who is at the other end, what it logged in to, and what the adapter is yet to be told of it.

use managed::ManagedSlice;

use super::intake::IntakeState;
use super::{BrickIx, HandleId, JobId};
use crate::id::ConnId;
use crate::rpc::PeerError;
use crate::rpc::link::Ring;
use crate::slab::{Slab, Slot};
use crate::time::Instant;

/// The text of an address: the longest IPv6 with a zone, or the path of a unix socket cut short.
pub type Address = heapless::String<64>;

/// Who connected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// Address without a port; empty for a unix socket.
    pub address: Address,
    /// Does it come from a port below 1024 (or through a unix socket, which only those reach who may)?
    pub privileged: bool,
}

/// What a connection logged in to with SETVOLUME.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) brick: BrickIx,
    pub(super) read_only: bool,
}

/// Why the server ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// What it sent is not what a client sends.
    Peer(PeerError),
    /// It takes no replies although there are some, or does not finish a call.
    Stalled,
    /// It did not say what it wants.
    NoLogin,
    /// The server shuts down.
    Stopped,
}

/// One connection.
#[derive(Clone, Debug)]
pub struct Client {
    pub(super) peer: Peer,
    /// Tells it from all others that had its id before: ids are used again after some thousands.
    pub(super) serial: u32,
    pub(super) login: Option<Login>,
    pub(super) intake: IntakeState,
    /// Replies that are ready and not yet sent completely.
    pub(super) first_out: Option<JobId>,
    pub(super) last_out: Option<JobId>,
    /// Bytes of buffers that they bring along.
    pub(super) unsent: u32,
    /// Bytes that READs ask for which the storage has: buffers of them are lent already, or will be.
    pub(super) reading: u32,
    /// Files and directories that it has open.
    pub(super) files: u32,
    /// Bytes of the first that are sent.
    pub(super) sent: u32,
    pub(super) ring: Ring,
    /// Calls taken and not yet answered completely.
    pub(super) outstanding: u16,
    /// What it has open, linked through the files.
    pub(super) first_file: Option<HandleId>,
    /// It fetched a volfile and is to be told when one changes.
    pub(super) wants_spec: bool,
    /// … and is yet to be told.
    pub(super) spec_due: bool,
    /// Since when nothing to speak of was taken of what waits, and the bytes that were all the same.
    pub(super) stalled_since: Instant,
    pub(super) taken: u32,
    /// Since when nothing to speak of has come of the call that it keeps a block or a buffer for, and the bytes that have.
    pub(super) slow_since: Instant,
    pub(super) come: u32,
    /// It had to wait for us: its own time begins again.
    pub(super) fed: bool,
    /// Since when it is connected.
    pub(super) since: Instant,
    /// It has a call that could not be taken.
    pub(super) starved: bool,
    /// The adapter is to close it.
    pub(super) doomed: Option<CloseReason>,
    flags: Flags,
    next_flagged: Option<u16>,
}

/// News for the adapter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags {
    listed: bool,
    pub(super) transmit: bool,
    pub(super) resume: bool,
}

impl Client {
    pub(super) fn new(peer: Peer, since: Instant) -> Self {
        Self {
            peer,
            serial: 0,
            login: None,
            intake: IntakeState::default(),
            first_out: None,
            last_out: None,
            unsent: 0,
            reading: 0,
            files: 0,
            sent: 0,
            ring: Ring::default(),
            outstanding: 0,
            first_file: None,
            wants_spec: false,
            spec_due: false,
            stalled_since: Instant::ZERO,
            taken: 0,
            slow_since: since,
            come: 0,
            fed: false,
            since,
            starved: false,
            doomed: None,
            flags: Flags::default(),
            next_flagged: None,
        }
    }
}

/// All connections, and the list of those with news.
#[derive(Debug)]
pub(super) struct Clients<'m> {
    slab: Slab<'m, Client, ConnId>,
    first_flagged: Option<u16>,
    last_flagged: Option<u16>,
    /// Connections that wait for something that others have, at least.
    starved: u32,
    /// Connections that the adapter is to close.
    doomed: u32,
    /// Connections that there were so far.
    accepted: u32,
}

impl<'m> Clients<'m> {
    pub(super) fn new(slots: ManagedSlice<'m, Slot<Client>>) -> Self {
        Self {
            slab: Slab::new(slots),
            first_flagged: None,
            last_flagged: None,
            starved: 0,
            doomed: 0,
            accepted: 0,
        }
    }

    pub(super) fn insert(&mut self, mut client: Client) -> Option<ConnId> {
        self.accepted = self.accepted.wrapping_add(1);
        client.serial = self.accepted;
        self.slab.insert(client)
    }

    pub(super) fn get(&self, conn: ConnId) -> Option<&Client> {
        self.slab.get(conn)
    }

    pub(super) fn get_mut(&mut self, conn: ConnId) -> Option<&mut Client> {
        self.slab.get_mut(conn)
    }

    pub(super) fn len(&self) -> u32 {
        self.slab.len() as u32
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = ConnId> + '_ {
        self.slab.ids()
    }

    pub(super) fn next_from(&self, from: usize) -> Option<ConnId> {
        self.slab.next_from(from)
    }

    /// Takes a connection out; its news are forgotten.
    pub(super) fn remove(&mut self, conn: ConnId) -> Option<Client> {
        let client = self.get(conn)?;
        let (listed, doomed) = (client.flags.listed, client.doomed.is_some());
        if listed {
            self.unlist(conn);
        }
        self.doomed -= u32::from(doomed);
        self.slab.remove(conn)
    }

    /// The adapter is to be told to close a connection.
    pub(super) fn doom(&mut self, conn: ConnId, why: CloseReason) {
        if let Some(client) = self.slab.get_mut(conn)
            && client.doomed.is_none()
        {
            client.doomed = Some(why);
            self.doomed += 1;
        }
    }

    /// A connection that the adapter is to close: it is forgotten here.
    pub(super) fn take_doomed(&mut self) -> Option<(ConnId, CloseReason)> {
        if self.doomed == 0 {
            return None;
        }
        let doomed = |conn: ConnId| Some((conn, self.slab.get(conn)?.doomed?));
        let found = self.slab.ids().find_map(doomed);
        if let Some((conn, _)) = found {
            self.remove(conn);
        }
        found
    }

    pub(super) fn want_transmit(&mut self, conn: ConnId) {
        self.flag(conn, |flags| flags.transmit = true);
    }

    pub(super) fn want_resume(&mut self, conn: ConnId) {
        self.flag(conn, |flags| flags.resume = true);
    }

    /// A connection could not have its call taken. `shared`: for want of something that others hold.
    pub(super) fn starve(&mut self, conn: ConnId, shared: bool) {
        if shared {
            self.starved = self.starved.saturating_add(1);
        }
        if let Some(client) = self.get_mut(conn) {
            client.starved = true;
        }
    }

    /// The connection may try again.
    pub(super) fn feed(&mut self, conn: ConnId) {
        let Some(client) = self.get_mut(conn) else { return };
        if core::mem::take(&mut client.starved) {
            client.fed = true;
            self.want_resume(conn);
        }
    }

    /// Something that several may wait for is free: all of them may try again.
    pub(super) fn feed_all(&mut self) {
        if core::mem::take(&mut self.starved) == 0 {
            return;
        }
        let mut from = 0;
        while let Some(conn) = self.next_from(from) {
            from = conn.slot() + 1;
            self.feed(conn);
        }
    }

    /// Does somebody wait for what others have?
    pub(super) fn some_starve(&self) -> bool {
        self.starved > 0
    }

    /// A block may be free for who waits for one.
    pub(super) fn feed_blocks(&mut self, free: bool) {
        if free {
            self.feed_all();
        }
    }

    fn flag(&mut self, conn: ConnId, set: impl FnOnce(&mut Flags)) {
        let last = self.last_flagged.and_then(|last| self.slab.id_at(usize::from(last)));
        let Some(client) = self.slab.get_mut(conn) else { return };
        set(&mut client.flags);
        if client.flags.listed {
            return;
        }
        client.flags.listed = true;
        client.next_flagged = None;
        let index = conn.slot() as u16;
        match last.and_then(|last| self.slab.get_mut(last)) {
            Some(last) => last.next_flagged = Some(index),
            None => self.first_flagged = Some(index),
        }
        self.last_flagged = Some(index);
    }

    /// The next connection with news, and what they are.
    pub(super) fn next_flagged(&mut self) -> Option<(ConnId, Flags)> {
        let conn = self.slab.id_at(usize::from(self.first_flagged?))?;
        let client = self.slab.get_mut(conn)?;
        let flags = core::mem::take(&mut client.flags);
        self.first_flagged = client.next_flagged.take();
        if self.first_flagged.is_none() {
            self.last_flagged = None;
        }
        Some((conn, flags))
    }

    fn unlist(&mut self, conn: ConnId) {
        let index = conn.slot() as u16;
        let (mut at, mut before) = (self.first_flagged, None::<u16>);
        while let Some(each) = at {
            let id = self.slab.id_at(usize::from(each));
            let next = id.and_then(|id| self.slab.get(id)).and_then(|client| client.next_flagged);
            if each != index {
                (before, at) = (Some(each), next);
                continue;
            }
            match before.and_then(|before| self.slab.id_at(usize::from(before))) {
                Some(before) => {
                    if let Some(client) = self.slab.get_mut(before) {
                        client.next_flagged = next;
                    }
                }
                None => self.first_flagged = next,
            }
            if self.last_flagged == Some(index) {
                self.last_flagged = before;
            }
            return;
        }
    }
}
