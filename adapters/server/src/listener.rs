//! Where clients come in: TCP addresses and unix sockets.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use brickwire_core::server::Peer;
use brickwire_core::volume::TcpSettings;
use brickwire_std::net::Socket;
use socket2::{Domain, Protocol, SockAddr, Type};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// A TCP address; port 0 takes any free one.
    Tcp(SocketAddr),
    /// A unix socket. What is left of an earlier one in its place is removed.
    Unix(PathBuf),
}

/// A socket that listens.
pub(crate) struct Listener {
    inner: socket2::Socket,
    /// To be removed at the end.
    path: Option<PathBuf>,
}

impl Listener {
    /// With `v6_only` an IPv6 address is not IPv4's too.
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

    /// The TCP address, with the port that was given.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.inner.local_addr().ok()?.as_socket()
    }

    /// The next who wants in; `None` if nobody does now.
    pub(crate) fn accept(&self) -> io::Result<Option<(Socket, Peer)>> {
        let (socket, address) = match self.inner.accept() {
            Ok(accepted) => accepted,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            // It is gone again.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => return Ok(None),
            Err(error) => return Err(error),
        };
        socket.set_nonblocking(true)?;
        let mut peer = Peer { privileged: true, ..Peer::default() };
        if let Some(address) = address.as_socket() {
            Socket::set_up_tcp(&socket, &TcpSettings::DEFAULT);
            peer.privileged = address.port() < 1024;
            // The longest text of an address fits.
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

/// Removes a socket that nobody listens on any more.
fn remove_stale(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt as _;
    let Ok(meta) = std::fs::symlink_metadata(path) else { return Ok(()) };
    if !meta.file_type().is_socket() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "something that is no socket is there",
        ));
    }
    // Somebody else's that we may not ask is not stale for that.
    let gone = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    if std::os::unix::net::UnixStream::connect(path).is_err_and(gone) {
        std::fs::remove_file(path)?;
    }
    Ok(())
}
