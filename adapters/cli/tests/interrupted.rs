//! Copies that a signal ends: the target is as it was, the part says how far it came, and --resume
//! goes on from there.

mod common;

use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{Serving, brickwire, fails, succeeds};
use rustix::process::{Pid, Signal};
use serde_json::Value;

const MIB: usize = 1 << 20;
/// Large enough to be in the middle of when the signal comes.
const SIZE: usize = 300 * MIB;

struct Site {
    brick: tempfile::TempDir,
    local: tempfile::TempDir,
    serving: Serving,
}

impl Site {
    fn new() -> Self {
        let brick = tempfile::tempdir().unwrap();
        let serving = Serving::serve(&["--volume", &format!("v={}", brick.path().display())]);
        Self { brick, local: tempfile::tempdir().unwrap(), serving }
    }

    fn uri(&self, path: &str) -> String {
        format!("{}/{path}", self.serving.uri())
    }

    fn image(&self) -> PathBuf {
        let path = self.local.path().join("disk.img");
        let words = (0..MIB as u64 / 8).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut block: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
        let file = std::fs::File::create(&path).unwrap();
        for at in (0..SIZE).step_by(MIB) {
            block[..8].copy_from_slice(&at.to_le_bytes());
            file.write_all_at(&block, at as u64).unwrap();
        }
        path
    }

    /// Names in the root of the brick, without GlusterFS's own directory.
    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.brick.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| name != ".glusterfs").collect();
        names.sort();
        names
    }
}

/// Sends a signal when `part` has some data. Returns its standard error and exit status.
fn interrupt(command: &mut Command, part: &Path, signal: Signal) -> (String, i32) {
    let mut child: Child = command.stderr(Stdio::piped()).spawn().unwrap();
    let begin = Instant::now();
    while !part.metadata().is_ok_and(|found| found.blocks() * 512 > 20 * MIB as u64) {
        assert!(begin.elapsed() < Duration::from_secs(60) && child.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(1));
    }
    rustix::process::kill_process(Pid::from_child(&child), signal).unwrap();
    let begin = Instant::now();
    let output = child.wait_with_output().unwrap();
    assert!(begin.elapsed() < Duration::from_secs(15));
    (String::from_utf8(output.stderr).unwrap(), output.status.code().unwrap())
}

fn equal(a: &Path, b: &Path) {
    assert!(std::fs::read(a).unwrap() == std::fs::read(b).unwrap(), "{a:?} {b:?}");
}

fn resumed_at(said: &str) -> u64 {
    serde_json::from_str::<Value>(said).unwrap()["resumed_at"].as_u64().unwrap()
}

#[test]
fn an_import_that_was_interrupted_leaves_the_old_image_and_is_resumed() {
    let site = Site::new();
    let (image, uri) = (site.image(), site.uri("a.img"));
    let small = site.local.path().join("small");
    std::fs::write(&small, "old").unwrap();
    succeeds(brickwire().arg("import").arg(&small).arg(&uri));

    let part = site.brick.path().join(".a.img.brickwire-part");
    let import = |args: &[&str]| {
        let mut command = brickwire();
        command.arg("import").args(args).arg(&image).arg(&uri);
        command
    };
    let (said, status) = interrupt(&mut import(&["--force"]), &part, Signal::INT);
    assert_eq!(status, 130, "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("interrupted") && said.contains("of 300.00 MiB"), "{said}");
    assert!(said.contains(".a.img.brickwire-part") && said.contains("--resume"), "{said}");
    assert_eq!(std::fs::read_to_string(site.brick.path().join("a.img")).unwrap(), "old");

    // A part belongs to the copy that made it.
    let said = fails(&mut import(&[]));
    assert!(said.contains("file exists"), "{said}");
    let said = succeeds(&mut import(&["--force", "--resume", "--json"]));
    let at = resumed_at(&said);
    assert!(at > 0 && at < SIZE as u64, "{said}");
    equal(&image, &site.brick.path().join("a.img"));
    assert_eq!(site.names(), ["a.img"]);
}

#[test]
fn a_resumed_import_of_a_source_that_changed_meanwhile_is_of_the_new_source() {
    let site = Site::new();
    let (image, uri) = (site.image(), site.uri("a.img"));
    let part = site.brick.path().join(".a.img.brickwire-part");
    let mut import = brickwire();
    import.args(["import", "--json"]).arg(&image).arg(&uri);
    let (said, status) = interrupt(&mut import, &part, Signal::TERM);
    let error: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((status, &error["error"]["status"]), (143, &Value::from(143)), "{said}");
    assert!(error["error"]["copied_bytes"].as_u64().unwrap() > 0, "{said}");
    // In what was copied; and a hole where the part has data that was never flushed.
    let file = std::fs::File::options().write(true).open(&image).unwrap();
    file.write_all_at(&[7], 3).unwrap();
    file.write_all_at(&vec![0; 20 * MIB], 5 * MIB as u64).unwrap();
    let said = fails(brickwire().arg("import").arg(&image).arg(&uri));
    assert!(said.contains("is the part of another copy"), "{said}");
    let said = succeeds(brickwire().args(["import", "--resume", "--json"]).arg(&image).arg(&uri));
    assert_eq!(resumed_at(&said), 0);
    equal(&image, &site.brick.path().join("a.img"));

    let said = fails(brickwire().args(["import", "--resume"]).arg(&image).arg(site.uri("b.img")));
    assert!(said.contains("no copy of it was interrupted"), "{said}");
}

/// A journal's lines that a resumed import does not trust leave the file before the part changes:
/// once new lines precede them, a later run would take them for its own.
#[test]
fn a_resumed_import_cuts_the_lines_that_it_does_not_trust() {
    let site = Site::new();
    let (image, uri) = (site.image(), site.uri("a.img"));
    let part = site.brick.path().join(".a.img.brickwire-part");
    let journal = site.brick.path().join(".a.img.brickwire-journal");
    let mut import = brickwire();
    import.arg("import").arg(&image).arg(&uri);
    interrupt(&mut import, &part, Signal::INT);
    let file = std::fs::File::options().append(true).open(&journal).unwrap();
    let before = file.metadata().unwrap().len();
    // A line of a stretch that the source does not have.
    (&file).write_all(format!("{:016x} {:016x}\n", 299 * MIB, 1).as_bytes()).unwrap();
    let mut resumed = brickwire();
    resumed.args(["import", "--resume"]).arg(&image).arg(&uri);
    let mut child = resumed.stderr(Stdio::null()).spawn().unwrap();
    let begin = Instant::now();
    let len = || journal.metadata().map_or(0, |found| found.len());
    while len() > before {
        assert!(begin.elapsed() < Duration::from_secs(60) && child.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(len(), before, "only the line that is not trusted goes");
    assert!(child.wait().unwrap().success());
    equal(&image, &site.brick.path().join("a.img"));
}

#[test]
fn an_export_that_was_interrupted_is_resumed_unless_the_image_changed() {
    let site = Site::new();
    let (image, uri) = (site.image(), site.uri("a.img"));
    succeeds(brickwire().arg("import").arg(&image).arg(&uri));
    let target = site.local.path().join("back.img");
    std::fs::write(&target, "old").unwrap();
    let part = site.local.path().join(".back.img.brickwire-part");
    let export = |args: &[&str]| {
        let mut command = brickwire();
        command.args(["export", "--json", "--force"]).args(args).arg(&uri).arg(&target);
        command
    };
    let (said, status) = interrupt(&mut export(&[]), &part, Signal::INT);
    assert_eq!(status, 130, "{said}");
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "old");
    assert_eq!(part.metadata().unwrap().mode() & 0o777, 0o600, "it gets its mode with its name");
    // A part that was damaged is not trusted.
    let damaged = std::fs::File::options().write(true).open(&part).unwrap();
    damaged.write_all_at(&[1, 2, 3], 5000).unwrap();
    assert_eq!(resumed_at(&succeeds(&mut export(&["--resume"]))), 0);
    equal(&image, &target);

    interrupt(&mut export(&[]), &part, Signal::INT);
    let said = succeeds(&mut export(&["--resume", "--verify"]));
    assert!(resumed_at(&said) > 0, "{said}");
    equal(&image, &target);

    interrupt(&mut export(&[]), &part, Signal::INT);
    let volume = brickwire_std::Volume::open(&site.serving.uri()).unwrap();
    let options = brickwire_std::OpenOptions::new().read(true).write(true);
    volume.open_file("a.img", &options).unwrap().write_all_at(b"changed", 10).unwrap();
    let said = fails(&mut export(&["--resume"]));
    assert!(said.contains(".back.img.brickwire-part: is the part of another copy"), "{said}");
    assert!(said.contains("--force without --resume"), "{said}");
    assert!(part.exists(), "what an earlier run copied is not this run's to delete");
    succeeds(&mut export(&[]));
    equal(&site.brick.path().join("a.img"), &target);
    let left = std::fs::read_dir(site.local.path()).unwrap().count();
    assert_eq!(left, 2, "no part and no journal is left");
}

#[test]
fn a_stream_that_is_interrupted_while_its_writer_says_nothing_leaves_nothing() {
    let site = Site::new();
    let mut import = brickwire();
    import.args(["import", "-", &site.uri("a.img")]).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = import.spawn().unwrap();
    let begin = Instant::now();
    while site.names().is_empty() {
        assert!(begin.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(5));
    }
    let stdin = child.stdin.take();
    rustix::process::kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    assert_eq!(site.names(), Vec::<String>::new());
    drop(stdin);
}
