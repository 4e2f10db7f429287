//! Checks the code that a firmware gets: no panic can be reached in it, its stack is bounded, and
//! its tables take no flash.
//!
//! A probe crate uses all of the client (`firmware_probe.rs`). It is compiled for a Cortex-M4 as a
//! firmware would be, with the whole program optimized at once, and the check reads the assembly.

use anyhow::{Context, Result, bail};

use super::assembly::Assembly;
use super::{means_for, probe_dir, write_crate};
use crate::command::run;

pub(super) fn firmware() -> Result<()> {
    let dir = probe_dir("firmware");
    write_crate(&dir, MANIFEST, include_str!("firmware_probe.rs"))?;
    let means = means_for(TARGET)?;
    for (level, panics_max) in LEVELS {
        println!("a firmware with the client for {TARGET}, opt-level {level} ({})", means.name());
        let output = dir.join(format!("probe-{level}.s"));
        if output.exists() {
            std::fs::remove_file(&output).with_context(|| output.display().to_string())?;
        }
        let mut build = means.cargo(&dir);
        build.args(["rustc", "--quiet", "--release", "--target", TARGET, "--"]);
        build.arg(format!("--emit=asm={}", output.display()));
        build.args(["-Csymbol-mangling-version=v0", "-Zemit-stack-sizes"]);
        build.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", level).env("RUSTC_BOOTSTRAP", "1");
        run(&mut build)?;
        let text =
            std::fs::read_to_string(&output).with_context(|| output.display().to_string())?;
        judge(&Assembly::parse(&text), panics_max)?;
    }
    Ok(())
}

fn judge(assembly: &Assembly, panics_max: usize) -> Result<()> {
    let panics = assembly.panics();
    let count: usize = panics.values().sum();
    if count > panics_max {
        let callers: Vec<String> =
            panics.iter().map(|(symbol, calls)| format!("{calls} in {symbol}")).collect();
        bail!("{count} calls of panics, {panics_max} are allowed: {}", callers.join(", "));
    }
    if let Some((symbol, bytes)) = assembly.data.iter().find(|(_, bytes)| **bytes > DATA_MAX) {
        bail!("{symbol} is copied from flash: {bytes} bytes, {DATA_MAX} are allowed");
    }
    let mut deepest = ("", 0);
    for symbol in assembly.named("probe_") {
        let stack = assembly.deepest(symbol);
        if stack > deepest.1 {
            deepest = (symbol, stack);
        }
    }
    let constructor = assembly.deepest("probe_new");
    println!(
        "{count} calls of panics; stack: {constructor} bytes for the constructor, {} at most ({})",
        deepest.1, deepest.0
    );
    if constructor == 0 || deepest.1 == 0 {
        bail!("the assembly has no frame of probe_new: its format has changed");
    }
    if constructor > CONSTRUCTOR_STACK_MAX || deepest.1 > STACK_MAX {
        bail!("at most {CONSTRUCTOR_STACK_MAX} and {STACK_MAX} bytes of stack are allowed");
    }
    Ok(())
}

const TARGET: &str = "thumbv7em-none-eabihf";
/// Levels of optimization, and the calls of panics that are allowed. At `z` the compiler does not
/// inline enough to see that `copy_from_slice` and the seeding of the random numbers cannot panic.
const LEVELS: [(&str, usize); 3] = [("s", 0), ("3", 0), ("z", 4)];
/// The largest static that is copied from flash: a configuration, whose defaults are not zero.
const DATA_MAX: u64 = 2048;
const CONSTRUCTOR_STACK_MAX: u64 = 4608;
const STACK_MAX: u64 = 7808;

const MANIFEST: &str = r#"[package]
name = "firmware-probe"
version = "0.0.0"
edition = "2024"
publish = false

[lib]
crate-type = ["staticlib"]

[dependencies.brickwire-core]
path = "../../../core"
default-features = false
features = ["client", "static-memory"]

[profile.release]
panic = "abort"
lto = "fat"
codegen-units = 1
opt-level = "s"

[workspace]
"#;

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(text: &str) -> String {
        judge(&Assembly::parse(text), 0).map_or_else(|error| error.to_string(), |()| String::new())
    }

    #[test]
    fn code_that_panics_or_takes_too_much_is_refused() {
        let frame = |bytes: u32| {
            let section = "\t.section\t.text.probe_new\nprobe_new:\n\t.section\t.stack_sizes\n";
            format!("{section}\t.byte\t{bytes}\n")
        };
        assert_eq!(judged(&frame(72)), "");
        assert!(judged(&frame(4609)).contains("4608"));
        let panic = "\t.section\t.text.f\nf:\n\tbl\t_RNvNtC4core9panicking9panic_fmt\n";
        assert!(judged(&(frame(72) + panic)).contains("1 in f"));
        let data = "\t.section\t.data.T\nT:\n\t.size\tT, 3000\n";
        assert!(judged(&(frame(72) + data)).contains("T is copied from flash"));
        assert!(judged("").contains("format"), "nothing to judge is no success");
    }
}
