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
use crate::command::{cargo, line, read, run, workspace};

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
    Case { rw: "randread", bs: "4k", depth: 1, goals: Goals { one: Some(0.95), two: None, cpu: Some(0.3) } },
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
const C_STOPS: &str = "3";

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
                    let sample =
                        Sample::from_json(&self.one(&mut self.command(tool, case, self.seconds))?)?;
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
        println!("the C library's tear-down takes some ten seconds, {C_STOPS} times");
        let stops = self.one(self.reference(&self.tools.c).args(["--startstop", C_STOPS]))?;
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
            Tool::One => drop(command.args(["bench", &self.uri(), "--json", "--overwrite"])),
            Tool::Two => {
                command.args(["bench", &self.uri(), "--json", "--overwrite", "--connections", "2"]);
            }
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

impl Measured {
    fn median(&self, case: usize, tool: Tool, of: impl Fn(&Sample) -> f64) -> f64 {
        median(self.cases[case][tool as usize].iter().map(of).collect())
    }

    /// The rounds' ratios.
    fn ratios(&self, case: usize, tool: Tool, to: Tool, of: impl Fn(&Sample) -> f64) -> Vec<f64> {
        let [above, below] = [tool, to].map(|tool| &self.cases[case][tool as usize]);
        above.iter().zip(below).map(|(above, below)| of(above) / of(below)).collect()
    }

    fn ratio(&self, case: usize, tool: Tool, to: Tool, of: impl Fn(&Sample) -> f64) -> f64 {
        median(self.ratios(case, tool, to, of))
    }

    /// The median of the rounds' ratios, and the smallest and the largest.
    fn shown_ratio(&self, case: usize, tool: Tool, to: Tool, of: impl Fn(&Sample) -> f64) -> String {
        let ratios = self.ratios(case, tool, to, of);
        let (low, high) = (smallest(&ratios), largest(&ratios));
        format!("{:.2} ({low:.2} to {high:.2})", median(ratios))
    }

    /// Start and tear-down in milliseconds, over all cases.
    fn start_stop(&self, tool: Tool) -> (f64, f64) {
        let samples = || self.cases.iter().flat_map(|case| &case[tool as usize]);
        let stops = if tool == Tool::C {
            self.c_stops.clone()
        } else {
            samples().filter_map(|sample| sample.stop).collect()
        };
        (median(samples().map(|sample| sample.start).collect()), median(stops))
    }

    fn report(&self, bench: &Bench, before: &str) -> Result<String> {
        let mut text = String::new();
        let t = &mut text;
        writeln!(t, "# Bench\n")?;
        writeln!(t, "Made by `cargo xtask bench --seconds {} --rounds {}`.\n", bench.seconds, bench.rounds)?;
        writeln!(t, "{}", machine()?)?;
        writeln!(t, "Load average {before} before and {} after.\n", load())?;
        writeln!(
            t,
            "*C* is libgfapi (`{C_SOURCE}`). *Replay* is the brick's own ceiling (`tests/replay`): calls encoded \
             beforehand, one connection, no client logic. *Ours* is `brickwire bench`. All of them and the brick \
             share the machine. One file of {SIZE}, full of data. The tools take turns within each round; ratios \
             are medians of the rounds' ratios (with the smallest and the largest), absolute numbers medians of the rounds. Memory is the peak of the \
             process, with the buffers.\n"
        )?;
        self.write_ratios(t)?;
        self.write_numbers(t)?;
        self.write_start_stop(t)?;
        self.write_calls(t)?;
        self.write_goals(t)?;
        Ok(text)
    }

    fn write_ratios(&self, t: &mut String) -> std::fmt::Result {
        writeln!(t, "## Ratios\n")?;
        writeln!(
            t,
            "| case | ours/replay IOPS | 2 connections/replay IOPS | ours/C IOPS | ours/C CPU per operation | \
             ours/C memory |\n|---|---:|---:|---:|---:|---:|"
        )?;
        for (at, case) in CASES.iter().enumerate() {
            let ratio = |tool, to, of: fn(&Sample) -> f64| self.shown_ratio(at, tool, to, of);
            writeln!(
                t,
                "| {} | {} | {} | {} | {} | {} |",
                case.name(),
                ratio(Tool::One, Tool::Replay, |s| s.iops),
                ratio(Tool::Two, Tool::Replay, |s| s.iops),
                ratio(Tool::One, Tool::C, |s| s.iops),
                ratio(Tool::One, Tool::C, |s| s.cpu),
                ratio(Tool::One, Tool::C, |s| s.rss),
            )?;
        }
        writeln!(t)
    }

    fn write_numbers(&self, t: &mut String) -> std::fmt::Result {
        writeln!(t, "## Numbers\n")?;
        writeln!(
            t,
            "Spread is (largest - smallest) / median of the rounds' IOPS.\n\n| case | tool | IOPS | spread | MB/s | \
             p50 us | p99 us | CPU s per 10,000 | MiB |\n|---|---|---:|---:|---:|---:|---:|---:|---:|"
        )?;
        for (at, case) in CASES.iter().enumerate() {
            for tool in Tool::ALL {
                let of = |of: fn(&Sample) -> f64| self.median(at, tool, of);
                let iops: Vec<f64> = self.cases[at][tool as usize].iter().map(|sample| sample.iops).collect();
                let spread = largest(&iops) - smallest(&iops);
                writeln!(
                    t,
                    "| {} | {} | {:.0} | {:.0} % | {:.0} | {:.0} | {:.0} | {:.3} | {:.1} |",
                    case.name(),
                    tool.name(),
                    of(|s| s.iops),
                    spread / of(|s| s.iops) * 100.0,
                    of(|s| s.mb_per_s),
                    of(|s| s.p50),
                    of(|s| s.p99),
                    of(|s| s.cpu),
                    of(|s| s.rss),
                )?;
            }
        }
        writeln!(t)
    }

    fn write_start_stop(&self, t: &mut String) -> std::fmt::Result {
        writeln!(t, "## Start and tear-down\n")?;
        writeln!(
            t,
            "From nothing to an open file, and from there to nothing.\n\n| tool | start ms | tear-down ms | \
             together ms |\n|---|---:|---:|---:|"
        )?;
        for tool in Tool::ALL {
            let (start, stop) = self.start_stop(tool);
            writeln!(t, "| {} | {start:.2} | {stop:.2} | {:.2} |", tool.name(), start + stop)?;
        }
        writeln!(t)
    }

    fn write_calls(&self, t: &mut String) -> std::fmt::Result {
        writeln!(t, "## System calls for one {}\n", CASES[0].name())?;
        writeln!(
            t,
            "Counted by strace in a run of one second, all threads, start included.\n\n| tool | write | wait | read | \
             other |\n|---|---:|---:|---:|---:|"
        )?;
        for (tool, calls) in [Tool::C, Tool::Replay, Tool::One].into_iter().zip(&self.calls) {
            let Calls { write, wait, read, other } = calls;
            writeln!(t, "| {} | {write:.2} | {wait:.2} | {read:.2} | {other:.2} |", tool.name())?;
        }
        writeln!(t)
    }

    fn write_goals(&self, t: &mut String) -> std::fmt::Result {
        writeln!(t, "## Goals\n\n| goal | wanted | measured | met |\n|---|---:|---:|---|")?;
        let mut row = |what: String, wanted: f64, least: bool, got: f64| {
            let met = if least { got >= wanted } else { got <= wanted };
            let (side, met) = (if least { ">=" } else { "<=" }, if met { "yes" } else { "no" });
            writeln!(t, "| {what} | {side} {wanted} | {got:.3} | {met} |")
        };
        for (at, case) in CASES.iter().enumerate() {
            let name = case.name();
            let iops = |tool| self.ratio(at, tool, Tool::Replay, |s| s.iops);
            if let Some(wanted) = case.goals.one {
                row(format!("{name}: IOPS of the replay's"), wanted, true, iops(Tool::One))?;
            }
            if let Some(wanted) = case.goals.two {
                row(format!("{name}, 2 connections: IOPS of the replay's"), wanted, true, iops(Tool::Two))?;
            }
            let of_c = |of: fn(&Sample) -> f64| self.ratio(at, Tool::One, Tool::C, of);
            if let Some(wanted) = case.goals.cpu {
                row(format!("{name}: CPU of C's"), wanted, false, of_c(|s| s.cpu))?;
            }
            row(format!("{name}: memory of C's"), MEMORY_GOAL, false, of_c(|s| s.rss))?;
        }
        let (start, stop) = self.start_stop(Tool::One);
        row("start and tear-down, ms".into(), START_STOP_GOAL_MS, false, start + stop)
    }
}

fn smallest(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

fn largest(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// Cores, processor, kernel and GlusterFS.
fn machine() -> Result<String> {
    let cores = std::thread::available_parallelism()?;
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let gluster = read(Command::new("glusterfs").arg("--version"))?;
    Ok(format!(
        "Machine: {cores} cores ({}), Linux {}, {}, client and brick on the loopback interface.",
        model.map_or("unknown", |(_, model)| model.trim()),
        kernel.trim(),
        gluster.lines().next().unwrap_or("glusterfs"),
    ))
}

/// The load averages of 1, 5 and 15 minutes.
fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_calls_are_sorted_by_what_they_do() {
        let text = "    calls syscall\n--------- -----\n      200 epoll_pwait\n      100 sendmsg\n       \
                    50 readv\n       25 mmap\n--------- -----\n      375 total\n";
        let calls = Calls::from_summary(text, 100.0);
        assert_eq!(calls, Calls { write: 1.0, wait: 2.0, read: 0.5, other: 0.25 });
    }

    #[test]
    fn a_median_is_in_the_middle() {
        assert_eq!(median(vec![9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 9.0]), 3.0);
    }
}
