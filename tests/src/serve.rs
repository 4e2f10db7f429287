//! `brickwire serve` for tests, on a port and in a directory of its own; ended when dropped.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::{program, run};

/// Whether interop tests are enabled. They need root, QEMU, fio and GlusterFS's client.
pub fn wanted() -> bool {
    let wanted = std::env::var_os("BRICKWIRE_CLUSTER").is_some_and(|value| value == "1");
    if !wanted {
        println!("skipped: BRICKWIRE_CLUSTER=1 is not set, see cargo xtask ci --only interop");
    }
    wanted
}

/// Whether `BRICKWIRE_FULL=1` asks for the long variants of tests.
pub fn full() -> bool {
    std::env::var_os("BRICKWIRE_FULL").is_some_and(|value| value == "1")
}

/// A temporary directory on a file system that stores `trusted.*` xattrs.
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
    /// Kept open, because the server prints a line for each volume.
    stdout: Option<BufReader<ChildStdout>>,
    address: String,
    namespace: Option<NetworkNamespace>,
}

/// A network namespace, which lasts as long as the process in it.
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
    /// Serves the volume `v` of one brick.
    pub fn one() -> Self {
        Self::with(|dir| vec!["--volume".into(), format!("v={}", dir.join("brick").display())])
    }

    /// Serves with the arguments that are made for the test's directory, on a free port.
    pub fn with(args: impl FnOnce(&Path) -> Vec<String>) -> Self {
        Self::at("127.0.0.1:0", args)
    }

    /// Serves the volume `v` on port 24007 in a network namespace, for programs that dial no other
    /// port. [`Served::command`] runs a program in the namespace.
    pub fn isolated() -> Self {
        let args =
            |dir: &Path| vec!["--volume".into(), format!("v={}", dir.join("brick").display())];
        Self::new("127.0.0.1:24007", Some(NetworkNamespace::new()), args)
    }

    /// As [`Served::isolated`], with the given arguments.
    pub fn isolated_with(args: impl FnOnce(&Path) -> Vec<String>) -> Self {
        Self::new("127.0.0.1:24007", Some(NetworkNamespace::new()), args)
    }

    /// As [`Served::with`], at an address; a port of 0 is replaced by a free one, which is kept on
    /// a restart.
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

    /// Starts the server; it listens when this returns.
    pub fn start(&mut self) {
        assert!(self.child.is_none(), "it runs");
        let mut command = self.command(program());
        command
            .args(["serve", "--create", "--listen", &self.address])
            .args(["--socket".as_ref(), self.socket().as_os_str()]);
        command.args(&self.args).stdout(Stdio::piped());
        // A killed server leaves its socket behind.
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
        // The printed URI omits the default port.
        if self.address.ends_with(":0") {
            self.address = said.to_owned();
        }
        self.stdout = Some(stdout);
        self.child = Some(child);
    }

    /// A command in the server's network namespace.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        match &self.namespace {
            Some(namespace) => namespace.command(program),
            None => Command::new(program),
        }
    }

    /// Kills the server with SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            child.wait().expect("it ends");
        }
    }

    /// Sends SIGTERM and waits until the server has ended.
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

    /// The server's unix socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("s")
    }

    /// Host and port of the server.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The server's TCP port.
    pub fn port(&self) -> u16 {
        self.address.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port")
    }

    /// The URI of a volume, or of a path on it.
    pub fn uri(&self, path: &str) -> String {
        format!("gluster://{}/{path}", self.address)
    }

    /// The process id of the running server.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Whether the server is still running.
    pub fn runs(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Resident memory in KiB.
    pub fn resident(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("a status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
        line.trim().trim_end_matches(" kB").trim().parse().expect("a number")
    }

    /// Mounts a volume with GlusterFS's client.
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

/// GlusterFS's self-heal daemon for a volume, started as glusterd would; ended when dropped.
#[derive(Debug)]
pub struct HealDaemon {
    child: Child,
    socket: PathBuf,
}

impl HealDaemon {
    /// Starts the daemon.
    pub fn new(served: &Served, volume: &str) -> Self {
        let (log, socket) = (served.dir().join("shd.log"), served.dir().join("shd"));
        // The daemon takes bricks for local ones by their host name.
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

    /// The socket on which the daemon takes commands.
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

/// A volume mounted with GlusterFS's FUSE client; unmounted when dropped.
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

    /// Kills the FUSE client: unflushed data is lost, and open files fail.
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

    /// The mount point.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A path below the mount point.
    pub fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // A lazy unmount: a file that a failed test left open must not keep the mount, because
        // removing the directory would then remove the volume's files.
        let unmounted = Command::new("umount").arg("-l").arg(self.dir.path()).status();
        let gone = unmounted.is_ok_and(|status| status.success());
        self.dir.disable_cleanup(!gone);
    }
}
