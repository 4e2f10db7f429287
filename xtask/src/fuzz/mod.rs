//! Runs the fuzz targets, keeps their corpora between runs and reports what they found.
//!
//! Every `[[bin]]` of `fuzz/Cargo.toml` is a target. A run reads the seeds in the tree
//! (`fuzz/seeds/TARGET`) and the kept corpus, and adds new inputs to the kept corpus only, so the
//! tree stays as it was. `corpus` puts a minimised selection into the tree when asked to.
//!
//! `fixed` is what CI runs: the inputs of the tree, then the same executions each time. See
//! docs/design/fuzzing.md.

mod corpus;
mod finding;
mod fixed;
mod libfuzzer;
mod tally;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::command::{cargo, read, workspace};
use corpus::Corpus;
pub use fixed::fixed;
use libfuzzer::{Figures, Turn};
use tally::Tally;

/// How much to fuzz, and where the corpora are kept.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// Length of one target's turn.
    pub turn: Duration,
    /// Turns are repeated for this long altogether; one turn for each target if absent.
    pub total: Option<Duration>,
    /// The targets; all if empty.
    pub targets: Vec<String>,
    /// Directory of the kept corpora, one folder for each target.
    pub corpora: PathBuf,
    /// Whether minimised corpora are put into `fuzz/seeds` at the end.
    pub minimise: bool,
}

/// Where the corpora are kept unless another directory is named.
pub fn default_corpora() -> PathBuf {
    workspace().join("target/fuzz/corpus")
}

/// Runs a campaign, prints one row for each target, and fails if anything was found.
pub fn fuzz(campaign: &Campaign) -> Result<()> {
    let targets = chosen(&campaign.targets, &targets()?)?;
    let least = Duration::from_secs(1) * u32::try_from(targets.len())?;
    if campaign.total.is_some_and(|total| total < least) {
        bail!("--hours must be at least a second for each of {} targets", targets.len());
    }
    libfuzzer::build()?;
    let mut rows = Vec::new();
    for target in targets {
        let corpus = Corpus::open(&campaign.corpora, &target)?;
        rows.push(Row { target, corpus, figures: Figures::default(), findings: Vec::new() });
    }
    let begin = Instant::now();
    for length in turn_lengths((campaign.turn, campaign.total), rows.len(), || begin.elapsed()) {
        for row in &mut rows {
            row.turn(length)?;
        }
        if campaign.total.is_some() {
            print_table(&rows)?;
        }
    }
    if campaign.minimise {
        for row in &rows {
            println!("{}: {}", row.target, row.corpus.minimise_into_tree(&row.target)?);
        }
    }
    if campaign.total.is_none() {
        print_table(&rows)?;
    }
    println!("\ncorpora and totals are kept in {}", campaign.corpora.display());
    let findings: Vec<&str> =
        rows.iter().filter(|row| !row.findings.is_empty()).map(|row| &*row.target).collect();
    refuse_findings(&findings)
}

/// Fails if targets have found something.
fn refuse_findings(targets: &[&str]) -> Result<()> {
    if !targets.is_empty() {
        bail!(
            "fuzzing found something in {}: inputs and the commands that repeat them are in {}",
            targets.join(", "),
            finding::DIR
        );
    }
    Ok(())
}

/// The lengths of a campaign's rounds; every target has one turn of this length in each. The last
/// round is shortened to what is left of the total, but never below a second a turn.
fn turn_lengths(
    (turn, total): (Duration, Option<Duration>),
    targets: usize,
    elapsed: impl Fn() -> Duration,
) -> impl Iterator<Item = Duration> {
    let targets = u32::try_from(targets).unwrap_or(u32::MAX).max(1);
    let mut first = true;
    std::iter::from_fn(move || {
        let left = match total {
            None => return std::mem::take(&mut first).then_some(turn),
            Some(total) => total.saturating_sub(elapsed()) / targets,
        };
        (left >= Duration::from_secs(1)).then(|| turn.min(left))
    })
}

/// The wanted targets among all, in the order of `fuzz/Cargo.toml`.
fn chosen(wanted: &[String], all: &[String]) -> Result<Vec<String>> {
    if let Some(unknown) = wanted.iter().find(|name| !all.contains(name)) {
        bail!("no fuzz target \"{unknown}\": fuzz/Cargo.toml has {}", all.join(", "));
    }
    let is_wanted = |name: &&String| wanted.is_empty() || wanted.contains(name);
    Ok(all.iter().filter(is_wanted).cloned().collect())
}

/// The names of all targets, in the order of `fuzz/Cargo.toml`.
pub fn targets() -> Result<Vec<String>> {
    let manifest = workspace().join("fuzz/Cargo.toml");
    let mut metadata = cargo();
    metadata
        .args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"])
        .arg(&manifest);
    let metadata: serde_json::Value = serde_json::from_str(&read(&mut metadata)?)
        .context("cargo metadata printed no JSON for fuzz/Cargo.toml")?;
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

/// One target's state in a campaign.
struct Row {
    target: String,
    corpus: Corpus,
    /// Executions of all turns; coverage and corpus of the last.
    figures: Figures,
    /// Files of distinct findings.
    findings: Vec<String>,
}

impl Row {
    fn turn(&mut self, length: Duration) -> Result<()> {
        let turn = Turn::run(&self.target, &self.corpus, length)?;
        let execs = self.figures.execs + turn.figures.execs;
        self.figures = Figures { execs, ..turn.figures };
        let mut tally = Tally::load(self.corpus.tally())?;
        tally.add(&turn);
        if let Some(path) = turn.finding.as_ref().map(|found| found.keep()).transpose()?
            && !self.findings.contains(&path)
        {
            self.findings.push(path);
        }
        tally.store(self.corpus.tally())
    }
}

fn print_table(rows: &[Row]) -> Result<()> {
    println!(
        "\n{:10} {:>12} {:>7} {:>7} {:>7}   {:>7} {:>13}  findings",
        "target", "executions", "cov", "ft", "corpus", "hours", "of executions"
    );
    for row in rows {
        let Figures { execs, cov, ft, corpus } = row.figures;
        let Tally { seconds, executions } = Tally::load(row.corpus.tally())?;
        let hours = seconds / 3600.0;
        let found = if row.findings.is_empty() { "none" } else { &*row.findings.join(" ") };
        println!(
            "{:10} {execs:>12} {cov:>7} {ft:>7} {corpus:>7}   {hours:>7.2} {executions:>13}  \
             {found}",
            row.target
        );
    }
    println!("hours and of executions: of all runs with these corpora");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn seconds(turn: u64, total: Option<u64>) -> (Duration, Option<Duration>) {
        (Duration::from_secs(turn), total.map(Duration::from_secs))
    }

    #[test]
    fn without_a_total_every_target_has_one_turn() {
        let lengths = turn_lengths(seconds(60, None), 3, || Duration::ZERO);
        assert_eq!(lengths.collect::<Vec<_>>(), [Duration::from_secs(60)]);
    }

    #[test]
    fn turns_fill_the_total_and_the_last_round_is_shortened() {
        let clock = Cell::new(0);
        let now = || Duration::from_secs(clock.get());
        let mut lengths = Vec::new();
        for length in turn_lengths(seconds(60, Some(300)), 2, now) {
            lengths.push(length.as_secs());
            clock.set(clock.get() + 2 * length.as_secs());
        }
        assert_eq!(lengths, [60, 60, 30]);
    }

    #[test]
    fn an_unknown_target_is_refused_by_name() {
        let all = ["uri".to_owned(), "dict".to_owned()];
        assert_eq!(chosen(&[], &all).unwrap(), all);
        assert_eq!(chosen(&["dict".to_owned()], &all).unwrap(), ["dict"]);
        let refused = chosen(&["dcit".to_owned()], &all).unwrap_err().to_string();
        assert_eq!(refused, "no fuzz target \"dcit\": fuzz/Cargo.toml has uri, dict");
    }
}
