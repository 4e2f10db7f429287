//! QEMU's iotests: its script `check` runs one test with images in a directory on the mount.

use std::fs;

use anyhow::{Result, bail};

use super::{TIMED_OUT, Wanted, note};
use crate::command::capture;
use crate::peers::place::Place;
use crate::peers::results::{Outcome, Results};
use crate::peers::tools::Tools;

const SECONDS_MAX: u32 = 120;

pub(super) fn run(
    tools: &Tools,
    place: &Place<'_>,
    format: &str,
    wanted: &Wanted<'_>,
) -> Result<Results> {
    let dir = tools.iotests()?;
    let images = place.test_dir().join("iotests");
    let sockets = tempfile_dir()?;
    let check = |args: &[&str]| {
        let mut command = place.command("python3", SECONDS_MAX);
        command.arg("./check").args(args).current_dir(&dir);
        command.env("TEST_DIR", &images).env("SOCK_DIR", &sockets);
        for (variable, program) in [
            ("QEMU_PROG", "qemu-system-x86_64"),
            ("QEMU_IMG_PROG", "qemu-img"),
            ("QEMU_IO_PROG", "qemu-io"),
            ("QEMU_NBD_PROG", "qemu-nbd"),
            ("QSD_PROG", "qemu-storage-daemon"),
        ] {
            command.env(variable, format!("/usr/bin/{program}"));
        }
        command
    };
    let format = format!("-{format}");
    fs::create_dir_all(&images)?;
    let list = capture(&mut check(&["-n", &format, "-g", "quick"]))?;
    if !list.status.success() {
        bail!(
            "iotests do not start (apt install qemu-system-x86 qemu-system-common): {}",
            String::from_utf8_lossy(&list.stderr).trim()
        );
    }
    let mut results = Results::new();
    for test in String::from_utf8_lossy(&list.stdout).lines().filter(|test| wanted(test)) {
        let _some_stay = fs::remove_dir_all(&images);
        fs::create_dir_all(&images)?;
        let output = capture(&mut check(&["-tap", &format, test]))?;
        let said = String::from_utf8_lossy(&output.stdout);
        note(&mut results, test, outcome(output.status.code(), &said));
    }
    fs::remove_dir_all(sockets)?;
    Ok(results)
}

/// A directory whose name leaves room for a unix socket's.
fn tempfile_dir() -> Result<std::path::PathBuf> {
    let dir = std::env::temp_dir().join(format!("xtask-iotests-{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    Ok(dir)
}

/// Reads TAP: `ok raw 001`, `ok raw 002 # SKIP`, `not ok raw 003`, and the difference as remarks.
fn outcome(status: Option<i32>, said: &str) -> Outcome {
    if status.is_some_and(|code| TIMED_OUT.contains(&code)) {
        return Outcome::failed("takes too long");
    }
    let Some(line) =
        said.lines().find(|line| line.starts_with("ok ") || line.starts_with("not ok"))
    else {
        return Outcome::failed("check printed no outcome");
    };
    match (line.starts_with("ok "), line.contains("# SKIP")) {
        (_, true) => Outcome::Skipped,
        (true, false) => Outcome::Passed,
        (false, false) => {
            let added = |line: &&str| line.starts_with("# +") && !line.starts_with("# +++");
            let why = said.lines().find(added).map_or(line, |line| &line[2..]);
            Outcome::failed(why)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_a_test_says_how_it_ended() {
        assert_eq!(outcome(Some(0), "1..1\n# running raw 001\nok raw 001\n"), Outcome::Passed);
        assert_eq!(outcome(Some(0), "ok raw 040 # SKIP\n"), Outcome::Skipped);
        let said = "not ok raw 003\n# --- a\n# +++ b\n# -read\n# +Input/output error\n";
        assert_eq!(outcome(Some(1), said), Outcome::failed("+Input/output error"));
        assert_eq!(outcome(Some(124), ""), Outcome::failed("takes too long"));
    }
}
