//! The grammar, with nom.
//!
//! Lexers recognise a run of text and cannot say why they stopped; rules can. Both return the rest
//! of the text. A place is the length of the text before it, so offsets are computed once, in
//! [`uri`].

use core::net::Ipv6Addr;

use nom::branch::alt;
use nom::bytes::complete::{tag, tag_no_case, take_till, take_while, take_while1};
use nom::character::complete::{char, digit0, satisfy};
use nom::combinator::{opt, recognize, value};
use nom::multi::many0_count;
use nom::sequence::{delimited, preceded, terminated};
use nom::{IResult, Parser};

use super::query::query;
use super::{Component, DEFAULT_PORT, Part, Transport, Uri, UriError, UriFault};

/// A lexer's result: the rest of the text, and the part found.
type Lexed<'a, T> = IResult<&'a str, T, ()>;
/// A rule's result: likewise.
pub(super) type Ruled<'a, T> = Result<(&'a str, T), Stop<'a>>;

/// Why a rule stopped. The rest of the text begins at the fault.
pub(super) struct Stop<'a> {
    part: Part,
    rest: &'a str,
    fault: UriFault,
}

/// Stops a rule.
pub(super) fn stop<T>(part: Part, rest: &str, fault: UriFault) -> Result<T, Stop<'_>> {
    Err(Stop { part, rest, fault })
}

/// Parses a whole text.
pub(super) fn uri(text: &str) -> Result<Uri<'_>, UriError> {
    whole(text).map_err(|Stop { part, rest, fault }| {
        let offset = u32::try_from(text.len().saturating_sub(rest.len())).unwrap_or(u32::MAX);
        UriError { part, offset, fault }
    })
}

fn whole(text: &str) -> Result<Uri<'_>, Stop<'_>> {
    let Ok((rest, transport)) = scheme(text) else {
        return stop(Part::Scheme, text, UriFault::NotGluster);
    };
    let (rest, (host, port)) = match transport {
        Transport::Unix => no_server(rest)?,
        Transport::Tcp | Transport::Rdma => server(rest)?,
    };
    let (rest, volume) = volume(rest)?;
    let (rest, path) = path(rest)?;
    let (_, socket) = query(rest, transport)?;
    Ok(Uri { transport, host, port, volume, path, socket })
}

/// `gluster[+tcp|+unix|+rdma]://`
fn scheme(text: &str) -> Lexed<'_, Transport> {
    let transport = alt((
        value(Transport::Tcp, tag("+tcp")),
        value(Transport::Unix, tag("+unix")),
        value(Transport::Rdma, tag("+rdma")),
    ));
    let (rest, transport) = delimited(tag("gluster"), opt(transport), tag("://")).parse(text)?;
    Ok((rest, transport.unwrap_or(Transport::Tcp)))
}

type Server<'a> = (Option<Component<'a>>, Option<u16>);

/// The empty server between `gluster+unix://` and the volume.
fn no_server(text: &str) -> Ruled<'_, Server<'_>> {
    match text.strip_prefix(':') {
        Some(port) => stop(Part::Port, port, UriFault::NotHere),
        None if text.is_empty() || text.starts_with(['/', '?', '#']) => Ok((text, (None, None))),
        None => stop(Part::Host, text, UriFault::NotHere),
    }
}

/// `[server][:port]`
fn server(text: &str) -> Ruled<'_, Server<'_>> {
    // A user would end at an `@`, and could contain a colon that looks like that of a port.
    if let Ok((at, _)) = authority(text)
        && at.starts_with('@')
    {
        return stop(Part::Host, at, UriFault::BadCharacter);
    }
    let (rest, host) = if text.starts_with('[') { bracketed(text)? } else { name(text)? };
    let (rest, port) = match rest.strip_prefix(':') {
        Some(digits) => port(digits)?,
        None => (rest, 0),
    };
    match rest.chars().next() {
        None | Some('/' | '?' | '#') => {
            Ok((rest, (Some(host), Some(if port == 0 { DEFAULT_PORT } else { port }))))
        }
        Some('\0') => stop(Part::Host, rest, UriFault::Nul),
        Some(c) if c.is_ascii() => stop(Part::Host, rest, UriFault::BadCharacter),
        Some(_) => stop(Part::Host, rest, UriFault::NotEncoded),
    }
}

/// The text up to an `@`, or to the end of a server.
fn authority(text: &str) -> Lexed<'_, &str> {
    take_till(|c| matches!(c, '@' | '/' | '?' | '#')).parse(text)
}

/// A host's name or its IPv4 address; `localhost` where there is none.
fn name(text: &str) -> Ruled<'_, Component<'_>> {
    let (rest, name) = component(Part::Host, text, is_unreserved)?;
    if name.is_empty() {
        return Ok((rest, Component::new("localhost")));
    }
    // RFC 3986, 3.2.2: characters beyond ASCII are encoded UTF-8, and the resolver interprets them.
    match name.chars().find(|(_, c)| !c.is_none_or(|c| is_unreserved(c) || !c.is_ascii())) {
        Some((at, _)) => stop(Part::Host, after(text, at), UriFault::BadCharacter),
        None => Ok((rest, name)),
    }
}

/// `[address]` or `[address%25zone]`
fn bracketed(text: &str) -> Ruled<'_, Component<'_>> {
    let inside: Lexed<'_, &str> = preceded(char('['), take_till(|c| c == ']')).parse(text);
    let Ok((rest, inside)) = inside else { return stop(Part::Host, text, UriFault::BadCharacter) };
    let Some(rest) = rest.strip_prefix(']') else {
        return stop(Part::Host, text, UriFault::Unclosed);
    };
    let begin = after(text, 1);
    let (address, zone) = match inside.split_once('%') {
        Some((address, zone)) => (address, Some(zone)),
        None => (inside, None),
    };
    if address.parse::<Ipv6Addr>().is_err() {
        return stop(Part::Host, begin, UriFault::NotIpv6);
    }
    if zone.is_some_and(|zone| !is_zone(zone)) {
        return stop(Part::Host, after(begin, address.len()), UriFault::NotAZone);
    }
    Ok((rest, Component::new(inside)))
}

/// Whether `text` is a zone, after its percent sign. RFC 6874 wants that sign encoded, and people
/// do not encode it: a bare one is accepted where it cannot be mistaken for an escape.
fn is_zone(text: &str) -> bool {
    let escape: Lexed<'_, &str> = two_hex_digits(text);
    let zone = match (text.strip_prefix("25"), escape) {
        (Some(zone), _) => zone,
        (None, Ok(_)) => return false,
        (None, Err(_)) => text,
    };
    !zone.is_empty() && zone.chars().all(is_unreserved)
}

fn port(text: &str) -> Ruled<'_, u16> {
    let digits: Lexed<'_, &str> = digit0.parse(text);
    match digits.map(|(rest, digits)| (rest, digits.parse())) {
        Ok((rest, Ok(port))) if rest.is_empty() || rest.starts_with(['/', '?', '#']) => {
            Ok((rest, port))
        }
        _ => stop(Part::Port, text, UriFault::NotAPort),
    }
}

/// `/volume`, after any number of slashes.
fn volume(text: &str) -> Ruled<'_, Component<'_>> {
    let slashes: Lexed<'_, &str> = take_while(|c| c == '/').parse(text);
    let text = slashes.map_or(text, |(rest, _)| rest);
    let (rest, volume) = component(Part::Volume, text, is_segment)?;
    ends(Part::Volume, rest, &['/', '?'])?;
    if volume.is_empty() {
        return stop(Part::Volume, text, UriFault::Missing);
    }
    if volume == "." || volume == ".." {
        return stop(Part::Volume, text, UriFault::NotAVolume);
    }
    match volume.chars().find(|(_, c)| *c == Some('/')) {
        Some((at, _)) => stop(Part::Volume, after(text, at), UriFault::NotAVolume),
        None => Ok((rest, volume)),
    }
}

/// `/path`. Slashes before it are not part of it, encoded or not.
fn path(text: &str) -> Ruled<'_, Option<Component<'_>>> {
    let slashes: Lexed<'_, usize> = many0_count(alt((tag("/"), tag_no_case("%2F")))).parse(text);
    let text = slashes.map_or(text, |(rest, _)| rest);
    let (rest, path) = component(Part::Path, text, |c| is_segment(c) || c == '/')?;
    ends(Part::Path, rest, &['?'])?;
    Ok((rest, (!path.is_empty()).then_some(path)))
}

/// A run of `allowed` characters and of escapes. The escapes are complete, contain no NUL, and,
/// except in a path, decode to UTF-8: names of files are bytes.
pub(super) fn component<'a>(
    part: Part,
    text: &'a str,
    allowed: impl Fn(char) -> bool,
) -> Ruled<'a, Component<'a>> {
    let escape = preceded(char('%'), two_hex_digits);
    let run: Lexed<'_, &str> =
        recognize(many0_count(alt((take_while1(|c| c != '%' && allowed(c)), escape)))).parse(text);
    let (rest, raw) = run.unwrap_or((text, ""));
    if rest.starts_with('%') {
        return stop(part, rest, UriFault::BadEscape);
    }
    let component = Component::new(raw);
    let nul = component.located_bytes().find(|(_, byte)| *byte == 0);
    let no_text = component.chars().find(|(_, c)| c.is_none() && part != Part::Path);
    match (nul, no_text) {
        (Some((at, _)), None) => stop(part, after(text, at), UriFault::Nul),
        (Some((at, _)), Some((other, _))) if at < other => {
            stop(part, after(text, at), UriFault::Nul)
        }
        (_, Some((at, _))) => stop(part, after(text, at), UriFault::NotUtf8),
        (None, None) => Ok((rest, component)),
    }
}

/// Stops unless the text after a part is at its end or begins with one of `ends`.
pub(super) fn ends<'a>(part: Part, rest: &'a str, ends: &[char]) -> Result<(), Stop<'a>> {
    match rest.chars().next() {
        None => Ok(()),
        Some(c) if ends.contains(&c) => Ok(()),
        Some('\0') => stop(part, rest, UriFault::Nul),
        Some(_) => stop(part, rest, UriFault::NotEncoded),
    }
}

fn two_hex_digits(text: &str) -> Lexed<'_, &str> {
    let digit = |c: char| c.is_ascii_hexdigit();
    recognize(terminated(satisfy(digit), satisfy(digit))).parse(text)
}

/// The text after its first `bytes` bytes.
fn after(text: &str, bytes: usize) -> &str {
    text.get(bytes..).unwrap_or_default()
}

/// RFC 3986, 2.3.
pub(super) fn is_unreserved(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~')
}

/// RFC 3986, 3.3: characters that a segment of a path may have unescaped (`pchar`).
pub(super) fn is_segment(c: char) -> bool {
    is_unreserved(c)
        || matches!(c, '!' | '$' | '&' | '\'' | '(' | ')' | '*' | '+' | ',' | ';' | '=' | ':' | '@')
}
