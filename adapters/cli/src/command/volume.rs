//! `brickwire volume`: volumes in a state directory, and the server that follows it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use brickwire_server::Handle;
use serde_json::json;

use crate::args::{Global, VolumeArgs, VolumeCommand};
use crate::command::serve::{Bricks, Description, Shape, Where};
use crate::failure::Failure;
use crate::output;

/// How often a server looks whether its volumes have changed.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A volume as it is kept: `volumes/NAME.toml`.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
struct Kept {
    started: bool,
    volume: Description,
}

pub(crate) fn run(args: &VolumeArgs, global: &Global) -> Result<(), Failure> {
    let state = State { directory: args.state.clone() };
    match &args.command {
        VolumeCommand::Create { name, shape, replica, bricks } => {
            create(&state, name, (*shape).into(), *replica, bricks)
        }
        VolumeCommand::Start { name } => state.change(name, |kept| {
            kept.started = true;
            Ok(())
        }),
        VolumeCommand::Stop { name } => state.change(name, |kept| {
            kept.started = false;
            Ok(())
        }),
        VolumeCommand::Set { name, key, value } => state.change(name, |kept| {
            kept.volume.options.insert(key.clone(), value.clone());
            kept.volume.verify()
        }),
        VolumeCommand::Reset { name, key } => state.change(name, |kept| {
            kept.volume.options.remove(key);
            Ok(())
        }),
        VolumeCommand::Info { name } => info(&state, name.as_deref(), global),
        VolumeCommand::Delete { name } => {
            if state.read(name)?.started {
                return Err(Failure::new(format_args!("volume {name} is started: stop it first")));
            }
            let path = state.path(name)?;
            fs::remove_file(&path).map_err(|error| Failure::local(&path.display().to_string(), &error))
        }
    }
}

fn create(
    state: &State,
    name: &str,
    shape: Shape,
    replica: Option<u16>,
    bricks: &[PathBuf],
) -> Result<(), Failure> {
    let volume =
        Description { name: name.into(), shape, replica, bricks: bricks.to_vec(), ..Description::default() };
    let mut volume = volume.absolute()?;
    volume.verify()?;
    volume.id = Some(volume.find_id()?.to_string());
    let path = state.path(name)?;
    if path.exists() {
        return Err(Failure::new(format_args!("volume {name} is there already")));
    }
    state.write(&Kept { started: false, volume })
}

fn info(state: &State, name: Option<&str>, global: &Global) -> Result<(), Failure> {
    let kept = match name {
        Some(name) => vec![state.read(name)?],
        None => state.all()?,
    };
    if global.json {
        let all: Vec<_> = kept
            .iter()
            .map(|kept| {
                json!({
                    "name": kept.volume.name,
                    "id": kept.volume.id,
                    "status": if kept.started { "started" } else { "stopped" },
                    "shape": kept.volume.shape,
                    "bricks": kept.volume.bricks,
                    "options": kept.volume.options,
                })
            })
            .collect();
        return output::json(&all.into());
    }
    for kept in kept {
        let Description { name, id, shape, bricks, options, .. } = &kept.volume;
        output::line(format_args!("volume {name}"))?;
        output::line(format_args!("  status   {}", if kept.started { "started" } else { "stopped" }))?;
        output::line(format_args!("  id       {}", id.as_deref().unwrap_or("-")))?;
        output::line(format_args!("  shape    {}", format!("{shape:?}").to_lowercase()))?;
        for brick in bricks {
            output::line(format_args!("  brick    {}", brick.display()))?;
        }
        for (key, value) in options {
            output::line(format_args!("  option   {key} = {value}"))?;
        }
    }
    Ok(())
}

/// A state directory.
#[derive(Clone, Debug)]
struct State {
    directory: PathBuf,
}

impl State {
    fn volumes(&self) -> PathBuf {
        self.directory.join("volumes")
    }

    fn path(&self, name: &str) -> Result<PathBuf, Failure> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if name.is_empty() || !name.bytes().all(good) {
            return Err(Failure::Usage(format!("{name:?} is no name of a volume: letters, digits, - and _")));
        }
        Ok(self.volumes().join(format!("{name}.toml")))
    }

    fn read(&self, name: &str) -> Result<Kept, Failure> {
        let path = self.path(name)?;
        if !path.exists() {
            let at = self.directory.display();
            return Err(Failure::new(format_args!("no volume {name} in {at}")));
        }
        read(&path)
    }

    fn write(&self, kept: &Kept) -> Result<(), Failure> {
        let path = self.path(&kept.volume.name)?;
        let failed = |error: std::io::Error| Failure::local(&path.display().to_string(), &error);
        fs::create_dir_all(self.volumes()).map_err(failed)?;
        let text = toml::to_string(kept).map_err(Failure::new)?;
        // Whole or not at all, also for a server that reads it meanwhile.
        let beside = path.with_extension("new");
        fs::write(&beside, text).map_err(failed)?;
        fs::File::open(&beside).and_then(|file| file.sync_all()).map_err(failed)?;
        fs::rename(&beside, &path).map_err(failed)
    }

    fn change(
        &self,
        name: &str,
        change: impl FnOnce(&mut Kept) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut kept = self.read(name)?;
        change(&mut kept)?;
        self.write(&kept)
    }

    fn all(&self) -> Result<Vec<Kept>, Failure> {
        let volumes = self.volumes();
        let Ok(entries) = fs::read_dir(&volumes) else { return Ok(Vec::new()) };
        let is_volume = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "toml");
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(is_volume).collect();
        paths.sort();
        paths.iter().map(|path| read(path)).collect()
    }

    /// Changes whenever a volume does.
    fn stamp(&self) -> Vec<(PathBuf, Option<SystemTime>)> {
        let Ok(entries) = fs::read_dir(self.volumes()) else { return Vec::new() };
        let time = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified()).ok();
        let mut stamps: Vec<_> =
            entries.flatten().map(|entry| entry.path()).map(|path| (path.clone(), time(&path))).collect();
        stamps.sort();
        stamps
    }
}

fn read(path: &Path) -> Result<Kept, Failure> {
    let text =
        fs::read_to_string(path).map_err(|error| Failure::local(&path.display().to_string(), &error))?;
    toml::from_str(&text).map_err(|error| Failure::new(format_args!("{}: {error}", path.display())))
}

/// Serves what is started in a state directory besides `fixed`, for as long as the process runs.
pub(crate) fn watch(
    directory: PathBuf,
    place: Where,
    fixed: Vec<Description>,
    mut bricks: Bricks,
    handle: Handle,
) -> Result<(), Failure> {
    let state = State { directory };
    let mut seen = state.stamp();
    serve_started(&state, &place, &fixed, &mut bricks, &handle)?;
    let spawned = std::thread::Builder::new().name("volumes".into()).spawn(move || {
        loop {
            std::thread::sleep(LOOK_EVERY);
            let stamp = state.stamp();
            if stamp == seen {
                continue;
            }
            seen = stamp;
            if let Err(Failure::Said(text) | Failure::Usage(text)) =
                serve_started(&state, &place, &fixed, &mut bricks, &handle)
            {
                eprintln!("brickwire: {text}; serving on as before");
            }
        }
    });
    spawned.map(|_| ()).map_err(|error| Failure::local("a thread for volumes", &error))
}

fn serve_started(
    state: &State,
    place: &Where,
    fixed: &[Description],
    bricks: &mut Bricks,
    handle: &Handle,
) -> Result<(), Failure> {
    let started = state.all()?.into_iter().filter(|kept| kept.started).map(|kept| kept.volume);
    let all: Vec<Description> = fixed.iter().cloned().chain(started).collect();
    let mut volumes = Vec::new();
    for volume in &all {
        volumes.push(volume.volume(place, bricks)?);
    }
    bricks.keep(&all);
    handle.set_volumes(volumes);
    Ok(())
}
