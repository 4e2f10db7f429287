//! Making a connection: several addresses in a row, a new one every quarter of a second, the first that answers wins
//! (RFC 8305), and source ports below 1024 where they are asked for and allowed.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use brickwire_core::volume::{Closed, Endpoint, TcpSettings};
use socket2::{Domain, SockAddr, Type};

use super::resolve::Lookup;
use super::{Poller, Socket, Waker};

/// How long an address has the field to itself.
const STAGGER: Duration = Duration::from_millis(250);
/// Source ports that servers take for privileged, from above; the lowest are left to services.
const PRIVILEGED: std::ops::RangeInclusive<u16> = 512..=1023;

/// A connection that is being made.
pub(crate) struct Dial {
    token: u64,
    lookup: Option<Lookup>,
    addresses: std::vec::IntoIter<SocketAddr>,
    attempts: Vec<socket2::Socket>,
    next_at: Instant,
    tcp: TcpSettings,
    privileged: bool,
    /// The best reason so far why there is no connection.
    failure: Closed,
}

/// Where a dial stands.
pub(crate) enum Progress {
    /// Look again when a socket of it is ready, or at this time.
    Waiting(Option<Instant>),
    Connected(Socket),
    Failed(Closed),
}

impl Dial {
    /// Begins. `token` is what its sockets are waited for under.
    pub(crate) fn begin(endpoint: Endpoint<'_>, token: u64, waker: &Waker) -> Self {
        let mut dial = Self {
            token,
            lookup: None,
            addresses: Vec::new().into_iter(),
            attempts: Vec::new(),
            next_at: Instant::now(),
            tcp: TcpSettings::DEFAULT,
            privileged: false,
            failure: Closed::Unresolved,
        };
        match endpoint {
            Endpoint::Tcp { host, port, family, privileged, tcp } => {
                dial.tcp = tcp;
                dial.privileged = privileged;
                dial.lookup = Some(Lookup::begin(host, port, family, waker));
            }
            Endpoint::Unix { path } => match unix(path) {
                Ok(socket) => dial.attempts.push(socket),
                Err(error) => dial.failure = reason(&error),
            },
        }
        dial
    }

    /// Goes on as far as it goes now.
    pub(crate) fn progress(&mut self, poller: &Poller) -> Progress {
        if let Some(lookup) = &mut self.lookup {
            let Some(found) = lookup.poll() else { return Progress::Waiting(None) };
            self.lookup = None;
            self.addresses = found.into_iter();
        }
        if let Some(socket) = self.first_connected(poller) {
            self.give_up(poller);
            return Progress::Connected(Socket::new(socket));
        }
        let now = Instant::now();
        while self.attempts.is_empty() || now >= self.next_at {
            let Some(address) = self.addresses.next() else { break };
            match self.attempt(address, poller) {
                Ok(socket) => {
                    self.attempts.push(socket);
                    self.next_at = now + STAGGER;
                    if let Some(socket) = self.first_connected(poller) {
                        self.give_up(poller);
                        return Progress::Connected(Socket::new(socket));
                    }
                }
                Err(error) => self.failure = reason(&error),
            }
        }
        if self.attempts.is_empty() {
            return Progress::Failed(self.failure);
        }
        Progress::Waiting((self.addresses.len() > 0).then_some(self.next_at))
    }

    /// Nobody wants the connection any more.
    pub(crate) fn give_up(&mut self, poller: &Poller) {
        for socket in self.attempts.drain(..) {
            poller.remove(&socket);
        }
    }

    /// Takes the first attempt that has succeeded, and drops those that have failed.
    fn first_connected(&mut self, poller: &Poller) -> Option<socket2::Socket> {
        let mut index = 0;
        while let Some(socket) = self.attempts.get(index) {
            match socket.take_error() {
                Ok(None) if socket.peer_addr().is_ok() => {
                    let socket = self.attempts.swap_remove(index);
                    poller.remove(&socket);
                    return Some(socket);
                }
                Ok(None) => index += 1,
                Ok(Some(error)) | Err(error) => {
                    self.failure = reason(&error);
                    let socket = self.attempts.swap_remove(index);
                    poller.remove(&socket);
                }
            }
        }
        None
    }

    fn attempt(&self, address: SocketAddr, poller: &Poller) -> io::Result<socket2::Socket> {
        let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.set_cloexec(true)?;
        Socket::set_up_tcp(&socket, &self.tcp);
        if self.privileged {
            // Where it is not allowed the server says what it thinks of it; that message names the remedies.
            bind_privileged(&socket, address);
        }
        match socket.connect(&SockAddr::from(address)) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
            Err(error) => return Err(error),
        }
        poller.add(&socket, self.token, true)?;
        Ok(socket)
    }
}

fn unix(path: &str) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_cloexec(true)?;
    // Connecting to a unix socket does not wait for the network.
    socket.connect(&SockAddr::unix(path)?)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn bind_privileged(socket: &socket2::Socket, to: SocketAddr) {
    for port in PRIVILEGED.rev() {
        let from: SocketAddr = match to {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, port).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, port).into(),
        };
        match socket.bind(&SockAddr::from(from)) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            _ => return,
        }
    }
}

/// What an error of connecting means.
pub(crate) fn reason(error: &io::Error) -> Closed {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Closed::Refused,
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkDown => {
            Closed::Unreachable
        }
        io::ErrorKind::TimedOut => Closed::TimedOut,
        io::ErrorKind::NotFound
        | io::ErrorKind::PermissionDenied
        | io::ErrorKind::AddrNotAvailable
        | io::ErrorKind::InvalidInput
        | io::ErrorKind::Unsupported => Closed::Unsupported,
        _ => Closed::Reset,
    }
}
