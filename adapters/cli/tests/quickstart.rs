//! `brickwire quickstart`, as a newcomer runs it.

use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal};
use serde_json::Value;

fn brickwire() -> Command {
    Command::new(env!("CARGO_BIN_EXE_brickwire"))
}

fn succeeds(output: Output) -> Output {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// A quickstart that serves on; killed with the test.
struct Serving {
    child: Child,
    said: Value,
}

impl Serving {
    fn start(args: &[&str], temporary: &Path) -> Self {
        let mut command = brickwire();
        command.args(["quickstart", "--json"]).args(args).env("TMPDIR", temporary).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut text = Vec::new();
        let stdout = child.stdout.as_mut().unwrap();
        let mut byte = [0];
        // One object, whose last line is a brace alone.
        while !text.ends_with(b"\n}\n") {
            assert_eq!(stdout.read(&mut byte).unwrap(), 1, "it ended: {}", String::from_utf8_lossy(&text));
            text.extend_from_slice(&byte);
        }
        Self { child, said: serde_json::from_slice(&text).unwrap() }
    }

    fn interrupt(mut self) {
        let pid = Pid::from_raw(self.child.id() as i32).unwrap();
        rustix::process::kill_process(pid, Signal::INT).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn quickstart_reads_back_the_image_that_it_wrote_and_leaves_nothing_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let mut command = brickwire();
    let output = command.args(["quickstart", "--once", "--json"]).env("TMPDIR", temporary.path()).output();
    let said: Value = serde_json::from_slice(&succeeds(output.unwrap()).stdout).unwrap();
    assert_eq!(said["serving"], false);
    assert_eq!(said["image_bytes"], 64 << 20);
    assert!(said["uri"].as_str().unwrap().starts_with("gluster://127.0.0.1:"));
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
}

#[test]
fn the_commands_that_quickstart_names_work_until_it_is_interrupted() {
    let temporary = tempfile::tempdir().unwrap();
    let serving = Serving::start(&[], temporary.path());
    let uri = serving.said["uri"].as_str().unwrap().to_owned();
    let listed = succeeds(brickwire().args(["ls", "--json", &uri]).output().unwrap());
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed[0]["name"], "hello.img");
    let copy = temporary.path().join("copy.img");
    let image = format!("{uri}/hello.img");
    succeeds(brickwire().args(["export", "--verify", &image]).arg(&copy).output().unwrap());
    assert_eq!(copy.metadata().unwrap().len(), 64 << 20);
    let bench = format!("{uri}/bench.tmp");
    let args = ["bench", &bench, "--iodepth", "32", "--size", "4M", "--runtime", "0.2"];
    succeeds(brickwire().args(args).output().unwrap());
    std::fs::remove_file(copy).unwrap();
    serving.interrupt();
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
}

#[test]
fn a_directory_that_was_named_keeps_its_volume_from_one_quickstart_to_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let first = Serving::start(&[path], directory.path());
    let uri = first.said["uri"].as_str().unwrap().to_owned();
    succeeds(brickwire().args(["create", &format!("{uri}/mine.img"), "1M"]).output().unwrap());
    first.interrupt();
    let second = Serving::start(&[path], directory.path());
    let uri = second.said["uri"].as_str().unwrap().to_owned();
    succeeds(brickwire().args(["stat", &format!("{uri}/mine.img")]).output().unwrap());
    second.interrupt();
}

#[test]
fn a_port_that_is_taken_is_one_line_that_says_so() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = brickwire().args(["quickstart", "--once", "--port", &port]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(text.lines().count(), 1);
    assert!(text.contains(&format!("127.0.0.1:{port}")) && text.contains("already"), "{text}");
}
