//! The line of JSON with which a measuring program ends.

use std::time::Instant;

use crate::args::Args;
use crate::measure::{Histogram, cpu_seconds, milliseconds, private_mib, rss_mib};

/// One run being measured: [`Run::new`], then everything is started, [`Run::started`];
/// [`Run::begin`], the operations, [`Run::worked`]; the tear-down, [`Run::stopped`].
pub struct Run {
    rss_before: f64,
    start_ms: f64,
    begin: Instant,
    cpu: f64,
    seconds: f64,
    rss: f64,
    private: f64,
}

impl Default for Run {
    fn default() -> Self {
        Self::new()
    }
}

impl Run {
    /// The next thing that the program does is to start.
    pub fn new() -> Self {
        Self {
            rss_before: rss_mib(),
            start_ms: 0.0,
            begin: Instant::now(),
            cpu: 0.0,
            seconds: 0.0,
            rss: 0.0,
            private: 0.0,
        }
    }

    /// The file is open.
    pub fn started(&mut self) {
        self.start_ms = milliseconds(self.begin);
    }

    /// The operations begin.
    pub fn begin(&mut self) {
        (self.begin, self.cpu) = (Instant::now(), cpu_seconds());
    }

    /// The last operation is over.
    pub fn worked(&mut self) {
        self.seconds = self.begin.elapsed().as_secs_f64();
        self.cpu = cpu_seconds() - self.cpu;
        (self.rss, self.private) = (rss_mib(), private_mib());
        self.begin = Instant::now();
    }

    /// Everything is torn down. Returns the line to print.
    pub fn stopped(self, tool: &str, args: &Args, latency: &Histogram) -> String {
        let teardown_ms = milliseconds(self.begin);
        let operations = latency.count() as f64;
        format!(
            concat!(
                r#"{{"tool":"{}","rw":"{}","bs":{},"iodepth":{},"operations":{},"#,
                r#""seconds":{:.3},"iops":{:.1},"mb_per_s":{:.1},"#,
                r#""latency_us":{{"p50":{:.1},"p99":{:.1},"max":{:.1}}},"#,
                r#""cpu_s":{:.3},"cpu_s_per_10k":{:.4},"#,
                r#""rss_mib":{:.1},"rss_delta_mib":{:.1},"private_mib":{:.1},"#,
                r#""start_ms":{:.2},"teardown_ms":{:.2}}}"#
            ),
            tool,
            args.rw,
            args.bs,
            args.iodepth,
            latency.count(),
            self.seconds,
            operations / self.seconds,
            operations * f64::from(args.bs) / self.seconds / 1e6,
            latency.percentile_us(50.0),
            latency.percentile_us(99.0),
            latency.max_us(),
            self.cpu,
            self.cpu / operations.max(1.0) * 1e4,
            self.rss,
            self.rss - self.rss_before,
            self.private,
            self.start_ms,
            teardown_ms,
        )
    }
}
