//! The result of a copy: one line, or an object.

use std::fmt::Display;
use std::io::Write as _;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::failure::Failure;
use crate::output;
use crate::settings::Settings;
use crate::size::human;

/// A copy that is done.
pub(super) struct Report {
    pub(super) command: &'static str,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) bytes: u64,
    /// Bytes that were written; the others are holes or were copied by an earlier run.
    pub(super) written: u64,
    pub(super) elapsed: Duration,
    pub(super) verified: bool,
    /// Bytes that an earlier run had copied.
    pub(super) resumed_at: u64,
    /// A file of that name was replaced.
    pub(super) replaced: bool,
}

impl Report {
    /// Prints the object, or one line. Standard output may be where the copy itself goes.
    pub(super) fn print(
        &self,
        settings: &Settings,
        quiet: bool,
        stdout_is_copy: bool,
    ) -> Result<(), Failure> {
        let seconds = (self.elapsed.as_secs_f64() * 1e3).round() / 1e3;
        if settings.json {
            let object = json!({
                "command": self.command, "from": self.from, "to": self.to, "bytes": self.bytes,
                "written_bytes": self.written, "hole_bytes": self.holes(), "seconds": seconds,
                "verified": self.verified, "resumed_at": self.resumed_at,
                "replaced": self.replaced,
            });
            if stdout_is_copy {
                say(&object);
                return Ok(());
            }
            return output::json(&object);
        }
        if quiet {
            return Ok(());
        }
        let line = self.line(seconds);
        if stdout_is_copy {
            say(&line);
            return Ok(());
        }
        output::line(line)
    }

    fn holes(&self) -> u64 {
        (self.bytes - self.resumed_at).saturating_sub(self.written)
    }

    fn line(&self, seconds: f64) -> String {
        let new = self.bytes - self.resumed_at;
        let rate = human((new as f64 / self.elapsed.as_secs_f64().max(1e-6)) as u64);
        let mut line = format!("{} -> {}: {}", self.from, self.to, human(self.bytes));
        if self.resumed_at > 0 {
            line += &format!(", resumed at {}", human(self.resumed_at));
        }
        if self.holes() > 0 {
            line += &format!(", {} of it holes", human(self.holes()));
        }
        line += &format!(", in {seconds} s ({rate}/s)");
        if self.verified {
            line += ", verified";
        }
        line
    }
}

/// Time since `start`, for a report.
pub(super) fn since(start: Instant) -> Duration {
    start.elapsed()
}

/// Says something on standard error. The copy is complete, whether somebody reads there or not.
fn say(what: &dyn Display) {
    let _unread = writeln!(std::io::stderr(), "{what}");
}
