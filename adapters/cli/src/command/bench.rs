//! `brickwire bench`: measures reads and writes on a volume, with options named as fio's.

use std::path::Path;
use std::time::{Duration, Instant};

use brickwire_std::{File, OpenOptions};
use serde_json::{Value, json};

use crate::args::{Bench, Rw};
use crate::command::copy::interrupt;
use crate::connect::open_path;
use crate::failure::Failure;
use crate::output;
use crate::settings::Settings;
use crate::size::human;

/// The counts and times of one run.
#[derive(Default)]
struct Measured {
    operations: u64,
    bytes: u64,
    seconds: f64,
    cpu: f64,
    latency: Histogram,
    fsync: Histogram,
}

pub(crate) fn run(bench: &Bench, settings: &Settings) -> Result<(), Failure> {
    let block = usize::try_from(bench.bs).ok().filter(|bs| (1..=1 << 20).contains(bs));
    let block = block.ok_or_else(|| Failure::usage("--bs must be from 1 byte to 1M"))?;
    let blocks = bench.size / bench.bs;
    if blocks < u64::from(bench.iodepth) {
        return Err(Failure::usage("--size must hold at least --iodepth blocks of --bs"));
    }
    let begin = Instant::now();
    let place = open_path(&bench.uri, settings)?;
    let was_there = place.volume.exists(&place.path)?;
    let reads_only = matches!(bench.rw, Rw::Read | Rw::Randread) && !bench.verify;
    if was_there && !reads_only && !bench.overwrite {
        let path = place.path.display();
        return Err(Failure::usage(format_args!(
            "{path}: file exists (EEXIST): --overwrite writes to it, and its contents are lost"
        )));
    }
    let options = OpenOptions::new().read(true).write(true).create(true).mode(0o600);
    let file = place.volume.open_file(&place.path, &options)?;
    // A file that was made for this is removed after a signal too.
    interrupt::watch(&bench.uri, settings.json)?;
    let start = begin.elapsed();
    let measured = measure(bench, &place.path, &file, was_there && reads_only, block, blocks);
    let begin = Instant::now();
    file.close()?;
    // A file that was made for the benchmark is removed, also after a failure.
    if !was_there {
        place.volume.remove_file(&place.path)?;
    }
    drop(place);
    report(bench, settings, &measured?, start, begin.elapsed())
}

fn measure(
    bench: &Bench,
    path: &Path,
    file: &File,
    as_it_is: bool,
    block: usize,
    blocks: u64,
) -> Result<Measured, Failure> {
    if as_it_is && !bench.overwrite {
        let size = file.metadata()?.size();
        if size < blocks * bench.bs {
            let path = path.display();
            return Err(Failure::usage(format_args!(
                "{path} has {size} bytes: choose a smaller --size"
            )));
        }
    } else {
        fill(file, bench, block)?;
    }
    let mut workload = Workload::new(bench, block, blocks);
    let measured = workload.run(file)?;
    if bench.verify {
        workload.check_all(file)?;
    }
    Ok(measured)
}

/// Gives the file data everywhere: reads of holes measure nothing.
fn fill(file: &File, bench: &Bench, block: usize) -> Result<(), Failure> {
    let size = bench.size / bench.bs * bench.bs;
    if file.metadata()?.allocated() >= size && !bench.verify {
        return Ok(());
    }
    let per_write = ((1 << 20) / block).max(1) * block;
    let mut queue = file.queue(8);
    let mut at = 0;
    while at < size {
        interrupt::check()?;
        if queue.room() == 0
            && let Some(done) = queue.wait()?
        {
            done.result?;
        }
        let len = usize::try_from(size - at).unwrap_or(usize::MAX).min(per_write);
        let mut data = vec![0; len];
        for (index, part) in data.chunks_mut(block).enumerate() {
            pattern(part, at + (index * block) as u64, 0);
        }
        queue.write(0, data, at)?;
        at += len as u64;
    }
    while let Some(done) = queue.wait()? {
        done.result?;
    }
    drop(queue);
    file.flush()?;
    Ok(())
}

/// The contents of a block at this offset after its `turn`th write.
fn pattern(block: &mut [u8], offset: u64, turn: u64) {
    let mut word = offset.wrapping_mul(0x9e37_79b9_7f4a_7c15)
        ^ turn.wrapping_mul(0xd1b5_4a32_d192_ed03)
        ^ 0x5bf0_3635;
    for part in block.chunks_mut(8) {
        word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        part.copy_from_slice(&word.to_le_bytes()[..part.len()]);
    }
}

struct Workload<'b> {
    bench: &'b Bench,
    block: usize,
    blocks: u64,
    random: u64,
    next: u64,
    /// With `--verify`: how often each block was written, and which are in flight.
    turns: Vec<u64>,
    busy: Vec<bool>,
}

/// An operation that is under way.
#[derive(Clone, Copy)]
struct Running {
    begun: Instant,
    index: u64,
    write: bool,
}

impl<'b> Workload<'b> {
    fn new(bench: &'b Bench, block: usize, blocks: u64) -> Self {
        let table = if bench.verify { blocks as usize } else { 0 };
        Self {
            bench,
            block,
            blocks,
            random: 0x2545_f491_4f6c_dd1d,
            next: 0,
            turns: vec![0; table],
            busy: vec![false; table],
        }
    }

    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    /// The block to use next. A block that is in flight is left alone when contents are checked.
    fn choose(&mut self) -> u64 {
        loop {
            let index = match self.bench.rw {
                Rw::Read | Rw::Write => {
                    self.next += 1;
                    (self.next - 1) % self.blocks
                }
                _ => self.random() % self.blocks,
            };
            if !self.bench.verify || !self.busy[index as usize] {
                return index;
            }
        }
    }

    fn is_write(&mut self) -> bool {
        match self.bench.rw {
            Rw::Read | Rw::Randread => false,
            Rw::Write | Rw::Randwrite => true,
            Rw::Randrw => self.random() % 100 >= u64::from(self.bench.rwmixread),
        }
    }

    /// Chooses the next operation and fills its buffer.
    fn prepare(&mut self, buffer: &mut [u8]) -> Running {
        let (index, write) = (self.choose(), self.is_write());
        if self.bench.verify {
            self.busy[index as usize] = true;
            if write {
                self.turns[index as usize] += 1;
                pattern(buffer, index * self.bench.bs, self.turns[index as usize]);
            }
        }
        Running { begun: Instant::now(), index, write }
    }

    /// Checks an operation that is over.
    fn settle(&mut self, running: Running, buffer: &[u8], got: usize) -> Result<(), Failure> {
        let at = running.index * self.bench.bs;
        if got != buffer.len() {
            let what = if running.write { "written" } else { "read" };
            return Err(Failure::new(format_args!(
                "{got} of {} bytes {what} at byte {at}",
                buffer.len()
            )));
        }
        if self.bench.verify {
            self.busy[running.index as usize] = false;
            if !running.write {
                self.check(buffer, running.index)?;
            }
        }
        Ok(())
    }

    fn check(&self, buffer: &[u8], index: u64) -> Result<(), Failure> {
        let mut expected = vec![0; buffer.len()];
        let at = index * self.bench.bs;
        pattern(&mut expected, at, self.turns[index as usize]);
        if buffer != expected {
            return Err(Failure::new(format_args!(
                "verify: the block at byte {at} is not what was written there"
            )));
        }
        Ok(())
    }

    fn run(&mut self, file: &File) -> Result<Measured, Failure> {
        let mut measured = Measured::default();
        let (begin, cpu) = (Instant::now(), cpu_seconds());
        if self.bench.iodepth == 1 {
            self.one_by_one(file, &mut measured)
        } else {
            self.many(file, &mut measured)
        }?;
        measured.seconds = begin.elapsed().as_secs_f64();
        measured.cpu = cpu_seconds() - cpu;
        Ok(measured)
    }

    fn one_by_one(&mut self, file: &File, measured: &mut Measured) -> Result<(), Failure> {
        let mut buffer = vec![0xa5; self.block];
        let begin = Instant::now();
        let mut unflushed = 0;
        while begin.elapsed() < self.bench.runtime {
            interrupt::check()?;
            let running = self.prepare(&mut buffer);
            let at = running.index * self.bench.bs;
            let got = if running.write {
                file.write_at(&buffer, at)?
            } else {
                file.read_at(&mut buffer, at)?
            };
            measured.latency.add(running.begun.elapsed());
            measured.operations += 1;
            measured.bytes += got as u64;
            self.settle(running, &buffer, got)?;
            if running.write && self.bench.fsync > 0 {
                unflushed += 1;
                if unflushed == self.bench.fsync {
                    unflushed = 0;
                    let begun = Instant::now();
                    file.flush()?;
                    measured.fsync.add(begun.elapsed());
                }
            }
        }
        Ok(())
    }

    fn many(&mut self, file: &File, measured: &mut Measured) -> Result<(), Failure> {
        const FLUSH: u64 = u64::MAX;
        let depth = self.bench.iodepth as usize;
        let mut queue = file.queue(depth + 1);
        let (begin, mut unflushed, mut flush_begun) = (Instant::now(), 0, None);
        let submit = |this: &mut Self,
                      queue: &mut brickwire_std::Queue<'_>,
                      slot: usize,
                      mut buffer: Vec<u8>| {
            let next = this.prepare(&mut buffer);
            let at = next.index * this.bench.bs;
            if next.write {
                queue.write(slot as u64, buffer, at)
            } else {
                queue.read(slot as u64, buffer, at)
            }?;
            Ok::<Option<Running>, Failure>(Some(next))
        };
        let mut under_way = vec![None; depth];
        for (slot, running) in under_way.iter_mut().enumerate() {
            *running = submit(self, &mut queue, slot, vec![0xa5; self.block])?;
        }
        while let Some(done) = queue.wait()? {
            interrupt::check()?;
            let got = done.result?;
            if done.token == FLUSH {
                if let Some(begun) = flush_begun.take() {
                    measured.fsync.add(Instant::now() - begun);
                }
                continue;
            }
            let slot = done.token as usize;
            let Some(over) = under_way[slot].take() else { continue };
            measured.latency.add(over.begun.elapsed());
            measured.operations += 1;
            measured.bytes += got as u64;
            self.settle(over, &done.buffer, got)?;
            let on = begin.elapsed() < self.bench.runtime;
            if over.write && self.bench.fsync > 0 {
                unflushed += 1;
                if unflushed >= self.bench.fsync && flush_begun.is_none() && on {
                    unflushed = 0;
                    flush_begun = Some(Instant::now());
                    queue.flush(FLUSH)?;
                }
            }
            if on {
                under_way[slot] = submit(self, &mut queue, slot, done.buffer)?;
            }
        }
        Ok(())
    }

    /// Checks that every block has the contents that were last written there.
    fn check_all(&self, file: &File) -> Result<(), Failure> {
        file.flush()?;
        let mut buffer = vec![0; self.block];
        for index in 0..self.blocks {
            interrupt::check()?;
            file.read_exact_at(&mut buffer, index * self.bench.bs)?;
            self.check(&buffer, index)?;
        }
        Ok(())
    }
}

/// Latencies by their size: 64 buckets for each power of two of nanoseconds, so a percentile is
/// right to about 1.5 %.
struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; 64 * 64], total: 0, max: 0 }
    }
}

impl Histogram {
    fn add(&mut self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1);
        self.counts[Self::bucket(nanos)] += 1;
        self.total += 1;
        self.max = self.max.max(nanos);
    }

    fn bucket(nanos: u64) -> usize {
        let log = nanos.ilog2();
        let fine = if log >= 6 { (nanos >> (log - 6)) & 63 } else { (nanos << (6 - log)) & 63 };
        log as usize * 64 + fine as usize
    }

    /// The latency in microseconds that `percent` of all operations do not exceed.
    fn percentile(&self, percent: f64) -> f64 {
        let wanted = (self.total as f64 * percent / 100.0).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                let (log, fine) = (bucket / 64, bucket % 64);
                return (1_u64 << log) as f64 * (1.0 + (fine as f64 + 0.5) / 64.0) / 1000.0;
            }
        }
        0.0
    }

    fn json(&self) -> Value {
        if self.total == 0 {
            return Value::Null;
        }
        let round = |us: f64| (us * 10.0).round() / 10.0;
        json!({
            "p50": round(self.percentile(50.0)),
            "p99": round(self.percentile(99.0)),
            "max": round(self.max as f64 / 1000.0),
        })
    }
}

fn report(
    bench: &Bench,
    settings: &Settings,
    m: &Measured,
    start: Duration,
    teardown: Duration,
) -> Result<(), Failure> {
    let iops = m.operations as f64 / m.seconds;
    let mb_per_s = m.bytes as f64 / m.seconds / 1e6;
    let cpu = m.cpu / m.operations.max(1) as f64 * 10_000.0;
    let rss = rss_mib();
    let round =
        |value: f64, digits: i32| (value * 10_f64.powi(digits)).round() / 10_f64.powi(digits);
    if settings.json {
        return output::json(&json!({
            "rw": format!("{:?}", bench.rw).to_lowercase(),
            "bs": bench.bs,
            "iodepth": bench.iodepth,
            "iops": round(iops, 0),
            "mb_per_s": round(mb_per_s, 1),
            "latency_us": m.latency.json(),
            "fsync_us": m.fsync.json(),
            "cpu_s_per_10k": round(cpu, 4),
            "rss_mib": round(rss, 1),
            "start_ms": round(start.as_secs_f64() * 1000.0, 2),
            "teardown_ms": round(teardown.as_secs_f64() * 1000.0, 2),
        }));
    }
    output::line(format_args!(
        "{:?} of {} at depth {}: {iops:.0} operations a second, {mb_per_s:.1} MB/s",
        bench.rw,
        human(bench.bs),
        bench.iodepth
    ))?;
    let show = |name: &str, h: &Histogram| {
        output::line(format_args!(
            "{name} p50 {:.0} us, p99 {:.0} us, max {:.0} us",
            h.percentile(50.0),
            h.percentile(99.0),
            h.max as f64 / 1000.0
        ))
    };
    show("latency", &m.latency)?;
    if m.fsync.total > 0 {
        show("fsync  ", &m.fsync)?;
    }
    output::line(format_args!(
        "cpu {cpu:.3} s for 10,000 operations, memory {rss:.1} MiB, start {:.1} ms, tear-down \
        {:.1} ms",
        start.as_secs_f64() * 1000.0,
        teardown.as_secs_f64() * 1000.0
    ))
}

/// CPU time of this process in seconds, user and system.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> =
        text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks =
        |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / rustix::param::clock_ticks_per_second() as f64
}

/// The largest resident size of this process.
fn rss_mib() -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_right_to_two_percent() {
        let mut histogram = Histogram::default();
        for us in 1..=1000 {
            histogram.add(Duration::from_micros(us));
        }
        for percent in [1.0, 50.0, 90.0, 99.0] {
            let got = histogram.percentile(percent);
            let want = percent * 10.0;
            assert!((got - want).abs() / want < 0.02, "p{percent}: {got} for {want}");
        }
        assert_eq!(histogram.max, 1_000_000);
    }

    #[test]
    fn patterns_differ_by_place_and_by_turn() {
        let mut blocks = Vec::new();
        for (offset, turn) in [(0, 0), (4096, 0), (0, 1), (4096, 1)] {
            let mut block = [0; 64];
            pattern(&mut block, offset, turn);
            blocks.push(block);
        }
        blocks.sort();
        blocks.dedup();
        assert_eq!(blocks.len(), 4);
    }
}
