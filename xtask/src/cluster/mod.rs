//! A private GlusterFS for tests: one glusterd and its bricks on this machine.
//!
//! All files are in one directory and are removed with it, except those that gluster puts
//! elsewhere: two lines in the hosts file, the bricks' management sockets in `/var/run/gluster`,
//! and a template of glusterd's. `down` removes these as well. gluster listens on all addresses of
//! the machine, so the network must be trusted. Clients ask glusterd at port 24007 for the bricks'
//! ports, because volfiles carry no port; so there is one cluster in a network namespace.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! use xtask::cluster::Cluster;
//!
//! let mut cluster = Cluster::attach_or_up()?;      // brought down on drop only if brought up here
//! let image = cluster.volume("single")?.brick_dir.join("a.img");
//! let uri = format!("gluster://{}/single/a.img", cluster.host());
//! cluster.kill_brick("single")?;                   // SIGKILL, at once
//! cluster.start_brick("single")?;                  // and back, serving
//! # drop((image, uri)); Ok(()) }
//! ```

mod glusterd;
mod hosts;
mod layout;
mod process;
mod report;
mod state;

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use crate::command::workspace;
use process::Process;
pub use process::wait_until_stopped;
pub use state::{BrickInfo, State, VolumeInfo};

/// A cluster that is up.
#[derive(Debug)]
pub struct Cluster {
    state: State,
    ours: bool,
    /// Excludes other tests while this value exists.
    alone: Option<File>,
}

/// Options of `up`.
#[derive(Clone, Debug)]
pub struct UpOptions {
    /// The cluster's directory; it must be absent, empty or a cluster's.
    pub dir: Option<PathBuf>,
    /// The bricks' host name; with `4` and `6` appended, names for one address family.
    pub prefix: String,
}

impl Default for UpOptions {
    fn default() -> Self {
        Self { dir: None, prefix: PREFIX.to_owned() }
    }
}

impl Cluster {
    /// The running cluster, repaired, or a new one that is brought down when this value is dropped.
    pub fn attach_or_up() -> Result<Self> {
        Self::up(&UpOptions::default())
    }

    /// As [`Cluster::attach_or_up`], for one test: waits until no other value of this function
    /// exists. Otherwise the repair for the second test would continue a process that the first one
    /// has frozen.
    pub fn alone() -> Result<Self> {
        let alone = lock_file("target/cluster-test.lock")?;
        let mut cluster = Self::attach_or_up()?;
        cluster.alone = Some(alone);
        Ok(cluster)
    }

    /// The running cluster, with dead or frozen processes running again; `None` if none is up.
    pub fn attach() -> Result<Option<Self>> {
        let _lock = lock()?;
        Self::attach_locked()
    }

    /// The cluster without repairs; `None` if none is up.
    pub fn current() -> Result<Option<Self>> {
        Ok(Self::status()?.map(|state| Self { state, ours: false, alone: None }))
    }

    /// As [`Cluster::attach_or_up`], with options.
    pub fn up(options: &UpOptions) -> Result<Self> {
        let _lock = lock()?;
        if let Some(cluster) = Self::attach_locked()? {
            let there = &cluster.state.dir;
            match &options.dir {
                Some(dir) if &absolute(dir)? != there => bail!(
                    "a cluster is up in {}: use that one, or bring it down first (cargo xtask \
                     cluster down)",
                    there.display()
                ),
                _ => return Ok(cluster),
            }
        }
        forget_lost_link();
        let dir = options.dir.as_deref().map_or_else(known_dir, absolute)?;
        refuse_what_cannot_work(&dir, &options.prefix)?;
        let mut cluster =
            Self { state: first_state(&dir, &options.prefix), ours: true, alone: None };
        // From here on a failure drops `cluster`, which removes everything again.
        cluster.make()?;
        Ok(cluster)
    }

    /// The present state; nothing is changed. `None` if no cluster is up.
    pub fn status() -> Result<Option<State>> {
        let Some(mut state) = State::load(&known_dir()?)? else { return Ok(None) };
        state.refresh();
        Ok(Some(state))
    }

    /// Ends all processes of the cluster and removes its files. Returns its directory; `None` if
    /// none was up.
    pub fn down(dir: Option<&Path>) -> Result<Option<PathBuf>> {
        let _lock = lock()?;
        let dir = dir.map_or_else(known_dir, absolute)?;
        let known = State::load(&dir).unwrap_or_default();
        if known.is_none()
            && process::inside(&dir).is_empty()
            && !dir.join(glusterd::VOLFILE).exists()
        {
            return Ok(None);
        }
        take_away(&dir, known)?;
        Ok(Some(dir))
    }

    /// Leaves the cluster up when this value goes away.
    pub fn keep(&mut self) {
        self.ours = false;
    }

    /// Whether this value brought the cluster up and will bring it down.
    pub fn is_ours(&self) -> bool {
        self.ours
    }

    /// The state after the last call that changed something.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The bricks' host name, with addresses of both families.
    pub fn host(&self) -> &str {
        &self.state.host
    }

    /// glusterd's unix socket.
    pub fn socket(&self) -> &Path {
        &self.state.socket
    }

    /// The volume of that name.
    pub fn volume(&self, name: &str) -> Result<&VolumeInfo> {
        let names = || self.state.volumes.keys().cloned().collect::<Vec<_>>().join(", ");
        self.state
            .volumes
            .get(name)
            .with_context(|| format!("the cluster has no volume \"{name}\": it has {}", names()))
    }

    /// The process of the brick in a directory, and the TCP port it serves.
    pub(crate) fn brick_process(&self, dir: &Path) -> Option<(i32, u16)> {
        let all = self.state.processes();
        let brick = all.iter().find(|process| process.brick_dir().as_deref() == Some(dir))?;
        Some((brick.pid, brick.brick_port()?))
    }

    /// Runs `gluster` against this cluster and returns what it printed.
    pub fn gluster(&self, args: &[&str]) -> Result<String> {
        glusterd::gluster(&self.state, args)
    }

    /// Kills every brick of the volume with SIGKILL; returns when they have ended.
    pub fn kill_brick(&mut self, volume: &str) -> Result<()> {
        process::end(&self.bricks(volume, None)?)?;
        self.remember()
    }

    /// Kills one brick of the volume (counted from 0) with SIGKILL.
    pub fn kill_brick_at(&mut self, volume: &str, index: usize) -> Result<()> {
        process::end(&self.bricks(volume, Some(index))?)?;
        self.remember()
    }

    /// Stops every brick of the volume with SIGSTOP: connections stay up, and nothing answers.
    /// Returns when no thread of theirs runs any more.
    pub fn freeze_brick(&mut self, volume: &str) -> Result<()> {
        process::freeze(&self.bricks(volume, None)?)
    }

    /// Stops one brick of the volume (counted from 0) with SIGSTOP.
    pub fn freeze_brick_at(&mut self, volume: &str, index: usize) -> Result<()> {
        self.bricks(volume, Some(index))?.iter().try_for_each(|brick| brick.signal(Signal::STOP))
    }

    /// Continues every brick of the volume with SIGCONT.
    pub fn thaw_brick(&mut self, volume: &str) -> Result<()> {
        self.bricks(volume, None)?.iter().try_for_each(|brick| brick.signal(Signal::CONT))
    }

    /// Starts the volume's bricks that do not run; returns when all serve.
    pub fn start_brick(&mut self, volume: &str) -> Result<()> {
        self.volume(volume)?;
        glusterd::start_volume(&self.state, volume)?;
        if let Some(volume) = self.state.volumes.get_mut(volume) {
            volume.started = true;
        }
        self.remember()
    }

    /// Kills glusterd with SIGKILL; bricks continue.
    pub fn kill_glusterd(&mut self) -> Result<()> {
        let running: Vec<Process> =
            self.state.processes().into_iter().filter(Process::is_glusterd).collect();
        process::end(&running)?;
        self.remember()
    }

    /// Starts glusterd unless it runs. It restarts dead bricks of started volumes by itself.
    pub fn start_glusterd(&mut self) -> Result<()> {
        glusterd::start(&self.state)?;
        self.remember()
    }

    fn attach_locked() -> Result<Option<Self>> {
        let dir = known_dir()?;
        let Some(state) = State::load(&dir)? else { return Ok(None) };
        if state.processes().is_empty() {
            // The machine was rebooted, or the processes were ended from outside.
            take_away(&dir, Some(state))?;
            return Ok(None);
        }
        let mut cluster = Self { state, ours: false, alone: None };
        cluster.state.refresh();
        cluster.state.processes().iter().try_for_each(|process| process.signal(Signal::CONT))?;
        if !cluster.state.is_whole() {
            cluster.start_glusterd()?;
            let started = cluster.state.volumes.iter().filter(|(_, volume)| volume.started);
            for name in started.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
                cluster.start_brick(&name)?;
            }
        }
        Ok(Some(cluster))
    }

    fn make(&mut self) -> Result<()> {
        let dir = self.state.dir.clone();
        self.state.outside.extend(OUTSIDE.iter().map(PathBuf::from).filter(|path| !path.exists()));
        glusterd::prepare(&self.state)?;
        self.state.save()?;
        point_to(&dir)?;
        hosts::add(&self.state.host)?;
        glusterd::start(&self.state)?;
        for spec in layout::VOLUMES {
            glusterd::create_volume(&self.state, spec)?;
            if spec.started {
                glusterd::start_volume(&self.state, spec.name)?;
            }
        }
        self.remember()
    }

    fn remember(&mut self) -> Result<()> {
        self.state.refresh();
        self.state.save()
    }

    /// The processes of all bricks of a volume, or of one, as they are now. Fails if one does not
    /// run: there would be nothing to signal.
    fn bricks(&self, volume: &str, index: Option<usize>) -> Result<Vec<Process>> {
        let bricks = &self.volume(volume)?.bricks;
        let wanted = match index {
            None => &bricks[..],
            Some(index) => std::slice::from_ref(bricks.get(index).with_context(|| {
                format!(
                    "volume \"{volume}\" has no brick {index}: it has {}, counted from 0",
                    bricks.len()
                )
            })?),
        };
        let all = self.state.processes();
        let process = |brick: &BrickInfo| {
            let of = |process: &&Process| process.brick_dir().as_ref() == Some(&brick.dir);
            all.iter().find(of).cloned().with_context(|| {
                format!("no process of volume \"{volume}\" serves {}", brick.dir.display())
            })
        };
        wanted.iter().map(process).collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.ours
            && let Err(error) = take_away(&self.state.dir, Some(self.state.clone()))
        {
            eprintln!("the cluster in {} is not down: {error:#}", self.state.dir.display());
        }
    }
}

fn first_state(dir: &Path, prefix: &str) -> State {
    let volume = |spec: &layout::VolumeSpec| {
        let brick = |index: usize| {
            let name = if spec.bricks == 1 {
                spec.name.to_owned()
            } else {
                format!("{}-{index}", spec.name)
            };
            BrickInfo { dir: dir.join("bricks").join(name), pid: None, port: None }
        };
        VolumeInfo {
            brick_dir: brick(0).dir,
            bricks: (0..spec.bricks).map(brick).collect(),
            replica: spec.replica,
            started: spec.started,
            purpose: spec.purpose.to_owned(),
        }
    };
    State {
        dir: dir.to_owned(),
        host: prefix.to_owned(),
        host_v4: format!("{prefix}4"),
        host_v6: format!("{prefix}6"),
        port: PORT,
        socket: dir.join("glusterd.socket"),
        glusterd_pid: None,
        volumes: layout::VOLUMES.iter().map(|spec| (spec.name.to_owned(), volume(spec))).collect(),
        outside: Vec::new(),
    }
}

fn refuse_what_cannot_work(dir: &Path, prefix: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if !prefix.starts_with(|c: char| c.is_ascii_alphabetic())
        || !prefix.chars().all(plain)
        || prefix == "localhost"
    {
        bail!(
            "--prefix \"{prefix}\" is not a host name that glusterd takes: letters, digits and \
             -, not localhost"
        );
    }
    let longest = dir.join("glusterd.socket");
    if longest.as_os_str().len() > SOCKET_PATH_MAX {
        bail!(
            "{} is longer than a unix socket's {SOCKET_PATH_MAX} bytes: give a shorter --dir",
            longest.display()
        );
    }
    if dir.to_str().is_none_or(|path| path.contains(char::is_whitespace)) {
        bail!("{}: glusterd takes no white space in paths: give another --dir", dir.display());
    }
    if std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some())
        && !dir.join(glusterd::VOLFILE).exists()
    {
        bail!("{} is not empty and no cluster's: give another --dir, or remove it", dir.display());
    }
    if let Err(error) = TcpListener::bind("[::1]:0") {
        bail!(
            "no IPv6 loopback address ({error}): enable it with `sysctl \
             net.ipv6.conf.lo.disable_ipv6=0`"
        );
    }
    if TcpListener::bind(("::", PORT)).is_err() {
        let holder = process::all().into_iter().find(Process::is_glusterd);
        let holder = holder.map_or_else(
            || format!("see `ss -ltnp sport = :{PORT}`"),
            |process| process.to_string(),
        );
        bail!(
            "port {PORT} is taken, and gluster clients know no other: end what holds it ({holder})"
        );
    }
    Ok(())
}

/// Ends every process of the cluster in `dir` and removes everything that it left.
fn take_away(dir: &Path, known: Option<State>) -> Result<()> {
    let mut outside = known.map_or_else(Vec::new, |state| state.outside);
    // Twice, because glusterd may have been starting a brick during the first search.
    for _ in 0..2 {
        let running = process::inside(dir);
        outside.extend(running.iter().filter_map(Process::management_socket));
        process::end(&running)?;
    }
    unmount_inside(dir)?;
    hosts::remove()?;
    outside.sort();
    for path in outside.iter().rev().filter(|path| {
        path.starts_with(OUTSIDE[0])
            || OUTSIDE.iter().any(|known| path.as_path() == Path::new(known))
    }) {
        // Directories are removed only if they are empty: another gluster may use them by now.
        let _gone_already =
            if path.is_dir() { std::fs::remove_dir(path) } else { std::fs::remove_file(path) };
    }
    let home = home();
    if home.join(state::FILE).is_symlink() {
        let _gone_already = std::fs::remove_file(home.join(state::FILE));
        let _in_use = std::fs::remove_dir(&home);
    }
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", dir.display()))
        }
        _ => Ok(()),
    }
}

/// A test may have mounted a volume inside the directory: it is unmounted first, because removing
/// the directory would remove the volume's files.
fn unmount_inside(dir: &Path) -> Result<()> {
    let mounts =
        std::fs::read_to_string("/proc/self/mounts").context("/proc/self/mounts cannot be read")?;
    let points = mounts.lines().rev().filter_map(|line| line.split(' ').nth(1)).map(Path::new);
    for point in points.filter(|point| *point != dir && point.starts_with(dir)) {
        crate::command::read(std::process::Command::new("umount").arg("-l").arg(point))?;
    }
    Ok(())
}

/// Links `target/cluster/state.json` to a cluster in another directory.
fn point_to(dir: &Path) -> Result<()> {
    let home = home();
    if home == dir {
        return Ok(());
    }
    let link = home.join(state::FILE);
    std::fs::create_dir_all(&home)?;
    let _absent = std::fs::remove_file(&link);
    std::os::unix::fs::symlink(dir.join(state::FILE), &link)
        .with_context(|| format!("{} cannot be made a link to the cluster's state", link.display()))
}

/// Removes the link to a cluster that no longer exists.
fn forget_lost_link() {
    let link = home().join(state::FILE);
    if link.is_symlink() && !link.exists() {
        let _in_use = std::fs::remove_file(&link).and_then(|()| std::fs::remove_dir(home()));
    }
}

/// The cluster's directory: that of `BRICKWIRE_CLUSTER_DIR`, or else the one that `target/cluster`
/// links to.
fn known_dir() -> Result<PathBuf> {
    if let Some(dir) = std::env::var_os(DIR_VARIABLE) {
        return absolute(Path::new(&dir));
    }
    let home = home();
    let link = std::fs::read_link(home.join(state::FILE)).ok();
    Ok(link.and_then(|state| state.parent().map(Path::to_path_buf)).unwrap_or(home))
}

fn home() -> PathBuf {
    workspace().join("target/cluster")
}

fn absolute(dir: &Path) -> Result<PathBuf> {
    std::path::absolute(dir).with_context(|| format!("{} is no directory's name", dir.display()))
}

/// Locks out other runs of `up`, `down` and `attach`; the lock ends with the file.
fn lock() -> Result<File> {
    lock_file("target/cluster.lock")
}

/// Waits for the lock of this file of the workspace. Two locks exclude each other in one process,
/// too.
fn lock_file(path: &str) -> Result<File> {
    if !rustix::process::geteuid().is_root() {
        bail!("a cluster needs root: glusterd and its bricks set trusted.* attributes");
    }
    let path = workspace().join(path);
    let open = || {
        std::fs::create_dir_all(path.parent()?).ok()?;
        let file = File::options().create(true).append(true).open(&path).ok()?;
        file.lock().ok()?;
        Some(file)
    };
    open().with_context(|| format!("{} cannot be locked", path.display()))
}

/// Environment variable with the cluster's directory, for other workspaces.
pub const DIR_VARIABLE: &str = "BRICKWIRE_CLUSTER_DIR";
/// The bricks' host name unless `--prefix` says otherwise.
pub const PREFIX: &str = "brickwire-test";
pub(crate) const PORT: u16 = 24007;
/// Files that glusterd creates outside of its working directory; those that did not exist before
/// are removed with the cluster.
const OUTSIDE: [&str; 4] = [
    "/var/run/gluster",
    "/var/run/gluster/snaps",
    "/var/lib/glusterd/geo-replication",
    "/var/lib/glusterd/geo-replication/gsyncd_template.conf",
];
const SOCKET_PATH_MAX: usize = 107;
