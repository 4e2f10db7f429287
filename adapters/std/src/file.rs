//! An open file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use brickwire_core::FileId;
use brickwire_core::volume::Op;
use brickwire_core::xdr::Errno;

use crate::engine::{Lent, Owned, Target};
use crate::pending::Pending;
use crate::shared::Shared;
use crate::{Error, ErrorKind, Metadata, Queue, Result};

/// Most bytes of one READ or WRITE.
const TRANSFER: usize = 1 << 20;

/// An open file. It stays open across reconnects: operations wait for a lost connection, up to
/// their timeout.
pub struct File {
    pub(crate) shared: Arc<Shared>,
    pub(crate) id: FileId,
    path: PathBuf,
    closed: bool,
}

impl std::fmt::Debug for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("File").field("path", &self.path).finish_non_exhaustive()
    }
}

impl File {
    pub(crate) fn new(shared: Arc<Shared>, id: FileId, path: &Path) -> Self {
        Self { shared, id, path: path.to_owned(), closed: false }
    }

    fn call(&self, op: Op<'_>, buffer: Lent) -> Result<(u32, Owned)> {
        self.shared.engine.call(op, buffer).map_err(|error| error.about(&self.path))
    }

    /// Reads up to 1 MiB at `offset` and returns the number of bytes. It is less than requested
    /// only at the end of the file.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let len = buffer.len().min(TRANSFER);
        let buffer = &mut buffer[..len];
        if buffer.is_empty() {
            return Ok(0);
        }
        let op = Op::Read { file: self.id, offset, len: len as u32, fill: false };
        self.call(op, Lent::writable(buffer)).map(|(count, _)| count as usize)
    }

    /// Fills `buffer` from `offset`. If the file ends before the buffer is full, the error has the
    /// kind [`ErrorKind::Invalid`].
    pub fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        let mut done = 0;
        while done < buffer.len() {
            match self.read_at(&mut buffer[done..], offset + done as u64)? {
                0 => {
                    let at = offset + done as u64;
                    return Err(Error::new(
                        ErrorKind::Invalid,
                        format!("{}: ends at byte {at}", self.path.display()),
                    ));
                }
                n => done += n,
            }
        }
        Ok(())
    }

    /// Writes up to 1 MiB of `buffer` at `offset` and returns the number of bytes.
    pub fn write_at(&self, buffer: &[u8], offset: u64) -> Result<usize> {
        let buffer = &buffer[..buffer.len().min(TRANSFER)];
        if buffer.is_empty() {
            return Ok(0);
        }
        let op = Op::Write { file: self.id, offset, len: buffer.len() as u32 };
        self.call(op, Lent::readable(buffer)).map(|(count, _)| count as usize)
    }

    /// Writes all of `buffer` at `offset`.
    pub fn write_all_at(&self, buffer: &[u8], offset: u64) -> Result<()> {
        let mut done = 0;
        while done < buffer.len() {
            done += self.write_at(&buffer[done..], offset + done as u64)?;
        }
        Ok(())
    }

    /// Makes all earlier writes durable: when it returns, they are on the bricks' stable storage.
    pub fn flush(&self) -> Result<()> {
        self.call(Op::Flush { file: self.id, data_only: false }, Lent::NONE).map(drop)
    }

    /// The same without metadata that is not needed to read the data (fdatasync).
    pub fn flush_data(&self) -> Result<()> {
        self.call(Op::Flush { file: self.id, data_only: true }, Lent::NONE).map(drop)
    }

    /// Frees a range, which then reads as zeroes. The size does not change.
    pub fn discard(&self, offset: u64, len: u64) -> Result<()> {
        self.call(Op::Discard { file: self.id, offset, len }, Lent::NONE).map(drop)
    }

    /// Makes a range read as zeroes, and extends the file if the range ends after its end.
    pub fn write_zeroes(&self, offset: u64, len: u64) -> Result<()> {
        self.call(Op::WriteZeroes { file: self.id, offset, len }, Lent::NONE).map(drop)
    }

    /// Reserves space for a range, and extends the file unless `keep_size`.
    pub fn allocate(&self, offset: u64, len: u64, keep_size: bool) -> Result<()> {
        self.call(Op::Allocate { file: self.id, offset, len, keep_size }, Lent::NONE).map(drop)
    }

    /// Sets the size in bytes.
    pub fn set_len(&self, size: u64) -> Result<()> {
        self.call(Op::Truncate { file: self.id, size }, Lent::NONE).map(drop)
    }

    /// The file's attributes.
    pub fn metadata(&self) -> Result<Metadata> {
        match self.call(Op::Fstat { file: self.id }, Lent::NONE)?.1 {
            Owned::Stat(stat) => Ok(Metadata::new(*stat)),
            _ => Err(Error::new(
                ErrorKind::System,
                format!("{}: the answer has no attributes", self.path.display()),
            )),
        }
    }

    fn seek(&self, offset: u64, hole: bool) -> Result<Option<u64>> {
        match self.call(Op::Seek { file: self.id, offset, hole }, Lent::NONE) {
            Ok((_, Owned::Offset(found))) => Ok(Some(found)),
            Ok(_) => Err(Error::new(
                ErrorKind::System,
                format!("{}: the answer has no offset", self.path.display()),
            )),
            Err(error) if error.is(Errno::ENXIO) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The offset of the first data at or after `offset`; `None` if only a hole follows.
    pub fn seek_data(&self, offset: u64) -> Result<Option<u64>> {
        self.seek(offset, false)
    }

    /// The offset of the first hole at or after `offset`, where the end of the file counts as a
    /// hole; `None` after the end.
    pub fn seek_hole(&self, offset: u64) -> Result<Option<u64>> {
        self.seek(offset, true)
    }

    /// Closes the file and returns errors of earlier writes that were not reported yet. Dropping it
    /// closes it without reporting.
    pub fn close(mut self) -> Result<()> {
        self.closed = true;
        self.call(Op::Close { file: self.id }, Lent::NONE).map(drop)
    }

    /// A queue of up to `depth` operations in flight.
    pub fn queue(&self, depth: usize) -> Queue<'_> {
        Queue::new(self, depth)
    }

    /// Reads up to 1 MiB at `offset` into `buffer`, which comes back with the number of bytes read.
    ///
    /// The request is sent at once, also if the future is never polled.
    pub fn read_async(&self, mut buffer: Vec<u8>, offset: u64) -> Pending<(Vec<u8>, usize)> {
        let len = buffer.len().min(TRANSFER);
        let lent = Lent::writable(&mut buffer[..len]);
        let op = Op::Read { file: self.id, offset, len: len as u32, fill: false };
        self.shared.begin(op, lent, buffer, |count, buffer| (buffer, count as usize))
    }

    /// Writes up to 1 MiB of `buffer` at `offset`. The buffer comes back with the number of bytes
    /// written.
    ///
    /// The request is sent at once, also if the future is never polled.
    pub fn write_async(&self, buffer: Vec<u8>, offset: u64) -> Pending<(Vec<u8>, usize)> {
        let len = buffer.len().min(TRANSFER);
        let lent = Lent::readable(&buffer[..len]);
        let op = Op::Write { file: self.id, offset, len: len as u32 };
        self.shared.begin(op, lent, buffer, |count, buffer| (buffer, count as usize))
    }

    /// Makes all earlier writes durable, as [`File::flush`].
    pub fn flush_async(&self) -> Pending<()> {
        self.shared.begin(
            Op::Flush { file: self.id, data_only: false },
            Lent::NONE,
            Vec::new(),
            |_, _| (),
        )
    }

    /// Reads up to 1 MiB at `offset`, then calls `call` with the number of bytes and the buffer.
    ///
    /// `call` runs on the thread that drives the loop at that time (a blocking caller of this
    /// volume, or its own thread), without the loop's lock: it may submit further operations. If
    /// the operation is refused, the error is returned and `call` is dropped.
    pub fn read_with(
        &self,
        mut buffer: Vec<u8>,
        offset: u64,
        call: impl FnOnce(Result<usize>, Vec<u8>) + Send + 'static,
    ) -> Result<()> {
        let len = buffer.len().min(TRANSFER);
        let lent = Lent::writable(&mut buffer[..len]);
        let op = Op::Read { file: self.id, offset, len: len as u32, fill: false };
        self.submit_with(op, lent, buffer, call)
    }

    /// Writes up to 1 MiB of `buffer` at `offset`, then calls `call` as [`File::read_with`] does.
    pub fn write_with(
        &self,
        buffer: Vec<u8>,
        offset: u64,
        call: impl FnOnce(Result<usize>, Vec<u8>) + Send + 'static,
    ) -> Result<()> {
        let len = buffer.len().min(TRANSFER);
        let lent = Lent::readable(&buffer[..len]);
        let op = Op::Write { file: self.id, offset, len: len as u32 };
        self.submit_with(op, lent, buffer, call)
    }

    fn submit_with(
        &self,
        op: Op<'_>,
        lent: Lent,
        buffer: Vec<u8>,
        call: impl FnOnce(Result<usize>, Vec<u8>) + Send + 'static,
    ) -> Result<()> {
        self.shared.drive_in_background()?;
        let call = Box::new(move |outcome: crate::engine::Outcome, buffer| {
            call(outcome.map(|(count, _)| count as usize), buffer);
        });
        self.shared.engine.submit(op, lent, Target::Callback { buffer, call })?;
        // The thread may have failed between its start and the submission, and then it has not
        // ended this operation.
        let _ = self.shared.drive_in_background();
        Ok(())
    }
}

impl Drop for File {
    fn drop(&mut self) {
        if !self.closed {
            // The close is not waited for: a brick that does not answer must not block the caller.
            self.shared.engine.forget(Op::Close { file: self.id });
        }
    }
}
