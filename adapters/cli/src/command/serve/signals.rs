//! Signals that stop a server.

use std::time::{Duration, Instant};

use brickwire_server::Handle;

use crate::failure::Failure;
use crate::output;

/// Two signals within this time count as one: `timeout` sends its signal to the process and then to
/// its group.
const ONE_SIGNAL: Duration = Duration::from_millis(500);

/// The first signal lets the server finish the calls that it has read; a second one ends it at
/// once.
pub(in crate::command) fn stop_on_signal(handle: Handle) -> Result<(), Failure> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let mut wanted = vec![SIGINT, SIGTERM];
    // SIGHUP comes when a terminal closes; nohup ignores it for the process.
    if !is_ignored(SIGHUP) {
        wanted.push(SIGHUP);
    }
    let mut signals = signal_hook::iterator::Signals::new(wanted)
        .map_err(|error| Failure::local("signals", &error))?;
    let spawned = std::thread::Builder::new().name("signals".into()).spawn(move || {
        let mut first: Option<Instant> = None;
        for _ in signals.forever() {
            match first {
                None => {
                    handle.stop();
                    first = Some(Instant::now());
                }
                Some(first) if first.elapsed() < ONE_SIGNAL => {}
                Some(_) => {
                    output::warn("stopped by a second signal before all calls were finished");
                    std::process::exit(1);
                }
            }
        }
    });
    spawned.map(|_| ()).map_err(|error| Failure::local("a thread for signals", &error))
}

/// Was the process started with the signal ignored?
pub(in crate::command) fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (signal - 1) & 1 == 1
}
