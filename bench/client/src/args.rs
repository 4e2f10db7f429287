//! The options of this program beside the common ones.

use brickwire_bench_common::Failure;
use brickwire_bench_common::args::{Args as Common, Maxima, number};

pub(crate) const USAGE: &str = "\
usage: brickwire-bench-client --server HOST --volume V --path P --size BYTES
         [--rw read|write|randread|randwrite] [--bs N] [--iodepth N]
         [--runtime SECONDS | --operations N] [--connections 1|2]
       ... --remove           only remove the file
sizes take k, M and G; --skip-fini is accepted and does nothing";

/// One run.
pub(crate) struct Args {
    pub(crate) common: Common,
    pub(crate) connections: u8,
    /// Removes the file instead of measuring.
    pub(crate) remove: bool,
}

impl Args {
    pub(crate) fn parse(words: &mut dyn Iterator<Item = String>) -> Result<Self, Failure> {
        let (mut connections, mut remove) = (1, false);
        let maxima = Maxima { bs: 1 << 20, iodepth: 256 };
        let common = Common::parse(words, &maxima, |name, value| {
            match name {
                "--connections" => connections = number(name, &value()?, 2)? as u8,
                "--remove" => remove = true,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        if !remove && common.size < u64::from(common.bs) * common.iodepth as u64 {
            return Err("--size must hold --iodepth blocks of --bs".into());
        }
        Ok(Self { common, connections, remove })
    }
}
