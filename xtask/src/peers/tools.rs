//! Where suites come from: a directory that the user names, the crates' registry, or Debian's
//! source packages.
//!
//! Suites are looked for in `--dir DIR` first: `DIR/bin/pjdfstest`, `DIR/bin/fsx`, `DIR/xfstests`
//! (built, with its `check`), `DIR/ltp` (built, with its `runtest`), `DIR/qemu` (QEMU's sources;
//! its programs come from Debian's packages).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::{cargo, read, run, workspace};

/// Versions that were looked at when the parsers of their output were written.
const CRATES: &[(&str, &str)] = &[("pjdfstest", "0.2.2"), ("fsx", "0.3.2")];

pub(super) struct Tools {
    named: Option<PathBuf>,
    own: PathBuf,
}

impl Tools {
    pub(super) fn new(named: Option<PathBuf>) -> Self {
        Self { named, own: workspace().join("target/peers/tools") }
    }

    /// A program of a crate, installed into `target/peers/tools` if it is not there.
    pub(super) fn install(&self, name: &str) -> Result<PathBuf> {
        if let Ok(program) = self.program(name) {
            return Ok(program);
        }
        let version = CRATES.iter().find(|(crate_name, _)| *crate_name == name);
        let (_, version) = version.with_context(|| format!("{name} is not a crate"))?;
        let mut install = cargo();
        install.args(["install", "--locked", name, "--version", version, "--root"]);
        run(install.arg(&self.own))?;
        self.program(name)
    }

    /// A program that [`Tools::install`] has found or installed.
    pub(super) fn program(&self, name: &str) -> Result<PathBuf> {
        let dirs = self.named.iter().chain([&self.own]);
        let found = dirs.map(|dir| dir.join("bin").join(name)).find(|path| path.is_file());
        found.with_context(|| format!("{name} is neither in DIR/bin nor installed"))
    }

    /// A file of a suite in the directory that the user named.
    pub(super) fn named(&self, path: &str) -> Result<PathBuf> {
        let Some(dir) = &self.named else { bail!("--dir names no directory with {path}") };
        let found = dir.join(path);
        if !found.exists() {
            bail!("{} does not exist", found.display());
        }
        Ok(found.canonicalize()?)
    }

    /// The directory `qemu-iotests` of QEMU's tests, as named or from Debian's source package.
    pub(super) fn iotests(&self) -> Result<PathBuf> {
        const INSIDE: &str = "tests/qemu-iotests";
        if let Ok(found) = self.named(&format!("qemu/{INSIDE}")) {
            return Ok(found);
        }
        let tree = self.own.join("qemu");
        if !tree.join(INSIDE).join("check").exists() {
            fs::create_dir_all(&tree)?;
            debian_source("qemu", &self.own)?;
            let archive = newest(&self.own, "qemu_", ".orig.tar.xz")?;
            let mut tar = Command::new("tar");
            tar.arg("-xJf").arg(archive).arg("-C").arg(&tree);
            tar.args(["--strip-components=1", "--wildcards"]);
            run(tar.args(["*/tests/qemu-iotests/*", "*/python/*", "*/scripts/*"]))?;
        }
        Ok(tree.join(INSIDE))
    }
}

/// Downloads a source package from the archives that the machine's apt knows, without changing its
/// configuration.
fn debian_source(package: &str, into: &Path) -> Result<()> {
    let apt = into.join("apt");
    let (parts, lists) = (apt.join("parts"), apt.join("lists/partial"));
    fs::create_dir_all(&parts)?;
    fs::create_dir_all(&lists)?;
    for entry in fs::read_dir("/etc/apt/sources.list.d")? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "sources") {
            let text = fs::read_to_string(&path)?.replace("Types: deb\n", "Types: deb-src\n");
            fs::write(parts.join(path.file_name().unwrap_or_default()), text)?;
        }
    }
    let configuration = apt.join("apt.conf");
    fs::write(
        &configuration,
        format!(
            "Dir::Etc::SourceParts \"{}\";\nDir::State::lists \"{}\";\n",
            parts.display(),
            apt.join("lists").display()
        ),
    )?;
    let apt_get = |args: &[&str]| {
        read(Command::new("apt-get").args(args).env("APT_CONFIG", &configuration).current_dir(into))
    };
    apt_get(&["update", "-q"])?;
    apt_get(&["source", "-q", "--download-only", package])
        .with_context(|| format!("apt has no source package {package}"))?;
    Ok(())
}

fn newest(dir: &Path, begins: &str, ends: &str) -> Result<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(begins) && name.ends_with(ends) {
            found.push(entry.path());
        }
    }
    found.sort();
    found.pop().with_context(|| format!("{} has no {begins}*{ends}", dir.display()))
}
