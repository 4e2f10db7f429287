//! Listening sockets: TCP addresses and unix sockets.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use brickwire_core::server::Peer;
use brickwire_core::volume::TcpSettings;
use brickwire_std::net::Socket;
use socket2::{Domain, Protocol, SockAddr, Type};

/// Backlog of connections that are not accepted yet.
const BACKLOG: i32 = 1024;

/// Address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// A TCP address; port 0 takes any free one.
    Tcp(SocketAddr),
    /// Path of a unix socket. A stale socket there, on which nothing listens, is removed.
    Unix(PathBuf),
}

/// A listening socket.
pub(crate) struct Listener {
    inner: socket2::Socket,
    /// Path of the unix socket, which is removed on drop.
    path: Option<PathBuf>,
}

impl Listener {
    /// Binds and listens. With `v6_only`, an IPv6 socket takes no IPv4 connections.
    pub(crate) fn bind(listen: &Listen, v6_only: bool) -> io::Result<Self> {
        let (inner, path) = match listen {
            Listen::Tcp(address) => {
                let inner = socket2::Socket::new(
                    Domain::for_address(*address),
                    Type::STREAM,
                    Some(Protocol::TCP),
                )?;
                inner.set_reuse_address(true)?;
                if address.is_ipv6() {
                    inner.set_only_v6(v6_only)?;
                }
                inner.bind(&SockAddr::from(*address))?;
                (inner, None)
            }
            Listen::Unix(path) => {
                let inner = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
                remove_stale(path)?;
                inner.bind(&SockAddr::unix(path)?)?;
                (inner, Some(path.clone()))
            }
        };
        inner.set_nonblocking(true)?;
        inner.listen(BACKLOG)?;
        Ok(Self { inner, path })
    }

    /// Bound TCP address, with the port that the system chose for port 0.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.inner.local_addr().ok()?.as_socket()
    }

    /// Accepts the next connection; `None` if there is none now.
    pub(crate) fn accept(&self) -> io::Result<Option<(Socket, Peer)>> {
        let (socket, address) = match self.inner.accept() {
            Ok(accepted) => accepted,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            // The client gave up before accept().
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => return Ok(None),
            Err(error) => return Err(error),
        };
        socket.set_nonblocking(true)?;
        let mut peer = Peer { privileged: true, ..Peer::default() };
        if let Some(address) = address.as_socket() {
            Socket::set_up_tcp(&socket, &TcpSettings::DEFAULT);
            peer.privileged = address.port() < 1024;
            // The buffer holds the longest text of an IP address.
            let _ =
                std::fmt::write(&mut peer.address, format_args!("{}", address.ip().to_canonical()));
        }
        Ok(Some((Socket::new(socket), peer)))
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Removes a unix socket on which nothing listens. `AlreadyExists` if the path is not a socket.
fn remove_stale(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt as _;
    let Ok(meta) = std::fs::symlink_metadata(path) else { return Ok(()) };
    if !meta.file_type().is_socket() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "the path exists and is not a socket",
        ));
    }
    // Only a refused connection proves that the socket is stale: EACCES, for one, does not.
    let gone = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    if std::os::unix::net::UnixStream::connect(path).is_err_and(gone) {
        std::fs::remove_file(path)?;
    }
    Ok(())
}
