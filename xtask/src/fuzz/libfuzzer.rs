//! Builds and runs targets under cargo-fuzz, and reads what libFuzzer prints.
//!
//! The sanitizers need a nightly compiler; where there is none, the stable one with
//! `RUSTC_BOOTSTRAP=1` serves as well.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::command::{self, capture, workspace};

use super::corpus::Corpus;
use super::finding::{DIR, Finding};

/// Lines of a failed target's output that are kept with the finding.
const TAIL_LINES: usize = 60;
/// A long turn prints its figures this often.
const PROGRESS_EVERY: Duration = Duration::from_secs(60);

/// The bounds on one input's time and memory.
pub(super) fn limits() -> [&'static str; 2] {
    ["-timeout=10", "-rss_limit_mb=2048"]
}

/// The last figures that libFuzzer printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Figures {
    pub(super) execs: u64,
    /// Edges covered.
    pub(super) cov: u64,
    /// Features covered: edges with counts, compared values.
    pub(super) ft: u64,
    /// Inputs in the corpus.
    pub(super) corpus: u64,
}

/// One run of one target.
pub(super) struct Turn {
    pub(super) figures: Figures,
    pub(super) took: Duration,
    pub(super) finding: Option<Finding>,
}

impl Turn {
    /// Fuzzes for `length`, or until something is found.
    pub(super) fn run(target: &str, corpus: &Corpus, length: Duration) -> Result<Self> {
        let mut run = cargo_fuzz();
        run.args(["run", target]).args(corpus.dirs()).arg("--");
        run.arg(format!("-max_total_time={}", length.as_secs().max(1)));
        let words = format!("fuzz/dict/{target}.dict");
        if workspace().join(&words).exists() {
            run.arg(format!("-dict={words}"));
        }
        Self::follow(target, run)
    }

    /// Runs `cargo fuzz run` for a target, within the limits, until it ends.
    pub(super) fn follow(target: &str, mut run: Command) -> Result<Self> {
        let findings = format!("{DIR}/{target}");
        std::fs::create_dir_all(workspace().join(&findings))
            .with_context(|| format!("{findings} cannot be made"))?;
        run.args(limits()).arg(format!("-artifact_prefix={findings}/"));
        println!("$ {}", command::line(&run));
        let begin = Instant::now();
        let mut child = run
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("`{}` did not start", command::line(&run)))?;
        let said = child.stderr.take().context("standard error is piped")?;
        let output = Output::follow(target, said)?;
        let status = child.wait()?;
        let finding = (!status.success()).then(|| Finding {
            target: target.to_owned(),
            input: output.input,
            tail: output.tail.into(),
        });
        Ok(Self { figures: output.figures, took: begin.elapsed(), finding })
    }
}

/// The parsed output of a target.
#[derive(Default)]
struct Output {
    figures: Figures,
    /// The input that made it fail.
    input: Option<String>,
    tail: VecDeque<String>,
}

impl Output {
    fn follow(target: &str, said: impl Read) -> Result<Self> {
        let mut output = Self::default();
        let mut shown = Instant::now();
        for line in BufReader::new(said).split(b'\n') {
            output.line(&String::from_utf8_lossy(&line?));
            if shown.elapsed() >= PROGRESS_EVERY {
                let Figures { execs, cov, corpus, .. } = output.figures;
                println!("  {target}: {execs} executions, coverage {cov}, {corpus} inputs");
                shown = Instant::now();
            }
        }
        Ok(output)
    }

    fn line(&mut self, line: &str) {
        if let Some(figures) = self.figures.updated_by(line) {
            self.figures = figures;
            return;
        }
        if let Some((_, input)) = line.split_once("Test unit written to ") {
            self.input = Some(input.trim().to_owned());
        }
        if self.tail.len() == TAIL_LINES {
            self.tail.pop_front();
        }
        self.tail.push_back(line.to_owned());
    }
}

impl Figures {
    /// Reads a status line such as `#123 NEW cov: 18 ft: 20 corp: 2/3b …`.
    fn updated_by(self, line: &str) -> Option<Self> {
        let words: Vec<&str> = line.strip_prefix('#')?.split_whitespace().collect();
        let number = |word: &str| word.split('/').next().and_then(|digits| digits.parse().ok());
        let after = |key: &str| {
            words.iter().position(|word| *word == key).and_then(|at| number(words.get(at + 1)?))
        };
        Some(Self {
            execs: number(words.first()?)?,
            cov: after("cov:").unwrap_or(self.cov),
            ft: after("ft:").unwrap_or(self.ft),
            corpus: after("corp:").unwrap_or(self.corpus),
        })
    }
}

/// Builds all targets.
pub(super) fn build() -> Result<()> {
    let version = capture(Command::new("cargo").args(["fuzz", "--version"]).stderr(Stdio::null()))?;
    if !version.status.success() {
        bail!("cargo-fuzz is not installed: `cargo install cargo-fuzz --locked`");
    }
    command::run(cargo_fuzz().arg("build"))
}

/// `cargo fuzz` on a nightly toolchain if there is one, else on this one with the gates open.
pub(super) fn cargo_fuzz() -> Command {
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
    // Instrumented builds have other flags, so they get a directory of their own.
    command.current_dir(workspace()).env("CARGO_TARGET_DIR", "target/fuzz/build").arg("fuzz");
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_are_those_of_the_last_status_line() {
        let said = "INFO: Seed: 1\n\
                    #2\tINITED cov: 17 ft: 17 corp: 1/1b exec/s: 0 rss: 33Mb\n\
                    #1622969\tDONE   cov: 18 ft: 19 corp: 2/3b lim: 4096 exec/s: 405742 rss: \
                    160Mb\n\
                    Done 1622969 runs\n";
        let output = Output::follow("uri", said.as_bytes()).unwrap();
        let last = Figures { execs: 1_622_969, cov: 18, ft: 19, corpus: 2 };
        assert_eq!(output.figures, last);
        assert_eq!(output.tail, ["INFO: Seed: 1", "Done 1622969 runs"]);
    }

    #[test]
    fn the_input_of_a_failure_is_read_and_the_end_of_the_output_kept() {
        let mut said: String = (0..200).map(|n| format!("line {n}\n")).collect();
        said += "artifact_prefix='f/'; Test unit written to f/crash-1\n";
        let output = Output::follow("uri", said.as_bytes()).unwrap();
        assert_eq!(output.input.as_deref(), Some("f/crash-1"));
        assert_eq!(output.tail.len(), TAIL_LINES);
        assert_eq!(output.tail[0], "line 141");
    }
}
