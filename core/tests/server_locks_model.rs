//! The lock tables against a model that looks at every byte and every owner, with random requests.

mod scripted_storage;

use arbtest::arbitrary::{Result, Unstructured};
use arbtest::arbtest;
use brickwire_core::ConnId;
use brickwire_core::fop::wire::{Flush, Request};
use brickwire_core::xdr::{Dict, Errno};
use scripted_storage::*;

/// Bytes that the model knows; the last one stands for all that follow.
const BYTES: u64 = 12;
const OWNERS: [&[u8]; 2] = [b"one", b"another owner, whose name is longer than a chunk"];
const LIMITED: &str = "the tables are large enough for these tests";

/// A client and one of its owners.
type Who = (usize, usize);

fn bytes_of(start: u64, len: u64) -> u32 {
    let end = if len == 0 { BYTES } else { (start + len).min(BYTES) };
    (start..end).fold(0, |bytes, byte| bytes | 1 << byte)
}

#[derive(Clone, Copy, Debug)]
struct Lock {
    who: Who,
    write: bool,
    start: u64,
    len: u64,
    xid: u32,
}

impl Lock {
    fn conflicts(&self, other: &Lock) -> bool {
        (self.write || other.write)
            && bytes_of(self.start, self.len) & bytes_of(other.start, other.len) != 0
    }
}

/// Expected replies: the call's number, and the result.
type Answers = Vec<(Who, u32, core::result::Result<(), Errno>)>;

/// A simple model of INODELK: after each event, every waiting request is examined again, until none
/// can be granted. (A granted lock may conflict with requests that it does not have to wait for any
/// more.)
#[derive(Default)]
struct Inodelks {
    held: Vec<Lock>,
    queue: Vec<Lock>,
}

impl Inodelks {
    fn can_have(&self, lock: &Lock, before: &[Lock]) -> bool {
        let others = |held: &&Lock| held.who != lock.who;
        if self.held.iter().filter(others).any(|held| held.conflicts(lock)) {
            return false;
        }
        let has_one = self.held.iter().chain(before).any(|each| each.who == lock.who);
        has_one || !before.iter().any(|earlier| earlier.conflicts(lock))
    }

    fn ask(&mut self, lock: Lock, blocking: bool) -> Answers {
        self.queue.push(lock);
        let mut answers = self.settle();
        if !blocking && self.queue.last().is_some_and(|last| last.xid == lock.xid) {
            self.queue.pop();
            answers.push((lock.who, lock.xid, Err(Errno::EAGAIN)));
        }
        answers
    }

    fn unlock(&mut self, lock: Lock) -> Answers {
        let like =
            |held: &Lock| held.who == lock.who && held.start == lock.start && held.len == lock.len;
        let Some(at) = self.held.iter().rposition(like) else {
            return vec![(lock.who, lock.xid, Err(Errno::EINVAL))];
        };
        self.held.remove(at);
        let mut answers = vec![(lock.who, lock.xid, Ok(()))];
        answers.extend(self.settle());
        answers
    }

    fn settle(&mut self) -> Answers {
        let mut answers = vec![];
        loop {
            let can = |at: &usize| self.can_have(&self.queue[*at], &self.queue[..*at]);
            let Some(at) = (0..self.queue.len()).find(can) else { return answers };
            let lock = self.queue.remove(at);
            self.held.push(lock);
            answers.push((lock.who, lock.xid, Ok(())));
        }
    }

    fn gone(&mut self, client: usize) -> Answers {
        self.held.retain(|lock| lock.who.0 != client);
        self.queue.retain(|lock| lock.who.0 != client);
        self.settle()
    }
}

/// A simple model of LK: the owner and kind of lock of each byte.
#[derive(Default)]
struct Posix {
    held: [Vec<(Who, bool)>; BYTES as usize],
    queue: Vec<Lock>,
}

impl Posix {
    fn can_have(&self, lock: &Lock) -> bool {
        let bytes = bytes_of(lock.start, lock.len);
        self.held.iter().enumerate().filter(|(byte, _)| bytes & 1 << byte != 0).all(
            |(_, holders)| {
                holders.iter().all(|(who, write)| *who == lock.who || !(*write || lock.write))
            },
        )
    }

    fn take_out(&mut self, lock: &Lock) {
        let bytes = bytes_of(lock.start, lock.len);
        for (byte, holders) in self.held.iter_mut().enumerate() {
            if bytes & 1 << byte != 0 {
                holders.retain(|(who, _)| *who != lock.who);
            }
        }
    }

    fn have(&mut self, lock: &Lock) {
        self.take_out(lock);
        let bytes = bytes_of(lock.start, lock.len);
        for (byte, holders) in self.held.iter_mut().enumerate() {
            if bytes & 1 << byte != 0 {
                holders.push((lock.who, lock.write));
            }
        }
    }

    fn ask(&mut self, lock: Lock, blocking: bool) -> Answers {
        let mut answers = vec![];
        if self.can_have(&lock) {
            self.have(&lock);
            answers.push((lock.who, lock.xid, Ok(())));
        } else if blocking {
            self.take_out(&lock);
            self.queue.push(lock);
        } else {
            answers.push((lock.who, lock.xid, Err(Errno::EAGAIN)));
        }
        // Turning a write lock into a read lock admits other readers.
        answers.extend(self.settle());
        answers
    }

    fn unlock(&mut self, lock: Lock) -> Answers {
        self.take_out(&lock);
        let mut answers = vec![(lock.who, lock.xid, Ok(()))];
        answers.extend(self.settle());
        answers
    }

    fn settle(&mut self) -> Answers {
        let mut answers = vec![];
        loop {
            let Some(at) = self.queue.iter().position(|lock| self.can_have(lock)) else {
                return answers;
            };
            let lock = self.queue.remove(at);
            self.have(&lock);
            answers.push((lock.who, lock.xid, Ok(())));
        }
    }

    fn flush(&mut self, who: Who) -> Answers {
        for holders in &mut self.held {
            holders.retain(|(holder, _)| *holder != who);
        }
        self.settle()
    }

    fn gone(&mut self, client: usize) -> Answers {
        for holders in &mut self.held {
            holders.retain(|((holder, _), _)| *holder != client);
        }
        self.queue.retain(|lock| lock.who.0 != client);
        self.settle()
    }
}

fn range(u: &mut Unstructured<'_>) -> Result<(u64, u64)> {
    let start = u.int_in_range(0..=BYTES - 1)?;
    let len = if u.ratio(1, 6)? { 0 } else { u.int_in_range(1..=BYTES - start)? };
    // The last byte of the model stands for everything behind it.
    Ok((start, if start + len == BYTES { 0 } else { len }))
}

fn compare(rig: &mut Rig, conns: &[ConnId], expected: Answers) {
    for (who, xid, answer) in expected {
        let said = rig.result(conns[who.0], xid);
        assert_eq!(said, Some(answer.map(|()| 0)), "call {xid} of {who:?}");
    }
}

fn larger() -> Rig {
    Rig::with(brickwire_core::server::ServerLimits {
        locks: 1024,
        locks_per_connection: 512,
        locks_per_inode: 1024,
        waits: 512,
        waits_per_connection: 256,
        ..brickwire_core::server::ServerLimits::SMALL
    })
}

#[test]
fn inodelks_are_had_by_whom_the_rules_say() {
    arbtest(|u| {
        let mut rig = larger();
        let mut model = Inodelks::default();
        let mut conns: Vec<ConnId> = (0..3).map(|_| rig.client()).collect();
        while !u.is_empty() {
            let who = (u.int_in_range(0..=2)?, u.int_in_range(0..=1)?);
            if u.ratio(1, 20)? {
                rig.disconnect(conns[who.0]);
                let expected = model.gone(who.0);
                compare(&mut rig, &conns, expected);
                conns[who.0] = rig.client();
                continue;
            }
            let (start, len) = range(u)?;
            let (write, unlocks, blocking) = (u.arbitrary()?, u.ratio(2, 5)?, u.arbitrary()?);
            // Half of the unlocks name a range that was locked.
            let (start, len) = match model.held.iter().find(|lock| lock.who == who) {
                Some(held) if unlocks && u.arbitrary()? => (held.start, held.len),
                _ => (start, len),
            };
            let kind = if unlocks { UNLOCK } else { u32::from(write) };
            let cmd = if blocking { WAIT } else { TRY };
            let xid = rig.send(conns[who.0], OWNERS[who.1], inodelk(cmd, kind, start, len));
            let lock = Lock { who, write, start, len, xid };
            let expected = if unlocks { model.unlock(lock) } else { model.ask(lock, blocking) };
            compare(&mut rig, &conns, expected);
            let lens = (model.held.len() as u32, model.queue.len() as u32);
            assert_eq!(rig.locks(), lens, "{LIMITED}");
        }
        for (client, conn) in conns.iter().enumerate() {
            rig.disconnect(*conn);
            let expected = model.gone(client);
            compare(&mut rig, &conns, expected);
        }
        assert_eq!((rig.locks(), rig.server.usage().jobs), ((0, 0), 0));
        Ok(())
    })
    .budget_ms(1_000);
}

#[test]
fn every_byte_of_a_file_is_locked_by_whom_fcntl_says() {
    arbtest(|u| {
        let mut rig = larger();
        let mut model = Posix::default();
        let mut conns: Vec<ConnId> = (0..3).map(|_| rig.client()).collect();
        let mut fds: Vec<i64> = conns.iter().map(|conn| rig.open(*conn, FILE)).collect();
        while !u.is_empty() {
            let who = (u.int_in_range(0..=2)?, u.int_in_range(0..=1)?);
            let (conn, fd) = (conns[who.0], fds[who.0]);
            match u.int_in_range(0..=20)? {
                0 => {
                    rig.disconnect(conn);
                    let expected = model.gone(who.0);
                    compare(&mut rig, &conns, expected);
                    conns[who.0] = rig.client();
                    fds[who.0] = rig.open(conns[who.0], FILE);
                    continue;
                }
                1 => {
                    let flush = Request::Flush(Flush { gfid: FILE, fd, xdata: Dict::Null });
                    let xid = rig.send(conn, OWNERS[who.1], flush);
                    assert_eq!(rig.result(conn, xid), Some(Ok(0)));
                    let expected = model.flush(who);
                    compare(&mut rig, &conns, expected);
                }
                _ => {
                    let (start, len) = range(u)?;
                    let (write, unlocks, blocking) =
                        (u.arbitrary()?, u.ratio(1, 3)?, u.arbitrary()?);
                    let kind = if unlocks { UNLOCK } else { u32::from(write) };
                    let cmd = if blocking { WAIT } else { TRY };
                    let xid = rig.send(conn, OWNERS[who.1], lk(fd, cmd, kind, start, len));
                    let lock = Lock { who, write, start, len, xid };
                    let expected =
                        if unlocks { model.unlock(lock) } else { model.ask(lock, blocking) };
                    compare(&mut rig, &conns, expected);
                }
            }
            assert_eq!(rig.locks().1 as usize, model.queue.len(), "{LIMITED}");
            for byte in 0..BYTES {
                let xid = rig.send(conn, b"who only looks", lk(fd, 0, WRITE, byte, 1));
                let seen = rig.answer(conn, xid).and_then(|answer| answer.lock).expect("a lock").0;
                let holders = &model.held[byte as usize];
                let expected = match holders.first() {
                    None => UNLOCK,
                    Some((_, write)) => u32::from(*write),
                };
                assert_eq!(seen, expected, "byte {byte}: {holders:?}");
            }
        }
        for (client, conn) in conns.iter().enumerate() {
            rig.disconnect(*conn);
            let expected = model.gone(client);
            compare(&mut rig, &conns, expected);
        }
        let usage = rig.server.usage();
        assert_eq!((rig.locks(), usage.jobs, usage.files), ((0, 0), 0, 0));
        Ok(())
    })
    .budget_ms(1_000);
}
