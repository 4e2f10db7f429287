//! A fop that a thread executes: its arguments and its result.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use brickwire_core::fop::wire::{Read, Reply, Request, Write};
use brickwire_core::fop::{FopNumber, OpenFlags};
use brickwire_core::rpc::Cred;
use brickwire_core::server::{BrickIx, Call, Counts, HandleId, JobId, Payload, Target};
use brickwire_core::xdr::{Decode, Encode, Reader, Writer};

use crate::Backend;
use crate::transfers::{WriteKeys, put_reply, read_reply, write_reply};

/// Offset of a READ's data in its buffer; the reply's body ends there.
const DATA_AT: usize = 256;

/// A fop for a thread, with all that it needs.
pub(crate) struct Task {
    pub(crate) job: JobId,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) brick: BrickIx,
    pub(crate) number: FopNumber,
    /// It may block until the disk has written: see `is_long`.
    pub(crate) long: bool,
    /// Credential and arguments, encoded.
    pub(crate) text: Vec<u8>,
    pub(crate) target: Target,
    pub(crate) second: Target,
    pub(crate) opened: bool,
    pub(crate) opens: Option<HandleId>,
    pub(crate) counts: Counts,
    /// Data of a WRITE: a buffer, and the length that is used.
    pub(crate) payload: Option<(Vec<u8>, usize)>,
    /// Bytes that the answer may take; they are charged to the buffers until it is there.
    pub(crate) charge: u32,
    /// Buffer for the reply to a READ or WRITE on an open file.
    pub(crate) room: Option<Vec<u8>>,
}

/// Result of a fop.
pub(crate) struct Done {
    pub(crate) job: JobId,
    pub(crate) failed: bool,
    /// Bytes that hold the reply's body, which is at `at` and `len` bytes long.
    pub(crate) body: Vec<u8>,
    pub(crate) at: usize,
    pub(crate) len: usize,
    /// `body` is a buffer of the pool.
    pub(crate) pooled: bool,
    pub(crate) payload: Option<Vec<u8>>,
    pub(crate) charge: u32,
    pub(crate) text: Vec<u8>,
}

impl Task {
    /// Makes a task of a call, which is encoded into `text`.
    pub(crate) fn new(
        job: JobId,
        backend: Arc<dyn Backend>,
        call: &Call<'_>,
        mut text: Vec<u8>,
        payload: Option<(Vec<u8>, usize)>,
        room: Option<Vec<u8>>,
    ) -> Self {
        let len = call.cred.encoded_len() + call.request.encoded_len();
        text.resize(len, 0);
        let mut w = Writer::new(&mut text);
        // The room is of the length that was measured.
        let _ = call.cred.encode(&mut w).and_then(|()| call.request.encode(&mut w));
        let Call { brick, target, second, opened, opens, counts, .. } = *call;
        let number = call.request.number();
        let (charge, long) = (0, is_long(&call.request));
        Self {
            job,
            backend,
            brick,
            number,
            long,
            text,
            target,
            second,
            opened,
            opens,
            counts,
            payload,
            charge,
            room,
        }
    }

    pub(crate) fn run(mut self) -> Done {
        let mut room = self.room.take();
        let mut body = Vec::new();
        // A panic in a brick fails this call only.
        let caught = catch_unwind(AssertUnwindSafe(|| match &mut room {
            Some(room) => self.transfer(room),
            None => {
                let failed = self.execute(&mut body);
                (failed, 0, body.len())
            }
        }));
        let (failed, at, len) = caught.unwrap_or_else(|_| match &mut room {
            Some(room) => (true, 0, put_reply(room, self.number, &Reply::plain(-1, 5))),
            None => {
                body.clear();
                let failed = refuse(self.number, 5, &mut body);
                (failed, 0, body.len())
            }
        });
        let pooled = room.is_some();
        let body = room.unwrap_or(body);
        let payload = self.payload.take().map(|(bytes, _)| bytes);
        Done {
            job: self.job,
            failed,
            body,
            at,
            len,
            pooled,
            payload,
            charge: self.charge,
            text: self.text,
        }
    }

    fn execute(&self, body: &mut Vec<u8>) -> bool {
        let mut r = Reader::new(&self.text);
        let decoded =
            Cred::decode(&mut r).and_then(|cred| Ok((cred, Request::decode(self.number, &mut r)?)));
        // Cannot fail: it was encoded by `new`.
        let Ok((cred, request)) = decoded else { return refuse(self.number, 5, body) };
        let data =
            self.payload.as_ref().and_then(|(bytes, len)| bytes.get(..*len)).unwrap_or_default();
        let call = Call {
            brick: self.brick,
            cred,
            request,
            target: self.target,
            second: self.second,
            opened: self.opened,
            opens: self.opens,
            payload: Payload::Bytes(data),
            counts: self.counts,
        };
        self.backend.execute(&call, data, body)
    }

    /// Executes a READ or WRITE on an open file and encodes the reply into a buffer of the pool.
    /// Returns whether it failed, and the reply's offset and length.
    fn transfer(&self, room: &mut [u8]) -> (bool, usize, usize) {
        let mut r = Reader::new(&self.text);
        let decoded =
            Cred::decode(&mut r).and_then(|cred| Ok((cred, Request::decode(self.number, &mut r)?)));
        match (decoded, self.target) {
            (Ok((cred, Request::Read(read))), Target::Open(handle)) => {
                self.read(handle, &cred, &read, room)
            }
            (Ok((cred, Request::Write(write))), Target::Open(handle)) => {
                self.write(handle, &cred, &write, room)
            }
            // Cannot fail: it was encoded by `new`.
            _ => (true, 0, put_reply(room, self.number, &Reply::plain(-1, 5))),
        }
    }

    /// Reads to `DATA_AT` in the buffer and encodes the body in front of it.
    fn read(
        &self,
        handle: HandleId,
        cred: &Cred<'_>,
        read: &Read<'_>,
        room: &mut [u8],
    ) -> (bool, usize, usize) {
        let place = room.get_mut(DATA_AT..DATA_AT + read.size as usize).unwrap_or_default();
        let errno = match self.backend.read(handle, cred, read.offset, place, false) {
            Some(Ok(outcome)) => {
                let (at, len) = put_body(room, outcome.len as usize, &read_reply(&outcome));
                return (false, at, len);
            }
            Some(Err(errno)) => errno.to_wire(),
            None => 11,
        };
        (true, 0, put_reply(room, self.number, &Reply::plain(-1, errno)))
    }

    fn write(
        &self,
        handle: HandleId,
        cred: &Cred<'_>,
        write: &Write<'_>,
        room: &mut [u8],
    ) -> (bool, usize, usize) {
        let data =
            self.payload.as_ref().and_then(|(bytes, len)| bytes.get(..*len)).unwrap_or_default();
        let errno = match self.backend.write(handle, cred, write.offset, data, false) {
            Some(Ok(outcome)) => {
                let keys = WriteKeys::of(write, &outcome, &self.counts);
                return (false, 0, put_reply(room, self.number, &write_reply(&outcome, &keys)));
            }
            Some(Err(errno)) => errno.to_wire(),
            None => 11,
        };
        (true, 0, put_reply(room, self.number, &Reply::plain(-1, errno)))
    }
}

/// Says whether a fop may block until the disk has written. That includes every WRITE that comes
/// here (the loop executes those that the page cache takes at once) and every fop that may free
/// blocks: freeing a large fragmented image takes up to a minute.
fn is_long(request: &Request<'_>) -> bool {
    match request {
        Request::Open(open) => OpenFlags(open.flags).has(OpenFlags::TRUNCATE),
        Request::Create(create) => OpenFlags(create.flags).has(OpenFlags::TRUNCATE),
        Request::Fsync(_)
        | Request::Fsyncdir(_)
        | Request::Write(_)
        | Request::Truncate(_)
        | Request::Ftruncate(_)
        | Request::Fallocate(_)
        | Request::Discard(_)
        | Request::Zerofill(_)
        | Request::CopyFileRange(_)
        | Request::Unlink(_)
        | Request::Rename(_) => true,
        _ => false,
    }
}

/// Size of the buffer for a READ of `size` bytes.
pub(crate) fn room_for(size: u32) -> u32 {
    size.saturating_add(DATA_AT as u32)
}

/// Encodes a READ's body so that it ends at `DATA_AT`. Returns its offset, and its length together
/// with `data` bytes of data.
fn put_body(room: &mut [u8], data: usize, reply: &Reply<'_>) -> (usize, usize) {
    let mut head = [0; DATA_AT];
    let mut w = Writer::new(&mut head);
    // A body without xdata is 172 bytes long, so it fits.
    let _ = reply.encode(FopNumber::Read, &mut w);
    let len = w.position();
    let at = DATA_AT - len;
    if let (Some(place), Some(bytes)) = (room.get_mut(at..DATA_AT), head.get(..len)) {
        place.copy_from_slice(bytes);
    }
    (at, len + data)
}

fn refuse(number: FopNumber, errno: i32, body: &mut Vec<u8>) -> bool {
    let mut room = [0; 1024];
    let mut w = Writer::new(&mut room);
    let _ = Reply::plain(-1, errno).encode(number, &mut w);
    let len = w.position();
    body.extend_from_slice(room.get(..len).unwrap_or_default());
    true
}
