//! Options for opening a volume.

use std::time::Duration;

use brickwire_core::Limits;

/// Whether source ports below 1024 are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Privileged {
    /// If the process may bind them.
    #[default]
    Auto,
    /// Never.
    Never,
    /// Always. If the process may not bind them, another port is used and the server's refusal is
    /// reported.
    Always,
}

/// Options for opening a volume.
///
/// ```
/// use std::time::Duration;
/// let options = brickwire_std::Options::new()
///     .timeout(Duration::from_secs(5))
///     .connections_per_brick(2);
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    pub(crate) timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) ping_timeout: Option<Duration>,
    pub(crate) privileged: Privileged,
    pub(crate) connections: u8,
    pub(crate) background: bool,
    spin: Duration,
    pub(crate) process_name: String,
    pub(crate) servers: Vec<String>,
    limits: Limits,
}

impl Options {
    /// The default options.
    pub fn new() -> Self {
        Self {
            timeout: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(10),
            ping_timeout: None,
            privileged: Privileged::Auto,
            connections: 1,
            background: false,
            spin: Duration::ZERO,
            process_name: String::new(),
            servers: Vec::new(),
            limits: Limits::HOST,
        }
    }

    /// The longest duration of an operation, including the wait for a connection. 60 seconds by
    /// default.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The longest duration of connecting and of each step of a handshake. 10 seconds by default.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// A connection with operations in flight is closed if nothing is received for this time. It
    /// replaces the volume's `network.ping-timeout`; zero turns it off.
    pub fn ping_timeout(mut self, timeout: Duration) -> Self {
        self.ping_timeout = Some(timeout);
        self
    }

    /// Whether source ports below 1024 may be used.
    pub fn privileged_ports(mut self, privileged: Privileged) -> Self {
        self.privileged = privileged;
        self
    }

    /// Connections to each brick, 1 (the default) or 2. Reads use both.
    pub fn connections_per_brick(mut self, connections: u8) -> Self {
        self.connections = connections.clamp(1, 2);
        self
    }

    /// Starts the thread that drives the loop while no caller does when the volume is opened,
    /// instead of with the first future or callback. Connections are then also kept alive, and lost
    /// ones made again, while the program calls nothing. Off by default; a replicated volume always
    /// has the thread, because it keeps locks for a moment after a change.
    pub fn background(mut self, background: bool) -> Self {
        self.background = background;
        self
    }

    /// Polls the sockets for this long before sleeping, which saves wake-ups if the CPU has nothing
    /// else to do. Zero by default.
    pub fn spin(mut self, spin: Duration) -> Self {
        self.spin = spin;
        self
    }

    /// Name in the bricks' lists of clients. The program's name by default.
    pub fn process_name(mut self, name: &str) -> Self {
        self.process_name = name.to_owned();
        self
    }

    /// Adds a volfile server, `HOST` or `HOST:PORT`, which is tried when those before it do not
    /// answer.
    pub fn server(mut self, server: &str) -> Self {
        self.servers.push(server.to_owned());
        self
    }

    /// Sizes of the core's tables.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    pub(crate) fn core_limits(&self) -> Limits {
        self.limits
    }

    pub(crate) fn spin_time(&self) -> Duration {
        self.spin
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}
