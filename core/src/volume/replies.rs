//! Complete records: each reply is matched with its call, and handed to the party that made it.

use super::Down;
use super::machine::Machine;
use super::session::{self, SpecAnswer};
use crate::fop::FopNumber;
use crate::fop::wire::{self, Reply};
use crate::id::{CallId, FdId, FrameId, InodeId, RangeIx};
use crate::rpc::callback::Callback;
use crate::rpc::transport::{Call, Owner, Payload, Purpose, TransportIx};
use crate::rpc::{MessageType, PeerError, ReplyHeader, ReplyStatus, program};
use crate::xdr::{Decode, Dict, Errno, Iatt, Reader};
use crate::xlator::{self, Failure, NodeRef, Outcome, client};

/// The body of a reply, or the status with which the RPC layer refused the call.
type Body<'r> = Result<&'r [u8], ReplyStatus>;

impl Machine<'_> {
    pub(super) fn heard_from(&mut self, at: TransportIx) {
        let now = self.context.now;
        if let Some(transport) = self.context.transports.get_mut(at) {
            transport.quiet_since = now;
            transport.last_heard = now;
        }
    }

    /// Takes one complete record: a call of the server, or the reply to one of ours. A GETSPEC
    /// reply is handed back, because its text has to be moved before it can be parsed.
    pub(super) fn record(
        &mut self,
        transport: TransportIx,
        record: &[u8],
    ) -> Result<Option<SpecAnswer>, PeerError> {
        if MessageType::peek(record) == Some(MessageType::Call) {
            self.callback(transport, record)?;
            self.run(None);
            return Ok(None);
        }
        let mut r = Reader::new(record);
        let header = ReplyHeader::decode(&mut r)?;
        let answered = self.context.transports.answered_by(transport, header.xid);
        let Some((id, call)) = answered.map(|(id, call)| (id, *call)) else {
            return Err(PeerError::UnknownXid(header.xid));
        };
        self.context.transports.take_call(id);
        let body = match header.status {
            ReplyStatus::Success => Ok(r.rest()),
            status => Err(status),
        };
        match call.purpose {
            Purpose::Step if call.procedure.is_getspec() => match body {
                Ok(_) => return session::spec_of(record).map(Some),
                Err(status) => self.session_lost(refused_step(status), true),
            },
            Purpose::Step => self.step_answered(transport, body)?,
            Purpose::Ping => self.ping_answered(transport),
            Purpose::Frame(frame) => self.frame_answered(transport, &call, frame, body)?,
            Purpose::Reopen(fd) => self.reopen_answered(transport, &call, fd, body)?,
            Purpose::AbandonedOpen => self.abandoned_open_answered(transport, &call, body)?,
            Purpose::AbandonedChange(inode, at) => {
                let result = result_of(&call, body).map(|_| ());
                self.abandoned_change_answered(transport, inode, at, result)?;
            }
            Purpose::AbandonedTruncation(inode, at) => {
                let result = self.abandoned_open_answered(transport, &call, body);
                self.abandoned_change_answered(transport, inode, at, result)?;
            }
            Purpose::AbandonedFsync(inode) => {
                let result = result_of(&call, body);
                self.abandoned_fsync_answered(inode, matches!(result, Ok(Err(_))));
                result.map(|_| ())?;
            }
            Purpose::Release | Purpose::Abandoned => {}
        }
        self.run(None);
        self.pump(transport);
        Ok(None)
    }

    /// A step of a brick's handshake is answered.
    fn step_answered(&mut self, transport: TransportIx, body: Body<'_>) -> Result<(), PeerError> {
        let Some((at, lane)) = self.brick_of(transport) else { return Ok(()) };
        client::step_answered(&mut self.context, at, lane, body.map_err(refused_step))
    }

    fn ping_answered(&mut self, transport: TransportIx) {
        if let Some(transport) = self.context.transports.get_mut(transport) {
            transport.pinging = false;
        }
    }

    /// A fop is answered: its frame unwinds, and the decoded reply is lent to the frames that it
    /// completes.
    fn frame_answered(
        &mut self,
        transport: TransportIx,
        call: &Call,
        frame: FrameId,
        body: Body<'_>,
    ) -> Result<(), PeerError> {
        let lane = self.lane_of(transport);
        let body = match body {
            Ok(body) => body,
            Err(status) => {
                let failure = Failure::Errno(refused_fop(status));
                self.context.frames.unwind(frame, Outcome::failed(failure));
                return Ok(());
            }
        };
        let number = fop_of(call).unwrap_or(FopNumber::Null);
        // A decoded reply is large, so it is used in place and not moved.
        let decoded = Reply::decode(number, &mut Reader::new(body));
        let answered = match &decoded {
            Ok(reply) => client::answered(&mut self.context, frame, lane, reply).map(|()| reply),
            Err(error) => Err(PeerError::from(*error)),
        };
        match answered {
            Ok(reply) => self.run(Some(reply)),
            Err(error) => {
                // The call has left the table, so the end of the connection does not find it.
                client::answered_invalidly(&mut self.context, frame, lane, error);
                return Err(error);
            }
        }
        Ok(())
    }

    /// OPEN or OPENDIR of a file that was open before is answered.
    fn reopen_answered(
        &mut self,
        transport: TransportIx,
        call: &Call,
        fd: FdId,
        body: Body<'_>,
    ) -> Result<(), PeerError> {
        let reply = match body {
            Ok(body) => Reply::decode(FopNumber::Open, &mut Reader::new(body))?,
            Err(_) => failed_reply(Errno::EIO),
        };
        if let Some((at, lane)) = self.brick_of(transport) {
            let dir = fop_of(call) == Some(FopNumber::Opendir);
            client::reopened(&mut self.context, at, lane, fd, dir, &reply);
        }
        Ok(())
    }

    /// An OPEN whose operation has ended is answered: an fd that it brought is released.
    fn abandoned_open_answered(
        &mut self,
        transport: TransportIx,
        call: &Call,
        body: Body<'_>,
    ) -> Result<(), PeerError> {
        let (Ok(body), Some(number)) = (body, fop_of(call)) else { return Ok(()) };
        let reply = Reply::decode(number, &mut Reader::new(body))?;
        let fd = match (reply.result(), &reply.body) {
            (Ok(_), wire::Body::Open { fd }) => *fd,
            (Ok(_), wire::Body::Create { fd, .. }) => i64::try_from(*fd).unwrap_or(-1),
            _ => return Ok(()),
        };
        let dir = number == FopNumber::Opendir;
        client::release_orphan(&mut self.context, transport, fd, dir);
        Ok(())
    }

    /// An abandoned change is answered, or its answer makes no sense.
    fn abandoned_change_answered(
        &mut self,
        transport: TransportIx,
        inode: InodeId,
        at: RangeIx,
        result: Result<(), PeerError>,
    ) -> Result<(), PeerError> {
        match result {
            Ok(()) => self.context.abandoned_change_over(inode, at),
            Err(_) => {
                // The call has left the table, so the end of the connection does not find it.
                let server = self.server_of(transport);
                self.context.abandoned_change_unanswered(inode, at, server);
            }
        }
        result
    }

    /// Sends frames that waited for a call, or for room in the connection's window.
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

    /// Serves connections that wait for an entry in the full table of calls, in turn.
    pub(super) fn pump_freed(&mut self) {
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

    /// The brick and the lane of a connection; `None` for the connection to glusterd.
    fn brick_of(&self, transport: TransportIx) -> Option<(NodeRef, u8)> {
        match self.context.transports.get(transport)?.owner {
            Owner::Brick { graph, node, lane } => Some((NodeRef { graph, node }, lane)),
            _ => None,
        }
    }

    /// The hash of the name of the process behind a connection; 0: unknown.
    fn server_of(&self, transport: TransportIx) -> u64 {
        let Some((at, lane)) = self.brick_of(transport) else { return 0 };
        let client = self.context.client(at);
        client.and_then(|client| client.lanes.get(usize::from(lane))).map_or(0, |lane| lane.server)
    }

    fn lane_of(&self, transport: TransportIx) -> u8 {
        match self.context.transports.get(transport).map(|transport| transport.owner) {
            Some(Owner::Brick { lane, .. }) => lane,
            _ => 0,
        }
    }

    pub(super) fn read_head(
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
            wire::Body::Read { stat, size } => (stat.size, size),
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

    /// All bytes of a READ are in the caller's buffer: its frame unwinds.
    pub(super) fn read_complete(&mut self, payload: Payload) {
        let Some(call) = self.context.transports.take_call(payload.call) else { return };
        let Purpose::Frame(frame) = call.purpose else { return };
        let outcome = Outcome { end: payload.eof, ..Outcome::ok(payload.len) };
        self.context.frames.unwind(frame, outcome.with_reply());
        let stat = Iatt { size: payload.size, ..Iatt::default() };
        let reply = Reply {
            op_ret: payload.len as i32,
            op_errno: 0,
            xdata: Dict::Null,
            body: wire::Body::Read { stat, size: payload.len },
        };
        self.run(Some(&reply));
        self.pump(call.transport);
    }

    /// The reply to a call is longer than the largest buffer for replies; it was discarded.
    pub(super) fn too_long(&mut self, call: Option<CallId>, len: usize) -> Result<(), PeerError> {
        let Some(call) = call.and_then(|id| self.context.transports.take_call(id)) else {
            return Ok(());
        };
        match call.purpose {
            Purpose::Frame(frame) => {
                self.context.frames.unwind(frame, Outcome::failed(Failure::TooLong))
            }
            Purpose::AbandonedChange(inode, at) | Purpose::AbandonedTruncation(inode, at) => {
                self.context.abandoned_change_over(inode, at)
            }
            Purpose::AbandonedFsync(inode) => self.abandoned_fsync_answered(inode, true),
            // A handshake cannot continue without its answer.
            Purpose::Step | Purpose::Reopen(_) => {
                let max =
                    if call.procedure.is_getspec() { self.context.volfiles.size() } else { 0 };
                return Err(PeerError::RecordTooLong { len: len as u32, max: max as u32 });
            }
            Purpose::Ping => self.ping_answered(call.transport),
            Purpose::Release | Purpose::Abandoned | Purpose::AbandonedOpen => {}
        }
        self.run(None);
        self.pump(call.transport);
        Ok(())
    }

    /// Takes a call of the server. It is not answered (docs/spec/01-wire.md, "Callback program"),
    /// and unknown ones are ignored.
    fn callback(&mut self, transport: TransportIx, record: &[u8]) -> Result<(), PeerError> {
        let owner = self.context.transports.get(transport).map(|transport| transport.owner);
        match (Callback::decode_record(record)?, owner) {
            (Callback::Fetchspec, Some(Owner::Glusterd)) => self.spec_changed(),
            (Callback::InodelkContention { gfid, .. }, Some(Owner::Brick { graph, node, .. })) => {
                xlator::contended(&mut self.context, NodeRef { graph, node }, &gfid)
            }
            (Callback::ChildDown, Some(Owner::Brick { .. })) => {
                self.transport_lost(transport, Down::StorageDown, true)
            }
            _ => {}
        }
        Ok(())
    }
}

/// The errno for a fop that the RPC layer of a server refused.
fn refused_fop(status: ReplyStatus) -> Errno {
    match status {
        ReplyStatus::ProcUnavail | ReplyStatus::ProgUnavail => Errno::EOPNOTSUPP,
        _ => Errno::EIO,
    }
}

/// The reason for the end of a connection whose handshake the RPC layer refused.
fn refused_step(status: ReplyStatus) -> Down {
    match status {
        // auth_stat 2: the server takes no calls from ports of 1024 and above
        // (docs/spec/01-wire.md, "Authentication and ports").
        ReplyStatus::AuthError(2) => Down::PortRefused,
        ReplyStatus::ProgUnavail | ReplyStatus::ProgMismatch { .. } | ReplyStatus::ProcUnavail => {
            Down::WrongProgram
        }
        ReplyStatus::AuthError(_) => Down::Peer(PeerError::Refused("AUTH_ERROR")),
        _ => Down::Peer(PeerError::Refused("the call's header or arguments")),
    }
}

fn failed_reply(errno: Errno) -> Reply<'static> {
    Reply { op_ret: -1, op_errno: errno.to_wire(), xdata: Dict::Null, body: wire::Body::None }
}

/// The fop that a call was made for.
fn fop_of(call: &Call) -> Option<FopNumber> {
    (call.procedure.program == program::FOP)
        .then(|| FopNumber::from_u32(call.procedure.number))
        .flatten()
}

/// The result of a call that no frame waits for.
fn result_of(call: &Call, body: Body<'_>) -> Result<Result<(), Errno>, PeerError> {
    let (Ok(body), Some(number)) = (body, fop_of(call)) else { return Ok(Err(Errno::EIO)) };
    let reply = Reply::decode(number, &mut Reader::new(body))?;
    Ok(reply.result().map(drop))
}
