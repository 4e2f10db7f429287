//! QEMU's iotests: its script `check` runs one test with images in a directory on the mount.

use std::fs;
use std::process::Command;

use anyhow::{Result, bail};

use super::TIMED_OUT;
use crate::command::capture;
use crate::peers::place::Place;
use crate::peers::results::Outcome;
use crate::peers::tools::Tools;

const SECONDS_MAX: u32 = 120;

/// The names of all tests.
pub(super) fn list(tools: &Tools, place: &Place<'_>, format: &str) -> Result<Vec<String>> {
    let mut check = check(tools, place, format)?;
    let list = capture(check.args(["-n", "-g", "quick"]))?;
    if !list.status.success() {
        bail!(
            "iotests do not start (apt install qemu-system-x86 qemu-system-common): {}",
            String::from_utf8_lossy(&list.stderr).trim()
        );
    }
    let dir = tools.iotests()?;
    let runs_here =
        |test: &&str| !needs_qtest(&fs::read_to_string(dir.join(test)).unwrap_or_default());
    let list = String::from_utf8_lossy(&list.stdout);
    let tests = list.lines().filter(runs_here);
    Ok(tests.map(|test| test.strip_prefix("tests/").unwrap_or(test).to_owned()).collect())
}

/// Whether a test starts a whole QEMU, which needs an accelerator that Debian's build lacks.
fn needs_qtest(source: &str) -> bool {
    ["common.qemu", "iotests.VM", "iotests.QMPTestCase", "run_qemu", "$QEMU ", "qtest"]
        .iter()
        .any(|need| source.contains(need))
}

pub(super) fn run(tools: &Tools, place: &Place<'_>, format: &str, test: &str) -> Result<Outcome> {
    let mut check = check(tools, place, format)?;
    let output = capture(check.args(["-tap", test]))?;
    Ok(outcome(output.status.code(), &String::from_utf8_lossy(&output.stdout)))
}

/// The script, with an empty directory of images on the mount and Debian's programs.
fn check(tools: &Tools, place: &Place<'_>, format: &str) -> Result<Command> {
    let images = place.test_dir().join("iotests");
    let _absent = fs::remove_dir_all(&images);
    fs::create_dir_all(&images)?;
    // A unix socket's path must be short.
    let sockets = std::env::temp_dir().join(format!("xtask-iotests-{}", std::process::id()));
    fs::create_dir_all(&sockets)?;
    let mut command = place.command("python3", SECONDS_MAX);
    command.arg("./check").arg(format!("-{format}")).current_dir(tools.iotests()?);
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
    Ok(command)
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
    fn tests_that_start_qemu_are_left_out() {
        assert!(needs_qtest(". ./common.rc\n. ./common.qemu\n"));
        assert!(!needs_qtest(". ./common.rc\n$QEMU_IMG info\n"));
    }

    #[test]
    fn the_line_of_a_test_says_how_it_ended() {
        assert_eq!(outcome(Some(0), "1..1\n# running raw 001\nok raw 001\n"), Outcome::Passed);
        assert_eq!(outcome(Some(0), "ok raw 040 # SKIP\n"), Outcome::Skipped);
        let said = "not ok raw 003\n# --- a\n# +++ b\n# -read\n# +Input/output error\n";
        assert_eq!(outcome(Some(1), said), Outcome::failed("+Input/output error"));
        assert_eq!(outcome(Some(124), ""), Outcome::failed("takes too long"));
    }
}
