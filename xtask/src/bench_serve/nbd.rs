//! nbdkit, an NBD server of one file, for comparison.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::process::cpu_of;
use crate::command::read;
use crate::servers::end;

/// `nbdkit file` on a unix socket.
pub(super) struct Nbd {
    child: Child,
    pub(super) socket: PathBuf,
}

impl Nbd {
    /// `None` if nbdkit or fio's NBD engine is not installed.
    pub(super) fn start(file: &Path) -> Result<Option<Self>> {
        let engines = read(Command::new("fio").arg("--enghelp"))?;
        if !engines.lines().any(|line| line.trim() == "nbd") {
            return Ok(None);
        }
        let socket =
            std::env::temp_dir().join(format!("xtask-bench-serve-{}.socket", std::process::id()));
        let _absent = std::fs::remove_file(&socket);
        let mut command = Command::new("nbdkit");
        let spawned =
            command.args(["--foreground", "--unix"]).arg(&socket).arg("file").arg(file).spawn();
        let Ok(child) = spawned else { return Ok(None) };
        let nbd = Self { child, socket };
        let deadline = Instant::now() + Duration::from_secs(10);
        while !nbd.socket.exists() {
            if Instant::now() > deadline {
                bail!("nbdkit does not listen");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Some(nbd))
    }

    pub(super) fn cpu(&self) -> Result<f64> {
        cpu_of(self.child.id() as i32)
    }
}

impl Drop for Nbd {
    fn drop(&mut self) {
        end(&mut self.child);
        let _gone_already = std::fs::remove_file(&self.socket);
    }
}
