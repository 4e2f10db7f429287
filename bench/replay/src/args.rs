//! The command line: the words of `gfapi_bench`, so that one script drives both.

use std::fmt;
use std::time::Duration;

use crate::Failure;

pub(crate) const USAGE: &str = "\
usage: brickwire-replay --server HOST|/SOCKET --volume V --path P --size BYTES
         [--rw read|write|randread|randwrite] [--bs N] [--iodepth N] [--runtime SECONDS]
         [--recv-buffer BYTES]
       ... --fill             write the file full of data, creating it
       ... --startstop N      only start and tear down, N times
       ... --sync-start-only  the same as --startstop 1
sizes take k, M and G; --skip-fini is accepted and does nothing";

/// What one run does.
pub(crate) struct Args {
    pub(crate) server: String,
    pub(crate) volume: String,
    pub(crate) path: String,
    pub(crate) mode: Mode,
    pub(crate) rw: Rw,
    pub(crate) bs: u32,
    pub(crate) size: u64,
    pub(crate) iodepth: usize,
    pub(crate) runtime: Duration,
    pub(crate) recv_buffer: Option<usize>,
}

/// The three things that the tool can do.
pub(crate) enum Mode {
    Measure,
    Fill,
    StartStop(u64),
}

/// fio's word for a workload.
#[derive(Clone, Copy)]
pub(crate) struct Rw {
    pub(crate) write: bool,
    pub(crate) random: bool,
}

impl fmt::Display for Rw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.random { "rand" } else { "" })?;
        f.write_str(if self.write { "write" } else { "read" })
    }
}

impl Args {
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let (mut server, mut volume, mut path) = (None, None, None);
        let mut args = Self {
            server: String::new(),
            volume: String::new(),
            path: String::new(),
            mode: Mode::Measure,
            rw: Rw { write: false, random: true },
            bs: 4096,
            size: 0,
            iodepth: 1,
            runtime: Duration::from_secs(5),
            recv_buffer: None,
        };
        while let Some(name) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{name} needs a value"));
            match name.as_str() {
                "--server" => server = Some(value()?),
                "--volume" => volume = Some(value()?),
                "--path" => path = Some(value()?),
                "--rw" => args.rw = rw(&value()?)?,
                "--bs" => args.bs = number(&name, &value()?, 16 << 20)? as u32,
                "--size" => args.size = number(&name, &value()?, i64::MAX as u64)?,
                "--iodepth" => args.iodepth = number(&name, &value()?, 1024)? as usize,
                "--runtime" => args.runtime = Duration::from_secs(number(&name, &value()?, 3600)?),
                "--recv-buffer" => {
                    args.recv_buffer = Some(number(&name, &value()?, 1 << 30)? as usize)
                }
                "--startstop" => args.mode = Mode::StartStop(number(&name, &value()?, 1000)?),
                "--sync-start-only" => args.mode = Mode::StartStop(1),
                "--fill" => args.mode = Mode::Fill,
                "--skip-fini" => {}
                _ => return Err(format!("{name} is no option")),
            }
        }
        args.server = server.ok_or("--server is missing")?;
        args.volume = volume.ok_or("--volume is missing")?;
        args.path = path.ok_or("--path is missing")?;
        let least = match args.mode {
            Mode::Measure => u64::from(args.bs),
            Mode::Fill => 1,
            Mode::StartStop(_) => 0,
        };
        if args.size < least {
            return Err("--size must hold at least one block of --bs".into());
        }
        Ok(args)
    }
}

fn rw(word: &str) -> Result<Rw, Failure> {
    Ok(match word {
        "read" => Rw { write: false, random: false },
        "write" => Rw { write: true, random: false },
        "randread" => Rw { write: false, random: true },
        "randwrite" => Rw { write: true, random: true },
        _ => return Err(format!("--rw {word}: expected read, write, randread or randwrite")),
    })
}

fn number(name: &str, text: &str, max: u64) -> Result<u64, Failure> {
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 10),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 20),
        Some(b'g' | b'G') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let good = |n: &u64| (1..=max >> shift).contains(n);
    match digits.parse().ok().filter(good) {
        Some(n) => Ok(n << shift),
        None => Err(format!("{name} {text}: expected a number from 1 to {max}")),
    }
}
