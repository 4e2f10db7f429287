//! Where a server is, for its clients.

use std::path::PathBuf;

use crate::connect::encoded;

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
