//! Bytes between memory and descriptors: whole ranges, past the page cache where requested.

use std::os::fd::{AsFd, BorrowedFd};

use brickwire_core::xdr::Errno;
use brickwire_server::o_direct::Direct;
use rustix::io::{Errno as Os, ReadWriteFlags};

use super::files::{OpenFile, Work};
use super::{Result, errno};

/// Checks that a transfer lies within the possible size of a file. Offset -1 would mean the
/// descriptor's own offset.
pub(super) fn check(offset: u64, len: usize) -> Result<()> {
    let end = offset.checked_add(len as u64).and_then(|end| i64::try_from(end).ok());
    end.map(|_| ()).ok_or(Errno::EINVAL)
}

/// Reads bytes in the page cache until `room` is full or the file ends. `None` if some are not
/// cached.
pub(super) fn read_cached(file: &OpenFile, offset: u64, room: &mut [u8]) -> Option<Result<usize>> {
    if let Err(error) = check(offset, room.len()) {
        return Some(Err(error));
    }
    let mut len = 0;
    while len < room.len() {
        let at = offset.saturating_add(len as u64);
        let mut piece = [std::io::IoSliceMut::new(&mut room[len..])];
        match rustix::io::preadv2(&file.fd, &mut piece, at, ReadWriteFlags::NOWAIT) {
            Ok(0) => break,
            Ok(n) => len += n,
            Err(Os::INTR) => {}
            // Not cached, or the file system does not support RWF_NOWAIT.
            Err(Os::AGAIN | Os::OPNOTSUPP) => return None,
            Err(error) => return Some(Err(errno(error))),
        }
    }
    Some(Ok(len))
}

/// Reads until `room` is full or the file ends.
pub(super) fn read_fully(
    fd: BorrowedFd<'_>,
    direct: Option<Direct>,
    offset: u64,
    room: &mut [u8],
) -> Result<usize> {
    check(offset, room.len())?;
    if let Some(direct) = direct {
        return direct.read(fd, offset, room).map_err(errno);
    }
    let mut len = 0;
    while len < room.len() {
        match rustix::io::pread(fd, &mut room[len..], offset.saturating_add(len as u64)) {
            Ok(0) => break,
            Ok(n) => len += n,
            Err(Os::INTR) => {}
            Err(error) => return Err(errno(error)),
        }
    }
    Ok(len)
}

pub(super) fn write_fully(
    fd: BorrowedFd<'_>,
    direct: Option<Direct>,
    offset: u64,
    data: &[u8],
) -> Result<()> {
    if let Some(direct) = direct {
        return direct.write(fd, offset, data, ReadWriteFlags::empty()).map_err(errno);
    }
    let mut done = 0;
    while done < data.len() {
        match rustix::io::pwrite(fd, &data[done..], offset.saturating_add(done as u64)) {
            Ok(0) => return Err(Errno::ENOSPC),
            Ok(n) => done += n,
            Err(Os::INTR) => {}
            Err(error) => return Err(errno(error)),
        }
    }
    Ok(())
}

pub(super) fn write_zeroes(work: &Work, offset: u64, len: u64) -> Result<()> {
    static ZEROES: [u8; 64 * 1024] = [0; 64 * 1024];
    let cached = work.cached()?;
    let fd = cached.as_ref().map_or(work.as_fd(), AsFd::as_fd);
    let mut done = 0;
    while done < len {
        let n = (len - done).min(ZEROES.len() as u64);
        write_fully(fd, None, offset + done, &ZEROES[..n as usize])?;
        done += n;
    }
    Ok(())
}
