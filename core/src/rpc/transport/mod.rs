//! Connections: records out, records in, the calls in flight on each. No word of what a call means: that is its
//! [`Purpose`], which goes back to whoever made it.
//!
//! A *transport* is a place in the table; each dial of it is a connection with a [`ConnId`] of its own, so that what an
//! adapter says of an earlier one is ignored.

mod calls;
mod gather_plan;
mod intake;
mod outgoing;
mod records;
mod ring;

use managed::ManagedSlice;

pub use calls::Call;
pub(crate) use calls::{CallError, NewCall, Purpose};
pub(crate) use intake::{Arrival, Feed, IntakeState, Payload, Stored};
pub(crate) use records::{BlockIx, GatherBuffers, Records, VolfileBuffers};
pub use records::{BlockSlot, INLINE_BYTES, InlineBuffer};
pub(crate) use ring::Ring;

use crate::id::{CallId, ConnId, FrameId, Id, next_generation};
use crate::slab::{Slab, Slot};
use crate::time::Instant;

/// Index of a transport in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TransportIx(pub(crate) u16);

/// Who uses a transport.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Owner {
    /// Nobody.
    #[default]
    Free,
    /// The session with glusterd.
    Glusterd,
    /// A `protocol/client` node of a graph, and which of its lanes.
    Brick { graph: u8, node: u16, lane: u8 },
}

/// Where a connection stands, seen from the transport.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum TransportState {
    #[default]
    Closed,
    Dialing,
    Open,
}

/// One connection, its queue of records to send, and where its intake stands.
#[derive(Clone, Copy, Debug, Default)]
pub struct Transport {
    pub(crate) owner: Owner,
    pub(crate) state: TransportState,
    generation: u16,
    /// Records not yet sent completely, first and last; each call names the next.
    first_out: Option<CallId>,
    last_out: Option<CallId>,
    /// Bytes of the first record that are sent.
    sent: u32,
    ring: Ring,
    pub(crate) intake: IntakeState,
    /// Calls without an answer, linked through the calls.
    first_call: Option<CallId>,
    last_call: Option<CallId>,
    pub(crate) in_flight: u32,
    /// Calls that nobody waits for, whose answers are still owed.
    pub(crate) abandoned: u16,
    /// Bytes that the answers to the calls in flight bring, by their kind.
    owed: u64,
    /// Frames that wait for room to be encoded, first come first served.
    pub(crate) waiting: Fifo,
    /// Since when nothing was heard although something is owed.
    pub(crate) quiet_since: Instant,
    pub(crate) last_heard: Instant,
    pub(crate) pinging: bool,
    flags: Flags,
    next_flagged: Option<u16>,
    /// The block that a record was being gathered in when the connection ended, until it is given back.
    orphan: Option<BlockIx>,
}

/// First and last of a list of frames.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fifo {
    pub(crate) first: Option<FrameId>,
    pub(crate) last: Option<FrameId>,
}

/// What the adapter is yet to be told of a transport.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    listed: bool,
    pub(crate) close: Option<ConnId>,
    pub(crate) connect: bool,
    pub(crate) transmit: bool,
    pub(crate) resume: bool,
}

/// All transports, the calls in flight, and the bytes of encoded heads.
#[derive(Debug)]
pub(crate) struct Transports<'m> {
    transports: ManagedSlice<'m, Transport>,
    pub(crate) calls: Slab<'m, Call, CallId>,
    heads: ManagedSlice<'m, u8>,
    head_bytes: usize,
    first_flagged: Option<u16>,
    last_flagged: Option<u16>,
    /// Connections whose intake waits for a block, at least.
    starved: u32,
    /// Blocks that connections had when they ended, at least.
    orphans: u32,
    /// Somebody found the table of calls full, and since then a call has left it.
    wants_call: bool,
    call_freed: bool,
    /// Where those who wait for a call are looked for first.
    turn: TransportIx,
    /// Abandoned calls a connection may have before it is given up.
    pub(crate) abandoned_max: u16,
}

impl<'m> Transports<'m> {
    pub(crate) fn new(
        transports: ManagedSlice<'m, Transport>,
        calls: ManagedSlice<'m, Slot<Call>>,
        heads: ManagedSlice<'m, u8>,
    ) -> Self {
        let head_bytes = heads.len().checked_div(transports.len()).unwrap_or(0);
        let calls = Slab::new(calls);
        let abandoned_max = (calls.capacity() / 2).clamp(1, 1024) as u16;
        Self {
            transports,
            calls,
            heads,
            head_bytes,
            first_flagged: None,
            last_flagged: None,
            starved: 0,
            orphans: 0,
            wants_call: false,
            call_freed: false,
            turn: TransportIx(0),
            abandoned_max,
        }
    }

    pub(crate) fn get(&self, transport: TransportIx) -> Option<&Transport> {
        self.transports.get(usize::from(transport.0))
    }

    pub(crate) fn get_mut(&mut self, transport: TransportIx) -> Option<&mut Transport> {
        self.transports.get_mut(usize::from(transport.0))
    }

    pub(crate) fn count(&self) -> usize {
        self.transports.len()
    }

    /// Transports that somebody uses.
    pub(crate) fn claimed(&self) -> usize {
        self.transports.iter().filter(|transport| transport.owner != Owner::Free).count()
    }

    /// Takes a free transport for `owner`.
    pub(crate) fn claim(&mut self, owner: Owner) -> Option<TransportIx> {
        let index = self.transports.iter().position(|transport| transport.owner == Owner::Free)?;
        let transport = self.transports.get_mut(index)?;
        let (generation, flags, next_flagged, orphan) =
            (transport.generation, transport.flags, transport.next_flagged, transport.orphan);
        *transport =
            Transport { owner, generation, flags, next_flagged, orphan, ..Transport::default() };
        Some(TransportIx(index as u16))
    }

    /// Gives a closed transport back.
    pub(crate) fn release(&mut self, at: TransportIx) {
        if let Some(transport) = self.get_mut(at) {
            transport.owner = Owner::Free;
        }
    }

    /// The transport that `conn` is the living connection of.
    pub(crate) fn find(&self, conn: ConnId) -> Option<TransportIx> {
        let at = TransportIx(u16::try_from(conn.index()).ok()?);
        let transport = self.get(at)?;
        (transport.state != TransportState::Closed && transport.generation == conn.generation())
            .then_some(at)
    }

    pub(crate) fn conn(&self, at: TransportIx) -> Option<ConnId> {
        let transport = self.get(at)?;
        (transport.state != TransportState::Closed)
            .then(|| ConnId::new(u32::from(at.0), transport.generation))
    }

    pub(crate) fn is_open(&self, at: TransportIx) -> bool {
        self.get(at).is_some_and(|transport| transport.state == TransportState::Open)
    }

    /// The transports of graph `old` are those of graph `new`.
    pub(crate) fn move_graph(&mut self, old: u8, new: u8) {
        for transport in self.transports.iter_mut() {
            if let Owner::Brick { graph, .. } = &mut transport.owner
                && *graph == old
            {
                *graph = new;
            }
        }
    }

    /// Forgets what was given up on a connection that is over.
    pub(crate) fn drop_abandoned(&mut self, at: TransportIx) {
        if let Some(transport) =
            self.get_mut(at).filter(|transport| transport.state == TransportState::Closed)
        {
            transport.abandoned = 0;
        }
    }

    /// Connections that found no block may read on.
    pub(crate) fn resume_starved(&mut self) {
        if self.starved == 0 {
            return;
        }
        self.starved = 0;
        for index in 0..self.transports.len() {
            let Some(transport) = self.transports.get_mut(index) else { continue };
            if core::mem::take(&mut transport.intake.starved) {
                self.want_resume(TransportIx(index as u16));
            }
        }
    }

    /// The block `from` that a record was gathered in is the block `to` now.
    pub(crate) fn swap_gathered(&mut self, at: TransportIx, from: BlockIx, to: BlockIx) {
        let Some(transport) = self.get_mut(at) else { return };
        // The answer may have ended its own connection (the last one on a graph that goes).
        if transport.orphan == Some(from) {
            transport.orphan = Some(to);
        } else {
            transport.intake.set_stored(Stored::Block(to));
        }
    }

    /// A block that a connection had when it ended.
    pub(crate) fn take_orphan(&mut self) -> Option<BlockIx> {
        if self.orphans == 0 {
            return None;
        }
        let orphan = self.transports.iter_mut().find_map(|transport| transport.orphan.take());
        self.orphans = if orphan.is_some() { self.orphans - 1 } else { 0 };
        orphan
    }

    /// Has a call left the full table since somebody found it full? Then: whose turn it is.
    pub(crate) fn calls_freed(&mut self) -> Option<TransportIx> {
        if !core::mem::take(&mut self.call_freed) {
            return None;
        }
        self.wants_call = false;
        Some(self.turn)
    }

    /// Did somebody find the table full again?
    pub(crate) fn wants_call(&self) -> bool {
        self.wants_call
    }

    /// Whose turn it is when the next call has left the table.
    pub(crate) fn serve_first(&mut self, at: TransportIx) {
        self.turn = at;
    }

    /// Asks the adapter to dial; a new connection id from here on.
    pub(crate) fn dial(&mut self, at: TransportIx, now: Instant) {
        let Some(transport) = self.get_mut(at) else { return };
        transport.generation = next_generation(transport.generation);
        transport.state = TransportState::Dialing;
        transport.quiet_since = now;
        transport.flags.connect = true;
        self.flag(at);
    }

    pub(crate) fn opened(&mut self, at: TransportIx, now: Instant) {
        if let Some(transport) = self.get_mut(at) {
            transport.state = TransportState::Open;
            transport.quiet_since = now;
            transport.last_heard = now;
        }
    }

    /// The connection is over. Its calls must have been taken with [`Transports::take_call`] before or after; what waits to
    /// be sent is forgotten. `tell` says whether the adapter has to be told (it has not if it told us).
    pub(crate) fn shut(&mut self, at: TransportIx, tell: bool) {
        let conn = self.conn(at);
        let mut orphaned = false;
        let Some(transport) = self.get_mut(at) else { return };
        let undialled = transport.flags.connect;
        transport.state = TransportState::Closed;
        transport.first_out = None;
        transport.last_out = None;
        transport.sent = 0;
        transport.ring = Ring::default();
        if let Stored::Block(block) = core::mem::take(&mut transport.intake).block() {
            transport.orphan = Some(block);
            orphaned = true;
        }
        transport.owed = 0;
        transport.pinging = false;
        transport.flags.connect = false;
        transport.flags.transmit = false;
        transport.flags.resume = false;
        self.orphans += u32::from(orphaned);
        let Some(transport) = self.get_mut(at) else { return };
        // A dial that the adapter was never asked for needs no close.
        if tell && !undialled {
            transport.flags.close = conn;
            self.flag(at);
        }
    }

    pub(crate) fn want_transmit(&mut self, at: TransportIx) {
        if let Some(transport) = self.get_mut(at) {
            transport.flags.transmit = true;
            self.flag(at);
        }
    }

    pub(crate) fn want_resume(&mut self, at: TransportIx) {
        if let Some(transport) = self.get_mut(at) {
            transport.flags.resume = true;
            self.flag(at);
        }
    }

    fn flag(&mut self, at: TransportIx) {
        let last = self.last_flagged;
        let Some(transport) = self.get_mut(at) else { return };
        if transport.flags.listed {
            return;
        }
        transport.flags.listed = true;
        transport.next_flagged = None;
        match last.and_then(|last| self.transports.get_mut(usize::from(last))) {
            Some(last) => last.next_flagged = Some(at.0),
            None => self.first_flagged = Some(at.0),
        }
        self.last_flagged = Some(at.0);
    }

    /// The next transport with news for the adapter, and what they are.
    pub(crate) fn next_flagged(&mut self) -> Option<(TransportIx, Flags)> {
        let at = self.first_flagged?;
        let transport = self.transports.get_mut(usize::from(at))?;
        let flags = core::mem::take(&mut transport.flags);
        self.first_flagged = transport.next_flagged.take();
        if self.first_flagged.is_none() {
            self.last_flagged = None;
        }
        Some((TransportIx(at), flags))
    }

    /// Puts back what could not be said in one output.
    pub(crate) fn put_back(&mut self, at: TransportIx, flags: Flags) {
        if let Some(transport) = self.get_mut(at) {
            let listed = transport.flags.listed;
            transport.flags = Flags { listed, ..flags };
            self.flag(at);
        }
    }

    /// Bytes that the peer sends if all calls in flight succeed.
    pub(crate) fn owed(&self, at: TransportIx) -> u64 {
        self.get(at).map_or(0, |transport| transport.owed)
    }
}
