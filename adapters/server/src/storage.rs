//! The core's `Storage` on a host: fops that do not block are executed at once, all others by the
//! pool of threads.

use std::collections::BTreeMap;
use std::sync::Arc;

use brickwire_core::fop::wire::{Reply, Request};
use brickwire_core::server::{
    BrickIx, BufferId, Call, Completion, Finished, HandleId, JobId, Payload, Place, Storage,
    Submitted, Target, answer,
};
use brickwire_core::xdr::Writer;
use brickwire_std::net::Waker;

use crate::Backend;
use crate::buffers::Buffers;
use crate::pool::Pool;
use crate::stats::Stats;
use crate::task::{Done, Task, room_for};
use crate::transfers::{WRITE_ROOM, WriteKeys, is_synchronous, read_reply, write_reply};

/// Vectors for encoded calls that are kept for re-use.
const TEXTS_MAX: usize = 256;

/// All bricks of a server.
pub(crate) struct BrickStorage {
    bricks: BTreeMap<BrickIx, Arc<dyn Backend>>,
    pub(crate) buffers: Buffers,
    pub(crate) stats: Stats,
    pool: Pool,
    texts: Vec<Vec<u8>>,
    done: Vec<Done>,
}

impl BrickStorage {
    pub(crate) fn new(threads: usize, waker: Waker) -> Self {
        Self {
            bricks: BTreeMap::new(),
            buffers: Buffers::new(256 << 20, 16 << 20),
            stats: Stats::default(),
            pool: Pool::new(threads, waker),
            texts: Vec::new(),
            done: Vec::new(),
        }
    }

    pub(crate) fn set_brick(&mut self, at: BrickIx, backend: Option<Arc<dyn Backend>>) {
        self.stats.serves(at, backend.is_some());
        match backend {
            Some(backend) => self.bricks.insert(at, backend),
            None => self.bricks.remove(&at),
        };
    }

    /// Says whether the loop may sleep; from here on a finished fop wakes it.
    pub(crate) fn about_to_sleep(&self) -> bool {
        self.pool.about_to_sleep()
    }

    pub(crate) fn awake(&self) {
        self.pool.awake();
    }

    /// Takes the next fop that a thread has executed.
    pub(crate) fn next_done(&mut self) -> Option<(JobId, Completion)> {
        if self.done.is_empty() {
            self.pool.take_done(&mut self.done);
            // Elements are popped from the end.
            self.done.reverse();
        }
        let done = self.done.pop()?;
        self.buffers.discharge(done.charge);
        if let Some(payload) = done.payload {
            self.buffers.give(payload);
        }
        if self.texts.len() < TEXTS_MAX {
            self.texts.push(done.text);
        }
        let buffer = match done.pooled {
            true => self.buffers.lend(done.body),
            false => self.buffers.adopt(done.body),
        };
        let body = Place { buffer, at: done.at as u32, len: done.len as u32 };
        Some((done.job, Completion { failed: done.failed, body }))
    }

    /// Lets the threads finish all queued fops.
    pub(crate) fn finish(&mut self) {
        self.pool.finish();
    }

    fn backend(&self, brick: BrickIx) -> Option<&Arc<dyn Backend>> {
        self.bricks.get(&brick)
    }

    /// Executes a READ or WRITE on an open file if it does not block.
    fn at_once(
        &mut self,
        backend: &dyn Backend,
        call: &Call<'_>,
        reply: &mut Writer<'_>,
    ) -> Option<Submitted> {
        let Target::Open(handle) = call.target else { return None };
        match &call.request {
            Request::Read(read) => {
                let Some(buffer) = self.buffers.reserve(read.size) else {
                    return Some(Submitted::Busy);
                };
                let room = self.buffers.get_mut(buffer).get_mut(..read.size as usize)?;
                let Some(outcome) = backend.read(handle, &call.cred, read.offset, room, true)
                else {
                    self.buffers.release(buffer);
                    return None;
                };
                match outcome {
                    Ok(outcome) => {
                        let data = Place { buffer, at: 0, len: outcome.len };
                        Some(answer(self, call, &read_reply(&outcome), Some(data), reply))
                    }
                    Err(errno) => {
                        self.buffers.release(buffer);
                        Some(answer(self, call, &Reply::plain(-1, errno.to_wire()), None, reply))
                    }
                }
            }
            Request::Write(write) if !is_synchronous(write) => {
                let (data, buffer) = match call.payload {
                    Payload::Bytes(bytes) => (bytes, None),
                    Payload::Buffer(place) => {
                        let end = place.at as usize + place.len as usize;
                        (
                            self.buffers.get(place.buffer).get(place.at as usize..end)?,
                            Some(place.buffer),
                        )
                    }
                };
                let outcome = backend.write(handle, &call.cred, write.offset, data, true)?;
                if let Some(buffer) = buffer {
                    self.buffers.release(buffer);
                }
                Some(match outcome {
                    Ok(outcome) => {
                        let keys = WriteKeys::of(write, &outcome, &call.counts);
                        answer(self, call, &write_reply(&outcome, &keys), None, reply)
                    }
                    Err(errno) => {
                        answer(self, call, &Reply::plain(-1, errno.to_wire()), None, reply)
                    }
                })
            }
            _ => None,
        }
    }

    /// Takes the buffers for a task; `None`, and none is taken, if not all are free.
    fn task_buffers(&mut self, call: &Call<'_>) -> Option<TaskBuffers> {
        let room = match (&call.request, call.target) {
            (Request::Read(read), Target::Open(_)) => Some(self.buffers.take(room_for(read.size))?),
            (Request::Write(write), Target::Open(_)) if !is_synchronous(write) => {
                // A payload that has a buffer must not wait for another one: payloads that have all
                // buffers would wait for each other.
                Some(match call.payload {
                    Payload::Buffer(_) => self.buffers.take_beyond(WRITE_ROOM),
                    Payload::Bytes(_) => self.buffers.take(WRITE_ROOM)?,
                })
            }
            _ => None,
        };
        let charge = answer_max(&call.request, call.target);
        let payload = if self.buffers.charge(charge) {
            let payload = self.payload(call);
            if payload.is_none() {
                self.buffers.discharge(charge);
            }
            payload
        } else {
            None
        };
        match payload {
            Some(payload) => Some(TaskBuffers { room, payload, charge }),
            None => {
                if let Some(room) = room {
                    self.buffers.give(room);
                }
                None
            }
        }
    }

    /// Moves the payload of a call into a buffer that the task owns. Outer `None`: no buffer is
    /// free; inner `None`: the call has no payload.
    fn payload(&mut self, call: &Call<'_>) -> Option<Option<(Vec<u8>, usize)>> {
        if !matches!(call.request, Request::Write(_) | Request::Put(_)) {
            return Some(None);
        }
        match call.payload {
            Payload::Bytes(bytes) => {
                let mut buffer = self.buffers.take(bytes.len() as u32)?;
                buffer.get_mut(..bytes.len())?.copy_from_slice(bytes);
                Some(Some((buffer, bytes.len())))
            }
            Payload::Buffer(place) => {
                let bytes = self.buffers.unlend(place.buffer)?;
                Some(Some((bytes, place.len as usize)))
            }
        }
    }
}

/// Buffers that a task owns.
struct TaskBuffers {
    /// For the reply to a READ or WRITE on an open file.
    room: Option<Vec<u8>>,
    /// Data of a WRITE: a buffer, and the length that is used.
    payload: Option<(Vec<u8>, usize)>,
    /// Bytes charged for the answer.
    charge: u32,
}

/// Bytes that an answer may take which is not encoded into a buffer of the pool.
fn answer_max(request: &Request<'_>, target: Target) -> u32 {
    const ENTRIES_MAX: u32 = 1 << 20;
    match (request, target) {
        (Request::Read(read), Target::Gfid) => read.size,
        (Request::Readdir(read), _) => read.size.min(ENTRIES_MAX),
        (Request::Readdirp(read), _) => read.size.min(ENTRIES_MAX),
        _ => 0,
    }
}

impl Storage for BrickStorage {
    fn submit(&mut self, job: JobId, call: &Call<'_>, reply: &mut Writer<'_>) -> Submitted {
        let Some(backend) = self.backend(call.brick).map(Arc::clone) else {
            // The brick was stopped while clients were connected.
            return answer(self, call, &Reply::plain(-1, 107), None, reply);
        };
        if let Some(submitted) = self.at_once(&*backend, call, reply) {
            return submitted;
        }
        let Some(TaskBuffers { room, payload, charge }) = self.task_buffers(call) else {
            return Submitted::Busy;
        };
        let text = self.texts.pop().unwrap_or_default();
        let task = Task::new(job, backend, call, text, payload, room);
        self.pool.start(Task { charge, ..task });
        Submitted::Pending
    }

    fn close(&mut self, brick: BrickIx, handle: HandleId) {
        let Some(backend) = self.backend(brick).map(Arc::clone) else { return };
        if !backend.close(handle, true) {
            self.pool.close(backend, handle);
        }
    }

    fn reserve(&mut self, len: u32) -> Option<BufferId> {
        self.buffers.reserve(len)
    }

    fn bytes_mut(&mut self, buffer: BufferId) -> &mut [u8] {
        self.buffers.get_mut(buffer)
    }

    fn release(&mut self, buffer: BufferId) {
        self.buffers.release(buffer);
    }

    fn finished(&mut self, fop: &Finished) {
        self.stats.add(fop);
    }
}

#[cfg(test)]
mod tests {
    use brickwire_core::fop::wire::Write;
    use brickwire_core::rpc::Cred;
    use brickwire_core::server::Counts;
    use brickwire_core::xdr::{Dict, Gfid};
    use brickwire_std::net::Poller;

    use super::*;

    #[test]
    fn payloads_that_have_all_buffers_do_not_wait_for_each_other() {
        const LEN: u32 = 128 << 10;
        let poller = Poller::new().expect("a poller");
        let mut storage = BrickStorage::new(1, poller.waker());
        let payloads: Vec<BufferId> = std::iter::from_fn(|| storage.reserve(LEN)).collect();
        assert_eq!(payloads.len(), 2048, "256 MiB");
        let (gfid, fd, offset, size, flag, xdata) = (Gfid::ROOT, 0, 0, LEN, 0, Dict::Null);
        let mut call = Call {
            brick: BrickIx(0),
            cred: Cred::v3(1, 0, 0),
            request: Request::Write(Write { gfid, fd, offset, size, flag, xdata }),
            target: Target::Open(HandleId::from_wire(1 << 20).expect("a handle")),
            second: Target::Gfid,
            opened: true,
            opens: None,
            payload: Payload::Bytes(&[1]),
            counts: Counts::default(),
        };
        assert!(storage.task_buffers(&call).is_none(), "it has no buffer and can wait for some");
        let mut tasks = Vec::new();
        for buffer in payloads {
            call.payload = Payload::Buffer(Place { buffer, at: 0, len: LEN });
            tasks.push(storage.task_buffers(&call).expect("no thread would ever get a task"));
        }
        for task in tasks {
            storage.buffers.give(task.room.expect("a buffer for the reply"));
            storage.buffers.give(task.payload.expect("a payload").0);
        }
        assert_eq!(storage.buffers.bytes().0, 0);
    }
}
