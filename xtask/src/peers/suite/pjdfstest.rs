//! pjdfstest: one program that runs all tests and prints a line for each.

use std::fs;

use anyhow::{Result, bail};

use crate::command::capture;
use crate::peers::place::Place;
use crate::peers::results::{Outcome, Results};
use crate::peers::tools::Tools;

/// Features of the FUSE client, and two users that exist on every Debian.
const CONFIGURATION: &str = r#"
[features]
posix_fallocate = {}
rename_ctime = {}
utime_now = {}
utimensat = {}
[settings]
naptime = 0.01
[dummy_auth]
entries = [["games", "games"], ["nobody", "nogroup"]]
"#;
const SECONDS_MAX: u32 = 3600;

pub(super) fn run(tools: &Tools, place: &Place<'_>, only: Option<&str>) -> Result<Results> {
    let configuration = place.scratch_dir().with_file_name("pjdfstest.toml");
    fs::write(&configuration, CONFIGURATION)?;
    // Its other users read the directory that it makes.
    let mut command = place.command(tools.program("pjdfstest")?, SECONDS_MAX);
    command.arg("-c").arg(&configuration).arg("-p").arg(place.test_dir()).args(only);
    let output = capture(&mut command)?;
    let results = parse(&String::from_utf8_lossy(&output.stdout));
    if results.is_empty() {
        bail!("pjdfstest ran no test: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    println!("{} tests", results.len());
    Ok(results)
}

/// Reads lines such as `unlink::eloop_comp    ok`; the reason of a failure is on the next line.
fn parse(text: &str) -> Results {
    let mut results = Results::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let mut words = line.split_whitespace();
        let (Some(name), Some(state), None) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        if !name.contains("::") {
            continue;
        }
        let outcome = match state {
            "ok" => Outcome::Passed,
            "skipped" => Outcome::Skipped,
            "FAILED" => Outcome::failed(lines.peek().unwrap_or(&"")),
            _ => continue,
        };
        results.insert(name.to_owned(), outcome);
    }
    results
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_of_a_test_is_an_outcome() {
        let text = "unlink::eloop_comp          ok\n\
                    unlink::erofs_named    skipped\n\tRemounts are not allowed\n\
                    rename::fifo            FAILED\n\tTimestamps did not change\nBacktrace:\n   \
                    0: <unknown>\n";
        let results = parse(text);
        assert_eq!(results.len(), 3);
        assert_eq!(results["unlink::eloop_comp"], Outcome::Passed);
        assert_eq!(results["unlink::erofs_named"], Outcome::Skipped);
        assert_eq!(results["rename::fifo"], Outcome::failed("Timestamps did not change"));
    }
}
