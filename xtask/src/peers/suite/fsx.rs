//! fsx: random operations on one file; each seed with each mix of operations is a test.

use std::fs;

use anyhow::{Context, Result};

use super::TIMED_OUT;
use crate::command::capture;
use crate::peers::place::Place;
use crate::peers::results::Outcome;
use crate::peers::tools::Tools;

/// Name, length of the file, largest operation and weights.
const MIXES: &[(&str, u32, u32, &str)] = &[
    ("plain", 262_144, 65_536, "read = 10\nwrite = 10\ntruncate = 5\nclose_open = 1\nfsync = 1\n"),
    (
        "mapped",
        262_144,
        65_536,
        "read = 5\nwrite = 5\nmapread = 10\nmapwrite = 10\ntruncate = 2\ninvalidate = 1\n",
    ),
    (
        "holes",
        4_194_304,
        300_000,
        "read = 10\nwrite = 10\ntruncate = 2\nposix_fallocate = 3\npunch_hole = 5\nfdatasync = 1\n",
    ),
    (
        "copies",
        1_048_576,
        131_072,
        "read = 10\nwrite = 10\nsendfile = 5\ncopy_file_range = 5\nposix_fadvise = 1\n",
    ),
];
const OPERATIONS_WITH_DEFAULTS: &[&str] = &["mapread", "mapwrite", "truncate"];
const SEEDS: u32 = 4;
const OPERATIONS: &str = "3000";
const SECONDS_MAX: u32 = 300;

/// The names of all tests.
pub(super) fn list() -> Vec<String> {
    let of = |name: &str| (1..=SEEDS).map(|seed| format!("{name}-{seed}")).collect::<Vec<_>>();
    MIXES.iter().flat_map(|mix| of(mix.0)).collect()
}

pub(super) fn run(tools: &Tools, place: &Place<'_>, test: &str) -> Result<Outcome> {
    let mix = MIXES.iter().find(|mix| test.starts_with(mix.0)).context("a mix of operations")?;
    let (_, seed) = test.rsplit_once('-').context("a seed")?;
    let dir = place.scratch_dir().with_file_name("fsx");
    fs::create_dir_all(&dir)?;
    let configuration = dir.join(format!("{}.toml", mix.0));
    fs::write(&configuration, configuration_of(mix))?;
    let file = place.test_dir().join(test);
    let mut command = place.command(tools.program("fsx")?, SECONDS_MAX);
    command.args(["-q", "-N", OPERATIONS, "-S", seed, "-f"]);
    command.arg(&configuration).arg("-P").arg(&dir).arg(&file);
    let output = capture(&mut command)?;
    let _absent = fs::remove_file(&file);
    Ok(match output.status.code() {
        Some(0) => Outcome::Passed,
        Some(code) if TIMED_OUT.contains(&code) => Outcome::failed("takes too long"),
        _ => {
            let said = [&output.stdout[..], &output.stderr[..]].concat();
            Outcome::failed(&String::from_utf8_lossy(&said))
        }
    })
}

/// The configuration file of a mix. An operation that the mix does not name has no weight.
fn configuration_of((_, length, largest, weights): &(&str, u32, u32, &str)) -> String {
    let absent = OPERATIONS_WITH_DEFAULTS
        .iter()
        .filter(|operation| !weights.contains(*operation))
        .map(|operation| format!("{operation} = 0\n"));
    let absent: String = absent.collect();
    format!("flen = {length}\n[opsize]\nmax = {largest}\n[weights]\n{weights}{absent}")
}
