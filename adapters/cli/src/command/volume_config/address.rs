//! The address under which clients reach a server.

use std::path::PathBuf;

use crate::connect::encoded;

/// Host, port and unix socket under which clients reach a server.
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

    /// The URI for clients that fetch the volfile through the unix socket, if there is one.
    pub(crate) fn unix_uri(&self, volume: &str) -> Option<String> {
        Some(format!("gluster+unix:///{volume}?socket={}", encoded(self.socket.as_deref()?)))
    }
}
