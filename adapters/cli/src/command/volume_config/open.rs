//! Opens the bricks of a configured volume, and makes it ready to be served.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use brickwire_block::{Images, ImagesOptions};
use brickwire_core::volfile::Token;
use brickwire_core::volgen::{
    AddressRule as CoreRule, ServerOption, Shape as CoreShape, Target, address_rules, check,
    write_client, write_shd,
};
use brickwire_core::xdr::Gfid;
use brickwire_posix::{Brick, BrickOptions};
use brickwire_server::{Access, AddressRule, Backend, BrickService, Volume};

use super::{ServerAddress, Shape, VolumeConfig, fill_new};
use crate::failure::Failure;
use crate::output;

/// A volume that is ready to be served, perhaps without some of its bricks.
pub(crate) struct OpenedVolume {
    pub(crate) volume: Volume,
    /// Why each absent brick cannot be served now.
    pub(crate) absent: Vec<Failure>,
}

/// Does the directory belong to another volume? Then the configuration is wrong, and waiting for
/// the brick is no use.
fn is_foreign(path: &Path, id: Gfid) -> bool {
    Brick::volume_id_of(path).is_some_and(|other| other != id)
}

/// User and group of a volume's root directory.
type Owner = (Option<u32>, Option<u32>);

/// Open bricks by their directories: a volume that changes keeps the bricks that it has.
#[derive(Default)]
pub(crate) struct Bricks {
    /// Directories that do not exist are made.
    makes_directories: bool,
    open: HashMap<PathBuf, (Arc<dyn Backend>, Owner)>,
}

impl Bricks {
    pub(crate) fn new(makes_directories: bool) -> Self {
        Self { makes_directories, ..Self::default() }
    }

    /// Closes all bricks but those of these volumes.
    pub(crate) fn keep<'a>(&mut self, volumes: impl Iterator<Item = &'a VolumeConfig>) {
        let used: HashSet<PathBuf> = volumes.flat_map(VolumeConfig::brick_paths).collect();
        self.open.retain(|path, _| used.contains(path));
    }

    fn open(
        &mut self,
        path: PathBuf,
        owner: Owner,
        open: impl FnOnce(&Path) -> Result<Arc<dyn Backend>, Failure>,
    ) -> Result<Arc<dyn Backend>, Failure> {
        if let Some((brick, was)) = self.open.get_mut(&path) {
            // The owner of a served directory changes at once; that of images when they are opened
            // again.
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

/// After a crash of the machine, removes handles that lead to nothing, on a thread, while the brick
/// is served.
fn sweep(path: &Path, brick: &Arc<Brick>) {
    if !brick.was_cut_off() {
        return;
    }
    let (brick, path) = (Arc::clone(brick), path.display().to_string());
    let swept = std::thread::Builder::new().name("sweep".into()).spawn(move || {
        let removed = brick.sweep();
        if removed > 0 {
            output::warn(&format!(
                "brick {path}: removed {removed} handles without a file, left by a crash"
            ));
        }
    });
    // Such handles do no harm, and the next start looks again.
    drop(swept);
}

impl VolumeConfig {
    /// Opens the volume's bricks, and writes its volfiles.
    pub(crate) fn volume(
        &self,
        place: &ServerAddress,
        bricks: &mut Bricks,
    ) -> Result<OpenedVolume, Failure> {
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
        // Bricks that have served this volume before, which are opened first.
        let old: Vec<bool> =
            paths.iter().map(|path| Brick::volume_id_of(path) == Some(id)).collect();
        // While all bricks are empty, a new one lacks nothing.
        let served = paths.iter().zip(&old).any(|(path, old)| *old && Brick::holds_anything(path));
        let mut absent = Vec::new();
        let mut there: Vec<Option<Arc<dyn Backend>>> = vec![None; paths.len()];
        let in_order =
            (0..paths.len()).filter(|at| old[*at]).chain((0..paths.len()).filter(|at| !old[*at]));
        for at in in_order {
            let path = &paths[at];
            if Brick::is_reset(path, id) && !old[at] && self.others_do(&old, at) {
                // Marked before the brick gets the volume's id: with an id it is no new brick any
                // more.
                fill_new::fill_new(&self.name, self.set_of(at), at, &there)
                    .map_err(|error| self.failed(error))?;
            }
            let make = bricks.makes_directories;
            let backend = bricks.open(path.clone(), owner, |path| match self.shape {
                Shape::Block => {
                    let options = ImagesOptions { volume_id: id, owner };
                    let images = Images::open(&self.images(), &options);
                    Ok(Arc::new(images.map_err(|error| self.failed(error))?))
                }
                _ => self.open_directory(path, id, owner, served && !old[at], make),
            });
            match backend {
                Ok(backend) => there[at] = Some(backend),
                // The other bricks of the set have its files, and note what it misses.
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
        Ok(OpenedVolume { volume, absent })
    }

    fn open_directory(
        &self,
        path: &Path,
        id: Gfid,
        owner: Owner,
        lacks_what_others_have: bool,
        make: bool,
    ) -> Result<Arc<dyn Backend>, Failure> {
        // The mount point of an unmounted disk must not become a new, empty brick of a volume that
        // has data.
        let is_others = Brick::volume_id_of(path).is_some();
        if lacks_what_others_have && !is_others && !Brick::is_reset(path, id) {
            let (is, path) = (
                if path.exists() { "has not served it before" } else { "does not exist" },
                path.display(),
            );
            return Err(self.failed(format_args!(
                "brick {path} {is}: mount its disk, or replace it by an empty directory: \
                brickwire volume \
                 reset-brick {} {path} --id {id}",
                self.name
            )));
        }
        // A brick opens files through /proc/self/fd; without it every open would be ENOENT.
        if !Path::new("/proc/self/fd").is_dir() {
            return Err(self.failed("bricks need /proc, which is not mounted here: mount it"));
        }
        self.find_directory(path, make)?;
        let xattrs = self.xattrs.space(path);
        let shared_by = self.bricks.len() as u32;
        let disk_times = self
            .all_options()?
            .iter()
            .rfind(|(key, _)| *key == "features.ctime")
            .is_some_and(|(_, value)| Token::from(*value).to_bool() == Ok(false));
        let replicated = self.set_of(0).len() > 1;
        let options =
            BrickOptions { volume_id: id, owner, xattrs, shared_by, disk_times, replicated };
        let brick = Arc::new(Brick::open(path, options).map_err(Failure::new)?);
        sweep(path, &brick);
        Ok(brick)
    }

    /// Checks that a brick's directory exists, or makes it. A typo and a disk that is not mounted
    /// look the same as a new volume, so a directory is only made when asked for.
    pub(crate) fn find_directory(&self, path: &Path, make: bool) -> Result<(), Failure> {
        let brick = path.display();
        match std::fs::metadata(path) {
            Ok(found) if found.is_dir() => Ok(()),
            Ok(_) => Err(self.failed(format_args!("brick {brick} is not a directory"))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && make => {
                std::fs::create_dir_all(path).map_err(|error| {
                    Failure::local(format!("brick {brick}: cannot make the directory"), &error)
                })
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(self.failed(format_args!(
                    "brick {brick} does not exist: mount its disk, or make it: --create does"
                )))
            }
            Err(error) => Err(Failure::local(format!("brick {brick}"), &error)),
        }
    }

    /// The indexes of the bricks in one brick's set.
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

    /// Options that the server itself acts on.
    fn server_options(&self) -> Result<(Access, Owner), Failure> {
        let mut access = Access::default();
        let mut owner = (None, None);
        for (key, value) in self.all_options()? {
            let Ok(Target::Server(option)) = check(key, value) else { continue };
            let on = Token::from(value).to_bool().unwrap_or(false);
            let list = || {
                let owned = |rule: CoreRule<'_>| AddressRule {
                    directory: rule.directory.map(str::to_owned),
                    pattern: rule.pattern.to_owned(),
                };
                // `check` has accepted the value.
                address_rules(value).flatten().map(owned).collect()
            };
            match option {
                ServerOption::AllowInsecure => access.privileged_ports_only = !on,
                ServerOption::AuthAllow => access.allow = list(),
                ServerOption::AuthReject => access.reject = list(),
                ServerOption::ReadOnly => access.read_only = on,
                // -1 leaves the owner as it is, and does not parse as u32.
                ServerOption::OwnerUid => owner.0 = value.parse().ok(),
                ServerOption::OwnerGid => owner.1 = value.parse().ok(),
                _ => {}
            }
        }
        Ok((access, owner))
    }
}
