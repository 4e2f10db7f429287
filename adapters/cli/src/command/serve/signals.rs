//! Who tells a server to stop, and how.

use std::time::{Duration, Instant};

use brickwire_server::Handle;

use crate::failure::Failure;
use crate::output;

/// A second signal within this time is the first one once more: `timeout`, for one, tells the process and then its group.
const ONE_SIGNAL: Duration = Duration::from_millis(500);

/// The first signal lets the server finish what it has; a second one does not wait for that.
pub(in crate::command) fn stop_on_signal(handle: Handle) -> Result<(), Failure> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let mut wanted = vec![SIGINT, SIGTERM];
    // A terminal that is closed. Who was started by nohup goes on.
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
                    output::warn("stopped before everything was finished");
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
