//! The boundary between the core and its adapter: types that go in and come out.

use crate::id::OpId;
use crate::time::Instant;

/// A part of an operation's buffer. The core never sees the buffer; the adapter resolves the range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Range {
    /// The operation that owns the buffer.
    pub op: OpId,
    /// The first byte, from the buffer's start.
    pub at: u32,
    /// How many bytes.
    pub len: u32,
}

/// Destination of the next bytes of a connection. Ask again before **every** read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intake {
    /// The core: read into staging and hand over with `received`, which may stop before the end.
    Core,
    /// This part of an operation's buffer: read up to its length straight into it, call `placed`
    /// with the number of bytes read, and ask again.
    Place(Range),
    /// Nowhere: drain up to `len` bytes, then call `placed`. The operation that they were for is
    /// over.
    Discard {
        /// Bytes to throw away.
        len: u32,
    },
    /// Nowhere now: do not read until [`Output::Resume`](crate::volume::Output::Resume).
    Wait,
    /// The connection is closed.
    Closed,
}

/// The unsent part of one record: send `head`, then `data`, then `tail`.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'v> {
    /// Encoded bytes; they do not move until `sent` passes them.
    pub head: &'v [u8],
    /// Payload of an operation's buffer, if the record has one.
    pub data: Option<Range>,
    /// Encoded bytes after the payload; only a few calls have them.
    pub tail: &'v [u8],
}

/// Peer of a connection. Host and path are as the URI or volfile spells them; the adapter resolves
/// them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint<'v> {
    /// A TCP connection.
    Tcp {
        /// Host name, IPv4, or IPv6 without brackets (a zone may follow a `%`).
        host: &'v str,
        /// The port.
        port: u16,
        /// Address family that the volume asks for.
        family: Family,
        /// Bind a source port below 1024 if the adapter may: see `Config::privileged_ports`.
        privileged: bool,
        /// TCP settings of the volfile.
        tcp: TcpSettings,
        /// The peer must be spoken to with TLS, from the first byte on. Always `None` unless
        /// `Config::tls` says that the adapter can do so.
        tls: Option<TlsSettings<'v>>,
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
    /// All families that the name resolves to.
    #[default]
    Any,
    /// IPv4 only.
    Inet,
    /// IPv6 only.
    Inet6,
}

/// Settings for sockets to a brick, from its volfile (`transport.socket.keepalive-*`,
/// `transport.tcp-user-timeout`).
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

/// TLS settings of a brick, as its volfile spells them (`transport.socket.ssl-*`). The paths are
/// those of the server's own files; settings that the adapter has of its own take precedence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TlsSettings<'v> {
    /// `ssl-own-cert`: file of the certificate.
    pub own_cert: Option<&'v str>,
    /// `ssl-private-key`: file of its key.
    pub private_key: Option<&'v str>,
    /// `ssl-ca-list`: file of the certificates that sign peers' certificates.
    pub ca_list: Option<&'v str>,
    /// `ssl-crl-path`: directory of revocation lists.
    pub crl_path: Option<&'v str>,
    /// `ssl-cipher-list`, in OpenSSL's notation.
    pub cipher_list: Option<&'v str>,
    /// `ssl-cert-depth`: longest chain of certificates.
    pub cert_depth: Option<u16>,
}

/// Why a connection could not be made, or has ended, as the adapter reports it.
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
    /// The adapter cannot make such a connection (no permission, no such socket, family not
    /// supported).
    Unsupported,
    /// The adapter lacks resources for another connection (file descriptors, memory, threads).
    Exhausted,
}

/// When and why the volume must be called next if nothing else happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Deadline {
    /// Call `elapsed` at this time: too early is harmless, too late is not.
    pub at: Instant,
    /// The reason.
    pub why: Wake,
}

/// The reasons for a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wake {
    /// A dial or a step of a handshake has a time limit.
    Handshake,
    /// A quiet connection with calls in flight must be pinged, or closed.
    Ping,
    /// A connection is to be dialled again.
    Reconnect,
    /// An operation has reached its time limit.
    Operation,
    /// The exchange of a graph has reached its time limit, or is to be tried again.
    Exchange,
    /// A brick may still have executed a change whose connection ended: until now younger changes
    /// of the same bytes were held back.
    Doubt,
    /// A lock that this client holds on a file, to change it on several bricks, is released.
    Settle,
}
