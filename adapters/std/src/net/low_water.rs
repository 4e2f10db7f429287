//! SO_RCVLOWAT, which neither socket2 nor rustix offers.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Sets the number of bytes that must have arrived before a waiting thread is woken.
#[allow(unsafe_code)]
pub(super) fn set(socket: BorrowedFd<'_>, bytes: u32) -> io::Result<()> {
    let value: libc::c_int = bytes.clamp(1, i32::MAX as u32) as libc::c_int;
    // SAFETY: the descriptor is borrowed, so it is open during the call; the option's value is a
    // c_int on this stack, and its length is that of a c_int.
    let status = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVLOWAT,
            (&raw const value).cast(),
            size_of_val(&value) as libc::socklen_t,
        )
    };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
