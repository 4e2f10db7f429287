//! Why something is not there: a table's room, a connection, a graph.

use core::fmt;

use crate::boundary::Closed;
use crate::rpc::PeerError;
use crate::volfile::TranslatorKind;
use crate::xdr::Errno;

/// A table of `Limits`, by its name there.
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
    /// bytes of a record head
    Head,
    /// bytes of a volfile
    VolfileBytes,
}

/// Why a subvolume, or glusterd, is not connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Down {
    /// Nothing has been tried yet.
    Untried,
    /// The adapter could not connect, or the connection ended.
    Closed(Closed),
    /// The peer broke the protocol.
    Peer(PeerError),
    /// Nothing was heard for the ping-timeout.
    PingTimeout,
    /// It answers, but one call it never did.
    Unanswered,
    /// A step of the handshake was not answered in time.
    HandshakeTimeout,
    /// A record could not be sent completely before its operation's time was over.
    Stalled,
    /// The server does not take calls from this source port (AUTH_ERROR): `rpc-auth-allow-insecure` and
    /// `server.allow-insecure` are off.
    PortRefused,
    /// What answers there does not speak GlusterFS's program for this (a wrong port?).
    WrongProgram,
    /// glusterd knows no such volume.
    NoSuchVolume,
    /// glusterd refused the volfile with this errno.
    VolfileRefused(Errno),
    /// The volume asks for a newer client.
    OpVersion,
    /// glusterd has no port for the brick: it does not run (is the volume started?).
    BrickNotRunning,
    /// SETVOLUME: the address or the credentials are not allowed.
    AuthFailed,
    /// SETVOLUME: there is no such brick behind that port.
    BrickNotFound,
    /// SETVOLUME: the brick belongs to another volume.
    WrongVolume,
    /// SETVOLUME failed with this errno.
    SetVolume(Errno),
    /// The brick runs, but its storage does not.
    StorageDown,
    /// The volfile cannot be used.
    Graph(GraphError),
    /// The volume is being stopped.
    Stopping,
    /// A table of `Limits` is too small for this connection.
    Limits(Table),
}

impl Down {
    /// Is it an answer that will not change by asking again soon?
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

/// Why a volfile does not make a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GraphError {
    /// The text does not parse: see [`VolfileError`](crate::volfile::VolfileError).
    Volfile(crate::volfile::VolfileError),
    /// This translator is needed, and is not there.
    Unsupported {
        /// Which.
        kind: TranslatorKind,
        /// Line of its `volume`.
        line: u32,
    },
    /// A translator has the wrong number of children.
    Children {
        /// Which.
        kind: TranslatorKind,
        /// Line of its `volume`.
        line: u32,
        /// How many it has.
        has: u16,
    },
    /// An option has no usable value, or is missing.
    Option {
        /// Which.
        key: &'static str,
        /// Line of its `volume`.
        line: u32,
    },
    /// The graph is larger than the `Limits`.
    TooLarge {
        /// The table.
        table: Table,
        /// What it has.
        has: u32,
        /// What the graph needs.
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
            Self::Untried => f.write_str("not tried yet"),
            Self::Closed(Closed::Unresolved) => f.write_str("the name does not resolve"),
            Self::Closed(Closed::Refused) => f.write_str("connection refused: nothing listens there"),
            Self::Closed(Closed::Unreachable) => f.write_str("network unreachable"),
            Self::Closed(Closed::TimedOut) => f.write_str("connecting timed out"),
            Self::Closed(Closed::Eof) => f.write_str("the peer closed the connection"),
            Self::Closed(Closed::Reset) => f.write_str("the connection was reset"),
            Self::Closed(Closed::Exhausted) => f.write_str(
                "this process has no file descriptor or memory left for a connection: see ulimit -n",
            ),
            Self::Closed(Closed::Unsupported) => f.write_str("no such socket, or not allowed to use it"),
            Self::Peer(error) => write!(f, "the peer broke the protocol: {error}"),
            Self::PingTimeout => f.write_str("nothing heard for the ping-timeout"),
            Self::Unanswered => f.write_str("a call was not answered for half an hour"),
            Self::HandshakeTimeout => f.write_str("no answer to the handshake in time"),
            Self::Stalled => f.write_str("the peer took a record only in part and then no more"),
            Self::PortRefused => f.write_str(
                "refused our unprivileged source port: set rpc-auth-allow-insecure in glusterd.vol and \
                 server.allow-insecure on the volume, or let us bind a port below 1024",
            ),
            Self::WrongProgram => {
                f.write_str("what answers there is not the GlusterFS service expected: wrong port?")
            }
            Self::NoSuchVolume => f.write_str("no such volume"),
            Self::VolfileRefused(errno) => write!(f, "the volfile was refused: {errno}"),
            Self::OpVersion => f.write_str("the volume needs another client op-version"),
            Self::BrickNotRunning => {
                f.write_str("the brick does not run: is the volume started?")
            }
            Self::AuthFailed => {
                f.write_str("authentication failed: see auth.allow and auth.reject of the volume")
            }
            Self::BrickNotFound => f.write_str("no such brick behind that port"),
            Self::WrongVolume => f.write_str("the brick belongs to another volume"),
            Self::SetVolume(errno) => write!(f, "SETVOLUME was refused: {errno}"),
            Self::StorageDown => f.write_str("the brick runs but its storage is down"),
            Self::Graph(error) => error.fmt(f),
            Self::Stopping => f.write_str("the volume is being stopped"),
            Self::Limits(table) => write!(f, "Limits: the table `{table}` is too small for this connection"),
        }
    }
}

impl fmt::Display for GraphError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Volfile(error) => write!(f, "volfile: {error}"),
            Self::Unsupported { kind, line } => write!(
                f,
                "the volume needs the translator {}, which brickwire does not have yet (volfile line {line})",
                kind.name()
            ),
            Self::Children { kind, line, has } => {
                write!(
                    f,
                    "the volume needs {} over {has} subvolumes, which brickwire does not have yet (volfile line {line})",
                    kind.name()
                )
            }
            Self::Option { key, line } => {
                write!(
                    f,
                    "option {key} of the translator at volfile line {line} is missing or has no usable value"
                )
            }
            Self::TooLarge { table, has, needs } => {
                write!(f, "the graph needs {needs} in the table `{table}`, Limits gives {has}")
            }
        }
    }
}

impl core::error::Error for Down {}
impl core::error::Error for GraphError {}
