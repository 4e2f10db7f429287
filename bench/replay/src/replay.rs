//! The measured loop: one read and one write for each wake-up. Only the parts of replies that it
//! needs are decoded.

use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use brickwire_bench_common::Failure;
use brickwire_bench_common::args::End;
use brickwire_bench_common::measure::Histogram;
use brickwire_bench_common::offsets::Offsets;

use crate::args::Args;
use crate::session::{OpenFile, data};
use crate::wire::{Call, LAST_FRAGMENT, fop, said};

/// A ring of encoded calls, and the state of their replies.
pub(crate) struct Replay {
    /// Headers without payload, `stride` bytes each; call `i` has xid `XID_FIRST + i`.
    calls: Vec<u8>,
    stride: usize,
    /// Data of WRITE calls: one block for each call in flight, as a client would hold.
    payload: Vec<u8>,
    bs: usize,
    iodepth: usize,
    /// Index of the next call to send, and when each was sent, if it is in flight.
    next: usize,
    sent: Vec<Option<Instant>>,
    /// Replies are received here and overwritten by the next ones.
    received: Vec<u8>,
    replies: Replies,
    latency: Histogram,
}

impl Replay {
    pub(crate) fn encode(args: &Args, OpenFile { gfid, fd }: OpenFile) -> Self {
        let (recv_buffer, args) = (args.recv_buffer, &args.common);
        let count = if args.rw.random {
            CALLS_MAX
        } else {
            args.blocks().min(CALLS_MAX).max(args.iodepth as u64)
        };
        let (procedure, stamps) = if args.rw.write { (13, 3) } else { (12, 0) };
        let payload = if args.rw.write { args.bs as usize } else { 0 };
        let mut offsets = Offsets::new(args);
        let call = Call::to_brick(0, fop(procedure), stamps).raw(&gfid).u64(fd);
        let mut call = call.u64(0).u32(args.bs).u32(0).no_xdata().finish(payload);
        let mut calls = Vec::with_capacity(call.len() * count as usize);
        for xid in (XID_FIRST..).take(count as usize) {
            call[XID_AT..XID_AT + 4].copy_from_slice(&xid.to_be_bytes());
            call[OFFSET_AT..OFFSET_AT + 8].copy_from_slice(&offsets.take().to_be_bytes());
            calls.extend_from_slice(&call);
        }
        let owed = if args.rw.write { 0 } else { args.iodepth * args.bs as usize };
        Self {
            calls,
            stride: call.len(),
            payload: data(payload * args.iodepth),
            bs: args.bs as usize,
            iodepth: args.iodepth,
            next: 0,
            sent: vec![None; count as usize],
            received: vec![1; recv_buffer.unwrap_or(owed.clamp(RECV_MIN, RECV_MAX))],
            replies: Replies::new(),
            latency: Histogram::default(),
        }
    }

    /// Keeps `iodepth` calls in flight until the end, then waits for the last reply.
    pub(crate) fn run(&mut self, brick: &mut TcpStream, end: End) -> Result<(), Failure> {
        let lost = |e| format!("brick: {}", said(&e));
        let begun = Instant::now();
        self.send(brick, self.iodepth, begun).map_err(lost)?;
        let mut in_flight = self.iodepth;
        let mut sent = self.iodepth as u64;
        while in_flight > 0 {
            let n = match brick.read(&mut self.received) {
                Ok(0) => return Err("brick: closed the connection".into()),
                Ok(n) => n,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return Err(lost(e)),
            };
            let now = Instant::now();
            let mut done = 0;
            let mut bytes = &self.received[..n];
            while let Some(head) = self.replies.next(&mut bytes)? {
                let Some(xid) = head.xid_of(self.bs)? else { continue };
                let call =
                    self.sent.get_mut(xid.wrapping_sub(XID_FIRST) as usize).and_then(Option::take);
                let sent = call
                    .ok_or_else(|| format!("brick: reply to xid {xid}, which is not in flight"))?;
                self.latency.add(now - sent);
                done += 1;
            }
            in_flight -= done;
            if done > 0 && end.goes_on(begun, now, sent) {
                self.send(brick, done, now).map_err(lost)?;
                in_flight += done;
                sent += done as u64;
            }
        }
        Ok(())
    }

    pub(crate) fn latency(&self) -> &Histogram {
        &self.latency
    }

    /// Sends the next `n` calls, in one write unless there are very many.
    fn send(&mut self, brick: &mut TcpStream, mut n: usize, now: Instant) -> std::io::Result<()> {
        while n > 0 {
            let mut parts = [IoSlice::new(&[]); PARTS_MAX];
            let mut used = 0;
            let batch = if self.payload.is_empty() {
                // Headers are contiguous: one part, up to the end of the ring.
                n.min(self.sent.len() - self.next)
            } else {
                n.min(PARTS_MAX / 2).min(self.sent.len() - self.next)
            };
            let headers = &self.calls[self.next * self.stride..(self.next + batch) * self.stride];
            if self.payload.is_empty() {
                parts[0] = IoSlice::new(headers);
                used = 1;
            } else {
                for (index, header) in (self.next..).zip(headers.chunks(self.stride)) {
                    let at = index % self.iodepth * self.bs;
                    parts[used] = IoSlice::new(header);
                    parts[used + 1] = IoSlice::new(&self.payload[at..at + self.bs]);
                    used += 2;
                }
            }
            write_all(brick, &mut parts[..used])?;
            self.sent[self.next..self.next + batch].fill(Some(now));
            self.next = (self.next + batch) % self.sent.len();
            n -= batch;
        }
        Ok(())
    }
}

fn write_all(brick: &mut TcpStream, mut parts: &mut [IoSlice<'_>]) -> std::io::Result<()> {
    while !parts.is_empty() {
        match brick.write_vectored(parts) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(n) => IoSlice::advance_slices(&mut parts, n),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Cuts a stream into records and keeps only their heads.
struct Replies {
    head: [u8; HEAD],
    have: usize,
    /// Bytes of the current record that are still to be skipped.
    skip: usize,
}

impl Replies {
    fn new() -> Self {
        Self { head: [0; HEAD], have: 0, skip: 0 }
    }

    /// The head of the next record whose last byte is among `bytes`, which are consumed.
    fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<Head>, Failure> {
        if self.have < HEAD {
            let n = bytes.len().min(HEAD - self.have);
            self.head[self.have..self.have + n].copy_from_slice(&bytes[..n]);
            self.have += n;
            *bytes = &bytes[n..];
            if self.have >= 4 {
                let mark = Head(self.head).word(0);
                // The reply to a refused call can be shorter than a head and would never complete.
                if mark & LAST_FRAGMENT == 0 || ((mark & !LAST_FRAGMENT) as usize) < HEAD - 4 {
                    return Err(format!("brick: record mark {mark:#x}: a call was refused"));
                }
                self.skip = (mark & !LAST_FRAGMENT) as usize + 4 - HEAD;
            }
            if self.have < HEAD {
                return Ok(None);
            }
        }
        let n = bytes.len().min(self.skip);
        self.skip -= n;
        *bytes = &bytes[n..];
        if self.skip > 0 {
            return Ok(None);
        }
        self.have = 0;
        Ok(Some(Head(self.head)))
    }
}

/// Mark, xid, REPLY, accepted, verifier (2), SUCCESS, op_ret, op_errno.
struct Head([u8; HEAD]);

impl Head {
    fn word(&self, index: usize) -> u32 {
        let at = index * 4;
        u32::from_be_bytes([self.0[at], self.0[at + 1], self.0[at + 2], self.0[at + 3]])
    }

    /// The xid of the call that this record answers in full; `None` for a callback.
    fn xid_of(&self, bs: usize) -> Result<Option<u32>, Failure> {
        if self.word(2) == 0 {
            return Ok(None);
        }
        if [self.word(3), self.word(4), self.word(5), self.word(6)] != [0; 4] {
            return Err(format!(
                "brick: call not served: status {}, {}",
                self.word(3),
                self.word(6)
            ));
        }
        match self.word(7) as i32 {
            ret if ret < 0 => {
                Err(format!("brick: {}", std::io::Error::from_raw_os_error(self.word(8) as i32)))
            }
            ret if ret as usize != bs => Err(format!(
                "brick: {ret} bytes instead of {bs} (the file is smaller than --size: run --fill)"
            )),
            _ => Ok(Some(self.word(1))),
        }
    }
}

const HEAD: usize = 36;
/// Offsets of the xid and of the file offset in a READ or WRITE call (spec 01-wire, 9).
const XID_AT: usize = 4;
const OFFSET_AT: usize = 0x6c;
const XID_FIRST: u32 = 1000;
/// Enough calls to spread 4 KiB blocks over 256 MiB.
const CALLS_MAX: u64 = 1 << 16;
const PARTS_MAX: usize = 128;
const RECV_MIN: usize = 64 << 10;
const RECV_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(xid: u32, body: usize) -> Vec<u8> {
        let words = [LAST_FRAGMENT | (HEAD - 4 + body) as u32, xid, 1, 0, 0, 0, 0, 512, 0];
        let mut record: Vec<u8> = words.into_iter().flat_map(u32::to_be_bytes).collect();
        record.resize(HEAD + body, 0xab);
        record
    }

    #[test]
    fn records_are_counted_however_they_are_cut() {
        let stream: Vec<u8> = (0..5).flat_map(|xid| reply(xid, xid as usize * 100)).collect();
        for piece in [1, 3, 35, 36, 37, 100, stream.len()] {
            let mut replies = Replies::new();
            let mut xids = Vec::new();
            for mut bytes in stream.chunks(piece) {
                while let Some(head) = replies.next(&mut bytes).unwrap() {
                    xids.extend(head.xid_of(512).unwrap());
                }
            }
            assert_eq!(xids, [0, 1, 2, 3, 4], "pieces of {piece}");
        }
    }

    #[test]
    fn a_refused_call_is_an_error_and_no_wait() {
        let mut record = reply(0, 0);
        record[..4].copy_from_slice(&(LAST_FRAGMENT | 24).to_be_bytes());
        assert!(Replies::new().next(&mut &record[..28]).is_err());
    }
}
