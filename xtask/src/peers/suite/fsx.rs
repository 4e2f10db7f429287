//! fsx: random operations on one file; each seed with each mix of operations is a test.

use std::fs;

use anyhow::Result;

use super::{TIMED_OUT, Wanted, note};
use crate::command::capture;
use crate::peers::place::Place;
use crate::peers::results::{Outcome, Results};
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
const SEEDS: u32 = 4;
const OPERATIONS: &str = "3000";
const SECONDS_MAX: u32 = 300;

pub(super) fn run(tools: &Tools, place: &Place<'_>, wanted: &Wanted<'_>) -> Result<Results> {
    let mut results = Results::new();
    for (mix, length, largest, weights) in MIXES {
        let dir = place.scratch_dir().with_file_name("fsx");
        fs::create_dir_all(&dir)?;
        let configuration = dir.join(format!("{mix}.toml"));
        // An operation that is not named has no weight.
        let none =
            ["close_open", "invalidate", "fsync", "fdatasync", "posix_fallocate", "punch_hole"]
                .into_iter()
                .chain([
                    "sendfile",
                    "posix_fadvise",
                    "copy_file_range",
                    "mapread",
                    "mapwrite",
                    "truncate",
                ])
                .filter(|operation| !weights.contains(operation))
                .map(|operation| format!("{operation} = 0\n"));
        let none: String = none.collect();
        let text =
            format!("flen = {length}\n[opsize]\nmax = {largest}\n[weights]\n{weights}{none}");
        fs::write(&configuration, text)?;
        for seed in 1..=SEEDS {
            let name = format!("{mix}-{seed}");
            if !wanted(&name) {
                continue;
            }
            let file = place.test_dir().join(&name);
            let mut command = place.command(tools.program("fsx")?, SECONDS_MAX);
            command.args(["-q", "-N", OPERATIONS, "-S", &seed.to_string(), "-f"]);
            command.arg(&configuration).arg("-P").arg(&dir).arg(&file);
            let output = capture(&mut command)?;
            let outcome = match output.status.code() {
                Some(0) => Outcome::Passed,
                Some(code) if TIMED_OUT.contains(&code) => Outcome::failed("takes too long"),
                _ => {
                    let said = [&output.stdout[..], &output.stderr[..]].concat();
                    Outcome::failed(&String::from_utf8_lossy(&said))
                }
            };
            note(&mut results, &name, outcome);
            let _absent = fs::remove_file(&file);
        }
    }
    Ok(results)
}
