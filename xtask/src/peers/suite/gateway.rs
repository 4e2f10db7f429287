//! A tree that is copied through a file server with a volume behind it, and the server's process.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::command::{capture, line};
use crate::peers::place::Place;

/// Seconds after which a command or a server is ended.
pub(super) const SECONDS_MAX: u32 = 300;
const FILES_IN_EACH: usize = 60;
const SIZES: [usize; 7] = [0, 1, 4095, 4096, 70_000, 131_073, 1_000_000];
const BIG: usize = 40 << 20;

/// The directories of the tree, parents first.
fn directories() -> Vec<String> {
    let mut all: Vec<String> =
        ["with blanks", "with blanks/a b", "with blanks/a b/ünïcödé 日本", "empty", "many"]
            .map(str::to_owned)
            .to_vec();
    let mut deep = String::from("deep");
    for level in 0..12 {
        all.push(deep.clone());
        deep.push_str(&format!("/level {level}"));
    }
    all.push(deep);
    all
}

/// Bytes that no compression and no shift maps to themselves.
fn contents(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Makes the tree: some hundred files, empty, small and big, with blanks and UTF-8 in their names.
pub(super) fn make_tree(root: &Path) -> Result<()> {
    let _absent = fs::remove_dir_all(root);
    fs::create_dir_all(root)?;
    for dir in directories() {
        fs::create_dir(root.join(dir))?;
    }
    let full = ["with blanks", "with blanks/a b", "with blanks/a b/ünïcödé 日本", "many", "deep"];
    for (at, dir) in full.iter().enumerate() {
        for n in 0..FILES_IN_EACH {
            let seed = at * FILES_IN_EACH + n;
            let name = root.join(dir).join(format!("file {n} é.bin"));
            fs::write(name, contents(SIZES[seed % SIZES.len()], seed as u64))?;
        }
    }
    let deepest = directories().pop().context("a directory")?;
    fs::write(root.join(deepest).join("deepest"), b"deep")?;
    Ok(fs::write(root.join("big"), contents(BIG, 1 << 20))?)
}

/// All paths below `root`; directories before what is in them. `None` is a directory's contents.
pub(super) fn tree(root: &Path) -> Result<BTreeMap<PathBuf, Option<Vec<u8>>>> {
    let (mut found, mut left) = (BTreeMap::new(), vec![root.to_owned()]);
    while let Some(dir) = left.pop() {
        for entry in fs::read_dir(&dir).with_context(|| dir.display().to_string())? {
            let path = entry?.path();
            let data = if path.is_dir() {
                left.push(path.clone());
                None
            } else {
                Some(fs::read(&path).with_context(|| path.display().to_string())?)
            };
            found.insert(path.strip_prefix(root)?.to_owned(), data);
        }
    }
    Ok(found)
}

/// Fails with the first path of `expected` that differs in `root`, or that is only there.
pub(super) fn assert_same(what: &str, expected: &Path, root: &Path) -> Result<()> {
    let (expected, found) = (tree(expected)?, tree(root)?);
    let differs = |path: &&PathBuf| expected.get(*path) != found.get(*path);
    match expected.keys().chain(found.keys()).find(differs) {
        Some(path) => bail!("{what}: {} differs", path.display()),
        None => Ok(()),
    }
}

/// A file server that runs as long as this value lives.
pub(super) struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts a command of [`Place::command`] and waits until `answers` succeeds.
    pub(super) fn start(
        mut command: Command,
        log: PathBuf,
        mut answers: impl FnMut() -> Command,
    ) -> Result<Self> {
        let output = fs::File::create(&log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().with_context(|| line(&command))?;
        let mut daemon = Self { child, log };
        let deadline = Instant::now() + Duration::from_secs(30);
        while !capture(&mut answers())?.status.success() {
            if daemon.child.try_wait()?.is_some() || Instant::now() > deadline {
                bail!("it does not serve: {}", daemon.said());
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(daemon)
    }

    /// The end of its output.
    fn said(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().last().unwrap_or_default().to_owned()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // timeout(1) passes the signal on, and ends what ignores it.
            let _ended = kill_process(pid, Signal::TERM);
        }
        let _reaped = self.child.wait();
    }
}

/// Runs a client to its end.
pub(super) fn client(command: &mut Command) -> Result<()> {
    let output = capture(command)?;
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    let said = String::from_utf8_lossy(&said);
    // smbclient succeeds although files failed.
    if !output.status.success() || said.contains("NT_STATUS") {
        let why = said.lines().find(|line| line.contains("NT_STATUS")).or(said.lines().last());
        bail!("{}: {}", line(command), why.unwrap_or_default());
    }
    Ok(())
}

/// Directories of a test: its files, the tree, and the tree that came back.
pub(super) struct Dirs {
    pub(super) own: PathBuf,
    pub(super) tree: PathBuf,
    pub(super) back: PathBuf,
}

impl Dirs {
    /// Makes them, and empties the volume.
    pub(super) fn make(place: &Place<'_>, suite: &str) -> Result<Self> {
        place.clear()?;
        let own = place.scratch_dir().with_file_name(suite);
        let _absent = fs::remove_dir_all(&own);
        let (tree, back) = (own.join("tree"), own.join("back"));
        fs::create_dir_all(&back)?;
        make_tree(&tree)?;
        Ok(Self { own, tree, back })
    }
}

impl Drop for Dirs {
    fn drop(&mut self) {
        let _stays = fs::remove_dir_all(&self.tree);
        let _stays = fs::remove_dir_all(&self.back);
    }
}

/// Host and volume of a device as mount(8) names it.
pub(super) fn volume_of(place: &Place<'_>) -> Result<(String, String)> {
    let device = place.test_device();
    let (host, volume) = device.split_once(":/").context("HOST:/VOLUME")?;
    Ok((host.to_owned(), volume.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_a_missing_and_an_additional_path_are_found() {
        let dirs = [(), ()].map(|()| tempfile::tempdir().expect("a directory"));
        let [one, other] = dirs.each_ref().map(|dir| dir.path());
        for dir in [one, other] {
            fs::create_dir_all(dir.join("d/e")).expect("a directory");
            fs::write(dir.join("d/f"), contents(100, 7)).expect("a file");
        }
        let differs = || assert_same("it", one, other).map_err(|error| error.to_string());
        assert_eq!(differs(), Ok(()));
        fs::write(other.join("d/f"), contents(100, 8)).expect("a file");
        assert_eq!(differs(), Err("it: d/f differs".to_owned()));
        fs::remove_file(other.join("d/f")).expect("a file");
        assert_eq!(differs(), Err("it: d/f differs".to_owned()));
        fs::write(other.join("d/f"), contents(100, 7)).expect("a file");
        fs::create_dir(other.join("d/e/g")).expect("a directory");
        assert_eq!(differs(), Err("it: d/e/g differs".to_owned()));
    }
}
