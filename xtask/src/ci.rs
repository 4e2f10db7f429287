//! The stages of `cargo xtask ci`, in order, with their times.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::bare;
use crate::cluster::{Cluster, DIR_VARIABLE};
use crate::command::{cargo, run, workspace};
use crate::fuzz;

/// A stage of `ci`. They run in this order: the fastest to fail come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Stage {
    /// The code is formatted.
    Fmt,
    /// Clippy has no warning, for the workspace and for core with all features.
    Clippy,
    /// `cargo doc` has no warning, for the workspace and for core with all features.
    Doc,
    /// Unit tests, golden records and doctests; no GlusterFS needed.
    Test,
    /// The core builds for the bare targets, without an allocator.
    Bare,
    /// Tests against real glusterd and bricks.
    Interop,
    /// The kept inputs of all fuzz targets, and executions that are the same each time.
    Fuzz,
}

/// Runs the stages (all of them if none is named) and stops at the first that fails.
pub fn ci(only: &[Stage]) -> Result<()> {
    let mut took: Vec<(Stage, Duration)> = Vec::new();
    for stage in Stage::value_variants()
        .iter()
        .copied()
        .filter(|stage| only.is_empty() || only.contains(stage))
    {
        println!("\n=== {} ===", stage.name());
        let start = Instant::now();
        let result = stage.run();
        took.push((stage, start.elapsed()));
        if result.is_err() {
            summary(&took, false);
            let name = stage.name();
            return result.with_context(|| {
                format!("stage {name}; repeat it with `cargo xtask ci --only {name}`")
            });
        }
    }
    summary(&took, true);
    Ok(())
}

impl Stage {
    fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    fn run(self) -> Result<()> {
        match self {
            Stage::Fmt => {
                run(cargo().args(["fmt", "--all", "--check"]))?;
                if workspace().join("fuzz/Cargo.toml").exists() {
                    run(cargo().args(["fmt", "--check", "--manifest-path", "fuzz/Cargo.toml"]))?;
                }
                Ok(())
            }
            Stage::Clippy => {
                run(cargo().args([
                    "clippy",
                    "--workspace",
                    "--all-targets",
                    "--",
                    "-D",
                    "warnings",
                ]))?;
                let core = [
                    "clippy",
                    "--package",
                    "brickwire-core",
                    "--all-targets",
                    "--all-features",
                    "--",
                    "-D",
                    "warnings",
                ];
                run(cargo().args(core))
            }
            Stage::Doc => {
                let doc = |args: &[&str]| {
                    let mut doc = cargo();
                    run(doc
                        .args(["doc", "--no-deps"])
                        .args(args)
                        .env("RUSTDOCFLAGS", "-D warnings"))
                };
                doc(&["--workspace"])?;
                doc(&["--package", "brickwire-core", "--all-features"])
            }
            Stage::Test => run(cargo().args(["test", "--workspace"]).env_remove(INTEROP_VARIABLE)),
            Stage::Bare => bare::bare(),
            Stage::Interop => interop(),
            Stage::Fuzz => fuzz::fixed(),
        }
    }
}

fn interop() -> Result<()> {
    if !workspace().join("tests/Cargo.toml").exists() {
        bail!(
            "tests/Cargo.toml (brickwire-tests) is not there, so nothing would be tested against \
             GlusterFS"
        );
    }
    let cluster = Cluster::attach_or_up()?;
    println!("{}", cluster.state());
    let mut tests = cargo();
    tests.args([
        "test",
        "--package",
        "brickwire-tests",
        "--",
        "--include-ignored",
        "--test-threads=1",
    ]);
    let mut threads = cargo();
    threads.args(["test", "--package", "brickwire-std", "--test", "leader_handoff"]);
    let uri = format!("gluster://{}/single", cluster.host());
    // The client's tests again, against `brickwire serve`.
    let mut ours = cargo();
    ours.args(["test", "--package", "brickwire-tests"]);
    ours.args(SITE_TESTS.iter().flat_map(|name| ["--test", name])).args(["--", "--test-threads=1"]);
    let result = run(tests.env(INTEROP_VARIABLE, "1").env(DIR_VARIABLE, &cluster.state().dir))
        .and_then(|()| run(ours.env(INTEROP_VARIABLE, "1").env("BRICKWIRE_SITE", "ours")))
        .and_then(|()| run(threads.env("BRICKWIRE_TEST_URI", uri)));
    match (&result, cluster.is_ours()) {
        (Err(_), true) => result
            .context("to keep the bricks' logs for a look, run `cargo xtask cluster up` first"),
        _ => result,
    }
}

/// Kills `brickwire serve` repeatedly under clients that write.
pub fn powercut(seconds: u64) -> Result<()> {
    for_long("serve_powercut", seconds)
}

/// Gives `brickwire serve` a thousand connections and ten thousand open files, and checks that its
/// memory does not grow.
pub fn soak_serve(seconds: u64) -> Result<()> {
    for_long("serve_soak", seconds)
}

/// Runs a test, which CI runs for some seconds, for longer.
fn for_long(test: &str, seconds: u64) -> Result<()> {
    let mut tests = cargo();
    tests.args(["test", "--package", "brickwire-tests", "--test", test, "--", "--nocapture"]);
    run(tests.env(INTEROP_VARIABLE, "1").env("BRICKWIRE_SECONDS", seconds.to_string()))
}

fn summary(took: &[(Stage, Duration)], passed: bool) {
    println!();
    for (at, (stage, time)) in took.iter().enumerate() {
        let failed = !passed && at + 1 == took.len();
        println!(
            "{:8} {:>7.1} s  {}",
            stage.name(),
            time.as_secs_f64(),
            if failed { "FAILED" } else { "passed" }
        );
    }
    println!(
        "{:8} {:>7.1} s",
        "in all",
        took.iter().map(|(_, time)| time.as_secs_f64()).sum::<f64>()
    );
}

/// Environment variable that enables the interop tests.
pub const INTEROP_VARIABLE: &str = "BRICKWIRE_CLUSTER";
/// Tests that run on glusterd and on `brickwire serve`.
const SITE_TESTS: &[&str] = &["files", "paths", "images", "faults"];
