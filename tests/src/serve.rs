//! Servers of ours for tests: `brickwire serve` on a port and directories of its own, gone when the test is over.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::{program, run};

/// Are these tests to run? They need root, QEMU, fio and GlusterFS's client, and are silent about it where not.
pub fn wanted() -> bool {
    let wanted = std::env::var_os("BRICKWIRE_CLUSTER").is_some_and(|value| value == "1");
    if !wanted {
        println!("skipped: BRICKWIRE_CLUSTER=1 is not set, see cargo xtask ci --only interop");
    }
    wanted
}

/// Are tests to do much of the same, as `BRICKWIRE_FULL=1` asks? Else they do enough of it to see each thing once.
pub fn full() -> bool {
    std::env::var_os("BRICKWIRE_FULL").is_some_and(|value| value == "1")
}

/// A directory on a file system that takes `trusted.*` attributes, gone with its value.
pub fn directory() -> tempfile::TempDir {
    let home = xtask::command::workspace().join("target/serve");
    std::fs::create_dir_all(&home).expect("target/serve");
    tempfile::Builder::new().prefix("t").tempdir_in(home).expect("a directory")
}

/// A running `brickwire serve`.
#[derive(Debug)]
pub struct Served {
    dir: tempfile::TempDir,
    args: Vec<String>,
    child: Option<Child>,
    /// Kept open: it has something to say for each volume.
    stdout: Option<BufReader<ChildStdout>>,
    address: String,
    namespace: Option<NetworkNamespace>,
}

/// A network namespace, which is there for as long as a process is in it.
#[derive(Debug)]
struct NetworkNamespace(Child);

impl NetworkNamespace {
    fn new() -> Self {
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", "ip link set lo up && echo up && exec sleep 100000"]);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("unshare");
        let mut line = String::new();
        let _ = BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line);
        let namespace = Self(child);
        assert_eq!(line, "up\n", "no network namespace: this needs root and iproute2");
        namespace
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--net", "--target", &self.0.id().to_string(), "--"]).arg(program);
        command
    }
}

impl Drop for NetworkNamespace {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Served {
    /// Serves the volume `v`, of one brick.
    pub fn one() -> Self {
        Self::with(|dir| vec!["--volume".into(), format!("v={}", dir.join("brick").display())])
    }

    /// Serves what the arguments say, given the directory that is the test's own, on a port of its own.
    pub fn with(args: impl FnOnce(&Path) -> Vec<String>) -> Self {
        Self::at("127.0.0.1:0", args)
    }

    /// Serves the volume `v` on glusterd's own port, which some programs cannot be talked out of, in a network of its own: see
    /// [`Served::command`].
    pub fn isolated() -> Self {
        let args =
            |dir: &Path| vec!["--volume".into(), format!("v={}", dir.join("brick").display())];
        Self::new("127.0.0.1:24007", Some(NetworkNamespace::new()), args)
    }

    /// The same for what the arguments say.
    pub fn isolated_with(args: impl FnOnce(&Path) -> Vec<String>) -> Self {
        Self::new("127.0.0.1:24007", Some(NetworkNamespace::new()), args)
    }

    /// The same at an address: with port 0 it gets one that is free, and keeps it.
    pub fn at(address: &str, args: impl FnOnce(&Path) -> Vec<String>) -> Self {
        Self::new(address, None, args)
    }

    fn new(
        address: &str,
        namespace: Option<NetworkNamespace>,
        args: impl FnOnce(&Path) -> Vec<String>,
    ) -> Self {
        let dir = directory();
        let args = args(dir.path());
        let mut served =
            Self { dir, args, child: None, stdout: None, address: address.into(), namespace };
        served.start();
        served
    }

    /// Starts it (again): it is there when this returns.
    pub fn start(&mut self) {
        assert!(self.child.is_none(), "it runs");
        let mut command = self.command(program());
        command
            .args(["serve", "--create", "--listen", &self.address])
            .args(["--socket".as_ref(), self.socket().as_os_str()]);
        command.args(&self.args).stdout(Stdio::piped());
        // A server that was killed leaves its socket.
        let _ = std::fs::remove_file(self.socket());
        let mut child = command.spawn().expect("the server starts");
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        stdout.read_line(&mut line).expect("a line");
        let said = line.strip_prefix("serving gluster://").and_then(|rest| rest.split('/').next());
        let Some(said) = said else {
            let _ = child.kill();
            panic!("brickwire serve {:?}: {:?}", self.args, child.wait());
        };
        // What is told leaves the usual port out.
        if self.address.ends_with(":0") {
            self.address = said.to_owned();
        }
        self.stdout = Some(stdout);
        self.child = Some(child);
    }

    /// A program where the server can be reached.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        match &self.namespace {
            Some(namespace) => namespace.command(program),
            None => Command::new(program),
        }
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            child.wait().expect("it ends");
        }
    }

    /// Asks it to stop, and waits until it has.
    pub fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        run("kill", &[&child.id().to_string()]);
        let end = Instant::now() + Duration::from_secs(10);
        while child.try_wait().expect("a look").is_none() {
            if Instant::now() > end {
                let _ = child.kill();
                panic!("the server does not stop");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The test's own directory.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The brick of [`Served::one`].
    pub fn brick(&self) -> PathBuf {
        self.dir.path().join("brick")
    }

    /// Its unix socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("s")
    }

    /// Host and port.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port")
    }

    /// The URI of a volume, or of a path on it.
    pub fn uri(&self, path: &str) -> String {
        format!("gluster://{}/{path}", self.address)
    }

    /// The process, while it runs.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Does it run, or has something ended it?
    pub fn runs(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Kilobytes in memory.
    pub fn resident(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("a status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
        line.trim().trim_end_matches(" kB").trim().parse().expect("a number")
    }

    /// Mounts a volume of it.
    pub fn mount(&self, volume: &str) -> Mount {
        self.mount_with(volume, "")
    }

    /// The same with options of mount(8).
    pub fn mount_with(&self, volume: &str, options: &str) -> Mount {
        let host = self.address.rsplit_once(':').expect("a port").0;
        Mount::with(host, self.port(), volume, &self.dir.path().join("mount.log"), options)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.kill();
    }
}

/// GlusterFS's self-heal daemon of a volume of a server, as glusterd starts it; ended with its value.
#[derive(Debug)]
pub struct HealDaemon {
    child: Child,
    socket: PathBuf,
}

impl HealDaemon {
    /// Starts it.
    pub fn new(served: &Served, volume: &str) -> Self {
        let (log, socket) = (served.dir().join("shd.log"), served.dir().join("shd"));
        // Whose bricks are its own, it finds out by their host's name.
        let uuid = "*replicate*.node-uuid=11111111-2222-4333-8444-555555555555";
        let mut command = Command::new("glusterfs");
        command.args([
            "-s",
            "127.0.0.1",
            "--volfile-server-port",
            &served.port().to_string(),
            "-N",
        ]);
        command
            .args(["--volfile-id", &format!("shd/{volume}"), "--xlator-option", uuid, "-l"])
            .arg(&log);
        command.args(["--process-name", "glustershd", "--client-pid=-6"]);
        command.arg("-S").arg(&socket);
        Self { child: command.stdout(Stdio::null()).spawn().expect("glusterfs starts"), socket }
    }

    /// Where it is told what to do.
    pub fn socket(&self) -> &Path {
        &self.socket
    }
}

impl Drop for HealDaemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A volume that is mounted with GlusterFS's own client; unmounted when the test is over.
#[derive(Debug)]
pub struct Mount {
    dir: tempfile::TempDir,
}

impl Mount {
    /// Mounts a volume of any server.
    pub fn new(host: &str, port: u16, volume: &str, log: &Path) -> Self {
        Self::with(host, port, volume, log, "")
    }

    /// The same with options of mount(8).
    pub fn with(host: &str, port: u16, volume: &str, log: &Path, more: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mut options = String::from(more);
        options.push_str(if more.is_empty() { "" } else { "," });
        write!(options, "server-port={port},log-file={},log-level=WARNING", log.display())
            .expect("a text");
        let at = dir.path().to_str().expect("a text");
        run("mount", &["-t", "glusterfs", "-o", &options, &format!("{host}:/{volume}"), at]);
        Self { dir }
    }

    /// Kills the client that serves it: what it had is lost, and what is opened there fails.
    pub fn kill(&self) {
        let at = self.dir.path().to_str().expect("a text");
        let is_its_own = |pid: &str| {
            let said = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let words: Vec<_> =
                said.split(|byte| *byte == 0).filter(|word| !word.is_empty()).collect();
            words.first().is_some_and(|word| word.ends_with(b"glusterfs"))
                && words.last() == Some(&at.as_bytes())
        };
        let pids = std::fs::read_dir("/proc")
            .expect("a list")
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let pid = pids
            .filter(|name| name.parse::<u32>().is_ok())
            .find(|pid| is_its_own(pid))
            .expect("its client runs");
        run("kill", &["-KILL", &pid]);
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A path in it.
    pub fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // What a failed test left open must not keep the directory: it would be emptied through the mount.
        let unmounted = Command::new("umount").arg("-l").arg(self.dir.path()).status();
        let gone = unmounted.is_ok_and(|status| status.success());
        self.dir.disable_cleanup(!gone);
    }
}
