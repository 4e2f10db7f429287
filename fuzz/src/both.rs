//! The client against the server over a wire that the fuzzer controls: cuts, delays, broken
//! connections, a dying server, changed bytes. A second client uses a brick of its own over an
//! undisturbed wire.
//!
//! Invariants: nothing panics; the second client reads what it wrote; the bricks' tables are
//! consistent; and after the first client has gone, the server holds nothing of it.

use brickwire_core::ConnId;
use brickwire_core::FileId;
use brickwire_core::fop::FopNumber;
use brickwire_core::fop::wire::{Body, Read, Reply, Request};
use brickwire_core::rpc::Procedure;
use brickwire_core::rpc::handshake::{Opaque, Setvolume};
use brickwire_core::server::{Intake, Peer, ServerLimits, Storage as _};
use brickwire_core::volume::{Op, OpenFlags, SetAttributes};
use brickwire_core::xdr::{Dict, Encode, Gfid, Reader};

use crate::client_server_sim::{Dice, Faults, Got, LIMITS, Simulation};
use crate::server_harness::{self, Answer, SECOND, SECOND_ID};

/// Content that the second client has written.
const CONTENT: &[u8] = b"what the other client has written, and nobody else";
/// The second client's file. Its gfid differs in many bytes from every gfid that the first client
/// knows.
const ITS_FILE: Gfid = Gfid(*b"\xd1its own file!\xd2\xd3");

/// The second client, which the faults must not affect.
struct Bystander {
    conn: ConnId,
    crashes: u32,
    next_xid: u32,
}

/// Runs a program: first the rates of faults, then the decisions of all parties.
pub fn run(program: &[u8]) {
    let Some((&[how, more], decisions)) = program.split_first_chunk::<2>() else { return };
    let often = |bit: u8, times: u32| if how & bit == 0 { 0 } else { times };
    let faults = Faults {
        resets: often(1, 60),
        crashes: often(2, 30),
        refusals: often(4, 500),
        lags: often(8, 60),
        slow: often(16, 500),
        mangles: often(32, 300),
    };
    let server = ServerLimits {
        connections: 6,
        jobs: 12,
        jobs_per_connection: 6,
        files: 12,
        ..ServerLimits::SMALL
    };
    let dice = Dice::Bytes(decisions.iter().copied().collect());
    let mut pair = Simulation::with(dice, Faults::default(), LIMITS, server, "a fuzzer's program");
    pair.storage.memory.add_brick(SECOND_ID).expect("room");
    let mut bystander = Bystander::new(&mut pair);
    bystander.write(&mut pair);
    pair.faults = faults;
    let mut files: Vec<FileId> = Vec::new();
    let mut ops = Vec::new();
    while !pair.dice.is_used_up() {
        if pair.running() < 6 {
            ops.extend(submit(&mut pair, &files));
        }
        for _ in 0..1 + (more & 15) {
            pair.step();
        }
        ops.retain(|op| {
            if !pair.is_over(*op) {
                return true;
            }
            if let Got::Opened(file, _) = pair.take(*op).got {
                files.push(file);
            }
            false
        });
        if pair.steps.is_multiple_of(64) {
            bystander.looks(&mut pair, false);
        }
    }
    pair.faults = Faults::default();
    pair.storage.hold = false;
    while pair.storage.held() > 0 {
        pair.finish(0);
    }
    pair.client_vanishes();
    bystander.looks(&mut pair, true);
    let usage = pair.server.usage();
    assert_eq!((usage.connections, usage.jobs), (1, 0), "only the other client is left");
    pair.server.closed(bystander.conn, pair.now, &mut pair.storage);
    assert_eq!(pair.server.usage(), Default::default());
    assert_eq!((pair.storage.buffers(), pair.storage.memory.usage().files), (0, 0));
    pair.storage.memory.verify().unwrap_or_else(|broken| panic!("{broken}"));
}

fn submit(pair: &mut Simulation, files: &[FileId]) -> Option<brickwire_core::OpId> {
    let which = pair.dice.below(20);
    let path: &[u8] = [&b"f"[..], b"d/e", b"d", b"link", b"/", b"a/../f"][pair.dice.below(6)];
    let file = files.get(pair.dice.below(files.len())).copied();
    let (offset, len) = (pair.dice.below(64) as u64 * 100, pair.dice.below(40) as u32 * 77);
    let data = vec![len as u8; len as usize];
    let create = OpenFlags::READ_WRITE.and(OpenFlags::CREATE);
    let (op, buffer) = match (which, file) {
        (0..=2, _) => (Op::Open { path, flags: create, mode: 0o644 }, Vec::new()),
        (3, _) => (Op::Mkdir { path: b"d", mode: 0o755 }, Vec::new()),
        (4, _) => (Op::OpenDir { path }, Vec::new()),
        (5, _) => (Op::Rename { from: path, to: b"d/e" }, Vec::new()),
        (6, _) => (Op::Symlink { target: b"d/e", path: b"link" }, Vec::new()),
        (7, _) => (Op::Unlink { path }, Vec::new()),
        (8, _) => (Op::SetXattr { path, name: b"user.x", len, flags: 0 }, data),
        (9, _) => (Op::ListXattr { path }, Vec::new()),
        (10, _) => (Op::Stat { path, follow: true }, Vec::new()),
        (11, _) => {
            let set = SetAttributes { mode: Some(0o600), ..SetAttributes::default() };
            (Op::SetAttributes { path, set }, Vec::new())
        }
        (12..=13, Some(file)) => (Op::Write { file, offset, len }, data),
        (14..=15, Some(file)) => {
            (Op::Read { file, offset, len, fill: which == 14 }, vec![0; len as usize])
        }
        (16, Some(file)) => (Op::Flush { file, data_only: false }, Vec::new()),
        (17, Some(file)) => (Op::ReadDir { dir: file, cookie: offset / 100 }, Vec::new()),
        (18, Some(file)) => (Op::WriteZeroes { file, offset, len: len.into() }, Vec::new()),
        (_, Some(file)) => (Op::Close { file }, Vec::new()),
        _ => (Op::Statfs, Vec::new()),
    };
    // For a closed file or a full table the caller gets an error, and nothing else happens.
    pair.try_submit(op, buffer).ok()
}

impl Bystander {
    fn new(pair: &mut Simulation) -> Self {
        let mut bystander = Self { conn: Self::connect(pair), crashes: pair.crashes, next_xid: 1 };
        bystander.login(pair);
        bystander
    }

    fn connect(pair: &mut Simulation) -> ConnId {
        let peer = Peer { address: "10.0.0.2".try_into().expect("short"), privileged: true };
        pair.server.accepted(peer, pair.now).expect("there is room for it")
    }

    fn login(&mut self, pair: &mut Simulation) {
        let pairs = [
            ("remote-subvolume", Some(SECOND.as_bytes())),
            ("process-uuid", Some(&b"the other client"[..])),
            ("fops-version", Some(b"1298437")),
        ];
        let answer =
            self.call(pair, Procedure::SETVOLUME, &Setvolume { dict: Opaque::Texts(&pairs) }, &[]);
        assert_eq!(answer.expect("no fault affects this call").result(), (0, 0));
    }

    fn write(&mut self, pair: &mut Simulation) {
        let pairs = [server_harness::gfid_req(ITS_FILE)];
        for (request, payload) in [
            (server_harness::create(Gfid::ROOT, "mine", &pairs), &b""[..]),
            (server_harness::write(ITS_FILE, -2, 0, CONTENT.len()), CONTENT),
        ] {
            let answer =
                self.call(pair, Procedure::fop(request.number() as u32), &request, payload);
            assert!(answer.expect("no fault affects this call").result().0 >= 0);
        }
    }

    /// Checks that the second client's file is unchanged. If there is no room for its call, the
    /// check is skipped, unless `must` is set.
    fn looks(&mut self, pair: &mut Simulation, must: bool) {
        if self.crashes != pair.crashes {
            // The server process has been restarted.
            let peer = Peer { address: "10.0.0.2".try_into().expect("short"), privileged: true };
            let Some(conn) = pair.server.accepted(peer, pair.now) else {
                return assert!(!must, "no room");
            };
            (self.conn, self.crashes) = (conn, pair.crashes);
            let hold = std::mem::take(&mut pair.storage.hold);
            self.login(pair);
            pair.storage.hold = hold;
        }
        let hold = std::mem::take(&mut pair.storage.hold);
        let read =
            Read { gfid: ITS_FILE, fd: -2, offset: 0, size: 100, flag: 0, xdata: Dict::Null };
        let answer =
            self.call(pair, Procedure::fop(FopNumber::Read as u32), &Request::Read(read), &[]);
        pair.storage.hold = hold;
        let Some(answer) = answer else {
            return assert!(!must, "there is room, but it is not served");
        };
        let mut r = Reader::new(&answer.body);
        let reply = Reply::decode(FopNumber::Read, &mut r).expect("an answer");
        let Body::Read { size, .. } = reply.body else { panic!("{reply:?}") };
        assert_eq!(
            (reply.op_ret, size as usize, r.rest()),
            (CONTENT.len() as i32, CONTENT.len(), CONTENT)
        );
    }

    /// Sends one call and returns its answer; `None` if the server does not take it now.
    fn call(
        &mut self,
        pair: &mut Simulation,
        procedure: Procedure,
        arguments: &dyn Encode,
        payload: &[u8],
    ) -> Option<Answer> {
        if pair.server.intake(self.conn) != Intake::Core {
            return None;
        }
        self.next_xid += 1;
        let record = server_harness::record(
            self.next_xid,
            procedure,
            &server_harness::root(),
            arguments,
            payload,
        );
        let used =
            pair.server.received(self.conn, &record, pair.now, &pair.exports, &mut pair.storage);
        if used < record.len() {
            // The call was not taken. All of it except the mark would have to be sent again, so it
            // is easier to reconnect.
            pair.server.closed(self.conn, pair.now, &mut pair.storage);
            self.conn = Self::connect(pair);
            self.login(pair);
            return None;
        }
        let mut bytes = Vec::new();
        for piece in pair.server.outgoing(self.conn) {
            bytes.extend_from_slice(piece.head);
            if let Some(data) = piece.data {
                let begin = data.at as usize;
                let all = pair.storage.bytes_mut(data.buffer);
                bytes.extend_from_slice(&all[begin..begin + data.len as usize]);
            }
        }
        pair.server.sent(self.conn, bytes.len(), pair.now, &mut pair.storage);
        let (xid, answer) = server_harness::parse_reply(bytes.get(4..).expect("an answer"));
        assert_eq!(xid, self.next_xid, "its own answer");
        Some(answer)
    }
}
