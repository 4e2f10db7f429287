//! `brickwire volume`: volumes in a state directory.

mod heal;
mod state;
mod watch;

use std::path::Path;

use brickwire_core::rpc::brick_op::HealOp;
use brickwire_core::volgen::{OptionError, OptionFault, check, full_name, group};
use brickwire_core::xdr::Gfid;
use brickwire_posix::Brick;
use serde_json::{Value, json};

use crate::args::{VolumeArgs, VolumeCommand, VolumeCreate};
use crate::command::volume_config::{ConflictCheck, Shape, VolumeConfig, Words};
use crate::failure::Failure;
use crate::output;
use crate::settings::Settings;

use state::{State, StoredVolume};
pub(crate) use watch::{StateWatcher, watch};

pub(crate) fn run(args: &VolumeArgs, settings: &Settings) -> Result<(), Failure> {
    let directory = args.state.as_ref().unwrap_or(&settings.state);
    let state = State::at(directory);
    let (kept, done) = match &args.command {
        VolumeCommand::Create(args) => (create(&state, args)?, "created"),
        VolumeCommand::Start { name } => (start(&state, name)?, "started"),
        VolumeCommand::Stop { name } => {
            let kept = state.change(name, |kept| {
                kept.started = false;
                Ok(())
            });
            (kept?, "stopped")
        }
        VolumeCommand::Set { name, key, value } => {
            (state.change(name, |kept| set(&mut kept.volume, key, value))?, "changed")
        }
        VolumeCommand::Reset { name, key } => {
            (state.change(name, |kept| reset(&mut kept.volume, key))?, "changed")
        }
        VolumeCommand::Delete { name } => (state.delete(name)?, "deleted"),
        VolumeCommand::Info { name } => return info(&state, name.as_deref(), settings),
        VolumeCommand::List => return list(&state, settings),
        VolumeCommand::Heal { name, full, count, daemon } => {
            let op = match (full, count) {
                (_, true) => HealOp::Count,
                (true, false) => HealOp::Full,
                (false, false) => HealOp::Index,
            };
            return heal::run(name, op, daemon.as_deref(), settings);
        }
        VolumeCommand::ResetBrick { name, brick, id } => {
            return reset_brick(&state, name, brick, id.as_deref(), settings);
        }
    };
    if settings.json {
        return output::json(&as_json(&kept));
    }
    output::line(format_args!("volume {}: {done}", kept.volume.name))?;
    if matches!(args.command, VolumeCommand::Start { .. }) && !state.is_followed() {
        let at = directory.display();
        output::line(format_args!(
            "no server serves {at} now: start one with brickwire serve --state {at}"
        ))?;
    }
    Ok(())
}

fn create(state: &State, args: &VolumeCreate) -> Result<StoredVolume, Failure> {
    let words = Words::parse(&args.bricks)?;
    let mut volume = VolumeConfig {
        name: args.name.clone(),
        shape: args.shape.map(Shape::from).or(words.shape).unwrap_or_default(),
        replica: args.replica.or(words.replica),
        xattrs: args.xattrs.into(),
        bricks: words.bricks,
        ..VolumeConfig::default()
    }
    .absolute()?;
    let name = &args.name;
    volume.verify()?;
    state.create(name, |others| {
        let mut conflicts = ConflictCheck::default();
        others.iter().for_each(|other| conflicts.keep(&other.volume));
        conflicts.add(&volume)?;
        if volume.shape != Shape::Block {
            volume.bricks.iter().try_for_each(|path| volume.find_directory(path, args.create))?;
        }
        volume.id = Some(volume.find_id()?.to_string());
        Ok(StoredVolume { started: false, volume })
    })
}

fn start(state: &State, name: &str) -> Result<StoredVolume, Failure> {
    state.change(name, |kept| {
        kept.volume.verify()?;
        kept.started = true;
        Ok(())
    })
}

/// Sets the options of a group one by one, so that a second group adds to the first.
fn set(volume: &mut VolumeConfig, key: &str, value: &str) -> Result<(), Failure> {
    if key == "group" {
        let options = group(value).ok_or_else(|| {
            Failure::new(format_args!("volume {}: there is no option group {value:?}", volume.name))
        })?;
        volume.options.extend(options.iter().map(|(key, value)| ((*key).into(), (*value).into())));
    } else {
        let key = full_name(key).map_err(|error| refused(volume, &error))?;
        volume.options.insert(key.into(), value.into());
    }
    volume.verify()
}

fn refused(volume: &VolumeConfig, error: &OptionError<'_>) -> Failure {
    Failure::new(format_args!("volume {}: {error}", volume.name))
}

fn reset(volume: &mut VolumeConfig, key: &str) -> Result<(), Failure> {
    let key = match key {
        "group" => key,
        key => full_name(key).map_err(|error| refused(volume, &error))?,
    };
    if volume.options.remove(key).is_some() {
        return Ok(());
    }
    // An option that is not set is no error, one that does not exist is.
    if let Err(error) = check(key, "on")
        && matches!(error.fault, OptionFault::Unknown)
    {
        return Err(refused(volume, &error));
    }
    Ok(())
}

/// Marks the directory itself, where the server that opens it looks.
fn reset_brick(
    state: &State,
    name: &str,
    brick: &Path,
    id: Option<&str>,
    settings: &Settings,
) -> Result<(), Failure> {
    let failed = |text: &dyn std::fmt::Display| Failure::new(format_args!("volume {name}: {text}"));
    let brick =
        &std::path::absolute(brick).map_err(|error| Failure::local(brick.display(), &error))?;
    let mut space = None;
    let id = match id {
        Some(id) => id.to_owned(),
        None => {
            let volume = state.read(name)?.volume;
            if volume.shape == Shape::Block || !volume.bricks.contains(brick) {
                return Err(failed(&format_args!("{} is not a brick of it", brick.display())));
            }
            space = Some(volume.xattrs.space(brick));
            volume.id.unwrap_or_default()
        }
    };
    let id = Gfid::parse(id.as_bytes())
        .ok_or_else(|| failed(&format_args!("{id:?} is not a volume id")))?;
    // Not its parents: they may be where a disk is to be mounted.
    match std::fs::create_dir(brick) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(Failure::local(
                format_args!("{}: cannot make the directory", brick.display()),
                &error,
            ));
        }
        _ => {}
    }
    Brick::reset(brick, id, space.unwrap_or_else(|| Brick::xattr_namespace_of(brick)))
        .map_err(Failure::new)?;
    if settings.json {
        return output::json(&json!({ "name": name, "brick": brick }));
    }
    output::line(format_args!(
        "volume {name}: {} is reset: it is healed from the other bricks",
        brick.display()
    ))
}

fn as_json(kept: &StoredVolume) -> Value {
    json!({
        "name": kept.volume.name,
        "id": kept.volume.id,
        "status": kept.status(),
        "shape": kept.volume.shape,
        "bricks": kept.volume.bricks,
        "options": kept.volume.options,
    })
}

fn list(state: &State, settings: &Settings) -> Result<(), Failure> {
    let names = state.names()?;
    if settings.json {
        return output::json(&json!(names));
    }
    names.iter().try_for_each(output::line)
}

fn info(state: &State, name: Option<&str>, settings: &Settings) -> Result<(), Failure> {
    let names = match name {
        Some(name) => vec![name.to_owned()],
        None => state.names()?,
    };
    // Damaged volumes are reported after the others are printed.
    let (mut all, mut damaged) = (Vec::new(), Ok(()));
    for name in &names {
        match state.read(name) {
            Ok(kept) => all.push(kept),
            Err(failure) => damaged = damaged.and(Err(failure)),
        }
    }
    if settings.json {
        output::json(&all.iter().map(as_json).collect())?;
        return damaged;
    }
    for kept in all {
        let VolumeConfig { name, id, shape, bricks, options, .. } = &kept.volume;
        output::line(format_args!("volume {name}"))?;
        output::line(format_args!("  status   {}", kept.status()))?;
        output::line(format_args!("  id       {}", id.as_deref().unwrap_or("-")))?;
        output::line(format_args!("  shape    {}", format!("{shape:?}").to_lowercase()))?;
        for brick in bricks {
            output::line(format_args!("  brick    {}", brick.display()))?;
        }
        for (key, value) in options {
            output::line(format_args!("  option   {key} = {value}"))?;
        }
    }
    damaged
}
