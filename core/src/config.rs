//! Configuration of a volume: its servers, the caller's identity, time limits. Texts are copied, so
//! the caller's may be freed.

use crate::time::Instant;

/// Version that bricks are told at login; they log it.
pub(crate) const CLIENT_VERSION: &str = concat!("brickwire ", env!("CARGO_PKG_VERSION"));

/// Volfile servers at most; they are tried in turn.
pub const SERVERS_MAX: usize = 4;

/// A host name (the longest that DNS has) or the path of a socket.
pub type HostName = heapless::String<255>;

/// One place to ask for the volfile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Server {
    /// glusterd over TCP.
    Tcp {
        /// Host name, IPv4, or IPv6 without brackets.
        host: HostName,
        /// Port; glusterd's is 24007.
        port: u16,
    },
    /// glusterd over a unix socket.
    Unix {
        /// Path of the socket.
        path: HostName,
    },
}

/// The identity that bricks check permissions against. The default is root without supplementary
/// groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Identity {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Supplementary groups that fit a credential beside the lock owner.
pub const GROUPS_MAX: usize = 87;

/// The connections for which the adapter can speak TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TlsUse {
    /// None. A volume that requires TLS is refused by the name of the option.
    #[default]
    None,
    /// Connections to bricks, where the volume requires it.
    Bricks,
    /// Connections to bricks, where the volume requires it, and all to glusterd over TCP, whose
    /// management is encrypted (the file `secure-access`).
    BricksAndManagement,
}

/// Configuration of a volume at construction.
#[derive(Clone, Debug)]
pub struct Config {
    /// glusterds to ask, in this order.
    pub servers: heapless::Vec<Server, SERVERS_MAX>,
    /// The volume's name, which is the key of its volfile.
    pub volume: heapless::String<255>,
    /// Name of this process in the bricks' client lists, such as `gfapi.qemu`.
    pub process_name: heapless::String<63>,
    /// This host's name, for the same purpose.
    pub host_name: heapless::String<64>,
    /// The process's id, for the same purpose, and as default lock owner.
    pub process_id: u32,
    /// Random bytes, from which gfids of new files and the identity of this client are made. Never
    /// use the same ones twice.
    pub entropy: [u8; 32],
    /// Nanoseconds since 1970 at [`Instant::ZERO`]. Bricks store the times that clients send.
    pub unix_nanos_at_zero: u64,
    /// Time limit of an operation, waiting for a connection included.
    pub op_timeout_ms: u32,
    /// Time limit of a dial, and of a step of a handshake.
    pub handshake_timeout_ms: u32,
    /// First and longest pause before a connection is dialled again; it doubles in between.
    pub reconnect_ms: (u32, u32),
    /// Replaces the volfile's `ping-timeout`; 0 turns pings off.
    pub ping_timeout_ms: Option<u32>,
    /// The longest time that a brick of a replica set may be silent, with calls in flight, if the
    /// others can answer without it; 0 stands for the ping-timeout.
    pub stall_ms: u32,
    /// Connections to each brick, 1 or 2. Reads use both; everything that has an order uses the
    /// first.
    pub connections_per_brick: u8,
    /// Ask the adapter for source ports below 1024.
    pub privileged_ports: bool,
    /// Connections for which the adapter follows `tls` of
    /// [`Endpoint::Tcp`](crate::volume::Endpoint::Tcp).
    pub tls: TlsUse,
    /// The caller.
    pub identity: Identity,
    /// The caller's supplementary groups. Bricks check them unless the volume makes them look up
    /// groups themselves (`server.manage-gids`); root needs none.
    pub groups: heapless::Vec<u32, GROUPS_MAX>,
}

impl Config {
    /// GlusterFS's defaults. Servers, volume and entropy are empty and must be filled in.
    pub const fn new() -> Self {
        Self {
            servers: heapless::Vec::new(),
            volume: heapless::String::new(),
            process_name: heapless::String::new(),
            host_name: heapless::String::new(),
            process_id: 0,
            entropy: [0; 32],
            unix_nanos_at_zero: 0,
            op_timeout_ms: 60_000,
            handshake_timeout_ms: 10_000,
            reconnect_ms: (100, 3_000),
            ping_timeout_ms: None,
            stall_ms: 2_000,
            connections_per_brick: 1,
            privileged_ports: false,
            tls: TlsUse::None,
            identity: Identity { uid: 0, gid: 0 },
            groups: heapless::Vec::new(),
        }
    }

    /// The wall clock of this configuration.
    pub(crate) fn wall(&self) -> crate::time::WallClock {
        crate::time::WallClock::new(Instant::ZERO, self.unix_nanos_at_zero)
    }
}

/// A configuration that the volume owns, on the heap.
#[cfg(feature = "alloc")]
impl From<Config> for managed::Managed<'_, Config> {
    fn from(config: Config) -> Self {
        Self::Owned(alloc::boxed::Box::new(config))
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}
