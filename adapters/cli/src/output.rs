//! Standard output for results, as text or JSON; standard error for warnings, errors and progress.

use std::io::{IsTerminal, Write, stderr, stdout};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use crate::failure::{Failure, named_errnos, one_line};

/// Prints a line.
pub(crate) fn line(text: impl std::fmt::Display) -> Result<(), Failure> {
    writeln!(stdout().lock(), "{text}").map_err(|error| Failure::printed(&error))
}

/// Prints one line of warning on standard error. A closed standard error is no reason to stop.
pub(crate) fn warn(text: &str) {
    let _ = writeln!(stderr().lock(), "brickwire: {}", one_line(&named_errnos(text)));
}

/// Prints on standard error why the command failed: one line, of JSON where that was asked for.
pub(crate) fn fail(failure: &Failure, json: bool) {
    if json {
        let _ = writeln!(stderr().lock(), "{}", failure.json());
    } else {
        warn(&failure.to_string());
    }
}

/// Prints JSON.
pub(crate) fn json(value: &Value) -> Result<(), Failure> {
    line(serde_json::to_string_pretty(value).map_err(Failure::new)?)
}

/// A terminal narrower than this shows the percentage, and no bar.
const COLUMNS_FOR_A_BAR: u16 = 60;

/// A progress bar with rate and time left; hidden where standard error is no terminal.
pub(crate) fn progress(what: &str, bytes: u64) -> ProgressBar {
    bar(what, ProgressBar::new(bytes), template(columns()))
}

/// Progress of a stream whose length is not known.
pub(crate) fn progress_of_stream(what: &str) -> ProgressBar {
    bar(what, ProgressBar::no_length(), "{spinner} {msg} {bytes} {bytes_per_sec}")
}

fn bar(what: &str, bar: ProgressBar, template: &str) -> ProgressBar {
    if !stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = bar.with_style(style).with_message(what.to_owned());
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn columns() -> u16 {
    rustix::termios::tcgetwinsize(stderr()).map_or(80, |size| size.ws_col)
}

fn template(columns: u16) -> &'static str {
    if columns < COLUMNS_FOR_A_BAR {
        "{msg} {percent}% {bytes_per_sec}"
    } else {
        "{msg} {wide_bar} {percent:>3}% {bytes_per_sec} {eta} left"
    }
}

/// A name for text output: control characters are shown as `?`.
pub(crate) fn printable(name: &[u8]) -> String {
    one_line(&String::from_utf8_lossy(name))
}

/// A name for JSON: its text, and its bytes in hexadecimal where it is not UTF-8.
pub(crate) fn name_json(name: &[u8]) -> (Value, Option<Value>) {
    match std::str::from_utf8(name) {
        Ok(text) => (text.into(), None),
        Err(_) => {
            let hex: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
            (String::from_utf8_lossy(name).into_owned().into(), Some(hex.into()))
        }
    }
}
