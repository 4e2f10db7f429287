//! `brickwire serve`: a GlusterFS server that runs until a signal.

mod config;
mod http;
mod metrics;
mod signals;

use std::io;
use std::net::ToSocketAddrs as _;
use std::path::Path;

use crate::args::Serve;
use crate::command::volume::{StateWatcher, watch};
use crate::command::volume_config::ServerAddress;
use crate::failure::Failure;
use crate::output;
use crate::settings::Settings;
use brickwire_core::server::ServerLimits;

pub(super) use signals::{is_ignored, stop_on_signal};

/// Descriptors kept for bricks, listeners, and files that threads open for a short time.
const RESERVE: u64 = 256;
/// The most threads: a brick's intent log has a slot for each.
const THREADS_MAX: usize = 64;

pub(crate) fn run(args: &Serve, settings: &Settings) -> Result<(), Failure> {
    let config = config::Config::of(args)?;
    let mut server = config.bind()?;
    let place = config.place(&server)?;
    let mut watcher = StateWatcher::new(
        config.state.as_deref(),
        place.clone(),
        config.volumes.clone(),
        config.create,
    )?;
    let handle = server.handle();
    stop_on_signal(handle.clone())?;
    let counters = match config.metrics {
        Some(address) => Some(metrics::serve(address, handle.clone())?),
        None => None,
    };
    let mut names: Vec<String> = config.volumes.iter().map(|volume| volume.name.clone()).collect();
    server.set_volumes(watcher.volumes());
    names.extend(watcher.names().map(str::to_owned));
    watch(watcher, handle)?;
    if config.is_named_by_itself() {
        warn_of_a_name_that_nobody_knows(place.host.clone());
    }
    match announce(&names, &place, &config, counters.as_deref(), settings) {
        // A closed standard output does not keep clients from being served.
        Ok(()) => {}
        Err(failure) if failure.is_pipe_closed() => {}
        Err(failure) => return Err(failure),
    }
    server.run().map_err(loop_ended)
}

pub(super) fn loop_ended(error: io::Error) -> Failure {
    Failure::new(format_args!("the server's event loop failed: {error}"))
}

/// The reason why an address cannot be bound, with the remedy.
pub(super) fn cannot_listen(error: io::Error) -> Failure {
    let what_to_do = match error.kind() {
        io::ErrorKind::AddrInUse => {
            ": another program listens there: stop it, or choose another port"
        }
        io::ErrorKind::AddrNotAvailable => ": this host has no such address",
        io::ErrorKind::PermissionDenied => {
            ": run as root, or choose a port above 1023, or a socket in a directory of yours"
        }
        _ => "",
    };
    Failure::new(format_args!("{error}{what_to_do}"))
}

/// Prints the volumes' URIs. With a state directory there may be none yet.
fn announce(
    names: &[String],
    place: &ServerAddress,
    config: &config::Config,
    counters: Option<&str>,
    settings: &Settings,
) -> Result<(), Failure> {
    if settings.json {
        let object = |name: Option<&str>| {
            let uri = name.map(|name| place.uri(name));
            serde_json::json!({ "volume": name, "uri": uri, "metrics": counters })
        };
        if names.is_empty() {
            return output::json(&object(None));
        }
        return names.iter().try_for_each(|name| output::json(&object(Some(name))));
    }
    for name in names {
        output::line(format_args!("serving {}", place.uri(name)))?;
        if let Some(uri) = place.unix_uri(name) {
            output::line(format_args!("     or {uri}"))?;
        }
    }
    if names.is_empty() {
        let state = config.state.as_deref().unwrap_or(Path::new("")).display();
        output::line(format_args!(
            "serving no volume until one is started with brickwire volume --state {state} start \
            NAME"
        ))?;
    }
    match counters {
        Some(url) => output::line(format_args!("counters at {url}")),
        None => Ok(()),
    }
}

/// Warns if the name that volfiles give to clients does not resolve even here.
fn warn_of_a_name_that_nobody_knows(host: String) {
    // On a thread of its own: name servers may answer late.
    let asked = std::thread::Builder::new().name("host".into()).spawn(move || {
        if (host.as_str(), 0).to_socket_addrs().is_err() {
            output::warn(&format!(
                "this host's name {host} has no address here, and clients need one to find \
                bricks: say --host with a \
                 name or address that they know"
            ));
        }
    });
    // A warning that cannot be given stops nothing.
    drop(asked);
}

/// Raises the limit of descriptors as far as the system allows. Where that is fewer than the limits
/// of clients and files need, the limits are lowered: a client that has a connection must be
/// served, and a brick needs a descriptor for most operations.
fn room_for_descriptors(limits: &ServerLimits) -> (u16, u32) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = u64::from(limits.connections) + u64::from(limits.files) + RESERVE;
    let raised = maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let mut have = current.unwrap_or(u64::MAX);
    if have < raised
        && setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum }).is_ok()
    {
        have = raised;
    }
    share(have, limits)
}

/// Clients and files that so many descriptors are enough for.
fn share(have: u64, limits: &ServerLimits) -> (u16, u32) {
    let free = have.saturating_sub(RESERVE).max(64);
    let clients = u64::from(limits.connections).min(free / 4).max(1);
    let files = u64::from(limits.files).min(free - clients);
    (clients as u16, files as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_a_connection_has_descriptors_too() {
        let host = &ServerLimits::HOST;
        assert_eq!(share(1 << 20, host), (4096, 65_536));
        // A shell's usual limit, and a very low one.
        assert_eq!(share(1024, host), (192, 576));
        let (clients, files) = share(10, host);
        assert!(clients > 0 && files > 0);
        assert!([300, 4096, 65_536].iter().all(|have| {
            let (clients, files) = share(*have, host);
            u64::from(clients) + u64::from(files) + RESERVE <= *have.max(&320)
        }));
    }
}
