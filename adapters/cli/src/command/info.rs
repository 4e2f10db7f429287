//! `brickwire info`: a volume's space, bricks and connections; with a path, a file.

use std::time::Duration;

use brickwire_std::{State, Status, Volume};
use serde_json::{Value, json};

use super::list::facts;
use crate::args::OnUri;
use crate::connect::{Place, open};
use crate::failure::Failure;
use crate::output;
use crate::settings::Settings;
use crate::size::human;

pub(crate) fn run(on: &OnUri, settings: &Settings) -> Result<(), Failure> {
    let place = open(&on.uri, settings)?;
    match place.path.as_os_str().is_empty() {
        true => volume(&place.volume, settings),
        false => file(&on.uri, &place, settings),
    }
}

fn state_text(state: State) -> &'static str {
    match state {
        State::Connecting => "connecting",
        State::Up => "up",
        State::Down => "down",
    }
}

fn bricks_json(status: &Status) -> Vec<Value> {
    let bricks = status.bricks.iter();
    bricks
        .map(|brick| {
            json!({
                "name": brick.name, "host": brick.host, "path": brick.path, "port": brick.port,
                "state": state_text(brick.state), "error": brick.error,
                "connections": brick.connections,
            })
        })
        .collect()
}

fn volume(volume: &Volume, settings: &Settings) -> Result<(), Failure> {
    volume.settle(Duration::from_secs(1));
    let statfs = volume.statfs()?;
    let status = volume.status();
    if settings.json {
        return output::json(&json!({
            "volume": volume.name(),
            "server": status.server,
            "bytes_total": statfs.total,
            "bytes_free": statfs.free,
            "bytes_available": statfs.available,
            "files_total": statfs.files,
            "files_free": statfs.files_free,
            "block_size": statfs.block_size,
            "bricks": bricks_json(&status),
        }));
    }
    output::line(format_args!("volume     {}", volume.name()))?;
    output::line(format_args!(
        "server     {} ({})",
        status.server,
        state_text(status.server_state)
    ))?;
    let (available, total) = (human(statfs.available), human(statfs.total));
    output::line(format_args!("space      {available} of {total} available"))?;
    output::line(format_args!("inodes     {} of {} free", statfs.files_free, statfs.files))?;
    for brick in &status.bricks {
        let port = brick.port.map(|port| format!(" port {port}")).unwrap_or_default();
        let error = brick.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
        let (host, path, state) = (&brick.host, &brick.path, state_text(brick.state));
        output::line(format_args!("brick      {host}:{path}{port} {state}{error}"))?;
    }
    Ok(())
}

fn file(uri: &str, place: &Place, settings: &Settings) -> Result<(), Failure> {
    let Place { volume, path } = place;
    let metadata = volume.stat(path)?;
    let status = volume.status();
    // Sharded volumes are not opened, so each file of a volume that is open is in one piece.
    let copies = status.bricks.iter().map(|brick| format!("{}:{}", brick.host, brick.path));
    let copies: Vec<String> = copies.collect();
    if settings.json {
        let mut object = facts(&metadata);
        object["uri"] = uri.into();
        object["volume"] = volume.name().into();
        object["shards"] = 1.into();
        object["copies"] = copies.len().into();
        object["bricks"] = bricks_json(&status).into();
        return output::json(&object);
    }
    let exact = |bytes: u64| format!("{} ({bytes} bytes)", human(bytes));
    output::line(format_args!("file       {uri}"))?;
    output::line(format_args!("type       {}", super::list::kind(&metadata)))?;
    output::line(format_args!("size       {}", exact(metadata.size())))?;
    output::line(format_args!("allocated  {}", exact(metadata.allocated())))?;
    output::line(format_args!("gfid       {}", metadata.gfid()))?;
    output::line("shards     1")?;
    output::line(format_args!("copies     {}", copies.len()))?;
    for copy in copies {
        output::line(format_args!("brick      {copy}"))?;
    }
    Ok(())
}
