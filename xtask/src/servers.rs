//! Two servers of directories on one disk, for comparison: glusterfsd in the cluster, and
//! `brickwire serve` in a network namespace of its own.
//!
//! Clients of GlusterFS dial port 24007 and no other, and the cluster's glusterd has it; so
//! `brickwire serve` gets the port in a network namespace, and every client is started in the
//! namespace of its server.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::cluster::Cluster;
use crate::command::read;

/// A volume on a server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Server<'a> {
    /// The process that serves the volume's brick.
    pub(crate) pid: i32,
    pub(crate) host: &'a str,
    pub(crate) volume: &'a str,
}

impl Server<'_> {
    /// A command in the server's network namespace.
    pub(crate) fn client(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.pid.to_string(), "--net"]).arg(program.as_ref());
        command
    }
}

/// A volume of one brick that the cluster has as long as this value lives.
pub(crate) struct Glusterfsd<'c> {
    cluster: &'c Cluster,
    volume: &'static str,
    dir: PathBuf,
    pid: i32,
}

impl<'c> Glusterfsd<'c> {
    pub(crate) fn start(cluster: &'c Cluster, volume: &'static str) -> Result<Self> {
        let dir = cluster.state().dir.join("bricks").join(volume);
        let mut real = Self { cluster, volume, dir, pid: 0 };
        // An interrupted run leaves its volume.
        let _absent = real.remove_volume();
        let brick = format!("{}:{}", cluster.host(), real.dir.display());
        real.gluster(&["volume", "create", volume, &brick, "force"])?;
        real.gluster(&["volume", "start", volume])?;
        real.pid = real.find()?;
        Ok(real)
    }

    /// The brick's process, once it serves.
    fn find(&self) -> Result<i32> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let found = self.cluster.brick_process(&self.dir);
            if let Some((pid, port)) = found
                && std::net::TcpStream::connect((self.cluster.host(), port)).is_ok()
            {
                return Ok(pid);
            }
            if Instant::now() > deadline {
                bail!("the brick of volume {} does not serve", self.volume);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn gluster(&self, args: &[&str]) -> Result<()> {
        self.cluster.gluster(args).map(drop)
    }

    pub(crate) fn set(&self, options: &[(&str, &str)]) -> Result<()> {
        options
            .iter()
            .try_for_each(|(key, value)| self.gluster(&["volume", "set", self.volume, key, value]))
    }

    /// A directory beside the brick, on the same disk.
    pub(crate) fn sibling(&self, name: &str) -> PathBuf {
        self.dir.with_file_name(name)
    }

    pub(crate) fn server(&self) -> Server<'_> {
        Server { pid: self.pid, host: self.cluster.host(), volume: self.volume }
    }

    fn remove_volume(&self) -> Result<()> {
        let stopped = self.gluster(&["volume", "stop", self.volume, "force"]);
        self.gluster(&["volume", "delete", self.volume])?;
        stopped?;
        std::fs::remove_dir_all(&self.dir)
            .with_context(|| format!("{} cannot be removed", self.dir.display()))
    }

    /// Removes the volume and its brick, and says whether that failed.
    pub(crate) fn remove(self) -> Result<()> {
        let removed = self.remove_volume();
        std::mem::forget(self);
        removed
    }
}

impl Drop for Glusterfsd<'_> {
    fn drop(&mut self) {
        // Only after an error, which is the one to report.
        let _first_error_counts = self.remove_volume();
    }
}

/// `brickwire serve` of some volumes, each of one directory.
pub(crate) struct Brickwire {
    child: Child,
}

impl Brickwire {
    pub(crate) fn start(
        program: &Path,
        volumes: &[(&str, &Path)],
        options: &[(&str, &str)],
    ) -> Result<Self> {
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", "ip link set lo up && exec \"$@\"", "sh"]).arg(program);
        command.args(["serve", "--create", "--listen", "127.0.0.1:24007"]);
        for (volume, dir) in volumes {
            command.arg("--volume").arg(format!("{volume}={}", dir.display()));
        }
        for (key, value) in options {
            command.arg("--option").arg(format!("{key}={value}"));
        }
        command.stdout(Stdio::null());
        let child = command
            .spawn()
            .context("unshare and ip are needed: apt install util-linux iproute2")?;
        let mut ours = Self { child };
        let deadline = Instant::now() + Duration::from_secs(30);
        let socket = ["-Hltn", "sport", "=", ":24007"];
        while !read(ours.server("").client("ss").args(socket))
            .is_ok_and(|text| text.contains("24007"))
        {
            if let Some(status) = ours.child.try_wait()? {
                bail!("brickwire serve ended ({status})");
            }
            if Instant::now() > deadline {
                bail!("brickwire serve does not listen");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(ours)
    }

    pub(crate) fn server<'a>(&self, volume: &'a str) -> Server<'a> {
        Server { pid: self.child.id() as i32, host: "127.0.0.1", volume }
    }
}

impl Drop for Brickwire {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Sends SIGTERM and waits for the end.
pub(crate) fn end(child: &mut Child) {
    if let Some(pid) = rustix::process::Pid::from_raw(child.id() as i32) {
        let _gone_already = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    let _nothing_to_be_done = child.wait();
}
