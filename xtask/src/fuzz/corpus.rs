//! The inputs of one target: the seeds in the tree and the corpus that is kept between runs.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::command::{self, capture, workspace};

use super::libfuzzer::{cargo_fuzz, limits};

/// Bounds on what a minimised corpus adds to the tree, for each target.
const TREE_BYTES_MAX: u64 = 64 << 10;
const TREE_FILES_MAX: usize = 128;
const TREE_INPUT_BYTES_MAX: u64 = 4 << 10;

/// Files with this prefix were put into the tree by [`Corpus::minimise_into_tree`], which replaces
/// them. Seeds with other names were put there by hand and are never touched.
const MINIMISED: &str = "min-";

/// One target's corpus.
pub(super) struct Corpus {
    /// Inputs that libFuzzer added.
    kept: PathBuf,
    seeds: PathBuf,
    tally: PathBuf,
}

impl Corpus {
    pub(super) fn open(corpora: &Path, target: &str) -> Result<Self> {
        let corpora = workspace().join(corpora);
        let kept = corpora.join(target);
        fs::create_dir_all(&kept).with_context(|| format!("{} cannot be made", kept.display()))?;
        let tally = corpora.join(format!("{target}.json"));
        Ok(Self { kept, seeds: workspace().join("fuzz/seeds").join(target), tally })
    }

    /// The file of [`super::tally::Tally`].
    pub(super) fn tally(&self) -> &Path {
        &self.tally
    }

    /// The directories to read, the one to add to first.
    pub(super) fn dirs(&self) -> impl Iterator<Item = &Path> {
        let seeds = self.seeds.is_dir().then_some(&*self.seeds);
        std::iter::once(&*self.kept).chain(seeds)
    }

    /// Selects the inputs that cover something which the hand-written seeds do not, and puts them
    /// into `fuzz/seeds/TARGET`, within bounds. Says what it did.
    pub(super) fn minimise_into_tree(&self, target: &str) -> Result<String> {
        fs::create_dir_all(&self.seeds)?;
        let (old, by_hand): (Vec<_>, Vec<_>) =
            files(&self.seeds)?.into_iter().partition(|input| input.name.starts_with(MINIMISED));
        let merged = workspace().join("target/fuzz/merge").join(target);
        if merged.exists() {
            fs::remove_dir_all(&merged)?;
        }
        fs::create_dir_all(&merged)?;
        for input in &by_hand {
            fs::copy(self.seeds.join(&input.name), merged.join(&input.name))?;
        }
        // libFuzzer adds to the first directory whatever the others have that it does not cover.
        let mut merge = cargo_fuzz();
        merge.args(["run", target]).arg(&merged).args(self.dirs());
        merge.args(["--", "-merge=1"]).args(limits());
        println!("$ {}", command::line(&merge));
        let output = capture(&mut merge)?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let why = said.lines().last().unwrap_or("it printed nothing");
            anyhow::bail!("merging the corpus of {target} failed: {why}");
        }
        let names: BTreeSet<&str> = by_hand.iter().map(|input| &*input.name).collect();
        let found = files(&merged)?.into_iter().filter(|input| !names.contains(&*input.name));
        let found: Vec<Input> = found.collect();
        let (count, chosen) = (found.len(), within_bounds(found));
        for input in old {
            fs::remove_file(self.seeds.join(input.name))?;
        }
        for input in &chosen {
            let name = input.name.strip_prefix(MINIMISED).unwrap_or(&input.name);
            let short = &name[..name.len().min(16)];
            let to = self.seeds.join(format!("{MINIMISED}{short}"));
            fs::copy(merged.join(&input.name), to)?;
        }
        let bytes: u64 = chosen.iter().map(|input| input.bytes).sum();
        Ok(format!(
            "{} of {count} minimised inputs are in fuzz/seeds/{target} ({bytes} bytes; at most \
             {TREE_FILES_MAX} inputs and {TREE_BYTES_MAX} bytes)",
            chosen.len()
        ))
    }
}

/// A file of a corpus.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Input {
    name: String,
    bytes: u64,
}

/// The files of a directory by name.
fn files(dir: &Path) -> Result<Vec<Input>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let entry = entry?;
        let bytes = entry.metadata()?.len();
        files.push(Input { name: entry.file_name().to_string_lossy().into_owned(), bytes });
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

/// As many inputs as the bounds leave room for, of all sizes: the smallest alone are programs that
/// do nearly nothing.
fn within_bounds(mut found: Vec<Input>) -> Vec<Input> {
    found.retain(|input| input.bytes <= TREE_INPUT_BYTES_MAX);
    found.sort_by(|a, b| (a.bytes, &a.name).cmp(&(b.bytes, &b.name)));
    let most = TREE_FILES_MAX.min(found.len());
    // The middle one of each of `count` equal parts.
    let spread = |count: usize| (0..count).map(move |n| (2 * n + 1, 2 * count));
    let chosen = (0..=most).rev().map(|count| {
        let at = spread(count).map(|(n, of)| n * found.len() / of);
        at.filter_map(|at| found.get(at).cloned()).collect::<Vec<_>>()
    });
    let fits =
        |chosen: &Vec<Input>| chosen.iter().map(|input| input.bytes).sum::<u64>() <= TREE_BYTES_MAX;
    chosen.into_iter().find(fits).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(name: impl Into<String>, bytes: u64) -> Input {
        Input { name: name.into(), bytes }
    }

    #[test]
    fn inputs_of_all_sizes_go_into_the_tree() {
        let few = vec![input("c", 5000), input("b", 40), input("a", 40), input("d", 3)];
        let names: Vec<_> = within_bounds(few).into_iter().map(|input| input.name).collect();
        assert_eq!(names, ["d", "a", "b"], "one above 4 KiB is left out");
        let many: Vec<_> = (0..1280).map(|n| input(format!("{n:04}"), n)).collect();
        let bytes: Vec<_> = within_bounds(many).iter().map(|input| input.bytes).collect();
        let total = bytes.iter().sum::<u64>();
        assert!(total <= TREE_BYTES_MAX && total > TREE_BYTES_MAX - 2000, "{total}");
        assert!(bytes[0] < 10 && bytes[bytes.len() - 1] > 1260, "{bytes:?}");
    }

    #[test]
    fn the_tree_grows_within_bounds() {
        let many: Vec<_> = (0..1000).map(|n| input(format!("{n:04}"), 10)).collect();
        assert_eq!(within_bounds(many).len(), TREE_FILES_MAX);
        let large: Vec<_> = (0..100).map(|n| input(format!("{n:04}"), 4096)).collect();
        assert_eq!(within_bounds(large).len(), 16);
    }
}
