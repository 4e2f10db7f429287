//! A WRITE whose payload is longer than one buffer, and calls that are too long to be gathered.
//!
//! Login, read-only and the open file are checked once, when the head of a long WRITE is complete.
//! Then its payload is received one part at a time, and the storage executes each part as a WRITE
//! of its own, in order. The reply follows the last part; its attributes before the write are those
//! of the first part. The first part that fails ends the call with its errno, after the rest of the
//! payload has been received and dropped. If the client disconnects, the complete parts stay
//! written: the call was not acknowledged, and clients must expect any part of it on disk.
//!
//! ```text
//! head ──▶ (buffer ──▶ payload ──▶ storage)* ──▶ reply
//!   └── refused ──▶ the rest is dropped ──▶ errno
//! ```

use super::connections::Connection;
use super::fops::locks::errno_of;
use super::fops::shard_size::SizeUse;
use super::jobs::{Head, Long};
use super::send::{HEADER, begin_head, mark};
use super::state::{Handled, Host, State};
use super::storage::{Call, Completion, Counts, Payload, Place, Storage, Submitted, Target};
use super::wait_queues::WaitQueue;
use super::{BrickIx, Exports, JobId};
use crate::fop::FopNumber;
use crate::fop::wire::{Body, Reply, Request, Write};
use crate::id::ConnId;
use crate::rpc::{CallHeader, PeerError, ReplyStatus};
use crate::xdr::{Decode, Encode, Errno, Gfid, Iatt, Reader, Writer};

/// A WRITE that is received and executed in parts. While it lasts, no other call is read on the
/// connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct LongWrite {
    job: JobId,
    brick: BrickIx,
    target: Target,
    opened: bool,
    counts: Counts,
    /// Bytes of the payload, and bytes that the storage has written.
    len: u32,
    done: u32,
    /// Bytes of the part that the storage works on.
    part: u32,
    /// Attributes before the first part was written.
    before: Option<Iatt>,
    /// The storage works on a part.
    pub(super) pending: bool,
    /// The storage has completed a pending last part: its reply is queued.
    pub(super) answered: bool,
}

/// A call that is answered with an error when the rest of its record is dropped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refused {
    job: JobId,
    /// The fop and its errno; `None` if its arguments cannot be decoded.
    answer: Option<(FopNumber, Errno)>,
}

impl Connection {
    /// The long WRITE has failed: the rest of its payload is dropped.
    fn refuse(&mut self, job: JobId, number: FopNumber, errno: Errno) {
        self.long_write = None;
        self.intake.drop_rest();
        self.refused = Some(Refused { job, answer: Some((number, errno)) });
    }

    /// The call whose record is not complete, if the storage does not work on it: the caller must
    /// end it when the connection ends.
    pub(super) fn begun_call(&mut self) -> Option<JobId> {
        let write = self.long_write.take().filter(|write| !write.pending && !write.answered);
        let refused = self.refused.take();
        write.map(|write| write.job).or(refused.map(|refused| refused.job))
    }
}

impl State<'_> {
    /// The head of a WRITE is gathered; `len` bytes of payload follow.
    pub(super) fn begin_long_write(
        &mut self,
        conn: ConnId,
        record: &[u8],
        len: u32,
    ) -> Result<Handled, PeerError> {
        let mut r = Reader::new(record);
        let header = CallHeader::decode(&mut r)?;
        // Its parts are calls of their own, so the order is kept here.
        let size_uses = self.connections.get(conn).map(|connection| connection.size_uses);
        if size_uses.is_some_and(|uses| uses.defer(SizeUse::Follows)) {
            return Ok(Handled::NotNow { wants: None });
        }
        let id = match self.begin(conn, header.xid) {
            Ok(id) => id,
            Err(handled) => return Ok(handled),
        };
        let Some(login) = self.connections.get(conn).and_then(|connection| connection.login) else {
            return Ok(self.drop_rest(conn, Refused { job: id, answer: None }));
        };
        let Ok(request) = Request::decode(FopNumber::Write, &mut r) else {
            return Ok(self.drop_rest(conn, Refused { job: id, answer: None }));
        };
        self.count_fop(id, login.brick, FopNumber::Write, len);
        // Blocks are few, and the head is needed until the last part. Clients' heads fit inline.
        if self.connections.get(conn).is_some_and(|connection| connection.intake.has_block()) {
            let answer = Some((FopNumber::Write, Errno::E2BIG));
            return Ok(self.drop_rest(conn, Refused { job: id, answer }));
        }
        match self.prepare_write(conn, id, login, request, len) {
            Ok((target, opened, counts)) => {
                if let Some(job) = self.jobs.get_mut(id) {
                    job.long = Long::Write;
                }
                let write = LongWrite {
                    job: id,
                    brick: login.brick,
                    target,
                    opened,
                    counts,
                    len,
                    done: 0,
                    part: 0,
                    before: None,
                    pending: false,
                    answered: false,
                };
                if let Some(connection) = self.connections.get_mut(conn) {
                    connection.long_write = Some(write);
                    connection.intake.part_by_part();
                }
                Ok(Handled::Part)
            }
            Err(errno) => {
                let answer = Some((FopNumber::Write, errno));
                Ok(self.drop_rest(conn, Refused { job: id, answer }))
            }
        }
    }

    /// Refuses a call whose record is longer than the memory for it. Only its head is gathered.
    pub(super) fn refuse_long_call(
        &mut self,
        conn: ConnId,
        head: &[u8],
    ) -> Result<Handled, PeerError> {
        let header = CallHeader::decode(&mut Reader::new(head))?;
        let id = match self.begin(conn, header.xid) {
            Ok(id) => id,
            Err(handled) => return Ok(handled),
        };
        let number = FopNumber::from_u32(header.procedure.number);
        let answer = number.map(|number| (number, Errno::E2BIG));
        Ok(self.drop_rest(conn, Refused { job: id, answer }))
    }

    /// Answers a refused call when the rest of its record has arrived.
    fn drop_rest(&mut self, conn: ConnId, refused: Refused) -> Handled {
        if let Some(connection) = self.connections.get_mut(conn) {
            connection.refused = Some(refused);
            connection.intake.drop_rest();
        }
        Handled::Part
    }

    /// The rest of a refused call is dropped: answers it.
    pub(super) fn answer_refused<E: Exports, S: Storage>(
        &mut self,
        conn: ConnId,
        host: &mut Host<'_, E, S>,
    ) -> Handled {
        let Some(connection) = self.connections.get(conn) else { return Handled::Done };
        let Some(refused) = connection.refused else { return Handled::Done };
        if self.heads.room(conn, &connection.ring).is_none() {
            return Handled::NotNow { wants: None };
        }
        let Refused { job, answer } = refused;
        self.answered(job, true, host.storage);
        match answer {
            Some((number, errno)) => {
                let reply = Reply::plain(-1, errno.to_wire());
                self.in_ring(job, |w| reply.encode(number, w).is_ok());
            }
            None => self.ready_short(job, ReplyStatus::GarbageArgs, None, self.now),
        }
        Handled::Done
    }

    /// A part of the payload is complete: submits it. `record` is the call's head.
    pub(super) fn write_part<E: Exports, S: Storage>(
        &mut self,
        conn: ConnId,
        record: &[u8],
        part: Place,
        host: &mut Host<'_, E, S>,
    ) -> Result<Handled, PeerError> {
        let mut r = Reader::new(record);
        let header = CallHeader::decode(&mut r)?;
        let login = self.connections.get(conn).and_then(|connection| connection.login);
        let root = login.map_or(Gfid::ROOT, |login| login.root);
        // Decoded before, so it decodes again.
        let request = Request::decode(FopNumber::Write, &mut r)?;
        let Request::Write(request) = request.with_root(root) else {
            return Ok(Handled::Part);
        };
        let Some(connection) = self.connections.get_mut(conn) else { return Ok(Handled::Done) };
        let Some(write) = &mut connection.long_write else { return Ok(Handled::Done) };
        let Some((at, room)) = self.heads.room(conn, &connection.ring) else {
            return Ok(Handled::NotNow { wants: None });
        };
        let LongWrite { job: id, brick, target, opened, counts, done, .. } = *write;
        let offset = request.offset.wrapping_add(done.into());
        let call = Call {
            brick,
            cred: header.cred,
            request: Request::Write(Write { offset, size: part.len, ..request }),
            target,
            second: Target::Gfid,
            // Access to the inode was checked with the first part.
            opened: opened || done > 0,
            opens: None,
            payload: Payload::Buffer(part),
            counts,
        };
        let (head, body) = room.split_at_mut((HEADER as usize).min(room.len()));
        begin_head(&mut Writer::new(head), header.xid, ReplyStatus::Success);
        let mut w = Writer::new(body);
        let submitted = host.storage.submit(id, &call, &mut w);
        let body_len = w.position();
        match submitted {
            Submitted::Busy => Ok(Handled::NotNow { wants: Some(WaitQueue::Storage) }),
            Submitted::Pending => {
                connection.intake.forget_payload();
                (write.part, write.pending) = (part.len, true);
                // The connection is read again when the part is written.
                Ok(Handled::NotNow { wants: None })
            }
            Submitted::Done { failed, data } => {
                connection.intake.forget_payload();
                // A WRITE's reply is short; if the storage put it into a buffer, copy it.
                let body_len = match data {
                    Some(data) => {
                        let (begin, n) = (data.at as usize, (data.len as usize).min(body.len()));
                        let bytes = host.storage.bytes_mut(data.buffer).get(begin..begin + n);
                        if let (Some(to), Some(bytes)) = (body.get_mut(..n), bytes) {
                            to.copy_from_slice(bytes);
                        }
                        host.storage.release(data.buffer);
                        n
                    }
                    None => body_len,
                };
                let reply = body.get_mut(..body_len).unwrap_or_default();
                let len = HEADER + body_len as u32;
                write.part = part.len;
                match write.add_part(failed, reply) {
                    Step::Next => Ok(Handled::Part),
                    Step::Failed(errno) => {
                        connection.refuse(id, FopNumber::Write, errno);
                        Ok(Handled::Part)
                    }
                    Step::Last => {
                        mark(room, len);
                        self.answered(id, false, host.storage);
                        self.ready(id, Head::Ring { at, len }, None, self.now);
                        Ok(Handled::Done)
                    }
                }
            }
        }
    }

    /// The storage has completed a pending part.
    pub(super) fn part_completed(
        &mut self,
        id: JobId,
        conn: ConnId,
        completion: Completion,
        storage: &mut impl Storage,
    ) {
        let Place { buffer, at, len } = completion.body;
        let Some(connection) = self.connections.get_mut(conn) else { return };
        let Some(write) = &mut connection.long_write else { return storage.release(buffer) };
        write.pending = false;
        let bytes = storage.bytes_mut(buffer).get_mut(at as usize..(at + len) as usize);
        match write.add_part(completion.failed, bytes.unwrap_or_default()) {
            Step::Next => storage.release(buffer),
            Step::Failed(errno) => {
                connection.refuse(id, FopNumber::Write, errno);
                storage.release(buffer);
            }
            Step::Last => {
                write.answered = true;
                self.answered(id, false, storage);
                self.ready_short(id, ReplyStatus::Success, Some(completion.body), self.now);
            }
        }
        self.connections.wake_own(conn);
    }
}

/// Next step after the answer about a part.
enum Step {
    Next,
    /// It was the last part; the body now describes the whole WRITE.
    Last,
    Failed(Errno),
}

impl LongWrite {
    /// A part was answered with `body`.
    fn add_part(&mut self, failed: bool, body: &mut [u8]) -> Step {
        if failed {
            return Step::Failed(errno_of(body, 0));
        }
        let Ok(Reply { op_ret, body: Body::TwoIatts { before, .. }, .. }) =
            Reply::decode(FopNumber::Write, &mut Reader::new(body))
        else {
            return Step::Failed(Errno::EIO);
        };
        // The next part would leave a hole behind one that was not written completely.
        if u32::try_from(op_ret).is_ok_and(|n| n < self.part) {
            return Step::Failed(Errno::ENOSPC);
        }
        self.done += self.part;
        let before = *self.before.get_or_insert(before);
        if self.done < self.len {
            return Step::Next;
        }
        // A WRITE's reply: result, errno, xdata, attributes before and after.
        let end = body.len();
        put(body, 0, &self.len.to_be_bytes());
        let mut room = [0; Iatt::LEN];
        if before.encode(&mut Writer::new(&mut room)).is_ok() {
            put(body, end.saturating_sub(2 * Iatt::LEN), &room);
        }
        Step::Last
    }
}

fn put(body: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = body.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}
