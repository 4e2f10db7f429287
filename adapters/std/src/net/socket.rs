//! A stream socket: TCP or unix.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use brickwire_core::volume::TcpSettings;
use rustix::net::{RecvFlags, SendFlags};
use socket2::{SockRef, TcpKeepalive};

/// A connected stream whose calls never block.
#[derive(Debug)]
pub struct Socket {
    inner: Arc<socket2::Socket>,
    /// What SO_RCVLOWAT is set to.
    low_water: u32,
}

impl Socket {
    /// A connected socket that does not block.
    pub fn new(inner: socket2::Socket) -> Self {
        Self { inner: Arc::new(inner), low_water: 1 }
    }

    /// What is set on every TCP connection. None of it is worth failing for.
    pub fn set_up_tcp(inner: &socket2::Socket, tcp: &TcpSettings) {
        let socket = SockRef::from(inner);
        let _ = socket.set_tcp_nodelay(true);
        if tcp.keepalive_time_s > 0 {
            let seconds = |n: u16| Duration::from_secs(n.max(1).into());
            let keepalive = TcpKeepalive::new()
                .with_time(seconds(tcp.keepalive_time_s))
                .with_interval(seconds(tcp.keepalive_interval_s))
                .with_retries(tcp.keepalive_count.max(1).into());
            let _ = socket.set_tcp_keepalive(&keepalive);
        }
        #[cfg(target_os = "linux")]
        if tcp.user_timeout_s > 0 {
            let _ =
                socket.set_tcp_user_timeout(Some(Duration::from_secs(tcp.user_timeout_s.into())));
        }
    }

    // That a call must not block is said with each call (DONTWAIT): the descriptor itself may block, for [`Waiting`].

    /// Reads into several places at once.
    pub fn read(&self, places: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        if let [place] = places {
            return retry(|| {
                Ok(rustix::net::recv(&*self.inner, &mut place[..], RecvFlags::DONTWAIT)?.1)
            });
        }
        let mut control = rustix::net::RecvAncillaryBuffer::default();
        retry(|| {
            Ok(rustix::net::recvmsg(&*self.inner, places, &mut control, RecvFlags::DONTWAIT)?.bytes)
        })
    }

    /// Writes from several places at once.
    pub fn write(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        // A peer that is gone is an error here, not a signal.
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        if let [piece] = pieces {
            return retry(|| Ok(rustix::net::send(&*self.inner, piece, flags)?));
        }
        let mut control = rustix::net::SendAncillaryBuffer::default();
        retry(|| Ok(rustix::net::sendmsg(&*self.inner, pieces, &mut control, flags)?))
    }

    /// Lets a thread wait in a read of this socket, for at most `time` at once (as exact as the kernel's tick).
    pub(crate) fn waiting(&self, time: Duration) -> io::Result<Waiting> {
        self.inner.set_read_timeout(Some(time))?;
        self.inner.set_nonblocking(false)?;
        Ok(Waiting { inner: self.inner.clone() })
    }

    /// The kernel wakes a waiter only when so many bytes are there (or the connection ends). Says whether it was changed.
    pub fn set_low_water(&mut self, bytes: u32) {
        if bytes != self.low_water && super::low_water::set(self.as_fd(), bytes).is_ok() {
            self.low_water = bytes;
        }
    }

    /// How many bytes must be there before a waiter is woken.
    pub fn low_water(&self) -> u32 {
        self.low_water
    }
}

/// Waits for the bytes of one socket and takes them, in one system call. It keeps the socket open as long as it lives,
/// whatever becomes of the connection meanwhile.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    inner: Arc<socket2::Socket>,
}

impl Waiting {
    /// Waits for bytes. `WouldBlock` if none came in time. The socket's low-water mark must be 1: with a higher one such a
    /// call has been seen to wait for ever.
    pub(crate) fn read(&self, place: &mut [u8]) -> io::Result<usize> {
        // A signal may end the wait: whoever waits looks at the clock and comes back.
        match rustix::net::recv(&*self.inner, place, RecvFlags::empty()) {
            Ok((_, got)) => Ok(got),
            Err(rustix::io::Errno::INTR) => Err(io::ErrorKind::WouldBlock.into()),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

#[cfg(test)]
impl Socket {
    /// Whom it is connected to.
    pub(crate) fn inner_peer(&self) -> std::net::SocketAddr {
        self.inner.peer_addr().unwrap().as_socket().unwrap()
    }
}
