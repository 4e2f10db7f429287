//! Standard output: facts, as text or JSON, and progress on standard error.

use std::io::{IsTerminal, Write, stderr, stdout};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use crate::failure::Failure;

/// Prints a line.
pub(crate) fn line(text: impl std::fmt::Display) -> Result<(), Failure> {
    writeln!(stdout().lock(), "{text}").map_err(|error| Failure::printed(&error))
}

/// Says on standard error, in one line, what is wrong or was. If nobody can hear it, nothing else ends for that.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(stderr().lock(), "brickwire: {}", Failure::line(text));
}

/// Prints JSON.
pub(crate) fn json(value: &Value) -> Result<(), Failure> {
    line(serde_json::to_string_pretty(value).map_err(Failure::new)?)
}

/// A progress bar with rate and time left; none where nobody looks at it.
pub(crate) fn progress(what: &str, bytes: u64) -> ProgressBar {
    if !stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(
        "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta_precise} left",
    )
    .unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(bytes).with_style(style).with_message(what.to_owned());
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// A name for text output: control characters are shown as `?`.
pub(crate) fn printable(name: &[u8]) -> String {
    String::from_utf8_lossy(name).chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// A name for JSON: its text, and its bytes in hexadecimal where that is not all of it.
pub(crate) fn name_json(name: &[u8]) -> (Value, Option<Value>) {
    match std::str::from_utf8(name) {
        Ok(text) => (text.into(), None),
        Err(_) => {
            let hex: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
            (String::from_utf8_lossy(name).into_owned().into(), Some(hex.into()))
        }
    }
}
