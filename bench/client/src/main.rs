//! The smallest program that uses `brickwire-std`: the counterpart of `bench/gfapi/gfapi_bench.c`,
//! with the same command line, workload and JSON, so that the benches compare the two libraries.
//!
//! The file must exist and be full of data (`brickwire-replay --fill`).

mod args;

use std::process::ExitCode;
use std::time::Instant;

use brickwire_bench_common::Failure;
use brickwire_bench_common::args::Args as Common;
use brickwire_bench_common::measure::Histogram;
use brickwire_bench_common::offsets::Offsets;
use brickwire_bench_common::report::Run;
use brickwire_std::{File, OpenOptions, Options, Volume};

use crate::args::{Args, USAGE};

fn main() -> ExitCode {
    brickwire_bench_common::main("brickwire-bench-client", USAGE, Args::parse, |args| {
        if args.remove { remove(args) } else { measure(args) }
    })
}

fn open(args: &Args) -> Result<Volume, Failure> {
    let options = Options::new().connections_per_brick(args.connections);
    let uri = format!("gluster://{}/{}", args.common.server, args.common.volume);
    Volume::open_with(&uri, &options).map_err(line)
}

fn remove(args: &Args) -> Result<String, Failure> {
    open(args)?.remove_file(&args.common.path).map_err(line)?;
    Ok(r#"{"tool":"brickwire","removed":true}"#.into())
}

fn measure(args: &Args) -> Result<String, Failure> {
    let mut run = Run::new();
    let volume = open(args)?;
    let options = OpenOptions::new().read(true).write(true);
    let file = volume.open_file(&args.common.path, &options).map_err(line)?;
    run.started();
    let mut workload = Workload::new(&args.common);
    run.begin();
    if args.common.iodepth == 1 { workload.one_by_one(&file) } else { workload.queued(&file) }?;
    run.worked();
    file.close().map_err(line)?;
    volume.close();
    Ok(run.stopped("brickwire", &args.common, &workload.latency))
}

/// Keeps `iodepth` operations in flight.
struct Workload<'a> {
    args: &'a Common,
    offsets: Offsets,
    begun: Instant,
    latency: Histogram,
}

impl<'a> Workload<'a> {
    fn new(args: &'a Common) -> Self {
        Self {
            args,
            offsets: Offsets::new(args),
            begun: Instant::now(),
            latency: Histogram::default(),
        }
    }

    /// Whether a further operation begins at `now`.
    fn goes_on(&self, now: Instant) -> bool {
        self.args.end.goes_on(self.begun, now, self.offsets.taken())
    }

    fn one_by_one(&mut self, file: &File) -> Result<(), Failure> {
        let mut buffer = vec![0xa5; self.args.bs as usize];
        let mut sent = self.begun;
        while self.goes_on(sent) {
            let at = self.offsets.take();
            let done = if self.args.rw.write {
                file.write_at(&buffer, at)
            } else {
                file.read_at(&mut buffer, at)
            };
            whole(done, self.args.bs, at)?;
            // One operation ends when the next begins, so the clock is read once for each, as in
            // the replay.
            let now = Instant::now();
            self.latency.add(now - sent);
            sent = now;
        }
        Ok(())
    }

    fn queued(&mut self, file: &File) -> Result<(), Failure> {
        let depth = self.args.iodepth;
        let mut queue = file.queue(depth);
        let mut sent = vec![(0, self.begun); depth];
        let mut spare: Vec<_> =
            (0..depth).map(|slot| (slot, vec![0xa5; self.args.bs as usize])).collect();
        let mut now = self.begun;
        loop {
            while self.goes_on(now)
                && let Some((slot, buffer)) = spare.pop()
            {
                let at = self.offsets.take();
                sent[slot] = (at, now);
                let token = slot as u64;
                if self.args.rw.write {
                    queue.write(token, buffer, at)
                } else {
                    queue.read(token, buffer, at)
                }
                .map_err(line)?;
            }
            let Some(done) = queue.wait().map_err(line)? else {
                return Ok(());
            };
            now = Instant::now();
            let slot = done.token as usize;
            let (at, begun) = sent[slot];
            self.latency.add(now - begun);
            whole(done.result, self.args.bs, at)?;
            spare.push((slot, done.buffer));
        }
    }
}

fn whole(done: brickwire_std::Result<usize>, bs: u32, at: u64) -> Result<(), Failure> {
    match done {
        Ok(n) if n == bs as usize => Ok(()),
        Ok(n) => Err(format!("{n} of {bs} bytes at {at} (is the file smaller than --size?)")),
        Err(error) => Err(line(error)),
    }
}

fn line(error: brickwire_std::Error) -> Failure {
    error.to_string()
}
