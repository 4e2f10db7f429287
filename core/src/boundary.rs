//! The boundary between the core and whatever carries its bytes: what goes in, what comes out.

use crate::id::OpId;
use crate::time::Instant;

/// These bytes of this operation's buffer. The core never sees the buffer; the adapter resolves the range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Range {
    /// Whose buffer.
    pub op: OpId,
    /// The first byte, from the buffer's start.
    pub at: u32,
    /// How many bytes.
    pub len: u32,
}

/// Where the next bytes of a connection belong. Asked again before **every** read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intake {
    /// To the core: read into staging and hand over with `received`, which may stop before the end.
    Core,
    /// Straight into this part of an operation's buffer; then say `placed`.
    Place(Range),
    /// To nowhere: drain up to `len` bytes, then say `placed`. The operation they were for is over.
    Discard {
        /// Bytes to throw away.
        len: u32,
    },
    /// Nowhere now: do not read until [`Output::Resume`](crate::volume::Output::Resume).
    Wait,
    /// The connection is closed.
    Closed,
}

/// One record (or what is left of it) on its way out: send `head`, then `data`, then `tail`.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'v> {
    /// Encoded bytes; they stay where they are until `sent` passes them.
    pub head: &'v [u8],
    /// Payload of an operation's buffer, if the record has one.
    pub data: Option<Range>,
    /// Encoded bytes behind the payload (only a few calls have them).
    pub tail: &'v [u8],
}

/// Where a connection leads. Text is as the URI or volfile spelt it; resolving it is the adapter's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint<'v> {
    /// A TCP connection.
    Tcp {
        /// Host name, IPv4, or IPv6 without brackets (a zone may follow a `%`).
        host: &'v str,
        /// The port.
        port: u16,
        /// Which address family the volume asks for.
        family: Family,
        /// Bind a source port below 1024 if the adapter may: see `Config::privileged_ports`.
        privileged: bool,
        /// TCP settings of the volfile.
        tcp: TcpSettings,
    },
    /// A unix socket.
    Unix {
        /// Path of the socket.
        path: &'v str,
    },
}

/// Address family of an endpoint (`transport.address-family`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Family {
    /// Whatever the name resolves to.
    #[default]
    Any,
    /// IPv4 only.
    Inet,
    /// IPv6 only.
    Inet6,
}

/// What the volfile says of the sockets of a brick (`transport.socket.keepalive-*`, `transport.tcp-user-timeout`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TcpSettings {
    /// Idle seconds before the first keepalive probe; 0 turns keepalive off.
    pub keepalive_time_s: u16,
    /// Seconds between probes.
    pub keepalive_interval_s: u16,
    /// Probes unanswered before the connection is dead.
    pub keepalive_count: u16,
    /// `TCP_USER_TIMEOUT` in seconds; 0 leaves the kernel's.
    pub user_timeout_s: u16,
}

impl TcpSettings {
    /// GlusterFS's defaults.
    pub const DEFAULT: TcpSettings = TcpSettings {
        keepalive_time_s: 20,
        keepalive_interval_s: 2,
        keepalive_count: 9,
        user_timeout_s: 0,
    };
}

impl Default for TcpSettings {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Why the adapter says that a connection is not, or no more, there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Closed {
    /// The name did not resolve.
    Unresolved,
    /// Nobody listens there.
    Refused,
    /// No route, or the network is down.
    Unreachable,
    /// The attempt took too long.
    TimedOut,
    /// The peer closed in order.
    Eof,
    /// The connection broke (reset, I/O error).
    Reset,
    /// The adapter cannot make such a connection (no permission, no such socket, family not supported).
    Unsupported,
    /// The adapter has no room for a further connection (file descriptors, memory, threads).
    Exhausted,
}

/// When and why the volume must be called next although nothing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Deadline {
    /// Call `elapsed` at this time: too early is harmless, too late is not.
    pub at: Instant,
    /// What is waited for.
    pub why: Wake,
}

/// The reasons for a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wake {
    /// A dial or a step of a handshake must have been answered.
    Handshake,
    /// A quiet connection with calls in flight must be pinged, or given up.
    Ping,
    /// A connection is to be dialled again.
    Reconnect,
    /// An operation has taken as long as it may.
    Operation,
    /// The exchange of a graph has taken as long as it may, or is to be tried again.
    Exchange,
    /// A brick may still have executed a change whose connection ended: until now younger changes of
    /// the same bytes were held back.
    Doubt,
}
