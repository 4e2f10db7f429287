//! Instructions of reads and writes in the core alone: a connected volume, and a brick with
//! prepared answers. There are no sockets, no clock and no copies of payload, so each run counts
//! the same number.
//!
//! `instructions read|write DEPTH OPERATIONS` executes that many operations of 4 KiB, DEPTH at a
//! time. Run it under callgrind with two numbers of operations, as
//! `cargo xtask bench --instructions` does.
#![allow(missing_docs)]

#[path = "../tests/client_harness/mod.rs"]
mod client_harness;

use brickwire_core::fop::FopNumber;
use brickwire_core::volume::{Intake, Op, Output};
use brickwire_core::{ConnId, FileId, Instant, Limits};
use client_harness::{Rig, read_reply};

const BLOCK: u32 = 4096;
/// Mark, xid.
const XID_AT: usize = 4;

fn main() {
    let mut words = std::env::args().skip(1).filter(|word| !word.starts_with("--"));
    let (rw, depth, operations) = (words.next(), words.next(), words.next());
    // `cargo bench` and `cargo test --benches` run it without arguments, which only checks that it
    // works.
    let number =
        |text: Option<String>, or| text.map_or(or, |text| text.parse::<u64>().expect("a number"));
    let (depth, operations) = (number(depth, 4), number(operations, 8));
    let write = rw.as_deref() == Some("write");

    let limits = Limits {
        ops: 64,
        frames: 128,
        calls: 256,
        files: 8,
        inodes: 8,
        fds: 32,
        ..Limits::FIRMWARE
    };
    let mut rig = Rig::with(|_| {}, Limits { head_bytes: 16 * 1024, ..limits });
    rig.bring_up();
    let file = rig.open();
    let (conn, answer) = canned(&mut rig, file, write);
    let mut bench = Bench { rig, conn, answer, answers: Vec::new(), file, write, next: 0, over: 0 };
    while bench.over < operations {
        bench.turn(depth);
    }
    assert_eq!(bench.over, bench.next);
}

/// The connection of the calls, and the brick's answer up to a READ's payload.
fn canned(rig: &mut Rig, file: FileId, write: bool) -> (ConnId, Vec<u8>) {
    if write {
        rig.write(file, 0, &[7; BLOCK as usize]);
        let call = rig.expect(FopNumber::Write);
        let answer = client_harness::reply_record(call.xid, |w| {
            let stat = client_harness::regular(client_harness::FILE, 0);
            let body = brickwire_core::fop::wire::Body::TwoIatts { before: stat, after: stat };
            let xdata = brickwire_core::xdr::Dict::Null;
            brickwire_core::fop::wire::Reply { op_ret: BLOCK as i32, op_errno: 0, xdata, body }
                .encode(FopNumber::Write, w)
                .expect("room");
        });
        rig.deliver(call.conn, &answer);
        return (call.conn, answer);
    }
    rig.read(file, 0, BLOCK);
    let call = rig.expect(FopNumber::Read);
    let payload = [7; BLOCK as usize];
    let mut answer = read_reply(&call, &payload, BLOCK as i32);
    rig.deliver(call.conn, &answer);
    answer.truncate(answer.len() - payload.len());
    (call.conn, answer)
}

struct Bench {
    rig: Rig,
    conn: ConnId,
    answer: Vec<u8>,
    /// The answers of a turn, one after the other, as a socket delivers them.
    answers: Vec<u8>,
    file: FileId,
    write: bool,
    next: u64,
    over: u64,
}

impl Bench {
    /// Submits `depth` operations, sends them together, and receives their answers together.
    fn turn(&mut self, depth: u64) {
        self.rig.now = Instant::from_nanos(self.rig.now.as_nanos() + 100_000);
        for _ in 0..depth {
            let (file, offset, len) = (self.file, self.next * 4096, BLOCK);
            let op = if self.write {
                Op::Write { file, offset, len }
            } else {
                Op::Read { file, offset, len, fill: false }
            };
            self.rig.volume.submit(op, self.rig.now).expect("taken");
            self.next += 1;
        }
        self.answers.clear();
        self.drain();
        let answers = std::mem::take(&mut self.answers);
        let mut bytes = &answers[..];
        while !bytes.is_empty() {
            let taken = match self.rig.volume.intake(self.conn) {
                Intake::Core => self.rig.volume.received(self.conn, bytes, self.rig.now),
                // The payload is not there: nobody looks at it.
                Intake::Place(range) => {
                    self.rig.volume.placed(self.conn, range.len as usize, self.rig.now);
                    0
                }
                other => panic!("{other:?}"),
            };
            bytes = &bytes[taken..];
        }
        if let Intake::Place(range) = self.rig.volume.intake(self.conn) {
            self.rig.volume.placed(self.conn, range.len as usize, self.rig.now);
        }
        self.answers = answers;
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.rig.volume.poll(self.rig.now) {
            match output {
                Output::Transmit { conn } => {
                    let mut sent = 0;
                    for record in self.rig.volume.outgoing(conn) {
                        sent += record.head.len() + record.data.map_or(0, |data| data.len as usize);
                        let at = self.answers.len();
                        self.answers.extend_from_slice(&self.answer);
                        self.answers[at + XID_AT..at + XID_AT + 4]
                            .copy_from_slice(&record.head[XID_AT..XID_AT + 4]);
                    }
                    self.rig.volume.sent(conn, sent, self.rig.now);
                }
                Output::Complete { result, .. } => {
                    assert_eq!(result, Ok(BLOCK));
                    self.over += 1;
                }
                other => panic!("{other:?}"),
            }
        }
    }
}
