//! `brickwire serve`: a GlusterFS server until it is told to stop.

mod heal;
mod metrics;
mod signals;
mod volume;

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;

use brickwire_core::server::ServerLimits;
use brickwire_server::{Listen, Server, ServerOptions};

use crate::args::{Global, Serve};
use crate::command::volume::{Follower, follow};
use crate::failure::Failure;
use crate::output;

pub(super) use signals::stop_on_signal;
pub(crate) use volume::{Bricks, Description, Shape, Where, Xattrs};

/// Descriptors for bricks, listeners, and what threads open for a moment.
const RESERVE: u64 = 256;
/// A brick writes down what so many are changing, for whoever opens it after a crash.
const THREADS_MAX: usize = 64;
/// Port of glusterd, where clients ask first.
const PORT: u16 = 24007;

pub(crate) fn run(args: &Serve, global: &Global) -> Result<(), Failure> {
    let config = Config::of(args)?;
    let mut server = config.bind()?;
    let place = config.place(&server)?;
    let mut follower = Follower::new(config.state.as_deref(), place.clone(), config.volumes.clone())?;
    let handle = server.handle();
    stop_on_signal(handle.clone())?;
    let counters = match config.metrics {
        Some(address) => Some(metrics::serve(address, handle.clone())?),
        None => None,
    };
    let mut names: Vec<String> = config.volumes.iter().map(|volume| volume.name.clone()).collect();
    server.set_volumes(follower.volumes());
    names.extend(follower.names().map(str::to_owned));
    follow(follower, handle)?;
    match announce(&names, &place, counters.as_deref(), global) {
        // Whoever started it has read enough: clients are served all the same.
        Ok(()) | Err(Failure::PipeClosed) => {}
        Err(failure) => return Err(failure),
    }
    server.run().map_err(loop_ended)
}

pub(super) fn loop_ended(error: io::Error) -> Failure {
    Failure::new(format_args!("the server's loop ended: {error}"))
}

/// Why there is no listening, and what to do about it.
pub(super) fn cannot_listen(error: io::Error) -> Failure {
    let what_to_do = match error.kind() {
        io::ErrorKind::AddrInUse => ": something listens there already; stop it, or choose another port",
        io::ErrorKind::AddrNotAvailable => ": this host has no such address",
        io::ErrorKind::PermissionDenied => {
            ": run as root, or choose a port above 1023 or a directory of yours"
        }
        _ => "",
    };
    Failure::new(format_args!("{error}{what_to_do}"))
}

/// Says where the volumes are. With a state directory there may be none yet.
fn announce(names: &[String], place: &Where, counters: Option<&str>, global: &Global) -> Result<(), Failure> {
    if global.json {
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
    }
    if names.is_empty() {
        output::line("serving no volume until one is started: see brickwire volume")?;
    }
    match counters {
        Some(url) => output::line(format_args!("counters at {url}")),
        None => Ok(()),
    }
}

/// As many descriptors as the system lets us have. If it is fewer than clients may connect and open, fewer may: who has a
/// connection is to be served, and a brick needs a descriptor for most of what it does.
fn room_for_descriptors(limits: &ServerLimits) -> (u16, u32) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = u64::from(limits.clients) + u64::from(limits.files) + RESERVE;
    let raised = maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let mut have = current.unwrap_or(u64::MAX);
    if have < raised && setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum }).is_ok() {
        have = raised;
    }
    share(have, limits)
}

/// Clients and files for so many descriptors.
fn share(have: u64, limits: &ServerLimits) -> (u16, u32) {
    let free = have.saturating_sub(RESERVE).max(64);
    let clients = u64::from(limits.clients).min(free / 4).max(1);
    let files = u64::from(limits.files).min(free - clients);
    (clients as u16, files as u32)
}

/// What is to be served and where, from the command line and a file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Config {
    listen: Vec<SocketAddr>,
    sockets: Vec<PathBuf>,
    host: Option<String>,
    volumes: Vec<Description>,
    state: Option<PathBuf>,
    metrics: Option<SocketAddr>,
    threads: Option<usize>,
}

/// The same as it stands in a file.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct File {
    listen: Vec<String>,
    socket: Vec<PathBuf>,
    host: Option<String>,
    state: Option<PathBuf>,
    metrics: Option<String>,
    threads: Option<usize>,
    volume: Vec<Description>,
}

impl Config {
    fn of(args: &Serve) -> Result<Self, Failure> {
        let file = match &args.config {
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|error| Failure::local(path.display().to_string(), &error))?;
                toml::from_str::<File>(&text)
                    .map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))?
            }
            None => File::default(),
        };
        let mut config = Self {
            host: args.host.clone().or(file.host),
            state: args.state.clone().or(file.state),
            threads: args.threads.or(file.threads),
            volumes: file.volume.into_iter().map(Description::absolute).collect::<Result<_, _>>()?,
            ..Self::default()
        };
        config.sockets = file.socket;
        config.sockets.extend(args.socket.iter().cloned());
        for text in file.listen.iter().chain(&args.listen) {
            config.listen.push(address(text, PORT)?);
        }
        if let Some(text) = args.metrics.as_ref().or(file.metrics.as_ref()) {
            config.metrics = Some(address(text, 0)?);
        }
        for text in &args.volume {
            config.volumes.push(Description::parse(text)?);
        }
        if let Some(xattrs) = args.xattrs {
            for volume in &mut config.volumes {
                volume.xattrs = xattrs.into();
            }
        }
        if !args.option.is_empty() && config.volumes.is_empty() {
            let text = "--option is for volumes of --volume and --config; for those of --state: brickwire volume set";
            return Err(Failure::Usage(text.into()));
        }
        for text in &args.option {
            let (key, value) = text
                .split_once('=')
                .ok_or_else(|| Failure::Usage(format!("--option {text:?}: KEY=VALUE")))?;
            for volume in &mut config.volumes {
                volume.options.insert(key.into(), value.into());
            }
        }
        if config.listen.is_empty() && config.sockets.is_empty() {
            config.listen.push(SocketAddr::from(([0, 0, 0, 0], PORT)));
        }
        if config.volumes.is_empty() && config.state.is_none() {
            let text = "nothing to serve: say --volume NAME=DIR, or --state DIR with volumes in it";
            return Err(Failure::Usage(text.into()));
        }
        Ok(config)
    }

    fn bind(&self) -> Result<Server, Failure> {
        let tcp = self.listen.iter().copied().map(Listen::Tcp);
        let unix = self.sockets.iter().cloned().map(Listen::Unix);
        let mut options = ServerOptions { listen: tcp.chain(unix).collect(), ..ServerOptions::default() };
        if let Some(threads) = self.threads {
            if !(1..=THREADS_MAX).contains(&threads) {
                return Err(Failure::Usage(format!("threads: {threads} is not between 1 and {THREADS_MAX}")));
            }
            options.threads = threads;
        }
        (options.limits.clients, options.limits.files) = room_for_descriptors(&options.limits);
        Server::bind(&options).map_err(cannot_listen)
    }

    /// By which name clients reach the server.
    fn place(&self, server: &Server) -> Result<Where, Failure> {
        let address = server.addresses().first().copied();
        let host = match (&self.host, address.map(|address| address.ip())) {
            (Some(host), _) => host.clone(),
            (None, Some(ip)) if !ip.is_unspecified() => ip.to_string(),
            (None, Some(IpAddr::V4(_) | IpAddr::V6(_)) | None) => rustix::system::uname()
                .nodename()
                .to_str()
                .map_err(|_| Failure::Usage("this host's name is no text: say --host NAME".into()))?
                .to_owned(),
        };
        Ok(Where { host, port: address.map(|address| address.port()), socket: self.sockets.first().cloned() })
    }
}

fn address(text: &str, port: u16) -> Result<SocketAddr, Failure> {
    let with_port = match text.parse::<IpAddr>() {
        Ok(ip) => return Ok(SocketAddr::new(ip, port)),
        Err(_) if text.contains(':') => text.to_owned(),
        Err(_) => format!("{text}:{port}"),
    };
    let found = with_port.to_socket_addrs().ok().and_then(|mut all| all.next());
    found.ok_or_else(|| Failure::Usage(format!("{text:?} is no address to listen on: say ADDRESS:PORT")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_a_connection_has_descriptors_too() {
        let host = &ServerLimits::HOST;
        assert_eq!(share(1 << 20, host), (4096, 65_536));
        // A shell's usual limit, and one that is hardly any.
        assert_eq!(share(1024, host), (192, 576));
        let (clients, files) = share(10, host);
        assert!(clients > 0 && files > 0);
        assert!([300, 4096, 65_536].iter().all(|have| {
            let (clients, files) = share(*have, host);
            u64::from(clients) + u64::from(files) + RESERVE <= *have.max(&320)
        }));
    }
}
