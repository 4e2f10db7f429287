//! How a volume is opened.

use std::time::Duration;

use brickwire_core::Limits;

/// May source ports below 1024 be used?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Privileged {
    /// Only if the process may bind them.
    #[default]
    Auto,
    /// Never.
    Never,
    /// Always; where it is not allowed, the server's refusal is what is reported.
    Always,
}

/// How a volume is opened.
///
/// ```
/// use std::time::Duration;
/// let options = brickwire_std::Options::new().timeout(Duration::from_secs(5)).connections_per_brick(2);
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
    /// The defaults.
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

    /// The longest that an operation may take, waiting for a connection included. 60 seconds by default.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The longest that connecting, or a step of a handshake, may take. 10 seconds by default.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Silence that ends a connection with operations in flight, instead of the volume's own setting. Zero: never.
    pub fn ping_timeout(mut self, timeout: Duration) -> Self {
        self.ping_timeout = Some(timeout);
        self
    }

    /// Whether source ports below 1024 may be used.
    pub fn privileged_ports(mut self, privileged: Privileged) -> Self {
        self.privileged = privileged;
        self
    }

    /// Connections to each brick: 1 (the default) or 2. Reads use both.
    pub fn connections_per_brick(mut self, connections: u8) -> Self {
        self.connections = connections.clamp(1, 2);
        self
    }

    /// Starts the thread that drives the loop while no caller does when the volume is opened, instead
    /// of with the first future or callback. Connections are then also kept alive, and lost ones made
    /// again, while the program calls nothing. Off by default.
    pub fn background(mut self, background: bool) -> Self {
        self.background = background;
        self
    }

    /// Looks at the sockets for so long before it sleeps: for cores that have nothing else to do. Zero by default.
    pub fn spin(mut self, spin: Duration) -> Self {
        self.spin = spin;
        self
    }

    /// What bricks show in their lists of clients. The program's name by default.
    pub fn process_name(mut self, name: &str) -> Self {
        self.process_name = name.to_owned();
        self
    }

    /// A further volfile server, `HOST` or `HOST:PORT`, that is asked when those before do not answer.
    pub fn server(mut self, server: &str) -> Self {
        self.servers.push(server.to_owned());
        self
    }

    /// Sizes of the tables.
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
