//! `?socket=…`, the only parameter.

use super::parse::{Ruled, component, ends, is_segment, stop};
use super::{Component, Part, Transport, UriFault};

/// The query of a URI: nothing, or a question mark and parameters. Empty parameters are skipped.
pub(super) fn query(text: &str, transport: Transport) -> Ruled<'_, Option<Component<'_>>> {
    let mut socket = None;
    let mut rest = text.strip_prefix('?').unwrap_or(text);
    while !rest.is_empty() {
        // As in QEMU, a semicolon separates parameters if no ampersand follows.
        let separator = if rest.contains('&') { '&' } else { ';' };
        let begin = rest.trim_start_matches(separator);
        if begin.len() < rest.len() {
            rest = begin;
            continue;
        }
        let (behind, name) =
            component(Part::Query, begin, |c| is_query(c) && c != '=' && c != separator)?;
        ends(Part::Query, behind, &['=', separator])?;
        if name != "socket" {
            return stop(Part::Query, begin, UriFault::UnknownParameter);
        }
        if transport != Transport::Unix {
            return stop(Part::Socket, begin, UriFault::NotHere);
        }
        if socket.is_some() {
            return stop(Part::Socket, begin, UriFault::Repeated);
        }
        let begin = behind.strip_prefix('=').unwrap_or(behind);
        let (behind, path) = component(Part::Socket, begin, |c| is_query(c) && c != separator)?;
        ends(Part::Socket, behind, &[separator])?;
        if path.is_empty() {
            return stop(Part::Socket, begin, UriFault::Missing);
        }
        socket = Some(path);
        rest = behind;
    }
    if transport == Transport::Unix && socket.is_none() {
        return stop(Part::Socket, rest, UriFault::Missing);
    }
    Ok((rest, socket))
}

/// RFC 3986, 3.4.
fn is_query(c: char) -> bool {
    is_segment(c) || matches!(c, '/' | '?')
}
