//! Two volumes of each server, mounted with GlusterFS's FUSE client: one to test in, one to make
//! anew.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::cluster::Cluster;
use crate::command::{read, run, workspace};
use crate::servers::{Brickwire, Glusterfsd, Server};

const TEST: &str = "peers";
const SCRATCH: &str = "peers-scratch";

/// Both servers, ready for a suite.
pub(super) struct Places<'c> {
    glusterfsd: [Glusterfsd<'c>; 2],
    ours: Brickwire,
    brick_dirs: PathBuf,
}

impl<'c> Places<'c> {
    pub(super) fn start(cluster: &'c Cluster, program: &Path) -> Result<Self> {
        let glusterfsd = [Glusterfsd::start(cluster, TEST)?, Glusterfsd::start(cluster, SCRATCH)?];
        let brick_dirs = glusterfsd[0].sibling("peers-ours");
        let _absent = fs::remove_dir_all(&brick_dirs);
        let dirs = [TEST, SCRATCH].map(|volume| brick_dirs.join(volume));
        dirs.iter().try_for_each(fs::create_dir_all)?;
        let ours = Brickwire::start(program, &[(TEST, &dirs[0]), (SCRATCH, &dirs[1])], &[])?;
        let places = Self { glusterfsd, ours, brick_dirs };
        places.all().iter().try_for_each(Place::mount)?;
        Ok(places)
    }

    /// glusterfsd and ours.
    pub(super) fn all(&self) -> [Place<'_>; 2] {
        let of = |name, test, scratch| Place {
            test,
            scratch,
            dir: workspace().join("target/peers").join(name),
        };
        let [test, scratch] = &self.glusterfsd;
        [
            of("glusterfsd", test.server(), scratch.server()),
            of("ours", self.ours.server(TEST), self.ours.server(SCRATCH)),
        ]
    }
}

impl Drop for Places<'_> {
    fn drop(&mut self) {
        for place in self.all() {
            for dir in [place.test_dir(), place.scratch_dir()] {
                let _not_mounted = read(Command::new("umount").arg("-l").arg(dir));
            }
        }
        let _stays = fs::remove_dir_all(&self.brick_dirs);
    }
}

/// One server's mounts.
pub(super) struct Place<'a> {
    test: Server<'a>,
    scratch: Server<'a>,
    dir: PathBuf,
}

impl Place<'_> {
    /// The mount to test in.
    pub(super) fn test_dir(&self) -> PathBuf {
        self.dir.join("test")
    }

    /// The mount point of the second volume.
    pub(super) fn scratch_dir(&self) -> PathBuf {
        self.dir.join("scratch")
    }

    /// The first volume, as mount(8) names it.
    pub(super) fn test_device(&self) -> String {
        format!("{}:/{}", self.test.host, self.test.volume)
    }

    /// The second volume, as mount(8) names it.
    pub(super) fn scratch_device(&self) -> String {
        format!("{}:/{}", self.scratch.host, self.scratch.volume)
    }

    /// A command in the server's network namespace, ended after so many seconds.
    pub(super) fn command(&self, program: impl AsRef<Path>, seconds: u32) -> Command {
        let mut command = self.test.client("timeout");
        command.args(["--kill-after=5", &seconds.to_string()]).arg(program.as_ref());
        command
    }

    fn mount(&self) -> Result<()> {
        for dir in [self.test_dir(), self.scratch_dir()] {
            let _not_mounted = read(Command::new("umount").arg("-l").arg(&dir));
            fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
        }
        let mut mount = self.test.client("mount");
        mount.args(["-t", "glusterfs", &self.test_device()]).arg(self.test_dir());
        run(&mut mount)
    }

    /// Removes everything in the mount to test in.
    pub(super) fn clear(&self) -> Result<()> {
        for entry in fs::read_dir(self.test_dir())? {
            let path = entry?.path();
            let removed = if path.is_dir() && !path.is_symlink() {
                fs::remove_dir_all(&path)
            } else {
                fs::remove_file(&path)
            };
            removed.with_context(|| path.display().to_string())?;
        }
        Ok(())
    }
}

/// Adds the users that suites need, in this mount namespace only.
pub(super) fn add_users() -> Result<()> {
    let dir = workspace().join("target/peers");
    fs::create_dir_all(&dir)?;
    let added = [
        (
            "passwd",
            "fsgqa:x:6001:6001::/tmp:/bin/bash\nfsgqa2:x:6002:6002::/tmp:/bin/bash\n\
                    123456-fsgqa:x:6003:6003::/tmp:/bin/bash\n",
        ),
        ("group", "fsgqa:x:6001:\nfsgqa2:x:6002:\n123456-fsgqa:x:6003:\n"),
    ];
    for (file, lines) in added {
        let (of_machine, here) = (Path::new("/etc").join(file), dir.join(file));
        let text = fs::read_to_string(&of_machine)?;
        fs::write(&here, format!("{}\n{lines}", text.trim_end()))?;
        read(Command::new("mount").arg("--bind").arg(&here).arg(&of_machine))?;
    }
    Ok(())
}
