//! Counts the instructions of an operation. The count does not depend on the load of the machine,
//! so it shows whether a change made the client cheaper.
//!
//! Valgrind counts two runs that differ only in the number of operations. The core alone runs
//! against canned replies, without sockets (`core/benches/instructions.rs`); the whole client, if a
//! cluster is up, against a real brick, including its loop and libc, without the kernel.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cluster::Cluster;
use crate::command::{capture, cargo, line, read, run, workspace};

/// A row of the table.
pub(super) struct Counted {
    pub(super) what: String,
    pub(super) core: u64,
    pub(super) client: Option<u64>,
}

/// Counts and prints the table.
pub fn instructions() -> Result<()> {
    let rows = match Cluster::attach()? {
        Some(cluster) => with_client(&cluster)?,
        None => {
            println!("no cluster is up (`cargo xtask cluster up`): only the core is counted");
            count(None)?
        }
    };
    let mut text = String::new();
    write_table(&mut text, &rows)?;
    println!("\n{text}");
    Ok(())
}

fn with_client(cluster: &Cluster) -> Result<Vec<Counted>> {
    let release = ["build", "--release", "-p", "brickwire-bench-client", "-p", "brickwire-replay"];
    run(cargo().args(release))?;
    let program = |name: &str| workspace().join("target/release").join(name);
    let path = format!("/xtask-instructions-{}.img", std::process::id());
    read(super::on(&program("brickwire-replay"), cluster.host(), &path).arg("--fill"))?;
    let client = || super::on(&program("brickwire-bench-client"), cluster.host(), &path);
    let rows = count(Some(&client));
    read(client().arg("--remove"))?;
    rows
}

/// Writes the table as Markdown.
pub(super) fn write_table(t: &mut String, rows: &[Counted]) -> std::fmt::Result {
    use std::fmt::Write as _;
    writeln!(t, "| operation | core | whole client |\n|---|---:|---:|")?;
    for Counted { what, core, client } in rows {
        let client = client.map_or_else(|| "not counted".into(), |n| n.to_string());
        writeln!(t, "| {what} | {core} | {client} |")?;
    }
    Ok(())
}

/// Counts. `client` gives the command of the client's program, if that is to be counted.
pub(super) fn count(client: Option<&dyn Fn() -> Command>) -> Result<Vec<Counted>> {
    let core = build_core()?;
    let mut rows = Vec::new();
    for (rw, depth) in [("read", 1), ("write", 1), ("read", 32), ("write", 32)] {
        let depth = format!("{depth}");
        let of_core = difference(|n| {
            let mut command = Command::new(&core);
            command.args([rw, &depth, n]);
            command
        })?;
        let of_client = client.map(|client| {
            difference(|n| {
                let mut command = client();
                let rw = format!("rand{rw}");
                command.args(["--rw", &rw, "--bs", "4k", "--iodepth", &depth, "--operations", n]);
                command
            })
        });
        let what = format!("{rw} of 4k, depth {depth}");
        rows.push(Counted { what, core: of_core, client: of_client.transpose()? });
    }
    Ok(rows)
}

const FEW: u64 = 2_000;
const MORE: u64 = 8_000;

/// Instructions of one operation: the difference of two runs.
fn difference(command: impl Fn(&str) -> Command) -> Result<u64> {
    let [few, more] = [FEW, MORE].map(|n| collected(&command(&n.to_string())));
    Ok((more?.saturating_sub(few?)) / (MORE - FEW))
}

/// The instructions of one run.
fn collected(command: &Command) -> Result<u64> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    valgrind.arg(command.get_program()).args(command.get_args());
    let output = capture(&mut valgrind)
        .context("instructions are counted with valgrind: apt install valgrind")?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("`{}` failed: {}", line(&valgrind), said.lines().last().unwrap_or_default());
    }
    let count =
        said.lines().find_map(|line| line.split_once("Collected : ")).map(|(_, count)| count);
    count
        .and_then(|count| count.trim().parse().ok())
        .with_context(|| format!("`{}` counted nothing", line(&valgrind)))
}

/// Builds the core's bench program; returns its path.
fn build_core() -> Result<PathBuf> {
    let mut build = cargo();
    build.args([
        "bench",
        "-p",
        "brickwire-core",
        "--bench",
        "instructions",
        "--no-run",
        "--message-format=json",
    ]);
    let said = read(&mut build)?;
    let program = said
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .find_map(|message| {
            let ours = message["target"]["name"] == "instructions";
            message["executable"]
                .as_str()
                .filter(|_| ours)
                .map(|path| Path::new(path).to_path_buf())
        });
    program.context("cargo built no bench `instructions`")
}
