//! Results of one run of a measuring program.

use anyhow::{Context, Result};
use serde_json::Value;

/// Results of one run.
pub(super) struct Sample {
    pub(super) iops: f64,
    pub(super) mb_per_s: f64,
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) cpu: f64,
    pub(super) rss: f64,
    /// Resident pages that no other process shares.
    pub(super) private: f64,
    pub(super) start: f64,
    /// `None` if the tool skipped its tear-down.
    pub(super) stop: Option<f64>,
}

impl Sample {
    pub(super) fn from_json(json: &Value) -> Result<Self> {
        let number = |value: &Value, key: &str| {
            value[key].as_f64().with_context(|| format!("a bench program gave no {key}"))
        };
        Ok(Self {
            iops: number(json, "iops")?,
            mb_per_s: number(json, "mb_per_s")?,
            p50: number(&json["latency_us"], "p50")?,
            p99: number(&json["latency_us"], "p99")?,
            cpu: number(json, "cpu_s_per_10k")?,
            rss: number(json, "rss_mib")?,
            private: number(json, "private_mib")?,
            start: number(json, "start_ms")?,
            stop: json["teardown_ms"].as_f64(),
        })
    }
}

/// System calls of one operation.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Calls {
    pub(super) write: f64,
    pub(super) wait: f64,
    pub(super) read: f64,
    pub(super) other: f64,
}

impl Calls {
    pub(super) fn from_summary(text: &str, operations: f64) -> Self {
        let mut calls = Self::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let (Some(Ok(count)), Some(name)) = (words.next().map(str::parse::<f64>), words.next())
            else {
                continue;
            };
            let sum = match name {
                "total" => continue,
                "write" | "writev" | "pwrite64" | "send" | "sendto" | "sendmsg" => &mut calls.write,
                "poll" | "ppoll" | "select" | "pselect6" | "futex" => &mut calls.wait,
                name if name.starts_with("epoll_") && name != "epoll_ctl" => &mut calls.wait,
                "read" | "readv" | "recv" | "recvfrom" | "recvmsg" => &mut calls.read,
                _ => &mut calls.other,
            };
            *sum += count / operations;
        }
        calls
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_calls_are_sorted_by_what_they_do() {
        let text = "    calls syscall\n--------- -----\n      200 epoll_pwait\n      100 \
            sendmsg\n       \
                    50 readv\n       25 mmap\n--------- -----\n      375 total\n";
        let calls = Calls::from_summary(text, 100.0);
        assert_eq!(calls, Calls { write: 1.0, wait: 2.0, read: 0.5, other: 0.25 });
    }
}
