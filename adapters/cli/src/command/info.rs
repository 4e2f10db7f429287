//! `brickwire info`: a volume's space, bricks and connections.

use brickwire_std::State;
use serde_json::{Value, json};

use crate::args::Global;
use crate::connect::open;
use crate::failure::Failure;
use crate::output;
use crate::size::human;

pub(crate) fn run(uri: &str, global: &Global) -> Result<(), Failure> {
    let place = open(uri, global)?;
    place.volume.settle(std::time::Duration::from_secs(1));
    let statfs = place.volume.statfs()?;
    let status = place.volume.status();
    let state = |state: State| match state {
        State::Connecting => "connecting",
        State::Up => "up",
        State::Down => "down",
    };
    if global.json {
        let bricks: Vec<Value> = status
            .bricks
            .iter()
            .map(|brick| {
                json!({
                    "name": brick.name, "host": brick.host, "path": brick.path, "port": brick.port,
                    "state": state(brick.state), "error": brick.error, "connections": brick.connections,
                })
            })
            .collect();
        return output::json(&json!({
            "volume": place.volume.name(),
            "server": status.server,
            "bytes_total": statfs.total,
            "bytes_free": statfs.free,
            "bytes_available": statfs.available,
            "files_total": statfs.files,
            "files_free": statfs.files_free,
            "block_size": statfs.block_size,
            "bricks": bricks,
        }));
    }
    output::line(format_args!("volume     {}", place.volume.name()))?;
    output::line(format_args!("server     {} ({})", status.server, state(status.server_state)))?;
    output::line(format_args!(
        "space      {} of {} available",
        human(statfs.available),
        human(statfs.total)
    ))?;
    output::line(format_args!("inodes     {} of {} free", statfs.files_free, statfs.files))?;
    for brick in &status.bricks {
        let port = brick.port.map(|port| format!(" port {port}")).unwrap_or_default();
        let error = brick.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
        output::line(format_args!(
            "brick      {}:{}{port} {}{error}",
            brick.host,
            brick.path,
            state(brick.state)
        ))?;
    }
    Ok(())
}
