//! Where a server is, for its clients.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// How clients reach the server.
#[derive(Clone, Debug)]
pub(crate) struct ServerAddress {
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
    pub(crate) socket: Option<PathBuf>,
}

impl ServerAddress {
    pub(crate) fn uri(&self, volume: &str) -> String {
        let host =
            if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        match self.port {
            Some(port) if port != 24007 => format!("gluster://{host}:{port}/{volume}"),
            _ => format!("gluster://{host}/{volume}"),
        }
    }

    /// The same for whoever asks for the volfile through the unix socket, if there is one.
    pub(crate) fn unix_uri(&self, volume: &str) -> Option<String> {
        Some(format!("gluster+unix:///{volume}?socket={}", encoded(self.socket.as_deref()?)))
    }
}

/// A path as it stands in a URI.
fn encoded(path: &Path) -> String {
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
