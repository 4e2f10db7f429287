//! The state of a volume's connections.

use std::time::Duration;

use brickwire_core::Instant;
use brickwire_core::volume::{ConnectionPhase, Server, Volume as Core};

/// The state of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Connecting.
    Connecting,
    /// Usable.
    Up,
    /// Not usable; connecting is tried again.
    Down,
}

/// The state of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The volfile server.
    pub server: String,
    /// The connection to it.
    pub server_state: State,
    /// Reason why it is not up.
    pub server_error: Option<String>,
    /// Reason why the volume cannot be used.
    pub graph_error: Option<String>,
    /// Its bricks.
    pub bricks: Vec<Brick>,
}

/// The state of a brick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brick {
    /// Name of its translator.
    pub name: String,
    /// Host.
    pub host: String,
    /// Path on that host.
    pub path: String,
    /// Port, once it is known.
    pub port: Option<u16>,
    /// The state of its connection.
    pub state: State,
    /// Reason why it is not up.
    pub error: Option<String>,
    /// Time in this state.
    pub since: Duration,
    /// Connections that are up.
    pub connections: u8,
}

impl Status {
    pub(crate) fn of(volume: &Core<'_>, now: Instant) -> Self {
        let session = volume.session_status();
        let server = match session.server {
            Some(Server::Tcp { host, port }) => format!("{host}:{port}"),
            Some(Server::Unix { path }) => path.to_string(),
            None => String::new(),
        };
        let bricks = volume.bricks().map(|brick| Brick {
            name: brick.name.into(),
            host: brick.host.into(),
            path: brick.path.into(),
            port: brick.port,
            state: state(brick.phase),
            error: brick.down.map(|down| down.to_string()),
            since: now.since(brick.since),
            connections: brick.connections,
        });
        Self {
            server,
            server_state: state(session.phase),
            server_error: session.down.map(|down| down.to_string()),
            graph_error: session.graph_error.map(|error| error.to_string()),
            bricks: bricks.collect(),
        }
    }
}

fn state(phase: ConnectionPhase) -> State {
    match phase {
        ConnectionPhase::Idle | ConnectionPhase::Connecting => State::Connecting,
        ConnectionPhase::Up => State::Up,
        ConnectionPhase::Waiting | ConnectionPhase::Stopped => State::Down,
    }
}
