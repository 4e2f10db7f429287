//! The servers that are measured: glusterfsd in the cluster, ours in a network of its own, nbdkit on a socket.
//!
//! libgfapi dials port 24007 and no other, and glusterd has it. Ours gets it in a network namespace of its own; every client is
//! started in the namespace of its server, in the same way.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::cluster::Cluster;
use crate::command::read;

/// A server, as clients and counters see it.
#[derive(Clone, Copy)]
pub(super) struct Server<'a> {
    pub(super) pid: i32,
    pub(super) host: &'a str,
    pub(super) volume: &'a str,
}

/// What a process has of memory, in MiB.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Memory {
    /// The most that was resident (`VmHWM`).
    pub(super) peak: f64,
    /// Private memory now (`RssAnon`).
    pub(super) anonymous: f64,
    /// Pages of its program and libraries now (`RssFile`), which others may share.
    pub(super) file: f64,
}

impl Memory {
    fn from_status(text: &str) -> Result<Self> {
        let of = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
            let kib =
                line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok());
            kib.map(|kib| kib / 1024.0)
                .with_context(|| format!("the status of a process says no {key}"))
        };
        Ok(Self { peak: of("VmHWM")?, anonymous: of("RssAnon")?, file: of("RssFile")? })
    }
}

impl Server<'_> {
    /// A client's command, started where the server is reached.
    pub(super) fn client(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.pid.to_string(), "--net"]).arg(program);
        command
    }

    /// CPU seconds of all its threads so far.
    pub(super) fn cpu(&self) -> Result<f64> {
        cpu_of(self.pid)
    }

    pub(super) fn memory(&self) -> Result<Memory> {
        Memory::from_status(&std::fs::read_to_string(format!("/proc/{}/status", self.pid))?)
    }
}

/// User and system time of a process, ended threads included.
pub(super) fn cpu_of(pid: i32) -> Result<f64> {
    times(pid as u32, [11, 12])
}

/// User and system time of this process's children that have ended, and of theirs.
pub(super) fn cpu_of_ended() -> Result<f64> {
    times(std::process::id(), [13, 14])
}

fn times(pid: u32, words_at: [usize; 2]) -> Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second word may have spaces in it, and ends with the last parenthesis.
    let rest = text.rsplit_once(')').map(|(_, rest)| rest).context("no process's stat")?;
    let words: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |at: usize| words.get(at).and_then(|word| word.parse::<f64>().ok());
    let times = words_at.map(ticks).into_iter().sum::<Option<f64>>();
    times.map(|ticks| ticks / 100.0).context("a process's stat has too few words")
}

/// A volume of one brick that the cluster has for the time of the bench.
pub(super) struct Real<'c> {
    cluster: &'c Cluster,
    dir: PathBuf,
    pid: i32,
}

const VOLUME: &str = "bench-serve";

impl<'c> Real<'c> {
    pub(super) fn start(cluster: &'c Cluster) -> Result<Self> {
        let dir = cluster.state().dir.join("bricks").join(VOLUME);
        let mut real = Self { cluster, dir, pid: 0 };
        // What an interrupted run left.
        let _absent = real.remove_volume();
        let brick = format!("{}:{}", cluster.host(), real.dir.display());
        let started = real
            .gluster(&["volume", "create", VOLUME, &brick, "force"])
            .and_then(|()| real.gluster(&["volume", "start", VOLUME]))
            .and_then(|()| real.find());
        match started {
            Ok(pid) => real.pid = pid,
            Err(error) => {
                let _first_error_counts = real.remove_volume();
                return Err(error);
            }
        }
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
                bail!("the brick of volume {VOLUME} does not serve");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn gluster(&self, args: &[&str]) -> Result<()> {
        self.cluster.gluster(args).map(drop)
    }

    pub(super) fn set(&self, options: &[(&str, &str)]) -> Result<()> {
        options
            .iter()
            .try_for_each(|(key, value)| self.gluster(&["volume", "set", VOLUME, key, value]))
    }

    /// A directory beside the brick: on the same disk.
    pub(super) fn sibling(&self, name: &str) -> PathBuf {
        self.dir.with_file_name(name)
    }

    pub(super) fn server(&self) -> Server<'_> {
        Server { pid: self.pid, host: self.cluster.host(), volume: VOLUME }
    }

    fn remove_volume(&self) -> Result<()> {
        let stopped = self.gluster(&["volume", "stop", VOLUME, "force"]);
        self.gluster(&["volume", "delete", VOLUME])?;
        stopped?;
        std::fs::remove_dir_all(&self.dir).with_context(|| format!("{} stays", self.dir.display()))
    }

    pub(super) fn remove(self) -> Result<()> {
        self.remove_volume()
    }
}

/// `brickwire serve`, of one directory.
pub(super) struct Ours {
    child: Child,
    pub(super) dir: PathBuf,
}

impl Ours {
    pub(super) fn start(program: &Path, dir: &Path, options: &[(&str, &str)]) -> Result<Self> {
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", "ip link set lo up && exec \"$@\"", "sh"]).arg(program);
        command.arg("serve").arg("--volume").arg(format!("{VOLUME}={}", dir.display()));
        command.args(["--listen", "127.0.0.1:24007"]);
        for (key, value) in options {
            command.arg("--option").arg(format!("{key}={value}"));
        }
        command.stdout(Stdio::null());
        let child = command
            .spawn()
            .context("unshare and ip are needed: apt install util-linux iproute2")?;
        let ours = Self { child, dir: dir.to_owned() };
        let deadline = Instant::now() + Duration::from_secs(30);
        let listens =
            || read(ours.server().client(Path::new("ss")).args(["-Hltn", "sport", "=", ":24007"]));
        while !listens().is_ok_and(|text| text.contains("24007")) {
            if Instant::now() > deadline {
                bail!("brickwire serve does not listen");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(ours)
    }

    pub(super) fn server(&self) -> Server<'_> {
        Server { pid: self.child.id() as i32, host: "127.0.0.1", volume: VOLUME }
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// `nbdkit file` on a unix socket.
pub(super) struct Nbd {
    child: Child,
    pub(super) socket: PathBuf,
}

impl Nbd {
    /// `None` if nbdkit or fio's engine is not there.
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

/// SIGTERM, and its end.
fn end(child: &mut Child) {
    if let Some(pid) = rustix::process::Pid::from_raw(child.id() as i32) {
        let _gone_already = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    let _nothing_to_be_done = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_mebibytes() {
        let text = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t 1 kB\nRssAnon:\t     512 kB\nRssFile:\t 1024 kB\n";
        let memory = Memory::from_status(text).unwrap();
        assert_eq!(memory, Memory { peak: 2.0, anonymous: 0.5, file: 1.0 });
        assert!(Memory::from_status("Name: x\n").is_err());
    }
}
