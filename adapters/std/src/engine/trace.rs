//! Log lines about connections: what is dialled, comes up, is lost and tried again.

use brickwire_core::volume::{Endpoint, Volume};
use brickwire_core::{ConnId, Instant};

use crate::status::{State, Status};

/// The state that was logged last.
#[derive(Default)]
pub(super) struct Trace {
    last: Option<Status>,
}

/// The peer of a connection, for a log line.
pub(super) fn peer(volume: &Volume<'_>, conn: ConnId) -> String {
    match volume.endpoint(conn) {
        Some(Endpoint::Tcp { host, port, .. }) if host.contains(':') => format!("[{host}]:{port}"),
        Some(Endpoint::Tcp { host, port, .. }) => format!("{host}:{port}"),
        Some(Endpoint::Unix { path }) => path.to_owned(),
        None => "a peer that is not wanted any more".into(),
    }
}

impl Trace {
    /// Logs how the volume's state differs from the one before.
    pub(super) fn changed(&mut self, volume: &Volume<'_>, now: Instant) {
        if !log::log_enabled!(log::Level::Warn) {
            return;
        }
        let status = Status::of(volume, now);
        let last = self.last.replace(status.clone());
        let name = volume.name();
        let was = last.as_ref();
        if was.is_none_or(|was| {
            (&was.server, was.server_state, &was.server_error)
                != (&status.server, status.server_state, &status.server_error)
        }) {
            log_state(
                &format!("volume {name}: server {}", status.server),
                status.server_state,
                status.server_error.as_deref(),
            );
        }
        if let Some(error) = &status.graph_error
            && was.is_none_or(|was| was.graph_error != status.graph_error)
        {
            log::warn!("volume {name}: its volfile cannot be used: {error}");
        }
        let names = |status: &Status| -> Vec<String> {
            status.bricks.iter().map(|brick| brick.name.clone()).collect()
        };
        let bricks = names(&status);
        if !bricks.is_empty() && was.is_none_or(|was| names(was) != bricks) {
            log::info!("volume {name}: graph of {} bricks: {}", bricks.len(), bricks.join(", "));
        }
        for brick in &status.bricks {
            let before =
                was.and_then(|was| was.bricks.iter().find(|other| other.name == brick.name));
            if before.is_some_and(|before| {
                (before.state, &before.error, before.connections)
                    == (brick.state, &brick.error, brick.connections)
            }) {
                continue;
            }
            let port = brick.port.map(|port| format!(" port {port}")).unwrap_or_default();
            log_state(
                &format!("volume {name}: brick {}:{}{port}", brick.host, brick.path),
                brick.state,
                brick.error.as_deref(),
            );
        }
    }
}

fn log_state(subject: &str, state: State, error: Option<&str>) {
    match (state, error) {
        (State::Connecting, None) => log::debug!("{subject}: connecting"),
        (State::Connecting, Some(error)) => log::info!("{subject}: connecting again: {error}"),
        (State::Up, _) => log::info!("{subject}: handshake done, up"),
        (State::Down, Some(error)) => log::warn!("{subject}: down: {error}: it is tried again"),
        (State::Down, None) => log::warn!("{subject}: down"),
    }
}
