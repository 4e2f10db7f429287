//! Connections: records to send, records received, calls in flight. This layer does not know what a
//! call means; each call has a [`Purpose`], which is returned with its reply.
//!
//! A *transport* is an entry of the table. Each dial of it is a connection with a new [`ConnId`],
//! so events that an adapter reports for an earlier connection are ignored.

mod calls;
mod gather;
mod gather_plan;
mod intake;
mod outgoing;
mod outputs;
mod records;
mod ring;

use managed::ManagedSlice;

pub use calls::Call;
pub(crate) use calls::{CallError, NewCall, Purpose};
pub(crate) use intake::{Arrival, Feed, IntakeState, Payload, Stored};
pub(crate) use outputs::Flags;
pub(crate) use records::{BlockIx, GatherBuffers, Records, VolfileBuffers};
pub use records::{BlockSlot, INLINE_BYTES, InlineBuffer};
pub(crate) use ring::Ring;

use crate::id::{CallId, ConnId, FrameId, Id, next_generation};
use crate::slab::{Slab, Slot};
use crate::time::Instant;

/// Index of a transport in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TransportIx(pub(crate) u16);

/// The user of a transport.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Owner {
    /// None: the entry is free.
    #[default]
    Free,
    /// The session with glusterd.
    Glusterd,
    /// A `protocol/client` node of a graph, and which of its lanes.
    Brick { graph: u8, node: u16, lane: u8 },
}

/// The state of a transport's connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum TransportState {
    #[default]
    Closed,
    Dialing,
    Open,
}

/// One connection: its queue of records to send, its receiving state, its calls in flight.
#[derive(Clone, Copy, Debug, Default)]
pub struct Transport {
    pub(crate) owner: Owner,
    pub(crate) state: TransportState,
    generation: u16,
    /// The first and last call whose record is not sent completely; the calls link the list.
    first_out: Option<CallId>,
    last_out: Option<CallId>,
    /// Bytes of the first record that are sent.
    sent: u32,
    ring: Ring,
    pub(crate) intake: IntakeState,
    /// The first and last call in flight; the calls link the list.
    first_call: Option<CallId>,
    last_call: Option<CallId>,
    pub(crate) in_flight: u32,
    /// Abandoned calls in flight.
    pub(crate) abandoned: u16,
    /// Bytes of the expected replies to the calls in flight.
    owed: u64,
    /// Frames that wait for room in the ring, in order of arrival.
    pub(crate) waiting: Fifo,
    /// The time since which nothing was received although calls were in flight.
    pub(crate) quiet_since: Instant,
    pub(crate) last_heard: Instant,
    pub(crate) pinging: bool,
    flags: Flags,
    next_flagged: Option<u16>,
    /// The block that a record was gathered in when the connection ended, until it is freed.
    orphan: Option<BlockIx>,
}

/// First and last of a list of frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fifo {
    pub(crate) first: Option<FrameId>,
    pub(crate) last: Option<FrameId>,
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
    /// Upper bound of the number of connections that wait for a block.
    starved: u32,
    /// Upper bound of the number of blocks in `orphan`.
    orphans: u32,
    /// Slots of the table of calls that fops leave free.
    pub(crate) kept_calls: u16,
    /// A frame found the table of calls full; and since then a call has left it.
    wants_call: bool,
    call_freed: bool,
    /// The transport whose waiting frames get the next free call.
    turn: TransportIx,
    /// Abandoned calls that a connection may have before it is closed.
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
            kept_calls: 1,
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

    /// Number of transports in use.
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

    /// Frees a closed transport.
    pub(crate) fn release(&mut self, at: TransportIx) {
        if let Some(transport) = self.get_mut(at) {
            transport.owner = Owner::Free;
        }
    }

    /// The transport of which `conn` is the current connection.
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

    /// Hands the transports of graph `old` to graph `new`.
    pub(crate) fn move_graph(&mut self, old: u8, new: u8) {
        for transport in self.transports.iter_mut() {
            if let Owner::Brick { graph, .. } = &mut transport.owner
                && *graph == old
            {
                *graph = new;
            }
        }
    }

    /// Resets the count of abandoned calls of a closed connection.
    pub(crate) fn drop_abandoned(&mut self, at: TransportIx) {
        if let Some(transport) =
            self.get_mut(at).filter(|transport| transport.state == TransportState::Closed)
        {
            transport.abandoned = 0;
        }
    }

    /// Lets connections that found no free block read again.
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

    /// Replaces block `from`, in which the connection's record was gathered, by `to`.
    pub(crate) fn swap_gathered(&mut self, at: TransportIx, from: BlockIx, to: BlockIx) {
        let Some(transport) = self.get_mut(at) else { return };
        // The reply may have closed its own connection: the last one of a graph that was replaced.
        if transport.orphan == Some(from) {
            transport.orphan = Some(to);
        } else {
            transport.intake.set_stored(Stored::Block(to));
        }
    }

    /// Takes a block that a closed connection has left.
    pub(crate) fn take_orphan(&mut self) -> Option<BlockIx> {
        if self.orphans == 0 {
            return None;
        }
        let orphan = self.transports.iter_mut().find_map(|transport| transport.orphan.take());
        self.orphans = if orphan.is_some() { self.orphans - 1 } else { 0 };
        orphan
    }

    /// The transport whose turn it is, if a call has left the table since it was found full.
    pub(crate) fn calls_freed(&mut self) -> Option<TransportIx> {
        if !core::mem::take(&mut self.call_freed) {
            return None;
        }
        self.wants_call = false;
        Some(self.turn)
    }

    /// Whether a frame found the table of calls full again.
    pub(crate) fn wants_call(&self) -> bool {
        self.wants_call
    }

    /// Sets the transport whose turn it is when the next call leaves the table.
    pub(crate) fn serve_first(&mut self, at: TransportIx) {
        self.turn = at;
    }

    /// Asks the adapter to dial, with a new connection id.
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

    /// Closes the connection and drops its unsent records. The caller removes its calls with
    /// [`Transports::take_call`], before or after. `tell`: ask the adapter to close its socket;
    /// false if the adapter reported the end.
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
        // The adapter does not know of a dial that it has not been asked for.
        if tell && !undialled {
            transport.flags.close = conn;
            self.flag(at);
        }
    }

    /// Bytes that the peer will send if all calls in flight succeed.
    pub(crate) fn owed(&self, at: TransportIx) -> u64 {
        self.get(at).map_or(0, |transport| transport.owed)
    }
}
