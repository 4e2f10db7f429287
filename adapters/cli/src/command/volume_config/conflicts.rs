//! Refuses volumes that share a name or a directory: a client of a volume whose brick contains
//! another's could change that one's `.glusterfs`.

use std::path::{Path, PathBuf};

use super::{Shape, VolumeConfig};
use crate::failure::Failure;

/// The volumes checked so far, with their bricks' paths resolved: each link is followed once for
/// each volume, not once for each pair.
#[derive(Default)]
pub(crate) struct ConflictCheck {
    volumes: Vec<(String, Vec<PathBuf>)>,
}

impl ConflictCheck {
    /// Adds a volume that exists already, without checks.
    pub(crate) fn keep(&mut self, volume: &VolumeConfig) {
        self.volumes.push((volume.name.clone(), paths(volume)));
    }

    /// Adds a volume, unless it conflicts with the others or with itself.
    pub(crate) fn add(&mut self, volume: &VolumeConfig) -> Result<(), Failure> {
        let (name, paths) = (&volume.name, paths(volume));
        for (at, brick) in paths.iter().enumerate() {
            for other in &paths[..at] {
                meet(name, brick, name, other)?;
            }
        }
        for (other, theirs) in &self.volumes {
            if other == name {
                return Err(Failure::new(format_args!("two volumes are named {name}: rename one")));
            }
            for theirs in theirs {
                for brick in &paths {
                    meet(name, brick, other, theirs)?;
                }
            }
        }
        self.volumes.push((name.clone(), paths));
        Ok(())
    }
}

/// The resolved directories of the bricks. Devices and files are locked when they are opened.
fn paths(volume: &VolumeConfig) -> Vec<PathBuf> {
    match volume.shape {
        Shape::Block => Vec::new(),
        _ => volume.bricks.iter().map(|brick| resolved(brick)).collect(),
    }
}

fn meet(name: &str, brick: &Path, other: &str, theirs: &Path) -> Result<(), Failure> {
    let whose = if name == other { "its own".to_owned() } else { format!("volume {other}'s") };
    let (here, there) = (brick.display(), theirs.display());
    let what_to_do = "use another directory";
    if brick == theirs {
        return Err(Failure::new(format_args!(
            "volume {name}: brick {here} is {whose} already: {what_to_do}"
        )));
    }
    for (inner, outer) in [(brick, theirs), (theirs, brick)] {
        if inner.starts_with(outer) {
            let what = if inner == brick { "is in" } else { "contains" };
            return Err(Failure::new(format_args!(
                "volume {name}: brick {here} {what} {whose} brick {there}: {what_to_do}"
            )));
        }
    }
    Ok(())
}

/// The path with links resolved in the part of it that exists.
fn resolved(path: &Path) -> PathBuf {
    for above in path.ancestors() {
        if let (Ok(there), Ok(rest)) = (above.canonicalize(), path.strip_prefix(above)) {
            return there.join(rest);
        }
    }
    path.to_owned()
}
