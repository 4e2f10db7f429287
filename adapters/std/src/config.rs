//! The core's configuration from a URI and options.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use brickwire_core::uri::{Transport, Uri};
use brickwire_core::volume::{Config, Identity, Server};

use crate::{Error, ErrorKind, Options, Privileged, Result};

/// Makes the core's configuration.
pub(crate) fn config(text: &str, uri: &Uri<'_>, options: &Options) -> Result<Config> {
    let too_long =
        |what: &str| Error::new(ErrorKind::Uri, format!("{text}: the {what} is too long"));
    let mut config = Config::new();
    config.volume =
        uri.volume().to_string().as_str().try_into().map_err(|_| too_long("volume name"))?;
    let first = match uri.transport() {
        Transport::Rdma => {
            let what = format!("{text}: the rdma transport is not there yet: use gluster+tcp://");
            return Err(Error::new(ErrorKind::Unsupported, what));
        }
        Transport::Unix => {
            let path = uri.socket().map(|socket| socket.to_string()).unwrap_or_default();
            Server::Unix { path: path.as_str().try_into().map_err(|_| too_long("socket's path"))? }
        }
        Transport::Tcp => {
            let host =
                uri.host().map(|host| host.to_string()).unwrap_or_else(|| "localhost".into());
            let port = uri.port().unwrap_or(24007);
            Server::Tcp { host: host.as_str().try_into().map_err(|_| too_long("host name"))?, port }
        }
    };
    let further = options.servers.iter().map(|server| further_server(server));
    for server in std::iter::once(Ok(first)).chain(further) {
        let most = brickwire_core::volume::SERVERS_MAX;
        config.servers.push(server?).map_err(|_| {
            Error::new(ErrorKind::Invalid, format!("more than {most} volfile servers"))
        })?;
    }
    let process =
        if options.process_name.is_empty() { program() } else { options.process_name.clone() };
    config.process_name = cut(&process);
    config.host_name = cut(&rustix::system::uname().nodename().to_string_lossy());
    config.process_id = std::process::id();
    getrandom::fill(&mut config.entropy)
        .map_err(|error| Error::new(ErrorKind::System, format!("no random numbers: {error}")))?;
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    config.unix_nanos_at_zero = u64::try_from(unix.as_nanos()).unwrap_or(0);
    let millis = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
    config.op_timeout_ms = millis(options.timeout).max(1);
    config.handshake_timeout_ms = millis(options.connect_timeout).max(1);
    config.ping_timeout_ms = options.ping_timeout.map(millis);
    config.connections_per_brick = options.connections;
    config.privileged_ports = match options.privileged {
        Privileged::Always => true,
        Privileged::Never => false,
        Privileged::Auto => may_bind_low_ports(),
    };
    config.identity = Identity {
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
    };
    if config.identity.uid != 0 {
        // A credential has room for a limited number of groups; the rest is cut, as in GlusterFS.
        // Bricks with `server.manage-gids` look groups up themselves.
        let groups = rustix::process::getgroups().unwrap_or_default();
        config.groups.extend(
            groups.iter().map(|group| group.as_raw()).take(brickwire_core::volume::GROUPS_MAX),
        );
    }
    Ok(config)
}

/// `HOST`, `HOST:PORT`, `[V6]` or `[V6]:PORT`.
fn further_server(text: &str) -> Result<Server> {
    let bad =
        || Error::new(ErrorKind::Invalid, format!("server {text}: expected HOST or HOST:PORT"));
    let (host, port) = match text.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(Some((host, rest))) => (host, rest.strip_prefix(':')),
        Some(None) => return Err(bad()),
        None => match text.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') => (host, Some(port)),
            _ => (text, None),
        },
    };
    // A host with colons is an IPv6 address, perhaps with a zone.
    let address = host.split_once('%').map_or(host, |(address, _)| address);
    if host.is_empty() || host.contains(':') && address.parse::<std::net::Ipv6Addr>().is_err() {
        return Err(bad());
    }
    let port = port.map_or(Ok(24007), str::parse).map_err(|_| bad())?;
    Ok(Server::Tcp { host: host.try_into().map_err(|_| bad())?, port })
}

/// The longest beginning of a text that fits.
fn cut<const N: usize>(text: &str) -> heapless::String<N> {
    let mut short = heapless::String::new();
    for c in text.chars() {
        if short.push(c).is_err() {
            break;
        }
    }
    short
}

fn program() -> String {
    let path = std::env::args_os().next().unwrap_or_default();
    let name =
        std::path::Path::new(&path).file_name().unwrap_or_default().to_string_lossy().into_owned();
    format!("gfapi.{name}")
}

/// Whether this process may bind ports below 1024: root, or any user if the system allows it.
fn may_bind_low_ports() -> bool {
    let first = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    rustix::process::geteuid().is_root()
        || first.is_ok_and(|first| first.trim().parse::<u32>().is_ok_and(|first| first <= 512))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn further_servers_are_hosts_or_addresses_with_or_without_a_port() {
        let parts = |text: &str| match further_server(text) {
            Ok(Server::Tcp { host, port }) => Some((host.to_string(), port)),
            _ => None,
        };
        for (text, host, port) in [
            ("node2", "node2", 24007),
            ("node2:24008", "node2", 24008),
            ("10.0.0.1:1", "10.0.0.1", 1),
            ("::1", "::1", 24007),
            ("[::1]:24008", "::1", 24008),
            ("[fe80::1%eth0]", "fe80::1%eth0", 24007),
        ] {
            assert_eq!(parts(text), Some((host.into(), port)), "{text}");
        }
        for text in ["", ":24007", "bad:port:x", "a:99999", "a:", "[::1", "[node]:x", "[]"] {
            assert_eq!(parts(text), None, "{text}");
        }
    }
}
