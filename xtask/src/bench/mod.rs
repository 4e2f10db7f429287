//! Measures the client beside the C library and beside a replay of encoded calls, which is the
//! upper bound that the brick sets.
//!
//! Every case runs in rounds, and within a round with one tool after the other, so that other load
//! on the machine affects all of them. A ratio is taken within each round, and its median is
//! reported. Instructions are counted as well ([`instructions`]).

mod instructions;
mod report;
mod sample;
mod tools;

use std::net::TcpListener;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::cluster::Cluster;
use crate::command::{line, read, workspace};
use crate::measure::load;
use crate::namespace;
pub use instructions::instructions;
use report::Measured;
use sample::{Calls, Sample};
use tools::{Binaries, Tool, on, workload};

/// Measures, prints the tables and writes them to `docs/bench.md`. It runs in a network namespace
/// if `isolated` is set, or if another glusterd than a cluster's has port 24007.
pub fn bench(seconds: u64, rounds: usize, isolated: bool) -> Result<()> {
    if seconds == 0 || rounds == 0 {
        bail!("--seconds and --rounds must be at least 1");
    }
    if !namespace::is_isolated() && (isolated || is_port_taken()?) {
        println!("measuring in a network namespace of its own");
        namespace::isolate()?;
    }
    let tools = Binaries::build()?;
    let cluster = Cluster::attach_or_up()?;
    let path = format!("/xtask-bench-{}.img", std::process::id());
    let bench = Bench { tools, host: cluster.host().to_owned(), path, seconds, rounds };
    let before = load();
    let measured = bench.measure();
    // The file is removed in any case.
    let removed = read(on(&bench.tools.client, &bench.host, &bench.path).arg("--remove"));
    let measured = measured?;
    removed?;
    let text = measured.report(&bench, &before)?;
    println!("\n{text}");
    let file = workspace().join(REPORT);
    std::fs::create_dir_all(file.parent().unwrap_or(&file))?;
    std::fs::write(&file, text).with_context(|| format!("{REPORT} cannot be written"))
}

/// Whether another process has glusterd's port.
fn is_port_taken() -> Result<bool> {
    Ok(Cluster::status()?.is_none() && TcpListener::bind(("::", crate::cluster::PORT)).is_err())
}

const REPORT: &str = "docs/bench.md";
const C_STOPS: &str = "3";

/// A workload.
struct Case {
    rw: &'static str,
    bs: &'static str,
    depth: u32,
    /// Size of the blocks that the program itself holds.
    held_mib: f64,
    goals: Goals,
}

/// The goals: least IOPS relative to the replay's, and most CPU time relative to the C library's.
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

const fn case(rw: &'static str, bs: &'static str, depth: u32, held_mib: f64, goals: Goals) -> Case {
    Case { rw, bs, depth, held_mib, goals }
}

const DEEP: Goals = Goals { one: Some(1.1), two: Some(1.3), cpu: Some(0.1) };
const CASES: [Case; 5] = [
    case("randread", "4k", 1, 0.004, Goals { one: Some(0.95), two: None, cpu: Some(0.3) }),
    case("randread", "4k", 32, 0.125, DEEP),
    // All writes use the first connection, because their order must be kept.
    case("randwrite", "4k", 32, 0.125, Goals { two: None, ..DEEP }),
    case("read", "1M", 4, 4.0, Goals { one: Some(0.95), two: None, cpu: None }),
    case("write", "1M", 4, 4.0, Goals { one: None, two: None, cpu: None }),
];

struct Bench {
    tools: Binaries,
    host: String,
    path: String,
    seconds: u64,
    rounds: usize,
}

impl Bench {
    fn measure(&self) -> Result<Measured> {
        self.one(self.tools.command(Tool::Replay, &self.host, &self.path).arg("--fill"))?;
        let mut cases: Vec<[Vec<Sample>; 4]> = CASES.iter().map(|_| Default::default()).collect();
        for round in 0..self.rounds {
            for (case, samples) in CASES.iter().zip(&mut cases) {
                // Each round begins with another tool, so that none always follows an idle moment.
                for at in (0..4).map(|turn| (turn + round) % 4) {
                    let tool = Tool::ALL[at];
                    let sample =
                        self.sample(self.tools.command(tool, &self.host, &self.path), case)?;
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
        let alone = |case| self.sample(on(&self.tools.alone, &self.host, &self.path), case);
        let alone = CASES.iter().map(alone).collect::<Result<_>>()?;
        println!("the C library's tear-down takes some ten seconds, {C_STOPS} times");
        let stops = self.one(&mut self.tools.c_stops(&self.host, &self.path, C_STOPS))?;
        let stops = stops["teardown_ms"].as_array().context("gfapi_bench gave no teardown_ms")?;
        let c_stops = stops.iter().filter_map(Value::as_f64).collect();
        let calls = [Tool::C, Tool::Replay, Tool::One].map(|tool| self.system_calls(tool));
        let [c, replay, ours] = calls;
        let counted =
            instructions::count(Some(&|| on(&self.tools.client, &self.host, &self.path)))?;
        Ok(Measured { cases, alone, c_stops, calls: [c?, replay?, ours?], instructions: counted })
    }

    fn sample(&self, mut command: Command, case: &Case) -> Result<Sample> {
        workload(&mut command, case).args(["--runtime", &self.seconds.to_string()]);
        Sample::from_json(&self.one(&mut command)?)
    }

    fn one(&self, command: &mut Command) -> Result<Value> {
        let text = read(command)?;
        serde_json::from_str(&text).with_context(|| format!("`{}` printed no JSON", line(command)))
    }

    /// System calls of one operation of the first case, counted with strace.
    fn system_calls(&self, tool: Tool) -> Result<Calls> {
        let mut traced = self.tools.command(tool, &self.host, &self.path);
        workload(&mut traced, &CASES[0]).args(["--runtime", "1"]);
        let summary =
            std::env::temp_dir().join(format!("xtask-bench-{}.strace", std::process::id()));
        let mut strace = Command::new("strace");
        strace.args(["-f", "-c", "-U", "calls,name", "-o"]).arg(&summary);
        let json = self.one(strace.arg(traced.get_program()).args(traced.get_args()));
        let text = std::fs::read_to_string(&summary);
        let _absent = std::fs::remove_file(&summary);
        let json = json.context("system calls are counted with strace: apt install strace")?;
        let operations = json["operations"].as_f64().context("no number of operations")?;
        Ok(Calls::from_summary(&text?, operations))
    }
}
