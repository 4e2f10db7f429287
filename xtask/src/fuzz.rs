//! Do the fuzz targets still find nothing, and how far do they see?
//!
//! Every `[[bin]]` of `fuzz/Cargo.toml` is a target. New inputs go to `target/fuzz/corpus`, so that
//! a run leaves the tree as it was; the corpora in `fuzz/corpus` and `fuzz/seeds` are read. cargo-fuzz
//! needs a nightly compiler for the sanitizers; where there is none, stable with
//! `RUSTC_BOOTSTRAP=1` does as well.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::command::{self, capture, cargo, read, workspace};

/// Runs one target, or all of them, for so many seconds each; fails on any finding.
pub fn fuzz(seconds: u64, only: Option<&str>) -> Result<()> {
    let all = targets()?;
    let chosen: Vec<String> =
        all.iter().filter(|name| only.is_none_or(|only| only == name.as_str())).cloned().collect();
    if chosen.is_empty() {
        bail!("no fuzz target \"{}\": fuzz/Cargo.toml has {}", only.unwrap_or(""), all.join(", "));
    }
    build()?;
    let mut rows = Vec::new();
    for target in &chosen {
        rows.push(campaign(target, seconds)?);
    }
    println!("\n{:24} {:>12} {:>8} {:>8} {:>8}  result", "target", "execs", "cov", "ft", "corpus");
    for row in &rows {
        let Figures { execs, cov, ft, corpus } = row.figures;
        println!(
            "{:24} {execs:>12} {cov:>8} {ft:>8} {corpus:>8}  {}",
            row.target,
            row.finding.as_deref().unwrap_or("nothing found")
        );
    }
    let findings: Vec<&str> =
        rows.iter().filter(|row| row.finding.is_some()).map(|row| row.target.as_str()).collect();
    if !findings.is_empty() {
        bail!(
            "fuzzing found something in {}: the inputs are in target/fuzz/artifacts, see above",
            findings.join(", ")
        );
    }
    Ok(())
}

/// The names of all targets, in the order of `fuzz/Cargo.toml`.
pub fn targets() -> Result<Vec<String>> {
    let manifest = workspace().join("fuzz/Cargo.toml");
    if !manifest.exists() {
        bail!(
            "fuzz/Cargo.toml is not there, so there is nothing to fuzz: make it with `cargo fuzz init`"
        );
    }
    let mut metadata = cargo();
    metadata
        .args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"])
        .arg(&manifest);
    let metadata: serde_json::Value = serde_json::from_str(&read(&mut metadata)?)?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let found = packages.filter_map(|package| package["targets"].as_array()).flatten();
    let bins = found
        .filter(|target| target["kind"][0] == "bin")
        .filter_map(|target| target["name"].as_str());
    let names: Vec<String> = bins.map(str::to_owned).collect();
    if names.is_empty() {
        bail!("fuzz/Cargo.toml has no [[bin]], so there is nothing to fuzz");
    }
    Ok(names)
}

/// What libFuzzer last said of a target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Figures {
    execs: u64,
    cov: u64,
    ft: u64,
    corpus: u64,
}

struct Row {
    target: String,
    figures: Figures,
    finding: Option<String>,
}

fn build() -> Result<()> {
    let version = capture(Command::new("cargo").args(["fuzz", "--version"]).stderr(Stdio::null()))?;
    if !version.status.success() {
        bail!("cargo-fuzz is not installed: `cargo install cargo-fuzz --locked`");
    }
    let mut build = cargo_fuzz();
    build.arg("build");
    command::run(&mut build)
}

fn campaign(target: &str, seconds: u64) -> Result<Row> {
    // Relative to the workspace, where all of this runs.
    let room = |kind: &str| -> Result<String> {
        let room = format!("target/fuzz/{kind}/{target}");
        std::fs::create_dir_all(workspace().join(&room))
            .with_context(|| format!("{room} cannot be made"))?;
        Ok(room)
    };
    let artifacts = room("artifacts")?;
    let mut run = cargo_fuzz();
    run.args(["run", target, &room("corpus")?]);
    let kept = ["corpus", "seeds"].map(|kind| format!("fuzz/{kind}/{target}"));
    run.args(kept.iter().filter(|corpus| workspace().join(corpus).is_dir()));
    run.args(["--", &format!("-max_total_time={seconds}"), "-timeout=10", "-rss_limit_mb=2048"]);
    run.arg(format!("-artifact_prefix={artifacts}/"));
    let words = format!("fuzz/dict/{target}.dict");
    if workspace().join(&words).exists() {
        run.arg(format!("-dict={words}"));
    }
    println!("$ {}", command::line(&run));
    let output = capture(&mut run)?;
    let said = String::from_utf8_lossy(&output.stderr);
    let finding = (!output.status.success()).then(|| {
        let tail: Vec<&str> = said.lines().rev().take(TAIL_LINES).collect();
        tail.iter().rev().for_each(|line| println!("  {line}"));
        let written = said.lines().find_map(|line| line.split_once("Test unit written to "));
        written.map_or_else(
            || format!("failed ({})", output.status),
            |(_, input)| {
                let mut again = cargo_fuzz();
                again.args(["run", target, input.trim()]);
                format!("FOUND: {}", command::line(&again))
            },
        )
    });
    Ok(Row { target: target.to_owned(), figures: figures(&said), finding })
}

/// `cargo fuzz` on nightly if there is one, else on this toolchain with the gates open.
fn cargo_fuzz() -> Command {
    let nightly = Command::new("rustup").args(["run", "nightly", "rustc", "--version"]).output();
    let mut command = if nightly.is_ok_and(|output| output.status.success()) {
        let mut rustup = Command::new("rustup");
        rustup.args(["run", "nightly", "cargo"]);
        rustup
    } else {
        let mut stable = Command::new("cargo");
        stable.env("RUSTC_BOOTSTRAP", "1");
        stable
    };
    // Instrumented builds have flags of their own, so they get a directory of their own.
    command.current_dir(workspace()).env("CARGO_TARGET_DIR", "target/fuzz/build").arg("fuzz");
    command
}

/// Reads libFuzzer's status lines (`#123 NEW cov: 18 ft: 20 corp: 2/3b …`) and takes the last.
fn figures(said: &str) -> Figures {
    let mut figures = Figures::default();
    for line in said.lines().filter(|line| line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |word: &str| word.split('/').next().and_then(|digits| digits.parse().ok());
        let after = |key: &str| {
            words.iter().position(|word| *word == key).and_then(|at| number(words.get(at + 1)?))
        };
        figures = Figures {
            execs: number(words[0].trim_start_matches('#')).unwrap_or(figures.execs),
            cov: after("cov:").unwrap_or(figures.cov),
            ft: after("ft:").unwrap_or(figures.ft),
            corpus: after("corp:").unwrap_or(figures.corpus),
        };
    }
    figures
}

const TAIL_LINES: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_are_those_of_the_last_status_line() {
        let said = "INFO: Seed: 1\n#2\tINITED cov: 17 ft: 17 corp: 1/1b exec/s: 0 rss: 33Mb\n\
                    #1622969\tDONE   cov: 18 ft: 19 corp: 2/3b lim: 4096 exec/s: 405742 rss: 160Mb\nDone 1622969 runs\n";
        assert_eq!(figures(said), Figures { execs: 1_622_969, cov: 18, ft: 19, corpus: 2 });
    }
}
