//! Copies: from files and pipes to images, and back; what fails says so, and nothing is overwritten unasked.

mod common;

use std::ffi::OsStr;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use common::{Serving, brickwire, fails, succeeds};

const MIB: usize = 1 << 20;

/// A volume `v` in a directory of its own.
struct Volume {
    dir: tempfile::TempDir,
    serving: Serving,
    local: tempfile::TempDir,
}

impl Volume {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let serving = Serving::serve(&["--volume", &format!("v={}", dir.path().display())]);
        Self { dir, serving, local: tempfile::tempdir().unwrap() }
    }

    fn uri(&self, path: &str) -> String {
        format!("{}/{path}", self.serving.uri())
    }

    fn file(&self, name: &str) -> String {
        self.local.path().join(name).to_str().unwrap().to_owned()
    }

    fn read(&self, path: &str) -> Vec<u8> {
        let output = brickwire().args(["cat", &self.uri(path)]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        output.stdout
    }
}

/// Data with a hole in its middle, and an end at no multiple of anything.
fn image() -> Vec<u8> {
    let mut data: Vec<u8> =
        (0..3 * MIB as u32 + 77).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    data[MIB..2 * MIB].fill(0);
    data
}

fn fifo(path: &str) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn an_image_that_comes_out_of_a_pipe_is_not_an_empty_one() {
    let volume = Volume::new();
    let (data, pipe) = (image(), volume.file("pipe"));
    fifo(&pipe);
    let mut import = brickwire().args(["import", "--verify", &pipe, &volume.uri("a.img")]).spawn().unwrap();
    std::fs::write(&pipe, &data).unwrap();
    assert!(import.wait().unwrap().success());
    assert!(volume.read("a.img") == data);

    let mut import =
        brickwire().args(["import", "-", &volume.uri("b.img")]).stdin(Stdio::piped()).spawn().unwrap();
    import.stdin.take().unwrap().write_all(&data).unwrap();
    assert!(import.wait().unwrap().success());
    assert!(volume.read("b.img") == data);
}

#[test]
fn an_export_goes_into_a_pipe_in_order_and_notices_when_its_reader_goes() {
    let volume = Volume::new();
    let (data, pipe) = (image(), volume.file("pipe"));
    std::fs::write(volume.file("a"), &data).unwrap();
    succeeds(brickwire().args(["import", &volume.file("a"), &volume.uri("a.img")]));
    fifo(&pipe);
    let mut export = brickwire().args(["export", &volume.uri("a.img"), &pipe]).spawn().unwrap();
    assert!(std::fs::read(&pipe).unwrap() == data);
    assert!(export.wait().unwrap().success());

    // Half of an image that was sent to a program that died is no export.
    let mut export = brickwire()
        .args(["export", &volume.uri("a.img"), "-"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(export.stdout.take());
    let output = export.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("standard output"), "{said}");
}

#[test]
fn an_export_to_a_full_disk_fails_and_says_where() {
    let volume = Volume::new();
    std::fs::write(volume.file("a"), image()).unwrap();
    succeeds(brickwire().args(["import", &volume.file("a"), &volume.uri("a.img")]));
    let said = fails(brickwire().args(["export", &volume.uri("a.img"), "/dev/full"]));
    assert!(said.contains("/dev/full") && said.contains("No space left"), "{said}");
    let said = fails(brickwire().args(["export", "--verify", &volume.uri("a.img"), "/dev/full"]));
    assert!(said.contains("--verify needs a file"), "{said}");
}

#[test]
fn a_benchmark_that_reads_leaves_what_is_there_and_one_that_writes_asks_first() {
    let volume = Volume::new();
    // Sparse: a benchmark would like to have data everywhere.
    let path = volume.file("precious");
    std::fs::File::create(&path).unwrap().set_len(8 * MIB as u64).unwrap();
    succeeds(brickwire().args(["import", &path, &volume.uri("precious.img")]));
    let bench = |args: &[&str]| {
        let mut command = brickwire();
        command.args(["bench", &volume.uri("precious.img"), "--runtime", "0.2", "--size", "8M"]).args(args);
        command
    };
    for rw in ["read", "randread"] {
        succeeds(&mut bench(&["--rw", rw]));
    }
    for args in [&["--rw", "write"][..], &["--rw", "randwrite"], &["--rw", "randrw"], &["--verify"]] {
        let said = fails(&mut bench(args));
        assert!(said.contains("is there already") && said.contains("--overwrite"), "{said}");
    }
    let said = fails(brickwire().args(["bench", &volume.uri("precious.img"), "--size", "9M"]));
    assert!(said.contains("has 8388608 bytes"), "{said}");
    assert!(volume.read("precious.img") == vec![0; 8 * MIB], "nothing was written");
    succeeds(&mut bench(&["--rw", "randwrite", "--overwrite", "--verify"]));
    assert!(volume.read("precious.img") != vec![0; 8 * MIB]);
    // A file that is made for the benchmark goes with it.
    succeeds(brickwire().args([
        "bench",
        &volume.uri("new"),
        "--runtime",
        "0.2",
        "--size",
        "1M",
        "--rw",
        "randrw",
    ]));
    let said = fails(brickwire().args(["stat", &volume.uri("new")]));
    assert!(said.contains("ENOENT"), "{said}");
}

#[test]
fn a_byte_that_differs_is_found_by_verify() {
    let volume = Volume::new();
    let (mut data, path) = (image(), volume.file("a"));
    std::fs::write(&path, &data).unwrap();
    succeeds(brickwire().args(["import", "--verify", &path, &volume.uri("a.img")]));
    // What a disk does at night: one byte on the brick is another one.
    let on_brick = volume.dir.path().join("a.img");
    data[2 * MIB + 5] ^= 1;
    std::fs::write(&on_brick, &data).unwrap();
    let out = volume.file("out");
    succeeds(brickwire().args(["export", "--verify", &volume.uri("a.img"), &out]));
    assert!(std::fs::read(&out).unwrap() == data, "the export is what is there");
    assert!(std::fs::read(&path).unwrap() != data);
}

#[test]
fn names_that_are_no_text_are_taken_from_the_shell_and_from_uris() {
    let volume = Volume::new();
    let name = OsStr::from_bytes(b"caf\xe9");
    let path = volume.local.path().join(name);
    std::fs::write(&path, b"data").unwrap();
    succeeds(brickwire().arg("import").arg(&path).arg(volume.uri("d/caf%E9")));
    assert_eq!(volume.read("d/caf%E9"), b"data");
    assert!(volume.dir.path().join("d").join(name).exists());
    let listed = succeeds(brickwire().args(["ls", "--json", &volume.uri("d")]));
    assert!(listed.contains("\"name_hex\": \"636166e9\""), "{listed}");
    let parts = succeeds(brickwire().args(["uri", "--json", &volume.uri("d/caf%E9")]));
    assert!(parts.contains("\"path_hex\": \"642f636166e9\""), "{parts}");
    succeeds(
        brickwire()
            .args(["mv", &volume.uri("d/caf%E9")])
            .arg(Path::new("d").join(OsStr::from_bytes(b"\xff"))),
    );
    succeeds(
        brickwire()
            .args(["export", &volume.uri("d/%FF")])
            .arg(volume.local.path().join(OsStr::from_bytes(b"\xfe"))),
    );
    succeeds(brickwire().args(["rm", "-r", &volume.uri("d")]));
    assert!(!volume.dir.path().join("d").exists());
}

#[test]
fn the_directory_that_a_dot_names_is_not_removed() {
    let volume = Volume::new();
    succeeds(brickwire().args(["mkdir", "-p", &volume.uri("a/b")]));
    for path in ["a/.", "a/b/..", ".", "./", "a/..//"] {
        let said = fails(brickwire().args(["rm", "-r", &volume.uri(path)]));
        assert!(said.contains(". and .. are not removed"), "{said}");
    }
    assert!(volume.dir.path().join("a/b").exists());
}
