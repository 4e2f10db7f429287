//! A volume as an administrator configures it: `--volume`, a server's file, a state directory.

mod address;
mod conflicts;
mod fill_new;
mod gluster_words;
mod open;
mod options;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use brickwire_block::{ImageSpec, Images};
use brickwire_core::volgen::{
    BrickSpec, Family, Shape as CoreShape, VolgenError, VolumeSpec, group,
};
use brickwire_core::xdr::Gfid;
use brickwire_posix::{Brick, XattrNamespace};

use crate::args::{VolumeShape, VolumeXattrs};
use crate::failure::Failure;

pub(crate) use address::ServerAddress;
pub(crate) use conflicts::ConflictCheck;
pub(crate) use gluster_words::Words;
pub(crate) use open::Bricks;

/// How files are placed on the bricks of a volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Shape {
    /// Each file is on one brick.
    #[default]
    Distribute,
    /// Each file is on every brick of a set.
    Replica,
    /// As `Replica`, but the last brick of three keeps names and attributes only.
    Arbiter,
    /// Each brick is a device or file, and one image of the volume.
    Block,
}

/// Where bricks keep the attributes that only a brick may set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Xattrs {
    /// `trusted.*`, as GlusterFS does.
    #[default]
    Trusted,
    /// `user.brickwire.*`: needs no root, and no other server reads it.
    User,
    /// `Trusted` where this process may set such attributes, else `User`.
    Any,
}

impl Xattrs {
    pub(crate) fn space(self, brick: &Path) -> XattrNamespace {
        match self {
            Self::Trusted => XattrNamespace::Trusted,
            Self::User => XattrNamespace::User,
            Self::Any => Brick::xattr_namespace_of(brick),
        }
    }

    fn is_trusted(&self) -> bool {
        *self == Self::Trusted
    }
}

impl From<VolumeXattrs> for Xattrs {
    fn from(xattrs: VolumeXattrs) -> Self {
        match xattrs {
            VolumeXattrs::Trusted => Self::Trusted,
            VolumeXattrs::User => Self::User,
        }
    }
}

impl From<VolumeShape> for Shape {
    fn from(shape: VolumeShape) -> Self {
        match shape {
            VolumeShape::Distribute => Self::Distribute,
            VolumeShape::Replica => Self::Replica,
            VolumeShape::Arbiter => Self::Arbiter,
            VolumeShape::Block => Self::Block,
        }
    }
}

/// A volume as an administrator configures it.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct VolumeConfig {
    pub(crate) name: String,
    /// Set in state directories; elsewhere it is read from the bricks, or new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    #[serde(default)]
    pub(crate) shape: Shape,
    /// Bricks of one set, where there is more than one set.
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
    Ok(<options::Options as serde::Deserialize>::deserialize(from)?.0)
}

impl VolumeConfig {
    /// `NAME=DIR[,DIR…]`, `NAME=replica:DIR,DIR,DIR`, `NAME=arbiter:DIR,DIR,DIR`,
    /// `NAME=block:[IMAGE=]PATH,…`.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let usage = || {
            Failure::usage(format_args!(
                "--volume {text:?}: expected NAME=DIR, NAME=replica:DIR1,DIR2,DIR3, \
                 NAME=arbiter:DIR1,DIR2,DIR3 or NAME=block:[IMAGE=]PATH"
            ))
        };
        let (name, rest) = text.split_once('=').ok_or_else(usage)?;
        let (shape, rest) = match rest.split_once(':') {
            Some(("replica", rest)) => (Shape::Replica, rest),
            Some(("arbiter", rest)) => (Shape::Arbiter, rest),
            Some(("block", rest)) => (Shape::Block, rest),
            // HOST:/DIR is understood; any other word and colon is a mistake, not a directory.
            Some((word, path))
                if !path.starts_with('/')
                    && !word.is_empty()
                    && word.bytes().all(|byte| byte.is_ascii_alphabetic()) =>
            {
                return Err(Failure::usage(format_args!(
                    "--volume {text:?}: bricks are replica:, arbiter: or block:, and not {word}: \
                     (a directory of that name is ./{word}:…)"
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

    /// Makes paths absolute, and understands `HOST:/DIR` of this host.
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
                        Failure::new(format_args!("{} is not UTF-8", brick.display()))
                    })?;
                    PathBuf::from(format!("{}={}", spec.name, absolute(&spec.path)?.display()))
                }
                _ => absolute(&gluster_words::local_directory(brick)?)?,
            };
        }
        Ok(self)
    }

    /// The names of bricks in volfiles. All images of a block volume are in one brick, which has no
    /// directory.
    fn brick_paths(&self) -> Vec<PathBuf> {
        match self.shape {
            Shape::Block => vec![PathBuf::from(format!("/block/{}", self.name))],
            _ => self.bricks.clone(),
        }
    }

    fn images(&self) -> Vec<ImageSpec> {
        // `absolute` has put a name before each path and refused paths that are not UTF-8.
        self.bricks.iter().map(|brick| ImageSpec::parse(&brick.to_string_lossy())).collect()
    }

    /// All options, with the options of a `group` in its place.
    pub(crate) fn all_options(&self) -> Result<Vec<(&str, &str)>, Failure> {
        let mut all: Vec<(&str, &str)> = Vec::new();
        for (key, value) in &self.options {
            if key == "group" {
                let options = group(value).ok_or_else(|| {
                    Failure::new(format_args!(
                        "volume {}: there is no option group {value:?}",
                        self.name
                    ))
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

    /// The volume's id: as configured, as the bricks have it, or a new one.
    pub(crate) fn find_id(&self) -> Result<Gfid, Failure> {
        if let Some(id) = &self.id {
            return Gfid::parse(id.as_bytes()).ok_or_else(|| {
                Failure::new(format_args!("volume {}: {id:?} is not a volume id", self.name))
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
            .map_err(|error| Failure::new(format_args!("cannot get random bytes: {error}")))?;
        Ok(Gfid::v4(bytes))
    }

    /// Checks that the volume can be served.
    pub(crate) fn verify(&self) -> Result<(), Failure> {
        let place = ServerAddress { host: "localhost".into(), port: Some(24007), socket: None };
        self.with_spec(Gfid::ROOT, &place, |spec| spec.check().map_err(|error| self.is_none(error)))
    }

    /// The failure for a volume that cannot exist.
    fn is_none(&self, error: VolgenError<'_>) -> Failure {
        match error {
            VolgenError::Path { brick } => {
                let path = self.brick_paths().get(brick).cloned().unwrap_or_default();
                self.failed(format_args!(
                    "brick {path:?}: its path must not contain blanks, quotes or backslashes"
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
        place: &ServerAddress,
        with: impl FnOnce(&VolumeSpec<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut named = Vec::new();
        for path in self.brick_paths() {
            let text = path.to_str();
            let text =
                text.ok_or_else(|| self.failed(format_args!("{} is not UTF-8", path.display())))?;
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
}
