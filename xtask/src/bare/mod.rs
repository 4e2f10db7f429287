//! Checks that `brickwire-core` and `brickwire-memory` build without an operating system and
//! without an allocator.
//!
//! A probe crate that links the two is built for each bare target with each set of features. It is
//! a `staticlib` without a global allocator, which rustc refuses to build if any crate in it links
//! `alloc`. `cargo tree` must list only the crates named here, none with its `std` or `alloc`
//! feature. Then the code of a firmware is checked (`firmware`).

mod assembly;
mod firmware;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::{self, cargo, read, run, workspace};

/// Builds the probe for every target and feature set, then checks the tree of dependencies.
pub fn bare() -> Result<()> {
    let probe = probe_dir("probe");
    write_crate(&probe, PROBE_MANIFEST, PROBE_SOURCE)?;
    for target in TARGETS {
        let means = means_for(target)?;
        for features in FEATURES {
            println!("core and memory for {target} with {} ({})", named(features), means.name());
            let mut build = means.cargo(&probe);
            build.args(["build", "--quiet", "--target", target, "--features", features]);
            run(&mut build)?;
        }
    }
    for package in PACKAGES {
        check_tree(package)?;
    }
    println!("core and memory build for {} without an allocator", TARGETS.join(" and "));
    firmware::firmware()
}

/// Source of a target's `core` library.
enum Means {
    /// The toolchain has the target installed (`rustup target add`).
    Installed,
    /// The toolchain has the library's source (`rustup component add rust-src`).
    Source,
    /// Debian's toolchain and source, for machines where rustup cannot download.
    Debian,
}

fn means_for(target: &str) -> Result<Means> {
    let rustc = |words: &[&str]| read(Command::new("rustc").current_dir(workspace()).args(words));
    let libdir = rustc(&["--print", "target-libdir", "--target", target])?;
    let sysroot = rustc(&["--print", "sysroot"])?;
    let debian =
        [DEBIAN_CARGO, DEBIAN_RUSTC, DEBIAN_SOURCE].iter().all(|path| Path::new(path).exists());
    if Path::new(libdir.trim()).is_dir() {
        Ok(Means::Installed)
    } else if Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core").is_dir() {
        Ok(Means::Source)
    } else if debian {
        Ok(Means::Debian)
    } else {
        bail!(
            "no core library for {target}: `rustup target add {target}`, or on Debian `apt-get \
             install rustc-web cargo-web rust-web-src`"
        )
    }
}

impl Means {
    fn name(&self) -> &'static str {
        match self {
            Means::Installed => "installed target",
            Means::Source => "core built from the toolchain's source",
            Means::Debian => "core built from Debian's source",
        }
    }

    /// Cargo for the probe crate in `dir`.
    fn cargo(&self, dir: &Path) -> Command {
        let mut command = match self {
            Means::Installed | Means::Source => cargo(),
            Means::Debian => {
                let mut debian = Command::new(DEBIAN_CARGO);
                debian
                    .env("RUSTC", DEBIAN_RUSTC)
                    .env_remove("RUSTUP_TOOLCHAIN")
                    .env_remove("CARGO");
                debian
            }
        };
        // Two compilers must not share a target directory.
        let room = if matches!(self, Means::Debian) { "../debian" } else { "../rustup" };
        command.current_dir(dir).env("CARGO_TARGET_DIR", room);
        if !matches!(self, Means::Installed) {
            command.env("RUSTC_BOOTSTRAP", "1").arg("-Zbuild-std=core");
        }
        command
    }
}

fn write_crate(dir: &Path, manifest: &str, source: &str) -> Result<()> {
    let write = |path: &str, text: &str| {
        let path = dir.join(path);
        std::fs::create_dir_all(dir.join("src"))
            .and_then(|()| std::fs::write(&path, text))
            .with_context(|| format!("{} cannot be written", path.display()))
    };
    write("Cargo.toml", manifest)?;
    write("src/lib.rs", source)?;
    // The same versions as in the workspace; cargo adds the probe itself.
    let (lock, probes) = (workspace().join("Cargo.lock"), dir.join("Cargo.lock"));
    if lock.exists() {
        std::fs::copy(&lock, &probes)
            .with_context(|| format!("{} cannot be copied", lock.display()))?;
    }
    Ok(())
}

fn check_tree(package: &str) -> Result<()> {
    let mut tree = cargo();
    tree.args(["tree", "--package", package, "--no-default-features"]);
    let features = ["client", "server", "log", "defmt", "static-memory"]
        .map(|name| format!("brickwire-core/{name}"));
    tree.args(["--features", &features.join(",")]);
    tree.args([
        "--edges",
        "normal,no-proc-macro",
        "--target",
        TARGETS[0],
        "--prefix",
        "none",
        "--format",
        "{p}|{f}",
    ]);
    let tree_line = command::line(&tree);
    let refused = strangers(&read(&mut tree)?);
    if let Some(first) = refused.first() {
        bail!(
            "{package} depends on {first}: it takes only no_std crates that need no allocator; \
             see `{tree_line}`"
        );
    }
    Ok(())
}

/// Lines of `cargo tree` that do not belong under a core without an allocator.
fn strangers(tree: &str) -> Vec<String> {
    let mut refused = Vec::new();
    for line in tree.lines().filter(|line| !line.trim().is_empty()) {
        let (package, features) = line.split_once('|').unwrap_or((line, ""));
        let name = package.split(' ').next().unwrap_or(package);
        if !ALLOWED.contains(&name) {
            refused.push(format!("{name}, which is not in the list of xtask/src/bare/mod.rs"));
        }
        let features = features.trim_end_matches(" (*)").split(',');
        refused.extend(
            features
                .filter(|on| ["std", "alloc"].contains(on))
                .map(|on| format!("{name} with its feature \"{on}\"")),
        );
    }
    refused
}

fn named(features: &str) -> String {
    if features.is_empty() { "no features".to_owned() } else { format!("features {features}") }
}

fn probe_dir(name: &str) -> PathBuf {
    workspace().join("target/bare").join(name)
}

const PACKAGES: [&str; 2] = ["brickwire-core", "brickwire-memory"];
const TARGETS: [&str; 2] = ["thumbv7em-none-eabihf", "wasm32-unknown-unknown"];
/// The codec alone, each end alone, and both with what can be added.
const FEATURES: [&str; 6] = [
    "",
    "client,static-memory",
    "server,static-memory",
    "client,server",
    "client,server,log",
    "client,server,defmt",
];

/// Dependencies that are `no_std` and allocate nothing. A commit that adds one explains why.
const ALLOWED: &[&str] = &[
    "bitflags",
    "block-buffer",
    "brickwire-core",
    "brickwire-memory",
    "byteorder",
    "cfg-if",
    "crypto-common",
    "defmt",
    "digest",
    "generic-array",
    "hash32",
    "heapless",
    "log",
    "managed",
    "memchr",
    "nom",
    "portable-atomic",
    "rand_core",
    "rand_xoshiro",
    "sha2",
    "stable_deref_trait",
    "static_cell",
    "typenum",
];

const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_SOURCE: &str = "/usr/lib/rustlib/src/rust/library/core";

const PROBE_MANIFEST: &str = r#"[package]
name = "bare-probe"
version = "0.0.0"
edition = "2024"
publish = false

[lib]
crate-type = ["staticlib"]

[features]
client = ["brickwire-core/client"]
server = ["brickwire-core/server", "dep:brickwire-memory"]
log = ["brickwire-core/log"]
defmt = ["brickwire-core/defmt"]
static-memory = ["brickwire-core/static-memory"]

[dependencies]
brickwire-core = { path = "../../../core", default-features = false }
brickwire-memory = { path = "../../../adapters/memory", default-features = false, optional = true }

[profile.dev]
panic = "abort"

[workspace]
"#;

const PROBE_SOURCE: &str = "#![no_std]
use brickwire_core as _;
#[cfg(feature = \"server\")]
use brickwire_memory as _;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_that_nobody_vouched_for_is_named() {
        let tree = "brickwire-core v0.1.0 (/w/core)|\nnom v8.0.0|\nserde v1.0.0|\n";
        assert_eq!(strangers(tree), ["serde, which is not in the list of xtask/src/bare/mod.rs"]);
    }

    #[test]
    fn a_vouched_crate_with_its_allocator_on_is_named() {
        let tree = "nom v8.0.0|alloc,std (*)\nmemchr v2.0.0|\n";
        assert_eq!(
            strangers(tree),
            ["nom with its feature \"alloc\"", "nom with its feature \"std\""]
        );
    }
}
