//! Statistics and the description of the machine, for both benches.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::command::{read, workspace};

/// The median.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[half],
        _ => (values[half - 1] + values[half]) / 2.0,
    }
}

pub(crate) fn smallest(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

pub(crate) fn largest(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// The median of the rounds' values with the smallest and the largest.
pub(crate) fn with_range(values: Vec<f64>) -> String {
    let (low, high) = (smallest(&values), largest(&values));
    format!("{:.2} ({low:.2} to {high:.2})", median(values))
}

/// Cores, processor, kernel and GlusterFS version.
pub(crate) fn machine() -> Result<String> {
    let cores = std::thread::available_parallelism()?;
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    // The build's suffix says nothing to a reader of the report.
    let kernel = release.trim().split('-').next().unwrap_or_default();
    let gluster = read(Command::new("glusterfs").arg("--version"))?;
    Ok(format!(
        "Machine: {cores} cores ({}), Linux {}, {}, client and brick on the loopback interface.",
        model.map_or("unknown", |(_, model)| model.trim()),
        kernel,
        gluster.lines().next().unwrap_or("glusterfs"),
    ))
}

/// A report with its prose wrapped at 100 columns. Tables and headings stay as they are.
pub(crate) fn wrapped(report: &str) -> String {
    let mut text = String::new();
    for line in report.lines() {
        let mut width = 0;
        for word in line.split(' ') {
            let long = width + word.chars().count() >= 100 && !line.starts_with(['|', '#']);
            let before = match width {
                0 => "",
                _ if long => "\n",
                _ => " ",
            };
            width = if before == "\n" { 0 } else { width + before.len() } + word.chars().count();
            text.push_str(before);
            text.push_str(word);
        }
        text.push('\n');
    }
    text
}

/// The load averages of 1, 5 and 15 minutes.
pub(crate) fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// Cargo's target directory.
pub(crate) fn target() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| workspace().join("target"), PathBuf::from);
    workspace().join(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_is_wrapped_and_tables_are_not() {
        let (prose, row) = ("word ".repeat(40), "| word ".repeat(40));
        let text = wrapped(&format!("# Title\n\n{}\n{row}", prose.trim_end()));
        let widths: Vec<_> = text.lines().map(str::len).collect();
        assert_eq!(widths, [7, 0, 99, 99, row.len()]);
    }

    #[test]
    fn a_median_is_in_the_middle() {
        assert_eq!(median(vec![9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 9.0]), 3.0);
    }
}
