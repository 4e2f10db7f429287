//! The runs of CI: of each target first every input of the tree, then a fixed number of executions
//! from a fixed seed. Neither a kept corpus nor the time has an influence, so equal code has equal
//! results.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::command::workspace;

use super::libfuzzer::{Figures, Turn, build, cargo_fuzz};
use super::{refuse_findings, targets};

/// The seed of libFuzzer's choices.
const SEED: u32 = 1;

/// Executions of a target beyond its inputs in the tree: some seconds of each.
fn executions(target: &str) -> usize {
    match target {
        // One execution is a whole exchange of calls.
        "pair" | "server" | "session" => 3_000,
        _ => 50_000,
    }
}

/// Runs all targets, prints one row for each, and fails if anything was found.
pub fn fixed() -> Result<()> {
    let targets = targets()?;
    build()?;
    let mut rows = Vec::new();
    let mut findings = Vec::new();
    for target in &targets {
        let inputs = inputs(&workspace().join("fuzz/seeds").join(target))?;
        let turn = Turn::follow(target, run(target, &inputs)?)?;
        if let Some(finding) = &turn.finding {
            finding.keep()?;
            findings.push(&**target);
        }
        rows.push((target, inputs.len(), turn));
    }
    println!(
        "\n{:10} {:>7} {:>12} {:>7} {:>7} {:>9}  findings",
        "target", "inputs", "executions", "cov", "ft", "seconds"
    );
    for (target, inputs, turn) in &rows {
        let Figures { execs, cov, ft, .. } = turn.figures;
        let (seconds, found) = (turn.took.as_secs_f64(), turn.finding.is_some());
        let found = if found { "yes" } else { "none" };
        println!("{target:10} {inputs:>7} {execs:>12} {cov:>7} {ft:>7} {seconds:>9.1}  {found}");
    }
    refuse_findings(&findings)
}

/// The inputs of a target by name. The order in which a directory lists them would change
/// libFuzzer's choices.
fn inputs(seeds: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(seeds).with_context(|| format!("{}", seeds.display()))?;
    let mut inputs = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    inputs.sort();
    Ok(inputs)
}

/// The command for a target. It reads the inputs from a list, and keeps what it finds in a
/// directory that is empty when it starts.
fn run(target: &str, inputs: &[PathBuf]) -> Result<Command> {
    let dir = workspace().join("target/fuzz/fixed").join(target);
    if dir.exists() {
        fs::remove_dir_all(&dir).with_context(|| dir.display().to_string())?;
    }
    fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
    let list = dir.with_extension("inputs");
    fs::write(&list, list_of(inputs)).with_context(|| list.display().to_string())?;
    let mut run = cargo_fuzz();
    run.args(["run", target])
        .arg(&dir)
        .arg("--")
        .args(arguments(inputs.len() + executions(target), &list));
    Ok(run)
}

/// The list as libFuzzer reads it.
fn list_of(inputs: &[PathBuf]) -> String {
    inputs.iter().map(|input| input.display().to_string()).collect::<Vec<_>>().join(",")
}

fn arguments(runs: usize, list: &Path) -> [String; 5] {
    [
        format!("-seed={SEED}"),
        format!("-runs={runs}"),
        format!("-seed_inputs=@{}", list.display()),
        // Compared values include addresses, which differ from run to run.
        "-use_cmp=0".to_owned(),
        // The directory for new inputs is read again by the clock.
        "-reload=0".to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libfuzzer_is_told_is_the_same_each_time() {
        let dir = std::env::temp_dir().join(format!("fixed-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        for name in ["c", "a", "b"] {
            fs::write(dir.join(name), name).unwrap();
        }
        let inputs = inputs(&dir).unwrap();
        fs::remove_dir_all(&dir).unwrap();
        let names: Vec<_> = inputs.iter().map(|path| path.file_name().unwrap()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert_eq!(list_of(&["x/a".into(), "x/b".into()]), "x/a,x/b");
        let arguments = arguments(3_003, Path::new("l"));
        assert_eq!(arguments[..3], ["-seed=1", "-runs=3003", "-seed_inputs=@l"]);
    }
}
