//! From a URI on the command line to a volume and a path.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use brickwire_core::uri::Uri;
use brickwire_std::{Options, Privileged, Volume};

use crate::args::Ports;
use crate::failure::Failure;
use crate::settings::Settings;

/// The longest time that a connection may take to come up.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// A volume, and the path of the URI (empty for its root).
pub(crate) struct Place {
    pub(crate) volume: Volume,
    pub(crate) path: PathBuf,
}

pub(crate) fn options(settings: &Settings) -> Options {
    let privileged = match settings.privileged_ports {
        Ports::Auto => Privileged::Auto,
        Ports::Never => Privileged::Never,
        Ports::Always => Privileged::Always,
    };
    let mut options = Options::new()
        .timeout(settings.timeout)
        // Shorter than the operation's own time: then a server that accepts and says nothing is
        // named.
        .connect_timeout(settings.timeout.mul_f64(0.8).min(CONNECT_MAX))
        .connections_per_brick(settings.connections)
        .privileged_ports(privileged)
        .process_name("brickwire");
    for server in &settings.servers {
        options = options.server(server);
    }
    options
}

/// Opens the volume of a URI.
pub(crate) fn open(text: &str, settings: &Settings) -> Result<Place, Failure> {
    let path = path_of(&parse(text)?);
    Ok(Place { volume: Volume::open_with(text, &options(settings))?, path })
}

/// Opens the volume of a URI that must have a path.
pub(crate) fn open_path(text: &str, settings: &Settings) -> Result<Place, Failure> {
    if parse(text)?.path().is_none() {
        let text = text.trim_end_matches('/');
        return Err(Failure::usage(format_args!(
            "{text}: names a whole volume: expected a path after it, as {text}/NAME"
        )));
    }
    open(text, settings)
}

pub(crate) fn parse(text: &str) -> Result<Uri<'_>, Failure> {
    Uri::parse(text).map_err(|error| Failure::usage(format_args!("{text}: {error}")))
}

/// The path of a URI: names are bytes, whether they are UTF-8 or not.
pub(crate) fn path_of(uri: &Uri<'_>) -> PathBuf {
    let bytes = uri.path().map(|path| path.bytes().collect()).unwrap_or_default();
    OsString::from_vec(bytes).into()
}

/// The URI `text` with another path.
pub(crate) fn with_path(text: &str, path: &Path) -> String {
    let (before, query) = match text.split_once('?') {
        Some((before, query)) => (before, format!("?{query}")),
        None => (text, String::new()),
    };
    // gluster://HOST/VOLUME/…: the path begins at the fourth slash.
    let volume_end = before.match_indices('/').nth(3).map_or(before.len(), |(at, _)| at);
    let relative = path.strip_prefix("/").unwrap_or(path);
    format!("{}/{}{query}", &before[..volume_end], encoded(relative))
}

/// A path as it is written in a URI.
pub(crate) fn encoded(path: &Path) -> String {
    let mut text = String::new();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                text.push(char::from(*byte))
            }
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_is_given_another_path() {
        let path = Path::new("d/a b");
        for (text, with) in [
            ("gluster://h:1/v/x/y", "gluster://h:1/v/d/a%20b"),
            ("gluster://h/v", "gluster://h/v/d/a%20b"),
            ("gluster+unix:///v/x?socket=/a/b", "gluster+unix:///v/d/a%20b?socket=/a/b"),
        ] {
            assert_eq!(with_path(text, path), with);
            assert_eq!(path_of(&parse(with).unwrap()), path);
        }
    }
}
