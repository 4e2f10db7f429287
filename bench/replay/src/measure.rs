//! What is measured besides time, and the latencies' histogram.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// 64 buckets to the octave of nanoseconds: the same shape as `gfapi_bench`'s, and of fixed size.
pub(crate) struct Histogram {
    buckets: Vec<u32>,
    count: u64,
    max: u64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self { buckets: vec![0; BUCKETS], count: 0, max: 0 }
    }

    pub(crate) fn add(&mut self, latency: Duration) {
        let ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        let octave = (ns | 63).ilog2();
        let bucket =
            if octave < 6 { ns } else { u64::from(octave - 5) * 64 + (ns >> (octave - 6)) % 64 };
        self.buckets[(bucket as usize).min(BUCKETS - 1)] += 1;
        self.count += 1;
        self.max = self.max.max(ns);
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn max_us(&self) -> f64 {
        self.max as f64 / 1e3
    }

    pub(crate) fn percentile_us(&self, percent: f64) -> f64 {
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

/// Seconds that this process has computed, in user and system mode.
pub(crate) fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// The most memory that this process has had.
pub(crate) fn rss_mib() -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

const BUCKETS: usize = 40 * 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_within_a_bucket_of_the_truth() {
        let mut histogram = Histogram::new();
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
