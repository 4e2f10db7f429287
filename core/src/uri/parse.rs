//! The grammar, with nom.

use core::net::Ipv6Addr;

use nom::branch::alt;
use nom::bytes::complete::{tag, take_while};
use nom::combinator::{opt, value};
use nom::sequence::{preceded, terminated};
use nom::{IResult, Parser};

use super::{Component, DEFAULT_PORT, Part, Transport, Uri, UriError, UriFault};

type Split<'a, T> = IResult<&'a str, T, ()>;

/// Parses a whole text.
pub(super) fn uri(text: &str) -> Result<Uri<'_>, UriError> {
    let at = |rest: &str| u32::try_from(text.len() - rest.len()).unwrap_or(u32::MAX);
    let error = |part, rest: &str, fault| UriError { part, offset: at(rest), fault };
    let Ok((rest, transport)) = scheme(text) else {
        return Err(error(Part::Scheme, text, UriFault::NotGluster));
    };
    if let Some(hash) = rest.find('#') {
        return Err(error(Part::Path, rest.get(hash..).unwrap_or_default(), UriFault::BadCharacter));
    }
    let Ok((rest, authority)) = until(rest, |c| c == '/' || c == '?') else {
        return Err(error(Part::Host, rest, UriFault::BadCharacter));
    };
    let offset = at(authority_start(text, authority));
    let (host, port) = server(authority, offset)?;
    let Ok((query, path)) = until(rest, |c| c == '?') else {
        return Err(error(Part::Path, rest, UriFault::BadCharacter));
    };
    let (volume, path) = volume_and_path(path, at(rest))?;
    let socket = parameters(query, at(query))?;
    let (host, port) = match transport {
        Transport::Unix => {
            if !authority.is_empty() {
                return Err(UriError { part: Part::Host, offset, fault: UriFault::NotHere });
            }
            if socket.is_none() {
                return Err(UriError { part: Part::Socket, offset: at(""), fault: UriFault::Missing });
            }
            (None, None)
        }
        Transport::Tcp | Transport::Rdma => {
            if socket.is_some() {
                return Err(error(Part::Socket, query, UriFault::NotHere));
            }
            let port = port.filter(|port| *port != 0).unwrap_or(DEFAULT_PORT);
            (Some(host.unwrap_or(Component::new("localhost"))), Some(port))
        }
    };
    Ok(Uri { transport, host, port, volume, path, socket })
}

fn scheme(text: &str) -> Split<'_, Transport> {
    let transport = opt(alt((
        value(Transport::Tcp, tag("+tcp")),
        value(Transport::Unix, tag("+unix")),
        value(Transport::Rdma, tag("+rdma")),
    )));
    let (rest, transport) = terminated(preceded(tag("gluster"), transport), tag("://")).parse(text)?;
    Ok((rest, transport.unwrap_or(Transport::Tcp)))
}

fn until(text: &str, stop: impl Fn(char) -> bool) -> Split<'_, &str> {
    take_while(|c| !stop(c)).parse(text)
}

/// The text from where `authority` begins.
fn authority_start<'a>(text: &'a str, authority: &str) -> &'a str {
    let from = text.find("://").map_or(0, |at| at + 3);
    debug_assert!(text.len() >= from + authority.len());
    text.get(from..).unwrap_or_default()
}

/// `[host[:port]]`
fn server(authority: &str, offset: u32) -> Result<(Option<Component<'_>>, Option<u16>), UriError> {
    let error = |part, skip: usize, fault| UriError { part, offset: offset + skip as u32, fault };
    let (host, port) = if let Some(inside) = authority.strip_prefix('[') {
        let Some((address, rest)) = inside.split_once(']') else {
            return Err(error(Part::Host, 0, UriFault::Unclosed));
        };
        // A zone follows a percent sign, which the zone's own RFC wants encoded and nobody does.
        let (plain, zone) = match address.split_once('%') {
            Some((plain, zone)) => (plain, Some(zone.strip_prefix("25").unwrap_or(zone))),
            None => (address, None),
        };
        let zone_is_sane = zone.is_none_or(|zone| !zone.is_empty() && zone.chars().all(is_host));
        if plain.parse::<Ipv6Addr>().is_err() || !zone_is_sane {
            return Err(error(Part::Host, 1, UriFault::NotIpv6));
        }
        let skip = address.len() + 2;
        match rest.strip_prefix(':') {
            Some(port) => (address, Some((port, skip + 1))),
            None if rest.is_empty() => (address, None),
            None => return Err(error(Part::Host, skip, UriFault::BadCharacter)),
        }
    } else {
        let (host, port) = match authority.split_once(':') {
            Some((host, port)) => (host, Some((port, host.len() + 1))),
            None => (authority, None),
        };
        if let Some(bad) = host.find(|c| !is_host(c)) {
            return Err(error(Part::Host, bad, UriFault::BadCharacter));
        }
        if host.is_empty() && port.is_some() {
            return Err(error(Part::Host, 0, UriFault::Missing));
        }
        (host, port)
    };
    let port = match port {
        None | Some(("", _)) => None,
        Some((digits, skip)) => {
            let number =
                digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten();
            Some(number.ok_or(error(Part::Port, skip, UriFault::NotAPort))?)
        }
    };
    Ok(((!host.is_empty()).then_some(Component::new(host)), port))
}

/// Letters, digits, and what host names and addresses have besides.
fn is_host(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '-' | '.' | '_' | '~')
}

/// `/volume[/path]`, with as many slashes as there may be.
fn volume_and_path(text: &str, offset: u32) -> Result<(Component<'_>, Option<Component<'_>>), UriError> {
    let inner = text.trim_start_matches('/');
    let at = offset + (text.len() - inner.len()) as u32;
    let (volume, path) = inner.split_once('/').unwrap_or((inner, ""));
    if volume.is_empty() {
        return Err(UriError { part: Part::Volume, offset: at, fault: UriFault::Missing });
    }
    let volume_part = component(Part::Volume, volume, at)?;
    if volume_part == "." || volume_part == ".." || volume_part.bytes().any(|byte| byte == b'/') {
        return Err(UriError { part: Part::Volume, offset: at, fault: UriFault::BadCharacter });
    }
    let image = path.trim_start_matches('/');
    let at = offset + (text.len() - image.len()) as u32;
    let image = if image.is_empty() { None } else { Some(component(Part::Path, image, at)?) };
    Ok((volume_part, image))
}

/// `[?socket=…]`
fn parameters(text: &str, offset: u32) -> Result<Option<Component<'_>>, UriError> {
    let Some(query) = text.strip_prefix('?') else { return Ok(None) };
    let mut socket = None;
    let mut at = offset + 1;
    for parameter in query.split(['&', ';']) {
        let (name, text) = parameter.split_once('=').unwrap_or((parameter, ""));
        if !parameter.is_empty() {
            if name != "socket" {
                return Err(UriError { part: Part::Query, offset: at, fault: UriFault::UnknownParameter });
            }
            if socket.is_some() {
                return Err(UriError { part: Part::Socket, offset: at, fault: UriFault::Repeated });
            }
            let value_at = at + name.len() as u32 + 1;
            if text.is_empty() {
                return Err(UriError { part: Part::Socket, offset: value_at, fault: UriFault::Missing });
            }
            socket = Some(component(Part::Socket, text, value_at)?);
        }
        at += parameter.len() as u32 + 1;
    }
    Ok(socket)
}

/// Checks a part: its escapes are complete, and what it means is UTF-8 without a NUL.
fn component(part: Part, text: &str, offset: u32) -> Result<Component<'_>, UriError> {
    let error = |skip: usize, fault| UriError { part, offset: offset + skip as u32, fault };
    let bytes = text.as_bytes();
    for (at, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'%') {
        let digits = bytes.get(at + 1..at + 3);
        if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
            return Err(error(at, UriFault::BadEscape));
        }
        if digits == Some(b"00") {
            return Err(error(at, UriFault::Nul));
        }
    }
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        return Err(error(at, UriFault::Nul));
    }
    let component = Component::new(text);
    if !is_utf8(component) {
        return Err(error(0, UriFault::NotUtf8));
    }
    Ok(component)
}

/// Is what it means UTF-8? Checked through a window of one character.
fn is_utf8(component: Component<'_>) -> bool {
    let (mut window, mut have) = ([0_u8; 4], 0_usize);
    for byte in component.bytes() {
        let Some(slot) = window.get_mut(have) else { return false };
        *slot = byte;
        have += 1;
        match window.get(..have).map(core::str::from_utf8) {
            Some(Ok(_)) => have = 0,
            Some(Err(error)) if error.error_len().is_none() => {}
            _ => return false,
        }
    }
    have == 0
}
