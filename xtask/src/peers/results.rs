//! Outcomes of tests, and the file that keeps those of a suite's latest run.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::command::workspace;

use super::Suite;

/// How a test ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Outcome {
    Passed,
    /// The suite found that the test does not apply here.
    Skipped,
    /// One line that says why.
    Failed(String),
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Passed => f.write_str("passed"),
            Self::Skipped => f.write_str("skipped"),
            Self::Failed(why) => write!(f, "FAILED ({why})"),
        }
    }
}

impl Outcome {
    pub(super) fn failed(why: &str) -> Self {
        let line: String = why.trim().lines().next().unwrap_or("").chars().take(160).collect();
        Self::Failed(line.replace('|', "\\|").replace('`', "'"))
    }
}

/// Outcomes by the name of the test.
pub(super) type Results = BTreeMap<String, Outcome>;

/// A suite's results on both servers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Saved {
    pub(super) glusterfsd: Results,
    pub(super) ours: Results,
    /// Tests of the suite, run or not; 0 if unknown.
    #[serde(default)]
    pub(super) tests: usize,
}

impl Saved {
    /// The latest results, or `None` if the suite was never run here.
    pub(super) fn load(suite: Suite) -> Result<Option<Self>> {
        match fs::read(path(suite)) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text).with_context(|| suite.name())?)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).context(suite.name()),
        }
    }

    pub(super) fn store(&self, suite: Suite) -> Result<()> {
        let path = path(suite);
        fs::create_dir_all(workspace().join(DIR))?;
        fs::write(&path, serde_json::to_string_pretty(self)?)
            .with_context(|| path.display().to_string())
    }

    /// The tests with their outcomes on glusterfsd and on ours. A test that one run did not reach
    /// counts as skipped there.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&str, &Outcome, &Outcome)> {
        let names: std::collections::BTreeSet<&String> =
            self.glusterfsd.keys().chain(self.ours.keys()).collect();
        names.into_iter().map(|name| {
            (
                name.as_str(),
                self.glusterfsd.get(name).unwrap_or(&Outcome::Skipped),
                self.ours.get(name).unwrap_or(&Outcome::Skipped),
            )
        })
    }
}

const DIR: &str = "target/peers";

fn path(suite: Suite) -> PathBuf {
    workspace().join(DIR).join(format!("{}.json", suite.name()))
}
