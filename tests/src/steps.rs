//! Runs the same steps on a mount of `brickwire serve` and on a local disk and compares the
//! results. Where they differ, a mount of glusterfsd decides.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::serve::{Mount, Served, directory, wanted};
use crate::tree::listing;
use crate::{brick, run};

/// A directory to run steps in, and their results.
#[derive(Debug)]
pub struct Steps<'a> {
    /// The directory.
    pub dir: &'a Path,
    /// A line for each step so far.
    pub log: Vec<String>,
}

impl Steps<'_> {
    /// A path in the directory.
    pub fn at(&self, name: impl AsRef<std::ffi::OsStr>) -> PathBuf {
        self.dir.join(name.as_ref())
    }

    /// Records the result of a step.
    pub fn note<T: std::fmt::Debug, E: Into<std::io::Error>>(
        &mut self,
        what: &str,
        result: Result<T, E>,
    ) {
        let line = match result {
            Ok(value) => format!("{what}: {value:?}"),
            Err(error) => format!("{what}: {}", error.into()),
        };
        self.log.push(line);
    }

    /// Records mode, owner, links and size of a name.
    pub fn attributes(&mut self, name: &str) {
        let meta = self.at(name).symlink_metadata();
        let seen = meta.map(|m| (format!("{:o}", m.mode()), m.uid(), m.gid(), m.nlink(), m.size()));
        self.note(name, seen);
    }
}

/// Runs the steps on a mount and on a local disk; panics if the results differ.
pub fn as_on_a_local_disk(steps: impl Fn(&mut Steps<'_>)) {
    mounted_with("", steps);
}

/// As [`as_on_a_local_disk`], with options of mount(8).
pub fn mounted_with(options: &str, steps: impl Fn(&mut Steps<'_>)) {
    if !wanted() {
        return;
    }
    let served = Served::one();
    let local = directory();
    {
        let mount = served.mount_with("v", options);
        let mut there = Steps { dir: mount.path(), log: Vec::new() };
        steps(&mut there);
        let mut here = Steps { dir: local.path(), log: Vec::new() };
        steps(&mut here);
        let of = |steps: Steps<'_>| {
            let mut log = steps.log;
            log.extend(without_times(listing(steps.dir)));
            log
        };
        let (there, here) = (of(there), of(here));
        // If a mount of glusterfsd differs from a local disk as well, the client is the cause.
        let usual = if there == here {
            here.clone()
        } else {
            on_a_real_volume(options, &steps).unwrap_or_default()
        };
        assert_eq!(there.len(), here.len(), "{:?} {:?}", there.last(), here.last());
        let as_one = |at: &usize| [here.get(*at), usual.get(*at)].contains(&there.get(*at));
        let wrong: Vec<usize> = (0..there.len()).filter(|at| !as_one(at)).collect();
        let show = |at: &usize| {
            let of = |log: &[String]| log.get(*at).cloned().unwrap_or_default();
            format!("\n  ours {}\n  disk {}\n  real {}", of(&there), of(&here), of(&usual))
        };
        let shown: String = wrong.iter().take(10).map(show).collect();
        assert!(wrong.is_empty(), "{} lines differ:{shown}", wrong.len());
    }
    assert_eq!(brick::faults(&served.brick()), Vec::<String>::new());
}

/// The results on a mount of glusterfsd.
fn on_a_real_volume(options: &str, steps: &impl Fn(&mut Steps<'_>)) -> Option<Vec<String>> {
    let cluster = crate::cluster()?;
    let dir = directory();
    let mount = Mount::with(cluster.host(), 24007, "single", &dir.path().join("log"), options);
    let at = mount.at("as-on-a-local-disk");
    run("rm", &["-rf", at.to_str()?]);
    std::fs::create_dir(&at).ok()?;
    let mut real = Steps { dir: &at, log: Vec::new() };
    steps(&mut real);
    let mut log = real.log;
    log.extend(without_times(listing(&at)));
    run("rm", &["-rf", at.to_str()?]);
    Some(log)
}

/// Omits times: those of a write are not the same on two disks.
fn without_times(lines: Vec<String>) -> Vec<String> {
    let strip = |line: String| match (line.find(" at "), line.find(" is ")) {
        (Some(from), Some(to)) if from < to => format!("{}{}", &line[..from], &line[to..]),
        _ => line,
    };
    lines.into_iter().map(strip).collect()
}
