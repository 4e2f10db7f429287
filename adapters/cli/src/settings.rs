//! Settings of a command: from its options, the environment (which clap reads), and TOML files.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::args::{Args, Connection, Ports};
use crate::failure::Failure;
use crate::toml_error::fault_in;

/// Names one file to read instead of the usual ones.
const FILE_VARIABLE: &str = "BRICKWIRE_CONFIG";
const SYSTEM_FILE: &str = "/etc/brickwire/config.toml";
const STATE: &str = "/var/lib/brickwire";

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) json: bool,
    pub(crate) timeout: Duration,
    pub(crate) connections: u8,
    pub(crate) privileged_ports: Ports,
    pub(crate) servers: Vec<String>,
    pub(crate) state: PathBuf,
}

/// A settings file.
#[derive(Debug, Default, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct File {
    servers: Option<Vec<String>>,
    timeout: Option<f64>,
    connections: Option<u8>,
    privileged_ports: Option<Ports>,
    state: Option<PathBuf>,
}

impl Settings {
    pub(crate) fn of(args: &Args) -> Result<Self, Failure> {
        let files = files()?;
        Self::merged(args.common.json, args.command.connection(), files)
    }

    /// Command line and environment come first, then the files in order.
    fn merged(
        json: bool,
        connection: Option<&Connection>,
        files: Vec<File>,
    ) -> Result<Self, Failure> {
        let Connection { timeout, connections, privileged_ports, server } =
            connection.cloned().unwrap_or_default();
        let mut merged = File { connections, privileged_ports, ..File::default() };
        if !server.is_empty() {
            merged.servers = Some(server);
        }
        for file in files {
            merged = File {
                servers: merged.servers.or(file.servers),
                timeout: merged.timeout.or(file.timeout),
                connections: merged.connections.or(file.connections),
                privileged_ports: merged.privileged_ports.or(file.privileged_ports),
                state: merged.state.or(file.state),
            };
        }
        let from_file = merged.timeout.map(Duration::from_secs_f64);
        Ok(Self {
            json,
            timeout: timeout.or(from_file).unwrap_or(Duration::from_secs(60)),
            connections: merged.connections.unwrap_or(1),
            privileged_ports: merged.privileged_ports.unwrap_or_default(),
            servers: merged.servers.unwrap_or_default(),
            state: merged.state.unwrap_or_else(|| STATE.into()),
        })
    }
}

/// The files that exist, the user's before the system's.
fn files() -> Result<Vec<File>, Failure> {
    if let Some(path) = std::env::var_os(FILE_VARIABLE) {
        let path = Path::new(&path);
        let text = std::fs::read_to_string(path).map_err(|error| {
            Failure::usage(format_args!("{FILE_VARIABLE}: {}: {error}", path.display()))
        })?;
        return Ok(vec![parse(path, &text)?]);
    }
    let home = std::env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".config")));
    let user = home.map(|home| home.join("brickwire/config.toml"));
    let mut files = Vec::new();
    for path in user.into_iter().chain([PathBuf::from(SYSTEM_FILE)]) {
        match std::fs::read_to_string(&path) {
            Ok(text) => files.push(parse(&path, &text)?),
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::NotFound
                        | std::io::ErrorKind::NotADirectory
                        | std::io::ErrorKind::PermissionDenied
                ) => {}
            Err(error) => return Err(Failure::usage(format_args!("{}: {error}", path.display()))),
        }
    }
    Ok(files)
}

fn parse(path: &Path, text: &str) -> Result<File, Failure> {
    let failed = |what: String| Failure::usage(format_args!("{}, {what}", path.display()));
    let file: File = toml::from_str(text).map_err(|error| failed(fault_in(text, &error)))?;
    let good = |timeout: f64| timeout > 0.0 && Duration::try_from_secs_f64(timeout).is_ok();
    if file.timeout.is_some_and(|timeout| !good(timeout)) {
        return Err(failed("timeout: expected a number of seconds above 0".into()));
    }
    if file.connections.is_some_and(|connections| !(1..=2).contains(&connections)) {
        return Err(failed("connections: expected 1 or 2".into()));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_come_before_files_and_the_first_file_before_the_second() {
        let path = Path::new("config.toml");
        let files = || {
            vec![
                parse(path, "timeout = 5\nservers = [\"a\"]").unwrap(),
                parse(path, "timeout = 2.5\nconnections = 2\nprivileged-ports = \"never\"")
                    .unwrap(),
            ]
        };
        let settings = Settings::merged(false, None, files()).unwrap();
        assert_eq!(settings.timeout, Duration::from_secs(5));
        assert_eq!((settings.connections, settings.privileged_ports), (2, Ports::Never));
        assert_eq!(settings.servers, ["a"]);
        let options = Connection {
            timeout: Some(Duration::from_secs(1)),
            server: vec!["b".into(), "c".into()],
            ..Connection::default()
        };
        let settings = Settings::merged(false, Some(&options), files()).unwrap();
        assert_eq!(settings.timeout, Duration::from_secs(1));
        assert_eq!(settings.servers, ["b", "c"]);
    }

    #[test]
    fn a_wrong_file_is_refused_with_its_line() {
        let path = Path::new("config.toml");
        for (text, says) in [
            ("tls = true", "config.toml, line 1: unknown field `tls`"),
            ("timeout = 3\nconnections = 9", "expected 1 or 2"),
            ("timeout = -1", "above 0"),
            ("timeout = inf", "above 0"),
            ("\nservers = 7", "line 2"),
        ] {
            let failure = parse(path, text).unwrap_err();
            assert!(failure.is_usage() && failure.to_string().contains(says), "{failure}");
        }
    }
}
