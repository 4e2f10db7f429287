//! Detects GlusterFS's own brick process on a directory. It takes no lock, but its command line
//! names its brick.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// The process that serves the directory, if it is visible to this one.
pub(super) fn glusterfsd_of(path: &Path) -> Option<u32> {
    let path = fs::canonicalize(path).ok()?;
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    // Processes that have ended meanwhile have no command line.
    pids.find(|pid| {
        fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| is_brick_process(&line, &path))
    })
}

fn is_brick_process(command_line: &[u8], path: &Path) -> bool {
    let mut words = command_line.split(|byte| *byte == 0);
    let program = words.next().and_then(|word| word.rsplit(|byte| *byte == b'/').next());
    if program != Some(b"glusterfsd") {
        return false;
    }
    let names = words.clone().zip(words.skip(1)).filter(|(word, _)| *word == b"--brick-name");
    names.map(|(_, name)| Path::new(OsStr::from_bytes(name))).any(|name| {
        // The path as it was given to glusterd, usually unchanged.
        name == path || fs::canonicalize(name).is_ok_and(|name| name == path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_brick_process_is_known_by_its_program_and_the_brick_that_it_names() {
        let line = b"/usr/sbin/glusterfsd\0-s\0host\0--volfile-id\0v.host.data-b1\0\
                     --brick-name\0/data/b1\0--brick-port\x0049152\0";
        assert!(is_brick_process(line, Path::new("/data/b1")));
        assert!(!is_brick_process(line, Path::new("/data/b")));
        assert!(!is_brick_process(b"/usr/bin/vi\0--brick-name\0/data/b1\0", Path::new("/data/b1")));
        assert!(!is_brick_process(b"", Path::new("/data/b1")));
    }
}
