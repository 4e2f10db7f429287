//! From a host name to addresses, without the loop waiting for it.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{Receiver, TryRecvError, channel};

use brickwire_core::volume::{Closed, Family};

use super::{Waker, reason};

/// A lookup that is under way, or its result.
pub(crate) enum Lookup {
    Done(Found),
    /// The resolver may block: it has a thread of its own, which wakes the loop when it is done.
    Asked(Receiver<Found>),
}

/// The addresses, in the order in which they are to be tried, or why there are none.
pub(crate) type Found = Result<Vec<SocketAddr>, Closed>;

impl Lookup {
    /// Addresses are taken as they are; names are asked for.
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
            // The dial may be over already.
            let _ = send.send(found);
            waker.wake();
        });
        match asked {
            Ok(_) => Self::Asked(receive),
            Err(_) => Self::Done(Err(Closed::Exhausted)),
        }
    }

    /// The addresses, once they are known.
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

/// Why a resolver found nothing. One that could not open its files says so.
fn why(error: &std::io::Error) -> Closed {
    match reason(error) {
        Closed::Exhausted => Closed::Exhausted,
        _ => Closed::Unresolved,
    }
}

/// An address as a URI or a volfile spells it; the zone of an IPv6 address by name or number.
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

/// The order in which addresses are tried: families in turn, IPv6 first, each in the resolver's own order (RFC 8305 §4).
fn order(found: Vec<SocketAddr>, family: Family) -> Vec<SocketAddr> {
    let (mut six, mut four): (Vec<_>, Vec<_>) = found.into_iter().partition(SocketAddr::is_ipv6);
    match family {
        // A volume of family inet6 may well live behind a name that has an IPv4 address only: what the volfile says is
        // a preference, not a reason to fail.
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
