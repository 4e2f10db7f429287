//! The Linux Test Project: a program for each test, listed in `runtest/syscalls`, run with the
//! mount as the directory of temporary files.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::TIMED_OUT;
use crate::command::capture;
use crate::peers::place::Place;
use crate::peers::results::Outcome;
use crate::peers::tools::Tools;

const SECONDS_MAX: u32 = 90;

/// Names of the calls on files, names, attributes and locks, without their number.
const CALLS: &[&str] = &[
    "access",
    "chdir",
    "chmod",
    "chown",
    "copy_file_range",
    "creat",
    "dup",
    "faccessat",
    "fallocate",
    "fchdir",
    "fchmod",
    "fchmodat",
    "fchown",
    "fchownat",
    "fcntl",
    "fdatasync",
    "fgetxattr",
    "flistxattr",
    "flock",
    "fremovexattr",
    "fsetxattr",
    "fstat",
    "fstatat",
    "fstatfs",
    "fsync",
    "ftruncate",
    "futimesat",
    "getdents",
    "getxattr",
    "lchown",
    "link",
    "linkat",
    "listxattr",
    "llistxattr",
    "llseek",
    "lremovexattr",
    "lseek",
    "lstat",
    "mkdir",
    "mkdirat",
    "mknod",
    "mknodat",
    "mmap",
    "msync",
    "open",
    "openat",
    "posix_fadvise",
    "pread",
    "preadv",
    "pwrite",
    "pwritev",
    "read",
    "readahead",
    "readdir",
    "readlink",
    "readlinkat",
    "readv",
    "removexattr",
    "rename",
    "renameat",
    "renameat2",
    "rmdir",
    "sendfile",
    "setxattr",
    "stat",
    "statfs",
    "statvfs",
    "statx",
    "symlink",
    "symlinkat",
    "sync",
    "sync_file_range",
    "syncfs",
    "truncate",
    "umask",
    "unlink",
    "unlinkat",
    "ustat",
    "utime",
    "utimensat",
    "utimes",
    "write",
    "writev",
];

/// The names of all tests.
pub(super) fn list(tools: &Tools) -> Result<Vec<String>> {
    Ok(tests(&runtest(tools)?).map(|(name, _)| name).collect())
}

fn runtest(tools: &Tools) -> Result<String> {
    let file = tools.named("ltp/runtest/syscalls")?;
    fs::read_to_string(&file).with_context(|| file.display().to_string())
}

pub(super) fn run(tools: &Tools, place: &Place<'_>, test: &str) -> Result<Outcome> {
    let root = tools.named("ltp")?;
    let list = runtest(tools)?;
    let Some((_, words)) = tests(&list).find(|(name, _)| name == test) else {
        return Ok(Outcome::Skipped);
    };
    let program = words.first().map(|name| program(&root.join("testcases/kernel/syscalls"), name));
    // Not every test is built for every architecture.
    let Some(program) = program.transpose()?.flatten() else { return Ok(Outcome::Skipped) };
    let temporary = place.test_dir().join("ltp");
    fs::create_dir_all(&temporary)?;
    let mut command = place.command(&program, SECONDS_MAX);
    command.args(&words[1..]).current_dir(program.parent().unwrap_or(&root));
    // Tests on file systems that the test makes itself say nothing of the mount.
    command.env("TMPDIR", &temporary).env("LTPROOT", &root).env("LTP_DEV_FS_TYPE", "tmpfs");
    command.env("LTP_SINGLE_FS_TYPE", "tmpfs").env("LTP_COLORIZE_OUTPUT", "0");
    let output = capture(&mut command)?;
    let _some_stay = fs::remove_dir_all(&temporary);
    let said = [&output.stderr[..], &output.stdout[..]].concat();
    Ok(outcome(output.status.code(), &String::from_utf8_lossy(&said)))
}

/// The tests of a list that exercise one of [`CALLS`], each with its command line.
fn tests(list: &str) -> impl Iterator<Item = (String, Vec<&str>)> {
    list.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let name = words.next().filter(|name| !name.starts_with('#'))?;
        let call = name.split('_').next().unwrap_or(name);
        let call = if CALLS.contains(&call_of(name)) { call_of(name) } else { call_of(call) };
        CALLS.contains(&call).then(|| (name.to_owned(), words.collect()))
    })
}

/// The name without the number at its end and what follows it.
fn call_of(name: &str) -> &str {
    let digits = name.rfind(|c: char| c.is_ascii_digit()).map_or(name.len(), |last| {
        let before = name[..last].rfind(|c: char| !c.is_ascii_digit());
        before.map_or(0, |at| at + 1)
    });
    &name[..digits]
}

/// Bits of the exit status: 1 failed, 2 broke off, 4 warned, 32 does not apply.
fn outcome(status: Option<i32>, said: &str) -> Outcome {
    match status {
        Some(0 | 4) => Outcome::Passed,
        Some(32) => Outcome::Skipped,
        Some(code) if TIMED_OUT.contains(&code) => Outcome::failed("takes too long"),
        _ => {
            let telling = |line: &&str| line.contains("TFAIL") || line.contains("TBROK");
            let line = said.lines().find(telling).or(said.lines().last()).unwrap_or("no output");
            Outcome::failed(line.split_once(": ").map_or(line, |(_, rest)| rest))
        }
    }
}

/// The program of a name below a directory.
fn program(dir: &Path, name: &str) -> Result<Option<PathBuf>> {
    for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            if let Some(found) = program(&entry.path(), name)? {
                return Ok(Some(found));
            }
        } else if entry.file_name() == name {
            return Ok(Some(entry.path()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests_of_the_list {
    use super::*;

    #[test]
    fn calls_on_files_are_chosen() {
        let list = "#DESCRIPTION:Kernel system calls\nabort01 abort01\naccess01 access01 -x\n\
                    fcntl14_64 fcntl14_64\nrenameat201 renameat201\nclone01 clone01\nstat03_64 \
                    stat03_64\n";
        let names: Vec<String> = tests(list).map(|(name, _)| name).collect();
        assert_eq!(names, ["access01", "fcntl14_64", "renameat201", "stat03_64"]);
        assert_eq!(tests(list).next().unwrap().1, ["access01", "-x"]);
    }

    #[test]
    fn the_status_says_how_a_test_ended() {
        assert_eq!(outcome(Some(0), ""), Outcome::Passed);
        assert_eq!(outcome(Some(32), ""), Outcome::Skipped);
        let said = "tst_test.c: TINFO: begins\nlink02.c:40: TFAIL: no link\n";
        assert_eq!(outcome(Some(1), said), Outcome::failed("TFAIL: no link"));
    }
}
