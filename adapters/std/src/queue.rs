//! Many operations in flight from one thread, without an allocation for each.

use brickwire_core::volume::Op;

use crate::engine::{Lent, QueueId, Target, Waits};
use crate::{Error, File, Result};

/// A queue of operations on one file. It owns the buffers of operations in flight and returns each
/// with its completion.
///
/// ```no_run
/// # fn copy(file: &brickwire_std::File) -> brickwire_std::Result<()> {
/// let mut queue = file.queue(32);
/// for n in 0..32_u64 {
///     queue.read(n, vec![0; 4096], n * 4096)?;
/// }
/// while let Some(done) = queue.wait()? {
///     println!("block {}: {} bytes", done.token, done.result?);
/// }
/// # Ok(()) }
/// ```
pub struct Queue<'f> {
    file: &'f File,
    id: QueueId,
    depth: usize,
    in_flight: usize,
}

impl std::fmt::Debug for Queue<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue")
            .field("depth", &self.depth)
            .field("in_flight", &self.in_flight)
            .finish_non_exhaustive()
    }
}

/// A completed operation of a queue.
#[derive(Debug)]
pub struct Completion {
    /// The token that the caller passed with the operation.
    pub token: u64,
    /// The operation's buffer.
    pub buffer: Vec<u8>,
    /// Bytes read or written, or the error.
    pub result: Result<usize>,
}

impl<'f> Queue<'f> {
    pub(crate) fn new(file: &'f File, depth: usize) -> Self {
        let id = file.shared.engine.with(|state| state.new_queue(depth));
        Self { file, id, depth, in_flight: 0 }
    }

    /// Operations in flight.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Number of operations that can be added.
    pub fn room(&self) -> usize {
        self.depth - self.in_flight
    }

    fn submit(&mut self, op: Op<'_>, token: u64, lent: Lent, buffer: Vec<u8>) -> Result<()> {
        if self.in_flight == self.depth {
            let text = format!("the queue's {} places are taken: wait for one", self.depth);
            return Err(Error::new(crate::ErrorKind::Invalid, text));
        }
        let target = Target::Queue { queue: self.id, token, buffer };
        self.file.shared.engine.submit_lazily(op, lent, target)?;
        self.in_flight += 1;
        Ok(())
    }

    /// Reads `buffer.len()` bytes at `offset`. Fails with
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if the queue is full.
    pub fn read(&mut self, token: u64, mut buffer: Vec<u8>, offset: u64) -> Result<()> {
        let len = length(&buffer)?;
        let lent = Lent::writable(&mut buffer);
        self.submit(Op::Read { file: self.file.id, offset, len, fill: false }, token, lent, buffer)
    }

    /// Writes all of `buffer` at `offset`.
    pub fn write(&mut self, token: u64, buffer: Vec<u8>, offset: u64) -> Result<()> {
        let len = length(&buffer)?;
        let lent = Lent::readable(&buffer);
        self.submit(Op::Write { file: self.file.id, offset, len }, token, lent, buffer)
    }

    /// Makes earlier completed writes durable (fsync).
    pub fn flush(&mut self, token: u64) -> Result<()> {
        self.submit(
            Op::Flush { file: self.file.id, data_only: false },
            token,
            Lent::NONE,
            Vec::new(),
        )
    }

    /// Frees a range, which then reads as zeroes.
    pub fn discard(&mut self, token: u64, offset: u64, len: u64) -> Result<()> {
        self.submit(Op::Discard { file: self.file.id, offset, len }, token, Lent::NONE, Vec::new())
    }

    /// Makes a range read as zeroes.
    pub fn write_zeroes(&mut self, token: u64, offset: u64, len: u64) -> Result<()> {
        self.submit(
            Op::WriteZeroes { file: self.file.id, offset, len },
            token,
            Lent::NONE,
            Vec::new(),
        )
    }

    /// Sends the submitted operations. Without this they are sent when there are 16 of them, or
    /// when [`Queue::wait`] has no completion to return.
    pub fn send(&self) {
        self.file.shared.engine.flush();
    }

    /// Waits for the next completion; `None` if no operation is in flight.
    pub fn wait(&mut self) -> Result<Option<Completion>> {
        if self.in_flight == 0 {
            return Ok(None);
        }
        let id = self.id;
        let engine = &self.file.shared.engine;
        // Completions that are there are returned before anything is sent, so that the operations
        // that follow from them are sent together.
        let finished = match engine.peek(|state| state.take_finished(id)) {
            Some(finished) => finished,
            None => match engine.drive(Waits::Queue(id), None, |state| state.take_finished(id))? {
                Some(finished) => finished,
                None => return Ok(None),
            },
        };
        self.in_flight -= 1;
        let result = finished.outcome.map(|(count, _)| count as usize);
        Ok(Some(Completion { token: finished.token, buffer: finished.buffer, result }))
    }
}

impl Drop for Queue<'_> {
    fn drop(&mut self) {
        if self.file.shared.engine.is_forked() {
            return;
        }
        // Operations in flight use their buffers until they are over; the results are dropped.
        while let Ok(Some(_)) = self.wait() {}
        let id = self.id;
        self.file.shared.engine.with(|state| state.drop_queue(id));
    }
}

fn length(buffer: &[u8]) -> Result<u32> {
    u32::try_from(buffer.len())
        .map_err(|_| Error::new(crate::ErrorKind::Invalid, "a buffer of more than 4 GiB"))
}
