//! The state of a cluster as a file, for other processes.
//!
//! `state.json` is in the cluster's directory, and `target/cluster/state.json` links to it if that
//! is elsewhere. Pids and ports are those of the last `cargo xtask cluster` command; `cargo xtask
//! cluster status` updates them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::process::{self, Process};

/// The state of a cluster that is up, as in `state.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct State {
    /// Everything of the cluster is in here, absolute.
    pub dir: PathBuf,
    /// The bricks' host name in volfiles; it has both an IPv4 and an IPv6 loopback address.
    pub host: String,
    /// The same machine by a name that has an IPv4 address only.
    pub host_v4: String,
    /// The same machine by a name that has an IPv6 address only.
    pub host_v6: String,
    /// glusterd's TCP port.
    pub port: u16,
    /// glusterd's unix socket, for `gluster+unix` URIs and `gluster --glusterd-sock`.
    pub socket: PathBuf,
    /// glusterd's process id while it runs.
    pub glusterd_pid: Option<i32>,
    /// The volumes by name.
    pub volumes: BTreeMap<String, VolumeInfo>,
    /// Files that gluster created outside of `dir`, which `down` removes.
    pub outside: Vec<PathBuf>,
}

/// A volume of the cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VolumeInfo {
    /// The first brick's directory, which has all files of a volume of one brick.
    pub brick_dir: PathBuf,
    /// All bricks, in the volume's order.
    pub bricks: Vec<BrickInfo>,
    /// Number of copies.
    pub replica: usize,
    /// Whether the volume is started (its bricks may have been killed since).
    pub started: bool,
    /// Use of the volume.
    pub purpose: String,
}

/// A brick of a volume.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BrickInfo {
    /// Its directory.
    pub dir: PathBuf,
    /// Its process, while it runs.
    pub pid: Option<i32>,
    /// The TCP port it serves, while it runs.
    pub port: Option<u16>,
}

impl State {
    /// The state of the cluster in `dir`, if there is one.
    pub(super) fn load(dir: &Path) -> Result<Option<Self>> {
        let file = dir.join(FILE);
        match std::fs::read(&file) {
            Ok(bytes) => {
                let state = serde_json::from_slice(&bytes);
                Ok(Some(state.with_context(|| {
                    format!(
                        "{} is not a cluster's state: run `cargo xtask cluster down --dir {}`",
                        file.display(),
                        dir.display()
                    )
                })?))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("{} cannot be read", file.display())),
        }
    }

    /// Writes it for others, whole or not at all.
    pub(super) fn save(&self) -> Result<()> {
        let (file, draft) = (self.dir.join(FILE), self.dir.join("state.json.new"));
        let text = serde_json::to_string_pretty(self)? + "\n";
        std::fs::write(&draft, text)
            .and_then(|()| std::fs::rename(&draft, &file))
            .with_context(|| format!("{} cannot be written", file.display()))
    }

    /// The cluster's processes, as they are now.
    pub(super) fn processes(&self) -> Vec<Process> {
        process::inside(&self.dir)
    }

    /// Takes pids and ports from what runs now.
    pub(super) fn refresh(&mut self) {
        let running = self.processes();
        self.glusterd_pid =
            running.iter().find(|process| process.is_glusterd()).map(|process| process.pid);
        for brick in self.volumes.values_mut().flat_map(|volume| &mut volume.bricks) {
            let process =
                running.iter().find(|process| process.brick_dir().as_ref() == Some(&brick.dir));
            brick.pid = process.map(|process| process.pid);
            brick.port = process.and_then(Process::brick_port);
        }
        let sockets = running.iter().filter_map(Process::management_socket);
        self.outside.extend(sockets.filter(|socket| !socket.starts_with(&self.dir)));
        self.outside.sort();
        self.outside.dedup();
    }

    /// glusterd and every brick that has been started, whether or not they run now.
    pub(super) fn is_whole(&self) -> bool {
        let started = self.volumes.values().filter(|volume| volume.started);
        self.glusterd_pid.is_some()
            && started.flat_map(|volume| &volume.bricks).all(|brick| brick.pid.is_some())
    }
}

/// The state's name in the cluster's directory.
pub(super) const FILE: &str = "state.json";
