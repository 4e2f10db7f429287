//! A server whose clients and storage are played by the test: calls are written by hand, and
//! replies are checked one by one.
#![allow(dead_code, unreachable_pub)] // Each test file uses its part.

use std::collections::{BTreeMap, BTreeSet};

use brickwire_core::fop::FopNumber;
use brickwire_core::fop::wire::*;
use brickwire_core::rpc::callback::Callback;
use brickwire_core::rpc::{CallHeader, Cred, Procedure, RecordMark, ReplyHeader};
use brickwire_core::server::{
    Brick, BrickIx, BufferId, Call, Completion, Counts, Exports, HandleId, Intake, JobId, Output,
    Peer, Place, Server, ServerConfig, ServerLimits, ServerMemory, Storage, Submitted, answer,
};
use brickwire_core::xdr::{
    Decode, Dict, Encode, Errno, Flock, Gfid, Iatt, Pair, Reader, Value, Writer,
};
use brickwire_core::{ConnId, Instant};

pub const FILE: Gfid = Gfid(*b"the file's gfid!");
pub const OTHER: Gfid = Gfid(*b"another's gfid!!");
pub const NOWHERE: Gfid = Gfid(*b"nobody has this!");
pub const DOMAIN: &[u8] = b"vol-replicate-0";

/// A storage in which everything in `known` exists and nothing has content.
#[derive(Default)]
pub struct Disk {
    pub known: BTreeSet<[u8; 16]>,
    /// STAT and WRITE are answered when the test says so.
    pub slow: bool,
    pub busy: bool,
    pub pending: Vec<(JobId, FopNumber, Gfid, Counts)>,
    pub submitted: Vec<FopNumber>,
    pub closed: Vec<HandleId>,
    buffers: Vec<Option<Vec<u8>>>,
}

impl Disk {
    fn reply(&self, call: FopNumber, gfid: Gfid, fd: i64) -> (i32, Errno, Body<'static>) {
        let stat = Iatt { gfid, ..Iatt::default() };
        if !self.known.contains(&gfid.0) && gfid != Gfid::ROOT {
            return (-1, Errno::ESTALE, Body::None);
        }
        let body = match call {
            FopNumber::Stat | FopNumber::Fstat => Body::Stat(stat),
            FopNumber::Write | FopNumber::Fsync | FopNumber::Lookup => {
                Body::TwoIatts { before: stat, after: stat }
            }
            FopNumber::Open | FopNumber::Opendir => Body::Open { fd },
            FopNumber::Create => {
                Body::Create { stat, fd: fd as u64, preparent: stat, postparent: stat }
            }
            _ => Body::None,
        };
        (0, Errno::from_wire(0), body)
    }

    pub fn buffers_in_use(&self) -> usize {
        self.buffers.iter().flatten().count()
    }
}

fn pairs_of(counts: &Counts) -> Vec<Pair<'static>> {
    let Counts { inodelk, posixlk, entrylk, parent_entrylk, .. } = *counts;
    let all = [
        ("glusterfs.inodelk-count", inodelk),
        ("glusterfs.posixlk-count", posixlk),
        ("glusterfs.entrylk-count", entrylk),
        ("glusterfs.parent-entrylk", parent_entrylk),
    ];
    let pair = |(key, value): (&'static str, Option<i64>)| {
        Some(Pair { key: key.as_bytes(), value: Value::Int(value?) })
    };
    all.into_iter().filter_map(pair).collect()
}

fn gfid_of(request: &Request<'_>) -> Gfid {
    match request {
        Request::Stat(r) => r.gfid,
        Request::Open(r) => r.gfid,
        Request::Write(r) => r.gfid,
        Request::Fsync(r) => r.gfid,
        // Every created file exists already.
        Request::Create(_) => FILE,
        Request::Lookup(r) if r.gfid != Gfid::NONE => r.gfid,
        Request::Lookup(_) => FILE,
        _ => Gfid::ROOT,
    }
}

impl Storage for Disk {
    fn submit(&mut self, job: JobId, call: &Call<'_>, reply: &mut Writer<'_>) -> Submitted {
        if self.busy {
            return Submitted::Busy;
        }
        let number = call.request.number();
        self.submitted.push(number);
        let gfid = gfid_of(&call.request);
        if self.slow && matches!(number, FopNumber::Stat | FopNumber::Write) {
            self.pending.push((job, number, gfid, call.counts));
            return Submitted::Pending;
        }
        let fd = call.opens.map_or(0, HandleId::wire);
        let (op_ret, errno, body) = self.reply(number, gfid, fd);
        let pairs = pairs_of(&call.counts);
        let xdata = if pairs.is_empty() { Dict::Null } else { Dict::Pairs(&pairs) };
        let reply_is = Reply { op_ret, op_errno: errno.to_wire(), xdata, body };
        answer(self, call, &reply_is, None, reply)
    }

    fn close(&mut self, _: BrickIx, handle: HandleId) {
        self.closed.push(handle);
    }

    fn reserve(&mut self, len: u32) -> Option<BufferId> {
        let free = self.buffers.iter().position(Option::is_none).unwrap_or_else(|| {
            self.buffers.push(None);
            self.buffers.len() - 1
        });
        self.buffers[free] = Some(vec![0; len as usize]);
        Some(BufferId(free as u32))
    }

    fn bytes_mut(&mut self, buffer: BufferId) -> &mut [u8] {
        self.buffers[buffer.0 as usize].as_mut().expect("a reserved buffer")
    }

    fn release(&mut self, buffer: BufferId) {
        assert!(self.buffers[buffer.0 as usize].take().is_some(), "a buffer is released once");
    }
}

pub struct Shop;

impl Exports for Shop {
    fn volfile(&self, _: &[u8]) -> Option<&[u8]> {
        None
    }

    fn brick(&self, name: &[u8]) -> Option<Brick<'_>> {
        let index = BrickIx(u64::from(*name.strip_prefix(b"/brick")?.first()? - b'0'));
        let volume_id = Gfid(*b"the volume's id!");
        Some(Brick {
            index,
            volume_id,
            privileged_ports_only: false,
            read_only: false,
            logins: &[],
        })
    }

    fn port(&self, _: &[u8]) -> Option<u16> {
        None
    }

    fn admits(&self, _: BrickIx, _: &[u8], _: &[u8]) -> bool {
        true
    }

    fn volume_id(&self, _: &[u8]) -> Option<Gfid> {
        None
    }
}

/// Result of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub result: Result<i32, Errno>,
    /// LK: type, start, length, owner.
    pub lock: Option<(u32, u64, u64, Vec<u8>)>,
    pub fd: Option<i64>,
    /// Counts of the reply's xdata.
    pub counts: BTreeMap<String, u64>,
    /// Xattrs that the request asked for.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// A message to a client that it did not request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    Inode { gfid: Gfid, start: u64, len: u64, pid: u32, domain: Vec<u8> },
    Entry { gfid: Gfid, name: Vec<u8>, pid: u32, domain: Vec<u8> },
}

pub struct Rig {
    pub server: Server<'static>,
    pub disk: Disk,
    pub now: Instant,
    pub limits: ServerLimits,
    fops: BTreeMap<(usize, u32), FopNumber>,
    answers: BTreeMap<(usize, u32), Answer>,
    pub pings: BTreeSet<(usize, u32)>,
    told: BTreeMap<usize, Vec<Told>>,
    /// Connections that take nothing.
    pub deaf: BTreeSet<usize>,
    /// Bytes that the client has not taken yet.
    inbox: BTreeMap<usize, Vec<u8>>,
    pub closed: Vec<ConnId>,
    xid: u32,
}

impl Rig {
    pub fn new() -> Self {
        Self::with(ServerLimits::SMALL)
    }

    pub fn with(limits: ServerLimits) -> Self {
        let server = Server::new(ServerConfig::default(), &limits, ServerMemory::on_heap(&limits));
        let known = [FILE.0, OTHER.0].into_iter().collect();
        Self {
            server: server.expect("tables of the right sizes"),
            disk: Disk { known, ..Disk::default() },
            now: Instant::ZERO.plus_millis(1_000),
            limits,
            fops: BTreeMap::new(),
            answers: BTreeMap::new(),
            pings: BTreeSet::new(),
            told: BTreeMap::new(),
            deaf: BTreeSet::new(),
            inbox: BTreeMap::new(),
            closed: Vec::new(),
            xid: 0,
        }
    }

    /// A client connects and logs in to brick 0.
    pub fn client(&mut self) -> ConnId {
        self.client_of("/brick0", "one-process")
    }

    pub fn client_of(&mut self, brick: &str, process: &str) -> ConnId {
        let conn = self.server.accepted(Peer::default(), self.now).expect("room for a connection");
        let mut dict = 3_u32.to_be_bytes().to_vec();
        let pairs =
            [("remote-subvolume", brick), ("process-uuid", process), ("fops-version", "1298437")];
        for (key, value) in pairs {
            dict.extend((key.len() as u32).to_be_bytes());
            dict.extend((value.len() as u32 + 1).to_be_bytes());
            dict.extend(key.bytes().chain([0]).chain(value.bytes()).chain([0]));
        }
        self.xid += 1;
        let record =
            record(self.xid, Procedure::SETVOLUME, b"", 7, |w| w.opaque(&dict).expect("room"));
        self.feed(conn, &record);
        assert!(self.pings.remove(&(conn.slot(), self.xid)), "logged in");
        conn
    }

    /// Sends a fop as an owner. Read the reply with [`Rig::answer`].
    pub fn send(&mut self, conn: ConnId, owner: &[u8], request: Request<'_>) -> u32 {
        self.send_as(conn, owner, 7, request)
    }

    pub fn send_as(&mut self, conn: ConnId, owner: &[u8], pid: i32, request: Request<'_>) -> u32 {
        self.xid += 1;
        let number = request.number();
        self.fops.insert((conn.slot(), self.xid), number);
        let procedure = Procedure::fop(number as u32);
        let record = record(self.xid, procedure, owner, pid, |w| {
            request.encode(w).expect("room");
            if let Request::Write(write) = request {
                w.raw(&vec![7; write.size as usize]).expect("room");
            }
        });
        self.feed(conn, &record);
        self.xid
    }

    pub fn ping(&mut self, conn: ConnId) -> bool {
        self.xid += 1;
        let record = record(self.xid, Procedure::PING, b"", 7, |_| ());
        self.feed(conn, &record);
        self.pings.remove(&(conn.slot(), self.xid))
    }

    fn feed(&mut self, conn: ConnId, bytes: &[u8]) {
        self.inbox.entry(conn.slot()).or_default().extend(bytes);
        self.pump_in(conn);
        self.pump();
    }

    fn pump_in(&mut self, conn: ConnId) {
        loop {
            let mut inbox = std::mem::take(self.inbox.entry(conn.slot()).or_default());
            let before = inbox.len();
            match self.server.intake(conn) {
                Intake::Core => {
                    let used = self.server.received(conn, &inbox, self.now, &Shop, &mut self.disk);
                    inbox.drain(..used);
                }
                Intake::Place(place) => {
                    let n = (place.len as usize).min(inbox.len());
                    let bytes: Vec<u8> = inbox.drain(..n).collect();
                    let at = place.at as usize;
                    self.disk.bytes_mut(place.buffer)[at..at + n].copy_from_slice(&bytes);
                    self.server.placed(conn, n, self.now, &Shop, &mut self.disk);
                }
                Intake::Wait | Intake::Closed => {}
            }
            let left = inbox.len();
            self.inbox.insert(conn.slot(), inbox);
            if left == 0 || left == before {
                return;
            }
        }
    }

    /// Moves all bytes and events until nothing is left to do.
    pub fn pump(&mut self) {
        while let Some(output) = self.server.poll() {
            match output {
                Output::Transmit { conn } => self.take(conn),
                Output::Resume { conn } => {
                    let used = self.server.received(conn, &[], self.now, &Shop, &mut self.disk);
                    assert_eq!(used, 0);
                    self.pump_in(conn);
                }
                Output::Close { conn, .. } => self.closed.push(conn),
            }
        }
    }

    /// A connection that took nothing takes all.
    pub fn listen(&mut self, conn: ConnId) {
        self.deaf.remove(&conn.slot());
        self.take(conn);
        self.pump();
    }

    fn take(&mut self, conn: ConnId) {
        if self.deaf.contains(&conn.slot()) {
            return;
        }
        loop {
            let mut bytes = Vec::new();
            for piece in self.server.outgoing(conn) {
                bytes.extend_from_slice(piece.head);
                if let Some(Place { buffer, at, len }) = piece.data {
                    let all =
                        self.disk.buffers[buffer.0 as usize].as_ref().expect("a reserved buffer");
                    bytes.extend_from_slice(&all[at as usize..(at + len) as usize]);
                }
            }
            if bytes.is_empty() {
                return;
            }
            let n = bytes.len();
            self.read(conn, &bytes);
            self.server.sent(conn, n, self.now, &mut self.disk);
        }
    }

    fn read(&mut self, conn: ConnId, mut bytes: &[u8]) {
        while let Some((mark, rest)) = bytes.split_first_chunk::<4>() {
            let len = (u32::from_be_bytes(*mark) & 0x7fff_ffff) as usize;
            let (record, rest) = rest.split_at(len);
            bytes = rest;
            let mut r = Reader::new(record);
            if record[4..8] == [0; 4] {
                let told = match Callback::decode_record(record).expect("a callback") {
                    Callback::InodelkContention { gfid, flock, pid, domain, .. } => {
                        assert_eq!(flock.lk_owner, b"");
                        let (start, len, domain) = (flock.start, flock.len, domain.to_vec());
                        Told::Inode { gfid, start, len, pid, domain }
                    }
                    Callback::EntrylkContention { gfid, pid, name, domain, .. } => {
                        Told::Entry { gfid, name: name.to_vec(), pid, domain: domain.to_vec() }
                    }
                    other => panic!("nobody asked for {other:?}"),
                };
                self.told.entry(conn.slot()).or_default().push(told);
                continue;
            }
            let header = ReplyHeader::decode(&mut r).expect("a reply");
            let Some(number) = self.fops.remove(&(conn.slot(), header.xid)) else {
                self.pings.insert((conn.slot(), header.xid));
                continue;
            };
            let reply = Reply::decode(number, &mut r).expect("a reply's body");
            assert_eq!(r.rest(), b"", "nothing follows");
            let lock = match reply.body {
                Body::Lk(Flock { kind, start, len, lk_owner, .. }) if reply.op_ret >= 0 => {
                    Some((kind, start, len, lk_owner.to_vec()))
                }
                _ => None,
            };
            let fd = match reply.body {
                Body::Open { fd } => Some(fd),
                Body::Create { fd, .. } => Some(fd as i64),
                _ => None,
            };
            let text = |key: &[u8]| String::from_utf8_lossy(key).into_owned();
            let counts = reply
                .xdata
                .pairs()
                .filter_map(|(key, value)| Some((text(key), value.as_u64()?)))
                .collect();
            let dict = if let Body::Dict { dict, .. } = reply.body { dict } else { Dict::Null };
            let xattr =
                |(key, value): (&[u8], Value<'_>)| Some((key.to_vec(), value.as_bytes()?.to_vec()));
            let xattrs = dict.pairs().filter_map(xattr).collect();
            let answer = Answer { result: reply.result(), lock, fd, counts, xattrs };
            self.answers.insert((conn.slot(), header.xid), answer);
        }
    }

    /// The result of a call; it is returned once.
    pub fn answer(&mut self, conn: ConnId, xid: u32) -> Option<Answer> {
        self.pump();
        self.answers.remove(&(conn.slot(), xid))
    }

    pub fn result(&mut self, conn: ConnId, xid: u32) -> Option<Result<i32, Errno>> {
        self.answer(conn, xid).map(|answer| answer.result)
    }

    /// The messages to a client since the last call of this function.
    pub fn told(&mut self, conn: ConnId) -> Vec<Told> {
        self.pump();
        self.told.remove(&conn.slot()).unwrap_or_default()
    }

    pub fn wait_ms(&mut self, ms: u64) {
        self.now = self.now.plus_millis(ms);
    }

    /// The storage answers its request number `index`.
    pub fn answers(&mut self, index: usize) {
        let (job, number, gfid, counts) = self.disk.pending.remove(index);
        let (op_ret, errno, body) = self.disk.reply(number, gfid, 0);
        let mut bytes = vec![0; 1024];
        let mut w = Writer::new(&mut bytes);
        let pairs = pairs_of(&counts);
        let xdata = if pairs.is_empty() { Dict::Null } else { Dict::Pairs(&pairs) };
        let reply = Reply { op_ret, op_errno: errno.to_wire(), xdata, body };
        reply.encode(number, &mut w).expect("room");
        let len = w.position();
        let buffer = self.disk.reserve(1024).expect("a buffer");
        self.disk.bytes_mut(buffer)[..len].copy_from_slice(&bytes[..len]);
        let body = Place { buffer, at: 0, len: len as u32 };
        let completion = Completion { failed: op_ret < 0, body };
        self.server.completed(job, completion, self.now, &mut self.disk);
        self.pump();
    }

    pub fn disconnect(&mut self, conn: ConnId) {
        self.inbox.remove(&conn.slot());
        self.deaf.remove(&conn.slot());
        self.server.closed(conn, self.now, &mut self.disk);
        self.pump();
    }

    pub fn open(&mut self, conn: ConnId, gfid: Gfid) -> i64 {
        let xid =
            self.send(conn, b"opener", Request::Open(Open { gfid, flags: 2, xdata: Dict::Null }));
        self.answer(conn, xid).and_then(|answer| answer.fd).expect("an open file")
    }

    /// Granted locks and waiting requests.
    pub fn locks(&self) -> (u32, u32) {
        let usage = self.server.usage();
        (usage.locks_held, usage.locks_waiting)
    }
}

fn record(
    xid: u32,
    procedure: Procedure,
    owner: &[u8],
    pid: i32,
    body: impl FnOnce(&mut Writer<'_>),
) -> Vec<u8> {
    let mut bytes = vec![0; 64 * 1024];
    let mut w = Writer::new(&mut bytes);
    w.u32(0).expect("room");
    let cred = Cred::v3(pid, 0, 0).with_owner(owner);
    CallHeader { xid, procedure, cred }.encode(&mut w).expect("room");
    body(&mut w);
    let len = w.position();
    bytes.truncate(len);
    bytes[..4].copy_from_slice(&RecordMark::last(len as u32 - 4).to_be_bytes());
    bytes
}

// Short constructors of requests.

pub const READ: u32 = 0;
pub const WRITE: u32 = 1;
pub const UNLOCK: u32 = 2;
pub const TRY: u32 = 1;
pub const WAIT: u32 = 2;

pub fn flock(kind: u32, start: u64, len: u64) -> Flock<'static> {
    Flock { kind, whence: 0, start, len, pid: 0, lk_owner: b"" }
}

pub fn inodelk_on(gfid: Gfid, cmd: u32, kind: u32, start: u64, len: u64) -> Request<'static> {
    let flock = flock(kind, start, len);
    Request::Inodelk(Inodelk { gfid, cmd, kind, flock, volume: DOMAIN, xdata: Dict::Null })
}

pub fn inodelk(cmd: u32, kind: u32, start: u64, len: u64) -> Request<'static> {
    inodelk_on(FILE, cmd, kind, start, len)
}

/// ENTRYLK; `cmd` as INODELK numbers it.
pub fn entrylk(cmd: u32, kind: u32, name: Option<&'static str>) -> Request<'static> {
    let cmd = match (cmd, kind) {
        (_, UNLOCK) => 1,
        (TRY, _) => 2,
        _ => 0,
    };
    let kind = if kind == UNLOCK { WRITE } else { kind };
    let (namelen, name) = (u64::from(name.is_some()), name.unwrap_or_default().as_bytes());
    Request::Entrylk(Entrylk {
        gfid: Gfid::ROOT,
        cmd,
        kind,
        namelen,
        name,
        volume: DOMAIN,
        xdata: Dict::Null,
    })
}

pub fn lk(fd: i64, cmd: u32, kind: u32, start: u64, len: u64) -> Request<'static> {
    Request::Lk(Lk { gfid: FILE, fd, cmd, kind, flock: flock(kind, start, len), xdata: Dict::Null })
}
