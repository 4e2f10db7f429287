//! Received bytes: record marks, fragments, gathering, and the payload of READ replies.
//!
//! A record that is complete in the bytes that the adapter passes is used in place. One that
//! arrives in pieces is gathered: in the connection's inline buffer, or in a block if it is larger.
//! Of a READ reply only the head is gathered; the adapter asks [`Transports::intake`] where the
//! payload goes and writes it there.

use super::gather::Gathered;
use super::gather_plan::RECORD_MIN;
use super::records::{BlockIx, GatherBuffers};
use super::{Purpose, TransportIx, TransportState, Transports};
use crate::boundary::{Intake, Range};
use crate::id::CallId;
use crate::rpc::{PeerError, RecordMark};

/// The buffer that a record is gathered in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stored {
    /// The transport's inline buffer.
    #[default]
    Inline,
    /// A block.
    Block(BlockIx),
    /// The spare volfile buffer.
    Volfile,
}

/// The receiving state of a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct IntakeState {
    /// The record mark, as far as it has been received.
    pub(super) mark: [u8; 4],
    pub(super) mark_have: u8,
    /// Bytes left of the fragment, and whether it is the record's last.
    pub(super) left: u32,
    pub(super) last: bool,
    /// Bytes gathered of the record, and the buffer they are in.
    pub(super) have: u32,
    pub(super) stored: Stored,
    /// The rest of the record is discarded: its call was abandoned, or it fits no buffer.
    pub(super) drain: bool,
    pub(crate) payload: Option<Payload>,
    /// No block was free: reading is suspended.
    pub(crate) starved: bool,
}

/// A READ reply whose payload is being received.
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

/// Where a complete record, or the complete head of a READ reply, is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// In these bytes of what the adapter passed.
    Staged { from: usize, to: usize },
    /// In the first `len` bytes of this buffer.
    Gathered { stored: Stored, len: usize },
}

/// The result of feeding bytes, of which `used` were taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Feed {
    /// All bytes are taken and no record is complete.
    More { used: usize },
    /// A complete record.
    Record { used: usize, arrival: Arrival },
    /// The head of a READ reply; `left` bytes of payload follow in this fragment, which is the
    /// record's last one if `last`.
    ReadHead { used: usize, arrival: Arrival, last: bool, left: u32 },
    /// The reply to this call fits no buffer; its bytes are discarded.
    TooLong { used: usize, call: Option<CallId>, len: usize },
    /// Payload follows, or no block is free: ask `intake`.
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

    /// Says whether the peer owes the rest of a record. A connection that waits for a block may
    /// have the rest unread.
    pub(crate) fn owes_record(&self, at: TransportIx) -> bool {
        self.get(at).is_some_and(|transport| {
            let intake = &transport.intake;
            let begun = intake.mark_have > 0 || intake.left > 0 || intake.have > 0;
            transport.state == TransportState::Open && begun && !intake.starved
        })
    }

    /// Takes bytes until a record is complete, a payload begins, or all are taken.
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

    /// Counts `n` bytes that the adapter placed or discarded. Returns the READ whose payload they
    /// complete.
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
            // Only a record of several fragments gets here: the length of others was checked with
            // the head.
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

    /// The buffer that the record is gathered in.
    pub(super) fn block(&self) -> Stored {
        self.stored
    }

    /// Takes bytes of a record mark. Returns the fragment's length once the mark is complete.
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
            // The record ends before its payload is complete.
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
