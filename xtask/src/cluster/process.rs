//! Finds and ends the processes of the cluster.
//!
//! A process belongs to the cluster if it is one of gluster's programs *and* an argument names a
//! path inside the cluster's directory. No process is signalled by name, and each is checked again
//! right before its signal, because its pid may have been reused.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// A running process of gluster's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Process {
    /// Its process id.
    pub(super) pid: i32,
    args: Vec<String>,
}

/// All processes of gluster whose arguments name something inside `dir`.
pub(super) fn inside(dir: &Path) -> Vec<Process> {
    let mut found: Vec<Process> = all().into_iter().filter(|process| process.names(dir)).collect();
    found.sort_by_key(|process| process.pid);
    found
}

/// All daemons of gluster on this machine.
pub(super) fn all() -> Vec<Process> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(Process::read).filter(|process| PROGRAMS.contains(&process.program())).collect()
}

/// Kills them with SIGKILL and waits until they have ended.
pub(super) fn end(processes: &[Process]) -> Result<()> {
    for process in processes {
        process.signal(Signal::KILL)?;
    }
    let deadline = Instant::now() + END_WAIT;
    while let Some(left) = processes.iter().find(|process| process.runs()) {
        if Instant::now() > deadline {
            bail!(
                "{left} does not end {} s after SIGKILL: look at /proc/{}/stack",
                END_WAIT.as_secs(),
                left.pid
            );
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Stops them with SIGSTOP; returns when they have stopped. Fails if one has ended.
pub(super) fn freeze(processes: &[Process]) -> Result<()> {
    for process in processes {
        process.signal(Signal::STOP)?;
    }
    processes.iter().try_for_each(|process| {
        if !process.runs() {
            bail!("{process} has ended, so it cannot be frozen");
        }
        wait_until_stopped(process.pid)
    })
}

/// Waits until each thread of a process has stopped after SIGSTOP: the signal only asks for it, and
/// a busy thread may answer a call meanwhile.
pub fn wait_until_stopped(pid: i32) -> Result<()> {
    let deadline = Instant::now() + END_WAIT;
    while !is_stopped(pid)? {
        if Instant::now() > deadline {
            bail!("process {pid} runs {} s after SIGSTOP", END_WAIT.as_secs());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Whether all threads of a process are stopped.
fn is_stopped(pid: i32) -> Result<bool> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task"))
        .with_context(|| format!("process {pid} has ended"))?;
    let stopped = |thread: std::fs::DirEntry| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        // The name, in parentheses, may have any characters; the state follows it.
        stat.rsplit_once(") ").is_some_and(|(_, fields)| fields.starts_with('T'))
    };
    Ok(threads.flatten().all(stopped))
}

impl Process {
    fn read(pid: i32) -> Option<Self> {
        // A zombie has an empty command line: it has ended, and its parent has not waited for it
        // yet.
        let bytes =
            std::fs::read(format!("/proc/{pid}/cmdline")).ok().filter(|bytes| !bytes.is_empty())?;
        let text = String::from_utf8_lossy(&bytes);
        Some(Self {
            pid,
            args: text.trim_end_matches('\0').split('\0').map(str::to_owned).collect(),
        })
    }

    /// Whether the pid still belongs to this program with these arguments.
    pub(super) fn runs(&self) -> bool {
        Self::read(self.pid).as_ref() == Some(self)
    }

    /// Sends the signal unless the process has ended.
    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        match Pid::from_raw(self.pid) {
            Some(pid) if self.runs() => match kill_process(pid, signal) {
                Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
                Err(error) => Err(error)
                    .with_context(|| format!("{self} cannot be signalled: run this as root")),
            },
            _ => Ok(()),
        }
    }

    /// Whether this is the management daemon.
    pub(super) fn is_glusterd(&self) -> bool {
        self.program() == "glusterd"
    }

    /// The directory this process serves, when it is a brick.
    pub(super) fn brick_dir(&self) -> Option<PathBuf> {
        self.after("--brick-name").map(PathBuf::from)
    }

    /// The TCP port this process serves, when it is a brick.
    pub(super) fn brick_port(&self) -> Option<u16> {
        self.after("--brick-port")?.parse().ok()
    }

    /// The socket on which glusterd talks to this process. It lies outside the cluster's directory.
    pub(super) fn management_socket(&self) -> Option<PathBuf> {
        self.after("-S").map(PathBuf::from)
    }

    fn program(&self) -> &str {
        let path = self.args.first().map_or("", String::as_str);
        path.rsplit('/').next().unwrap_or(path)
    }

    fn after(&self, word: &str) -> Option<&str> {
        let at = self.args.iter().position(|arg| arg == word)?;
        self.args.get(at + 1).map(String::as_str)
    }

    fn names(&self, dir: &Path) -> bool {
        let values = self
            .args
            .iter()
            .map(|arg| arg.split_once('=').map_or(arg.as_str(), |(_, value)| value));
        values.map(Path::new).any(|path| path != dir && path.starts_with(dir))
    }
}

impl std::fmt::Display for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (pid {})", self.program(), self.pid)?;
        let volfile = self.args.iter().find_map(|arg| arg.strip_prefix("--volfile="));
        volfile.map_or(Ok(()), |volfile| write!(f, " of {volfile}"))
    }
}

const PROGRAMS: [&str; 3] = ["glusterd", "glusterfsd", "glusterfs"];
const END_WAIT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn process(args: &str) -> Process {
        Process { pid: 0, args: args.split(' ').map(str::to_owned).collect() }
    }

    #[test]
    fn a_brick_says_where_it_serves_from_and_on_which_port() {
        let brick = process(
            "/usr/sbin/glusterfsd -s b --volfile-id single.b.c-single -p /c/run/vols/single/x.pid \
             -S /var/run/gluster/7d.socket --brick-name /c/bricks/single --brick-port 59987",
        );
        assert_eq!(brick.brick_dir(), Some(PathBuf::from("/c/bricks/single")));
        assert_eq!(brick.brick_port(), Some(59987));
        assert_eq!(brick.management_socket(), Some(PathBuf::from("/var/run/gluster/7d.socket")));
        assert!(!brick.is_glusterd());
    }

    #[test]
    fn a_process_is_ours_only_if_an_argument_lies_inside_our_directory() {
        let dir = Path::new("/c");
        assert!(process("glusterd --volfile=/c/glusterd.vol").names(dir));
        assert!(!process("glusterd --volfile=/cc/glusterd.vol").names(dir));
        assert!(!process("glusterd --volfile=/other/c/glusterd.vol").names(dir));
        assert!(!process("glusterd --volfile=/c").names(dir));
    }

    #[test]
    fn a_process_is_frozen_when_the_call_returns_and_a_dead_one_is_an_error() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("sleep");
        let pid = i32::try_from(child.id()).expect("a pid fits");
        // At first the child has our arguments, or none.
        let process = loop {
            match Process::read(pid) {
                Some(process) if process.program() == "sleep" => break process,
                _ => std::thread::yield_now(),
            }
        };
        assert!(!is_stopped(pid).expect("it runs"));
        freeze(std::slice::from_ref(&process)).expect("it stops");
        assert!(is_stopped(pid).expect("it is there"));
        process.signal(Signal::KILL).expect("it dies");
        child.wait().expect("it is dead");
        freeze(&[process]).expect_err("nothing is there to freeze");
    }

    #[test]
    fn a_pid_that_now_belongs_to_another_program_is_left_alone() {
        let us = i32::try_from(std::process::id()).expect("a pid fits");
        let stale = Process { pid: us, args: vec!["glusterd".to_owned()] };
        assert!(!stale.runs());
        stale.signal(Signal::KILL).expect("nothing is sent, so nothing fails");
    }
}
