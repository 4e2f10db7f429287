//! A brick's own ceiling: replays READ and WRITE calls that were encoded beforehand, on one connection,
//! and wakes for every reply. What it reaches is what a client that did no work of its own would reach
//! with such a loop, so the benches divide by it.
//!
//! It depends on nothing of brickwire: a mistake in our codec must not move the yardstick as well.
//! Command line and JSON are those of `bench/gfapi/gfapi_bench.c`.

mod args;
mod measure;
mod replay;
mod session;
mod wire;

use std::process::ExitCode;
use std::time::Instant;

use crate::args::{Args, Mode};
use crate::measure::{cpu_seconds, rss_mib};
use crate::replay::Replay;
use crate::session::Session;

/// One line for a person: what failed, and where.
type Failure = String;

fn main() -> ExitCode {
    let args = match Args::parse(std::env::args().skip(1)) {
        Ok(args) => args,
        Err(why) => {
            eprintln!("brickwire-replay: {why}\n{}", args::USAGE);
            return ExitCode::from(2);
        }
    };
    match run(&args) {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("brickwire-replay: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<String, Failure> {
    match args.mode {
        Mode::Fill => fill(args),
        Mode::StartStop(times) => start_and_stop(args, times),
        Mode::Measure => measure(args),
    }
}

fn fill(args: &Args) -> Result<String, Failure> {
    let mut session = Session::start(args)?;
    session.fill(args.size)?;
    session.stop()?;
    Ok(format!(r#"{{"tool":"replay","filled":{}}}"#, args.size))
}

fn start_and_stop(args: &Args, times: u64) -> Result<String, Failure> {
    let (mut starts, mut stops) = (Vec::new(), Vec::new());
    for _ in 0..times {
        let begin = Instant::now();
        let session = Session::start(args)?;
        starts.push(format!("{:.2}", milliseconds(begin)));
        let begin = Instant::now();
        session.stop()?;
        stops.push(format!("{:.2}", milliseconds(begin)));
    }
    Ok(format!(
        r#"{{"tool":"replay","runs":{times},"start_ms":[{}],"teardown_ms":[{}],"rss_mib":{:.1}}}"#,
        starts.join(","),
        stops.join(","),
        rss_mib()
    ))
}

fn measure(args: &Args) -> Result<String, Failure> {
    let rss_before = rss_mib();
    let begin = Instant::now();
    let mut session = Session::start(args)?;
    let start_ms = milliseconds(begin);
    let mut replay = Replay::encode(args, session.file());

    let (begin, cpu) = (Instant::now(), cpu_seconds());
    replay.run(session.brick(), begin + args.runtime)?;
    let (seconds, cpu) = (begin.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let rss = rss_mib();

    let begin = Instant::now();
    session.stop()?;
    let teardown_ms = milliseconds(begin);
    let latency = replay.latency();
    let operations = latency.count() as f64;
    Ok(format!(
        concat!(
            r#"{{"tool":"replay","rw":"{}","bs":{},"iodepth":{},"operations":{},"seconds":{:.3},"#,
            r#""iops":{:.1},"mb_per_s":{:.1},"latency_us":{{"p50":{:.1},"p99":{:.1},"max":{:.1}}},"#,
            r#""cpu_s":{:.3},"cpu_s_per_10k":{:.4},"rss_mib":{:.1},"rss_delta_mib":{:.1},"#,
            r#""start_ms":{:.2},"teardown_ms":{:.2}}}"#
        ),
        args.rw,
        args.bs,
        args.iodepth,
        latency.count(),
        seconds,
        operations / seconds,
        operations * args.bs as f64 / seconds / 1e6,
        latency.percentile_us(50.0),
        latency.percentile_us(99.0),
        latency.max_us(),
        cpu,
        cpu / operations.max(1.0) * 1e4,
        rss,
        rss - rss_before,
        start_ms,
        teardown_ms,
    ))
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}
