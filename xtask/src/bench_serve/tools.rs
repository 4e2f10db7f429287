//! The clients (fio on the C library, our own, fio on NBD) and the results of one run.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde_json::Value;

use super::nbd::Nbd;
use super::process::{cpu_of, cpu_of_ended};
use super::{Case, FILE, SIZE};
use crate::command::{line, read, run, workspace};
use crate::servers::Server;

/// Results of one run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) iops: f64,
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
    /// CPU seconds of the server for 10,000 operations.
    pub(super) server_cpu: f64,
    /// CPU seconds of the client for 10,000 operations.
    pub(super) client_cpu: f64,
}

/// fio with its gfapi engine.
pub(super) struct Gfapi {
    /// A preloaded library that makes `glfs_fini`, which takes some six seconds after the
    /// measurement, return at once.
    no_fini: PathBuf,
    /// CPU seconds of the library's start, once measured.
    start: OnceCell<f64>,
}

pub(super) const NO_FINI: &str = "bench/gfapi/no_fini.c";

impl Gfapi {
    pub(super) fn prepare(dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        let no_fini = dir.join("no_fini.so");
        let mut cc = Command::new("cc");
        cc.current_dir(workspace()).args(["-shared", "-fPIC", NO_FINI, "-o"]).arg(&no_fini);
        run(&mut cc)?;
        Ok(Self { no_fini, start: OnceCell::new() })
    }

    fn command(&self, server: Server<'_>, rw: &str, bs: &str, depth: u32) -> Command {
        let mut command = server.client("env");
        command.arg(format!("LD_PRELOAD={}", self.no_fini.display()));
        command.args(["fio", &format!("--ioengine={}", engine(depth))]);
        command.arg(format!("--volume={}", server.volume)).arg(format!("--brick={}", server.host));
        command.arg(format!("--filename={FILE}"));
        fio(&mut command, rw, bs, depth);
        command
    }

    /// Creates the file, full of data.
    pub(super) fn fill(&self, server: Server<'_>) -> Result<()> {
        fio_json(&mut self.command(server, "write", "1M", 4)).map(drop)
    }

    pub(super) fn measure(&self, server: Server<'_>, case: &Case, seconds: f64) -> Result<Sample> {
        let mut command = self.command(server, case.rw, case.bs, case.depth);
        let start = self.start(server)?;
        measured(|| cpu_of(server.pid), start, || fio_json(timed(&mut command, seconds)))
    }

    fn start(&self, server: Server<'_>) -> Result<f64> {
        if let Some(start) = self.start.get() {
            return Ok(*start);
        }
        let before = cpu_of_ended()?;
        fio_json(self.command(server, "randread", "4k", 1).arg("--number_ios=1"))?;
        let start = cpu_of_ended()? - before;
        Ok(*self.start.get_or_init(|| start))
    }
}

/// The asynchronous engine polls for completions every 100 us, which would dominate the latency at
/// depth 1.
fn engine(depth: u32) -> &'static str {
    if depth == 1 { "gfapi" } else { "gfapi_async" }
}

fn fio(command: &mut Command, rw: &str, bs: &str, depth: u32) {
    // A thread, because CPU time of a forked job is lost if the library keeps the job from exiting.
    command.args([
        "--thread",
        "--name=bench",
        "--output-format=json",
        "--eta=never",
        "--clocksource=clock_gettime",
    ]);
    command.arg(format!("--rw={rw}")).arg(format!("--bs={bs}")).arg(format!("--iodepth={depth}"));
    command.arg(format!("--size={SIZE}")).stderr(Stdio::null());
}

fn timed(command: &mut Command, seconds: f64) -> &mut Command {
    command.arg("--time_based").arg(format!("--runtime={}ms", (seconds * 1000.0) as u64))
}

/// Runs fio and returns its first job as JSON. Engines may print lines before it.
fn fio_json(command: &mut Command) -> Result<Value> {
    let text = read(command).context("fio is needed: apt install fio")?;
    let json = text.find('{').and_then(|at| text.get(at..)).unwrap_or_default();
    let mut json: Value = serde_json::from_str(json)
        .with_context(|| format!("`{}` printed no JSON", line(command)))?;
    Ok(json["jobs"][0].take())
}

/// Runs a job of fio and takes the CPU time of the server, and that of the client beyond its start.
fn measured(
    cpu: impl Fn() -> Result<f64>,
    start: f64,
    job: impl FnOnce() -> Result<Value>,
) -> Result<Sample> {
    let (before, ended) = (cpu()?, cpu_of_ended()?);
    let job = job()?;
    let (server, client) = (cpu()? - before, cpu_of_ended()? - ended - start);
    let number = |value: &Value, what: &str| {
        value.as_f64().with_context(|| format!("fio gave no {what}: is its engine there?"))
    };
    let (read, write) = (
        number(&job["read"]["total_ios"], "reads")?,
        number(&job["write"]["total_ios"], "writes")?,
    );
    let side = if read > 0.0 { &job["read"] } else { &job["write"] };
    let percentiles = &side["clat_ns"]["percentile"];
    let each = 10_000.0 / (read + write).max(1.0);
    Ok(Sample {
        iops: number(&side["iops"], "iops")?,
        p50_us: number(&percentiles["50.000000"], "p50")? / 1000.0,
        p99_us: number(&percentiles["99.000000"], "p99")? / 1000.0,
        server_cpu: server * each,
        client_cpu: client * each,
    })
}

/// Runs `brickwire bench`.
pub(super) fn own(program: &Path, server: Server<'_>, case: &Case, seconds: f64) -> Result<Sample> {
    let mut command = server.client(program);
    command
        .arg("bench")
        .arg(format!("gluster://{}/{}/{FILE}", server.host, server.volume))
        .arg("--json");
    command.args([
        "--rw",
        case.rw,
        "--bs",
        case.bs,
        "--iodepth",
        &case.depth.to_string(),
        "--size",
        SIZE,
    ]);
    command.args(["--runtime", &seconds.to_string()]);
    if case.rw.ends_with("write") {
        command.arg("--overwrite");
    }
    let before = cpu_of(server.pid)?;
    let text = read(&mut command)?;
    let used = cpu_of(server.pid)? - before;
    let json: Value = serde_json::from_str(&text).context("brickwire bench printed no JSON")?;
    let number = |value: &Value| {
        value.as_f64().with_context(|| format!("brickwire bench lacks a number: {text}"))
    };
    let iops = number(&json["iops"])?;
    Ok(Sample {
        iops,
        p50_us: number(&json["latency_us"]["p50"])?,
        p99_us: number(&json["latency_us"]["p99"])?,
        server_cpu: used / (iops * seconds).max(1.0) * 10_000.0,
        client_cpu: number(&json["cpu_s_per_10k"])?,
    })
}

/// Runs fio's NBD engine.
pub(super) fn nbd(server: &Nbd, case: &Case, seconds: f64) -> Result<Sample> {
    let mut command = Command::new("fio");
    command
        .arg("--ioengine=nbd")
        .arg(format!("--uri=nbd+unix:///?socket={}", server.socket.display()));
    fio(&mut command, case.rw, case.bs, case.depth);
    measured(|| server.cpu(), 0.0, || fio_json(timed(&mut command, seconds)))
}

/// System calls of the server for one operation, counted by strace in a run of one second.
pub(super) fn system_calls(gfapi: &Gfapi, server: Server<'_>, case: &Case) -> Result<f64> {
    let summary =
        std::env::temp_dir().join(format!("xtask-bench-serve-{}.strace", std::process::id()));
    let mut strace = Command::new("strace")
        .args(["-f", "-c", "-U", "calls,name", "-p", &server.pid.to_string(), "-o"])
        .arg(&summary)
        .stderr(Stdio::null())
        .spawn()
        .context("system calls are counted with strace: apt install strace")?;
    std::thread::sleep(std::time::Duration::from_millis(300));
    let job = fio_json(timed(&mut gfapi.command(server, case.rw, case.bs, case.depth), 1.0));
    if let Some(pid) = rustix::process::Pid::from_raw(strace.id() as i32) {
        let _gone_already = rustix::process::kill_process(pid, rustix::process::Signal::INT);
    }
    strace.wait()?;
    let text = std::fs::read_to_string(&summary);
    let _absent = std::fs::remove_file(&summary);
    let job = job?;
    let operations = [&job["read"]["total_ios"], &job["write"]["total_ios"]];
    let operations: f64 = operations.into_iter().filter_map(Value::as_f64).sum();
    total_calls(&text?).map(|calls| calls / operations.max(1.0))
}

/// The number of calls in the last line of strace's summary.
fn total_calls(summary: &str) -> Result<f64> {
    let total = summary.lines().find(|line| line.trim_end().ends_with(" total"));
    let count = total.and_then(|line| line.split_whitespace().next()?.parse().ok());
    count.context("strace gave no total")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_of_a_summary_is_its_last_line() {
        let text = "    calls syscall\n--------- -----\n      200 epoll_pwait\n--------- \
            -----\n      375 total\n";
        assert_eq!(total_calls(text).unwrap(), 375.0);
        assert!(total_calls("").is_err());
    }
}
