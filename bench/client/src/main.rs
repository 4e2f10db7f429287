//! What `brickwire-std` does in the smallest program that uses it: the counterpart of `bench/gfapi/gfapi_bench.c`, with the
//! same command line, the same workload and the same JSON, so that the two libraries are compared and not two programs.
//!
//! The file must be there and full of data (`brickwire-replay --fill`).

mod args;
/// The clock and the histogram of the replay tool: all tools measure alike.
#[path = "../../replay/src/measure.rs"]
mod measure;
mod memory;

use std::process::ExitCode;
use std::time::Instant;

use brickwire_std::{File, OpenOptions, Options, Volume};

use crate::args::{Args, End};
use crate::measure::{Histogram, cpu_seconds, rss_mib};

/// One line for a person: what failed, and where.
type Failure = String;

fn main() -> ExitCode {
    let args = match Args::parse(std::env::args().skip(1)) {
        Ok(args) => args,
        Err(why) => {
            eprintln!("brickwire-bench-client: {why}\n{}", args::USAGE);
            return ExitCode::from(2);
        }
    };
    match if args.remove { remove(&args) } else { measure(&args) } {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("brickwire-bench-client: {why}");
            ExitCode::FAILURE
        }
    }
}

fn open(args: &Args) -> brickwire_std::Result<Volume> {
    let options = Options::new().connections_per_brick(args.connections);
    Volume::open_with(&format!("gluster://{}/{}", args.server, args.volume), &options)
}

fn remove(args: &Args) -> Result<String, Failure> {
    open(args)
        .and_then(|volume| volume.remove_file(&args.path))
        .map_err(|error| error.to_string())?;
    Ok(r#"{"tool":"brickwire","removed":true}"#.into())
}

fn measure(args: &Args) -> Result<String, Failure> {
    let said = |error: brickwire_std::Error| error.to_string();
    let begin = Instant::now();
    let volume = open(args).map_err(said)?;
    let file =
        volume.open_file(&args.path, &OpenOptions::new().read(true).write(true)).map_err(said)?;
    let start_ms = milliseconds(begin);

    let mut workload = Workload::new(args);
    let (begin, cpu) = (Instant::now(), cpu_seconds());
    if args.iodepth == 1 { workload.one_by_one(&file) } else { workload.many(&file) }?;
    let (seconds, cpu) = (begin.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let (rss, private) = (rss_mib(), memory::private_mib());

    let begin = Instant::now();
    file.close().map_err(said)?;
    volume.close();
    let teardown_ms = milliseconds(begin);
    let latency = &workload.latency;
    let operations = latency.count() as f64;
    Ok(format!(
        concat!(
            r#"{{"tool":"brickwire","rw":"{}","bs":{},"iodepth":{},"operations":{},"seconds":{:.3},"#,
            r#""iops":{:.1},"mb_per_s":{:.1},"latency_us":{{"p50":{:.1},"p99":{:.1},"max":{:.1}}},"#,
            r#""cpu_s":{:.3},"cpu_s_per_10k":{:.4},"rss_mib":{:.1},"private_mib":{:.1},"#,
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
        private,
        start_ms,
        teardown_ms,
    ))
}

/// Keeps `iodepth` operations in flight.
struct Workload<'a> {
    args: &'a Args,
    blocks: u64,
    random: u64,
    next: u64,
    begun: Instant,
    latency: Histogram,
}

impl<'a> Workload<'a> {
    fn new(args: &'a Args) -> Self {
        Self {
            args,
            blocks: args.size / args.bs as u64,
            random: 0x2545_f491_4f6c_dd1d,
            next: 0,
            begun: Instant::now(),
            latency: Histogram::new(),
        }
    }

    /// Where the next operation goes.
    fn offset(&mut self) -> u64 {
        let block = if self.args.rw.random {
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            self.random
        } else {
            self.next
        };
        self.next += 1;
        block % self.blocks * self.args.bs as u64
    }

    /// Is there a further operation to begin at `now`?
    fn goes_on(&self, now: Instant) -> bool {
        match self.args.end {
            End::After(time) => now - self.begun < time,
            End::Operations(most) => self.next < most,
        }
    }

    fn one_by_one(&mut self, file: &File) -> Result<(), Failure> {
        let mut buffer = vec![0xa5; self.args.bs];
        let mut sent = self.begun;
        while self.goes_on(sent) {
            let at = self.offset();
            let done = if self.args.rw.write {
                file.write_at(&buffer, at)
            } else {
                file.read_at(&mut buffer, at)
            };
            whole(done, self.args.bs, at)?;
            // The end of one is the beginning of the next: one look at the clock for each, as the replay tool has it.
            let now = Instant::now();
            self.latency.add(now - sent);
            sent = now;
        }
        Ok(())
    }

    fn many(&mut self, file: &File) -> Result<(), Failure> {
        let depth = self.args.iodepth;
        let mut queue = file.queue(depth);
        let mut sent = vec![(0, self.begun); depth];
        let mut spare: Vec<_> = (0..depth).map(|slot| (slot, vec![0xa5; self.args.bs])).collect();
        let mut now = self.begun;
        loop {
            while self.goes_on(now)
                && let Some((slot, buffer)) = spare.pop()
            {
                let at = self.offset();
                sent[slot] = (at, now);
                let token = slot as u64;
                if self.args.rw.write {
                    queue.write(token, buffer, at)
                } else {
                    queue.read(token, buffer, at)
                }
                .map_err(|error| error.to_string())?;
            }
            let Some(done) = queue.wait().map_err(|error| error.to_string())? else {
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

fn whole(done: brickwire_std::Result<usize>, bs: usize, at: u64) -> Result<(), Failure> {
    match done {
        Ok(n) if n == bs => Ok(()),
        Ok(n) => Err(format!("{n} of {bs} bytes at {at} (is the file smaller than --size?)")),
        Err(error) => Err(error.to_string()),
    }
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}
