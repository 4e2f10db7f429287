//! How fast are we beside the C library and beside the brick's own ceiling?
//!
//! Every case runs in rounds, and within a round one tool after the other, so that what else the
//! machine does falls on all of them. A ratio is taken within each round; its median is reported.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::cluster::Cluster;
use crate::command::{capture, cargo, line, read, run, workspace};

/// Measures, prints the tables and writes them to `docs/bench.md`.
pub fn bench(seconds: u64, rounds: usize) -> Result<()> {
    if seconds == 0 || rounds == 0 {
        bail!("--seconds and --rounds must be at least 1");
    }
    let cluster = Cluster::attach_or_up()?;
    let path = format!("/xtask-bench-{}.img", std::process::id());
    let bench = Bench { tools: Binaries::build()?, host: cluster.host().to_owned(), path, seconds, rounds };
    let before = load();
    let measured = bench.measure();
    // Whatever happened, the file goes.
    let removed = read(Command::new(&bench.tools.ours).arg("rm").arg(bench.uri()));
    let measured = measured?;
    removed?;
    let text = measured.report(&bench, &before)?;
    println!("\n{text}");
    let file = workspace().join(REPORT);
    std::fs::create_dir_all(file.parent().unwrap_or(&file))?;
    std::fs::write(&file, text).with_context(|| format!("{REPORT} cannot be written"))
}

/// One workload.
struct Case {
    rw: &'static str,
    bs: &'static str,
    depth: u32,
    goals: Goals,
}

/// The least IOPS as parts of the replay's, and the most CPU time as a part of the C library's.
struct Goals {
    one: Option<f64>,
    two: Option<f64>,
    cpu: Option<f64>,
}

impl Case {
    fn name(&self) -> String {
        format!("{} {}, depth {}", self.rw, self.bs, self.depth)
    }
}

const DEEP: Goals = Goals { one: Some(1.1), two: Some(1.3), cpu: Some(0.1) };
const CASES: [Case; 5] = [
    Case {
        rw: "randread",
        bs: "4k",
        depth: 1,
        goals: Goals { one: Some(0.95), two: None, cpu: Some(0.3) },
    },
    Case { rw: "randread", bs: "4k", depth: 32, goals: DEEP },
    Case { rw: "randwrite", bs: "4k", depth: 32, goals: DEEP },
    Case { rw: "read", bs: "1M", depth: 4, goals: Goals { one: Some(0.95), two: None, cpu: None } },
    Case { rw: "write", bs: "1M", depth: 4, goals: Goals { one: None, two: None, cpu: None } },
];
/// The most memory as a part of the C library's.
const MEMORY_GOAL: f64 = 0.2;
/// The longest start and tear-down together.
const START_STOP_GOAL_MS: f64 = 50.0;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tool {
    C,
    Replay,
    One,
    Two,
}

impl Tool {
    const ALL: [Self; 4] = [Self::C, Self::Replay, Self::One, Self::Two];

    fn name(self) -> &'static str {
        match self {
            Self::C => "C",
            Self::Replay => "replay",
            Self::One => "ours",
            Self::Two => "ours, 2 connections",
        }
    }
}

/// What is measured with.
struct Binaries {
    c: PathBuf,
    replay: PathBuf,
    ours: PathBuf,
}

impl Binaries {
    fn build() -> Result<Self> {
        let target =
            std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from);
        let target = workspace().join(target);
        run(cargo().args(["build", "--release", "-p", "brickwire", "-p", "brickwire-replay"]))?;
        let c = target.join("bench/gfapi_bench");
        std::fs::create_dir_all(target.join("bench"))?;
        let flags = read(Command::new("pkg-config").args(["--cflags", "--libs", "glusterfs-api"]))
            .context("the C library's headers are needed: apt install libglusterfs-dev pkg-config")?;
        let mut cc = Command::new("cc");
        cc.current_dir(workspace()).args(["-O2", "-Wall", "-Wextra", "-Werror", C_SOURCE, "-o"]).arg(&c);
        run(cc.args(flags.split_whitespace()))?;
        let release = target.join("release");
        Ok(Self { c, replay: release.join("brickwire-replay"), ours: release.join("brickwire") })
    }
}

const C_SOURCE: &str = "xtask/bench-ref/gfapi_bench.c";
const REPORT: &str = "docs/bench.md";
const VOLUME: &str = "single";
const SIZE: &str = "256M";
