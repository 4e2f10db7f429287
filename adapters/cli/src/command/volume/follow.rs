//! A server that follows a state directory: what is started is served, and nothing else.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use brickwire_server::{Handle, Volume};

use super::state::{Stamp, State};
use crate::command::serve::{Bricks, Description, Where};
use crate::failure::Failure;

/// How often a server looks whether its volumes have changed.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often it tries again what could not be served.
const RETRY_EVERY: Duration = Duration::from_secs(5);

/// What a server follows.
pub(crate) struct Follower {
    state: State,
    place: Where,
    /// Volumes that are served whatever the directory says, as they are.
    fixed: Vec<(Description, Volume)>,
    bricks: Bricks,
    /// What is served of the directory, by name.
    served: BTreeMap<String, Description>,
    /// What was said of volumes that cannot be served: it is said once.
    said: BTreeMap<String, String>,
    /// The directory as it was when it was read last.
    seen: Stamp,
    /// Held for as long as it is followed.
    _lock: File,
}

impl Follower {
    /// Takes the directory for this server alone.
    pub(crate) fn new(
        directory: &Path,
        place: Where,
        fixed: Vec<(Description, Volume)>,
        bricks: Bricks,
    ) -> Result<Self, Failure> {
        let state = State::at(directory);
        let lock = state.lock_serving()?;
        let (served, said, seen) = (BTreeMap::new(), BTreeMap::new(), Stamp::new());
        Ok(Self { state, place, fixed, bricks, served, said, seen, _lock: lock })
    }

    /// Names of the volumes that are served of the directory.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.served.keys().map(String::as_str)
    }

    /// All volumes as they shall be served now. One that cannot be is named, and does not keep the others from it.
    pub(crate) fn volumes(&mut self) -> Vec<Volume> {
        // Before it is read: what changes meanwhile is read again.
        self.seen = self.state.stamp();
        let mut wanted = BTreeMap::new();
        let mut trouble = BTreeMap::new();
        match self.state.names() {
            Ok(names) => {
                for name in names {
                    match self.state.read(&name) {
                        Ok(kept) if kept.started => _ = wanted.insert(name, kept.volume),
                        Ok(_) => {}
                        // As it was, if it was.
                        Err(failure) => {
                            wanted.extend(self.served.get(&name).map(|was| (name.clone(), was.clone())));
                            trouble.insert(name, text_of(failure));
                        }
                    }
                }
            }
            Err(failure) => {
                wanted.clone_from(&self.served);
                trouble.insert(String::new(), text_of(failure));
            }
        }
        let mut volumes: Vec<Volume> = self.fixed.iter().map(|(_, volume)| volume.clone()).collect();
        let mut served = BTreeMap::new();
        // Bricks that nobody uses any more are let go first: a volume may have got another's.
        let fixed = self.fixed.iter().map(|(description, _)| description);
        self.bricks.keep(fixed.chain(wanted.values()));
        for (name, description) in wanted {
            let taken = volumes.iter().any(|volume| volume.name == name);
            let volume = match taken {
                true => Err(Failure::new(format_args!("volume {name} is there twice"))),
                false => description.volume(&self.place, &mut self.bricks),
            };
            match volume {
                Ok(volume) => {
                    volumes.push(volume);
                    served.insert(name, description);
                }
                Err(failure) => {
                    // As it was, if it was.
                    if let Some(was) = self.served.get(&name).filter(|_| !taken)
                        && let Ok(volume) = was.volume(&self.place, &mut self.bricks)
                    {
                        volumes.push(volume);
                        served.insert(name.clone(), was.clone());
                    }
                    trouble.entry(name).or_insert_with(|| text_of(failure));
                }
            }
        }
        self.served = served;
        self.report(trouble);
        volumes
    }

    fn report(&mut self, trouble: BTreeMap<String, String>) {
        for (name, text) in &trouble {
            if self.said.get(name) != Some(text) {
                let as_before = if self.served.contains_key(name) { "; it is served as before" } else { "" };
                eprintln!("brickwire: {text}{as_before}");
            }
        }
        self.said = trouble;
    }
}

fn text_of(failure: Failure) -> String {
    match failure {
        Failure::Said(text) | Failure::Usage(text) => text,
        Failure::PipeClosed => "a file is a pipe that nobody writes to".into(),
    }
}

/// Follows, for as long as the process runs; what `follower` said last is served already.
pub(crate) fn follow(mut follower: Follower, handle: Handle) -> Result<(), Failure> {
    let mut tried = Instant::now();
    let spawned = std::thread::Builder::new().name("volumes".into()).spawn(move || {
        loop {
            std::thread::sleep(LOOK_EVERY);
            let again = !follower.said.is_empty() && tried.elapsed() >= RETRY_EVERY;
            if again || follower.state.stamp() != follower.seen {
                tried = Instant::now();
                handle.set_volumes(follower.volumes());
            }
        }
    });
    spawned.map(|_| ()).map_err(|error| Failure::local("a thread for volumes", &error))
}
