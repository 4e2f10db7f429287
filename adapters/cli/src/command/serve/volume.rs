//! A volume as it is described, and as it is served.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use brickwire_block::{ImageSpec, Images, ImagesOptions};
use brickwire_core::server::volgen::{
    BrickSpec, Family, ServerOption, Shape as CoreShape, Target, VolgenError, VolumeSpec, check,
    group, write_client, write_shd,
};
use brickwire_core::volfile::Token;
use brickwire_core::xdr::Gfid;
use brickwire_posix::{Brick, BrickOptions, XattrSpace};
use brickwire_server::{Access, Backend, BrickService, Volume};

use super::{Where, heal};
use crate::failure::Failure;
use crate::output;

/// What the bricks of a volume are to each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Shape {
    /// Every file is on one of them.
    #[default]
    Distribute,
    /// Every file is on all of a set.
    Replica,
    /// Likewise, and the last of three has names only.
    Arbiter,
    /// Not directories: each is a device or a file, and an image of the volume.
    Block,
}

/// Where bricks keep the attributes that only they may set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Xattrs {
    /// `trusted.*`, as GlusterFS's.
    #[default]
    Trusted,
    /// `user.brickwire.*`: without root, and for nobody else.
    User,
    /// The first where it can be, else the second.
    Any,
}

impl Xattrs {
    pub(crate) fn space(self, brick: &Path) -> XattrSpace {
        match self {
            Self::Trusted => XattrSpace::Trusted,
            Self::User => XattrSpace::User,
            Self::Any => Brick::xattr_space_of(brick),
        }
    }

    fn is_trusted(&self) -> bool {
        *self == Self::Trusted
    }
}

/// A volume as an administrator describes it.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Description {
    pub(crate) name: String,
    /// Only where it is kept: else it is that of the bricks, or new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    #[serde(default)]
    pub(crate) shape: Shape,
    /// Bricks of a set, if there is more than one set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) replica: Option<u16>,
    pub(crate) bricks: Vec<PathBuf>,
    #[serde(default, skip_serializing_if = "Xattrs::is_trusted")]
    pub(crate) xattrs: Xattrs,
    #[serde(default, deserialize_with = "options")]
    pub(crate) options: BTreeMap<String, String>,
}

fn options<'de, D: serde::Deserializer<'de>>(
    from: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    Ok(<super::Options as serde::Deserialize>::deserialize(from)?.0)
}

/// A volume that is served, perhaps without some of its bricks.
pub(crate) struct Opened {
    pub(crate) volume: Volume,
    /// Why each of the others cannot be served now.
    pub(crate) absent: Vec<Failure>,
}

/// Does the directory belong to another volume? Then it is named wrongly, and no brick that will come back.
fn is_foreign(path: &Path, id: Gfid) -> bool {
    Brick::volume_id_of(path).is_some_and(|other| other != id)
}

/// User and group that a volume's root shall belong to.
type Owner = (Option<u32>, Option<u32>);

/// Bricks that are open, by their directories: a volume that changes keeps its own.
#[derive(Default)]
pub(crate) struct Bricks {
    open: HashMap<PathBuf, (Arc<dyn Backend>, Owner)>,
}

impl Bricks {
    /// Lets go of all bricks but those of these volumes.
    pub(crate) fn keep<'a>(&mut self, volumes: impl Iterator<Item = &'a Description>) {
        let used: HashSet<PathBuf> = volumes.flat_map(Description::brick_paths).collect();
        self.open.retain(|path, _| used.contains(path));
    }

    fn open(
        &mut self,
        path: PathBuf,
        owner: Owner,
        open: impl FnOnce(&Path) -> Result<Arc<dyn Backend>, Failure>,
    ) -> Result<Arc<dyn Backend>, Failure> {
        if let Some((brick, was)) = self.open.get_mut(&path) {
            // A directory that is served already belongs to somebody else from now on; images only when they are opened again.
            if *was != owner && path.is_dir() {
                std::os::unix::fs::chown(&path, owner.0, owner.1).map_err(|error| {
                    Failure::local(
                        format!("brick {}: cannot set its owner", path.display()),
                        &error,
                    )
                })?;
                *was = owner;
            }
            return Ok(Arc::clone(brick));
        }
        let brick = open(&path)?;
        self.open.insert(path, (Arc::clone(&brick), owner));
        Ok(brick)
    }
}

/// After a crash of the machine every handle of a brick is looked at, while it is served already.
fn sweep(path: &Path, brick: &Arc<Brick>) {
    if !brick.was_cut_off() {
        return;
    }
    let (brick, path) = (Arc::clone(brick), path.display().to_string());
    let swept = std::thread::Builder::new().name("sweep".into()).spawn(move || {
        let removed = brick.sweep();
        if removed > 0 {
            output::complain(&format!(
                "brick {path}: {removed} handles of nothing, left by a crash, are removed"
            ));
        }
    });
    // Nobody sees them, and the next start looks again.
    drop(swept);
}

impl Description {
    /// `NAME=DIR[,DIR…]`, `NAME=replica:DIR,DIR,DIR`, `NAME=arbiter:DIR,DIR,DIR`, `NAME=block:[IMAGE=]PATH,…`.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let usage = || {
            let text = format!(
                "--volume {text:?}: NAME=DIR, NAME=replica:DIR1,DIR2,DIR3, NAME=arbiter:DIR1,DIR2,DIR3 or \
                 NAME=block:[IMAGE=]PATH"
            );
            Failure::Usage(text)
        };
        let (name, rest) = text.split_once('=').ok_or_else(usage)?;
        let (shape, rest) = match rest.split_once(':') {
            Some(("replica", rest)) => (Shape::Replica, rest),
            Some(("arbiter", rest)) => (Shape::Arbiter, rest),
            Some(("block", rest)) => (Shape::Block, rest),
            // Directories beside us are not called so, and a mistake would make them.
            Some((word, _))
                if !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphabetic()) =>
            {
                return Err(Failure::Usage(format!(
                    "--volume {text:?}: bricks are replica:, arbiter: or block:, and not {word}: (a directory of that \
                     name is ./{word}:…)"
                )));
            }
            _ => (Shape::Distribute, rest),
        };
        let parts: Vec<PathBuf> = rest.split(',').map(PathBuf::from).collect();
        if parts.iter().any(|part| part.as_os_str().is_empty()) {
            return Err(usage());
        }
        Self { name: name.into(), shape, bricks: parts, ..Self::default() }.absolute()
    }

    /// The same with paths that do not depend on where we are.
    pub(crate) fn absolute(mut self) -> Result<Self, Failure> {
        let absolute = |path: &Path| {
            std::path::absolute(path)
                .map_err(|error| Failure::local(path.display().to_string(), &error))
        };
        for brick in &mut self.bricks {
            *brick = match self.shape {
                Shape::Block => {
                    let text = brick.to_str().map(ImageSpec::parse);
                    let spec = text.ok_or_else(|| {
                        Failure::new(format_args!("{} is no text", brick.display()))
                    })?;
                    PathBuf::from(format!("{}={}", spec.name, absolute(&spec.path)?.display()))
                }
                _ => absolute(brick)?,
            };
        }
        Ok(self)
    }

    /// The bricks as clients name them. The images of a block volume are together in one, which has no directory.
    fn brick_paths(&self) -> Vec<PathBuf> {
        match self.shape {
            Shape::Block => vec![PathBuf::from(format!("/block/{}", self.name))],
            _ => self.bricks.clone(),
        }
    }

    fn images(&self) -> Vec<ImageSpec> {
        // Paths are absolute, so that a name stands before each; what is no text was refused.
        self.bricks.iter().map(|brick| ImageSpec::parse(&brick.to_string_lossy())).collect()
    }

    /// The options as they count: `group` stands for what is in the group.
    pub(crate) fn all_options(&self) -> Result<Vec<(&str, &str)>, Failure> {
        let mut all: Vec<(&str, &str)> = Vec::new();
        for (key, value) in &self.options {
            if key == "group" {
                let options = group(value).ok_or_else(|| {
                    Failure::new(format_args!("volume {}: no group {value:?}", self.name))
                })?;
                all.extend(options);
            }
        }
        let own = self.options.iter().filter(|(key, _)| *key != "group");
        all.extend(own.map(|(key, value)| (key.as_str(), value.as_str())));
        Ok(all)
    }

    fn core_shape(&self) -> CoreShape {
        let replica = self.replica.unwrap_or(self.bricks.len().min(usize::from(u16::MAX)) as u16);
        match self.shape {
            Shape::Distribute | Shape::Block => CoreShape::Distribute,
            Shape::Replica => CoreShape::Replicate { replica, arbiter: false },
            Shape::Arbiter => {
                CoreShape::Replicate { replica: self.replica.unwrap_or(3), arbiter: true }
            }
        }
    }

    /// The volume's id: as described, as its bricks say, or a new one.
    pub(crate) fn find_id(&self) -> Result<Gfid, Failure> {
        if let Some(id) = &self.id {
            return Gfid::parse(id.as_bytes()).ok_or_else(|| {
                Failure::new(format_args!("volume {}: {id:?} is no id", self.name))
            });
        }
        if self.shape == Shape::Block {
            return Ok(Images::volume_id(&self.name));
        }
        if let Some(id) = self.bricks.iter().find_map(|path| Brick::volume_id_of(path)) {
            return Ok(id);
        }
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)
            .map_err(|error| Failure::new(format_args!("no randomness: {error}")))?;
        Ok(Gfid::v4(bytes))
    }

    /// Is this a volume that can be served?
    pub(crate) fn verify(&self) -> Result<(), Failure> {
        let place = Where { host: "localhost".into(), port: Some(24007), socket: None };
        self.with_spec(Gfid::ROOT, &place, |spec| spec.check().map_err(|error| self.is_none(error)))
    }

    /// Why there cannot be such a volume.
    fn is_none(&self, error: VolgenError<'_>) -> Failure {
        match error {
            VolgenError::Path { brick } => {
                let path = self.brick_paths().get(brick).cloned().unwrap_or_default();
                self.failed(format_args!(
                    "brick {path:?}: blanks, quotes and backslashes cannot be in its path"
                ))
            }
            error => self.failed(error),
        }
    }

    fn failed(&self, error: impl std::fmt::Display) -> Failure {
        Failure::new(format_args!("volume {}: {error}", self.name))
    }

    fn with_spec<T>(
        &self,
        id: Gfid,
        place: &Where,
        with: impl FnOnce(&VolumeSpec<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut named = Vec::new();
        for path in self.brick_paths() {
            let text = path.to_str();
            let text =
                text.ok_or_else(|| self.failed(format_args!("{} is no text", path.display())))?;
            named.push((place.host.clone(), text.to_owned()));
        }
        let bricks: Vec<BrickSpec<'_>> =
            named.iter().map(|(host, path)| BrickSpec { host, port: place.port, path }).collect();
        let options = self.all_options()?;
        let spec = VolumeSpec {
            name: &self.name,
            volume_id: id,
            shape: self.core_shape(),
            bricks: &bricks,
            options: &options,
            family: Family::Any,
        };
        with(&spec)
    }

    /// The volume, with its bricks open.
    pub(crate) fn volume(&self, place: &Where, bricks: &mut Bricks) -> Result<Opened, Failure> {
        let id = self.find_id()?;
        let volfiles = self.with_spec(id, place, |spec| {
            spec.check().map_err(|error| self.is_none(error))?;
            let mut texts = BTreeMap::new();
            let mut client = String::new();
            write_client(spec, &mut client).map_err(|error| self.failed(error))?;
            for key in ["", ".tcp", ".tcp-fuse"] {
                texts.insert(format!("{}{key}", self.name), client.clone());
            }
            let mut shd = String::new();
            if write_shd(spec, &mut shd).is_ok() {
                texts.insert(format!("shd/{}", self.name), shd);
            }
            Ok(texts)
        })?;
        let (access, owner) = self.server_options()?;
        let paths = self.brick_paths();
        // Bricks that have served this volume before.
        let old: Vec<bool> =
            paths.iter().map(|path| Brick::volume_id_of(path) == Some(id)).collect();
        // Where there was nothing yet, nothing can be missing.
        let served = paths.iter().zip(&old).any(|(path, old)| *old && Brick::holds_anything(path));
        let mut absent = Vec::new();
        let mut there: Vec<Option<Arc<dyn Backend>>> = vec![None; paths.len()];
        let in_order =
            (0..paths.len()).filter(|at| old[*at]).chain((0..paths.len()).filter(|at| !old[*at]));
        for at in in_order {
            let path = &paths[at];
            if Brick::is_reset(path, id) && !old[at] && self.others_do(&old, at) {
                // Before it has an id, and is not new any more.
                heal::fill_new(&self.name, self.set_of(at), at, &there)
                    .map_err(|error| self.failed(error))?;
            }
            let backend = bricks.open(path.clone(), owner, |path| match self.shape {
                Shape::Block => {
                    let options = ImagesOptions { volume_id: id, owner };
                    let images = Images::open(&self.images(), &options);
                    Ok(Arc::new(images.map_err(|error| self.failed(error))?))
                }
                _ => self.open_directory(path, id, owner, served && !old[at]),
            });
            match backend {
                Ok(backend) => there[at] = Some(backend),
                // The others of its set have what it has, and note what it misses.
                Err(failure) if self.others_do(&old, at) && !is_foreign(path, id) => {
                    absent.push(failure)
                }
                Err(failure) => return Err(failure),
            }
        }
        let services = paths.iter().zip(there).filter_map(|(path, backend)| {
            let name = path.display().to_string();
            Some(BrickService { name, access: access.clone(), backend: backend? })
        });
        let services = services.collect();
        let volume = Volume { name: self.name.clone(), id, volfiles, bricks: services };
        Ok(Opened { volume, absent })
    }

    fn open_directory(
        &self,
        path: &Path,
        id: Gfid,
        owner: Owner,
        lacks_what_others_have: bool,
    ) -> Result<Arc<dyn Backend>, Failure> {
        // A volume that has been served is not made again in what a disk that is not mounted leaves.
        let is_others = Brick::volume_id_of(path).is_some();
        if lacks_what_others_have && !is_others && !Brick::is_reset(path, id) {
            let (is, path) =
                (if path.exists() { "has not served it" } else { "is not there" }, path.display());
            return Err(self.failed(format_args!(
                "brick {path} {is}: mount its disk, or let it begin with an empty directory: brickwire volume \
                 reset-brick {} {path} --id {id}",
                self.name
            )));
        }
        std::fs::create_dir_all(path).map_err(|error| match path.exists() {
            true => self.failed(format_args!("brick {} is no directory", path.display())),
            false => Failure::local(
                format!("brick {}: cannot make the directory", path.display()),
                &error,
            ),
        })?;
        let xattrs = self.xattrs.space(path);
        let shared_by = self.bricks.len() as u32;
        let options = BrickOptions { volume_id: id, owner, xattrs, shared_by };
        let brick = Arc::new(Brick::open(path, options).map_err(Failure::new)?);
        sweep(path, &brick);
        Ok(brick)
    }

    /// The bricks of a set, by one of them.
    fn set_of(&self, at: usize) -> Range<usize> {
        let replica = match self.core_shape() {
            CoreShape::Replicate { replica, .. } => usize::from(replica).max(1),
            CoreShape::Distribute => 1,
        };
        let set = at / replica * replica;
        set..(set + replica).min(self.bricks.len())
    }

    /// Has another brick of this one's set served the volume before?
    fn others_do(&self, old: &[bool], at: usize) -> bool {
        self.set_of(at).any(|other| other != at && old[other])
    }

    /// Options that the server itself takes.
    fn server_options(&self) -> Result<(Access, Owner), Failure> {
        let mut access = Access::default();
        let mut owner = (None, None);
        for (key, value) in self.all_options()? {
            let Ok(Target::Server(option)) = check(key, value) else { continue };
            let on = Token::from(value).to_bool().unwrap_or(false);
            let list = || value.split(',').map(|each| each.trim().to_owned()).collect();
            match option {
                ServerOption::AllowInsecure => access.privileged_ports_only = !on,
                ServerOption::AuthAllow => access.allow = list(),
                ServerOption::AuthReject => access.reject = list(),
                ServerOption::ReadOnly => access.read_only = on,
                // -1 leaves it, and is no u32.
                ServerOption::OwnerUid => owner.0 = value.parse().ok(),
                ServerOption::OwnerGid => owner.1 = value.parse().ok(),
                _ => {}
            }
        }
        Ok((access, owner))
    }
}
