//! Records in: who is told of each.

use super::machine::Machine;
use super::session::{self, SpecAnswer};
use super::{Down, Volume};
use crate::boundary::Intake;
use crate::fop::FopNumber;
use crate::fop::wire::{Body, Reply};
use crate::id::{CallId, ConnId};
use crate::rpc::callback::Callback;
use crate::rpc::handshake::GetspecReply;
use crate::rpc::transport::GatherBuffers;
use crate::rpc::transport::{Arrival, Call, Feed, Owner, Payload, Purpose, Stored, TransportIx};
use crate::rpc::{MessageType, PeerError, ReplyHeader, ReplyStatus, program};
use crate::time::Instant;
use crate::xdr::{Decode, Dict, Errno, Iatt, Reader};
use crate::xlator::{Failure, NodeRef, Outcome, client};

impl Volume<'_> {
    /// Where the next bytes of a connection belong: ask before **every** read.
    pub fn intake(&self, conn: ConnId) -> Intake {
        match self.machine.context.transports.find(conn) {
            Some(transport) => self.machine.context.transports.intake(transport),
            None => Intake::Closed,
        }
    }

    /// Bytes came from a connection. Says how many were taken: all of them, unless a payload begins behind those that
    /// were ([`Intake::Place`]: put the next ones there and say `placed`) or memory is short ([`Intake::Wait`]: keep them
    /// and offer them again after `Resume`).
    pub fn received(&mut self, conn: ConnId, bytes: &[u8], now: Instant) -> usize {
        self.tick(now);
        let Some(transport) = self.machine.context.transports.find(conn) else {
            return bytes.len();
        };
        self.machine.heard_from(transport);
        let mut used = 0;
        while used < bytes.len() {
            let rest = bytes.get(used..).unwrap_or_default();
            let context = &mut self.machine.context;
            let mut buffers =
                GatherBuffers { records: &mut self.records, volfiles: &mut context.volfiles };
            let step = match context.transports.feed(transport, &mut buffers, rest) {
                Ok(Feed::More { used: taken }) => {
                    used += taken;
                    break;
                }
                Ok(Feed::Stop { used: taken }) => {
                    used += taken;
                    break;
                }
                Ok(Feed::Record { used: taken, arrival }) => {
                    let step = self.record(transport, arrival, rest);
                    used += taken;
                    step
                }
                Ok(Feed::ReadHead { used: taken, arrival, last, left }) => {
                    let step = self.read_head(transport, arrival, rest, last.then_some(left));
                    used += taken;
                    step
                }
                Ok(Feed::TooLong { used: taken, call, len }) => {
                    used += taken;
                    self.machine.too_long(call, len)
                }
                Err(error) => Err(error),
            };
            if let Err(error) = step {
                self.machine.peer_failed(transport, error);
                self.machine.run(None);
            }
            if self.machine.context.transports.find(conn).is_none() {
                used = bytes.len();
                break;
            }
        }
        self.end_step();
        used
    }

    /// `n` bytes of a payload are where `intake` said, or thrown away as it said.
    pub fn placed(&mut self, conn: ConnId, n: usize, now: Instant) {
        self.tick(now);
        let Some(transport) = self.machine.context.transports.find(conn) else { return };
        self.machine.heard_from(transport);
        match self.machine.context.transports.placed(transport, n) {
            Ok(Some(payload)) => self.machine.read_complete(payload),
            Ok(None) => {}
            Err(error) => self.machine.peer_failed(transport, error),
        }
        self.end_step();
    }

    /// A record is complete.
    fn record(
        &mut self,
        transport: TransportIx,
        arrival: Arrival,
        rest: &[u8],
    ) -> Result<(), PeerError> {
        let result = match arrival {
            Arrival::Staged { from, to } => {
                let record = rest.get(from..to).unwrap_or_default();
                self.machine.record(transport, record).and_then(|spec| match spec {
                    Some(spec) => self.machine.spec_arrived(transport, spec, Some(record)),
                    None => {
                        self.keep(record);
                        Ok(())
                    }
                })
            }
            Arrival::Gathered { stored: Stored::Volfile, len } => {
                let record = self
                    .machine
                    .context
                    .volfiles
                    .half(self.machine.context.volfiles.spare)
                    .get(..len)
                    .unwrap_or_default();
                let spec = spec_of(record);
                spec.and_then(|spec| self.machine.spec_arrived(transport, spec, None))
            }
            Arrival::Gathered { stored, len } => {
                let record = match stored {
                    Stored::Block(block) => self.records.block(block),
                    _ => self.records.inline_buffer(transport),
                };
                let record = record.get(..len).unwrap_or_default();
                match self.machine.record(transport, record) {
                    Ok(Some(spec)) => self.machine.spec_arrived(transport, spec, Some(record)),
                    Ok(None) => {
                        self.keep_gathered(transport, stored, len);
                        Ok(())
                    }
                    Err(error) => Err(error),
                }
            }
        };
        let context = &mut self.machine.context;
        let mut buffers =
            GatherBuffers { records: &mut self.records, volfiles: &mut context.volfiles };
        context.transports.record_over(transport, &mut buffers);
        result
    }

    /// The head of a READ reply is complete; its payload follows. `carried`: so many bytes, if no further fragment does.
    fn read_head(
        &mut self,
        transport: TransportIx,
        arrival: Arrival,
        rest: &[u8],
        carried: Option<u32>,
    ) -> Result<(), PeerError> {
        let record = match arrival {
            Arrival::Staged { from, to } => rest.get(from..to).unwrap_or_default(),
            Arrival::Gathered { stored: Stored::Block(block), len } => {
                self.records.block(block).get(..len).unwrap_or_default()
            }
            Arrival::Gathered { len, .. } => {
                self.records.inline_buffer(transport).get(..len).unwrap_or_default()
            }
        };
        let result = self.machine.read_head(transport, record, carried);
        let context = &mut self.machine.context;
        let mut buffers =
            GatherBuffers { records: &mut self.records, volfiles: &mut context.volfiles };
        context.transports.record_over(transport, &mut buffers);
        result
    }

    /// Keeps an answer whose operation wants it, before its record goes.
    fn keep(&mut self, record: &[u8]) {
        let Some(id) = self.machine.keep.take() else { return };
        let Some(op) = self.machine.ops.get_mut(id) else { return };
        let kept = op.block.is_some_and(|block| self.records.keep(block, record));
        op.kept(kept, record.len());
    }

    fn keep_gathered(&mut self, transport: TransportIx, stored: Stored, len: usize) {
        let Some(id) = self.machine.keep.take() else { return };
        let Some(op) = self.machine.ops.get_mut(id) else { return };
        let kept = match (stored, op.block) {
            // The operation takes the block that the record was gathered in, and gives its own for it.
            (Stored::Block(block), Some(own)) => {
                op.block = Some(block);
                self.machine.context.transports.swap_gathered(transport, block, own);
                true
            }
            (_, Some(own)) => self.records.keep_inline(own, transport, len),
            _ => false,
        };
        op.kept(kept, len);
    }

    /// The end of every command and handler: what it led to is done, and memory that it has freed goes to those who
    /// wait for it.
    pub(super) fn end_step(&mut self) {
        self.machine.run(None);
        self.machine.pump_freed();
        while let Some(block) = self.machine.context.transports.take_orphan() {
            self.records.give(block);
        }
        // Connections that found no block for a record may read on when one is free.
        if self.records.has_free() {
            self.machine.context.transports.resume_starved();
        }
    }
}

impl Machine<'_> {
    pub(super) fn heard_from(&mut self, at: TransportIx) {
        let now = self.context.now;
        if let Some(transport) = self.context.transports.get_mut(at) {
            transport.quiet_since = now;
            transport.last_heard = now;
        }
    }

    /// Deals with one record. A GETSPEC answer is handed back: its text has to be moved first.
    fn record(
        &mut self,
        transport: TransportIx,
        record: &[u8],
    ) -> Result<Option<SpecAnswer>, PeerError> {
        let mut r = Reader::new(record);
        if MessageType::peek(record) == Some(MessageType::Call) {
            self.callback(transport, record)?;
            self.run(None);
            return Ok(None);
        }
        let header = ReplyHeader::decode(&mut r)?;
        let Some((id, call)) = self
            .context
            .transports
            .answered_by(transport, header.xid)
            .map(|(id, call)| (id, *call))
        else {
            return Err(PeerError::UnknownXid(header.xid));
        };
        self.context.transports.take_call(id);
        let body = match header.status {
            ReplyStatus::Success => Ok(r.rest()),
            status => Err(status),
        };
        match call.purpose {
            Purpose::Step if call.procedure.is_getspec() => {
                let body = body.map_err(refused_step);
                match body {
                    Ok(_) => return spec_of(record).map(Some),
                    Err(down) => self.session_lost(down, true),
                }
            }
            Purpose::Step => {
                if let Some(Owner::Brick { graph, node, lane }) =
                    self.context.transports.get(transport).map(|transport| transport.owner)
                {
                    let at = NodeRef { graph, node };
                    client::step_answered(&mut self.context, at, lane, body.map_err(refused_step))?;
                }
            }
            Purpose::Ping => {
                if let Some(transport) = self.context.transports.get_mut(transport) {
                    transport.pinging = false;
                }
            }
            Purpose::Frame(frame) => {
                let (lane, number) =
                    (self.lane_of(transport), fop_of(&call).unwrap_or(FopNumber::Null));
                match body {
                    Ok(body) => {
                        // Looked at where it was decoded: a reply is as large as its largest body.
                        let decoded = Reply::decode(number, &mut Reader::new(body));
                        let answered = match &decoded {
                            Ok(reply) => client::answered(&mut self.context, frame, lane, reply)
                                .map(|()| reply),
                            Err(error) => Err(PeerError::from(*error)),
                        };
                        match answered {
                            Ok(reply) => self.run(Some(reply)),
                            Err(error) => {
                                // Its call is taken already: the end of the connection would not find it.
                                client::answered_badly(&mut self.context, frame, lane, error);
                                return Err(error);
                            }
                        }
                    }
                    Err(status) => {
                        let errno = match status {
                            ReplyStatus::ProcUnavail | ReplyStatus::ProgUnavail => {
                                Errno::EOPNOTSUPP
                            }
                            _ => Errno::EIO,
                        };
                        self.context.frames.unwind(frame, Outcome::failed(Failure::Errno(errno)));
                    }
                }
            }
            Purpose::Reopen(fd) => {
                let reply = match body {
                    Ok(body) => Reply::decode(FopNumber::Open, &mut Reader::new(body))?,
                    Err(_) => failed_reply(Errno::EIO),
                };
                if let Some(Owner::Brick { graph, node, lane }) =
                    self.context.transports.get(transport).map(|transport| transport.owner)
                {
                    let dir = fop_of(&call) == Some(FopNumber::Opendir);
                    client::reopened(
                        &mut self.context,
                        NodeRef { graph, node },
                        lane,
                        fd,
                        dir,
                        &reply,
                    );
                }
            }
            Purpose::AbandonedOpen => {
                if let (Ok(body), Some(number)) = (body, fop_of(&call)) {
                    let reply = Reply::decode(number, &mut Reader::new(body))?;
                    self.release_orphan(transport, &call, &reply);
                }
            }
            Purpose::AbandonedChange(file) => {
                let errno = match (body, fop_of(&call)) {
                    (Ok(body), Some(number)) => {
                        Reply::decode(number, &mut Reader::new(body))?.result().err()
                    }
                    _ => Some(Errno::EIO),
                };
                self.abandoned_change_answered(file, fop_of(&call), errno);
            }
            Purpose::Release | Purpose::Abandoned => {}
        }
        self.run(None);
        self.pump(transport);
        Ok(None)
    }

    /// Someone who waited for a call, or for room, may have it now.
    pub(super) fn pump(&mut self, transport: TransportIx) {
        if self
            .context
            .transports
            .get(transport)
            .is_some_and(|transport| transport.waiting.first.is_some())
            || self.context.releasing > 0
        {
            let lane = self.lane_of(transport);
            client::pump(&mut self.context, transport, lane);
            self.run(None);
        }
    }

    /// Calls have left the table that somebody had found full: those who wait for one are served, whichever connection
    /// theirs is, in turn.
    fn pump_freed(&mut self) {
        let Some(first) = self.context.transports.calls_freed() else { return };
        let count = self.context.transports.count();
        for n in 0..count {
            let at = TransportIx(((usize::from(first.0) + n) % count) as u16);
            self.pump(at);
            if self.context.transports.wants_call() {
                return self.context.transports.serve_first(at);
            }
        }
    }

    fn lane_of(&self, transport: TransportIx) -> u8 {
        match self.context.transports.get(transport).map(|transport| transport.owner) {
            Some(Owner::Brick { lane, .. }) => lane,
            _ => 0,
        }
    }

    /// An OPEN that nobody waits for any more has succeeded: its number is given back.
    fn release_orphan(&mut self, transport: TransportIx, call: &Call, reply: &Reply<'_>) {
        let number = match (reply.result(), &reply.body) {
            (Ok(_), Body::Open { fd }) => *fd,
            (Ok(_), Body::Create { fd, .. }) => i64::try_from(*fd).unwrap_or(-1),
            _ => return,
        };
        let dir = fop_of(call) == Some(FopNumber::Opendir);
        client::release_orphan(&mut self.context, transport, number, dir);
    }

    fn read_head(
        &mut self,
        transport: TransportIx,
        record: &[u8],
        carried: Option<u32>,
    ) -> Result<(), PeerError> {
        let mut r = Reader::new(record);
        let header = ReplyHeader::decode(&mut r)?;
        let reply = Reply::decode(FopNumber::Read, &mut r)?;
        let Some((id, call)) = self.context.transports.answered_by(transport, header.xid) else {
            return Err(PeerError::UnknownXid(header.xid));
        };
        let asked = call.into.map_or(0, |into| into.len);
        let len = u32::try_from(reply.op_ret).unwrap_or(0);
        let (size, said) = match reply.body {
            Body::Read { stat, size } => (stat.size, size),
            _ => (0, 0),
        };
        if len > asked || said != len || carried.is_some_and(|carried| carried != len) {
            return Err(PeerError::ReadLength {
                announced: said,
                asked,
                carried: carried.unwrap_or(len),
            });
        }
        let eof = reply.op_errno == Errno::ENOENT.to_wire();
        if let Some(transport) = self.context.transports.get_mut(transport) {
            transport.intake.payload = Some(Payload { call: id, len, at: 0, eof, size });
        }
        Ok(())
    }

    /// All bytes of a READ are in the caller's buffer.
    fn read_complete(&mut self, payload: Payload) {
        let Some(call) = self.context.transports.take_call(payload.call) else { return };
        let Purpose::Frame(frame) = call.purpose else { return };
        self.context.frames.unwind(frame, Outcome { result: Ok(payload.len), end: payload.eof });
        let stat = Iatt { size: payload.size, ..Iatt::default() };
        let reply = Reply {
            op_ret: payload.len as i32,
            op_errno: 0,
            xdata: Dict::Null,
            body: Body::Read { stat, size: payload.len },
        };
        self.run(Some(&reply));
        self.pump(call.transport);
    }

    /// The answer to a call is longer than what answers are gathered in.
    fn too_long(&mut self, call: Option<CallId>, len: usize) -> Result<(), PeerError> {
        let Some(call) = call.and_then(|id| self.context.transports.take_call(id)) else {
            return Ok(());
        };
        match call.purpose {
            Purpose::Frame(frame) => {
                self.context.frames.unwind(frame, Outcome::failed(Failure::TooLong))
            }
            Purpose::AbandonedChange(file) => {
                self.abandoned_change_answered(file, fop_of(&call), Some(Errno::EIO))
            }
            // A handshake does not go on without its answer.
            Purpose::Step | Purpose::Reopen(_) => {
                let max =
                    if call.procedure.is_getspec() { self.context.volfiles.size() } else { 0 };
                return Err(PeerError::RecordTooLong { len: len as u32, max: max as u32 });
            }
            _ => {}
        }
        self.run(None);
        self.pump(call.transport);
        Ok(())
    }

    /// The server calls us. Nothing is answered (docs/spec/01-wire.md, "Callback program"), and
    /// what is not known is ignored.
    fn callback(&mut self, transport: TransportIx, record: &[u8]) -> Result<(), PeerError> {
        let owner = self.context.transports.get(transport).map(|transport| transport.owner);
        match (Callback::decode_record(record)?, owner) {
            (Callback::Fetchspec, Some(Owner::Glusterd)) => self.spec_changed(),
            (Callback::ChildDown, Some(Owner::Brick { .. })) => {
                self.transport_lost(transport, Down::StorageDown, true)
            }
            _ => {}
        }
        Ok(())
    }

    /// Moves a volfile to where it is parsed, and has it looked at.
    fn spec_arrived(
        &mut self,
        transport: TransportIx,
        spec: SpecAnswer,
        record: Option<&[u8]>,
    ) -> Result<(), PeerError> {
        if transport != session::TRANSPORT {
            return Ok(());
        }
        let fits = match record {
            Some(record) => {
                let text =
                    record.get(spec.from..spec.from.saturating_add(spec.len)).unwrap_or_default();
                self.context.volfiles.keep(text)
            }
            None => {
                // Its call was not taken yet: the record stood where no handler may look.
                let half = self.context.volfiles.half(self.context.volfiles.spare);
                let xid =
                    half.get(..4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_be_bytes);
                let Some((id, _)) = self.context.transports.answered_by(transport, xid) else {
                    return Err(PeerError::UnknownXid(xid));
                };
                self.context.transports.take_call(id);
                self.context.volfiles.keep_gathered(spec.from, spec.len)
            }
        };
        if !fits {
            let (len, max) = (spec.len as u32, self.context.volfiles.size() as u32);
            return Err(PeerError::RecordTooLong { len, max });
        }
        self.spec_answered(spec);
        self.run(None);
        Ok(())
    }
}

/// What a GETSPEC reply says and where its text stands.
fn spec_of(record: &[u8]) -> Result<SpecAnswer, PeerError> {
    let mut r = Reader::new(record);
    let header = ReplyHeader::decode(&mut r)?;
    if header.status != ReplyStatus::Success {
        return Ok(SpecAnswer { op_ret: -1, op_errno: Errno::EIO.to_wire(), from: 0, len: 0 });
    }
    let reply = GetspecReply::decode(&mut r)?;
    let from = (reply.spec.as_ptr() as usize).saturating_sub(record.as_ptr() as usize);
    Ok(SpecAnswer { op_ret: reply.op_ret, op_errno: reply.op_errno, from, len: reply.spec.len() })
}

/// The RPC layer of a server refused a step of the handshake.
fn refused_step(status: ReplyStatus) -> Down {
    match status {
        // auth_stat 2: calls from ports of 1024 and above are not taken (docs/spec/01-wire.md,
        // "Authentication and ports").
        ReplyStatus::AuthError(2) => Down::PortRefused,
        ReplyStatus::ProgUnavail | ReplyStatus::ProgMismatch { .. } | ReplyStatus::ProcUnavail => {
            Down::WrongProgram
        }
        ReplyStatus::AuthError(_) => Down::Peer(PeerError::Refused("AUTH_ERROR")),
        _ => Down::Peer(PeerError::Refused("the call's header or arguments")),
    }
}

fn failed_reply(errno: Errno) -> Reply<'static> {
    Reply { op_ret: -1, op_errno: errno.to_wire(), xdata: Dict::Null, body: Body::None }
}

/// Which fop a call was.
fn fop_of(call: &Call) -> Option<FopNumber> {
    (call.procedure.program == program::FOP)
        .then(|| FopNumber::from_u32(call.procedure.number))
        .flatten()
}
