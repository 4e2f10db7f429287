//! Connecting: addresses are tried in turn, a new one every 250 ms, and the first that answers is
//! used (RFC 8305). Source ports below 1024 are bound where they are requested and allowed.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use brickwire_core::volume::{Closed, Endpoint, TcpSettings};
use socket2::{Domain, SockAddr, Type};

use super::resolve::Lookup;
use super::{Poller, Socket, Waker};

/// Pause between the attempts at two addresses.
const STAGGER: Duration = Duration::from_millis(250);
/// Source ports that servers accept as privileged. The lower ones are left to services.
const PRIVILEGED: std::ops::RangeInclusive<u16> = 512..=1023;

/// A connection attempt.
pub(crate) struct Dial {
    token: u64,
    lookup: Option<Lookup>,
    addresses: std::vec::IntoIter<SocketAddr>,
    attempts: Vec<socket2::Socket>,
    next_at: Instant,
    tcp: TcpSettings,
    privileged: bool,
    /// The latest reason why there is no connection.
    failure: Closed,
}

/// The state of a connection attempt.
pub(crate) enum Progress {
    /// To be continued when one of its sockets is ready, or at this time.
    Waiting(Option<Instant>),
    Connected(Socket),
    Failed(Closed),
}

impl Dial {
    /// Begins to connect. Its sockets are registered with the poller under `token`.
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
            // Never asked for, because the configuration says that TLS is not spoken here.
            Endpoint::Tcp { tls: Some(_), .. } => dial.failure = Closed::Unsupported,
            Endpoint::Tcp { host, port, family, privileged, tcp, tls: None } => {
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

    /// Continues as far as possible without blocking.
    pub(crate) fn progress(&mut self, poller: &Poller) -> Progress {
        if let Some(lookup) = &mut self.lookup {
            let Some(found) = lookup.poll() else { return Progress::Waiting(None) };
            self.lookup = None;
            match found {
                Ok(found) => self.addresses = found.into_iter(),
                Err(why) => self.failure = why,
            }
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

    /// Ends the attempt.
    pub(crate) fn give_up(&mut self, poller: &Poller) {
        for socket in self.attempts.drain(..) {
            poller.remove(&socket);
        }
    }

    /// Takes the first socket that is connected, and drops those that have failed.
    fn first_connected(&mut self, poller: &Poller) -> Option<socket2::Socket> {
        let mut index = 0;
        while let Some(socket) = self.attempts.get(index) {
            match socket.take_error() {
                // Without a listener, a port in the range of source ports may be connected to
                // itself.
                Ok(None) if is_itself(socket) => {
                    self.failure = Closed::Refused;
                    poller.remove(self.attempts.swap_remove(index));
                }
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
            // If no such port can be bound, the server decides; its refusal says what to change.
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

fn is_itself(socket: &socket2::Socket) -> bool {
    let address =
        |address: io::Result<SockAddr>| address.ok().and_then(|address| address.as_socket());
    address(socket.peer_addr()).is_some_and(|peer| address(socket.local_addr()) == Some(peer))
}

fn unix(path: &str) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_cloexec(true)?;
    // Connecting would block if the server's backlog is full.
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)?;
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

/// The reason for an error of a socket.
pub(crate) fn reason(error: &io::Error) -> Closed {
    if let Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) = error.raw_os_error() {
        return Closed::Exhausted;
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Closed::Refused,
        io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkDown => Closed::Unreachable,
        // A unix socket's backlog is full.
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Closed::TimedOut,
        io::ErrorKind::NotFound
        | io::ErrorKind::PermissionDenied
        | io::ErrorKind::AddrNotAvailable
        | io::ErrorKind::InvalidInput
        | io::ErrorKind::Unsupported => Closed::Unsupported,
        _ => Closed::Reset,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use brickwire_core::volume::Family;

    use super::*;
    use crate::net::Events;

    fn tcp(host: &str, port: u16) -> Endpoint<'_> {
        let (family, tcp) = (Family::Any, TcpSettings::DEFAULT);
        Endpoint::Tcp { host, port, family, privileged: false, tcp, tls: None }
    }

    /// Drives a dial to its end, or for ten seconds.
    fn finish(mut dial: Dial, poller: &Poller) -> (Result<Socket, Closed>, Duration) {
        let begin = Instant::now();
        let mut events = Events::default();
        loop {
            assert!(begin.elapsed() < Duration::from_secs(10), "the dial hangs");
            let until = match dial.progress(poller) {
                Progress::Connected(socket) => return (Ok(socket), begin.elapsed()),
                Progress::Failed(why) => return (Err(why), begin.elapsed()),
                Progress::Waiting(until) => until,
            };
            let bound = Duration::from_secs(1);
            let timeout =
                until.map_or(bound, |at| at.saturating_duration_since(Instant::now()).min(bound));
            poller.wait(&mut events, Some(timeout)).unwrap();
            poller.settle(&events);
        }
    }

    fn dial(endpoint: Endpoint<'_>) -> (Result<Socket, Closed>, Duration) {
        let poller = Poller::new().unwrap();
        finish(Dial::begin(endpoint, 0, &poller.waker()), &poller)
    }

    /// A dial of these addresses, as if a name had led to them.
    fn dial_all(addresses: Vec<SocketAddr>) -> (Result<Socket, Closed>, Duration) {
        let poller = Poller::new().unwrap();
        let mut dial = Dial::begin(tcp("127.0.0.1", 1), 0, &poller.waker());
        dial.lookup = None;
        dial.addresses = addresses.into_iter();
        finish(dial, &poller)
    }

    /// An address that does not answer: its backlog is full. Lives as long as what comes with it.
    fn silent() -> (SocketAddr, TcpListener, Vec<socket2::Socket>) {
        let listener = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&SockAddr::from(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))).unwrap();
        listener.listen(0).unwrap();
        let listener = TcpListener::from(listener);
        let address = listener.local_addr().unwrap();
        let fill = |_| {
            let socket = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            let _ = socket.connect(&SockAddr::from(address));
            socket
        };
        let waiting: Vec<_> = (0..8).map(fill).collect();
        (address, listener, waiting)
    }

    fn free_port() -> u16 {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
    }

    #[test]
    fn a_listener_is_connected_to_by_either_family() {
        for host in ["127.0.0.1", "::1"] {
            let Ok(listener) = TcpListener::bind((host, 0)) else { continue };
            let (socket, _) = dial(tcp(host, listener.local_addr().unwrap().port()));
            socket.unwrap().write(&[io::IoSlice::new(b"hello")]).unwrap();
            let mut came = [0; 5];
            io::Read::read_exact(&mut listener.accept().unwrap().0, &mut came).unwrap();
            assert_eq!(&came, b"hello");
        }
    }

    #[test]
    fn a_port_without_a_listener_refuses_at_once() {
        let (result, time) = dial(tcp("127.0.0.1", free_port()));
        assert_eq!(result.err(), Some(Closed::Refused));
        assert!(time < Duration::from_secs(1));
    }

    #[test]
    fn a_name_that_nobody_knows_does_not_resolve() {
        let (result, _) = dial(tcp("no-such-host.invalid", 1));
        assert_eq!(result.err(), Some(Closed::Unresolved));
    }

    #[test]
    fn an_address_that_does_not_answer_holds_the_next_one_for_a_quarter_of_a_second() {
        let (dead, _listener, _waiting) = silent();
        let live = TcpListener::bind("127.0.0.1:0").unwrap();
        let (socket, time) = dial_all(vec![dead, live.local_addr().unwrap()]);
        assert_eq!(socket.unwrap().inner_peer(), live.local_addr().unwrap());
        assert!(time >= STAGGER && time < STAGGER * 4, "{time:?}");
    }

    #[test]
    fn an_address_that_refuses_does_not_hold_the_next_one() {
        let dead = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let live = TcpListener::bind("127.0.0.1:0").unwrap();
        let (socket, time) = dial_all(vec![dead, live.local_addr().unwrap()]);
        assert_eq!(socket.unwrap().inner_peer(), live.local_addr().unwrap());
        assert!(time < STAGGER, "{time:?}");
    }

    #[test]
    fn a_unix_socket_that_does_not_accept_does_not_hold_the_loop() {
        let path = std::env::temp_dir().join(format!("brickwire-dial-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = socket2::Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        listener.bind(&SockAddr::unix(&path).unwrap()).unwrap();
        listener.listen(0).unwrap();
        let text = path.to_str().unwrap();
        let first = dial(Endpoint::Unix { path: text });
        assert!(first.0.is_ok());
        let mut last = dial(Endpoint::Unix { path: text });
        for _ in 0..8 {
            last = dial(Endpoint::Unix { path: text });
        }
        assert_eq!(last.0.err(), Some(Closed::TimedOut));
        assert!(last.1 < Duration::from_secs(1));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(dial(Endpoint::Unix { path: text }).0.err(), Some(Closed::Unsupported));
    }

    #[test]
    fn a_port_below_1024_is_bound_where_that_is_allowed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (family, tcp) = (Family::Any, TcpSettings::DEFAULT);
        let host = "127.0.0.1";
        let endpoint = Endpoint::Tcp { host, port, family, privileged: true, tcp, tls: None };
        let _socket = dial(endpoint).0.unwrap();
        let (_peer, from): (TcpStream, SocketAddr) = listener.accept().unwrap();
        assert_eq!(from.port() < 1024, rustix::process::geteuid().is_root(), "{from}");
    }

    #[test]
    fn a_process_without_file_descriptors_is_told_so_and_not_that_the_peer_hung_up() {
        for errno in [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM] {
            assert_eq!(reason(&io::Error::from_raw_os_error(errno)), Closed::Exhausted, "{errno}");
        }
    }

    #[test]
    fn a_socket_that_is_connected_to_itself_is_a_port_without_a_listener() {
        let socket = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let any = SockAddr::from(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        socket.bind(&any).unwrap();
        socket.connect(&socket.local_addr().unwrap()).unwrap();
        assert!(is_itself(&socket));
        let poller = Poller::new().unwrap();
        let mut dial = Dial::begin(tcp("127.0.0.1", 1), 0, &poller.waker());
        dial.lookup = None;
        poller.add(&socket, 0, true).unwrap();
        dial.attempts.push(socket);
        assert_eq!(finish(dial, &poller).0.err(), Some(Closed::Refused));
    }
}
