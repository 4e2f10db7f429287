//! From a URI on the command line to a volume and a path.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use brickwire_core::uri::Uri;
use brickwire_std::{Options, Privileged, Volume};

use crate::args::{Global, Ports};
use crate::failure::Failure;

/// A volume, and the path of the URI (empty for its root).
pub(crate) struct Place {
    pub(crate) volume: Volume,
    pub(crate) path: PathBuf,
}

pub(crate) fn options(global: &Global) -> Options {
    let privileged = match global.privileged_ports {
        Ports::Auto => Privileged::Auto,
        Ports::Never => Privileged::Never,
        Ports::Always => Privileged::Always,
    };
    let mut options = Options::new()
        .timeout(global.timeout)
        .connect_timeout(global.timeout.min(std::time::Duration::from_secs(10)))
        .connections_per_brick(global.connections)
        .privileged_ports(privileged)
        .process_name("brickwire");
    for server in &global.server {
        options = options.server(server);
    }
    options
}

/// Opens the volume of a URI.
pub(crate) fn open(text: &str, global: &Global) -> Result<Place, Failure> {
    let path = path_of(&parse(text)?);
    Ok(Place { volume: Volume::open_with(text, &options(global))?, path })
}

/// The path of a URI: names are bytes, whether they are text or not.
pub(crate) fn path_of(uri: &Uri<'_>) -> PathBuf {
    let bytes = uri.path().map(|path| path.bytes().collect()).unwrap_or_default();
    OsString::from_vec(bytes).into()
}

/// Opens the volume of a URI that must have a path.
pub(crate) fn open_path(text: &str, global: &Global) -> Result<Place, Failure> {
    Uri::parse_image(text).map_err(|error| Failure::Usage(format!("{text}: {error}")))?;
    open(text, global)
}

pub(crate) fn parse(text: &str) -> Result<Uri<'_>, Failure> {
    Uri::parse(text).map_err(|error| Failure::Usage(format!("{text}: {error}")))
}
