//! `brickwire bench`: options named as fio names them.

use std::time::Duration;

use clap::ValueEnum;

use super::{Connection, seconds};
use crate::size;

/// Measures operations a second, bytes a second and latencies. Options are named as fio's.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  brickwire bench gluster://node1/vms/bench.tmp --rw randread --iodepth 32
  brickwire bench gluster://node1/vms/bench.tmp --rw randwrite --fsync 1 --runtime 10")]
pub(crate) struct Bench {
    /// The file to use; one that does not exist is made, and removed at the end
    pub(crate) uri: String,
    /// The kind of operations
    #[arg(long, value_enum, default_value_t = Rw::Randread)]
    pub(crate) rw: Rw,
    /// Bytes of one operation
    #[arg(long, default_value = "4k", value_parser = size::parse)]
    pub(crate) bs: u64,
    /// Operations in flight, from 1 to 256
    #[arg(long, default_value_t = 1, value_parser = iodepth)]
    pub(crate) iodepth: u32,
    /// Seconds to measure for
    #[arg(long, default_value = "5", value_parser = seconds)]
    pub(crate) runtime: Duration,
    /// Bytes of the file that are used
    #[arg(long, default_value = "256M", value_parser = size::parse)]
    pub(crate) size: u64,
    /// Flush after this number of writes; 0 never flushes
    #[arg(long, default_value_t = 0)]
    pub(crate) fsync: u64,
    /// Percentage of reads, for randrw
    #[arg(long, default_value_t = 50, value_parser = percentage)]
    pub(crate) rwmixread: u8,
    /// Write patterns that name their place; check every read and, at the end, every block
    #[arg(long)]
    pub(crate) verify: bool,
    /// Write to a file that exists: its contents are lost
    #[arg(long)]
    pub(crate) overwrite: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// The operations of a benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Rw {
    /// Read in order
    Read,
    /// Write in order
    Write,
    /// Read at random offsets
    Randread,
    /// Write at random offsets
    Randwrite,
    /// Read and write at random offsets
    Randrw,
}

fn iodepth(text: &str) -> Result<u32, String> {
    let depth = text.parse().ok().filter(|depth| (1..=256).contains(depth));
    depth.ok_or_else(|| "expected a number from 1 to 256".to_owned())
}

fn percentage(text: &str) -> Result<u8, String> {
    let percent = text.parse().ok().filter(|percent| *percent <= 100);
    percent.ok_or_else(|| "expected a number from 0 to 100".to_owned())
}
