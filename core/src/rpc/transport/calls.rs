//! Calls on a connection: creation, encoding into the connection's ring, replies, abandonment.

use super::{TransportIx, Transports};
use crate::boundary::Range;
use crate::id::{CallId, FdId, FrameId, InodeId, RangeIx};
use crate::rpc::{CallHeader, Cred, Procedure, RecordMark};
use crate::time::Instant;
use crate::xdr::{Encode, NoRoom, Writer};

/// The receiver of a call's reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Purpose {
    /// A frame, for its fop.
    Frame(FrameId),
    /// The handshake of the connection, with glusterd or a brick.
    Step,
    /// The reopening of a file, after a reconnect or on a further connection.
    Reopen(FdId),
    /// Nobody: RELEASE and RELEASEDIR have no result.
    Release,
    /// The ping timer.
    Ping,
    /// Abandoned: the reply is counted and discarded.
    Abandoned,
    /// An abandoned OPEN, CREATE or OPENDIR: the fd in its reply must be released.
    AbandonedOpen,
    /// An abandoned OPEN that truncates: its fd must be released, and it is a change.
    AbandonedTruncation(InodeId, RangeIx),
    /// An abandoned change of an inode: until its answer, no younger change may touch its bytes.
    AbandonedChange(InodeId, RangeIx),
    /// An abandoned FSYNC of an inode: if it fails, so do later flushes.
    AbandonedFsync(InodeId),
}

impl Purpose {
    /// Whether the caller has abandoned the call.
    fn is_abandoned(self) -> bool {
        matches!(
            self,
            Self::Abandoned
                | Self::AbandonedOpen
                | Self::AbandonedTruncation(..)
                | Self::AbandonedChange(..)
                | Self::AbandonedFsync(_)
        )
    }
}

/// A call in flight.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    pub(crate) transport: TransportIx,
    pub(crate) purpose: Purpose,
    pub(crate) procedure: Procedure,
    /// READ: the range that the payload goes to.
    pub(crate) into: Option<Range>,
    made: Instant,
    data: Option<Range>,
    head_at: u32,
    head_len: u16,
    tail_len: u16,
    out: bool,
    next_out: Option<CallId>,
    next: Option<CallId>,
    previous: Option<CallId>,
}

impl Call {
    pub(super) fn head(&self) -> (usize, usize) {
        (self.head_at as usize, usize::from(self.head_len))
    }
    pub(super) fn tail_len(&self) -> usize {
        usize::from(self.tail_len)
    }
    pub(super) fn data(&self) -> Option<Range> {
        self.data
    }
    pub(super) fn next_out(&self) -> Option<CallId> {
        self.next_out
    }
    /// Bytes of the reply if the call succeeds: READ's head and payload, WRITE's attributes before
    /// and after; for other calls the smallest reply.
    fn owes(&self) -> u64 {
        match (self.into, self.data) {
            (Some(into), _) => 196 + u64::from(into.len),
            (None, Some(_)) => 344,
            (None, None) => 40,
        }
    }
    /// Bytes of the whole record on the wire.
    fn record_len(&self) -> u32 {
        u32::from(self.head_len) + self.data.map_or(0, |data| data.len) + u32::from(self.tail_len)
    }
}

/// A new call, apart from its arguments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewCall<'a> {
    pub(crate) purpose: Purpose,
    pub(crate) procedure: Procedure,
    pub(crate) cred: Cred<'a>,
    pub(crate) data: Option<Range>,
    pub(crate) into: Option<Range>,
    /// Encoded bytes that follow `data`.
    pub(crate) tail: &'a [u8],
}

impl<'a> NewCall<'a> {
    /// A call without payload.
    pub(crate) fn plain(purpose: Purpose, procedure: Procedure, cred: Cred<'a>) -> Self {
        Self { purpose, procedure, cred, data: None, into: None, tail: &[] }
    }
}

/// Why a call could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum CallError {
    /// The ring of encoded heads is full; to be tried again when records have been sent.
    WindowFull,
    /// The table of calls is full; to be tried again when calls have been answered.
    CallsFull,
    /// The head is larger than the empty ring.
    HeadTooLong,
    /// There is no connection.
    Closed,
}

impl Transports<'_> {
    /// Encodes a call and queues its record.
    pub(crate) fn call(
        &mut self,
        at: TransportIx,
        new: NewCall<'_>,
        now: Instant,
        args: impl Fn(&mut Writer<'_>) -> Result<(), NoRoom>,
    ) -> Result<CallId, CallError> {
        let transport = self
            .get(at)
            .filter(|transport| transport.state == super::TransportState::Open)
            .ok_or(CallError::Closed)?;
        let (free, empty) =
            (transport.ring.free(self.head_bytes as u32), transport.ring.is_empty());
        let call = Call {
            transport: at,
            purpose: new.purpose,
            procedure: new.procedure,
            into: new.into,
            made: now,
            data: new.data,
            head_at: 0,
            head_len: 0,
            tail_len: new.tail.len() as u16,
            out: true,
            next_out: None,
            next: None,
            previous: None,
        };
        // The last slots are kept for pings, handshakes and the reopening of files: waiting frames
        // depend on them.
        let waits = matches!(new.purpose, Purpose::Frame(_) | Purpose::Release);
        let kept = if waits { usize::from(self.kept_calls) } else { 0 };
        if self.calls.len() + kept >= self.calls.capacity() {
            self.wants_call |= waits;
            return Err(CallError::CallsFull);
        }
        let id = self.calls.insert(call).ok_or(CallError::CallsFull)?;
        let region = usize::from(at.0) * self.head_bytes;
        for (begin, end) in free {
            let (from, to) = (region + begin as usize, region + end as usize);
            let Some(bytes) = self.heads.get_mut(from..to) else { continue };
            if let Ok(len) = encode(bytes, id, &new, &args) {
                self.commit(at, id, begin, len, now);
                return Ok(id);
            }
        }
        self.calls.remove(id);
        Err(if empty { CallError::HeadTooLong } else { CallError::WindowFull })
    }

    /// Appends an encoded call to the send queue and to the list of calls of its transport.
    fn commit(&mut self, at: TransportIx, id: CallId, begin: u32, len: usize, now: Instant) {
        let Some(transport) = self.transports.get_mut(usize::from(at.0)) else { return };
        let Some(call) = self.calls.get_mut(id) else { return };
        let head_len = len - usize::from(call.tail_len);
        call.head_at = begin;
        call.head_len = head_len as u16;
        call.previous = transport.last_call;
        transport.ring.push(begin, len as u32);
        transport.owed = transport.owed.saturating_add(call.owes());
        if transport.in_flight == 0 {
            transport.quiet_since = now;
        }
        transport.in_flight += 1;
        let (last_out, last_call) =
            (transport.last_out.replace(id), transport.last_call.replace(id));
        if transport.first_out.is_none() {
            transport.first_out = Some(id);
        }
        if transport.first_call.is_none() {
            transport.first_call = Some(id);
        }
        if let Some(last) = last_out.and_then(|last| self.calls.get_mut(last)) {
            last.next_out = Some(id);
        }
        if let Some(last) = last_call.and_then(|last| self.calls.get_mut(last)) {
            last.next = Some(id);
        }
        self.want_transmit(at);
    }

    /// The call with this xid, if it was made on `at` and has been sent completely.
    pub(crate) fn answered_by(&self, at: TransportIx, xid: u32) -> Option<(CallId, &Call)> {
        let id = CallId(crate::id::RawId::from_word(xid)?);
        let call = self.calls.get(id)?;
        (call.transport == at && !call.out).then_some((id, call))
    }

    /// When the oldest call in flight on a connection was made.
    pub(crate) fn oldest(&self, at: TransportIx) -> Option<Instant> {
        Some(self.calls.get(self.get(at)?.first_call?)?.made)
    }

    /// Removes a call that has been answered or whose connection is closed.
    pub(crate) fn take_call(&mut self, id: CallId) -> Option<Call> {
        let call = self.calls.remove(id)?;
        if let Some(previous) = call.previous.and_then(|previous| self.calls.get_mut(previous)) {
            previous.next = call.next;
        }
        if let Some(next) = call.next.and_then(|next| self.calls.get_mut(next)) {
            next.previous = call.previous;
        }
        let transport = self.transports.get_mut(usize::from(call.transport.0))?;
        if transport.first_call == Some(id) {
            transport.first_call = call.next;
        }
        if transport.last_call == Some(id) {
            transport.last_call = call.previous;
        }
        transport.in_flight = transport.in_flight.saturating_sub(1);
        transport.owed = transport.owed.saturating_sub(call.owes());
        if call.purpose.is_abandoned() {
            transport.abandoned = transport.abandoned.saturating_sub(1);
        }
        self.call_freed |= self.wants_call;
        Some(call)
    }

    /// Removes the oldest call of a closed transport. The caller repeats this until there is none.
    pub(crate) fn drain_call(&mut self, at: TransportIx) -> Option<Call> {
        let id = self.get(at)?.first_call?;
        self.take_call(id)
    }

    /// Abandons a call; `purpose` is one of the abandoned ones. The result says whether the
    /// connection has to be closed: because the record is partly unsent and refers to a buffer that
    /// goes back to the caller, or because too many calls have been abandoned.
    pub(crate) fn abandon(&mut self, id: CallId, purpose: Purpose) -> Option<Abandon> {
        let call = self.calls.get_mut(id)?;
        let stalled = call.out && call.data.is_some();
        call.purpose = purpose;
        let at = call.transport;
        let max = self.abandoned_max;
        let transport = self.get_mut(at)?;
        transport.abandoned = transport.abandoned.saturating_add(1);
        let flooded = transport.abandoned > max;
        Some(Abandon { transport: at, stalled, flooded })
    }

    /// The connection of a call whose record is not sent in full, and that refers to a buffer.
    pub(crate) fn is_stalled(&self, id: CallId) -> Option<TransportIx> {
        let call = self.calls.get(id)?;
        (call.out && call.data.is_some()).then_some(call.transport)
    }

    /// Marks `bytes` more as sent.
    pub(crate) fn advance(&mut self, at: TransportIx, bytes: usize) {
        let Some(transport) = self.transports.get_mut(usize::from(at.0)) else { return };
        let mut sent = u64::from(transport.sent) + bytes as u64;
        while let Some(id) = transport.first_out {
            let Some(call) = self.calls.get_mut(id) else { break };
            let len = u64::from(call.record_len());
            if sent < len {
                break;
            }
            sent -= len;
            call.out = false;
            let next = call.next_out.take();
            transport.first_out = next;
            if next.is_none() {
                transport.last_out = None;
            }
            let next_at = next.and_then(|next| self.calls.get(next)).map(|next| next.head_at);
            transport.ring.pop(next_at);
        }
        transport.sent = if transport.first_out.is_some() { sent as u32 } else { 0 };
    }
}

/// Reasons to close a connection after a call was abandoned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Abandon {
    pub(crate) transport: TransportIx,
    /// The record is partly unsent and refers to the caller's buffer.
    pub(crate) stalled: bool,
    /// The connection has too many abandoned calls.
    pub(crate) flooded: bool,
}

fn encode(
    bytes: &mut [u8],
    id: CallId,
    new: &NewCall<'_>,
    args: &impl Fn(&mut Writer<'_>) -> Result<(), NoRoom>,
) -> Result<usize, NoRoom> {
    let mut w = Writer::new(bytes);
    w.u32(0)?;
    CallHeader { xid: id.0.word(), procedure: new.procedure, cred: new.cred }.encode(&mut w)?;
    args(&mut w)?;
    w.raw(new.tail)?;
    let len = w.position();
    let payload = new.data.map_or(0, |data| data.len as usize);
    w.patch_u32(0, RecordMark::last((len - 4 + payload) as u32));
    if len > usize::from(u16::MAX) {
        return Err(NoRoom { needed: len as u32, has: u32::from(u16::MAX) });
    }
    Ok(len)
}
