//! A volume, and a test that plays glusterd and the brick: it inspects each call and writes each
//! answer by hand.
#![allow(dead_code, unreachable_pub)] // Each test file uses its part.

use std::collections::{BTreeMap, VecDeque};

use brickwire_core::fop::FopNumber;
use brickwire_core::fop::wire::{Body, Reply, Request};
use brickwire_core::rpc::dump::{ProgramEntry, put_dump};
use brickwire_core::rpc::handshake::{GetspecReply, Opaque, SetvolumeReply};
use brickwire_core::rpc::portmap::PortByBrickReply;
use brickwire_core::rpc::{
    CallHeader, Cred, CredVersion, Procedure, RecordMark, ReplyHeader, ReplyStatus, TimeFlags,
    program,
};
use brickwire_core::volume::{
    Answer, Closed, Config, Endpoint, Intake, Op, OpError, OpenFlags, Output, Server, Volume,
};
use brickwire_core::xdr::{Decode, Dict, Encode, Gfid, Iatt, Reader, Writer};
use brickwire_core::{ConnId, FileId, Instant, Limits, Memory, OpId};

/// Name of the brick's process, unless a test sets another one.
pub const PROCESS: &str = "brick-process-1";
/// Gfid of the file that `open` opens.
pub const FILE: Gfid = Gfid(*b"the file's gfid!");

pub fn volfile(options: &str, subvolume: &str) -> String {
    format!(
        "volume v-client-0
    type protocol/client
    option remote-host node1
    option remote-subvolume {subvolume}
{options}end-volume

volume v-dht
    type cluster/distribute
    option lookup-optimize on
    subvolumes v-client-0
end-volume

volume v-utime
    type features/utime
    option noatime on
    subvolumes v-dht
end-volume

volume v
    type debug/io-stats
    option log-level INFO
    subvolumes v-utime
end-volume
"
    )
}

/// One call that the volume has made.
#[derive(Clone, Debug)]
pub struct Call {
    pub conn: ConnId,
    pub xid: u32,
    pub procedure: Procedure,
    /// Supplementary groups of the credential, as encoded.
    pub groups: Vec<u8>,
    /// Timestamps that the credential names.
    pub times: TimeFlags,
    /// Arguments and payload.
    pub body: Vec<u8>,
}

impl Call {
    pub fn fop(&self) -> Option<FopNumber> {
        (self.procedure.program == program::FOP)
            .then(|| FopNumber::from_u32(self.procedure.number))
            .flatten()
    }

    pub fn request(&self) -> Request<'_> {
        Request::decode(self.fop().expect("a fop"), &mut Reader::new(&self.body))
            .expect("arguments")
    }

    /// The bytes that follow the arguments.
    pub fn payload(&self) -> &[u8] {
        let mut r = Reader::new(&self.body);
        Request::decode(self.fop().expect("a fop"), &mut r).expect("arguments");
        r.rest()
    }
}

#[derive(Default)]
struct Wire {
    open: bool,
    sent: Vec<u8>,
}

pub struct Rig {
    pub volume: Volume<'static>,
    pub now: Instant,
    pub spec: String,
    pub process: String,
    /// The volume id that SETVOLUME's reply names; empty: none.
    pub volume_id: String,
    wires: BTreeMap<usize, (ConnId, Wire)>,
    pub calls: VecDeque<Call>,
    pub dialled: Vec<(ConnId, String)>,
    pub closed: Vec<ConnId>,
    pub completed: Vec<(OpId, Result<u32, OpError>)>,
    pub opened: BTreeMap<OpId, FileId>,
    pub offsets: BTreeMap<OpId, u64>,
    pub names: BTreeMap<OpId, Vec<Vec<u8>>>,
    pub buffers: BTreeMap<OpId, Vec<u8>>,
    /// The largest number of bytes that one transmit sends.
    pub send_max: usize,
    pub next_fd: i64,
}

impl Rig {
    pub fn new() -> Self {
        Self::with(
            |_| {},
            Limits {
                ops: 32,
                frames: 64,
                calls: 128,
                files: 8,
                inodes: 8,
                fds: 16,
                ..Limits::FIRMWARE
            },
        )
    }

    pub fn with(change: impl FnOnce(&mut Config), limits: Limits) -> Self {
        let mut config = Config::new();
        config.volume = "v".try_into().unwrap();
        config
            .servers
            .push(Server::Tcp { host: "node1".try_into().unwrap(), port: 24007 })
            .unwrap();
        config.entropy = [7; 32];
        config.process_id = 42;
        change(&mut config);
        let volume = Volume::new(config, limits, Memory::on_heap(&limits), Instant::ZERO).unwrap();
        let mut rig = Self {
            volume,
            now: Instant::ZERO,
            spec: volfile("", "/brick"),
            process: PROCESS.into(),
            volume_id: String::new(),
            wires: BTreeMap::new(),
            calls: VecDeque::new(),
            dialled: Vec::new(),
            closed: Vec::new(),
            completed: Vec::new(),
            opened: BTreeMap::new(),
            offsets: BTreeMap::new(),
            names: BTreeMap::new(),
            buffers: BTreeMap::new(),
            send_max: usize::MAX,
            next_fd: 0,
        };
        rig.pump();
        rig
    }

    /// A volume that is connected and whose root has been looked up.
    pub fn up() -> Self {
        let mut rig = Self::new();
        rig.bring_up();
        rig
    }

    /// Plays the handshakes until the volume can be used.
    pub fn bring_up(&mut self) {
        for _ in 0..100 {
            if self.volume.is_usable() {
                return;
            }
            self.accept_dials();
            self.answer_handshake();
        }
        panic!("the volume does not come up: {:?}", self.volume.session_status());
    }

    pub fn accept_dials(&mut self) {
        for (conn, _) in std::mem::take(&mut self.dialled) {
            self.accept(conn);
        }
    }

    pub fn accept(&mut self, conn: ConnId) {
        self.wires.insert(conn.slot(), (conn, Wire { open: true, sent: Vec::new() }));
        self.volume.connected(conn, self.now);
        self.pump();
    }

    /// Answers calls of handshakes and LOOKUPs of the root; other calls stay in `calls`.
    pub fn answer_handshake(&mut self) {
        let calls: Vec<Call> = self.calls.drain(..).collect();
        for call in calls {
            match call.procedure {
                Procedure::GETSPEC => {
                    let spec = self.spec.clone();
                    self.answer_getspec(&call, &spec);
                }
                Procedure::PORTBYBRICK => self.answer_with(&call, |w| {
                    PortByBrickReply { op_ret: 0, op_errno: 0, status: 0, port: 49152 }
                        .encode(w)
                        .unwrap();
                }),
                Procedure::DUMP => self.answer_with(&call, |w| {
                    let entry = ProgramEntry {
                        name: b"GlusterFS 4.x v1",
                        number: program::FOP.into(),
                        version: 400,
                    };
                    put_dump(w, &[entry]).unwrap();
                }),
                Procedure::SETVOLUME => {
                    let (process, id) = (self.process.clone(), self.volume_id.clone());
                    self.answer_with(&call, |w| {
                        let texts = [
                            ("ERROR", Some(&b"Success"[..])),
                            ("process-uuid", Some(process.as_bytes())),
                            ("volume-id", Some(id.as_bytes()).filter(|id| !id.is_empty())),
                        ];
                        SetvolumeReply { op_ret: 0, op_errno: 22, dict: Opaque::Texts(&texts) }
                            .encode(w)
                            .unwrap();
                    });
                }
                _ if call.fop() == Some(FopNumber::Lookup) => match call.request() {
                    Request::Lookup(lookup) if lookup.gfid == Gfid::ROOT => {
                        self.answer_lookup(&call, directory(Gfid::ROOT))
                    }
                    _ => self.calls.push_back(call),
                },
                _ => self.calls.push_back(call),
            }
        }
    }

    pub fn answer_getspec(&mut self, call: &Call, spec: &str) {
        let record = self.getspec_record(call, spec);
        self.deliver(call.conn, &record);
    }

    pub fn getspec_record(&self, call: &Call, spec: &str) -> Vec<u8> {
        reply_record(call.xid, |w| {
            let reply = GetspecReply {
                op_ret: spec.len() as i32,
                op_errno: 0,
                spec: spec.as_bytes(),
                xdata: Opaque::Bytes(&[]),
            };
            reply.encode(w).unwrap();
        })
    }

    pub fn answer_lookup(&mut self, call: &Call, stat: Iatt) {
        let body = Body::TwoIatts { before: stat, after: directory(Gfid::ROOT) };
        self.answer(call, &Reply { op_ret: 0, op_errno: 0, xdata: Dict::Null, body });
    }

    pub fn fails(&mut self, call: &Call, errno: i32) {
        self.answer(call, &Reply::plain(-1, errno));
    }

    pub fn answer(&mut self, call: &Call, reply: &Reply<'_>) {
        let number = call.fop().expect("a fop");
        self.answer_with(call, |w| reply.encode(number, w).unwrap());
    }

    /// Answers WRITE, FSYNC and other fops whose reply has two iatts.
    pub fn answer_done(&mut self, call: &Call, count: i32) {
        let body = Body::TwoIatts { before: regular(FILE, 0), after: regular(FILE, 0) };
        self.answer(call, &Reply { op_ret: count, op_errno: 0, xdata: Dict::Null, body });
    }

    /// Answers a READ with this payload.
    pub fn answer_read(&mut self, call: &Call, payload: &[u8]) {
        let record = read_reply(call, payload, payload.len() as i32);
        self.deliver(call.conn, &record);
    }

    pub fn answer_with(&mut self, call: &Call, results: impl FnOnce(&mut Writer<'_>)) {
        let record = reply_record(call.xid, results);
        self.deliver(call.conn, &record);
    }

    /// Delivers bytes of the peer.
    pub fn deliver(&mut self, conn: ConnId, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let taken = match self.volume.intake(conn) {
                Intake::Core => self.volume.received(conn, bytes, self.now),
                Intake::Place(range) => {
                    assert!(
                        !self.completed.iter().any(|(op, _)| *op == range.op),
                        "bytes for an operation that is over"
                    );
                    let buffer = self.buffers.get_mut(&range.op).expect("a buffer");
                    let n = bytes.len().min(range.len as usize);
                    buffer[range.at as usize..][..n].copy_from_slice(&bytes[..n]);
                    self.volume.placed(conn, n, self.now);
                    n
                }
                Intake::Discard { len } => {
                    let n = bytes.len().min(len as usize);
                    self.volume.placed(conn, n, self.now);
                    n
                }
                Intake::Wait => panic!("no room for a record"),
                Intake::Closed => break,
            };
            bytes = &bytes[taken..];
            self.pump();
        }
        self.pump();
    }

    /// Carries out the outputs of the volume until there are none.
    pub fn pump(&mut self) {
        while let Some(output) = self.volume.poll(self.now) {
            match output {
                Output::Connect { conn } => {
                    let to = match self.volume.endpoint(conn).unwrap() {
                        Endpoint::Tcp { host, port, tls: None, .. } => format!("{host}:{port}"),
                        Endpoint::Tcp { host, port, .. } => format!("tls {host}:{port}"),
                        Endpoint::Unix { path } => path.to_owned(),
                    };
                    self.dialled.push((conn, to));
                }
                Output::Transmit { conn } => self.transmit(conn),
                Output::Close { conn } => {
                    self.wires.remove(&conn.slot());
                    self.closed.push(conn);
                    self.calls.retain(|call| call.conn != conn);
                }
                Output::Zero(range) => {
                    let buffer = self.buffers.get_mut(&range.op).expect("a buffer");
                    buffer[range.at as usize..][..range.len as usize].fill(0);
                }
                Output::Complete { op, result } => {
                    assert!(
                        !self.completed.iter().any(|(other, _)| *other == op),
                        "completed twice"
                    );
                    match self.volume.answer(op) {
                        Answer::Opened { file, .. } => drop(self.opened.insert(op, file)),
                        Answer::Offset(offset) => drop(self.offsets.insert(op, offset)),
                        Answer::Entries { entries, .. } => {
                            self.names.insert(
                                op,
                                entries.iter().map(|entry| entry.name.to_vec()).collect(),
                            );
                        }
                        _ => {}
                    }
                    self.completed.push((op, result));
                }
                Output::Resume { .. } | Output::Changed => {}
            }
        }
    }

    fn transmit(&mut self, conn: ConnId) {
        let mut bytes = Vec::new();
        for record in self.volume.outgoing(conn) {
            bytes.extend_from_slice(record.head);
            if let Some(range) = record.data {
                bytes.extend_from_slice(
                    &self.buffers[&range.op][range.at as usize..][..range.len as usize],
                );
            }
            bytes.extend_from_slice(record.tail);
        }
        bytes.truncate(self.send_max);
        if bytes.is_empty() {
            return;
        }
        self.volume.sent(conn, bytes.len(), self.now);
        let Some((_, wire)) = self.wires.get_mut(&conn.slot()) else {
            panic!("sent on a closed connection")
        };
        wire.sent.extend_from_slice(&bytes);
        while let Some(mark) = wire.sent.first_chunk::<4>() {
            let mark = RecordMark::parse(*mark);
            assert!(mark.last, "records are sent in one fragment");
            let len = mark.len as usize + 4;
            if wire.sent.len() < len {
                break;
            }
            let record: Vec<u8> = wire.sent.drain(..len).skip(4).collect();
            let mut r = Reader::new(&record);
            let header = CallHeader::decode(&mut r).expect("a call");
            let (groups, times) = (header.cred.groups.to_vec(), header.cred.times);
            let body = r.rest().to_vec();
            let (xid, procedure) = (header.xid, header.procedure);
            let call = Call { conn, xid, procedure, groups, times, body };
            self.calls.push_back(call);
        }
    }

    /// Sends all records that the volume has.
    pub fn transmit_all(&mut self) {
        for conn in self.wires.values().map(|(conn, _)| *conn).collect::<Vec<_>>() {
            while self.volume.outgoing(conn).next().is_some() {
                self.transmit(conn);
                self.pump();
            }
        }
    }

    pub fn submit(&mut self, op: Op<'_>, buffer: Vec<u8>) -> OpId {
        let id = self.volume.submit(op, self.now).expect("taken");
        self.completed.retain(|(other, _)| other.slot() != id.slot());
        self.buffers.insert(id, buffer);
        self.pump();
        id
    }

    /// Takes the next call, which must be of this fop.
    pub fn expect(&mut self, fop: FopNumber) -> Call {
        let call = self.calls.pop_front().unwrap_or_else(|| panic!("no call, expected {fop:?}"));
        assert_eq!(call.fop(), Some(fop), "{:?}", call.procedure);
        call
    }

    pub fn expect_nothing(&self) {
        assert!(self.calls.is_empty(), "unexpected calls: {:?}", self.calls);
    }

    /// The result of an operation; `None` before it has ended.
    pub fn result(&self, op: OpId) -> Option<Result<u32, OpError>> {
        self.completed.iter().find(|(other, _)| *other == op).map(|(_, result)| *result)
    }

    /// Opens the file for reading and writing; the brick returns the next fd number.
    pub fn open(&mut self) -> FileId {
        let op =
            self.submit(Op::Open { path: b"f", flags: OpenFlags::READ_WRITE, mode: 0 }, Vec::new());
        let call = self.expect(FopNumber::Lookup);
        self.answer_lookup(&call, regular(FILE, 1 << 20));
        let call = self.expect(FopNumber::Open);
        self.answer_open(&call);
        assert_eq!(self.result(op), Some(Ok(0)));
        self.opened[&op]
    }

    pub fn answer_open(&mut self, call: &Call) {
        let fd = self.next_fd;
        self.next_fd += 1;
        self.answer(
            call,
            &Reply { op_ret: 0, op_errno: 0, xdata: Dict::Null, body: Body::Open { fd } },
        );
    }

    pub fn write(&mut self, file: FileId, offset: u64, data: &[u8]) -> OpId {
        self.submit(Op::Write { file, offset, len: data.len() as u32 }, data.to_vec())
    }

    pub fn read(&mut self, file: FileId, offset: u64, len: u32) -> OpId {
        self.submit(Op::Read { file, offset, len, fill: false }, vec![0xee; len as usize])
    }

    pub fn flush(&mut self, file: FileId) -> OpId {
        self.submit(Op::Flush { file, data_only: false }, Vec::new())
    }

    /// The connection to the brick.
    pub fn brick(&self) -> ConnId {
        self.wires
            .values()
            .find(|(conn, _)| conn.slot() != 0)
            .map(|(conn, _)| *conn)
            .expect("a brick connection")
    }

    /// A connection to a brick other than this one.
    pub fn brick_besides(&self, other: ConnId) -> ConnId {
        let mut conns = self.wires.values().map(|(conn, _)| *conn);
        conns.find(|conn| conn.slot() != 0 && *conn != other).expect("another connection")
    }

    pub fn glusterd(&self) -> ConnId {
        self.wires[&0].0
    }

    /// glusterd announces that a volfile has changed: of this volume, or of another one.
    pub fn announce(&mut self) {
        let glusterd = self.glusterd();
        self.deliver(glusterd, &callback_record(1, 1, &[]));
    }

    pub fn breaks(&mut self, conn: ConnId) {
        self.wires.remove(&conn.slot());
        self.calls.retain(|call| call.conn != conn);
        self.volume.closed(conn, Closed::Reset, self.now);
        self.pump();
    }

    /// Lets time pass until the next deadline.
    pub fn next_deadline(&mut self) {
        let deadline = self.volume.deadline().expect("a deadline");
        self.at(deadline.at);
    }

    pub fn at(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.volume.elapsed(self.now);
        self.pump();
    }

    pub fn after_ms(&mut self, ms: u64) {
        let end = self.now.plus_millis(ms);
        while let Some(deadline) = self.volume.deadline().filter(|deadline| deadline.at <= end) {
            self.at(deadline.at);
        }
        self.at(end);
    }

    /// The brick's connection breaks, and a process with this name answers on the next one.
    pub fn brick_returns_as(&mut self, process: &str) {
        let brick = self.brick();
        self.breaks(brick);
        self.process = process.into();
        for _ in 0..50 {
            if self.dialled.is_empty() && self.calls.is_empty() {
                self.next_deadline();
            }
            self.accept_dials();
            self.answer_handshake();
            if self.volume.is_usable() || self.calls.iter().any(|call| call.fop().is_some()) {
                return;
            }
        }
        panic!("the brick does not come back");
    }
}

/// A call of a server to us.
pub fn callback_record(xid: u32, number: u32, body: &[u8]) -> Vec<u8> {
    let mut room = vec![0; 512];
    let mut w = Writer::new(&mut room);
    w.u32(0).unwrap();
    let cred = Cred { version: CredVersion::None, ..Cred::bootstrap() };
    CallHeader { xid, procedure: Procedure::callback(number), cred }.encode(&mut w).unwrap();
    w.raw(body).unwrap();
    let len = w.position();
    w.patch_u32(0, RecordMark::last(len as u32 - 4));
    room.truncate(len);
    room
}

pub fn reply_record(xid: u32, results: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut room = vec![0; 256 * 1024];
    let mut w = Writer::new(&mut room);
    w.u32(0).unwrap();
    ReplyHeader { xid, status: ReplyStatus::Success }.encode(&mut w).unwrap();
    results(&mut w);
    let len = w.position();
    w.patch_u32(0, RecordMark::last(len as u32 - 4));
    room.truncate(len);
    room
}

/// A READ reply that says `op_ret` and carries `payload`, of a file that ends there.
pub fn read_reply(call: &Call, payload: &[u8], op_ret: i32) -> Vec<u8> {
    let size = match call.request() {
        Request::Read(read) => read.offset + op_ret as u64,
        other => panic!("{other:?}"),
    };
    read_reply_of(call, payload, op_ret, size)
}

/// The same, for a file of `size` bytes.
pub fn read_reply_of(call: &Call, payload: &[u8], op_ret: i32, size: u64) -> Vec<u8> {
    let mut record = reply_record(call.xid, |w| {
        let body = Body::Read { stat: regular(FILE, size), size: op_ret as u32 };
        Reply { op_ret, op_errno: 0, xdata: Dict::Null, body }.encode(FopNumber::Read, w).unwrap();
    });
    record.extend_from_slice(payload);
    let len = record.len() as u32 - 4;
    record[..4].copy_from_slice(&RecordMark::last(len).to_be_bytes());
    record
}

pub fn iatt(gfid: Gfid, mode: u32, size: u64) -> Iatt {
    Iatt { gfid, flags: Iatt::ALL, mode, size, nlink: 1, ..Iatt::default() }
}

pub fn directory(gfid: Gfid) -> Iatt {
    iatt(gfid, 0o040_755, 4096)
}

pub fn regular(gfid: Gfid, size: u64) -> Iatt {
    iatt(gfid, 0o100_644, size)
}

pub fn symlink(gfid: Gfid) -> Iatt {
    iatt(gfid, 0o120_777, 1)
}
