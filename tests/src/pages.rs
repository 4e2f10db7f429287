//! What the page cache has of a file.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::Path;

/// Pages of a file.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pages {
    /// In memory.
    pub cached: u64,
    /// Of these, newer than on disk.
    pub dirty: u64,
    /// Of these, on their way to the disk.
    pub writeback: u64,
    evicted: u64,
    recently_evicted: u64,
}

/// From here to there; a length of 0 is all.
#[repr(C)]
struct Range {
    offset: u64,
    len: u64,
}

/// The system call's number, which is the same everywhere.
const CACHESTAT: libc::c_long = 451;

/// Looks. `None` on kernels before 6.5, which do not tell.
pub fn pages(path: impl AsRef<Path>) -> Option<Pages> {
    let file = File::open(path).expect("a file");
    let (range, mut pages) = (Range { offset: 0, len: 0 }, Pages::default());
    // SAFETY: the call reads a range and writes five words, as both types say; it is over before either is gone.
    let failed =
        unsafe { libc::syscall(CACHESTAT, file.as_raw_fd(), &raw const range, &raw mut pages, 0) };
    if failed == 0 {
        return Some(pages);
    }
    let error = io::Error::last_os_error();
    assert_eq!(error.raw_os_error(), Some(libc::ENOSYS), "cachestat: {error}");
    println!("skipped: the kernel does not tell what it has in memory");
    None
}
