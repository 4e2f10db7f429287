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

struct Bench {
    tools: Binaries,
    host: String,
    path: String,
    seconds: u64,
    rounds: usize,
}

impl Bench {
    fn uri(&self) -> String {
        format!("gluster://{}/{VOLUME}{}", self.host, self.path)
    }

    fn measure(&self) -> Result<Measured> {
        self.one(self.reference(&self.tools.replay).args(["--size", SIZE, "--fill"]))?;
        let mut cases: Vec<[Vec<Sample>; 4]> = CASES.iter().map(|_| Default::default()).collect();
        for round in 0..self.rounds {
            for (case, samples) in CASES.iter().zip(&mut cases) {
                // Each round begins with another tool: none is always the one after an idle moment.
                for at in (0..4).map(|turn| (turn + round) % 4) {
                    let tool = Tool::ALL[at];
                    let sample = Sample::from_json(&self.one(&mut self.command(tool, case, self.seconds))?)?;
                    println!(
                        "round {} of {}: {}: {}: {:.0} a second",
                        round + 1,
                        self.rounds,
                        case.name(),
                        tool.name(),
                        sample.iops
                    );
                    samples[at].push(sample);
                }
            }
        }
        println!("the C library's tear-down takes some ten seconds, {} times", self.rounds);
        let rounds = self.rounds.to_string();
        let stops = self.one(self.reference(&self.tools.c).args(["--startstop", &rounds]))?;
        let stops = stops["teardown_ms"].as_array().context("gfapi_bench gave no teardown_ms")?;
        let c_stops = stops.iter().filter_map(Value::as_f64).collect();
        let calls = [Tool::C, Tool::Replay, Tool::One].map(|tool| self.system_calls(tool));
        let [c, replay, ours] = calls;
        Ok(Measured { cases, c_stops, calls: [c?, replay?, ours?] })
    }

    /// The C program or the replay, which have one command line.
    fn reference(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.args(["--server", &self.host, "--volume", VOLUME, "--path", &self.path]);
        command
    }

    fn command(&self, tool: Tool, case: &Case, seconds: u64) -> Command {
        let mut command = match tool {
            Tool::C => self.reference(&self.tools.c),
            Tool::Replay => self.reference(&self.tools.replay),
            Tool::One | Tool::Two => Command::new(&self.tools.ours),
        };
        match tool {
            Tool::C => drop(command.arg("--skip-fini")),
            Tool::Replay => {}
            Tool::One => drop(command.args(["bench", &self.uri(), "--json"])),
            Tool::Two => drop(command.args(["bench", &self.uri(), "--json", "--connections", "2"])),
        }
        let (depth, seconds) = (case.depth.to_string(), seconds.to_string());
        command.args(["--rw", case.rw, "--bs", case.bs, "--iodepth", &depth]);
        command.args(["--runtime", &seconds, "--size", SIZE]);
        command
    }

    fn one(&self, command: &mut Command) -> Result<Value> {
        let text = read(command)?;
        serde_json::from_str(&text).with_context(|| format!("`{}` printed no JSON", line(command)))
    }

    /// What one operation of the first case costs in system calls, under strace.
    fn system_calls(&self, tool: Tool) -> Result<Calls> {
        let traced = self.command(tool, &CASES[0], 1);
        let summary = std::env::temp_dir().join(format!("xtask-bench-{}.strace", std::process::id()));
        let mut strace = Command::new("strace");
        strace.args(["-f", "-c", "-U", "calls,name", "-o"]).arg(&summary);
        let json = self.one(strace.arg(traced.get_program()).args(traced.get_args()));
        let text = std::fs::read_to_string(&summary);
        let _absent = std::fs::remove_file(&summary);
        let json = json.context("system calls are counted with strace: apt install strace")?;
        // Ours says no number of operations, but ran for one second.
        let operations = json["operations"].as_f64().or(json["iops"].as_f64()).context("no iops")?;
        Ok(Calls::from_summary(&text?, operations))
    }
}

/// What one run gave.
struct Sample {
    iops: f64,
    mb_per_s: f64,
    p50: f64,
    p99: f64,
    cpu: f64,
    rss: f64,
    start: f64,
    /// None if tear-down was left out.
    stop: Option<f64>,
}

impl Sample {
    fn from_json(json: &Value) -> Result<Self> {
        let number = |value: &Value, key: &str| {
            value[key].as_f64().with_context(|| format!("a bench program gave no {key}"))
        };
        Ok(Self {
            iops: number(json, "iops")?,
            mb_per_s: number(json, "mb_per_s")?,
            p50: number(&json["latency_us"], "p50")?,
            p99: number(&json["latency_us"], "p99")?,
            cpu: number(json, "cpu_s_per_10k")?,
            rss: number(json, "rss_mib")?,
            start: number(json, "start_ms")?,
            stop: json["teardown_ms"].as_f64(),
        })
    }
}

/// System calls of one operation.
#[derive(Debug, Default, PartialEq)]
struct Calls {
    write: f64,
    wait: f64,
    read: f64,
    other: f64,
}

impl Calls {
    fn from_summary(text: &str, operations: f64) -> Self {
        let mut calls = Self::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let (Some(Ok(count)), Some(name)) = (words.next().map(str::parse::<f64>), words.next()) else {
                continue;
            };
            let sum = match name {
                "total" => continue,
                "write" | "writev" | "pwrite64" | "send" | "sendto" | "sendmsg" => &mut calls.write,
                "poll" | "ppoll" | "select" | "pselect6" | "futex" => &mut calls.wait,
                name if name.starts_with("epoll_") && name != "epoll_ctl" => &mut calls.wait,
                "read" | "readv" | "recv" | "recvfrom" | "recvmsg" => &mut calls.read,
                _ => &mut calls.other,
            };
            *sum += count / operations;
        }
        calls
    }
}

struct Measured {
    /// For each case, for each tool, a sample for each round.
    cases: Vec<[Vec<Sample>; 4]>,
    c_stops: Vec<f64>,
    /// Of C, the replay and ours.
    calls: [Calls; 3],
}

/// The middle one, or the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[half],
        _ => (values[half - 1] + values[half]) / 2.0,
    }
}
