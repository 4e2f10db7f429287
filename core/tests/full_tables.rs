//! Full tables: every entry of `Limits` at its minimum, with every kind of operation. An operation
//! that does not fit is refused with the name of the table. All others wait for an entry and
//! succeed, and none waits for a deadline.

mod client_harness;

use std::collections::BTreeMap;

use brickwire_core::fop::FopNumber;
use brickwire_core::fop::wire::{Body, Direntp, Direntps, Reply, Request};
use brickwire_core::volume::{Op, OpenFlags, SetAttributes, SubmitError, Table, Volume};
use brickwire_core::xdr::{Dict, Gfid, Reader};
use brickwire_core::{FileId, Limits, Memory, OpId};
use client_harness::{Call, Rig, directory, regular, symlink};

/// Limits that never refuse anything here.
const ROOMY: Limits = Limits {
    ops: 64,
    frames: 128,
    calls: 200,
    files: 8,
    inodes: 10,
    fds: 24,
    names: 64,
    name_bytes: 1024,
    blocks: 8,
    block_bytes: 16 * 1024,
    conns: 6,
    head_bytes: 16 * 1024,
    nodes: 8,
    volumes: 16,
    options: 32,
    children: 16,
    volfile_bytes: 4096,
    transfer_bytes: 128 * 1024,
};

/// One entry of `Limits`, by name.
type Entry = (&'static str, fn(&mut Limits, u32));

const ENTRIES: [Entry; 18] = [
    ("ops", |l, n| l.ops = n),
    ("frames", |l, n| l.frames = n),
    ("calls", |l, n| l.calls = n),
    ("files", |l, n| l.files = n),
    ("inodes", |l, n| l.inodes = n),
    ("fds", |l, n| l.fds = n),
    ("names", |l, n| l.names = n as u16),
    ("name_bytes", |l, n| l.name_bytes = n as u16),
    ("blocks", |l, n| l.blocks = n as u16),
    ("block_bytes", |l, n| l.block_bytes = n),
    ("conns", |l, n| l.conns = n as u16),
    ("head_bytes", |l, n| l.head_bytes = n),
    ("nodes", |l, n| l.nodes = n as u16),
    ("volumes", |l, n| l.volumes = n as u16),
    ("options", |l, n| l.options = n),
    ("children", |l, n| l.children = n as u16),
    ("volfile_bytes", |l, n| l.volfile_bytes = n),
    ("transfer_bytes", |l, n| l.transfer_bytes = n),
];

/// Says whether a volume can be made with these limits.
fn accepted(limits: &Limits) -> bool {
    let mut config = brickwire_core::volume::Config::new();
    config.volume = "v".try_into().unwrap();
    let server =
        brickwire_core::volume::Server::Unix { path: "/run/glusterd.socket".try_into().unwrap() };
    config.servers.push(server).unwrap();
    config.entropy = [1; 32];
    Volume::new(config, *limits, Memory::on_heap(limits), brickwire_core::Instant::ZERO).is_ok()
}

/// The minimum of an entry when the others are as in `base`.
fn least(base: &Limits, entry: Entry) -> u32 {
    (0..65_536)
        .find(|n| {
            let mut limits = *base;
            (entry.1)(&mut limits, *n);
            accepted(&limits)
        })
        .unwrap()
}

/// Answers a call; the first letter of a name decides what it stands for.
fn answer(rig: &mut Rig, call: &Call) {
    let Some(number) = call.fop() else {
        rig.calls.push_back(call.clone());
        return rig.answer_handshake();
    };
    let ok = |op_ret, body| Reply { op_ret, op_errno: 0, xdata: Dict::Null, body };
    let file = regular(client_harness::FILE, 1 << 20);
    let (dir, link) = (directory(Gfid([7; 16])), symlink(Gfid([8; 16])));
    let entry =
        [Direntp { ino: 1, offset: 7, len: 1, kind: 8, name: b"e", stat: file, dict: Dict::Null }];
    match call.request() {
        Request::Read(read) => rig.answer_read(call, &vec![5; read.size as usize]),
        Request::Write(write) => rig.answer_done(call, write.size as i32),
        Request::Open(_) | Request::Opendir(_) => rig.answer_open(call),
        Request::Lookup(lookup) => match lookup.bname.first() {
            None => rig.answer_lookup(call, directory(lookup.gfid)),
            Some(b'd') => rig.answer_lookup(call, dir),
            Some(b'l') => rig.answer_lookup(call, link),
            Some(b'n') => rig.fails(call, 2),
            Some(_) => rig.answer_lookup(call, file),
        },
        Request::Create(_) => {
            let fd = rig.next_fd as u64;
            rig.next_fd += 1;
            rig.answer(
                call,
                &ok(0, Body::Create { stat: file, fd, preparent: dir, postparent: dir }),
            );
        }
        Request::Readlink(_) => rig.answer(call, &ok(1, Body::Readlink { stat: link, path: b"f" })),
        Request::Readdirp(_) => {
            let reply = Reply { op_errno: 2, ..ok(1, Body::Direntps(Direntps::of(&entry))) };
            rig.answer(call, &reply);
        }
        _ => {
            let body = Reply::decode(number, &mut Reader::new(&[0; 2048])).unwrap().body;
            rig.answer(call, &ok(0, body));
        }
    }
}

/// The result of each operation, by its name.
type Outcomes = BTreeMap<String, Result<u32, String>>;

struct Run {
    rig: Rig,
    waiting: BTreeMap<OpId, String>,
    outcomes: Outcomes,
    opened: BTreeMap<String, FileId>,
}

impl Run {
    /// Answers all calls; returns whether there were any.
    fn turn(&mut self) -> bool {
        let before = (self.rig.calls.len(), self.rig.dialled.len());
        self.rig.accept_dials();
        if let Some(call) = self.rig.calls.pop_front() {
            answer(&mut self.rig, &call);
        }
        for (op, result) in std::mem::take(&mut self.rig.completed) {
            let name = self.waiting.remove(&op).expect("it was waited for");
            if let Some(file) = self.rig.opened.remove(&op) {
                self.opened.insert(name.clone(), file);
            }
            self.outcomes.insert(name, result.map_err(|error| format!("{error:?}")));
        }
        before != (0, 0)
    }

    fn finish(&mut self) {
        while self.turn() {}
        while !self.waiting.is_empty() && self.rig.now.as_nanos() < 10_000_000_000 {
            // No call is open, and operations wait: for a dial, not for their deadlines.
            self.rig.next_deadline();
            while self.turn() {}
        }
        assert!(self.waiting.is_empty(), "still waiting: {:?}", self.waiting);
    }

    fn submit(&mut self, name: &str, op: Op<'_>, buffer: usize) {
        loop {
            match self.rig.volume.submit(op, self.rig.now) {
                Ok(id) => {
                    self.rig.buffers.insert(id, vec![1; buffer]);
                    self.waiting.insert(id, name.to_owned());
                    self.rig.pump();
                    return;
                }
                Err(SubmitError::Busy(_)) if !self.waiting.is_empty() => {
                    // Back-pressure: a completion makes room.
                    let before = self.waiting.len();
                    while self.waiting.len() == before {
                        if !self.turn() {
                            self.rig.next_deadline();
                        }
                        assert!(self.rig.now.as_nanos() < 10_000_000_000, "{name}: no room");
                    }
                }
                Err(error) => {
                    self.outcomes.insert(name.to_owned(), Err(format!("{error:?}")));
                    return;
                }
            }
        }
    }
}

/// Runs every kind of operation, as many at a time as the tables allow.
fn everything(limits: Limits, lanes: u8) -> Outcomes {
    let rig = Rig::with(|config| config.connections_per_brick = lanes, limits);
    let mut run =
        Run { rig, waiting: BTreeMap::new(), outcomes: BTreeMap::new(), opened: BTreeMap::new() };
    let long = [b"d/".repeat(200), b"f".to_vec()].concat();
    let flags = OpenFlags::READ_WRITE;
    run.submit("start", Op::Start, 0);
    run.finish();
    for round in 0..2 {
        let set = SetAttributes { mode: Some(0o644), ..Default::default() };
        let by_path: [(&str, Op<'_>, usize); 16] = [
            ("stat", Op::Stat { path: b"d/f", follow: true }, 0),
            ("stat long", Op::Stat { path: &long, follow: true }, 0),
            ("mkdir", Op::Mkdir { path: b"d/n", mode: 0o755 }, 0),
            ("rmdir", Op::Rmdir { path: b"d" }, 0),
            ("unlink", Op::Unlink { path: b"f" }, 0),
            ("rename", Op::Rename { from: b"d/f", to: b"d/g" }, 0),
            ("link", Op::Link { from: b"f", to: b"d/g" }, 0),
            ("symlink", Op::Symlink { target: b"f", path: b"d/l" }, 0),
            ("readlink", Op::Readlink { path: b"l" }, 0),
            ("truncate path", Op::TruncatePath { path: b"f", size: 7 }, 0),
            ("set attributes", Op::SetAttributes { path: b"l", set }, 0),
            ("statfs", Op::Statfs, 0),
            ("get xattr", Op::GetXattr { path: b"f", name: b"user.a" }, 0),
            ("list xattr", Op::ListXattr { path: b"f" }, 0),
            ("set xattr", Op::SetXattr { path: b"f", name: b"user.a", len: 100, flags: 0 }, 100),
            ("remove xattr", Op::RemoveXattr { path: b"f", name: b"user.a" }, 0),
        ];
        for (name, op, buffer) in by_path {
            run.submit(&format!("{name} {round}"), op, buffer);
        }
        run.submit("file", Op::Open { path: b"f", flags, mode: 0 }, 0);
        run.finish();
        if let Some(file) = run.opened.remove("file") {
            let on_file: [(&str, Op<'_>, usize); 9] = [
                ("allocate", Op::Allocate { file, offset: 0, len: 4096, keep_size: true }, 0),
                ("write zeroes", Op::WriteZeroes { file, offset: 4096, len: 4096 }, 0),
                ("discard", Op::Discard { file, offset: 8192, len: 4096 }, 0),
                ("flush", Op::Flush { file, data_only: false }, 0),
                ("truncate", Op::Truncate { file, size: 1 << 20 }, 0),
                ("fstat", Op::Fstat { file }, 0),
                ("seek", Op::Seek { file, offset: 0, hole: true }, 0),
                ("large write", Op::Write { file, offset: 1 << 20, len: 100_000 }, 100_000),
                ("large read", Op::Read { file, offset: 0, len: 100_000, fill: true }, 100_000),
            ];
            for n in 0..24_u64 {
                run.submit(
                    &format!("write {n}"),
                    Op::Write { file, offset: n * 50, len: 100 },
                    100,
                );
                run.submit(
                    &format!("read {n}"),
                    Op::Read { file, offset: n, len: 100, fill: false },
                    100,
                );
            }
            for (name, op, buffer) in on_file {
                run.submit(&format!("{name} {round}"), op, buffer);
            }
            run.submit(&format!("close {round}"), Op::Close { file }, 0);
        }
        // The close makes room for a file.
        run.finish();
        let create = flags.and(OpenFlags::CREATE);
        run.submit("created", Op::Open { path: b"d/n", flags: create, mode: 0o600 }, 0);
        run.finish();
        if let Some(file) = run.opened.remove("created") {
            run.submit(&format!("close created {round}"), Op::Close { file }, 0);
        }
        run.finish();
        run.submit("dir", Op::OpenDir { path: b"d" }, 0);
        run.finish();
        if let Some(dir) = run.opened.remove("dir") {
            for n in 0..6 {
                run.submit(&format!("read dir {n}"), Op::ReadDir { dir, cookie: n }, 0);
            }
            run.submit(&format!("close dir {round}"), Op::Close { file: dir }, 0);
        }
        run.finish();
    }
    let in_use = run.rig.volume.in_use();
    assert_eq!((in_use.files, in_use.inodes, in_use.fds), (0, 0, 0), "{in_use:?}");
    assert_eq!((in_use.frames, in_use.names), (0, 0), "{in_use:?}");
    run.outcomes
}

/// The operations that failed, and their errors.
fn failures(outcomes: &Outcomes) -> Vec<(&str, &str)> {
    outcomes
        .iter()
        .filter_map(|(name, result)| Some((&**name, &**result.as_ref().err()?)))
        .collect()
}

#[test]
fn with_room_for_everything_everything_succeeds() {
    for lanes in [1, 2] {
        let outcomes = everything(ROOMY, lanes);
        assert_eq!(failures(&outcomes), [], "{lanes} connections");
        assert!(outcomes.len() > 100, "{}", outcomes.len());
    }
}

#[test]
fn tables_that_only_bound_how_much_is_done_at_a_time_make_nothing_fail() {
    for lanes in [1, 2] {
        for entry in ENTRIES {
            let mut limits = ROOMY;
            match entry.0 {
                // Other entries must be at least as large as `ops`.
                "frames" | "calls" => limits.ops = 4,
                "fds" => limits.files = 3,
                "ops" | "files" | "inodes" | "names" | "blocks" => {}
                _ => continue,
            }
            let least = least(&limits, entry);
            (entry.1)(&mut limits, least);
            assert_eq!(failures(&everything(limits, lanes)), [], "{} {limits:?}", entry.0);
        }
        // All minima together.
        let least = Limits {
            ops: 1,
            frames: 2,
            calls: 2,
            files: 1,
            inodes: 1,
            fds: 2,
            names: 2,
            blocks: 2,
            ..ROOMY
        };
        assert_eq!(failures(&everything(least, lanes)), [], "{lanes} connections");
    }
}

#[test]
fn what_does_not_fit_is_refused_by_the_name_of_what_it_does_not_fit() {
    for entry in ENTRIES {
        let mut limits = ROOMY;
        let least = least(&limits, entry);
        (entry.1)(&mut limits, least);
        let outcomes = everything(limits, 1);
        let failed = failures(&outcomes);
        match entry.0 {
            "name_bytes" => {
                assert_eq!(failed.len(), 2, "{failed:?}");
                assert!(failed.iter().all(|(name, error)| {
                    name.starts_with("stat long")
                        && *error == format!("{:?}", SubmitError::TooLong { max: least })
                }));
            }
            "transfer_bytes" => {
                let error = format!("{:?}", SubmitError::TooLong { max: 0 });
                assert!(
                    failed.len() > 50 && failed.iter().all(|(_, text)| *text == error),
                    "{failed:?}"
                );
            }
            // The volfile of one volume needs these, whatever the operations are.
            "volumes" | "options" | "children" => {
                assert_eq!(failed.len(), outcomes.len(), "{}: {failed:?}", entry.0);
                assert!(
                    failed.iter().all(|(_, text)| text.starts_with("Graph(")
                        && text.to_lowercase().contains(entry.0)),
                    "{}: {failed:?}",
                    entry.0
                );
            }
            _ => assert_eq!(failed, [], "{} {least}", entry.0),
        }
    }
}

#[test]
fn a_connection_without_calls_of_its_own_gets_one_when_another_connection_frees_it() {
    // Two connections, and fewer calls than operations need.
    let limits =
        Limits { ops: 6, frames: 12, calls: 7, files: 2, fds: 8, conns: 5, ..Limits::FIRMWARE };
    let mut rig = Rig::with(
        |config| {
            config.connections_per_brick = 2;
            config.op_timeout_ms = 5_000;
        },
        limits,
    );
    rig.bring_up();
    for _ in 0..6 {
        rig.accept_dials();
        rig.answer_handshake();
    }
    let file = rig.open();
    for _ in 0..4 {
        let read = rig.read(file, 0, 4);
        while let Some(call) = rig.calls.pop_front() {
            match call.fop() {
                Some(FopNumber::Open) => rig.answer_open(&call),
                _ => rig.answer_read(&call, b"data"),
            }
        }
        assert_eq!(rig.result(read), Some(Ok(4)));
    }
    // Four abandoned reads hold four calls. Six more reads, on both connections, need one each.
    let given_up: Vec<OpId> = (0..4).map(|n| rig.read(file, n * 10, 4)).collect();
    let owed: Vec<Call> = rig.calls.drain(..).collect();
    for op in given_up {
        rig.volume.cancel(op, rig.now);
    }
    rig.pump();
    let reads: Vec<OpId> = (0..6).map(|n| rig.read(file, n * 10, 4)).collect();
    let asked = rig.calls.len();
    assert!(asked < 6, "the table is full: {asked}");
    // The answers to the abandoned ones make room. They come on one connection, and frames wait on
    // both.
    for call in &owed {
        rig.answer_read(call, b"late");
    }
    while let Some(call) = rig.calls.pop_front() {
        rig.answer_read(&call, b"data");
    }
    for read in reads {
        assert_eq!(rig.result(read), Some(Ok(4)), "without waiting for the deadline");
    }
}

#[test]
fn lent_tables_that_are_larger_than_the_limits_change_nothing() {
    let large = Limits {
        ops: 40,
        conns: 9,
        frames: 90,
        calls: 90,
        names: 40,
        files: 8,
        inodes: 8,
        fds: 16,
        ..Limits::FIRMWARE
    };
    let mut memory = Memory::on_heap(&large);
    memory.timers = Memory::on_heap(&Limits::FIRMWARE).timers;
    let mut config = brickwire_core::volume::Config::new();
    config.volume = "v".try_into().unwrap();
    let server =
        brickwire_core::volume::Server::Unix { path: "/run/glusterd.socket".try_into().unwrap() };
    config.servers.push(server).unwrap();
    config.entropy = [1; 32];
    let mut volume =
        Volume::new(config, Limits::FIRMWARE, memory, brickwire_core::Instant::ZERO).unwrap();
    let mut ops = Vec::new();
    let full = loop {
        match volume.submit(Op::Statfs, brickwire_core::Instant::ZERO) {
            Ok(op) => ops.push(op),
            Err(error) => break error,
        }
    };
    assert_eq!((full, ops.len()), (SubmitError::Busy(Table::Ops), 4));
    // Each operation has its deadline.
    assert_eq!(volume.in_use().deadlines, 5);
}
