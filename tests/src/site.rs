//! The server of a test's volumes: glusterd and its bricks, or, with `BRICKWIRE_SITE=ours`,
//! `brickwire serve`. The same tests run on both.

use std::path::PathBuf;

use xtask::cluster::{Cluster, wait_until_stopped};

use crate::run;
use crate::serve::Served;

/// Volumes that can be dialled and whose bricks can be inspected.
pub trait Volumes {
    /// Host, and port if it is not the default one.
    fn server(&self) -> String;

    /// The directory of a volume's first brick.
    fn on_brick(&self, volume: &str) -> PathBuf;
}

impl Volumes for Cluster {
    fn server(&self) -> String {
        self.host().to_owned()
    }

    fn on_brick(&self, volume: &str) -> PathBuf {
        self.volume(volume).expect("known").brick_dir.clone()
    }
}

/// The server under test.
#[derive(Debug)]
pub enum Site {
    /// glusterd and its bricks.
    Real(Cluster),
    /// `brickwire serve`.
    Ours(Box<Served>),
}

/// The volumes of `cargo xtask cluster` that `brickwire serve` has, too.
const VOLUMES: &[(&str, &str)] =
    &[("single", ""), ("dist1", ""), ("quick", "\"network.ping-timeout\" = \"3\""), ("inet", "")];

/// The server, or `None` if interop tests are not enabled.
pub fn site() -> Option<Site> {
    if std::env::var_os("BRICKWIRE_SITE").is_none_or(|site| site != "ours") {
        return crate::cluster().map(Site::Real);
    }
    let served = Served::with(|dir| {
        let mut text = String::new();
        for (name, options) in VOLUMES {
            let brick = dir.join(name).display().to_string();
            text += &format!(
                "[[volume]]\nname = {name:?}\nbricks = [{brick:?}]\n[volume.options]\n{options}\n"
            );
        }
        let config = dir.join("serve.toml");
        std::fs::write(&config, text).expect("a file");
        vec!["--config".into(), config.display().to_string()]
    });
    Some(Site::Ours(Box::new(served)))
}

impl Volumes for Site {
    fn server(&self) -> String {
        match self {
            Self::Real(cluster) => cluster.server(),
            Self::Ours(served) => served.address().to_owned(),
        }
    }

    fn on_brick(&self, volume: &str) -> PathBuf {
        match self {
            Self::Real(cluster) => cluster.on_brick(volume),
            Self::Ours(served) => served.dir().join(volume),
        }
    }
}

impl Site {
    /// The server's host, without a port.
    pub fn host(&self) -> String {
        let server = self.server();
        server.split(':').next().unwrap_or_default().to_owned()
    }

    /// The server's port.
    pub fn port(&self) -> u16 {
        match self {
            Self::Real(cluster) => cluster.state().port,
            Self::Ours(served) => served.port(),
        }
    }

    /// Sends SIGKILL to the process that serves a volume.
    pub fn kill_brick(&mut self, volume: &str) {
        match self {
            Self::Real(cluster) => cluster.kill_brick(volume).expect("it dies"),
            Self::Ours(served) => served.kill(),
        }
    }

    /// Starts the process that serves a volume again.
    pub fn start_brick(&mut self, volume: &str) {
        match self {
            Self::Real(cluster) => cluster.start_brick(volume).expect("it starts"),
            Self::Ours(served) => served.start(),
        }
    }

    /// Stops the process with SIGSTOP: connections stay up, and nothing answers.
    pub fn freeze_brick(&mut self, volume: &str) {
        match self {
            Self::Real(cluster) => cluster.freeze_brick(volume).expect("it stops"),
            Self::Ours(served) => {
                run("kill", &["-STOP", &served.pid().to_string()]);
                let pid = served.pid().try_into().expect("a pid fits");
                wait_until_stopped(pid).expect("it stops");
            }
        }
    }

    /// Sends SIGCONT.
    pub fn thaw_brick(&mut self, volume: &str) {
        match self {
            Self::Real(cluster) => cluster.thaw_brick(volume).expect("it goes on"),
            Self::Ours(served) => drop(run("kill", &["-CONT", &served.pid().to_string()])),
        }
    }
}
