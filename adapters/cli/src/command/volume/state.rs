//! A state directory: `volumes/NAME.toml`, and locks for its writers and its server.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::command::volume_config::VolumeConfig;
use crate::failure::Failure;
use crate::toml_error::fault_in;

/// Attempts to take a lock that another process may hold for an instant.
const ASKED_MAX: usize = 20;

/// The files of a directory with their inodes and times: equal only if no file changed.
pub(super) type Stamp = Vec<(PathBuf, u64, Option<SystemTime>)>;

/// A volume and its state, as stored.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredVolume {
    pub(super) started: bool,
    pub(super) volume: VolumeConfig,
}

impl StoredVolume {
    pub(super) fn status(&self) -> &'static str {
        if self.started { "started" } else { "stopped" }
    }
}

/// A state directory.
#[derive(Clone, Debug)]
pub(super) struct State {
    directory: PathBuf,
}

impl State {
    pub(super) fn at(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    fn volumes(&self) -> PathBuf {
        self.directory.join("volumes")
    }

    fn path(&self, name: &str) -> Result<PathBuf, Failure> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if name.is_empty() || name.starts_with('-') || !name.bytes().all(good) {
            return Err(Failure::usage(format_args!(
                "{name:?} is not a volume name: use letters, digits, - (not first) and _"
            )));
        }
        Ok(self.volumes().join(format!("{name}.toml")))
    }

    pub(super) fn read(&self, name: &str) -> Result<StoredVolume, Failure> {
        let path = self.path(name)?;
        // Opening a pipe, or a link to one, would block.
        if path.metadata().is_ok_and(|meta| !meta.is_file()) {
            return Err(Failure::new(format_args!(
                "{} is not a regular file: remove it",
                path.display()
            )));
        }
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let at = self.directory.display();
                return Err(Failure::new(format_args!(
                    "there is no volume {name} in {at}: `brickwire volume list` prints their names"
                )));
            }
            Err(error) => return Err(Failure::local(path.display().to_string(), &error)),
        };
        let damaged = |error: &dyn std::fmt::Display| {
            let path = path.display();
            Failure::new(format_args!("{path} is damaged: repair or remove it: {error}"))
        };
        let kept: StoredVolume =
            toml::from_str(&text).map_err(|error| damaged(&fault_in(&text, &error)))?;
        if kept.volume.name != name {
            return Err(damaged(&format_args!("it is of volume {:?}", kept.volume.name)));
        }
        Ok(kept)
    }

    pub(super) fn create(
        &self,
        name: &str,
        create: impl FnOnce(&[StoredVolume]) -> Result<StoredVolume, Failure>,
    ) -> Result<StoredVolume, Failure> {
        let path = self.path(name)?;
        let _one_at_a_time = self.lock_changes()?;
        if path.exists() {
            return Err(Failure::new(format_args!("volume {name} exists already")));
        }
        // A damaged volume is left out of the check for conflicts.
        let others: Vec<StoredVolume> =
            self.names()?.iter().filter_map(|name| self.read(name).ok()).collect();
        let kept = create(&others)?;
        self.write(&path, &kept)?;
        Ok(kept)
    }

    pub(super) fn change(
        &self,
        name: &str,
        change: impl FnOnce(&mut StoredVolume) -> Result<(), Failure>,
    ) -> Result<StoredVolume, Failure> {
        let path = self.path(name)?;
        // A volume that does not exist is reported before a directory is made for the lock.
        self.read(name)?;
        let _one_at_a_time = self.lock_changes()?;
        let mut kept = self.read(name)?;
        change(&mut kept)?;
        self.write(&path, &kept)?;
        Ok(kept)
    }

    pub(super) fn delete(&self, name: &str) -> Result<StoredVolume, Failure> {
        let path = self.path(name)?;
        self.read(name)?;
        let _one_at_a_time = self.lock_changes()?;
        let kept = self.read(name)?;
        if kept.started {
            return Err(Failure::new(format_args!("volume {name} is started: stop it first")));
        }
        let removed = fs::remove_file(&path).and_then(|()| sync(&self.volumes()));
        removed.map_err(|error| Failure::local(path.display().to_string(), &error))?;
        Ok(kept)
    }

    fn write(&self, path: &Path, kept: &StoredVolume) -> Result<(), Failure> {
        let failed = |error: io::Error| Failure::local(path.display().to_string(), &error);
        let text = toml::to_string(kept).map_err(Failure::new)?;
        // Written beside and renamed: a server that reads meanwhile sees the old file or the new
        // one.
        let beside = path.with_extension("new");
        let written = fs::write(&beside, text)
            .and_then(|()| File::open(&beside)?.sync_all())
            .and_then(|()| fs::rename(&beside, path));
        if written.is_err() {
            let _ = fs::remove_file(&beside);
        }
        written.and_then(|()| sync(&self.volumes())).map_err(failed)
    }

    /// Names of all volumes, damaged ones too; none if the directory does not exist.
    pub(super) fn names(&self) -> Result<Vec<String>, Failure> {
        if self
            .volumes()
            .symlink_metadata()
            .is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
        {
            return Ok(Vec::new());
        }
        self.names_there()
    }

    /// Names of all volumes, for a server: a directory that disappeared is an error, not a
    /// directory without volumes.
    pub(super) fn names_there(&self) -> Result<Vec<String>, Failure> {
        let volumes = self.volumes();
        let failed = |error: io::Error| Failure::local(volumes.display().to_string(), &error);
        let entries = fs::read_dir(&volumes).map_err(failed)?;
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.map_err(failed)?.file_name();
            let name = name.to_str().and_then(|name| name.strip_suffix(".toml"));
            // Other names are not volumes.
            names.extend(name.filter(|name| self.path(name).is_ok()).map(str::to_owned));
        }
        names.sort();
        Ok(names)
    }

    /// Changes whenever a volume does: each file is replaced, never written in place.
    pub(super) fn stamp(&self) -> Stamp {
        use std::os::unix::fs::MetadataExt as _;
        let Ok(entries) = fs::read_dir(self.volumes()) else { return Vec::new() };
        let mut stamps = Vec::new();
        for path in entries.flatten().map(|entry| entry.path()) {
            if let Ok(meta) = fs::metadata(&path) {
                stamps.push((path, meta.ino(), meta.modified().ok()));
            }
        }
        stamps.sort();
        stamps
    }

    /// The lock that writers take.
    fn lock_changes(&self) -> Result<File, Failure> {
        let path = self.directory.join("change.lock");
        let open = || -> io::Result<File> {
            fs::create_dir_all(self.volumes())?;
            let file = File::create(&path)?;
            file.lock()?;
            Ok(file)
        };
        open().map_err(|error| self.failed(&path, &error))
    }

    fn failed(&self, path: &Path, error: &io::Error) -> Failure {
        let path = path.display();
        match error.kind() {
            io::ErrorKind::PermissionDenied => Failure::new(format_args!(
                "{path}: {error}: run as root, or name a directory of yours with --state"
            )),
            _ => Failure::local(path, error),
        }
    }

    /// Does a server watch the directory?
    pub(super) fn is_followed(&self) -> bool {
        let there = File::open(self.directory.join("serve.lock"));
        there.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// The lock that a server holds while it watches the directory.
    pub(super) fn lock_serving(&self) -> Result<File, Failure> {
        let path = self.directory.join("serve.lock");
        let failed = |error: io::Error| self.failed(&path, &error);
        fs::create_dir_all(self.volumes()).map_err(failed)?;
        let file = File::create(&path).map_err(failed)?;
        // `is_followed` of another process may hold the lock for an instant.
        for _ in 0..ASKED_MAX {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(10)),
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
        let at = self.directory.display();
        Err(Failure::new(format_args!(
            "the volumes in {at} are served by another brickwire already: stop it, or use \
            another --state"
        )))
    }
}

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_lead_out_of_the_directory() {
        let state = State::at(Path::new("/state"));
        for name in ["", "..", "../x", "a/b", "a.b", "-x", "a b", "ä"] {
            assert!(state.path(name).is_err_and(|failure| failure.is_usage()), "{name:?}");
        }
        assert_eq!(state.path("vm-1_a").unwrap(), Path::new("/state/volumes/vm-1_a.toml"));
    }
}
