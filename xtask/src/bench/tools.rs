//! The measuring programs, and how each is called.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::Case;
use crate::command::{cargo, read, run, workspace};

pub(super) const C_SOURCE: &str = "bench/gfapi/gfapi_bench.c";
pub(super) const VOLUME: &str = "single";
pub(super) const SIZE: &str = "256M";

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tool {
    C,
    Replay,
    One,
    Two,
}

impl Tool {
    pub(super) const ALL: [Self; 4] = [Self::C, Self::Replay, Self::One, Self::Two];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::C => "C",
            Self::Replay => "replay",
            Self::One => "ours",
            Self::Two => "ours, 2 connections",
        }
    }
}

/// Paths of the programs.
pub(super) struct Binaries {
    c: PathBuf,
    replay: PathBuf,
    pub(super) client: PathBuf,
    /// The same client, linked statically.
    pub(super) alone: PathBuf,
}

impl Binaries {
    pub(super) fn build() -> Result<Self> {
        let target = std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| workspace().join("target"), PathBuf::from);
        let target = workspace().join(target);
        run(cargo().args(["build", "--release", "-p", CLIENT, "-p", "brickwire-replay"]))?;
        let c = target.join("bench/gfapi_bench");
        std::fs::create_dir_all(target.join("bench"))?;
        let flags = read(Command::new("pkg-config").args(["--cflags", "--libs", "glusterfs-api"]))
            .context(
                "the C library's headers are needed: apt install libglusterfs-dev pkg-config",
            )?;
        let mut cc = Command::new("cc");
        cc.current_dir(workspace())
            .args(["-O2", "-Wall", "-Wextra", "-Werror", C_SOURCE, "-o"])
            .arg(&c);
        run(cc.args(flags.split_whitespace()))?;
        let release = target.join("release");
        Ok(Self {
            c,
            replay: release.join("brickwire-replay"),
            client: release.join(CLIENT),
            alone: Self::build_alone(&target)?,
        })
    }

    fn build_alone(target: &Path) -> Result<PathBuf> {
        let version = read(Command::new("rustc").arg("-vV"))?;
        let host = version
            .lines()
            .find_map(|line| line.strip_prefix("host: "))
            .context("rustc names no host")?;
        // With `--target`, RUSTFLAGS do not apply to build scripts and macros, which cannot be
        // linked statically.
        let mut build = cargo();
        build.args(["build", "--release", "-p", CLIENT, "--target", host, "--target-dir"]);
        run(build.arg(target.join("bench")).env("RUSTFLAGS", "-C target-feature=+crt-static"))?;
        Ok(target.join("bench").join(host).join("release").join(CLIENT))
    }

    /// The command of a tool on a file.
    pub(super) fn command(&self, tool: Tool, host: &str, path: &str) -> Command {
        let program = match tool {
            Tool::C => &self.c,
            Tool::Replay => &self.replay,
            Tool::One | Tool::Two => &self.client,
        };
        let mut command = on(program, host, path);
        match tool {
            Tool::C => drop(command.arg("--skip-fini")),
            Tool::Replay | Tool::One => {}
            Tool::Two => drop(command.args(["--connections", "2"])),
        }
        command
    }

    /// The command that starts and stops the C library a number of times.
    pub(super) fn c_stops(&self, host: &str, path: &str, times: &str) -> Command {
        let mut command = on(&self.c, host, path);
        command.args(["--startstop", times]);
        command
    }
}

const CLIENT: &str = "brickwire-bench-client";

/// The options that all programs share.
pub(super) fn on(program: &Path, host: &str, path: &str) -> Command {
    let mut command = Command::new(program);
    command.args(["--server", host, "--volume", VOLUME, "--path", path, "--size", SIZE]);
    command
}

/// Adds the options of a case.
pub(super) fn workload<'a>(command: &'a mut Command, case: &Case) -> &'a mut Command {
    command.args(["--rw", case.rw, "--bs", case.bs, "--iodepth", &case.depth.to_string()])
}
