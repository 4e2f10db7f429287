//! A volume's state, for people.

use std::time::Duration;

use brickwire_core::Instant;
use brickwire_core::volume::{ConnectionPhase, Server, Volume as Core};

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Being connected.
    Connecting,
    /// Usable.
    Up,
    /// Not usable; it will be tried again.
    Down,
}

/// A volume's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The volfile server.
    pub server: String,
    /// The connection to it.
    pub server_state: State,
    /// Why it is not up.
    pub server_error: Option<String>,
    /// Why the volume cannot be served.
    pub graph_error: Option<String>,
    /// Its bricks.
    pub bricks: Vec<Brick>,
}

/// A brick's state.
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
    /// Where its connection stands.
    pub state: State,
    /// Why it is not up.
    pub error: Option<String>,
    /// Since when.
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
