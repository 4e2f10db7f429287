//! Support for tests against the real GlusterFS and QEMU. They run one at a time, on the cluster of
//! `cargo xtask cluster`, and only if `BRICKWIRE_CLUSTER=1` is set, as `cargo xtask ci --only
//! interop` does.

pub mod brick;
pub mod copies;
pub mod gfapi;
pub mod in_process;
pub mod pages;
pub mod serve;
pub mod site;
pub mod steps;
pub mod tree;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use brickwire_std::{File, OpenOptions, Volume};
use xtask::cluster::Cluster;

pub use site::{Site, Volumes, site};

/// The cluster, or `None` if interop tests are not enabled. It belongs to one test at a time:
/// others wait here until the value is dropped, also with several test threads.
pub fn cluster() -> Option<Cluster> {
    if std::env::var_os("BRICKWIRE_CLUSTER").is_none_or(|value| value != "1") {
        println!("skipped: BRICKWIRE_CLUSTER=1 is not set, see cargo xtask ci --only interop");
        return None;
    }
    if std::env::var_os("BRICKWIRE_SITE").is_some_and(|site| site == "ours") {
        println!("skipped: not for BRICKWIRE_SITE=ours");
        return None;
    }
    Some(Cluster::alone().expect("a cluster"))
}

/// The URI of a volume or of a path on it.
pub fn uri(volumes: &impl Volumes, path: &str) -> String {
    format!("gluster://{}/{path}", volumes.server())
}

/// A directory on a volume for one test, removed when dropped.
pub struct TestDir {
    /// The volume.
    pub volume: Volume,
    /// The directory's path on it.
    pub dir: String,
    /// The volume's name and the directory, for URIs.
    pub path: String,
    /// The directory on the brick.
    pub on_brick: PathBuf,
}

impl TestDir {
    /// Makes the directory `name` on the volume `volume`.
    pub fn new(volumes: &impl Volumes, volume: &str, name: &str) -> Self {
        let opened = Volume::open(&uri(volumes, volume)).expect("a volume");
        let dir = format!("test-{name}");
        if opened.exists(&dir).expect("a look") {
            opened.remove_dir_all(&dir).expect("remains of an earlier run go");
        }
        opened.create_dir(&dir, 0o755).expect("a directory");
        let on_brick = volumes.on_brick(volume).join(&dir);
        Self { volume: opened, path: format!("{volume}/{dir}"), dir, on_brick }
    }

    /// The path of a name in the directory.
    pub fn at(&self, name: &str) -> String {
        format!("{}/{name}", self.dir)
    }

    /// Creates a file in the directory and opens it for reading and writing.
    pub fn file(&self, name: &str) -> File {
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(true);
        self.volume.open_file(self.at(name), &options).expect("a file")
    }
}

impl Drop for TestDir {
    fn drop(&mut self) {
        let _ = self.volume.remove_dir_all(&self.dir);
    }
}

/// Pseudo-random bytes of a seed.
pub fn pattern(len: usize, seed: u64) -> Vec<u8> {
    let mut word = seed ^ 0x9e37_79b9_7f4a_7c15;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&(word >> 16).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Runs a program; panics with its output if it fails.
pub fn run(program: &str, args: &[&str]) -> Output {
    let output = Command::new(program)
        .args(args)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(
        output.status.success(),
        "{program} {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Runs `brickwire`; returns its exit status, standard output and standard error.
pub fn brickwire(args: &[&str]) -> (i32, String, String) {
    let output = Command::new(program()).args(args).output().expect("the program runs");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

/// The path of `brickwire`, which is built once for all tests.
pub fn program() -> &'static Path {
    static PROGRAM: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    PROGRAM.get_or_init(|| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let built = Command::new(cargo)
            .current_dir(&root)
            .args(["build", "--quiet", "--package", "brickwire"])
            .status()
            .expect("cargo runs");
        assert!(built.success(), "the program builds");
        let target =
            std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        target.join("debug/brickwire")
    })
}

/// Runs something; panics if it takes longer than `bound`.
pub fn within<T>(bound: Duration, what: impl FnOnce() -> T) -> T {
    let begin = Instant::now();
    let result = what();
    let took = begin.elapsed();
    assert!(took <= bound, "took {took:?}, the bound is {bound:?}");
    result
}
