//! One server process: glusterd of a host, or a brick with its disk.

use brickwire_core::server::{Server, ServerConfig, ServerLimits, ServerMemory};

use crate::disk::Disk;

/// A server process, running or not.
#[derive(Debug)]
pub struct Process {
    /// Its host.
    pub host: usize,
    /// Its brick; `None` for glusterd.
    pub brick: Option<usize>,
    /// The port that it listens on while it runs.
    pub port: u16,
    /// The server, while it runs.
    pub server: Option<Server<'static>>,
    /// Its storage, which outlives it.
    pub disk: Disk,
    /// How often it was started.
    pub starts: u32,
}

impl Process {
    /// Starts it. Each start has a process-uuid of its own.
    pub fn start(&mut self, name: &str, port: u16, limits: &ServerLimits) {
        self.starts += 1;
        let uuid = format!("{name}-{}", self.starts);
        let config = ServerConfig {
            process_uuid: uuid.as_str().try_into().expect("short"),
            hash_seed: u64::from(self.starts),
            ..ServerConfig::default()
        };
        self.port = port;
        self.server =
            Some(Server::new(config, limits, ServerMemory::on_heap(limits)).expect("sane limits"));
    }
}
