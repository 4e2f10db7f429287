//! The program as its users run it.
#![allow(dead_code)] // Each test uses some of it.

use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal};
use serde_json::Value;

/// The program with default signals: a background shell starts the tests with SIGINT ignored, nohup
/// with SIGHUP, and the program would go on ignoring them.
pub(crate) fn brickwire() -> Command {
    let mut command = Command::new("env");
    command.arg("--default-signal=INT,TERM,HUP").arg(env!("CARGO_BIN_EXE_brickwire"));
    // Settings of whoever runs the tests do not count.
    command.env("BRICKWIRE_CONFIG", "/dev/null");
    command
}

/// A user who is not root, with a directory and a copy of the program in it.
pub(crate) struct Nobody {
    pub(crate) directory: tempfile::TempDir,
}

impl Nobody {
    const UID: u32 = 65534;

    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::copy(env!("CARGO_BIN_EXE_brickwire"), directory.path().join("brickwire")).unwrap();
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(directory.path(), Some(Self::UID), Some(Self::UID)).unwrap();
        }
        Self { directory }
    }

    pub(crate) fn brickwire(&self) -> Command {
        let mut command = Command::new(self.directory.path().join("brickwire"));
        command.env("TMPDIR", self.directory.path()).current_dir(self.directory.path());
        if rustix::process::geteuid().is_root() {
            command.uid(Self::UID).gid(Self::UID);
        }
        command
    }
}

/// Runs a command that must succeed. Returns its standard output.
pub(crate) fn succeeds(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(status.success(), "{command:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

/// Runs a command that must fail with one line on standard error. Returns the line.
pub(crate) fn fails(command: &mut Command) -> String {
    let Output { status, stderr, .. } = command.output().unwrap();
    let text = String::from_utf8(stderr).unwrap();
    assert!(!status.success(), "{command:?} succeeded");
    assert_eq!(text.lines().count(), 1, "{command:?} said: {text}");
    text.trim_end().to_owned()
}

/// A program that serves; killed with the test.
pub(crate) struct Serving {
    pub(crate) child: Child,
    /// The first object that it printed.
    pub(crate) said: Value,
}

impl Serving {
    /// `command` with `--json`, until it has said something.
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::started(command.arg("--json"))
    }

    /// The same for a command that is complete.
    pub(crate) fn started(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut text = Vec::new();
        let stdout = child.stdout.as_mut().unwrap();
        let mut byte = [0];
        // One object, whose last line is a brace alone.
        while !text.ends_with(b"\n}\n") {
            assert_eq!(
                stdout.read(&mut byte).unwrap(),
                1,
                "it ended: {}",
                String::from_utf8_lossy(&text)
            );
            text.extend_from_slice(&byte);
        }
        Self { child, said: serde_json::from_slice(&text).unwrap() }
    }

    /// `brickwire serve` on a free port of 127.0.0.1.
    pub(crate) fn serve(args: &[&str]) -> Self {
        Self::start(brickwire().args(["serve", "--create", "--listen", "127.0.0.1:0"]).args(args))
    }

    pub(crate) fn uri(&self) -> String {
        self.said["uri"].as_str().unwrap().to_owned()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id() as i32).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Ends it as an administrator does.
    pub(crate) fn stop(mut self, signal: Signal) {
        self.signal(signal);
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
