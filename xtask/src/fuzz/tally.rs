//! Time and executions that a kept corpus has had in all runs, stored beside it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::libfuzzer::Turn;

/// The sums of all runs of one target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Tally {
    pub(super) seconds: f64,
    pub(super) executions: u64,
}

impl Tally {
    /// The stored sums, or zeroes if nothing is stored yet.
    pub(super) fn load(path: &Path) -> Result<Self> {
        match fs::read(path) {
            Ok(text) => serde_json::from_slice(&text)
                .with_context(|| format!("{}: remove it to count anew", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| path.display().to_string()),
        }
    }

    pub(super) fn add(&mut self, turn: &Turn) {
        self.seconds += turn.took.as_secs_f64();
        self.executions += turn.figures.execs;
    }

    pub(super) fn store(&self, path: &Path) -> Result<()> {
        fs::write(path, serde_json::to_string(self)?).with_context(|| path.display().to_string())
    }
}
