//! Copies: from files and pipes to images, and back; what fails says so, and nothing is overwritten
//! unasked.

mod common;

use std::ffi::OsStr;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

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
    let mut import =
        brickwire().args(["import", "--verify", &pipe, &volume.uri("a.img")]).spawn().unwrap();
    std::fs::write(&pipe, &data).unwrap();
    assert!(import.wait().unwrap().success());
    assert!(volume.read("a.img") == data);

    let mut import = brickwire()
        .args(["import", "-", &volume.uri("b.img")])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
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
        command
            .args(["bench", &volume.uri("precious.img"), "--runtime", "0.2", "--size", "8M"])
            .args(args);
        command
    };
    for rw in ["read", "randread"] {
        succeeds(&mut bench(&["--rw", rw]));
    }
    for args in [&["--rw", "write"][..], &["--rw", "randwrite"], &["--rw", "randrw"], &["--verify"]]
    {
        let said = fails(&mut bench(args));
        assert!(said.contains("file exists") && said.contains("--overwrite"), "{said}");
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
fn a_byte_that_changes_on_the_disk_is_found_by_verify() {
    let volume = Volume::new();
    let pipe = volume.file("pipe");
    fifo(&pipe);
    let mut import = brickwire();
    import.args(["import", "--verify", &pipe, &volume.uri("a.img")]).stderr(Stdio::piped());
    let import = import.spawn().unwrap();
    let mut writer = std::fs::File::options().write(true).open(&pipe).unwrap();
    writer.write_all(&vec![0x55; 24 * MIB]).unwrap();
    // The beginning is on the brick's disk; the end of the pipe has not come yet.
    let on_brick = volume.dir.path().join(".a.img.brickwire-part");
    let written = || {
        let mut head = [0; 4096];
        let file = std::fs::File::open(&on_brick).ok()?;
        file.read_exact_at(&mut head, 0).ok()?;
        (head == [0x55; 4096]).then_some(())
    };
    let begin = Instant::now();
    while written().is_none() {
        assert!(begin.elapsed() < Duration::from_secs(20), "nothing is written");
        std::thread::sleep(Duration::from_millis(20));
    }
    std::fs::File::options()
        .write(true)
        .open(&on_brick)
        .unwrap()
        .write_all_at(&[0x54], 77)
        .unwrap();
    drop(writer);
    let output = import.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("a.img: verify: differs between bytes 0 and"), "{said}");
}

#[test]
fn a_wrong_command_line_is_one_line_too() {
    for args in [
        &["create", "gluster://h/v/a", "5GB"][..],
        &["bench", "gluster://h/v/a", "--rw", "sideways"],
        &["bench", "gluster://h/v/a", "--iodepth", "0"],
        &["info", "--timeout", "0", "gluster://h/v"],
        &["info", "gluster://h/v", "--server", "bad:port:x"],
        &["truncate", "gluster://h/v/a", "-5"],
        &["import", "/etc/hosts"],
        &["frobnicate"],
        &["ls", "gluster://h\n/v"],
    ] {
        let mut command = brickwire();
        let output = command.args(args).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.starts_with("brickwire: ") && said.lines().count() == 1, "{args:?}: {said}");
        let status = if args.contains(&"--server") { 1 } else { 2 };
        assert_eq!(output.status.code(), Some(status), "{args:?}: {said}");
    }
    let help = brickwire().arg("--help").output().unwrap();
    assert!(help.status.success() && help.stdout.starts_with(b"Work with GlusterFS volumes"));
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

/// CVE-2022-0485 was a copy that ignored the error of an asynchronous write and exited with 0.
#[test]
fn a_copy_with_a_block_that_failed_fails_whichever_block_it_was() {
    let dir = tempfile::tempdir().unwrap();
    // The brick's files end at 4 MiB: a write behind that fails.
    let script = "trap '' XFSZ; ulimit -f 4096; \
                  exec \"$0\" serve --listen 127.0.0.1:0 --volume \"v=$1\" --json";
    let mut command = Command::new("bash");
    command.args(["-c", script, env!("CARGO_BIN_EXE_brickwire")]).arg(dir.path());
    let serving = Serving::started(&mut command);
    let local = tempfile::tempdir().unwrap();
    let path = local.path().join("a");
    // Behind the limit, in the middle of many blocks; and in the last of all.
    for (size, from) in [(40, 5), (40, 39), (5, 4)] {
        let mut data = vec![0; size * MIB];
        data[from * MIB..from * MIB + 100].fill(7);
        std::fs::write(&path, &data).unwrap();
        let uri = format!("{}/a.img", serving.uri());
        let said = fails(brickwire().arg("import").arg(&path).arg(&uri));
        assert!(said.contains("EFBIG"), "{said}");
        // A file is given its size first; of a stream the blocks themselves fail.
        let mut stream = brickwire()
            .args(["import", "-", &uri])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It may well have failed before all of it was taken.
        let _ = stream.stdin.take().unwrap().write_all(&data);
        let output = stream.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
    }
    drop(serving);
}

#[test]
fn a_copy_that_a_full_brick_ends_is_told_with_the_image_that_it_is_about() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: a small file system takes root");
        return;
    }
    let (dir, local) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut command = Command::new("unshare");
    command.args([
        "-m",
        "sh",
        "-c",
        "mount -t tmpfs -o size=4m none \"$1\" && \
        exec \"$0\" serve --json --listen 127.0.0.1:0 --volume v=\"$1\"",
    ]);
    let serving = Serving::started(command.arg(env!("CARGO_BIN_EXE_brickwire")).arg(dir.path()));
    let file = local.path().join("large");
    std::fs::write(&file, vec![7; 8 * MIB]).unwrap();
    let uri = format!("{}/a.img", serving.uri());
    let said = fails(brickwire().arg("import").arg(&file).arg(&uri));
    assert!(said.contains(&uri) && said.contains("ENOSPC"), "{said}");
    // The half of an image is not left, so there is room again.
    assert_eq!(succeeds(brickwire().args(["ls", &serving.uri()])), "");
    std::fs::write(&file, vec![7; MIB]).unwrap();
    succeeds(brickwire().args(["import", "--verify"]).arg(&file).arg(&uri));
}

#[test]
fn an_export_to_a_pipe_succeeds_though_nobody_reads_what_it_says() {
    let volume = Volume::new();
    std::fs::write(volume.dir.path().join("a.img"), image()).unwrap();
    for args in [&["export"][..], &["export", "--json"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut export = brickwire();
        export.args(args).args([&volume.uri("a.img"), "-"]).stderr(writer);
        let output = export.output().unwrap();
        assert!(output.status.success(), "{:?}", output.status);
        assert!(output.stdout == image());
    }
}
