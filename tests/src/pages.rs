//! Counts the pages of a file in the page cache.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::Path;

/// Numbers of pages of a file.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pages {
    /// In the page cache.
    pub cached: u64,
    /// Of these, dirty.
    pub dirty: u64,
    /// Of these, under writeback.
    pub writeback: u64,
    evicted: u64,
    recently_evicted: u64,
}

/// A byte range, as cachestat(2) takes it; a length of 0 means to the end of the file.
#[repr(C)]
struct Range {
    offset: u64,
    len: u64,
}

/// The number of cachestat(2), which is the same on all architectures.
const CACHESTAT: libc::c_long = 451;

/// Asks the kernel. `None` before Linux 6.5, which has no cachestat(2).
pub fn pages(path: impl AsRef<Path>) -> Option<Pages> {
    let file = File::open(path).expect("a file");
    let (range, mut pages) = (Range { offset: 0, len: 0 }, Pages::default());
    // SAFETY: the call reads a range and writes five words, as the two types are laid out; both
    // live until it returns.
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
