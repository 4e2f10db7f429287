//! Reasons why something is not available: room in a table, a connection, a graph.

use core::fmt;

use crate::boundary::Closed;
use crate::rpc::PeerError;
use crate::volfile::TranslatorKind;
use crate::xdr::Errno;

/// A table of `Limits`, by the name that it has there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Table {
    /// `ops`
    Ops,
    /// `frames`
    Frames,
    /// `calls`
    Calls,
    /// `files`
    Files,
    /// `inodes`
    Inodes,
    /// `fds`
    Fds,
    /// `names`
    Names,
    /// `blocks`
    Blocks,
    /// `conns`
    Conns,
    /// `nodes`
    Nodes,
    /// `volumes` of a volfile
    Volumes,
    /// `options` of a volfile
    Options,
    /// `children` of a volfile
    Children,
    /// Bytes of encoded record heads of one connection.
    Head,
    /// Bytes of a volfile.
    VolfileBytes,
}

/// The reason why a brick, or glusterd, is not connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Down {
    /// No attempt was made yet.
    Untried,
    /// The dial failed, or the connection ended.
    Closed(Closed),
    /// The peer broke the protocol.
    Peer(PeerError),
    /// The peer was silent for the ping-timeout, with calls in flight.
    PingTimeout,
    /// The peer answers, but left one call unanswered for half an hour.
    Unanswered,
    /// A step of the handshake was not answered before its deadline.
    HandshakeTimeout,
    /// A record was sent in part only when the deadline of its operation passed.
    Stalled,
    /// The server does not take calls from this source port (AUTH_ERROR): `rpc-auth-allow-insecure`
    /// and `server.allow-insecure` are off.
    PortRefused,
    /// The peer does not serve the GlusterFS program that was expected (a wrong port?).
    WrongProgram,
    /// glusterd knows no such volume.
    NoSuchVolume,
    /// glusterd refused the volfile, with this errno.
    VolfileRefused(Errno),
    /// The volume needs a newer client.
    OpVersion,
    /// glusterd has no port for the brick, because it does not run (is the volume started?).
    BrickNotRunning,
    /// SETVOLUME: the address or the credentials are not allowed.
    AuthFailed,
    /// SETVOLUME: there is no such brick behind that port.
    BrickNotFound,
    /// SETVOLUME: the brick names another volume id.
    WrongVolume,
    /// SETVOLUME failed, with this errno.
    SetVolume(Errno),
    /// The brick runs, but its storage is down.
    StorageDown,
    /// The volfile cannot be used.
    Graph(GraphError),
    /// The volume is being stopped.
    Stopping,
    /// A table of `Limits` is too small for this connection.
    Limits(Table),
}

impl Down {
    /// Says whether another attempt soon would get the same answer.
    pub const fn is_final(&self) -> bool {
        matches!(
            self,
            Self::PortRefused
                | Self::NoSuchVolume
                | Self::VolfileRefused(_)
                | Self::OpVersion
                | Self::AuthFailed
                | Self::WrongVolume
                | Self::WrongProgram
                | Self::Graph(_)
                | Self::Limits(_)
        )
    }
}

/// The reason why a volfile does not make a usable graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GraphError {
    /// The text does not parse: see [`VolfileError`](crate::volfile::VolfileError).
    Volfile(crate::volfile::VolfileError),
    /// The graph needs this translator, which is not implemented.
    Unsupported {
        /// The translator.
        kind: TranslatorKind,
        /// Line of its `volume` statement.
        line: u32,
    },
    /// A translator has a number of children that is not supported.
    Children {
        /// The translator.
        kind: TranslatorKind,
        /// Line of its `volume` statement.
        line: u32,
        /// Number of its children.
        has: u16,
    },
    /// An option is missing or has an invalid value.
    Option {
        /// Name of the option.
        key: &'static str,
        /// Line of the `volume` statement.
        line: u32,
    },
    /// The graph is larger than the `Limits`.
    TooLarge {
        /// The table that is too small.
        table: Table,
        /// Entries of that table.
        has: u32,
        /// Entries that the graph needs.
        needs: u32,
    },
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ops => "ops",
            Self::Frames => "frames",
            Self::Calls => "calls",
            Self::Files => "files",
            Self::Inodes => "inodes",
            Self::Fds => "fds",
            Self::Names => "names",
            Self::Blocks => "blocks",
            Self::Conns => "conns",
            Self::Nodes => "nodes",
            Self::Volumes => "volumes",
            Self::Options => "options",
            Self::Children => "children",
            Self::Head => "head_bytes",
            Self::VolfileBytes => "volfile_bytes",
        })
    }
}

impl fmt::Display for Down {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Untried => f.write_str("no attempt to connect was made yet"),
            Self::Closed(Closed::Unresolved) => f.write_str("the name does not resolve"),
            Self::Closed(Closed::Refused) => {
                f.write_str("connection refused: no server listens on that port")
            }
            Self::Closed(Closed::Unreachable) => f.write_str("network unreachable"),
            Self::Closed(Closed::TimedOut) => f.write_str("connecting timed out"),
            Self::Closed(Closed::Eof) => f.write_str("the peer closed the connection"),
            Self::Closed(Closed::Reset) => f.write_str("the connection was reset"),
            Self::Closed(Closed::Exhausted) => f.write_str(
                "no file descriptor or memory is left in this process for a connection: see \
                 ulimit -n",
            ),
            Self::Closed(Closed::Unsupported) => {
                f.write_str("the socket does not exist, or access to it is denied")
            }
            Self::Peer(error) => write!(f, "the peer broke the protocol: {error}"),
            Self::PingTimeout => f.write_str("the peer was silent for the ping-timeout"),
            Self::Unanswered => f.write_str("the peer left a call unanswered for half an hour"),
            Self::HandshakeTimeout => f.write_str("the peer did not answer the handshake in time"),
            Self::Stalled => f.write_str("the peer stopped to receive in the middle of a record"),
            Self::PortRefused => f.write_str(
                "the server refuses unprivileged source ports: set rpc-auth-allow-insecure in \
                 glusterd.vol and server.allow-insecure on the volume, or use a port below 1024",
            ),
            Self::WrongProgram => f.write_str(
                "the server on that port is not the GlusterFS service: is the port right?",
            ),
            Self::NoSuchVolume => f.write_str("no such volume"),
            Self::VolfileRefused(errno) => write!(f, "the volfile was refused: {errno}"),
            Self::OpVersion => f.write_str("the volume needs a newer client (op-version)"),
            Self::BrickNotRunning => f.write_str("the brick does not run: is the volume started?"),
            Self::AuthFailed => {
                f.write_str("authentication failed: see auth.allow and auth.reject of the volume")
            }
            Self::BrickNotFound => f.write_str("the server on that port does not serve this brick"),
            Self::WrongVolume => {
                f.write_str("the brick belongs to another volume (volume ids differ)")
            }
            Self::SetVolume(errno) => write!(f, "SETVOLUME was refused: {errno}"),
            Self::StorageDown => f.write_str("the brick runs, but its storage is down"),
            Self::Graph(error) => error.fmt(f),
            Self::Stopping => f.write_str("the volume is being stopped"),
            Self::Limits(table) => {
                write!(f, "the table `{table}` of Limits is too small for this connection")
            }
        }
    }
}

impl fmt::Display for GraphError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Volfile(error) => write!(f, "volfile: {error}"),
            Self::Unsupported { kind, line } => write!(
                f,
                "the volume needs the translator {}, which brickwire does not support yet (volfile \
                 line {line})",
                kind.name()
            ),
            Self::Children { kind, line, has } => {
                write!(
                    f,
                    "the volume needs {} over {has} subvolumes, which brickwire does not support \
                     yet (volfile line {line})",
                    kind.name()
                )
            }
            Self::Option { key, line } => {
                write!(
                    f,
                    "option {key} of the translator at volfile line {line} is missing or has an \
                     invalid value"
                )
            }
            Self::TooLarge { table, has, needs } => {
                write!(
                    f,
                    "the graph needs {needs} entries in the table `{table}`, Limits has {has}"
                )
            }
        }
    }
}

impl core::error::Error for Down {}
impl core::error::Error for GraphError {}
