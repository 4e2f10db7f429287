//! The options that all programs take: which file, which workload, for how long.

use std::fmt;
use std::time::{Duration, Instant};

use crate::Failure;

/// The file and the workload of one run.
pub struct Args {
    /// Host name of glusterd, or the path of its unix socket.
    pub server: String,
    /// Name of the volume.
    pub volume: String,
    /// Path of the file in the volume.
    pub path: String,
    /// Kind of operation and order of the blocks.
    pub rw: Rw,
    /// Bytes of one operation.
    pub bs: u32,
    /// Bytes of the file that are used.
    pub size: u64,
    /// Operations in flight.
    pub iodepth: usize,
    /// When the run ends.
    pub end: End,
}

/// When a run ends.
#[derive(Clone, Copy)]
pub enum End {
    /// After this time.
    After(Duration),
    /// After this number of operations, which is how instructions are counted.
    Operations(u64),
}

impl End {
    /// Whether a run that began at `begun` begins a further operation, having begun `operations`.
    pub fn goes_on(self, begun: Instant, now: Instant, operations: u64) -> bool {
        match self {
            Self::After(time) => now - begun < time,
            Self::Operations(most) => operations < most,
        }
    }
}

/// A workload in fio's words.
#[derive(Clone, Copy)]
pub struct Rw {
    /// Writes rather than reads.
    pub write: bool,
    /// Blocks in random order rather than one after the other.
    pub random: bool,
}

impl fmt::Display for Rw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.random { "rand" } else { "" })?;
        f.write_str(if self.write { "write" } else { "read" })
    }
}

/// The largest values that a program takes.
pub struct Maxima {
    /// Of `--bs`.
    pub bs: u32,
    /// Of `--iodepth`.
    pub iodepth: u64,
}

/// The value of the option at hand, asked for by options that have one.
pub type Value<'a> = dyn FnMut() -> Result<String, Failure> + 'a;

impl Args {
    /// Parses a command line. `own` is offered every option first, and says whether it is one of
    /// the program's own.
    pub fn parse(
        words: &mut dyn Iterator<Item = String>,
        maxima: &Maxima,
        mut own: impl FnMut(&str, &mut Value<'_>) -> Result<bool, Failure>,
    ) -> Result<Self, Failure> {
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
        };
        while let Some(name) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{name} needs a value"));
            if own(&name, &mut value)? {
                continue;
            }
            match name.as_str() {
                "--server" => server = Some(value()?),
                "--volume" => volume = Some(value()?),
                "--path" => path = Some(value()?),
                "--rw" => args.rw = rw(&value()?)?,
                "--bs" => args.bs = number(&name, &value()?, u64::from(maxima.bs))? as u32,
                "--size" => args.size = number(&name, &value()?, i64::MAX as u64)?,
                "--iodepth" => args.iodepth = number(&name, &value()?, maxima.iodepth)? as usize,
                "--runtime" => {
                    args.end = End::After(Duration::from_secs(number(&name, &value()?, 3600)?));
                }
                "--operations" => args.end = End::Operations(number(&name, &value()?, 1 << 40)?),
                // Only the C library has a `glfs_fini` that takes seconds.
                "--skip-fini" => {}
                _ => return Err(format!("{name} is not an option")),
            }
        }
        args.server = server.ok_or("--server is missing")?;
        args.volume = volume.ok_or("--volume is missing")?;
        args.path = path.ok_or("--path is missing")?;
        Ok(args)
    }

    /// Whole blocks of `--bs` in the file.
    pub fn blocks(&self) -> u64 {
        self.size / u64::from(self.bs)
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

/// A number from 1 to `max` for the option `name`; k, M and G stand for powers of 1024.
pub fn number(name: &str, text: &str, max: u64) -> Result<u64, Failure> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args, Failure> {
        let maxima = Maxima { bs: 1 << 20, iodepth: 256 };
        let mut words = line.split(' ').map(str::to_owned);
        Args::parse(&mut words, &maxima, |name, value| Ok(name == "--own" && value()? == "x"))
    }

    #[test]
    fn a_program_takes_the_common_options_and_its_own() {
        let line = "--server h --volume v --path p --size 4M --own x --rw write --iodepth 4";
        let args = parse(line).expect(line);
        assert_eq!((args.bs, args.size, args.iodepth, args.blocks()), (4096, 4 << 20, 4, 1024));
        assert_eq!(args.rw.to_string(), "write");
        for (wrong, says) in [
            ("--server h --volume v", "--path is missing"),
            ("--server", "--server needs a value"),
            ("--other", "--other is not an option"),
            ("--bs 2M", "--bs 2M: expected a number from 1 to 1048576"),
            ("--rw trim", "--rw trim: expected read, write, randread or randwrite"),
        ] {
            assert_eq!(parse(wrong).err().as_deref(), Some(says));
        }
    }
}
