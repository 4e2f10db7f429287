//! Measures `brickwire serve` beside glusterfsd, and beside an NBD server of one file.
//!
//! Client, disk, file and options are the same for both servers (fio's gfapi engine on the C
//! library, then our own client), and within a round one server follows the other.

mod nbd;
mod process;
mod report;
mod tools;

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::cluster::Cluster;
use crate::command::{cargo, run, workspace};
use crate::measure::{load, target};
use crate::servers::{Brickwire, Glusterfsd};
use nbd::Nbd;
use process::Memory;
use tools::{Gfapi, Sample};

/// Measures, prints the tables and writes them to `docs/bench-serve.md`.
pub fn bench_serve(seconds: f64, rounds: usize) -> Result<()> {
    if seconds < 0.5 || rounds == 0 {
        bail!("--seconds must be at least 0.5, --rounds at least 1");
    }
    run(cargo().args(["build", "--release", "-p", "brickwire"]))?;
    let ours = target().join("release/brickwire");
    let gfapi = Gfapi::prepare(&target().join("bench"))?;
    let cluster = Cluster::attach_or_up()?;
    let bench = Bench { cluster, ours, gfapi, seconds, rounds };
    let before = load();
    let text = bench.measure()?.report(&bench, &before)?;
    println!("\n{text}");
    std::fs::write(workspace().join(REPORT), text)
        .with_context(|| format!("{REPORT} cannot be written"))
}

const REPORT: &str = "docs/bench-serve.md";
const VOLUME: &str = "bench-serve";
/// The file that all clients use.
const FILE: &str = "f";
const SIZE: &str = "256M";

/// A workload.
struct Case {
    rw: &'static str,
    bs: &'static str,
    depth: u32,
}

impl Case {
    fn name(&self) -> String {
        format!("{} {}, depth {}", self.rw, self.bs, self.depth)
    }

    fn is_small(&self) -> bool {
        self.bs == "4k"
    }
}

const CASES: [Case; 6] = [
    Case { rw: "randread", bs: "4k", depth: 1 },
    Case { rw: "randread", bs: "4k", depth: 32 },
    Case { rw: "randwrite", bs: "4k", depth: 1 },
    Case { rw: "randwrite", bs: "4k", depth: 32 },
    Case { rw: "read", bs: "1M", depth: 4 },
    Case { rw: "write", bs: "1M", depth: 4 },
];

/// A set of volume options, the same for both servers.
struct Variant {
    name: &'static str,
    what: &'static str,
    options: &'static [(&'static str, &'static str)],
    /// Only the small cases: large transfers give the same result as with the defaults.
    small: bool,
}

const VARIANTS: [Variant; 2] = [
    Variant {
        name: "defaults",
        what: "no option is set: write-behind, open-behind, quick-read, md-cache and io-threads \
            work in the client",
        options: &[],
        small: false,
    },
    Variant {
        name: "bare",
        what: "every performance translator of the client is off, so each request of the program \
            reaches the \
               server",
        options: &[
            ("performance.quick-read", "off"),
            ("performance.io-cache", "off"),
            ("performance.read-ahead", "off"),
            ("performance.stat-prefetch", "off"),
            ("performance.write-behind", "off"),
            ("performance.open-behind", "off"),
            ("performance.readdir-ahead", "off"),
            ("performance.client-io-threads", "off"),
        ],
        small: true,
    },
];

struct Bench {
    cluster: Cluster,
    ours: std::path::PathBuf,
    gfapi: Gfapi,
    seconds: f64,
    rounds: usize,
}

/// The samples of one case for each server.
struct Measure<const N: usize> {
    case: &'static Case,
    samples: [Vec<Sample>; N],
}

struct Measured {
    /// For each variant: glusterfsd and ours.
    gfapi: Vec<(&'static Variant, Vec<Measure<2>>)>,
    /// Memory of glusterfsd and of our server, with default options.
    memory: [Memory; 2],
    /// Our client on glusterfsd and on ours, and fio on nbdkit if it is installed.
    own: Vec<Measure<3>>,
    /// System calls of one operation: glusterfsd's and ours.
    calls: Vec<(&'static Case, [f64; 2])>,
}

impl Bench {
    fn measure(&self) -> Result<Measured> {
        let real = Glusterfsd::start(&self.cluster, VOLUME)?;
        let result = self.measure_beside(&real);
        let removed = real.remove();
        let measured = result?;
        removed?;
        Ok(measured)
    }

    fn measure_beside(&self, real: &Glusterfsd<'_>) -> Result<Measured> {
        let dir = real.sibling("bench-serve-ours");
        let _absent = std::fs::remove_dir_all(&dir);
        let mut gfapi = Vec::new();
        let (mut memory, mut own, mut calls) = (None, Vec::new(), Vec::new());
        for variant in &VARIANTS {
            real.set(variant.options)?;
            let ours = Brickwire::start(&self.ours, &[(VOLUME, &dir)], variant.options)?;
            if gfapi.is_empty() {
                for server in [real.server(), ours.server(VOLUME)] {
                    self.gfapi.fill(server)?;
                }
            }
            let cases = CASES.iter().filter(|case| !variant.small || case.is_small());
            let measured = self.in_turns(cases, |at, case| {
                let server = [real.server(), ours.server(VOLUME)][at];
                Ok(Some(self.gfapi.measure(server, case, self.seconds)?))
            })?;
            if variant.small {
                own = self.own(real, &ours, &dir)?;
                calls = self.calls(real, &ours)?;
            } else {
                memory =
                    Some([Memory::of(real.server().pid)?, Memory::of(ours.server(VOLUME).pid)?]);
            }
            gfapi.push((variant, measured));
        }
        std::fs::remove_dir_all(&dir)?;
        let memory = memory.context("no variant measures memory")?;
        Ok(Measured { gfapi, memory, own, calls })
    }

    /// Our client, and fio on nbdkit.
    fn own(&self, real: &Glusterfsd<'_>, ours: &Brickwire, dir: &Path) -> Result<Vec<Measure<3>>> {
        let nbd = Nbd::start(&dir.join(FILE))?;
        self.in_turns(CASES.iter(), |at, case| match at {
            0 => tools::own(&self.ours, real.server(), case, self.seconds).map(Some),
            1 => tools::own(&self.ours, ours.server(VOLUME), case, self.seconds).map(Some),
            _ => nbd.as_ref().map(|nbd| tools::nbd(nbd, case, self.seconds)).transpose(),
        })
    }

    /// Runs every case in rounds, and within a round with one server after the other; each round
    /// begins with another server.
    fn in_turns<const N: usize>(
        &self,
        cases: impl Iterator<Item = &'static Case>,
        measure: impl Fn(usize, &'static Case) -> Result<Option<Sample>>,
    ) -> Result<Vec<Measure<N>>> {
        let mut all: Vec<Measure<N>> = cases
            .map(|case| Measure { case, samples: std::array::from_fn(|_| Vec::new()) })
            .collect();
        for round in 0..self.rounds {
            for each in &mut all {
                let mut line =
                    format!("round {} of {}: {}:", round + 1, self.rounds, each.case.name());
                for at in (0..N).map(|turn| (turn + round) % N) {
                    let Some(sample) = measure(at, each.case)? else { continue };
                    line += &format!(
                        "  [{at}] {:.0} a second, {:.3} CPU s",
                        sample.iops, sample.server_cpu
                    );
                    each.samples[at].push(sample);
                }
                println!("{line}");
            }
        }
        Ok(all)
    }

    fn calls(
        &self,
        real: &Glusterfsd<'_>,
        ours: &Brickwire,
    ) -> Result<Vec<(&'static Case, [f64; 2])>> {
        let small = CASES.iter().filter(|case| case.is_small());
        small
            .map(|case| {
                let count = |server| tools::system_calls(&self.gfapi, server, case);
                Ok((case, [count(real.server())?, count(ours.server(VOLUME))?]))
            })
            .collect()
    }
}
