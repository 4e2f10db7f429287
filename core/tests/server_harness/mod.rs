//! A server over bricks in memory, and a test that plays its clients: the test passes bytes in
//! pieces of its choice and checks replies one by one; the storage answers at once, or when the
//! test says so.
#![allow(dead_code, unreachable_pub)] // Each test file uses its part.

use std::collections::{BTreeMap, VecDeque};

use brickwire_core::fop::FopNumber;
use brickwire_core::fop::wire::{Body, Reply, Request, Stat};
use brickwire_core::rpc::handshake::{Opaque, Setvolume};
use brickwire_core::rpc::{
    CallHeader, Cred, MessageType, Procedure, RecordMark, ReplyHeader, ReplyStatus, TimeFlags,
};
use brickwire_core::server::{
    Brick, BrickIx, BufferId, Call, CloseReason, Completion, Exports, HandleId, Intake, JobId,
    Login, Output, Peer, Place, Server, ServerConfig, ServerLimits, ServerMemory, Storage,
    Submitted,
};
use brickwire_core::xdr::{Decode, Dict, Encode, Gfid, Iatt, Pair, Reader, Value, Writer};
use brickwire_core::{ConnId, Instant};
use brickwire_memory::{MemoryLimits, MemoryStorage, MemoryTables};

/// The brick's name, as clients ask for it.
pub const BRICK: &str = "/brick";
/// Another brick, of another volume, if the storage has it. Its name differs from the first one's
/// in more than a byte or two.
pub const SECOND: &str = "/a/brick/of/somebody/else";
/// Its volume's id.
pub const SECOND_ID: Gfid = Gfid::v4([0xa7; 16]);
/// The volume's name.
pub const VOLUME: &str = "v";
/// The volume's id.
pub const VOLUME_ID: Gfid = Gfid::v4([0x51; 16]);
/// The process-uuid of the server.
pub const PROCESS: &str = "server-process-1";

/// The exports of the harness.
#[derive(Clone, Debug)]
pub struct TestExports {
    pub volfile: String,
    pub privileged_ports_only: bool,
    pub read_only: bool,
    pub logins: &'static [Login<'static>],
    pub rejected: Option<&'static str>,
    pub rejected_subdirectory: Option<&'static str>,
    pub port: u16,
}

impl Default for TestExports {
    fn default() -> Self {
        Self {
            volfile: volfile(),
            privileged_ports_only: false,
            read_only: false,
            logins: &[],
            rejected: None,
            rejected_subdirectory: None,
            port: 49152,
        }
    }
}

/// A STAT of the root.
pub fn stat_root() -> Request<'static> {
    Request::Stat(Stat { gfid: Gfid::ROOT, xdata: Dict::Null })
}

/// A harness whose server has the small limits, with changes.
pub fn with(change: impl FnOnce(&mut ServerLimits)) -> Harness {
    let mut limits = ServerLimits::SMALL;
    change(&mut limits);
    Harness::with(limits, MemoryLimits::SMALL)
}

/// A volfile for a volume of one brick, as glusterd writes it.
pub fn volfile() -> String {
    format!(
        "volume {VOLUME}-client-0\n    type protocol/client\n    option remote-host node1\n    \
         option remote-subvolume {BRICK}\nend-volume\n\n\
         volume {VOLUME}-dht\n    type cluster/distribute\n    option lookup-optimize on\n    \
         subvolumes {VOLUME}-client-0\nend-volume\n\n\
         volume {VOLUME}-utime\n    type features/utime\n    option noatime on\n    \
         subvolumes {VOLUME}-dht\nend-volume\n\n\
         volume {VOLUME}\n    type debug/io-stats\n    subvolumes {VOLUME}-utime\nend-volume\n"
    )
}

impl Exports for TestExports {
    fn volfile(&self, key: &[u8]) -> Option<&[u8]> {
        let key = key.strip_prefix(b"shd/").unwrap_or(key);
        (key == VOLUME.as_bytes()).then_some(self.volfile.as_bytes())
    }

    fn brick(&self, name: &[u8]) -> Option<Brick<'_>> {
        let (index, volume_id) = match name {
            _ if name == BRICK.as_bytes() => (0, VOLUME_ID),
            _ if name == SECOND.as_bytes() => (1, SECOND_ID),
            _ => return None,
        };
        Some(Brick {
            index: BrickIx(index),
            volume_id,
            privileged_ports_only: self.privileged_ports_only,
            read_only: self.read_only,
            logins: self.logins,
        })
    }

    fn port(&self, name: &[u8]) -> Option<u16> {
        (name == BRICK.as_bytes()).then_some(self.port)
    }

    fn admits(&self, _brick: BrickIx, address: &[u8], subdirectory: &[u8]) -> bool {
        self.rejected_subdirectory.is_none_or(|rejected| rejected.as_bytes() != subdirectory)
            && self.rejected.is_none_or(|rejected| rejected.as_bytes() != address)
    }

    fn volume_id(&self, volume: &[u8]) -> Option<Gfid> {
        (volume == VOLUME.as_bytes()).then_some(VOLUME_ID)
    }
}

/// A storage in memory whose answers the test can delay or refuse.
#[derive(Clone, Debug)]
pub struct SlowStorage {
    pub memory: MemoryStorage<'static>,
    /// Answers are held until the test releases them.
    pub hold: bool,
    /// No buffer is free.
    pub no_buffers: bool,
    /// Every call is refused for lack of room.
    pub busy: bool,
    /// Calls that it works on at a time.
    pub slots: usize,
    /// A READ whose offset or size is no multiple of this fails with EINVAL, as with O_DIRECT.
    pub aligned: u32,
    /// Number of calls that were refused for lack of room.
    pub refused: u64,
    held: VecDeque<(JobId, Completion)>,
    /// Bodies of held answers, by the number of their buffer.
    bodies: BTreeMap<u32, Vec<u8>>,
    next_body: u32,
    /// Number of calls that were executed.
    pub calls: u64,
    /// The bricks at the last sync, which a crash of the server leaves. `None`: a crash loses
    /// nothing.
    pub durable: Option<Box<MemoryStorage<'static>>>,
}

/// Buffers from this number on belong to held answers.
const OWN: u32 = 1 << 31;

impl SlowStorage {
    pub fn new(memory: MemoryStorage<'static>) -> Self {
        Self {
            memory,
            hold: false,
            no_buffers: false,
            busy: false,
            slots: usize::MAX,
            aligned: 1,
            refused: 0,
            held: VecDeque::new(),
            bodies: BTreeMap::new(),
            next_body: OWN,
            calls: 0,
            durable: None,
        }
    }

    /// Simulates a crash: a new process starts with the bricks as of the last sync.
    pub fn crash(&mut self) {
        self.held.clear();
        self.bodies.clear();
        if let Some(durable) = &self.durable {
            self.memory = (**durable).clone();
        }
        self.memory.restart();
    }

    /// Counts an executed call, and keeps the bricks if it was a sync.
    fn count_call(&mut self, call: &Call<'_>) {
        self.calls += 1;
        if let (Some(durable), Request::Fsync(_)) = (&mut self.durable, &call.request) {
            **durable = self.memory.clone();
        }
    }

    /// Number of held answers.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Releases a held answer.
    pub fn take(&mut self, at: usize) -> Option<(JobId, Completion)> {
        self.held.remove(at)
    }

    /// Number of buffers in use.
    pub fn buffers(&self) -> usize {
        self.memory.usage().buffers as usize + self.bodies.len()
    }

    fn bytes(&mut self, place: Place) -> Vec<u8> {
        let begin = place.at as usize;
        self.bytes_mut(place.buffer)[begin..begin + place.len as usize].to_vec()
    }
}

impl Storage for SlowStorage {
    fn submit(&mut self, job: JobId, call: &Call<'_>, reply: &mut Writer<'_>) -> Submitted {
        if self.busy || self.held.len() >= self.slots {
            self.refused += 1;
            return Submitted::Busy;
        }
        if let Request::Read(read) = &call.request
            && (!read.offset.is_multiple_of(self.aligned.into())
                || !read.size.is_multiple_of(self.aligned))
        {
            Reply::plain(-1, 22).encode(FopNumber::Read, reply).expect("room");
            return Submitted::Done { failed: true, data: None };
        }
        if !self.hold {
            let submitted = self.memory.submit(job, call, reply);
            if submitted != Submitted::Busy {
                self.count_call(call);
            }
            return submitted;
        }
        let mut room = [0; 1280];
        let mut w = Writer::new(&mut room);
        let Submitted::Done { failed, data } = self.memory.submit(job, call, &mut w) else {
            return Submitted::Busy;
        };
        self.count_call(call);
        let mut body = w.position();
        body = body.min(room.len());
        let mut bytes = room[..body].to_vec();
        if let Some(data) = data {
            bytes.extend(self.bytes(data));
            self.memory.release(data.buffer);
        }
        let buffer = BufferId(self.next_body);
        self.next_body += 1;
        let body = Place { buffer, at: 0, len: bytes.len() as u32 };
        self.bodies.insert(buffer.0, bytes);
        self.held.push_back((job, Completion { failed, body }));
        Submitted::Pending
    }

    fn close(&mut self, brick: BrickIx, handle: HandleId) {
        self.memory.close(brick, handle);
    }

    fn reserve(&mut self, len: u32) -> Option<BufferId> {
        if self.no_buffers { None } else { self.memory.reserve(len) }
    }

    fn bytes_mut(&mut self, buffer: BufferId) -> &mut [u8] {
        match self.bodies.get_mut(&buffer.0) {
            Some(bytes) => bytes,
            None => self.memory.bytes_mut(buffer),
        }
    }

    fn release(&mut self, buffer: BufferId) {
        if buffer.0 >= OWN {
            assert!(self.bodies.remove(&buffer.0).is_some(), "a buffer is released once");
        } else {
            self.memory.release(buffer);
        }
    }
}

#[derive(Default)]
struct Wire {
    /// Bytes that the server has not read yet.
    incoming: Vec<u8>,
    /// Bytes that the server has sent.
    outgoing: Vec<u8>,
    /// The client takes nothing that is sent.
    deaf: bool,
}

pub struct Harness {
    pub server: Server<'static>,
    pub storage: SlowStorage,
    pub exports: TestExports,
    pub now: Instant,
    wires: BTreeMap<ConnId, Wire>,
    pub closed: Vec<(ConnId, CloseReason)>,
    /// Bytes that are passed to the server at a time.
    pub cut: usize,
    /// Bytes of payload that were placed directly into a buffer.
    pub placed: usize,
    next_xid: u32,
    next_gfid: u64,
}

/// The reply to a call.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: ReplyStatus,
    pub body: Vec<u8>,
}

impl Answer {
    /// Decodes the body as the reply to a fop.
    pub fn fop(&self, number: FopNumber) -> Reply<'_> {
        assert_eq!(self.status, ReplyStatus::Success);
        Reply::decode(number, &mut Reader::new(&self.body)).expect("a reply")
    }

    /// `op_ret` and `op_errno`, the first words of every fop's reply.
    pub fn result(&self) -> (i32, i32) {
        assert_eq!(self.status, ReplyStatus::Success);
        let mut r = Reader::new(&self.body);
        (r.i32("op_ret").expect("there"), r.i32("op_errno").expect("there"))
    }

    pub fn decode<'a, T: Decode<'a>>(&'a self) -> T {
        assert_eq!(self.status, ReplyStatus::Success);
        T::decode(&mut Reader::new(&self.body)).expect("a reply")
    }
}

impl Default for Harness {
    fn default() -> Self {
        Self::new()
    }
}

impl Harness {
    pub fn new() -> Self {
        Self::with(ServerLimits::SMALL, MemoryLimits::SMALL)
    }

    pub fn with(limits: ServerLimits, memory: MemoryLimits) -> Self {
        let config =
            ServerConfig { process_uuid: PROCESS.try_into().unwrap(), ..ServerConfig::default() };
        let server = Server::new(config, &limits, ServerMemory::on_heap(&limits)).unwrap();
        let mut storage = MemoryStorage::new(&memory, MemoryTables::on_heap(&memory)).unwrap();
        storage.set_time(1_000, 0);
        storage.add_brick(VOLUME_ID).unwrap();
        Self {
            server,
            storage: SlowStorage::new(storage),
            exports: TestExports::default(),
            now: Instant::ZERO,
            wires: BTreeMap::new(),
            closed: Vec::new(),
            cut: usize::MAX,
            placed: 0,
            next_xid: 1,
            next_gfid: 1,
        }
    }

    /// A gfid that is not in use.
    pub fn new_gfid(&mut self) -> Gfid {
        let mut bytes = [0x77; 16];
        bytes[8..].copy_from_slice(&self.next_gfid.to_be_bytes());
        self.next_gfid += 1;
        Gfid(bytes)
    }

    pub fn connect(&mut self) -> ConnId {
        self.connect_from(Peer { address: "10.0.0.1".try_into().unwrap(), privileged: true })
            .expect("room")
    }

    pub fn connect_from(&mut self, peer: Peer) -> Option<ConnId> {
        let conn = self.server.accepted(peer, self.now)?;
        self.wires.insert(conn, Wire::default());
        Some(conn)
    }

    /// A connection that is logged in to the brick.
    pub fn mount(&mut self) -> ConnId {
        let conn = self.connect();
        let answer = self.setvolume(conn, &login_pairs());
        assert_eq!(answer.result(), (0, 0));
        conn
    }

    pub fn setvolume(&mut self, conn: ConnId, pairs: &[(&str, Option<&[u8]>)]) -> Answer {
        self.call(conn, Procedure::SETVOLUME, &Setvolume { dict: Opaque::Texts(pairs) })
    }

    /// The client disconnects.
    pub fn close(&mut self, conn: ConnId) {
        self.wires.remove(&conn);
        self.server.closed(conn, self.now, &mut self.storage);
        self.pump();
    }

    /// Sets whether the client takes what is sent.
    pub fn deafen(&mut self, conn: ConnId, deaf: bool) {
        self.wires.get_mut(&conn).expect("open").deaf = deaf;
        self.transmit(conn);
        self.pump();
    }

    pub fn is_open(&self, conn: ConnId) -> bool {
        self.wires.contains_key(&conn)
    }

    /// Bytes that the server has not read.
    pub fn waiting(&self, conn: ConnId) -> usize {
        self.wires.get(&conn).map_or(0, |wire| wire.incoming.len())
    }

    /// Passes bytes to the server.
    pub fn send(&mut self, conn: ConnId, bytes: &[u8]) {
        let Some(wire) = self.wires.get_mut(&conn) else { return };
        wire.incoming.extend_from_slice(bytes);
        self.deliver(conn, false);
        self.pump();
    }

    fn deliver(&mut self, conn: ConnId, mut even_nothing: bool) {
        while let Some(wire) = self.wires.get_mut(&conn) {
            let n = wire.incoming.len().min(self.cut);
            let used = match self.server.intake(conn) {
                Intake::Core if n > 0 || even_nothing => {
                    let bytes = wire.incoming[..n].to_vec();
                    self.server.received(conn, &bytes, self.now, &self.exports, &mut self.storage)
                }
                Intake::Place(place) if n > 0 => {
                    let n = n.min(place.len as usize);
                    let at = place.at as usize;
                    self.storage.bytes_mut(place.buffer)[at..at + n]
                        .copy_from_slice(&wire.incoming[..n]);
                    self.server.placed(conn, n, self.now, &self.exports, &mut self.storage);
                    self.placed += n;
                    n
                }
                _ => return,
            };
            even_nothing = false;
            assert!(used <= n, "no more is taken than there is");
            self.wires.get_mut(&conn).expect("open").incoming.drain(..used);
            let stuck = used == 0 && n > 0 && self.server.intake(conn) == Intake::Core;
            assert!(!stuck, "bytes are taken, or it says why not");
            if used == 0 && !matches!(self.server.intake(conn), Intake::Place(_)) {
                return;
            }
        }
    }

    fn transmit(&mut self, conn: ConnId) {
        let Some(wire) = self.wires.get_mut(&conn).filter(|wire| !wire.deaf) else { return };
        let mut bytes = Vec::new();
        for piece in self.server.outgoing(conn) {
            bytes.extend_from_slice(piece.head);
            if let Some(data) = piece.data {
                bytes.extend(self.storage.bytes(data));
            }
        }
        wire.outgoing.extend_from_slice(&bytes);
        self.server.sent(conn, bytes.len(), self.now, &mut self.storage);
    }

    pub fn pump(&mut self) {
        for _ in 0..10_000 {
            let Some(output) = self.server.poll() else { return };
            match output {
                Output::Transmit { conn } => self.transmit(conn),
                Output::Resume { conn } => self.deliver(conn, true),
                Output::Close { conn, why } => {
                    self.wires.remove(&conn);
                    self.closed.push((conn, why));
                }
            }
        }
        panic!("the server wants endless things");
    }

    /// Releases a held answer.
    pub fn finish(&mut self, at: usize) {
        let (job, completion) = self.storage.take(at).expect("an answer");
        self.server.completed(job, completion, self.now, &mut self.storage);
        self.pump();
    }

    pub fn pass(&mut self, millis: u64) {
        self.now = self.now.plus_millis(millis);
        if self.server.deadline().is_some_and(|deadline| deadline <= self.now) {
            self.server.elapsed(self.now, &mut self.storage);
        }
        self.pump();
    }

    /// Complete records that the server has sent.
    pub fn records(&mut self, conn: ConnId) -> Vec<Vec<u8>> {
        let Some(wire) = self.wires.get_mut(&conn) else { return Vec::new() };
        let mut records = Vec::new();
        while let Some(mark) = wire.outgoing.first_chunk::<4>() {
            let mark = RecordMark::parse(*mark);
            assert!(mark.last, "replies are sent in one fragment");
            let end = 4 + mark.len as usize;
            if wire.outgoing.len() < end {
                break;
            }
            records.push(wire.outgoing[4..end].to_vec());
            wire.outgoing.drain(..end);
        }
        records
    }

    /// Bytes of an incomplete record, or of records that the test has not read.
    pub fn unread(&self, conn: ConnId) -> usize {
        self.wires.get(&conn).map_or(0, |wire| wire.outgoing.len())
    }

    /// Replies by xid, without callbacks.
    pub fn replies(&mut self, conn: ConnId) -> Vec<(u32, Answer)> {
        let records = self.records(conn).into_iter();
        let replies =
            records.filter(|record| MessageType::peek(record) == Some(MessageType::Reply));
        replies.map(|record| parse_reply(&record)).collect()
    }

    pub fn xid(&mut self) -> u32 {
        self.next_xid += 1;
        self.next_xid
    }

    /// Makes a call and returns its reply, which must be there at once.
    pub fn call(&mut self, conn: ConnId, procedure: Procedure, arguments: &dyn Encode) -> Answer {
        self.call_as(conn, &root(), procedure, arguments, &[])
    }

    pub fn call_as(
        &mut self,
        conn: ConnId,
        cred: &Cred<'_>,
        procedure: Procedure,
        arguments: &dyn Encode,
        payload: &[u8],
    ) -> Answer {
        let xid = self.xid();
        let record = record(xid, procedure, cred, arguments, payload);
        self.send(conn, &record);
        let mut replies = self.replies(conn);
        assert_eq!(replies.len(), 1, "one call, one answer");
        let (answered, answer) = replies.remove(0);
        assert_eq!(answered, xid);
        answer
    }

    pub fn fop(&mut self, conn: ConnId, request: Request<'_>) -> Answer {
        self.call(conn, Procedure::fop(request.number() as u32), &request)
    }

    pub fn fop_as(
        &mut self,
        conn: ConnId,
        cred: &Cred<'_>,
        request: Request<'_>,
        payload: &[u8],
    ) -> Answer {
        self.call_as(conn, cred, Procedure::fop(request.number() as u32), &request, payload)
    }

    /// Creates and opens a file in the root. Returns its gfid and fd.
    pub fn create(&mut self, conn: ConnId, name: &str) -> (Gfid, i64) {
        let gfid = self.new_gfid();
        let answer = self.fop(conn, create(Gfid::ROOT, name, &[gfid_req(gfid)]));
        let reply = answer.fop(FopNumber::Create);
        let Body::Create { stat, fd, .. } = reply.body else { panic!("{reply:?}") };
        assert_eq!((reply.op_ret, stat.gfid), (0, gfid));
        (gfid, fd as i64)
    }

    pub fn mkdir(&mut self, conn: ConnId, parent: Gfid, name: &str) -> Gfid {
        let gfid = self.new_gfid();
        let answer = self.fop(conn, mkdir(parent, name, &[gfid_req(gfid)]));
        assert_eq!(answer.result(), (0, 0));
        gfid
    }

    pub fn write(&mut self, conn: ConnId, gfid: Gfid, fd: i64, offset: u64, data: &[u8]) -> Answer {
        self.fop_as(conn, &root(), write(gfid, fd, offset, data.len()), data)
    }

    /// Reads. Returns `op_ret`, `op_errno` and the data.
    pub fn read(
        &mut self,
        conn: ConnId,
        gfid: Gfid,
        fd: i64,
        offset: u64,
        size: u32,
    ) -> (i32, i32, Vec<u8>) {
        let request =
            brickwire_core::fop::wire::Read { gfid, fd, offset, size, flag: 0, xdata: Dict::Null };
        let answer = self.fop(conn, Request::Read(request));
        let mut r = Reader::new(&answer.body);
        let reply = Reply::decode(FopNumber::Read, &mut r).unwrap();
        (reply.op_ret, reply.op_errno, r.rest().to_vec())
    }

    pub fn lookup(&mut self, conn: ConnId, parent: Gfid, name: &str) -> Result<Iatt, i32> {
        let answer = self.fop(conn, lookup(Gfid::NONE, parent, name.as_bytes(), &[]));
        let reply = answer.fop(FopNumber::Lookup);
        match reply.body {
            Body::TwoIatts { before, .. } if reply.op_ret == 0 => Ok(before),
            _ => Err(reply.op_errno),
        }
    }

    /// Attributes by gfid.
    pub fn stat(&mut self, conn: ConnId, gfid: Gfid) -> Result<Iatt, i32> {
        let answer = self
            .fop(conn, Request::Stat(brickwire_core::fop::wire::Stat { gfid, xdata: Dict::Null }));
        let reply = answer.fop(FopNumber::Stat);
        match reply.body {
            Body::Stat(stat) if reply.op_ret == 0 => Ok(stat),
            _ => Err(reply.op_errno),
        }
    }

    /// The names in a directory, listed in replies of `size` bytes.
    pub fn names(&mut self, conn: ConnId, gfid: Gfid, size: u32) -> Vec<String> {
        use brickwire_core::fop::wire::{Opendir, Readdir, Releasedir};
        let xdata = Dict::Null;
        let answer = self.fop(conn, Request::Opendir(Opendir { gfid, xdata }));
        let Body::Open { fd } = answer.fop(FopNumber::Opendir).body else { panic!("an fd") };
        let (mut names, mut offset) = (Vec::new(), 0);
        loop {
            let answer =
                self.fop(conn, Request::Readdir(Readdir { gfid, fd, offset, size, xdata }));
            let reply = answer.fop(FopNumber::Readdir);
            let Body::Dirents(entries) = reply.body else { panic!("{reply:?}") };
            assert_eq!(entries.iter().count() as i32, reply.op_ret);
            for entry in entries.iter() {
                assert!(entry.offset > offset, "cookies rise");
                offset = entry.offset;
                names.push(String::from_utf8(entry.name.to_vec()).unwrap());
            }
            if reply.op_errno == 2 {
                self.fop(conn, Request::Releasedir(Releasedir { gfid, fd, xdata }));
                return names;
            }
            assert!(reply.op_ret > 0, "an empty reply that is not the end");
        }
    }
}

/// Root on a volume without features/utime.
pub fn root() -> Cred<'static> {
    Cred::v3(7, 0, 0).with_owner(&[0; 8])
}

/// Another user.
pub fn user(uid: u32, gid: u32) -> Cred<'static> {
    Cred::v3(7, uid, gid).with_owner(&[0; 8])
}

/// Root on a volume with features/utime.
pub fn timed(flags: u32, seconds: u64) -> Cred<'static> {
    root().with_times(TimeFlags::from_bits(flags), (seconds, 5))
}

/// The dictionary of a client's SETVOLUME.
pub fn login_pairs() -> [(&'static str, Option<&'static [u8]>); 4] {
    [
        ("remote-subvolume", Some(BRICK.as_bytes())),
        ("process-uuid", Some(b"client-1")),
        ("fops-version", Some(b"1298437")),
        ("volume-id", Some(b"51515151-5151-4151-9151-515151515151")),
    ]
}

/// A call as a record with its mark.
pub fn record(
    xid: u32,
    procedure: Procedure,
    cred: &Cred<'_>,
    arguments: &dyn Encode,
    payload: &[u8],
) -> Vec<u8> {
    let header = CallHeader { xid, procedure, cred: *cred };
    let mut room = vec![0; 1024 + arguments.encoded_len()];
    let mut w = Writer::new(&mut room);
    w.u32(0).unwrap();
    header.encode(&mut w).unwrap();
    arguments.encode(&mut w).unwrap();
    let len = w.position();
    room.truncate(len);
    room.extend_from_slice(payload);
    let mark = RecordMark::last((room.len() - 4) as u32).to_be_bytes();
    room[..4].copy_from_slice(&mark);
    room
}

pub fn fop_record(xid: u32, request: Request<'_>, payload: &[u8]) -> Vec<u8> {
    record(xid, Procedure::fop(request.number() as u32), &root(), &request, payload)
}

pub fn parse_reply(record: &[u8]) -> (u32, Answer) {
    let mut r = Reader::new(record);
    let header = ReplyHeader::decode(&mut r).expect("a reply");
    (header.xid, Answer { status: header.status, body: r.rest().to_vec() })
}

pub fn gfid_req(gfid: Gfid) -> Pair<'static> {
    Pair { key: b"gfid-req", value: Value::Gfuuid(gfid) }
}

pub fn dict<'a>(pairs: &'a [Pair<'a>]) -> Dict<'a> {
    if pairs.is_empty() { Dict::Null } else { Dict::Pairs(pairs) }
}

pub fn lookup<'a>(
    gfid: Gfid,
    pargfid: Gfid,
    bname: &'a [u8],
    pairs: &'a [Pair<'a>],
) -> Request<'a> {
    Request::Lookup(brickwire_core::fop::wire::Lookup {
        gfid,
        pargfid,
        flags: 0,
        bname,
        xdata: dict(pairs),
    })
}

pub fn create<'a>(pargfid: Gfid, name: &'a str, pairs: &'a [Pair<'a>]) -> Request<'a> {
    create_with(pargfid, name, 0o102, pairs)
}

pub fn create_with<'a>(
    pargfid: Gfid,
    name: &'a str,
    flags: u32,
    pairs: &'a [Pair<'a>],
) -> Request<'a> {
    let (bname, xdata) = (name.as_bytes(), dict(pairs));
    Request::Create(brickwire_core::fop::wire::Create {
        pargfid,
        flags,
        mode: 0o100_644,
        umask: 0,
        bname,
        xdata,
    })
}

pub fn mkdir<'a>(pargfid: Gfid, name: &'a str, pairs: &'a [Pair<'a>]) -> Request<'a> {
    let (bname, xdata) = (name.as_bytes(), dict(pairs));
    Request::Mkdir(brickwire_core::fop::wire::Mkdir {
        pargfid,
        mode: 0o755,
        umask: 0,
        bname,
        xdata,
    })
}

pub fn unlink(pargfid: Gfid, name: &str) -> Request<'_> {
    let bname = name.as_bytes();
    Request::Unlink(brickwire_core::fop::wire::Unlink {
        pargfid,
        bname,
        xflags: 0,
        xdata: Dict::Null,
    })
}

pub fn rmdir(pargfid: Gfid, name: &str) -> Request<'_> {
    let bname = name.as_bytes();
    Request::Rmdir(brickwire_core::fop::wire::Rmdir {
        pargfid,
        bname,
        xflags: 0,
        xdata: Dict::Null,
    })
}

pub fn rename<'a>(old: Gfid, oldbname: &'a str, new: Gfid, newbname: &'a str) -> Request<'a> {
    Request::Rename(brickwire_core::fop::wire::Rename {
        oldgfid: old,
        newgfid: new,
        oldbname: oldbname.as_bytes(),
        newbname: newbname.as_bytes(),
        xdata: Dict::Null,
    })
}

pub fn link(file: Gfid, parent: Gfid, name: &str) -> Request<'_> {
    let newbname = name.as_bytes();
    let xdata = Dict::Null;
    Request::Link(brickwire_core::fop::wire::Link {
        oldgfid: file,
        newgfid: parent,
        newbname,
        xdata,
    })
}

pub fn write(gfid: Gfid, fd: i64, offset: u64, len: usize) -> Request<'static> {
    let (size, xdata) = (len as u32, Dict::Null);
    Request::Write(brickwire_core::fop::wire::Write { gfid, fd, offset, size, flag: 0, xdata })
}

pub fn open(gfid: Gfid, flags: u32) -> Request<'static> {
    Request::Open(brickwire_core::fop::wire::Open { gfid, flags, xdata: Dict::Null })
}

pub fn fstat(gfid: Gfid, fd: i64) -> Request<'static> {
    Request::Fstat(brickwire_core::fop::wire::Fstat { gfid, fd, xdata: Dict::Null })
}

pub fn flush(gfid: Gfid, fd: i64) -> Request<'static> {
    Request::Flush(brickwire_core::fop::wire::Flush { gfid, fd, xdata: Dict::Null })
}

pub fn release(gfid: Gfid, fd: i64) -> Request<'static> {
    Request::Release(brickwire_core::fop::wire::Release { gfid, fd, xdata: Dict::Null })
}
