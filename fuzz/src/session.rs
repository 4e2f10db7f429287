//! A client session, driven by the fuzzer's program: dials succeed or fail; answers are right,
//! changed, late, repeated, or split anywhere; connections end; time jumps; operations are
//! submitted and cancelled.
//!
//! Invariants: nothing panics; every operation taken completes exactly once; bytes are placed only
//! into buffers of operations that are not complete, and within them; sent data is part of such
//! buffers; no step makes the adapter loop for ever. After the faults end, the volume becomes
//! usable again in bounded time, and once everything is closed no table holds anything.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use brickwire_core::rpc::{CallHeader, Procedure, RecordMark};
use brickwire_core::volume::{
    Answer, Closed, Config, InUse, Intake, Op, OpenFlags, Output, Range, Server, SetAttributes,
    Volume,
};
use brickwire_core::xdr::{Decode, Reader};
use brickwire_core::{ConnId, FileId, Instant, Limits, Memory, OpId};

use crate::peer;

const LIMITS: Limits = Limits {
    ops: 8,
    frames: 16,
    calls: 20,
    files: 3,
    fds: 9,
    conns: 5,
    head_bytes: 2048,
    block_bytes: 1536,
    ..Limits::FIRMWARE
};

struct Wire {
    conn: ConnId,
    open: bool,
    sent: Vec<u8>,
    /// Replies that are not delivered yet.
    answers: VecDeque<Vec<u8>>,
    /// Received bytes that the volume had no room for.
    held: Vec<u8>,
    /// The answer to its SETVOLUME was changed.
    login_changed: bool,
}

struct Session<'p> {
    volume: Volume<'static>,
    now: Instant,
    program: std::slice::Iter<'p, u8>,
    wires: BTreeMap<usize, Wire>,
    lens: BTreeMap<OpId, u32>,
    over: BTreeSet<OpId>,
    files: Vec<FileId>,
    calls: Vec<(usize, ConnId, Vec<u8>)>,
    connections: u8,
    recovers: bool,
}

/// Runs a program.
pub fn run(program: &[u8]) {
    let mut config = Config::new();
    config.volume = "v".try_into().expect("short");
    for host in ["a", "b"] {
        let server = Server::Tcp { host: host.try_into().expect("short"), port: 24007 };
        config.servers.push(server).expect("there is room");
    }
    config.entropy = [9; 32];
    let connections = 1 + program.first().map_or(0, |byte| byte & 1);
    config.connections_per_brick = connections;
    let volume =
        Volume::new(config, LIMITS, Memory::on_heap(&LIMITS), Instant::ZERO).expect("sane limits");
    let mut session = Session {
        volume,
        now: Instant::ZERO,
        program: program.iter(),
        wires: BTreeMap::new(),
        lens: BTreeMap::new(),
        over: BTreeSet::new(),
        files: Vec::new(),
        calls: Vec::new(),
        connections,
        recovers: program.len().is_multiple_of(2),
    };
    session.pump();
    while let Some(action) = session.byte() {
        session.step(action);
    }
    session.end();
}

impl Session<'_> {
    fn byte(&mut self) -> Option<u8> {
        self.program.next().copied()
    }

    fn step(&mut self, action: u8) {
        let argument = self.byte().unwrap_or(0);
        match action % 16 {
            0..=2 => self.connect(argument),
            3..=6 => self.answer(argument),
            7 => self.deliver_queued(argument),
            8..=10 => self.submit(argument),
            11 => self.close(argument),
            12 => self.pass_time(argument),
            13 => self.mangle(argument),
            14 => self.raw(argument),
            _ => {
                let target = self.lens.keys().copied().nth(usize::from(argument) % 8);
                if let Some(op) = target {
                    self.volume.cancel(op, self.now);
                }
            }
        }
        self.pump();
    }

    fn pick(&self, argument: u8, open: bool) -> Option<usize> {
        let slots: Vec<usize> = self
            .wires
            .iter()
            .filter(|(_, wire)| wire.open == open)
            .map(|(slot, _)| *slot)
            .collect();
        slots.get(usize::from(argument) % slots.len().max(1)).copied()
    }

    fn connect(&mut self, argument: u8) {
        let Some(slot) = self.pick(argument >> 2, false) else { return };
        let Some(wire) = self.wires.get_mut(&slot) else { return };
        let conn = wire.conn;
        if argument & 3 == 3 {
            self.wires.remove(&slot);
            self.volume.closed(conn, Closed::Refused, self.now);
        } else {
            wire.open = true;
            self.volume.connected(conn, self.now);
        }
    }

    /// Sends a correct reply to the oldest call.
    fn answer(&mut self, choice: u8) {
        if self.calls.is_empty() {
            return;
        }
        let at = if choice & 0x80 != 0 { usize::from(choice) % self.calls.len() } else { 0 };
        let (slot, _, record) = self.calls.remove(at);
        if let Some(reply) = peer::reply(&record, choice) {
            self.deliver(slot, &reply, choice);
        }
    }

    /// Answers a call with a reply that the fuzzer changes: bits, length, repeated, later, in
    /// fragments.
    fn mangle(&mut self, kind: u8) {
        if self.calls.is_empty() {
            return;
        }
        let choice = self.byte().unwrap_or(0);
        let (slot, _, record) = self.calls.remove(0);
        let Some(mut reply) = peer::reply(&record, choice) else { return };
        let changes = matches!(kind % 6, 0 | 1 | 5);
        if changes
            && is_login(&record)
            && let Some(wire) = self.wires.get_mut(&slot)
        {
            wire.login_changed = true;
        }
        match kind % 6 {
            0 => {
                for _ in 0..1 + kind / 64 {
                    let (at, mask) = (self.byte().unwrap_or(0), self.byte().unwrap_or(1));
                    let len = reply.len();
                    reply[usize::from(at) % len] ^= mask;
                }
            }
            1 => {
                let len = usize::from(choice).min(reply.len());
                reply.truncate(len.max(4));
            }
            2 => {
                let twice = reply.clone();
                reply.extend_from_slice(&twice);
            }
            3 => {
                if let Some(wire) = self.wires.get_mut(&slot) {
                    wire.answers.push_back(reply);
                }
                return;
            }
            4 => {
                let step = usize::from(choice % 60) + 1;
                let body = reply[4..].to_vec();
                reply.clear();
                let count = body.chunks(step).count();
                for (index, piece) in body.chunks(step).enumerate() {
                    let mark = RecordMark { last: index + 1 == count, len: piece.len() as u32 };
                    reply.extend_from_slice(&mark.word().to_be_bytes());
                    reply.extend_from_slice(piece);
                }
            }
            _ => {
                let extra = usize::from(choice);
                reply.resize(reply.len() + extra, 0x55);
                let mark = RecordMark::last(reply.len() as u32 - 4).to_be_bytes();
                reply[..4].copy_from_slice(&mark);
            }
        }
        self.deliver(slot, &reply, choice);
    }

    fn deliver_queued(&mut self, argument: u8) {
        let Some(slot) = self.pick(argument, true) else { return };
        let answer = self.wires.get_mut(&slot).and_then(|wire| wire.answers.pop_front());
        if let Some(answer) = answer {
            self.deliver(slot, &answer, argument);
        }
    }

    /// Sends raw bytes of the program.
    fn raw(&mut self, argument: u8) {
        let Some(slot) = self.pick(argument, true) else { return };
        let bytes: Vec<u8> = (0..argument & 0x3f).filter_map(|_| self.byte()).collect();
        self.deliver(slot, &bytes, argument);
    }

    fn deliver(&mut self, slot: usize, bytes: &[u8], split: u8) {
        let Some(wire) = self.wires.get_mut(&slot).filter(|wire| wire.open) else { return };
        let (conn, mut all) = (wire.conn, std::mem::take(&mut wire.held));
        all.extend_from_slice(bytes);
        let step = if split & 1 == 1 { usize::from(split >> 1) % 40 + 1 } else { usize::MAX };
        let mut rest = &all[..];
        while !rest.is_empty() {
            let piece = &rest[..rest.len().min(step)];
            let taken = match self.volume.intake(conn) {
                Intake::Core => {
                    let taken = self.volume.received(conn, piece, self.now);
                    assert!(taken <= piece.len());
                    taken
                }
                Intake::Place(range) => {
                    self.check(range, "placed");
                    let n = piece.len().min(range.len as usize);
                    self.volume.placed(conn, n, self.now);
                    n
                }
                Intake::Discard { len } => {
                    assert!(len > 0, "nothing is to be thrown away");
                    let n = piece.len().min(len as usize);
                    self.volume.placed(conn, n, self.now);
                    n
                }
                Intake::Wait => {
                    if let Some(wire) = self.wires.get_mut(&slot) {
                        wire.held = rest.to_vec();
                    }
                    return self.pump();
                }
                Intake::Closed => return self.pump(),
            };
            rest = &rest[taken..];
            self.pump();
        }
    }

    /// Checks that a range is part of the buffer of an operation that is not complete.
    fn check(&self, range: Range, what: &str) {
        assert!(!self.over.contains(&range.op), "{what}: the operation is over");
        let len =
            self.lens.get(&range.op).copied().unwrap_or_else(|| panic!("{what}: nobody's buffer"));
        assert!(
            range.at.checked_add(range.len).is_some_and(|end| end <= len),
            "{what}: {range:?} of {len}"
        );
    }

    fn submit(&mut self, argument: u8) {
        let choice = self.byte().unwrap_or(0);
        let file = self.files.get(usize::from(choice >> 4) % self.files.len().max(1)).copied();
        let path: &[u8] =
            [&b"f"[..], b"a/b", b"/", b"../x", b"a//./c", b""][usize::from(choice) % 6];
        let flags = OpenFlags(u32::from(choice) << 4 & 0o1300 | u32::from(choice) & 2);
        let offset = u64::from(choice) * 16;
        let mut len = 0;
        let op = match (argument % 24, file) {
            (0..=2, _) => Op::Open { path, flags, mode: 0o600 },
            (3, _) => Op::OpenDir { path },
            (4, _) => Op::Stat { path, follow: choice & 1 == 0 },
            (5, _) => Op::Mkdir { path, mode: 0o700 },
            (6, _) => Op::Rename { from: path, to: b"y" },
            (7, _) => Op::GetXattr { path, name: b"user.x" },
            (8, _) => {
                len = u32::from(choice);
                Op::SetXattr { path, name: b"user.x", len, flags: 0 }
            }
            (9, _) => Op::Symlink { target: b"t", path },
            (10, _) => Op::Readlink { path },
            (11, _) => Op::SetAttributes {
                path,
                set: SetAttributes { mode: Some(0o644), ..Default::default() },
            },
            (12, _) => Op::Statfs,
            (13, _) => Op::Unlink { path },
            (14 | 15, Some(file)) => {
                len = u32::from(choice);
                Op::Read { file, offset, len, fill: choice & 1 == 1 }
            }
            (16 | 17, Some(file)) => {
                len = u32::from(choice);
                Op::Write { file, offset, len }
            }
            (18, Some(file)) => Op::Flush { file, data_only: false },
            (19, Some(file)) => Op::Truncate { file, size: offset },
            (20, Some(file)) => Op::Discard { file, offset, len: 100 },
            (21, Some(file)) => Op::ReadDir { dir: file, cookie: 0 },
            (22, Some(file)) => Op::Seek { file, offset, hole: true },
            (23, Some(file)) => Op::Close { file },
            _ => Op::Start,
        };
        let Ok(id) = self.volume.submit(op, self.now) else { return };
        self.lens.insert(id, len);
        if let Op::Close { file } = op {
            self.files.retain(|other| *other != file);
        }
    }

    fn close(&mut self, argument: u8) {
        let Some(slot) = self.pick(argument, true) else { return };
        if let Some(wire) = self.wires.remove(&slot) {
            self.calls.retain(|(other, ..)| *other != slot);
            self.volume.closed(wire.conn, Closed::Reset, self.now);
        }
    }

    fn pass_time(&mut self, argument: u8) {
        let ms = match argument % 4 {
            0 => u64::from(argument),
            1 => u64::from(argument) * 100,
            2 => u64::from(argument) * 10_000,
            _ => {
                if let Some(deadline) = self.volume.deadline() {
                    self.now = self.now.max(deadline.at);
                }
                0
            }
        };
        self.now = self.now.plus_millis(ms);
        self.volume.elapsed(self.now);
    }

    fn pump(&mut self) {
        for _ in 0..10_000 {
            let Some(output) = self.volume.poll(self.now) else { return };
            match output {
                Output::Connect { conn } => {
                    assert!(self.volume.endpoint(conn).is_some());
                    let wire = Wire {
                        conn,
                        open: false,
                        sent: Vec::new(),
                        answers: VecDeque::new(),
                        held: Vec::new(),
                        login_changed: false,
                    };
                    self.wires.insert(conn.slot(), wire);
                    self.calls.retain(|(slot, ..)| *slot != conn.slot());
                }
                Output::Transmit { conn } => self.transmit(conn),
                Output::Close { conn } => {
                    if self.wires.get(&conn.slot()).is_some_and(|wire| wire.conn == conn) {
                        self.wires.remove(&conn.slot());
                        self.calls.retain(|(slot, ..)| *slot != conn.slot());
                    }
                }
                Output::Zero(range) => self.check(range, "zeroed"),
                Output::Complete { op, .. } => {
                    assert!(
                        self.lens.remove(&op).is_some(),
                        "over without having been taken, or twice"
                    );
                    self.over.insert(op);
                    match self.volume.answer(op) {
                        Answer::Opened { file, .. } => self.files.push(file),
                        Answer::Entries { entries, .. } => assert!(entries.iter().count() < 1000),
                        Answer::Xattrs(dict) => assert!(dict.pairs().count() < 10_000),
                        _ => {}
                    }
                }
                Output::Resume { conn } => {
                    let slot = conn.slot();
                    if self
                        .wires
                        .get(&slot)
                        .is_some_and(|wire| wire.conn == conn && !wire.held.is_empty())
                    {
                        self.deliver(slot, &[], 0);
                    }
                }
                Output::Changed => {}
            }
        }
        panic!("endless outputs");
    }

    fn transmit(&mut self, conn: ConnId) {
        let mut bytes = Vec::new();
        let records: Vec<_> = self
            .volume
            .outgoing(conn)
            .map(|record| (record.head.to_vec(), record.data, record.tail.to_vec()))
            .collect();
        for (head, data, tail) in records {
            bytes.extend_from_slice(&head);
            if let Some(range) = data {
                self.check(range, "sent");
                bytes.resize(bytes.len() + range.len as usize, 0xda);
            }
            bytes.extend_from_slice(&tail);
        }
        // A socket may accept a part of the bytes.
        if bytes.len() > 1000 {
            bytes.truncate(1000);
        }
        if bytes.is_empty() {
            return;
        }
        self.volume.sent(conn, bytes.len(), self.now);
        let Some(wire) = self.wires.get_mut(&conn.slot()) else { return };
        wire.sent.extend_from_slice(&bytes);
        while let Some(mark) = wire.sent.first_chunk::<4>() {
            let len = RecordMark::parse(*mark).len as usize + 4;
            if wire.sent.len() < len {
                break;
            }
            let record: Vec<u8> = wire.sent.drain(..len).skip(4).collect();
            self.calls.push((conn.slot(), conn, record));
        }
        if self.volume.outgoing(conn).next().is_some() {
            self.transmit(conn);
        }
    }

    /// Ends the faults: all peers answer correctly. Runs until `done`, or for an hour of the
    /// volume's time.
    fn heal(&mut self, done: impl Fn(&Self) -> bool) -> bool {
        let end = self.now.plus_millis(3_600_000);
        while self.now < end {
            if done(self) {
                return true;
            }
            let dialled: Vec<usize> =
                self.wires.iter().filter(|(_, wire)| !wire.open).map(|(slot, _)| *slot).collect();
            let calls = std::mem::take(&mut self.calls);
            if dialled.is_empty() && calls.is_empty() {
                self.now = match self.volume.deadline() {
                    Some(deadline) => self.now.max(deadline.at),
                    None => return done(self),
                };
                self.volume.elapsed(self.now);
                self.pump();
            }
            for slot in dialled {
                if let Some(wire) = self.wires.get_mut(&slot).filter(|wire| !wire.open) {
                    wire.open = true;
                    self.volume.connected(wire.conn, self.now);
                    self.pump();
                }
            }
            for (slot, conn, record) in calls {
                if self.wires.get(&slot).is_some_and(|wire| wire.conn == conn)
                    && let Some(reply) = peer::reply(&record, 0)
                {
                    self.deliver(slot, &reply, 0);
                }
            }
        }
        done(self)
    }

    /// Checks that with answering peers everything completes soon and nothing is left.
    fn recover(&mut self) {
        // Half of the programs keep their broken streams, because the client must detect a peer
        // that is in the middle of garbage. glusterd's connection always ends, as in a restart, so
        // that the next volfile is a good one. So does a connection whose login was changed: while
        // it lasts, it confirms the volume id that it named, against all other bricks.
        let all = self.over.len().is_multiple_of(2);
        let ending = |slot: usize, wire: &Wire| all || slot == 0 || wire.login_changed;
        let ends = self.wires.iter().filter(|(slot, wire)| ending(**slot, wire));
        for slot in ends.map(|(slot, _)| *slot).collect::<Vec<_>>() {
            self.calls.retain(|(other, ..)| *other != slot);
            if let Some(wire) = self.wires.remove(&slot) {
                self.volume.closed(wire.conn, Closed::Reset, self.now);
                self.pump();
            }
        }
        assert!(
            self.heal(|this| this.volume.is_usable() && this.lens.is_empty()),
            "does not come back: {:?} {:?} {:?}",
            self.volume.session_status(),
            self.volume.bricks().next(),
            self.lens
        );
        for file in std::mem::take(&mut self.files) {
            // A full table must have room after a completion.
            let id = loop {
                match self.volume.submit(Op::Close { file }, self.now) {
                    Ok(id) => break id,
                    Err(error) => assert!(self.heal(|this| this.lens.is_empty()), "{error}"),
                }
            };
            self.lens.insert(id, 0);
            self.pump();
        }
        // No operation is left, a graph exchange has finished, and no half record is gathered.
        let conns = 1 + usize::from(self.connections);
        let quiet = |this: &Self| {
            let in_use = this.volume.in_use();
            this.volume.is_usable()
                && this.lens.is_empty()
                && in_use.calls == 0
                && in_use.blocks == 0
                && in_use.inodes == 0
                && in_use.conns == conns
        };
        assert!(self.heal(quiet), "does not come to rest: {:?}", self.volume.in_use());
        self.pump();
        let left = InUse { conns, deadlines: self.volume.in_use().deadlines, ..InUse::default() };
        assert_eq!(self.volume.in_use(), left, "left over when everything is closed");
    }

    /// Stops the volume and checks that every accepted operation has completed.
    fn end(&mut self) {
        if self.recovers {
            self.recover();
        }
        let mut stopped = self.volume.submit(Op::Stop, self.now);
        for _ in 0..200 {
            if stopped.is_ok() {
                break;
            }
            // The table is full: deadlines end all operations after some days.
            self.now = self.now.plus_millis(10_000_000);
            self.volume.elapsed(self.now);
            self.pump();
            stopped = self.volume.submit(Op::Stop, self.now);
        }
        self.lens.insert(stopped.expect("there is room now"), 0);
        self.pump();
        assert!(self.lens.is_empty(), "never over: {:?}", self.lens);
        let InUse { files, inodes, .. } = self.volume.in_use();
        assert_eq!(
            self.volume.in_use(),
            InUse { conns: 1, files, inodes, ..InUse::default() },
            "left over by a stop"
        );
        assert!(files <= self.files.len(), "open files without a handle");
        assert!(inodes <= files, "inodes without a handle");
    }
}

/// Says whether a call is a SETVOLUME.
fn is_login(record: &[u8]) -> bool {
    CallHeader::decode(&mut Reader::new(record))
        .is_ok_and(|header| header.procedure == Procedure::SETVOLUME)
}
