//! Host names to addresses, on a thread of their own.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{Receiver, TryRecvError, channel};

use brickwire_core::volume::{Closed, Family};

use super::{Waker, reason};

/// A lookup in progress, or its result.
pub(crate) enum Lookup {
    Done(Found),
    /// The resolver may block, so it runs on a thread, which wakes the loop at the end.
    Asked(Receiver<Found>),
}

/// The addresses in the order to try them, or the reason why there are none.
pub(crate) type Found = Result<Vec<SocketAddr>, Closed>;

impl Lookup {
    /// Begins a lookup. An address is its own result.
    pub(crate) fn begin(host: &str, port: u16, family: Family, waker: &Waker) -> Self {
        if let Some(address) = literal(host, port) {
            return Self::Done(Ok(vec![address]));
        }
        let (send, receive) = channel();
        let (host, waker) = (host.to_owned(), waker.clone());
        let asked = std::thread::Builder::new().name("brickwire-resolve".into()).spawn(move || {
            let found = (host.as_str(), port).to_socket_addrs();
            let found =
                found.map(|found| order(found.collect(), family)).map_err(|error| why(&error));
            // The connection attempt may have ended.
            let _ = send.send(found);
            waker.wake();
        });
        match asked {
            Ok(_) => Self::Asked(receive),
            Err(_) => Self::Done(Err(Closed::Exhausted)),
        }
    }

    /// The result, once there is one.
    pub(crate) fn poll(&mut self) -> Option<Found> {
        match self {
            Self::Done(found) => Some(std::mem::replace(found, Ok(Vec::new()))),
            Self::Asked(receive) => match receive.try_recv() {
                Ok(found) => Some(found),
                Err(TryRecvError::Empty) => None,
                Err(TryRecvError::Disconnected) => Some(Err(Closed::Unresolved)),
            },
        }
    }
}

/// The reason of a failed lookup. Exhaustion means that the resolver could not open its files.
fn why(error: &std::io::Error) -> Closed {
    match reason(error) {
        Closed::Exhausted => Closed::Exhausted,
        _ => Closed::Unresolved,
    }
}

/// Parses an IP address. An IPv6 address may have a zone, by name or number.
fn literal(host: &str, port: u16) -> Option<SocketAddr> {
    if let Some((address, zone)) = host.split_once('%') {
        let address = address.parse().ok()?;
        let zone = zone.parse().ok().or_else(|| interface(zone))?;
        return Some(std::net::SocketAddrV6::new(address, port, 0, zone).into());
    }
    let address: IpAddr = host.parse().ok()?;
    Some(SocketAddr::new(address, port))
}

/// The index of a network interface.
fn interface(name: &str) -> Option<u32> {
    let index = std::fs::read_to_string(format!("/sys/class/net/{name}/ifindex")).ok()?;
    index.trim().parse().ok()
}

/// Sorts addresses for trying: alternating families, IPv6 first, each in the resolver's order (RFC
/// 8305 section 4).
fn order(found: Vec<SocketAddr>, family: Family) -> Vec<SocketAddr> {
    let (mut six, mut four): (Vec<_>, Vec<_>) = found.into_iter().partition(SocketAddr::is_ipv6);
    match family {
        // The volfile's address family is a preference: the name of a brick of an inet6 volume may
        // have IPv4 addresses only.
        Family::Inet if !four.is_empty() => six.clear(),
        Family::Inet6 if !six.is_empty() => four.clear(),
        _ => {}
    }
    let mut ordered = Vec::with_capacity(six.len() + four.len());
    let (mut six, mut four) = (six.into_iter(), four.into_iter());
    loop {
        let pair = (six.next(), four.next());
        if pair == (None, None) {
            ordered.dedup();
            return ordered;
        }
        ordered.extend(pair.0);
        ordered.extend(pair.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns_and_the_sixth_version_goes_first() {
        let found = addresses(&["10.0.0.1:1", "10.0.0.2:1", "[::1]:1", "[::2]:1", "10.0.0.3:1"]);
        let expected = addresses(&["[::1]:1", "10.0.0.1:1", "[::2]:1", "10.0.0.2:1", "10.0.0.3:1"]);
        assert_eq!(order(found, Family::Any), expected);
    }

    #[test]
    fn the_family_of_the_volume_is_kept_where_there_is_one() {
        let found = addresses(&["10.0.0.1:1", "[::1]:1"]);
        assert_eq!(order(found.clone(), Family::Inet), addresses(&["10.0.0.1:1"]));
        assert_eq!(order(found, Family::Inet6), addresses(&["[::1]:1"]));
        assert_eq!(order(addresses(&["10.0.0.1:1"]), Family::Inet6), addresses(&["10.0.0.1:1"]));
    }

    #[test]
    fn an_address_needs_no_resolver() {
        assert_eq!(literal("127.0.0.1", 7), Some("127.0.0.1:7".parse().unwrap()));
        assert_eq!(literal("::1", 7), Some("[::1]:7".parse().unwrap()));
        assert_eq!(literal("fe80::1%3", 7), Some("[fe80::1%3]:7".parse().unwrap()));
        assert_eq!(literal("node1", 7), None);
    }
}
