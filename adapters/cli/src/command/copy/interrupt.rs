//! Signals that end a copy: the first one lets it flush and note how far it came, a second one or a
//! few seconds end the process.

use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::command::serve::is_ignored;
use crate::failure::{Copied, Failure};
use crate::output;

/// Time for a brick to take what is in flight.
const GRACE: Duration = Duration::from_secs(5);

static SIGNAL: AtomicI32 = AtomicI32::new(0);
static NOTE: Mutex<Note> = Mutex::new(Note { json: false, name: String::new(), copied: None });

/// The message for a process that has to end before its copy does.
struct Note {
    json: bool,
    name: String,
    copied: Option<Copied>,
}

/// From now on signals are noted and do not end the process at once.
pub(in crate::command) fn watch(name: &str, json: bool) -> Result<(), Failure> {
    with_note(|note| (note.json, note.name) = (json, name.to_owned()));
    // nohup, and shells for commands behind `&`, ignore some for the process: they stay ignored.
    let wanted = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| !is_ignored(*signal));
    let mut signals = signal_hook::iterator::Signals::new(wanted)
        .map_err(|error| Failure::local("signals", &error))?;
    let spawned = std::thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            let first = SIGNAL.swap(signal, Ordering::Relaxed) == 0;
            if !first {
                end(signal);
            }
            let timer = std::thread::Builder::new().spawn(move || {
                std::thread::sleep(GRACE);
                end(signal);
            });
            if timer.is_err() {
                end(signal);
            }
        }
    });
    spawned.map(drop).map_err(|error| Failure::local("a thread for signals", &error))
}

/// Fails after a signal.
pub(in crate::command) fn check() -> Result<(), Failure> {
    match SIGNAL.load(Ordering::Relaxed) {
        0 => Ok(()),
        signal => Err(Failure::interrupted(signal)),
    }
}

/// Notes how much is flushed, for a process that has to end at once.
pub(super) fn note(copied: Option<Copied>) {
    with_note(|note| note.copied = copied);
}

fn with_note(change: impl FnOnce(&mut Note)) {
    change(&mut NOTE.lock().unwrap_or_else(PoisonError::into_inner));
}

fn end(signal: i32) {
    with_note(|note| {
        let mut failure = Failure::interrupted(signal).about(&note.name);
        if let Some(copied) = note.copied.take() {
            failure = failure.with_part(copied);
        }
        output::fail(&failure, note.json);
        std::process::exit(failure.status().into());
    });
}
