//! The upper bound that a brick sets: READ and WRITE calls that were encoded beforehand are
//! replayed on one connection, with one wake-up for every reply. A client without any work of its
//! own would reach this with such a loop, so the benches divide by it.
//!
//! It depends on nothing of brickwire's core: a mistake in its codec must not shift the reference,
//! too. Command line and JSON are those of `bench/gfapi/gfapi_bench.c`.

mod args;
mod replay;
mod session;
mod wire;

use std::process::ExitCode;
use std::time::Instant;

use brickwire_bench_common::Failure;
use brickwire_bench_common::measure::{milliseconds, rss_mib};
use brickwire_bench_common::report::Run;

use crate::args::{Args, Mode, USAGE};
use crate::replay::Replay;
use crate::session::Session;

fn main() -> ExitCode {
    brickwire_bench_common::main("brickwire-replay", USAGE, Args::parse, run)
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
    session.fill(args.common.size)?;
    session.stop()?;
    Ok(format!(r#"{{"tool":"replay","filled":{}}}"#, args.common.size))
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
    let mut run = Run::new();
    let mut session = Session::start(args)?;
    run.started();
    let mut replay = Replay::encode(args, session.file());
    run.begin();
    replay.run(session.brick(), args.common.end)?;
    run.worked();
    session.stop()?;
    Ok(run.stopped("replay", &args.common, replay.latency()))
}
