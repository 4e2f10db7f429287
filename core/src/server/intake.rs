//! Parses received bytes: record marks, fragments, and the payload of WRITE calls, which goes into
//! a buffer of the storage.
//!
//! A call that is complete in the received bytes is used in place, payload included. A call that
//! arrives in pieces is gathered in the connection's inline buffer or in a block. Of a long WRITE
//! in one fragment, which is how every client sends it, only the part before the payload is
//! gathered; records of several fragments are gathered whole.

use super::{BufferId, Place};
use crate::id::ConnId;
use crate::rpc::transport::{Records, Stored, TransportIx};
use crate::rpc::{PeerError, Procedure, RecordMark};
use crate::xdr::{Fault, XdrError, padded};

/// Bytes of the smallest call: a header with an empty credential and verifier.
const CALL_MIN: u32 = 40;
/// The longest body of a credential or verifier (docs/spec/01-wire.md, "Credentials").
const AUTH_MAX: u32 = 400;
/// Bytes of WRITE's arguments before its xdata.
const WRITE_ARGS: usize = 40;
/// Bytes of an xdata before its pairs: its size, a count, and the number of pairs.
const XDATA_HEAD: usize = 12;

/// Parser state of a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct IntakeState {
    mark: [u8; 4],
    mark_have: u8,
    /// Inside a fragment: its mark is parsed.
    inside: bool,
    /// Bytes left of the fragment, and whether it is the record's last.
    left: u32,
    last: bool,
    /// Bytes gathered of the record, and where they are.
    have: u32,
    stored: Stored,
    pub(super) payload: Option<Incoming>,
    rest: Rest,
}

/// Destination of the rest of a record whose head is gathered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Rest {
    /// To the head, or to one buffer.
    #[default]
    Together,
    /// The storage, part by part: it is the payload of a long WRITE.
    Parts,
    /// None: the call is refused and the rest is dropped.
    Nowhere,
}

/// The payload of a WRITE that is being received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Incoming {
    pub(super) buffer: BufferId,
    pub(super) len: u32,
    pub(super) at: u32,
}

/// Result of [`IntakeState::advance`]; `used` bytes are consumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// All bytes are consumed; more are needed.
    More { used: usize },
    /// The next `len` bytes are a complete record. Call [`IntakeState::finish_record`] when it is
    /// handled.
    Staged { used: usize, len: usize },
    /// A complete record is gathered. Call [`IntakeState::finish_record`] when it is handled.
    Gathered { used: usize },
    /// The head of a WRITE is gathered; a buffer is needed for the `len` bytes of payload that
    /// follow.
    WriteHead { used: usize, len: u32 },
    /// No block is free to gather in.
    Starved { used: usize },
    /// The payload of a WRITE comes next: see [`IntakeState::place`].
    Stop { used: usize },
    /// The head of a call is gathered whose record is too long to be gathered.
    TooLong { used: usize, len: u32 },
    /// `left` bytes of a long WRITE's payload follow; the next part needs a buffer.
    Part { used: usize, left: u32 },
    /// The rest of a refused call is dropped.
    Dropped { used: usize },
}

/// How much of a call to gather.
enum GatherPlan {
    /// At least so many bytes are needed to decide.
    AtLeast(usize),
    /// The whole record.
    Whole,
    /// So many bytes; the payload follows.
    Head(usize),
    /// The record is too long. So many bytes say which call it is; the rest is dropped.
    TooLong(usize),
}

impl IntakeState {
    /// Where the next bytes of payload belong.
    pub(super) fn place(&self) -> Option<Place> {
        let payload = self.payload?;
        Some(Place { buffer: payload.buffer, at: payload.at, len: payload.len - payload.at })
    }

    /// `n` bytes of payload were placed. Returns whether the payload is complete.
    pub(super) fn placed(&mut self, n: usize) -> bool {
        let Some(payload) = &mut self.payload else { return false };
        let n = u32::try_from(n).unwrap_or(u32::MAX).min(payload.len - payload.at);
        payload.at += n;
        self.left -= n.min(self.left);
        payload.at == payload.len
    }

    /// Does it hold a block?
    pub(super) fn has_block(&self) -> bool {
        matches!(self.stored, Stored::Block(_))
    }

    /// Does it hold memory for a call that is not complete?
    pub(super) fn keeps_memory(&self) -> bool {
        self.payload.is_some() || self.has_block() || self.rest != Rest::Together
    }

    /// The rest of the record is the payload of a long WRITE.
    pub(super) fn part_by_part(&mut self) {
        self.rest = Rest::Parts;
    }

    /// The rest of the record is to be dropped.
    pub(super) fn drop_rest(&mut self) {
        self.rest = Rest::Nowhere;
    }

    /// Gives the block back if the rest of the record is dropped: it may be a transfer of hours.
    pub(super) fn give_unneeded_block(&mut self, records: &mut Records<'_>) {
        if let (Rest::Nowhere, Stored::Block(block)) = (self.rest, self.stored) {
            records.give(block);
            (self.stored, self.have) = (Stored::Inline, 0);
        }
    }

    /// The payload's buffer now belongs to the storage or is released.
    pub(super) fn forget_payload(&mut self) {
        self.payload = None;
    }

    /// The record is handled: the next bytes are a mark.
    pub(super) fn finish_record(&mut self, records: &mut Records<'_>) {
        if let Stored::Block(block) = self.stored {
            records.give(block);
        }
        *self = Self::default();
    }

    /// The gathered bytes.
    pub(super) fn gathered<'r>(&self, conn: ConnId, records: &'r Records<'_>) -> &'r [u8] {
        let bytes = match self.stored {
            Stored::Block(block) => records.block(block),
            Stored::Inline | Stored::Volfile => {
                records.inline_buffer(TransportIx(conn.slot() as u16))
            }
        };
        bytes.get(..self.have as usize).unwrap_or_default()
    }

    /// Consumes bytes up to the end of a record or of a WRITE's head. `may_take_block` is false
    /// while other connections wait for a block. `logged_in`: records may be longer than any memory
    /// for them.
    pub(super) fn advance(
        &mut self,
        conn: ConnId,
        bytes: &[u8],
        records: &mut Records<'_>,
        transfer_max: u32,
        may_take_block: bool,
        logged_in: bool,
    ) -> Result<Progress, PeerError> {
        let record_max = transfer_max.saturating_add(records.block_bytes() as u32);
        let mark_max = if logged_in { u32::MAX } else { record_max };
        let mut used = 0;
        loop {
            if self.payload.is_some() {
                return Ok(Progress::Stop { used });
            }
            let rest = bytes.get(used..).unwrap_or_default();
            match self.rest {
                Rest::Together => {}
                Rest::Parts => return Ok(Progress::Part { used, left: self.left }),
                Rest::Nowhere => {
                    let n = rest.len().min(self.left as usize);
                    (used, self.left) = (used + n, self.left - n as u32);
                    return Ok(match self.left {
                        0 => Progress::Dropped { used },
                        _ => Progress::More { used },
                    });
                }
            }
            if !self.inside {
                let take = rest.len().min(4 - usize::from(self.mark_have));
                used += take;
                let mark = rest.get(..take).unwrap_or_default();
                if !self.take_mark(mark, record_max, mark_max)? {
                    return Ok(Progress::More { used });
                }
                continue;
            }
            let rest = rest.get(..rest.len().min(self.left as usize)).unwrap_or(rest);
            let is_here = self.last && rest.len() == self.left as usize;
            if self.have == 0 && is_here && self.left <= record_max {
                // A complete payload in the received bytes needs no buffer.
                return Ok(Progress::Staged { used, len: rest.len() });
            }
            match self.gather(conn, rest, records, may_take_block)? {
                Step::Taken(0) if rest.is_empty() => return Ok(Progress::More { used }),
                Step::Taken(n) => used += n,
                Step::Record(n) => return Ok(Progress::Gathered { used: used + n }),
                Step::Head(n, len) => return Ok(Progress::WriteHead { used: used + n, len }),
                Step::TooLong(n) => {
                    return Ok(Progress::TooLong { used: used + n, len: self.left });
                }
                Step::Starved(n) => return Ok(Progress::Starved { used: used + n }),
            }
        }
    }

    /// Gathers bytes of a fragment that is not complete in the received bytes.
    fn gather(
        &mut self,
        conn: ConnId,
        rest: &[u8],
        records: &mut Records<'_>,
        may_take_block: bool,
    ) -> Result<Step, PeerError> {
        let block = records.block_bytes();
        let mut taken = 0;
        loop {
            let have = self.have as usize;
            let total = have + self.left as usize;
            let want = match gather_plan(self.gathered(conn, records), total, self.last, block)? {
                // Fragments before the last may have brought more than the head: then gather the
                // rest, too.
                GatherPlan::Head(n) if have > n => total,
                GatherPlan::Head(n) if have == n => {
                    return Ok(Step::Head(taken, (total - n) as u32));
                }
                GatherPlan::TooLong(n) if have >= n => return Ok(Step::TooLong(taken)),
                GatherPlan::AtLeast(n) | GatherPlan::Head(n) | GatherPlan::TooLong(n) => {
                    n.min(total)
                }
                GatherPlan::Whole => total,
            };
            if have >= want {
                if self.left > 0 {
                    // The plan needs no more bytes but the fragment has some left: the call is
                    // shorter than its own lengths.
                    return Err(PeerError::RecordTooShort { len: total as u32 });
                }
                if self.last {
                    return Ok(Step::Record(taken));
                }
                // The next fragment's mark follows.
                self.inside = false;
                return Ok(Step::Taken(taken));
            }
            let piece = rest.get(taken..).unwrap_or_default();
            if piece.is_empty() {
                return Ok(Step::Taken(taken));
            }
            if !self.make_room(conn, want, records, may_take_block)? {
                return Ok(Step::Starved(taken));
            }
            let take = piece.len().min(want - have);
            records.put(
                TransportIx(conn.slot() as u16),
                self.stored,
                have,
                piece.get(..take).unwrap_or_default(),
            );
            taken += take;
            self.have += take as u32;
            self.left -= take as u32;
        }
    }

    fn make_room(
        &mut self,
        conn: ConnId,
        want: usize,
        records: &mut Records<'_>,
        may_take_block: bool,
    ) -> Result<bool, PeerError> {
        let at = TransportIx(conn.slot() as u16);
        let size = match self.stored {
            Stored::Block(_) => records.block_bytes(),
            Stored::Inline | Stored::Volfile => records.inline_buffer(at).len(),
        };
        if want <= size {
            return Ok(true);
        }
        let max = records.block_bytes();
        if want > max || self.stored != Stored::Inline {
            return Err(PeerError::RecordTooLong { len: want as u32, max: max as u32 });
        }
        if !may_take_block {
            return Ok(false);
        }
        let Some(block) = records.take_for_intake() else { return Ok(false) };
        records.keep_inline(block, at, self.have as usize);
        self.stored = Stored::Block(block);
        Ok(true)
    }

    /// Consumes bytes of a mark, of a record of at most `max` bytes, or `last_max` if it is one
    /// fragment. Returns whether the mark is complete.
    fn take_mark(&mut self, bytes: &[u8], max: u32, last_max: u32) -> Result<bool, PeerError> {
        for byte in bytes {
            if let Some(slot) = self.mark.get_mut(usize::from(self.mark_have)) {
                *slot = *byte;
            }
            self.mark_have += 1;
        }
        if self.mark_have < 4 {
            return Ok(false);
        }
        let mark = RecordMark::parse(self.mark);
        if mark.len == 0 && !mark.last {
            return Err(PeerError::EmptyFragment);
        }
        let len = mark.len.saturating_add(self.have);
        if len < CALL_MIN && mark.last {
            return Err(PeerError::RecordTooShort { len });
        }
        // Records of several fragments are gathered whole, whatever they are.
        let max = if mark.last && self.have == 0 { last_max } else { max };
        if len > max {
            return Err(PeerError::RecordTooLong { len, max });
        }
        (self.mark_have, self.left, self.last, self.inside) = (0, mark.len, mark.last, true);
        Ok(true)
    }
}

enum Step {
    Taken(usize),
    Record(usize),
    Head(usize, u32),
    TooLong(usize),
    Starved(usize),
}

/// Plans the gathering of a call that begins with `prefix`, in at most `max` bytes. `total` bytes
/// of the record are announced, and all of them if `known`.
fn gather_plan(
    prefix: &[u8],
    total: usize,
    known: bool,
    max: usize,
) -> Result<GatherPlan, PeerError> {
    if !known {
        return Ok(GatherPlan::Whole);
    }
    let Some(cred_len) = word(prefix, 28) else { return Ok(GatherPlan::AtLeast(32)) };
    let procedure = Procedure {
        program: word(prefix, 12).unwrap_or(0),
        version: word(prefix, 16).unwrap_or(0),
        number: word(prefix, 20).unwrap_or(0),
    };
    let is_fop = procedure == Procedure::fop(procedure.number);
    if procedure != Procedure::fop(crate::fop::FopNumber::Write as u32) && (total <= max || !is_fop)
    {
        return Ok(GatherPlan::Whole);
    }
    let verifier = 32 + auth_len("cred.body", 28, cred_len)?;
    let Some(verf_len) = word(prefix, verifier + 4) else {
        return Ok(GatherPlan::AtLeast(verifier + 8));
    };
    let args = verifier + 8 + auth_len("verf.body", verifier as u32 + 4, verf_len)?;
    if procedure.number != crate::fop::FopNumber::Write as u32 {
        return Ok(GatherPlan::TooLong(args));
    }
    let xdata = args + WRITE_ARGS;
    let Some(size) = word(prefix, xdata) else { return Ok(GatherPlan::AtLeast(xdata + 4)) };
    // An xdata that is longer than the call cannot be decoded: gather all of it and let the decoder
    // reject it.
    let head = (xdata + XDATA_HEAD).saturating_add(size as usize);
    Ok(match head {
        _ if total <= max && head >= total => GatherPlan::Whole,
        _ if head > max || head >= total => GatherPlan::TooLong(args),
        _ => GatherPlan::Head(head),
    })
}

fn auth_len(field: &'static str, offset: u32, len: u32) -> Result<usize, PeerError> {
    if len > AUTH_MAX {
        return Err(XdrError { field, offset, fault: Fault::TooLong { len, max: AUTH_MAX } }.into());
    }
    Ok(padded(len as usize))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}
