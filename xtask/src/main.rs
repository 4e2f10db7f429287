//! The command line of `cargo xtask`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use xtask::ci::Stage;
use xtask::cluster::{self, Cluster, UpOptions};
use xtask::fuzz::Campaign;
use xtask::peers::{Peers, Suite};
use xtask::sim::Simulation;

/// Chores of brickwire; each prints how to repeat it.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
enum Chore {
    /// Runs all checks that a change must pass
    Ci {
        /// Only this stage (may be repeated)
        #[arg(long, value_name = "STAGE")]
        only: Vec<Stage>,
    },
    /// Manages a private GlusterFS on this machine, for tests
    #[command(subcommand)]
    Cluster(ClusterChore),
    /// Builds the core for targets without an operating system
    Bare,
    /// Runs the fuzz targets, keeps their corpora and reports what they found
    ///
    /// Every target has one turn of --seconds, or turns one after the other until --hours are over.
    /// Findings go to target/fuzz/findings, each with the command that repeats it.
    Fuzz {
        /// Length of one target's turn
        #[arg(long, value_name = "S", default_value_t = 60,
              value_parser = clap::value_parser!(u64).range(1..))]
        seconds: u64,
        /// Repeats the turns for so many hours altogether
        #[arg(long, value_name = "N")]
        hours: Option<f64>,
        /// Only this target (may be repeated)
        #[arg(long, value_name = "T")]
        target: Vec<String>,
        /// Where the corpora are kept between runs [default: target/fuzz/corpus]
        #[arg(long, value_name = "DIR")]
        corpus: Option<PathBuf>,
        /// Puts minimised corpora into fuzz/seeds, at most 128 inputs and 64 KiB for each target
        #[arg(long)]
        minimise: bool,
    },
    /// Plays clients against bricks in virtual time, and checks what is promised
    ///
    /// Each seed is a world of its own: docs/design/simulation.md.
    Sim {
        /// Number of seeds [default: 1,000, or 1 with --seed]
        #[arg(long, value_name = "N")]
        seeds: Option<u64>,
        /// The first seed [default: 0]
        #[arg(long, value_name = "S")]
        seed: Option<u64>,
        /// Prints every event of one seed
        #[arg(long)]
        trace: bool,
        /// Runs with a deliberately broken part
        #[arg(long, value_name = "NAME")]
        mutant: Option<String>,
    },
    /// Runs suites of other projects on our server beside glusterfsd, and writes docs/peers.md
    ///
    /// pjdfstest and fsx are installed from crates, QEMU's iotests come from Debian's source
    /// package, Samba and NFS-Ganesha are installed packages, and the others come from --dir.
    /// Tests that fail on ours only make this fail.
    Peers {
        /// Only this suite (may be repeated) [default: all that are at hand]
        #[arg(long, value_name = "SUITE")]
        suite: Vec<Suite>,
        /// Directory with built suites: bin/pjdfstest, bin/fsx, xfstests, ltp, qemu
        #[arg(long)]
        dir: Option<PathBuf>,
        /// Only tests whose name contains this; writes nothing
        #[arg(long, value_name = "TEXT")]
        only: Option<String>,
        /// Stops each suite after so many minutes; results of earlier runs stay in the report
        #[arg(long, value_name = "N")]
        minutes: Option<u64>,
    },
    /// Kills our server repeatedly under clients that write, and checks what is left
    Powercut {
        /// Duration in seconds
        #[arg(long, default_value_t = 600)]
        seconds: u64,
    },
    /// Gives our server a thousand connections and ten thousand open files, and checks its memory
    SoakServe {
        /// Duration in seconds
        #[arg(long, default_value_t = 600)]
        seconds: u64,
    },
    /// Measures our client beside the C library and the brick's upper bound, writes docs/bench.md
    Bench {
        /// Seconds of each run
        #[arg(long, default_value_t = 3)]
        seconds: u64,
        /// Rounds of each case
        #[arg(long, default_value_t = 3)]
        rounds: usize,
        /// Only counts instructions, which do not depend on other load; writes nothing
        #[arg(long)]
        instructions: bool,
        /// Runs in a network namespace (the default if another glusterd has port 24007)
        #[arg(long)]
        isolated: bool,
    },
    /// Builds a Debian package: program, man pages, completions, systemd unit
    Package {
        /// The cargo profile; a package of `dev` is for trying the packaging only
        #[arg(long, default_value = "release")]
        profile: String,
    },
    /// Measures our server beside glusterfsd and nbdkit, and writes docs/bench-serve.md
    BenchServe {
        /// Seconds of each run
        #[arg(long, default_value_t = 1.0)]
        seconds: f64,
        /// Rounds of each case
        #[arg(long, default_value_t = 3)]
        rounds: usize,
    },
}

#[derive(Subcommand)]
enum ClusterChore {
    /// Brings the cluster up, or repairs the one that is up
    Up {
        /// Directory of the cluster [default: target/cluster]
        #[arg(long)]
        dir: Option<PathBuf>,
        /// The bricks' host name; with 4 and 6 appended, names for one address family
        #[arg(long, value_name = "NAME", default_value = cluster::PREFIX)]
        prefix: String,
    },
    /// Ends the cluster's processes and removes its files
    Down {
        /// Directory of the cluster, if it was brought up from another workspace
        #[arg(long)]
        dir: Option<PathBuf>,
    },
    /// Prints processes, ports and volumes
    Status {
        /// Prints state.json
        #[arg(long)]
        json: bool,
    },
    /// Kills, starts, freezes or thaws the bricks of a volume
    #[command(subcommand)]
    Brick(BrickChore),
    /// Kills or starts glusterd
    #[command(subcommand)]
    Glusterd(GlusterdChore),
    /// Runs gluster's command line on the cluster
    Gluster {
        /// Arguments of gluster
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        args: Vec<String>,
    },
}

#[derive(Subcommand)]
enum BrickChore {
    /// SIGKILL
    Kill {
        /// Name of the volume
        volume: String,
        /// Index of one brick, from 0 [default: all]
        index: Option<usize>,
    },
    /// Starts dead bricks with `volume start force`
    Start {
        /// Name of the volume
        volume: String,
    },
    /// Sends SIGSTOP: connections stay up, and nothing answers
    Freeze {
        /// Name of the volume
        volume: String,
    },
    /// Sends SIGCONT
    Thaw {
        /// Name of the volume
        volume: String,
    },
}

#[derive(Clone, Copy, Subcommand)]
enum GlusterdChore {
    /// Sends SIGKILL; bricks continue
    Kill,
    /// Starts glusterd, which starts dead bricks as well
    Start,
}

fn main() -> ExitCode {
    let chore = Chore::parse();
    let repeatable = !matches!(chore, Chore::Cluster(_));
    let result = match chore {
        Chore::Ci { only } => xtask::ci::ci(&only),
        Chore::Cluster(chore) => cluster(chore),
        Chore::Bare => xtask::bare::bare(),
        Chore::Fuzz { seconds, hours, target, corpus, minimise } => {
            hours.map(Duration::try_from_secs_f64).transpose().context("--hours").and_then(
                |hours| {
                    xtask::fuzz::fuzz(&Campaign {
                        turn: Duration::from_secs(seconds),
                        total: hours.map(|hours| hours * 3600),
                        targets: target,
                        corpora: corpus.unwrap_or_else(xtask::fuzz::default_corpora),
                        minimise,
                    })
                },
            )
        }
        Chore::Sim { seeds, seed, trace, mutant } => {
            let alone = trace || (seed.is_some() && seeds.is_none());
            let seeds = if alone { 1 } else { seeds.unwrap_or(1_000) };
            xtask::sim::sim(&Simulation { seeds, seed, trace, mutant })
        }
        Chore::Peers { suite, dir, only, minutes } => {
            let time = minutes.map(|minutes| Duration::from_secs(minutes * 60));
            xtask::peers::peers(&Peers { suites: suite, dir, only, time })
        }
        Chore::Powercut { seconds } => xtask::ci::powercut(seconds),
        Chore::SoakServe { seconds } => xtask::ci::soak_serve(seconds),
        Chore::Bench { instructions: true, .. } => xtask::bench::instructions(),
        Chore::Bench { seconds, rounds, isolated, .. } => {
            xtask::bench::bench(seconds, rounds, isolated)
        }
        Chore::Package { profile } => xtask::package::package(&profile).map(drop),
        Chore::BenchServe { seconds, rounds } => xtask::bench_serve::bench_serve(seconds, rounds),
    };
    let words = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
    if repeatable {
        println!("repeat with: cargo xtask {words}");
    }
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cargo xtask {words}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn cluster(chore: ClusterChore) -> Result<()> {
    match chore {
        ClusterChore::Up { dir, prefix } => {
            let mut cluster = Cluster::up(&UpOptions { dir, prefix })?;
            println!(
                "{}{}",
                if cluster.is_ours() { "" } else { "it was up already\n" },
                cluster.state()
            );
            println!("down with   cargo xtask cluster down");
            cluster.keep();
            Ok(())
        }
        ClusterChore::Down { dir } => {
            match Cluster::down(dir.as_deref())? {
                Some(dir) => {
                    println!(
                        "the cluster in {} is gone; up with: cargo xtask cluster up",
                        dir.display()
                    )
                }
                None => println!("no cluster is up; up with: cargo xtask cluster up"),
            }
            Ok(())
        }
        ClusterChore::Status { json } => {
            match Cluster::status()? {
                Some(state) if json => println!("{}", serde_json::to_string_pretty(&state)?),
                Some(state) => println!("{state}"),
                None => bail!("no cluster is up: bring one up with `cargo xtask cluster up`"),
            }
            Ok(())
        }
        ClusterChore::Brick(chore) => brick(&chore),
        ClusterChore::Glusterd(GlusterdChore::Kill) => current()?.kill_glusterd(),
        ClusterChore::Glusterd(GlusterdChore::Start) => current()?.start_glusterd(),
        ClusterChore::Gluster { args } => {
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            print!("{}", current()?.gluster(&args)?);
            Ok(())
        }
    }
}

fn brick(chore: &BrickChore) -> Result<()> {
    let mut cluster = current()?;
    match chore {
        BrickChore::Kill { volume, index: None } => cluster.kill_brick(volume),
        BrickChore::Kill { volume, index: Some(index) } => cluster.kill_brick_at(volume, *index),
        BrickChore::Start { volume } => cluster.start_brick(volume),
        BrickChore::Freeze { volume } => cluster.freeze_brick(volume),
        BrickChore::Thaw { volume } => cluster.thaw_brick(volume),
    }
}

/// The cluster without repairs.
fn current() -> Result<Cluster> {
    Cluster::current()?.context("no cluster is up: bring one up with `cargo xtask cluster up`")
}
