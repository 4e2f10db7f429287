//! A stream socket: TCP or unix.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use brickwire_core::volume::TcpSettings;
use rustix::net::{RecvFlags, SendFlags};
use socket2::{SockRef, TcpKeepalive};

/// A connected stream socket. Its calls do not block.
#[derive(Debug)]
pub struct Socket {
    inner: Arc<socket2::Socket>,
    /// The current SO_RCVLOWAT.
    low_water: u32,
}

impl Socket {
    /// Wraps a connected socket.
    pub fn new(inner: socket2::Socket) -> Self {
        Self { inner: Arc::new(inner), low_water: 1 }
    }

    /// Sets TCP_NODELAY, keepalive and the user timeout. Failures are ignored.
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

    // Each call passes DONTWAIT, because the descriptor itself may be blocking, for [`Waiting`].

    /// Reads into several buffers with one call.
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

    /// Writes from several buffers with one call.
    pub fn write(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        // A closed connection shall be an error and not a signal.
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        if let [piece] = pieces {
            return retry(|| Ok(rustix::net::send(&*self.inner, piece, flags)?));
        }
        let mut control = rustix::net::SendAncillaryBuffer::default();
        retry(|| Ok(rustix::net::sendmsg(&*self.inner, pieces, &mut control, flags)?))
    }

    /// Returns a handle for blocking reads of this socket, each at most `time` long, to the
    /// precision of the kernel's tick.
    pub(crate) fn waiting(&self, time: Duration) -> io::Result<Waiting> {
        self.inner.set_read_timeout(Some(time))?;
        self.inner.set_nonblocking(false)?;
        Ok(Waiting { inner: self.inner.clone() })
    }

    /// Sets the number of bytes that must have arrived before a waiter is woken. The end of the
    /// connection wakes it in any case. A failure leaves the old value.
    pub fn set_low_water(&mut self, bytes: u32) {
        if bytes != self.low_water && super::low_water::set(self.as_fd(), bytes).is_ok() {
            self.low_water = bytes;
        }
    }

    /// The number of bytes that must have arrived before a waiter is woken.
    pub fn low_water(&self) -> u32 {
        self.low_water
    }
}

/// Waits for bytes of one socket and reads them with one system call. It keeps the descriptor open,
/// also if the connection is dropped meanwhile.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    inner: Arc<socket2::Socket>,
}

impl Waiting {
    /// Reads at least one byte; `WouldBlock` if none arrives in time. The socket's low-water mark
    /// must be 1: with a higher one the call may wait for ever.
    pub(crate) fn read(&self, place: &mut [u8]) -> io::Result<usize> {
        // A signal may end the wait; the caller checks the time and waits again.
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
    /// The peer's address.
    pub(crate) fn inner_peer(&self) -> std::net::SocketAddr {
        self.inner.peer_addr().unwrap().as_socket().unwrap()
    }
}
