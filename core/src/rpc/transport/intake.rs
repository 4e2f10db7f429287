//! Bytes in: marks, fragments, buffers, and the payload of READ replies, which the core never sees.
//!
//! A record that stands completely in what the adapter hands over is used where it stands. One that comes in pieces is
//! gathered: in the connection's small inline_buffer, or in a block where it does not fit. Of a READ reply only the part before the
//! payload is gathered; the payload has a place of its own, which the adapter is told each time it asks.

use super::gather_plan::{GatherPlan, RECORD_MIN, word};
use super::records::{BlockIx, GatherBuffers};
use super::{Purpose, TransportIx, TransportState, Transports};
use crate::boundary::{Intake, Range};
use crate::id::CallId;
use crate::rpc::{PeerError, RecordMark};

/// Where gathered bytes of a record stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stored {
    /// In the transport's inline_buffer.
    #[default]
    Inline,
    /// In a block.
    Block(BlockIx),
    /// In the spare volfile buffer.
    Volfile,
}

/// Where the intake of a connection stands.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct IntakeState {
    /// The mark, as far as it has come.
    mark: [u8; 4],
    mark_have: u8,
    /// Left of the fragment, and whether it is the last.
    left: u32,
    last: bool,
    /// Bytes gathered of the record, and where.
    have: u32,
    stored: Stored,
    /// The record is being drained: nobody wants it, or it is too long for whoever does.
    drain: bool,
    pub(crate) payload: Option<Payload>,
    /// No block was free.
    pub(crate) starved: bool,
}

/// A READ reply whose payload is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Payload {
    pub(crate) call: CallId,
    /// Announced bytes.
    pub(crate) len: u32,
    pub(crate) at: u32,
    /// The READ reached the end of the file.
    pub(crate) eof: bool,
    /// The file's size, as the reply says.
    pub(crate) size: u64,
}

/// A record, or the head of a READ reply, that is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// These bytes of what was handed over.
    Staged { from: usize, to: usize },
    /// So many gathered bytes.
    Gathered { stored: Stored, len: usize },
}

/// What feeding bytes led to; `used` bytes of them are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Feed {
    /// Nothing more to do with these bytes.
    More { used: usize },
    /// A complete record.
    Record { used: usize, arrival: Arrival },
    /// The head of a READ reply; `left` bytes of payload follow in this fragment if it is the last one.
    ReadHead { used: usize, arrival: Arrival, last: bool, left: u32 },
    /// The answer to this call does not fit where records are gathered; its bytes are being drained.
    TooLong { used: usize, call: Option<CallId>, len: usize },
    /// The payload comes next, or nothing can be taken now: ask `intake`.
    Stop { used: usize },
}

impl Transports<'_> {
    /// Where the next bytes of the connection belong.
    pub(crate) fn intake(&self, at: TransportIx) -> Intake {
        let Some(transport) = self.get(at) else { return Intake::Closed };
        if transport.state != TransportState::Open {
            return Intake::Closed;
        }
        let intake = &transport.intake;
        if let Some(payload) = intake.payload {
            if intake.left == 0 {
                return Intake::Core;
            }
            let len = (payload.len - payload.at).min(intake.left);
            return match self.calls.get(payload.call) {
                Some(call) if call.purpose != Purpose::Abandoned => match call.into {
                    Some(into) => {
                        Intake::Place(Range { op: into.op, at: into.at + payload.at, len })
                    }
                    None => Intake::Discard { len },
                },
                _ => Intake::Discard { len },
            };
        }
        if intake.drain && intake.left > 0 {
            return Intake::Discard { len: intake.left };
        }
        if intake.starved { Intake::Wait } else { Intake::Core }
    }

    /// Takes bytes until a record is complete, a payload begins, or there are no more.
    pub(crate) fn feed(
        &mut self,
        at: TransportIx,
        buffers: &mut GatherBuffers<'_, '_>,
        bytes: &[u8],
    ) -> Result<Feed, PeerError> {
        let mut used = 0;
        loop {
            let Some(transport) = self.get_mut(at) else {
                return Ok(Feed::Stop { used: bytes.len() });
            };
            let owner = transport.owner;
            let intake = &mut transport.intake;
            let rest = bytes.get(used..).unwrap_or_default();
            if intake.left == 0 && !(intake.last && intake.have > 0) {
                let take = rest.len().min(4 - usize::from(intake.mark_have));
                if take == 0 {
                    return Ok(Feed::More { used });
                }
                used += take;
                let Some(fragment) = intake.take_mark(rest, take)? else { continue };
                let max = buffers.record_max(owner);
                let len = fragment.saturating_add(intake.have);
                if len > max {
                    return Err(PeerError::RecordTooLong { len, max });
                }
                if intake.drain {
                    self.drained(at, 0);
                }
                continue;
            }
            if intake.payload.is_some() {
                return Ok(Feed::Stop { used });
            }
            if intake.drain {
                let take = rest.len().min(intake.left as usize);
                used += take;
                if self.drained(at, take as u32) || take < rest.len() {
                    continue;
                }
                return Ok(Feed::More { used });
            }
            match self.gather(at, buffers, rest)? {
                Gathered::More(taken) => {
                    used += taken;
                    if used == bytes.len() {
                        return Ok(Feed::More { used });
                    }
                }
                Gathered::Starved(taken) => return Ok(Feed::Stop { used: used + taken }),
                Gathered::TooLong(taken, call, len) => {
                    return Ok(Feed::TooLong { used: used + taken, call, len });
                }
                Gathered::Record(taken, arrival) => {
                    let arrival = arrival.shifted(used);
                    return Ok(Feed::Record { used: used + taken, arrival });
                }
                Gathered::ReadHead(taken, arrival) => {
                    let arrival = arrival.shifted(used);
                    let (last, left) = self.get(at).map_or((true, 0), |transport| {
                        (transport.intake.last, transport.intake.left)
                    });
                    return Ok(Feed::ReadHead { used: used + taken, arrival, last, left });
                }
            }
        }
    }

    /// Gathers bytes of a record behind its mark: straight from `rest` where that suffices.
    fn gather(
        &mut self,
        at: TransportIx,
        buffers: &mut GatherBuffers<'_, '_>,
        rest: &[u8],
    ) -> Result<Gathered, PeerError> {
        let Some(transport) = self.get(at) else { return Ok(Gathered::More(rest.len())) };
        let intake = transport.intake;
        let in_fragment = rest.get(..rest.len().min(intake.left as usize)).unwrap_or(rest);
        // Nothing gathered yet, one fragment: try to use the record where it stands.
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
        // A call whose operation has reserved a block for its answer gathers straight into it.
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

    /// Bytes of the fragment were used where they stood.
    fn fragment_used(&mut self, at: TransportIx, len: u32) {
        if let Some(transport) = self.get_mut(at) {
            transport.intake.left -= len.min(transport.intake.left);
            transport.intake.have = 0;
            if transport.intake.left == 0 {
                transport.intake.last = false;
            }
        }
    }

    /// The record is over: what follows is a mark. Gives back the block it was gathered in.
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

    /// The answer that an abandoned call still owed has come.
    fn forget(&mut self, at: TransportIx, xid: Option<u32>) {
        let id = xid.and_then(|xid| self.answered_by(at, xid)).map(|(id, _)| id);
        if let Some(id) = id {
            self.take_call(id);
        }
    }

    /// Drains what is left of the record.
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

    /// Bytes of a drained record are gone. Says whether the record is over.
    fn drained(&mut self, at: TransportIx, len: u32) -> bool {
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

    /// The adapter placed, or threw away, `n` bytes. The READ whose payload is complete with them, if one is.
    pub(crate) fn placed(
        &mut self,
        at: TransportIx,
        n: usize,
    ) -> Result<Option<Payload>, PeerError> {
        let Some(transport) = self.get_mut(at) else { return Ok(None) };
        let intake = &mut transport.intake;
        let n = u32::try_from(n).unwrap_or(u32::MAX).min(intake.left);
        let Some(payload) = &mut intake.payload else {
            if intake.drain {
                self.drained(at, n);
            }
            return Ok(None);
        };
        intake.left -= n;
        payload.at = payload.at.saturating_add(n).min(payload.len);
        let done = *payload;
        let record_over = intake.left == 0 && intake.last;
        match (done.at == done.len, record_over) {
            (false, false) => Ok(None),
            (true, true) => {
                intake.payload = None;
                intake.last = false;
                intake.have = 0;
                Ok(Some(done))
            }
            // Only a record of several fragments can come to this: the length of others was checked before.
            _ => {
                let carried = done.at.saturating_add(intake.left);
                Err(PeerError::ReadLength { announced: done.len, asked: done.len, carried })
            }
        }
    }
}

impl IntakeState {
    pub(super) fn set_stored(&mut self, stored: Stored) {
        self.stored = stored;
    }

    /// Where the record is gathered.
    pub(super) fn block(&self) -> Stored {
        self.stored
    }

    /// Takes bytes of a mark. The fragment's length, once the mark is complete.
    fn take_mark(&mut self, rest: &[u8], take: usize) -> Result<Option<u32>, PeerError> {
        for byte in rest.iter().take(take) {
            if let Some(slot) = self.mark.get_mut(usize::from(self.mark_have)) {
                *slot = *byte;
            }
            self.mark_have += 1;
        }
        if self.mark_have < 4 {
            return Ok(None);
        }
        self.mark_have = 0;
        let mark = RecordMark::parse(self.mark);
        if mark.len == 0 && !mark.last {
            return Err(PeerError::EmptyFragment);
        }
        let len = mark.len.saturating_add(self.have);
        match self.payload {
            // The payload is not complete, or its record would be over.
            Some(payload) if mark.len == 0 => {
                let carried = payload.at;
                return Err(PeerError::ReadLength {
                    announced: payload.len,
                    asked: payload.len,
                    carried,
                });
            }
            None if len < RECORD_MIN && mark.last && !self.drain => {
                return Err(PeerError::RecordTooShort { len });
            }
            _ => {}
        }
        self.left = mark.len;
        self.last = mark.last;
        Ok(Some(mark.len))
    }
}

impl Arrival {
    fn shifted(self, by: usize) -> Self {
        match self {
            Self::Staged { from, to } => Self::Staged { from: from + by, to: to + by },
            gathered => gathered,
        }
    }
}

enum Gathered {
    More(usize),
    Starved(usize),
    TooLong(usize, Option<CallId>, usize),
    Record(usize, Arrival),
    ReadHead(usize, Arrival),
}

enum Room {
    Yes,
    NotNow,
    Never,
}
