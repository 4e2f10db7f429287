//! `brickwire quickstart`, as a newcomer runs it.

mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use common::{Nobody, Serving, brickwire, fails, succeeds};
use rustix::process::Signal;
use serde_json::Value;

fn quickstart(args: &[&str], temporary: &Path) -> Serving {
    Serving::start(brickwire().arg("quickstart").args(args).env("TMPDIR", temporary))
}

#[test]
fn quickstart_reads_back_the_image_that_it_wrote_and_leaves_nothing_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let mut command = brickwire();
    command.args(["quickstart", "--once", "--json"]).env("TMPDIR", temporary.path());
    let said: Value = serde_json::from_str(&succeeds(&mut command)).unwrap();
    assert_eq!(said["serving"], false);
    assert_eq!(said["image_bytes"], 16 << 20);
    assert!(said["uri"].as_str().unwrap().starts_with("gluster://127.0.0.1:"));
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
}

#[test]
fn the_commands_that_quickstart_names_work_until_it_is_interrupted() {
    let temporary = tempfile::tempdir().unwrap();
    let serving = quickstart(&[], temporary.path());
    let uri = serving.uri();
    let listed: Value =
        serde_json::from_str(&succeeds(brickwire().args(["ls", "--json", &uri]))).unwrap();
    assert_eq!(listed[0]["name"], "hello.img");
    let copy = temporary.path().join("copy.img");
    let image = format!("{uri}/hello.img");
    succeeds(brickwire().args(["export", "--verify", &image]).arg(&copy));
    assert_eq!(copy.metadata().unwrap().len(), 16 << 20);
    let bench = format!("{uri}/bench.tmp");
    let args = ["bench", &bench, "--iodepth", "32", "--size", "4M", "--runtime", "0.2"];
    succeeds(brickwire().args(args));
    std::fs::remove_file(copy).unwrap();
    serving.stop(Signal::INT);
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
}

#[test]
fn a_directory_that_was_named_keeps_its_volume_from_one_quickstart_to_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let first = quickstart(&[path], directory.path());
    let uri = first.uri();
    succeeds(brickwire().args(["create", &format!("{uri}/mine.img"), "1M"]));
    first.stop(Signal::INT);
    let second = quickstart(&[path], directory.path());
    let uri = second.uri();
    succeeds(brickwire().args(["stat", &format!("{uri}/mine.img")]));
    second.stop(Signal::INT);
}

#[test]
fn a_port_that_is_taken_is_one_line_that_says_so() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let said = fails(brickwire().args(["quickstart", "--once", "--port", &port]));
    assert!(said.contains(&format!("127.0.0.1:{port}")) && said.contains("already"), "{said}");
}

#[test]
fn who_is_not_root_has_a_quickstart_too() {
    let nobody = Nobody::new();
    succeeds(nobody.brickwire().args(["quickstart", "--once"]));
    let directory = nobody.directory.path().join("kept");
    let path = directory.to_str().unwrap();
    let first = Serving::start(nobody.brickwire().args(["quickstart", path]));
    let uri = first.uri();
    for command in [
        &["mkdir", "--parents", &format!("{uri}/a/b")][..],
        &["create", &format!("{uri}/a/b/mine.img"), "1M"],
        &["mv", &format!("{uri}/a"), "c"],
        &["rm", "--recursive", &format!("{uri}/hello.img")],
    ] {
        succeeds(brickwire().args(command));
    }
    let volume = brickwire_std::Volume::open(&uri).unwrap();
    volume.set_xattr("c/b/mine.img", "user.note", b"mine").unwrap();
    volume.set_xattr("c/b/mine.img", "trusted.note", b"theirs").unwrap();
    assert_eq!(
        volume.xattr("c/b/mine.img", "trusted.note").unwrap().as_deref(),
        Some(&b"theirs"[..])
    );
    assert!(volume.set_xattr("c/b/mine.img", "user.brickwire.trusted.gfid", b"forged").is_err());
    let listed = volume.list_xattrs("c/b/mine.img").unwrap();
    let listed: Vec<String> = listed.into_iter().map(|name| name.into_string().unwrap()).collect();
    assert!(listed.contains(&"trusted.note".to_owned()), "{listed:?}");
    assert!(
        !listed.iter().any(|name| name.contains("brickwire") || name.contains("gfid")),
        "{listed:?}"
    );
    drop(volume);
    first.stop(Signal::INT);
    let second = Serving::start(nobody.brickwire().args(["quickstart", path]));
    let uri = second.uri();
    succeeds(brickwire().args(["stat", &format!("{uri}/c/b/mine.img")]));
    second.stop(Signal::INT);

    // A server that could use trusted.* is told which attributes these are.
    let spec = format!("demo={path}/brick1");
    let said = fails(brickwire().args(["serve", "--listen", "127.0.0.1:0", "--volume", &spec]));
    assert!(said.contains("--xattrs user"), "{said}");
    Serving::serve(&["--volume", &spec, "--xattrs", "user"]).stop(Signal::TERM);
}

#[test]
fn an_image_of_somebody_else_in_the_directory_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let theirs = directory.path().join("hello.img");
    std::fs::write(&theirs, "precious").unwrap();
    succeeds(brickwire().arg("quickstart").arg(directory.path()).arg("--once"));
    assert_eq!(std::fs::read(&theirs).unwrap(), b"precious");
}

#[test]
fn whoever_stops_quickstart_in_the_middle_of_it_does_not_wait_and_nothing_is_left() {
    let temporary = tempfile::tempdir().unwrap();
    let begun = || std::fs::read_dir(temporary.path()).unwrap().count() > 0;
    for wait_ms in [0, 20, 60, 100] {
        let mut command = brickwire();
        command.arg("quickstart").env("TMPDIR", temporary.path());
        let mut child = command.stdout(std::process::Stdio::null()).spawn().unwrap();
        while !begun() {
            std::thread::yield_now();
        }
        std::thread::sleep(Duration::from_millis(wait_ms));
        let pid = rustix::process::Pid::from_raw(child.id() as i32).unwrap();
        rustix::process::kill_process(pid, Signal::TERM).unwrap();
        let start = Instant::now();
        child.wait().unwrap();
        assert!(start.elapsed() < Duration::from_secs(10), "{wait_ms} ms: {:?}", start.elapsed());
        assert!(!begun(), "{wait_ms} ms: its directory is left");
    }
}

#[test]
fn a_terminal_that_is_closed_stops_quickstart_unless_it_was_started_to_survive_that() {
    let temporary = tempfile::tempdir().unwrap();
    quickstart(&[], temporary.path()).stop(Signal::HUP);
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);

    let mut command = std::process::Command::new("sh");
    let program = env!("CARGO_BIN_EXE_brickwire");
    command.args(["-c", "trap '' HUP; exec \"$0\" quickstart --json", program]);
    let serving = Serving::started(command.env("TMPDIR", temporary.path()));
    serving.signal(Signal::HUP);
    succeeds(brickwire().args(["ls", &serving.uri()]));
    serving.stop(Signal::INT);
}
