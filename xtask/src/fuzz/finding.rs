//! An input that makes a target fail, kept as a file beside a text that says how to repeat it.

use std::fs;

use anyhow::{Context, Result};

use crate::command::{self, workspace};

use super::libfuzzer::cargo_fuzz;

/// Findings of all targets, a folder for each, relative to the workspace.
pub(super) const DIR: &str = "target/fuzz/findings";

/// A failure of a target.
pub(super) struct Finding {
    pub(super) target: String,
    /// The input, relative to the workspace; absent if the target failed without writing one.
    pub(super) input: Option<String>,
    /// The last lines that the target printed.
    pub(super) tail: Vec<String>,
}

impl Finding {
    /// Prints the finding and writes the text beside the input. Returns the path of the input, or
    /// of the text if there is no input.
    pub(super) fn keep(&self) -> Result<String> {
        let text = self.text();
        for line in text.lines() {
            println!("  {line}");
        }
        let input = self.input.clone().unwrap_or_else(|| format!("{DIR}/{}/failure", self.target));
        let path = workspace().join(format!("{input}.txt"));
        fs::write(&path, text).with_context(|| path.display().to_string())?;
        Ok(input)
    }

    fn text(&self) -> String {
        let repeat = self.input.as_ref().map_or_else(
            || "libFuzzer wrote no input: run the target again".to_owned(),
            |input| {
                let mut run = cargo_fuzz();
                let shown = command::line(run.args(["run", &self.target, input]));
                let mut shrink = cargo_fuzz();
                let shrink = command::line(shrink.args(["tmin", &self.target, input]));
                format!("repeat with: {shown}\nshrink with: {shrink}")
            },
        );
        format!("{repeat}\n\n{}\n", self.tail.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_says_how_to_repeat_it() {
        let finding = Finding {
            target: "uri".into(),
            input: Some("target/fuzz/findings/uri/crash-1".into()),
            tail: vec!["panicked at fuzz/fuzz_targets/uri.rs".into()],
        };
        let text = finding.text();
        assert!(text.contains("fuzz run uri target/fuzz/findings/uri/crash-1\n"), "{text}");
        assert!(text.contains("panicked at"), "{text}");
    }
}
