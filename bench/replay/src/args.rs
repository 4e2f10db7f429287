//! The options of this program beside the common ones.

use brickwire_bench_common::Failure;
use brickwire_bench_common::args::{Args as Common, Maxima, number};

pub(crate) const USAGE: &str = "\
usage: brickwire-replay --server HOST|/SOCKET --volume V --path P --size BYTES
         [--rw read|write|randread|randwrite] [--bs N] [--iodepth N]
         [--runtime SECONDS | --operations N] [--recv-buffer BYTES]
       ... --fill             write the file full of data, creating it
       ... --startstop N      only start and tear down, N times
       ... --sync-start-only  the same as --startstop 1
sizes take k, M and G; --skip-fini is accepted and does nothing";

/// One run.
pub(crate) struct Args {
    pub(crate) common: Common,
    pub(crate) mode: Mode,
    pub(crate) recv_buffer: Option<usize>,
}

/// The three things that the program can do.
pub(crate) enum Mode {
    Measure,
    Fill,
    StartStop(u64),
}

impl Args {
    pub(crate) fn parse(words: &mut dyn Iterator<Item = String>) -> Result<Self, Failure> {
        let (mut mode, mut recv_buffer) = (Mode::Measure, None);
        let maxima = Maxima { bs: 16 << 20, iodepth: 1024 };
        let common = Common::parse(words, &maxima, |name, value| {
            match name {
                "--recv-buffer" => recv_buffer = Some(number(name, &value()?, 1 << 30)? as usize),
                "--startstop" => mode = Mode::StartStop(number(name, &value()?, 1000)?),
                "--sync-start-only" => mode = Mode::StartStop(1),
                "--fill" => mode = Mode::Fill,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        let least = match mode {
            Mode::Measure => u64::from(common.bs),
            Mode::Fill => 1,
            Mode::StartStop(_) => 0,
        };
        if common.size < least {
            return Err("--size must hold at least one block of --bs".into());
        }
        Ok(Self { common, mode, recv_buffer })
    }
}
