//! Keeps a server's volumes equal to the started volumes of a state directory.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use brickwire_server::{Handle, Volume};

use super::state::{Stamp, State};
use crate::command::volume_config::{Bricks, ConflictCheck, ServerAddress, VolumeConfig};
use crate::failure::Failure;
use crate::output;

/// Time between looks at the directory.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Time between attempts to serve a volume that could not be served.
const RETRY_EVERY: Duration = Duration::from_secs(5);

/// The volumes of a server, and the state directory that it watches.
pub(crate) struct StateWatcher {
    state: Option<WatchedState>,
    place: ServerAddress,
    /// Volumes of the command line and the configuration file, which never change.
    fixed: Vec<(VolumeConfig, Volume)>,
    bricks: Bricks,
    /// Volumes of the directory that are served, by name.
    served: BTreeMap<String, VolumeConfig>,
    /// Warnings printed about volumes that cannot be served, or not whole: each is printed once.
    said: BTreeMap<String, String>,
}

/// A state directory.
struct WatchedState {
    state: State,
    /// The stamp of the last read.
    seen: Stamp,
    /// Held while the directory is watched.
    _lock: File,
}

impl StateWatcher {
    /// Opens the fixed volumes, and locks the directory for this server.
    pub(crate) fn new(
        directory: Option<&Path>,
        place: ServerAddress,
        fixed: Vec<VolumeConfig>,
        create: bool,
    ) -> Result<Self, Failure> {
        let mut bricks = Bricks::new(create);
        let mut opened = Vec::new();
        for description in fixed {
            let volume = description.volume(&place, &mut bricks)?.volume;
            opened.push((description, volume));
        }
        let state = match directory {
            Some(directory) => {
                let state = State::at(directory);
                let lock = state.lock_serving()?;
                Some(WatchedState { state, seen: Stamp::new(), _lock: lock })
            }
            None => None,
        };
        Ok(Self {
            state,
            place,
            fixed: opened,
            bricks,
            served: BTreeMap::new(),
            said: BTreeMap::new(),
        })
    }

    /// Names of the directory's volumes that are served.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.served.keys().map(String::as_str)
    }

    /// All volumes to serve now. A volume that cannot be served is reported, and the others are
    /// served.
    pub(crate) fn volumes(&mut self) -> Vec<Volume> {
        let mut trouble = BTreeMap::new();
        let wanted = self.wanted(&mut trouble);
        // Unused bricks are closed first: a volume may have been given another's directory.
        let fixed = self.fixed.iter().map(|(description, _)| description);
        self.bricks.keep(fixed.chain(wanted.values()));
        for (description, volume) in &mut self.fixed {
            // Opens again: bricks that were absent may be back.
            match description.volume(&self.place, &mut self.bricks) {
                Ok(opened) => {
                    lacking(&opened.absent, &description.name, &mut trouble);
                    *volume = opened.volume;
                }
                Err(failure) => _ = trouble.insert(description.name.clone(), as_before(failure)),
            }
        }
        let mut volumes: Vec<Volume> =
            self.fixed.iter().map(|(_, volume)| volume.clone()).collect();
        let mut conflicts = ConflictCheck::default();
        self.fixed.iter().for_each(|(description, _)| conflicts.keep(description));
        let mut served = BTreeMap::new();
        for (name, description) in wanted {
            let unconflicted = conflicts.add(&description);
            let taken = unconflicted.is_err();
            let volume =
                unconflicted.and_then(|()| description.volume(&self.place, &mut self.bricks));
            match volume {
                Ok(opened) => {
                    lacking(&opened.absent, &name, &mut trouble);
                    volumes.push(opened.volume);
                    served.insert(name, description);
                }
                Err(failure) => {
                    let mut text = text_of(failure);
                    // A volume that was served before goes on as it was.
                    if let Some(was) = self.served.get(&name).filter(|_| !taken)
                        && let Ok(opened) = was.volume(&self.place, &mut self.bricks)
                    {
                        volumes.push(opened.volume);
                        served.insert(name.clone(), was.clone());
                        text.push_str(AS_BEFORE);
                    }
                    trouble.entry(name).or_insert(text);
                }
            }
        }
        self.served = served;
        self.report(trouble);
        volumes
    }

    /// The started volumes of the directory.
    fn wanted(&mut self, trouble: &mut BTreeMap<String, String>) -> BTreeMap<String, VolumeConfig> {
        let mut wanted = BTreeMap::new();
        let Some(WatchedState { state, seen, .. }) = &mut self.state else { return wanted };
        // Taken before the directory is read, so that a later change is seen next time.
        *seen = state.stamp();
        match state.names_there() {
            Ok(names) => {
                for name in names {
                    match state.read(&name) {
                        Ok(kept) if kept.started => _ = wanted.insert(name, kept.volume),
                        Ok(_) => {}
                        // A volume that was served before goes on as it was.
                        Err(failure) => match self.served.get(&name) {
                            Some(was) => {
                                wanted.insert(name.clone(), was.clone());
                                trouble.insert(name, as_before(failure));
                            }
                            None => _ = trouble.insert(name, text_of(failure)),
                        },
                    }
                }
            }
            Err(failure) => {
                wanted.clone_from(&self.served);
                trouble.insert(String::new(), text_of(failure));
            }
        }
        wanted
    }

    /// Is there no directory to watch, and no volume to try again?
    fn is_settled(&self) -> bool {
        self.state.is_none() && self.said.is_empty()
    }

    fn has_changed(&self) -> bool {
        self.state.as_ref().is_some_and(|watched| watched.state.stamp() != watched.seen)
    }

    fn report(&mut self, trouble: BTreeMap<String, String>) {
        for (name, text) in &trouble {
            if self.said.get(name) != Some(text) {
                output::warn(text);
            }
        }
        for name in self.said.keys().filter(|name| !name.is_empty() && !trouble.contains_key(*name))
        {
            output::warn(&format!("volume {name}: served in full again"));
        }
        self.said = trouble;
    }
}

const AS_BEFORE: &str = "; it is served with its old configuration";

fn as_before(failure: Failure) -> String {
    text_of(failure) + AS_BEFORE
}

/// Reports the bricks that a replica is served without.
fn lacking(absent: &[Failure], name: &str, trouble: &mut BTreeMap<String, String>) {
    let mut texts: Vec<String> = absent.iter().map(ToString::to_string).collect();
    if texts.is_empty() {
        return;
    }
    texts.push("the volume is served without it, and heals when it is back".into());
    trouble.entry(name.to_owned()).or_insert_with(|| texts.join("; "));
}

fn text_of(failure: Failure) -> String {
    failure.to_string()
}

/// Watches for as long as the process runs. The server has the watcher's latest volumes already.
pub(crate) fn watch(mut watcher: StateWatcher, handle: Handle) -> Result<(), Failure> {
    if watcher.is_settled() {
        return Ok(());
    }
    let mut tried = Instant::now();
    let spawned = std::thread::Builder::new().name("volumes".into()).spawn(move || {
        while !watcher.is_settled() {
            std::thread::sleep(LOOK_EVERY);
            let again = !watcher.said.is_empty() && tried.elapsed() >= RETRY_EVERY;
            if again || watcher.has_changed() {
                tried = Instant::now();
                handle.set_volumes(watcher.volumes());
            }
        }
    });
    spawned.map(|_| ()).map_err(|error| Failure::local("a thread for volumes", &error))
}
