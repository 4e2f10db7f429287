//! Direct I/O for bricks: reads and writes that bypass the page cache.
//!
//! A descriptor opened with O_DIRECT transfers between disk and memory without a copy, so offset,
//! length and memory address must be aligned. Offset and length are the client's responsibility: a
//! misaligned one is EINVAL, as on a local disk and on glusterfsd, and is never silently served by
//! the page cache. The address is the server's: misaligned memory is exchanged for an aligned
//! buffer that each thread keeps.

use std::cell::RefCell;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, StatxFlags};
use rustix::io::{Errno, ReadWriteFlags};

/// O_DIRECT on the wire: in open flags and in the flags of a READ or WRITE.
pub const O_DIRECT: u32 = 0o40_000;

/// Memory alignment in bytes if the system does not report one.
const PAGE: usize = 4096;
/// Least and greatest size in bytes of a thread's buffer; longer transfers are split.
const KEPT_MIN: usize = 64 << 10;
const KEPT_MAX: usize = 1 << 20;

/// Alignment that direct I/O on a file needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Direct {
    memory: usize,
    /// Alignment of write lengths; 1 if it is unknown: then the write itself fails with EINVAL.
    length: usize,
}

impl Direct {
    /// Asks the system for the alignment of a descriptor that was opened with O_DIRECT.
    pub fn of(fd: impl AsFd) -> Self {
        let stat = rustix::fs::statx(fd, "", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN);
        match stat.map(|stat| (stat.stx_mask, stat.stx_dio_mem_align, stat.stx_dio_offset_align)) {
            Ok((mask, memory, length)) if mask & StatxFlags::DIOALIGN.bits() != 0 => {
                // Zero means that direct I/O is not supported: the file system uses its page cache,
                // which takes any alignment.
                Self { memory: (memory as usize).max(1), length: (length as usize).max(1) }
            }
            // The kernel (before 6.1) or the file system does not report it.
            _ => Self { memory: PAGE, length: 1 },
        }
    }

    /// Reads until `room` is full or the file ends; returns the number of bytes.
    pub fn read(self, fd: impl AsFd, offset: u64, room: &mut [u8]) -> Result<usize, Errno> {
        let mut len = 0;
        while len < room.len() {
            let rest = &mut room[len..];
            let at = offset.saturating_add(len as u64);
            let (read, asked) = if self.fits(rest) {
                let mut piece = [IoSliceMut::new(rest)];
                (rustix::io::preadv(&fd, &mut piece, at), rest.len())
            } else {
                let asked = rest.len().min(KEPT_MAX);
                let read = with_buffer(asked, |buffer| {
                    let read = rustix::io::preadv(&fd, &mut [IoSliceMut::new(buffer)], at)?;
                    rest[..read].copy_from_slice(&buffer[..read]);
                    Ok(read)
                });
                (read, asked)
            };
            match read {
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
                Ok(read) => {
                    len += read;
                    // A read that ends off a sector is at the end of the file; no read can start
                    // from there.
                    if read == 0 || (read < asked && read % 512 != 0) {
                        break;
                    }
                }
            }
        }
        Ok(len)
    }

    /// Writes all of `data`. EINVAL if its length is misaligned.
    pub fn write(
        self,
        fd: impl AsFd,
        offset: u64,
        data: &[u8],
        flags: ReadWriteFlags,
    ) -> Result<(), Errno> {
        // A long write is split. Without this check, a misaligned length would be refused only
        // after earlier pieces are written.
        if data.len() > KEPT_MAX && !data.len().is_multiple_of(self.length) {
            return Err(Errno::INVAL);
        }
        let mut done = 0;
        while done < data.len() {
            let rest = &data[done..];
            let at = offset.saturating_add(done as u64);
            let written = if self.fits(rest) {
                rustix::io::pwritev2(&fd, &[IoSlice::new(rest)], at, flags)
            } else {
                let rest = &rest[..rest.len().min(KEPT_MAX)];
                with_buffer(rest.len(), |buffer| {
                    buffer.copy_from_slice(rest);
                    rustix::io::pwritev2(&fd, &[IoSlice::new(buffer)], at, flags)
                })
            };
            match written {
                Ok(0) => return Err(Errno::NOSPC),
                Ok(written) => done += written,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Says whether the memory is aligned for the disk.
    fn fits(self, memory: &[u8]) -> bool {
        memory.as_ptr().addr().is_multiple_of(self.memory)
    }
}

/// Calls `what` with this thread's page-aligned buffer, cut to `len` bytes.
fn with_buffer<T>(len: usize, what: impl FnOnce(&mut [u8]) -> T) -> T {
    thread_local! {
        static KEPT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }
    KEPT.with_borrow_mut(|kept| {
        if kept.len() < len + PAGE {
            let size = len.next_power_of_two().max(KEPT_MIN);
            // The old buffer is freed before the new one is allocated.
            *kept = Vec::new();
            *kept = vec![0; size + PAGE];
        }
        let address = kept.as_ptr().addr();
        let from = address.next_multiple_of(PAGE) - address;
        what(&mut kept[from..from + len])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threads_buffer_is_page_aligned_and_kept() {
        let first = with_buffer(100, |buffer| (buffer.as_ptr().addr(), buffer.len()));
        assert_eq!((first.0 % PAGE, first.1), (0, 100));
        assert_eq!(with_buffer(KEPT_MIN, |buffer| buffer.as_ptr().addr()), first.0, "the same");
        let long = with_buffer(KEPT_MAX, |buffer| (buffer.as_ptr().addr() % PAGE, buffer.len()));
        assert_eq!(long, (0, KEPT_MAX));
    }
}
