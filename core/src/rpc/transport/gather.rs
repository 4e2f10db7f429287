//! Gathering of records that arrive in pieces, and discarding of those that are not needed.

use super::gather_plan::{GatherPlan, word};
use super::intake::{Arrival, Stored};
use super::records::GatherBuffers;
use super::{TransportIx, Transports};
use crate::id::CallId;
use crate::rpc::PeerError;

impl Transports<'_> {
    /// Takes bytes of a record; uses them in place if the record is complete in `rest`.
    pub(super) fn gather(
        &mut self,
        at: TransportIx,
        buffers: &mut GatherBuffers<'_, '_>,
        rest: &[u8],
    ) -> Result<Gathered, PeerError> {
        let Some(transport) = self.get(at) else { return Ok(Gathered::More(rest.len())) };
        let intake = transport.intake;
        let in_fragment = rest.get(..rest.len().min(intake.left as usize)).unwrap_or(rest);
        // A record in one fragment of which nothing is gathered: try to use it in place.
        if intake.have == 0 && intake.last {
            match self.gather_plan(at, in_fragment, intake.left as usize, true)? {
                GatherPlan::Whole if in_fragment.len() == intake.left as usize => {
                    let to = in_fragment.len();
                    self.fragment_used(at, to as u32);
                    return Ok(Gathered::Record(to, Arrival::Staged { from: 0, to }));
                }
                GatherPlan::ReadHead(len) if in_fragment.len() >= len => {
                    self.fragment_used(at, len as u32);
                    return Ok(Gathered::ReadHead(len, Arrival::Staged { from: 0, to: len }));
                }
                GatherPlan::Nothing => {
                    self.forget(at, word(in_fragment, 0));
                    self.drain(at, buffers);
                    return Ok(Gathered::More(0));
                }
                _ => {}
            }
        }
        self.gather_slowly(at, buffers, in_fragment)
    }

    fn gather_slowly(
        &mut self,
        at: TransportIx,
        buffers: &mut GatherBuffers<'_, '_>,
        in_fragment: &[u8],
    ) -> Result<Gathered, PeerError> {
        let mut taken = 0;
        loop {
            let Some(transport) = self.get(at) else {
                return Ok(Gathered::More(in_fragment.len()));
            };
            let intake = transport.intake;
            let have = intake.have as usize;
            let known = intake.last;
            let total = have + intake.left as usize;
            let prefix = buffers.gathered(at, intake.stored, have);
            let want = match self.gather_plan(at, prefix, total, known)? {
                GatherPlan::AtLeast(n) if n <= have && known && intake.left == 0 => have,
                GatherPlan::AtLeast(n) => n.max(have + 1),
                GatherPlan::Whole => total,
                GatherPlan::ReadHead(n) => n,
                GatherPlan::Nothing => {
                    let xid = word(buffers.gathered(at, intake.stored, have), 0);
                    self.forget(at, xid);
                    self.drain(at, buffers);
                    return Ok(Gathered::More(taken));
                }
            };
            let is_head = matches!(
                self.gather_plan(at, buffers.gathered(at, intake.stored, have), total, known)?,
                GatherPlan::ReadHead(_)
            );
            if have >= want && (is_head || (known && intake.left == 0)) {
                let arrival = Arrival::Gathered { stored: intake.stored, len: have };
                if !is_head {
                    return Ok(Gathered::Record(taken, arrival));
                }
                return Ok(Gathered::ReadHead(taken, arrival));
            }
            if intake.left == 0 {
                // The next fragment's mark.
                return Ok(Gathered::More(taken));
            }
            let rest = in_fragment.get(taken..).unwrap_or_default();
            if rest.is_empty() {
                return Ok(Gathered::More(taken));
            }
            match self.make_room(at, buffers, want) {
                Room::Yes => {}
                Room::NotNow => return Ok(Gathered::Starved(taken)),
                Room::Never => {
                    let prefix = buffers.gathered(at, intake.stored, have);
                    let call =
                        word(prefix, 0).and_then(|xid| self.answered_by(at, xid)).map(|(id, _)| id);
                    self.drain(at, buffers);
                    return Ok(Gathered::TooLong(taken, call, want));
                }
            }
            let stored = self.get(at).map(|transport| transport.intake.stored).unwrap_or_default();
            let take = rest.len().min(want.saturating_sub(have)).min(intake.left as usize);
            buffers.store(at, stored, have, rest.get(..take).unwrap_or_default());
            taken += take;
            if let Some(transport) = self.get_mut(at) {
                transport.intake.have += take as u32;
                transport.intake.left -= take as u32;
            }
        }
    }

    fn make_room(
        &mut self,
        at: TransportIx,
        buffers: &mut GatherBuffers<'_, '_>,
        want: usize,
    ) -> Room {
        let Some(transport) = self.transports.get(usize::from(at.0)) else { return Room::Never };
        let intake = transport.intake;
        if want <= buffers.size_of(intake.stored) {
            return Room::Yes;
        }
        if intake.stored != Stored::Inline {
            return Room::Never;
        }
        // A GETSPEC reply goes to the spare volfile buffer, any other record to a block.
        let call = word(buffers.gathered(at, Stored::Inline, intake.have as usize), 0)
            .and_then(|xid| self.answered_by(at, xid))
            .map(|(_, call)| *call);
        let stored = match call {
            Some(call) if call.procedure.is_getspec() => Some(Stored::Volfile),
            _ if want > buffers.records.block_bytes() => return Room::Never,
            _ => buffers.records.take_for_intake().map(Stored::Block),
        };
        let Some(transport) = self.get_mut(at) else { return Room::Never };
        let Some(stored) = stored else {
            transport.intake.starved = true;
            self.starved += 1;
            return Room::NotNow;
        };
        transport.intake.stored = stored;
        if want > buffers.size_of(stored) {
            return Room::Never;
        }
        buffers.move_inline(at, stored, intake.have as usize);
        Room::Yes
    }

    /// `len` bytes of the fragment were used in place.
    fn fragment_used(&mut self, at: TransportIx, len: u32) {
        if let Some(transport) = self.get_mut(at) {
            transport.intake.left -= len.min(transport.intake.left);
            transport.intake.have = 0;
            if transport.intake.left == 0 {
                transport.intake.last = false;
            }
        }
    }

    /// The record is dealt with: frees its block and expects a record mark next.
    pub(crate) fn record_over(&mut self, at: TransportIx, buffers: &mut GatherBuffers<'_, '_>) {
        self.release_gathered(at, buffers);
        if let Some(transport) = self.get_mut(at) {
            let intake = &mut transport.intake;
            if intake.payload.is_none() {
                intake.last = false;
                intake.left = 0;
            }
            intake.have = 0;
            intake.drain = false;
        }
    }

    /// The reply to an abandoned call has arrived.
    fn forget(&mut self, at: TransportIx, xid: Option<u32>) {
        let id = xid.and_then(|xid| self.answered_by(at, xid)).map(|(id, _)| id);
        if let Some(id) = id {
            self.take_call(id);
        }
    }

    /// Discards the rest of the record.
    fn drain(&mut self, at: TransportIx, buffers: &mut GatherBuffers<'_, '_>) {
        self.release_gathered(at, buffers);
        if let Some(transport) = self.get_mut(at) {
            transport.intake.drain = true;
            transport.intake.have = 0;
        }
        self.drained(at, 0);
    }

    fn release_gathered(&mut self, at: TransportIx, buffers: &mut GatherBuffers<'_, '_>) {
        let Some(transport) = self.get_mut(at) else { return };
        if let Stored::Block(block) = core::mem::take(&mut transport.intake.stored) {
            buffers.records.give(block);
        }
    }

    /// Counts `len` discarded bytes. Returns whether the record is over.
    pub(super) fn drained(&mut self, at: TransportIx, len: u32) -> bool {
        let Some(transport) = self.get_mut(at) else { return false };
        let intake = &mut transport.intake;
        intake.left -= len.min(intake.left);
        if intake.left == 0 && intake.last {
            intake.drain = false;
            intake.last = false;
            intake.have = 0;
            return true;
        }
        intake.left == 0
    }
}

/// The result of gathering: bytes taken, and what they complete.
pub(super) enum Gathered {
    /// More of the record is needed.
    More(usize),
    /// No block is free.
    Starved(usize),
    /// The record fits no buffer: the call that it answers, and the bytes needed.
    TooLong(usize, Option<CallId>, usize),
    Record(usize, Arrival),
    ReadHead(usize, Arrival),
}

/// Whether the buffer of a record has room for more of it.
enum Room {
    Yes,
    NotNow,
    Never,
}
