//! The session with glusterd: the choice of a server, the fetching of the volfile, and
//! announcements of changes.

use super::machine::Machine;
use super::operation::Kind;
use super::{Down, GraphError, OpError, Table};
use crate::config::Server;
use crate::rpc::handshake::{Getspec, GetspecReply};
use crate::rpc::transport::{CallError, NewCall, Purpose, TransportIx};
use crate::rpc::{Cred, PeerError, Procedure, ReplyHeader, ReplyStatus};
use crate::xdr::{Decode, Encode, Errno, Reader};

/// The transport of the session: it is claimed first.
pub(super) const TRANSPORT: TransportIx = TransportIx(0);

/// The state of the session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum SessionPhase {
    #[default]
    Idle,
    Dialing,
    /// GETSPEC waits for its answer.
    Fetching,
    /// The volfile has been fetched; glusterd announces changes on the connection.
    Up,
    /// Waits until the next dial.
    Waiting,
    Stopped,
}

/// The session's state and what it has learned.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Session {
    pub(crate) phase: SessionPhase,
    /// Index of the configured server in use.
    pub(crate) server: usize,
    /// Servers that were dialled since one of them answered.
    pub(crate) attempts: u32,
    pub(crate) down: Option<Down>,
    /// glusterd announced that some volfile changed, and ours has not been fetched since.
    refetch: bool,
    /// The reason why the newest volfile cannot be used.
    pub(crate) graph_error: Option<GraphError>,
    /// Bytes of that volfile in the spare buffer, if there is no graph.
    pub(crate) refused_len: u32,
}

impl Session {
    /// Says whether GETSPEC waits for its answer.
    pub(super) fn is_fetching(&self) -> bool {
        self.phase == SessionPhase::Fetching
    }

    /// The reason to refuse an operation on the graph in use. The newest volfile needs translators
    /// that are not supported, so a file that is opened now may have a format that would be
    /// misread.
    pub(super) fn refusal(&self, kind: &Kind) -> Option<OpError> {
        match kind {
            Kind::Open { .. } => self.graph_error.map(OpError::Graph),
            _ => None,
        }
    }
}

/// The fields of a GETSPEC reply, and the place of its text in the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SpecAnswer {
    pub(super) op_ret: i32,
    pub(super) op_errno: i32,
    pub(super) from: usize,
    pub(super) len: usize,
}

impl Machine<'_> {
    /// Dials the server in use.
    pub(super) fn session_begin(&mut self) {
        let now = self.context.now;
        self.session.phase = SessionPhase::Dialing;
        self.session.attempts = self.session.attempts.saturating_add(1);
        self.context.transports.dial(TRANSPORT, now);
        self.context.arm_step(TRANSPORT);
    }

    pub(super) fn session_connected(&mut self) {
        self.session.phase = SessionPhase::Up;
        self.session.refetch = true;
        self.fetch_if_due();
        if self.session.phase == SessionPhase::Up {
            self.context.disarm_step(TRANSPORT);
        }
    }

    /// Sends GETSPEC.
    fn fetch(&mut self) {
        let now = self.context.now;
        self.session.phase = SessionPhase::Fetching;
        self.session.refetch = false;
        let key = self.context.config.volume.clone();
        let new = NewCall::plain(Purpose::Step, Procedure::GETSPEC, Cred::bootstrap());
        let sent = self
            .context
            .transports
            .call(TRANSPORT, new, now, |w| Getspec::for_client(key.as_bytes()).encode(w));
        match sent {
            Ok(_) => {
                self.context.arm_step(TRANSPORT);
                self.context.arm_ping(TRANSPORT);
            }
            Err(CallError::CallsFull) => self.session_lost(Down::Limits(Table::Calls), true),
            Err(CallError::HeadTooLong) => self.session_lost(Down::Limits(Table::Head), true),
            Err(CallError::WindowFull | CallError::Closed) => {
                self.session_lost(Down::Stalled, true)
            }
        }
    }

    /// Handles an announcement that some volume's volfile changed. Several that arrive while one is
    /// being fetched lead to one more fetch.
    pub(super) fn spec_changed(&mut self) {
        self.session.refetch = true;
        self.fetch_if_due();
    }

    /// Fetches what was announced, if the buffer for it is free. It is not while a graph is being
    /// brought up from it. Most announcements are about other volumes, so that graph is left alone
    /// until it is in use, or an attempt to reach its bricks has failed; the fetch comes then.
    pub(super) fn fetch_if_due(&mut self) {
        if !self.session.refetch
            || self.session.phase != SessionPhase::Up
            || self.graphs.exchange.is_some()
            || (self.graphs.next.is_some() && !self.graphs.next_failed)
        {
            return;
        }
        if let Some(next) = self.graphs.next.take() {
            self.take_down(next);
        }
        self.fetch();
    }

    /// Moves a fetched volfile to the buffer in which it is parsed, and uses it. `record`: the
    /// record that it is a part of; `None` if it was gathered in the spare buffer.
    pub(super) fn spec_arrived(
        &mut self,
        transport: TransportIx,
        spec: SpecAnswer,
        record: Option<&[u8]>,
    ) -> Result<(), PeerError> {
        if transport != TRANSPORT {
            return Ok(());
        }
        let fits = match record {
            Some(record) => {
                let text =
                    record.get(spec.from..spec.from.saturating_add(spec.len)).unwrap_or_default();
                self.context.volfiles.keep(text)
            }
            None => {
                // A record that is gathered there is matched with its call only now.
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

    /// Handles the answer to GETSPEC. The volfile, if there is one, is the first `len` bytes of the
    /// spare buffer.
    pub(super) fn spec_answered(&mut self, answer: SpecAnswer) {
        self.context.disarm_step(TRANSPORT);
        let fits =
            answer.op_ret > 0 && answer.op_ret as usize == answer.len && answer.op_errno == 0;
        if !fits {
            let down = match Errno::from_wire(answer.op_errno) {
                Errno::ENOENT => Down::NoSuchVolume,
                Errno::EOPNOTSUPP => Down::OpVersion,
                errno => Down::VolfileRefused(errno),
            };
            return self.session_lost(down, true);
        }
        self.session.phase = SessionPhase::Up;
        self.session.attempts = 0;
        self.session.down = None;
        self.changed = true;
        self.context.volume_confirmed();
        self.new_spec(answer.len);
        self.fetch_if_due();
    }

    /// The deadline of a dial or of GETSPEC has passed, or the pause before the next dial is over.
    pub(super) fn session_timed_out(&mut self) {
        match self.session.phase {
            SessionPhase::Waiting => self.session_begin(),
            SessionPhase::Dialing | SessionPhase::Fetching => {
                self.session_lost(Down::HandshakeTimeout, true)
            }
            SessionPhase::Idle | SessionPhase::Up | SessionPhase::Stopped => {}
        }
    }

    /// Ends the connection to glusterd and dials the next server: at once while some are untried,
    /// else after a pause.
    pub(super) fn session_lost(&mut self, down: Down, tell: bool) {
        self.context.shut(TRANSPORT, tell);
        while self.context.transports.drain_call(TRANSPORT).is_some() {}
        if self.stopped {
            return;
        }
        self.changed = true;
        crate::diag::note!("glusterd {} is away: {}", self.session.server, down);
        self.session.down = Some(down);
        let servers = self.context.config.servers.len().max(1);
        self.session.server = (self.session.server + 1) % servers;
        let attempts = self.session.attempts;
        // Changes that are announced from now on are missed.
        self.session.refetch = true;
        if !(attempts as usize).is_multiple_of(servers) {
            return self.session_begin();
        }
        self.session.phase = SessionPhase::Waiting;
        let rounds = attempts / servers as u32;
        self.context.arm_reconnect(TRANSPORT, rounds, down);
        if !self.graphs.exists() {
            self.first_attempt_failed(rounds, down);
        }
    }

    pub(super) fn session_stop(&mut self) {
        self.session.phase = SessionPhase::Stopped;
        self.context.disarm_step(TRANSPORT);
        self.context.shut(TRANSPORT, true);
        while self.context.transports.drain_call(TRANSPORT).is_some() {}
    }

    pub(super) fn session_server(&self) -> Option<&Server> {
        self.context.config.servers.get(self.session.server)
    }
}

/// The fields of a GETSPEC reply, and the place of its text.
pub(super) fn spec_of(record: &[u8]) -> Result<SpecAnswer, PeerError> {
    let mut r = Reader::new(record);
    let header = ReplyHeader::decode(&mut r)?;
    if header.status != ReplyStatus::Success {
        return Ok(SpecAnswer { op_ret: -1, op_errno: Errno::EIO.to_wire(), from: 0, len: 0 });
    }
    let reply = GetspecReply::decode(&mut r)?;
    let from = (reply.spec.as_ptr() as usize).saturating_sub(record.as_ptr() as usize);
    Ok(SpecAnswer { op_ret: reply.op_ret, op_errno: reply.op_errno, from, len: reply.spec.len() })
}
