//! Latencies, processor time and memory of the program itself.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Histogram of latencies with 64 buckets to each octave of nanoseconds, as in `gfapi_bench`. Its
/// size is fixed, so that the memory of a run does not grow with its length.
pub struct Histogram {
    buckets: Vec<u32>,
    count: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: vec![0; BUCKETS], count: 0, max: 0 }
    }
}

impl Histogram {
    /// Counts one latency.
    pub fn add(&mut self, latency: Duration) {
        let ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        let octave = (ns | 63).ilog2();
        let bucket =
            if octave < 6 { ns } else { u64::from(octave - 5) * 64 + (ns >> (octave - 6)) % 64 };
        self.buckets[(bucket as usize).min(BUCKETS - 1)] += 1;
        self.count += 1;
        self.max = self.max.max(ns);
    }

    /// How many latencies were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The largest latency in microseconds.
    pub fn max_us(&self) -> f64 {
        self.max as f64 / 1e3
    }

    /// A percentile in microseconds, within a bucket's width.
    pub fn percentile_us(&self, percent: f64) -> f64 {
        let want = ((percent / 100.0 * self.count as f64).round() as u64).max(1);
        let mut seen = 0;
        for (bucket, &n) in self.buckets.iter().enumerate() {
            seen += u64::from(n);
            if seen >= want {
                return middle_ns(bucket as u64) / 1e3;
            }
        }
        self.max_us()
    }
}

fn middle_ns(bucket: u64) -> f64 {
    match bucket / 64 {
        0 => bucket as f64,
        octave => ((2 * (64 + bucket % 64) + 1) << (octave - 1)) as f64 / 2.0,
    }
}

/// Processor seconds of this process, in user and system mode.
pub fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// The largest resident memory that this process has had.
pub fn rss_mib() -> f64 {
    kib_in("/proc/self/status", &["VmHWM:"]) / 1024.0
}

/// Resident pages that no other process shares, now.
pub fn private_mib() -> f64 {
    kib_in("/proc/self/smaps_rollup", &["Private_Clean:", "Private_Dirty:"]) / 1024.0
}

/// The sum of the numbers that follow the keys in a file of `/proc`.
fn kib_in(file: &str, keys: &[&str]) -> f64 {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let of_key = |key: &&str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
        line.split_whitespace().next().and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(0.0)
    };
    keys.iter().map(of_key).sum()
}

/// Milliseconds since an instant.
pub fn milliseconds(since: std::time::Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

const BUCKETS: usize = 40 * 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_within_a_bucket_of_the_truth() {
        let mut histogram = Histogram::default();
        for us in 1..=1000 {
            histogram.add(Duration::from_micros(us));
        }
        for (percent, us) in [(50.0, 500.0), (99.0, 990.0)] {
            let found = histogram.percentile_us(percent);
            assert!((found / us - 1.0_f64).abs() < 0.02, "p{percent}: {found}");
        }
        assert_eq!(histogram.max_us(), 1000.0);
    }
}
