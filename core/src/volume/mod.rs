//! A volume: the session with glusterd, the graph, open files, and the operations of the caller.
//!
//! Every method of [`Volume`] is one of three kinds. *Commands* say what the caller wants
//! (`submit`, `cancel`). *Handlers* say what has happened (`connected`, `closed`, `received`,
//! `placed`, `sent`, `elapsed`). *Getters* say what there is to do (`poll`, `outgoing`, `intake`,
//! `deadline`, `endpoint`, `answer`) or describe the state (`session_status`, `bricks`, `in_use`).
//! None of them blocks or allocates, and each does a bounded amount of work. After a command or
//! handler call `poll` until it returns `None`, then send, receive, and wait for the first of: a
//! socket, the deadline, a submission.
//!
//! ```
//! # #[cfg(feature = "alloc")] {
//! use brickwire_core::volume::{Config, Op, Output, Server, Volume};
//! use brickwire_core::{Instant, Limits, Memory};
//!
//! let mut config = Config::new();
//! config.volume = "vms".try_into().unwrap();
//! config.servers.push(Server::Tcp { host: "node1".try_into().unwrap(), port: 24007 }).unwrap();
//! config.entropy = [7; 32]; // an adapter takes them from the operating system
//!
//! let mut now = Instant::ZERO;
//! let memory = Memory::on_heap(&Limits::FIRMWARE);
//! let mut volume = Volume::new(config, Limits::FIRMWARE, memory, now).unwrap();
//! let op = volume.submit(Op::Stat { path: b"disk.img", follow: true }, now).unwrap();
//! while let Some(output) = volume.poll(now) {
//!     match output {
//!         Output::Connect { conn } => { /* dial volume.endpoint(conn) */ }
//!         Output::Transmit { conn } => { /* write volume.outgoing(conn), then volume.sent(…) */ }
//!         Output::Complete { op: over, result } => { /* op's buffer is the caller's again */ }
//!         _ => {}
//!     }
//! }
//! assert!(volume.deadline().is_some(), "the dial must be answered in time");
//! # let _ = (op, &mut now); }
//! ```

mod construct;
mod error;
mod execute;
mod graph;
mod intake;
pub(crate) mod limits;
mod machine;
mod op_list;
mod operation;
mod outcomes;
mod output;
mod overlap;
mod recovery;
mod replies;
mod request;
mod resolve;
mod session;
mod status;
mod submit;

pub use construct::NewError;
pub use error::{OpError, SubmitError};
pub use limits::{Limits, Memory};
pub use operation::Operation;
pub use output::Output;
pub use request::{Answer, Entries, Op, SetAttributes};
pub use status::{BrickStatus, ConnectionPhase, InUse, SessionStatus};

pub use crate::boundary::{
    Closed, Deadline, Endpoint, Family, Intake, Outgoing, Range, TcpSettings, TlsSettings, Wake,
};
pub use crate::config::{Config, GROUPS_MAX, HostName, Identity, SERVERS_MAX, Server, TlsUse};
pub use crate::fop::OpenFlags;
pub use crate::xlator::{Down, File, GraphError, Table};

use machine::Machine;
use operation::Value;

use crate::fop::wire::{Body, Reply};
use crate::id::{ConnId, OpId};
use crate::rpc::transport::{Owner, Records};
use crate::time::{Instant, WallClock};
use crate::xdr::{Decode, Reader};
use crate::xlator::{NodeRef, TimerKey, client};

/// One volume, seen by one client.
#[derive(Debug)]
pub struct Volume<'m> {
    machine: Machine<'m>,
    records: Records<'m>,
    limits: Limits,
    /// The operation whose completion was taken last: its answer can be read until the next `poll`.
    completed: Option<OpId>,
}

impl<'m> Volume<'m> {
    /// The next action of the adapter. Take all until `None` after every command and handler.
    pub fn poll(&mut self, now: Instant) -> Option<Output> {
        self.tick(now);
        if let Some(op) = self.completed.take() {
            self.forget(op);
        }
        if core::mem::take(&mut self.machine.changed) {
            return Some(Output::Changed);
        }
        while let Some((transport, mut flags)) = self.machine.context.transports.next_flagged() {
            let conn = self.machine.context.transports.conn(transport);
            let output = if let Some(conn) = flags.close.take() {
                Some(Output::Close { conn })
            } else if core::mem::take(&mut flags.connect) {
                conn.map(|conn| Output::Connect { conn })
            } else if core::mem::take(&mut flags.resume) {
                conn.map(|conn| Output::Resume { conn })
            } else if core::mem::take(&mut flags.transmit) {
                conn.map(|conn| Output::Transmit { conn })
            } else {
                continue;
            };
            self.machine.context.transports.put_back(transport, flags);
            if output.is_some() {
                return output;
            }
        }
        let id = self.machine.finished.first()?;
        let op = self.machine.ops.get_mut(id)?;
        if let Some((at, len)) = op.zero.take()
            && matches!(op.state, operation::OpState::Done(Ok(_)))
        {
            return Some(Output::Zero(Range { op: id, at, len }));
        }
        let operation::OpState::Done(result) = op.state else { return None };
        self.machine.finished.pop(&mut self.machine.ops);
        self.completed = Some(id);
        Some(Output::Complete { op: id, result })
    }

    /// The rest of an operation's answer, besides its count: from its [`Output::Complete`] until
    /// the next `poll`.
    pub fn answer(&self, op: OpId) -> Answer<'_> {
        let Some(operation) = self.machine.ops.get(op).filter(|op| op.is_over()) else {
            return Answer::None;
        };
        match &operation.value {
            Value::None => Answer::None,
            Value::Stat => Answer::Stat(&operation.stat),
            Value::Opened => {
                match operation
                    .file
                    .and_then(|file| Some((file, self.machine.context.files.get(file)?)))
                {
                    Some((file, entry)) => {
                        Answer::Opened { file, gfid: entry.gfid, stat: &operation.stat }
                    }
                    None => Answer::None,
                }
            }
            Value::Offset(offset) => Answer::Offset(*offset),
            Value::Statfs(statfs) => Answer::Statfs(statfs),
            Value::Record { len, number } => {
                let record =
                    operation.block.map(|block| self.records.block(block)).unwrap_or_default();
                let mut r = Reader::new(record.get(..*len as usize).unwrap_or_default());
                // The same bytes were decoded without an error before they were kept.
                let body = crate::rpc::ReplyHeader::decode(&mut r)
                    .and_then(|_| Reply::decode(*number, &mut r));
                match body.map(|reply| reply.body) {
                    Ok(Body::Readlink { path, .. }) => Answer::Link(path),
                    Ok(Body::Dict { dict, .. }) => Answer::Xattrs(dict),
                    Ok(Body::Direntps(entries)) => {
                        let entries = Entries {
                            page: entries,
                            of_replicated_root: self.machine.lists_replicated_root(operation),
                        };
                        Answer::Entries { entries, last: operation.last_page }
                    }
                    _ => Answer::None,
                }
            }
        }
    }

    /// The address of a connection.
    pub fn endpoint(&self, conn: ConnId) -> Option<Endpoint<'_>> {
        let transport = self.machine.context.transports.find(conn)?;
        let privileged = self.machine.context.config.privileged_ports;
        let management_tls = match self.machine.context.config.tls {
            TlsUse::BricksAndManagement => Some(TlsSettings::default()),
            TlsUse::None | TlsUse::Bricks => None,
        };
        match self.machine.context.transports.get(transport)?.owner {
            Owner::Free => None,
            Owner::Glusterd => Some(match self.machine.session_server()? {
                Server::Tcp { host, port } => Endpoint::Tcp {
                    host,
                    port: *port,
                    family: Family::Any,
                    privileged,
                    tcp: TcpSettings::DEFAULT,
                    tls: management_tls,
                },
                Server::Unix { path } => Endpoint::Unix { path },
            }),
            Owner::Brick { graph, node, lane } => {
                let client = self.machine.context.client(NodeRef { graph, node })?;
                let text = self.machine.context.volfiles.half(graph);
                let host = core::str::from_utf8(client.host.of(text)).ok()?;
                let (port, tls) = match client.lanes.get(usize::from(lane))?.port {
                    // The portmapper is glusterd.
                    0 => (client::GLUSTERD_PORT, management_tls),
                    port => (port, client.tls.map(|tls| tls.settings(text))),
                };
                Some(Endpoint::Tcp {
                    host,
                    port,
                    family: client.family,
                    privileged,
                    tcp: client.tcp,
                    tls,
                })
            }
        }
    }

    /// The records to send on a connection, from the first unsent byte on.
    pub fn outgoing<'v>(
        &'v self,
        conn: ConnId,
    ) -> impl Iterator<Item = Outgoing<'v>> + use<'v, 'm> {
        self.machine.context.transports.outgoing(self.machine.context.transports.find(conn))
    }

    /// The socket has taken `bytes` bytes of those that `outgoing` returned.
    pub fn sent(&mut self, conn: ConnId, bytes: usize, now: Instant) {
        self.tick(now);
        let Some(transport) = self.machine.context.transports.find(conn) else { return };
        self.machine.context.transports.advance(transport, bytes);
        self.machine.pump(transport);
        self.end_step();
    }

    /// Bytes that the peer sends on a connection if all calls in flight succeed, for receive
    /// coalescing. Answers with an error are shorter, so a wait for so many bytes needs a short
    /// timeout.
    pub fn owed(&self, conn: ConnId) -> u64 {
        self.machine
            .context
            .transports
            .find(conn)
            .map_or(0, |transport| self.machine.context.transports.owed(transport))
    }

    /// A dial has succeeded.
    pub fn connected(&mut self, conn: ConnId, now: Instant) {
        self.tick(now);
        let Some(transport) = self.machine.context.transports.find(conn) else { return };
        self.machine.context.transports.opened(transport, now);
        match self.machine.context.transports.get(transport).map(|transport| transport.owner) {
            Some(Owner::Glusterd) => self.machine.session_connected(),
            Some(Owner::Brick { graph, node, lane }) => {
                client::connected(&mut self.machine.context, NodeRef { graph, node }, lane);
            }
            _ => {}
        }
        self.end_step();
    }

    /// A dial has failed, or a connection has ended.
    pub fn closed(&mut self, conn: ConnId, why: Closed, now: Instant) {
        self.tick(now);
        let Some(transport) = self.machine.context.transports.find(conn) else { return };
        self.machine.transport_lost(transport, Down::Closed(why), false);
        self.end_step();
    }

    /// Time has passed. Receive what the sockets have first, so that no deadline passes for an
    /// answer that has arrived.
    pub fn elapsed(&mut self, now: Instant) {
        self.tick(now);
        self.machine.elapsed(now);
        self.end_step();
    }

    /// The time at which `elapsed` must be called next, and the reason.
    pub fn deadline(&self) -> Option<Deadline> {
        let (at, key) = self.machine.context.timers.first()?;
        let why = match self.machine.context.key(key) {
            TimerKey::Op(_) => Wake::Operation,
            TimerKey::Ping(_) => Wake::Ping,
            TimerKey::Exchange => Wake::Exchange,
            TimerKey::Doubt => Wake::Doubt,
            TimerKey::Transaction(_) => Wake::Settle,
            TimerKey::Step(transport)
                if self.machine.context.transports.conn(transport).is_none() =>
            {
                Wake::Reconnect
            }
            TimerKey::Step(_) => Wake::Handshake,
        };
        Some(Deadline { at, why })
    }

    /// Sets the wall clock: `now` is `unix_nanos` nanoseconds after 1970.
    pub fn set_wall(&mut self, now: Instant, unix_nanos: u64) {
        self.machine.context.wall = WallClock::new(now, unix_nanos);
    }

    /// The sizes of the tables.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    fn tick(&mut self, now: Instant) {
        self.machine.context.now = self.machine.context.now.max(now);
    }

    /// Frees an operation's slot and its block.
    fn forget(&mut self, id: OpId) {
        if let Some(block) = self.machine.ops.remove(id).and_then(|op| op.block) {
            self.records.give(block);
            self.machine.context.transports.resume_starved();
        }
    }
}
