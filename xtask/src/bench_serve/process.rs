//! CPU time and memory of the servers and clients that are measured.

use anyhow::{Context, Result};

/// User and system time of a process, ended threads included.
pub(super) fn cpu_of(pid: i32) -> Result<f64> {
    times(pid as u32, [11, 12])
}

/// User and system time of this process's ended children and their descendants.
pub(super) fn cpu_of_ended() -> Result<f64> {
    times(std::process::id(), [13, 14])
}

fn times(pid: u32, words_at: [usize; 2]) -> Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second word is the program's name, which may contain spaces; it ends with the last
    // parenthesis.
    let rest = text.rsplit_once(')').map(|(_, rest)| rest).context("no process's stat")?;
    let words: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |at: usize| words.get(at).and_then(|word| word.parse::<f64>().ok());
    let times = words_at.map(ticks).into_iter().sum::<Option<f64>>();
    times.map(|ticks| ticks / 100.0).context("a process's stat has too few words")
}

/// Memory of a process in MiB.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Memory {
    /// Peak of the resident memory (`VmHWM`).
    pub(super) peak: f64,
    /// Private memory now (`RssAnon`).
    pub(super) anonymous: f64,
    /// Pages of its program and libraries now (`RssFile`), which others may share.
    pub(super) file: f64,
}

impl Memory {
    /// Memory of a running process.
    pub(super) fn of(pid: i32) -> Result<Self> {
        Self::from_status(&std::fs::read_to_string(format!("/proc/{pid}/status"))?)
    }

    fn from_status(text: &str) -> Result<Self> {
        let of = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
            let kib =
                line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok());
            kib.map(|kib| kib / 1024.0)
                .with_context(|| format!("the status of a process says no {key}"))
        };
        Ok(Self { peak: of("VmHWM")?, anonymous: of("RssAnon")?, file: of("RssFile")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_mebibytes() {
        let text = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t 1 kB\nRssAnon:\t     512 kB\n\
            RssFile:\t 1024 kB\n";
        let memory = Memory::from_status(text).unwrap();
        assert_eq!(memory, Memory { peak: 2.0, anonymous: 0.5, file: 1.0 });
        assert!(Memory::from_status("Name: x\n").is_err());
    }
}
