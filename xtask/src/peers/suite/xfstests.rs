//! xfstests: its script `check` runs one test and says how that ended.

use std::fs;

use anyhow::{Context, Result};

use super::TIMED_OUT;
use crate::command::capture;
use crate::peers::place::Place;
use crate::peers::results::Outcome;
use crate::peers::tools::Tools;

const SECONDS_MAX: u32 = 120;

/// Groups of tests that need a block device, a snapshot or a feature that no network file system
/// has.
const LEFT_OUT: &[&str] = &[
    "casefold",
    "clone",
    "clone_stress",
    "dax",
    "dedupe",
    "encrypt",
    "eio",
    "fiemap",
    "freeze",
    "log",
    "mount",
    "online_repair",
    "quota",
    "resize",
    "shutdown",
    "snapshot",
    "swap",
    "thin",
    "tmpfile",
    "trim",
    "unshare",
    "verity",
    "idmapped",
    "fsr",
    "recoveryloop",
    "bigtime",
    "atomicwrites",
    "exportfs",
    "sysfs",
    "metadata_repair",
    "cgroup",
    "nonsamefs",
];

/// The names of all tests.
pub(super) fn list(tools: &Tools) -> Result<Vec<String>> {
    let tests = tools.named("xfstests/tests")?;
    let list =
        fs::read_to_string(tests.join("generic/group.list")).context("tests/generic/group.list")?;
    let applies =
        |test: &String| !needs_device(&fs::read_to_string(tests.join(test)).unwrap_or_default());
    Ok(quick(&list).filter(applies).collect())
}

pub(super) fn run(tools: &Tools, place: &Place<'_>, test: &str) -> Result<Outcome> {
    let check = tools.named("xfstests/check")?;
    let root = check.parent().context("check is in a directory")?;
    let mut command = place.command(&check, SECONDS_MAX);
    command.arg(test).current_dir(root).env("FSTYP", "glusterfs");
    command.env("TEST_DEV", place.test_device()).env("TEST_DIR", place.test_dir());
    command.env("SCRATCH_DEV", place.scratch_device()).env("SCRATCH_MNT", place.scratch_dir());
    command.env("RESULT_BASE", place.scratch_dir().with_file_name("xfstests"));
    let output = capture(&mut command)?;
    Ok(outcome(output.status.code(), &String::from_utf8_lossy(&output.stdout)))
}

/// The tests of the group `quick` in none of the groups that are left out.
fn quick(list: &str) -> impl Iterator<Item = String> {
    list.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let number = words.next().filter(|word| word.bytes().all(|byte| byte.is_ascii_digit()))?;
        let groups: Vec<&str> = words.collect();
        let chosen = groups.contains(&"quick") && !groups.iter().any(|g| LEFT_OUT.contains(g));
        chosen.then(|| format!("generic/{number}"))
    })
}

/// Whether a test makes a file system of its own on a device.
fn needs_device(source: &str) -> bool {
    ["_require_dm_target", "_require_block_device", "_require_scratch_nocheck", "_require_loop"]
        .iter()
        .any(|need| source.contains(need))
}

fn outcome(status: Option<i32>, said: &str) -> Outcome {
    if said.contains("[not run]") || said.contains("[expunged]") {
        return Outcome::Skipped;
    }
    match status {
        Some(0) => Outcome::Passed,
        Some(code) if TIMED_OUT.contains(&code) => Outcome::failed("takes too long"),
        _ => {
            let differs = |line: &&str| line.trim_start().starts_with(['+', '_']);
            let lines = said.lines().filter(|line| !line.trim_start().starts_with("+++"));
            let line = { lines }.find(differs).or(said.lines().last());
            Outcome::failed(line.unwrap_or("no output"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quick_tests_that_need_no_device_are_chosen() {
        let list = "# comment\n001 rw dir auto quick\n002 metadata auto\n003 quick clone\n\
                    004 auto quick\n";
        assert_eq!(quick(list).collect::<Vec<_>>(), ["generic/001", "generic/004"]);
        assert!(needs_device("_require_dm_target flakey\n"));
    }

    #[test]
    fn the_first_differing_line_is_the_reason() {
        assert_eq!(outcome(Some(0), "generic/001 1s\n"), Outcome::Passed);
        let skipped = "generic/003       [not run] atime is not supported\n";
        assert_eq!(outcome(Some(0), skipped), Outcome::Skipped);
        let said = "- output mismatch\n    --- a\n    +++ b\n    -ok\n    +No such file\n";
        assert_eq!(outcome(Some(1), said), Outcome::failed("+No such file"));
    }
}
