//! Reading and writing past the page cache, for bricks.
//!
//! A descriptor that was opened with O_DIRECT moves bytes between the disk and memory without a copy, so both must begin and end
//! where the disk can. Offsets and lengths are the client's business: what does not fit fails with EINVAL, as it does on a local disk and
//! on the real server, and is not done by way of the page cache in secret. Where the memory lies is ours: what does not
//! begin where it must goes through a buffer that does, which each thread keeps for the next time.

use std::cell::RefCell;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, StatxFlags};
use rustix::io::{Errno, ReadWriteFlags};

/// O_DIRECT, on the wire and in the flags of a READ or WRITE.
pub const O_DIRECT: u32 = 0o40_000;

/// Where memory may begin if the system does not say more.
const PAGE: usize = 4096;
/// Bytes of the buffer that a thread keeps, at least and at most: what is longer goes in pieces.
const KEPT_MIN: usize = 64 << 10;
const KEPT_MAX: usize = 1 << 20;

/// What a file that is open for direct I/O asks of memory and lengths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Direct {
    memory: usize,
    /// Of the lengths of writes; 1 if that is not known: the system will say.
    length: usize,
}

impl Direct {
    /// Of a descriptor that was opened with O_DIRECT.
    pub fn of(fd: impl AsFd) -> Self {
        let stat = rustix::fs::statx(fd, "", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN);
        match stat.map(|stat| (stat.stx_mask, stat.stx_dio_mem_align, stat.stx_dio_offset_align)) {
            Ok((mask, memory, length)) if mask & StatxFlags::DIOALIGN.bits() != 0 => {
                // Zeroes: such a file takes anything, through the page cache.
                Self { memory: (memory as usize).max(1), length: (length as usize).max(1) }
            }
            // A kernel or a file system that does not tell.
            _ => Self { memory: PAGE, length: 1 },
        }
    }

    /// Reads until the room is full or the file ends.
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
                    // A file's odd end: nothing could be read from there.
                    if read == 0 || (read < asked && read % 512 != 0) {
                        break;
                    }
                }
            }
        }
        Ok(len)
    }

    /// Writes all of it.
    pub fn write(
        self,
        fd: impl AsFd,
        offset: u64,
        data: &[u8],
        flags: ReadWriteFlags,
    ) -> Result<(), Errno> {
        // The last piece would be refused, and the others be written.
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

    /// Does memory begin where the disk can begin?
    fn fits(self, memory: &[u8]) -> bool {
        memory.as_ptr().addr().is_multiple_of(self.memory)
    }
}

/// Does something with this thread's buffer of so many bytes, which begins with a page.
fn with_buffer<T>(len: usize, what: impl FnOnce(&mut [u8]) -> T) -> T {
    thread_local! {
        static KEPT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }
    KEPT.with_borrow_mut(|kept| {
        if kept.len() < len + PAGE {
            let size = len.next_power_of_two().max(KEPT_MIN);
            // The old one first: it is not needed beside the new one.
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
    fn a_threads_buffer_begins_with_a_page_and_is_kept() {
        let first = with_buffer(100, |buffer| (buffer.as_ptr().addr(), buffer.len()));
        assert_eq!((first.0 % PAGE, first.1), (0, 100));
        assert_eq!(with_buffer(KEPT_MIN, |buffer| buffer.as_ptr().addr()), first.0, "the same");
        let long = with_buffer(KEPT_MAX, |buffer| (buffer.as_ptr().addr() % PAGE, buffer.len()));
        assert_eq!(long, (0, KEPT_MAX));
    }
}
