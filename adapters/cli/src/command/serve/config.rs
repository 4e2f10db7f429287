//! The configuration of `brickwire serve`, from its command line and a file.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;

use brickwire_core::volgen::full_name;
use brickwire_server::{Listen, Server, ServerOptions};

use super::{THREADS_MAX, cannot_listen, room_for_descriptors};
use crate::args::Serve;
use crate::command::volume_config::{ConflictCheck, ServerAddress, VolumeConfig};
use crate::failure::Failure;
use crate::toml_error::fault_in;

/// Port of glusterd, which clients try by default.
const PORT: u16 = 24007;

/// Volumes and addresses, from the command line and a file.
#[derive(Clone, Debug, Default)]
pub(super) struct Config {
    listen: Vec<SocketAddr>,
    sockets: Vec<PathBuf>,
    host: Option<String>,
    pub(super) volumes: Vec<VolumeConfig>,
    pub(super) state: Option<PathBuf>,
    pub(super) metrics: Option<SocketAddr>,
    threads: Option<usize>,
    /// Make directories that do not exist.
    pub(super) create: bool,
}

/// A configuration file.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct File {
    listen: Vec<String>,
    socket: Vec<PathBuf>,
    host: Option<String>,
    state: Option<PathBuf>,
    metrics: Option<String>,
    threads: Option<usize>,
    create: bool,
    volume: Vec<VolumeConfig>,
}

impl Config {
    pub(super) fn of(args: &Serve) -> Result<Self, Failure> {
        let file = match &args.config {
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|error| Failure::local(path.display().to_string(), &error))?;
                let fault = |error| {
                    Failure::usage(format_args!("{}, {}", path.display(), fault_in(&text, &error)))
                };
                toml::from_str::<File>(&text).map_err(fault)?
            }
            None => File::default(),
        };
        let mut config = Self {
            host: args.host.clone().or(file.host),
            state: args.state.clone().or(file.state),
            threads: args.threads.or(file.threads),
            create: args.create || file.create,
            volumes: file
                .volume
                .into_iter()
                .map(VolumeConfig::absolute)
                .collect::<Result<_, _>>()?,
            ..Self::default()
        };
        for path in file.socket.iter().chain(&args.socket) {
            // Absolute: clients are told the path and have other working directories.
            let absolute = std::path::absolute(path);
            config.sockets.push(absolute.map_err(|error| Failure::local(path.display(), &error))?);
        }
        for text in file.listen.iter().chain(&args.listen) {
            config.listen.push(address(text, PORT)?);
        }
        if let Some(text) = args.metrics.as_ref().or(file.metrics.as_ref()) {
            config.metrics = Some(address(text, 0)?);
        }
        for text in &args.volume {
            config.volumes.push(VolumeConfig::parse(text)?);
        }
        if let Some(xattrs) = args.xattrs {
            for volume in &mut config.volumes {
                volume.xattrs = xattrs.into();
            }
        }
        if !args.option.is_empty() && config.volumes.is_empty() {
            let text = "--option sets options of volumes of --volume and --config; brickwire \
            volume set those of --state";
            return Err(Failure::usage(text));
        }
        for text in &args.option {
            let (key, value) = text
                .split_once('=')
                .ok_or_else(|| Failure::usage(format_args!("--option {text:?}: KEY=VALUE")))?;
            for volume in &mut config.volumes {
                // An unknown or ambiguous name is reported when the volume is verified.
                let key = full_name(key).unwrap_or(key);
                volume.options.insert(key.into(), value.into());
            }
        }
        if config.listen.is_empty() && config.sockets.is_empty() {
            config.listen.push(SocketAddr::from(([0, 0, 0, 0], PORT)));
        }
        if config.listen.is_empty() {
            let text = "clients get volfiles through --socket, but reach bricks over TCP: add \
            --listen 127.0.0.1:24007";
            return Err(Failure::usage(text));
        }
        if config.volumes.is_empty() && config.state.is_none() {
            let text = "nothing to serve: give --volume NAME=DIR or --state DIR";
            return Err(Failure::usage(text));
        }
        let mut conflicts = ConflictCheck::default();
        for volume in &config.volumes {
            volume.verify()?;
            conflicts.add(volume)?;
        }
        Ok(config)
    }

    pub(super) fn bind(&self) -> Result<Server, Failure> {
        let tcp = self.listen.iter().copied().map(Listen::Tcp);
        let unix = self.sockets.iter().cloned().map(Listen::Unix);
        let mut options =
            ServerOptions { listen: tcp.chain(unix).collect(), ..ServerOptions::default() };
        if let Some(threads) = self.threads {
            if !(1..=THREADS_MAX).contains(&threads) {
                return Err(Failure::usage(format_args!(
                    "threads: {threads} is not between 1 and {THREADS_MAX}"
                )));
            }
            options.threads = threads;
        }
        (options.limits.connections, options.limits.files) = room_for_descriptors(&options.limits);
        Server::bind(&options).map_err(cannot_listen)
    }

    /// Does the server use this host's name only because no other was configured?
    pub(super) fn is_named_by_itself(&self) -> bool {
        self.host.is_none()
            && self.listen.first().is_some_and(|address| address.ip().is_unspecified())
    }

    /// The name and port by which clients reach the server.
    pub(super) fn place(&self, server: &Server) -> Result<ServerAddress, Failure> {
        let address = server.addresses().first().copied();
        let host = match (&self.host, address.map(|address| address.ip())) {
            (Some(host), _) => host.clone(),
            (None, Some(ip)) if !ip.is_unspecified() => ip.to_string(),
            (None, Some(IpAddr::V4(_) | IpAddr::V6(_)) | None) => rustix::system::uname()
                .nodename()
                .to_str()
                .map_err(|_| Failure::usage("this host's name is not UTF-8: give --host NAME"))?
                .to_owned(),
        };
        Ok(ServerAddress {
            host,
            port: address.map(|address| address.port()),
            socket: self.sockets.first().cloned(),
        })
    }
}

fn address(text: &str, port: u16) -> Result<SocketAddr, Failure> {
    let bad = || {
        Failure::usage(format_args!(
            "{text:?} is not an address to listen on: expected ADDRESS:PORT"
        ))
    };
    // The resolver would take a bare port for an IPv4 address.
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(bad());
    }
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, port));
    }
    let with_port = if text.contains(':') { text.to_owned() } else { format!("{text}:{port}") };
    with_port.to_socket_addrs().ok().and_then(|mut all| all.next()).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_no_address_and_brackets_need_no_port() {
        for text in ["24007", "", ":24007", "[::1", "[::1]:x"] {
            assert!(address(text, PORT).is_err_and(|failure| failure.is_usage()), "{text:?}");
        }
        for (text, means) in [
            ("127.0.0.1", "127.0.0.1:24007"),
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("::1", "[::1]:24007"),
            ("[::1]", "[::1]:24007"),
            ("[::]:0", "[::]:0"),
        ] {
            assert_eq!(address(text, PORT).unwrap().to_string(), means);
        }
    }
}
