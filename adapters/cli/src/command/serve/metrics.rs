//! Counters in Prometheus' text format, over HTTP.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use brickwire_server::{Counters, FopStats, Handle, Report};

use super::http;
use crate::failure::Failure;

/// Serves the counters. Returns the URL.
pub(super) fn serve(address: SocketAddr, handle: Handle) -> Result<String, Failure> {
    let bound = http::serve(address, move |path| answer(path, &handle));
    let bound = bound.map_err(|error| {
        Failure::new(format_args!(
            "cannot serve counters on {address}: {error}: give --metrics another port"
        ))
    })?;
    Ok(format!("http://{bound}/metrics"))
}

fn answer(path: &str, handle: &Handle) -> http::Answer {
    if !matches!(path, "/metrics" | "/") {
        return http::Answer::plain("404 Not Found", "see /metrics\n");
    }
    let Some(report) = handle.report() else {
        return http::Answer::plain("503 Service Unavailable", "the server is stopping\n");
    };
    let text = text(&report, handle.counters());
    http::Answer { status: "200 OK", kind: "text/plain; version=0.0.4; charset=utf-8", text }
}

/// The page of all counters.
fn text(report: &Report, counters: &Counters) -> String {
    let mut page = Page::default();
    page.family("brickwire_build_info", "gauge", "The program's version, as a label.");
    page.sample("", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    page.one(
        "brickwire_uptime_seconds",
        "gauge",
        "Seconds since the server started.",
        report.uptime.as_secs_f64(),
    );
    let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    page.one("brickwire_connections", "gauge", "Open connections.", load(&counters.connections));
    page.one(
        "brickwire_accepted_total",
        "counter",
        "Accepted connections.",
        load(&counters.accepted),
    );
    page.one(
        "brickwire_disconnected_total",
        "counter",
        "Connections that the server ended: for an error, a stall, or a stopped volume.",
        load(&counters.disconnected),
    );
    page.one(
        "brickwire_refused_total",
        "counter",
        "Connections refused because the limit of connections was reached.",
        load(&counters.refused),
    );
    let usage = &report.usage;
    page.one("brickwire_jobs", "gauge", "Calls without a complete answer.", usage.jobs);
    page.one(
        "brickwire_open_files",
        "gauge",
        "Files and directories that clients have open.",
        usage.files,
    );
    page.one("brickwire_locks_held", "gauge", "Locks that clients hold.", usage.locks_held);
    page.one(
        "brickwire_locks_waiting",
        "gauge",
        "Locks that clients wait for.",
        usage.locks_waiting,
    );
    page.one(
        "brickwire_buffers_lent_bytes",
        "gauge",
        "Bytes of buffers in use by calls and replies.",
        report.buffers_lent_bytes,
    );
    page.one(
        "brickwire_buffers_kept_bytes",
        "gauge",
        "Bytes of buffers kept for later calls.",
        report.buffers_kept_bytes,
    );
    clients(&mut page, report);
    bricks(&mut page, report);
    page.text
}

fn clients(page: &mut Page, report: &Report) {
    let each = |page: &mut Page, value: fn(&brickwire_server::ClientReport) -> u32| {
        for client in &report.clients {
            let (volume, brick) =
                client.brick.as_ref().map_or(("", ""), |(volume, brick)| (volume, brick));
            let labels =
                [("client", client.address.as_str()), ("volume", volume), ("brick", brick)];
            page.sample("", &labels, value(client));
        }
    };
    page.family(
        "brickwire_client_connections",
        "gauge",
        "Connections by address and brick; those without one ask for volfiles.",
    );
    each(page, |client| client.connections);
    page.family("brickwire_client_jobs", "gauge", "Calls of a client without a complete answer.");
    each(page, |client| client.outstanding);
}

fn bricks(page: &mut Page, report: &Report) {
    let fops = |page: &mut Page, suffix: &str, value: fn(&FopStats) -> Number| {
        for brick in &report.bricks {
            for (fop, stats) in brick.stats.fops() {
                let fop = fop.name().to_ascii_lowercase();
                let labels =
                    [("volume", brick.volume.as_str()), ("brick", &brick.brick), ("fop", &fop)];
                page.sample(suffix, &labels, value(&stats));
            }
        }
    };
    page.family(
        "brickwire_fop_duration_seconds",
        "summary",
        "Seconds of file operations, from reading the call to sending the reply.",
    );
    fops(page, "_sum", |stats| Number::Seconds(stats.nanos as f64 / 1e9));
    fops(page, "_count", |stats| Number::Whole(stats.count));
    page.family("brickwire_fop_errors_total", "counter", "File operations answered with an error.");
    fops(page, "", |stats| Number::Whole(stats.errors));
    for (name, help, value) in [
        ("brickwire_read_bytes_total", "Payload bytes of READ replies.", false),
        ("brickwire_written_bytes_total", "Payload bytes of WRITE calls.", true),
    ] {
        page.family(name, "counter", help);
        for brick in &report.bricks {
            let bytes = if value { brick.stats.written_bytes } else { brick.stats.read_bytes };
            page.sample("", &[("volume", &brick.volume), ("brick", &brick.brick)], bytes);
        }
    }
}

/// A value of a sample, as Prometheus writes it.
enum Number {
    Whole(u64),
    Seconds(f64),
}

impl From<u64> for Number {
    fn from(n: u64) -> Self {
        Self::Whole(n)
    }
}

impl From<u32> for Number {
    fn from(n: u32) -> Self {
        Self::Whole(n.into())
    }
}

impl From<i32> for Number {
    fn from(n: i32) -> Self {
        Self::Whole(n.unsigned_abs().into())
    }
}

impl From<f64> for Number {
    fn from(n: f64) -> Self {
        Self::Seconds(n)
    }
}

/// Prometheus' text under construction. Writing to a String cannot fail.
#[derive(Default)]
struct Page {
    text: String,
    family: &'static str,
}

impl Page {
    fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.family = name;
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl Into<Number>) {
        let _ = write!(self.text, "{}{suffix}", self.family);
        for (at, (name, value)) in labels.iter().enumerate() {
            let before = if at == 0 { '{' } else { ',' };
            let _ = write!(self.text, "{before}{name}=\"{}\"", escaped(value));
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = match value.into() {
            Number::Whole(n) => writeln!(self.text, " {n}"),
            Number::Seconds(n) => writeln!(self.text, " {n:.9}"),
        };
    }

    fn one(&mut self, name: &'static str, kind: &str, help: &str, value: impl Into<Number>) {
        self.family(name, kind, help);
        self.sample("", &[], value);
    }
}

/// A label's value, escaped for use inside quotes.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_cannot_end_its_quotes() {
        let mut page = Page::default();
        page.family("x", "gauge", "y");
        page.sample("_sum", &[("brick", "/a \"b\"\\\n"), ("fop", "read")], 1.5);
        assert_eq!(
            page.text.lines().last(),
            Some("x_sum{brick=\"/a \\\"b\\\"\\\\\\n\",fop=\"read\"} 1.500000000")
        );
    }
}
