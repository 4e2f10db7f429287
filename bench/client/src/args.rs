//! The command line: the words of `gfapi_bench`, and what only we have.

use std::fmt;
use std::time::Duration;

use crate::Failure;

pub(crate) const USAGE: &str = "\
usage: brickwire-bench-client --server HOST --volume V --path P --size BYTES
         [--rw read|write|randread|randwrite] [--bs N] [--iodepth N]
         [--runtime SECONDS | --operations N] [--connections 1|2]
       ... --remove           only remove the file
sizes take k, M and G; --skip-fini is accepted and does nothing";

/// What one run does.
pub(crate) struct Args {
    pub(crate) server: String,
    pub(crate) volume: String,
    pub(crate) path: String,
    pub(crate) rw: Rw,
    pub(crate) bs: usize,
    pub(crate) size: u64,
    pub(crate) iodepth: usize,
    pub(crate) end: End,
    pub(crate) connections: u8,
    pub(crate) remove: bool,
}

/// When it is enough.
#[derive(Clone, Copy)]
pub(crate) enum End {
    After(Duration),
    /// So many: what instructions are counted with.
    Operations(u64),
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
            rw: Rw { write: false, random: true },
            bs: 4096,
            size: 0,
            iodepth: 1,
            end: End::After(Duration::from_secs(5)),
            connections: 1,
            remove: false,
        };
        while let Some(name) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{name} needs a value"));
            match name.as_str() {
                "--server" => server = Some(value()?),
                "--volume" => volume = Some(value()?),
                "--path" => path = Some(value()?),
                "--rw" => args.rw = rw(&value()?)?,
                "--bs" => args.bs = number(&name, &value()?, 1 << 20)? as usize,
                "--size" => args.size = number(&name, &value()?, i64::MAX as u64)?,
                "--iodepth" => args.iodepth = number(&name, &value()?, 256)? as usize,
                "--runtime" => {
                    args.end = End::After(Duration::from_secs(number(&name, &value()?, 3600)?));
                }
                "--operations" => args.end = End::Operations(number(&name, &value()?, 1 << 40)?),
                "--connections" => args.connections = number(&name, &value()?, 2)? as u8,
                "--remove" => args.remove = true,
                "--skip-fini" => {}
                _ => return Err(format!("{name} is no option")),
            }
        }
        args.server = server.ok_or("--server is missing")?;
        args.volume = volume.ok_or("--volume is missing")?;
        args.path = path.ok_or("--path is missing")?;
        if !args.remove && args.size < args.bs as u64 * args.iodepth as u64 {
            return Err("--size must hold --iodepth blocks of --bs".into());
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
    match digits.parse().ok().filter(|n| (1..=max >> shift).contains(n)) {
        Some(n) => Ok(n << shift),
        None => Err(format!("{name} {text}: expected a number from 1 to {max}")),
    }
}
