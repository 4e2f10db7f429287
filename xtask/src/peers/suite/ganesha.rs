//! NFS-Ganesha with FSAL_GLUSTER: a tree is copied in and out with libnfs's nfs-cp.
//!
//! The writes of nfs-cp of libnfs 4.0 over NFSv4 are NFS4ERR_OPENMODE on Ganesha, with a volume of
//! glusterfsd too; so files are written over NFSv3 and read over both. libnfs's programs cannot
//! make directories, so these are made through the mount.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use super::gateway::{Daemon, Dirs, SECONDS_MAX, assert_same, client, tree, volume_of};
use crate::command::capture;
use crate::peers::place::Place;
use crate::peers::results::Outcome;

const NFS_PORT: u16 = 20_490;
const MOUNT_PORT: u16 = 20_480;
const IN_OVER_3: &str = "in-and-out-nfs3";
const OUT_OVER_4: &str = "in-nfs3-out-nfs4";

/// Fails if a program is not there.
pub(super) fn prepare() -> Result<()> {
    let there = |program: &str| {
        let found = capture(Command::new("sh").args(["-c", &format!("command -v {program}")]));
        found.is_ok_and(|output| output.status.success())
    };
    for program in ["ganesha.nfsd", "nfs-cp", "nfs-ls", "rpcbind"] {
        if !there(program) {
            bail!("{program} is not there: install nfs-ganesha-gluster, libnfs-utils and rpcbind");
        }
    }
    Ok(())
}

pub(super) fn list() -> Vec<String> {
    vec![IN_OVER_3.to_owned(), OUT_OVER_4.to_owned()]
}

pub(super) fn run(place: &Place<'_>, test: &str) -> Result<Outcome> {
    Ok(match copy(place, test) {
        Ok(()) => Outcome::Passed,
        Err(error) => Outcome::failed(&format!("{error:#}")),
    })
}

fn copy(place: &Place<'_>, test: &str) -> Result<()> {
    let dirs = Dirs::make(place, "ganesha")?;
    let url = |path: &Path, version: u8| {
        let ports = format!("nfsport={NFS_PORT}&mountport={MOUNT_PORT}");
        format!("nfs://127.0.0.1/v/{}?version={version}&{ports}", path.display())
    };
    let nfs_cp = |from: &str, to: &str| {
        let mut command = place.command("nfs-cp", SECONDS_MAX);
        command.args([from, to]);
        command
    };
    let log = dirs.own.join("nfsd.log");
    let _ganesha = Daemon::start(serve(place, &dirs.own)?, log, || {
        let mut command = place.command("nfs-ls", SECONDS_MAX);
        command.arg(url(Path::new(""), 3));
        command
    })?;
    let all = tree(&dirs.tree)?;
    let files = || all.iter().filter(|(_, data)| data.is_some()).map(|(path, _)| path);
    for dir in all.iter().filter(|(_, data)| data.is_none()).map(|(path, _)| path) {
        fs::create_dir(place.test_dir().join(dir))?;
        fs::create_dir(dirs.back.join(dir))?;
    }
    for path in files() {
        client(&mut nfs_cp(&dirs.tree.join(path).display().to_string(), &url(path, 3)))?;
    }
    let version = if test == OUT_OVER_4 { 4 } else { 3 };
    for path in files() {
        client(&mut nfs_cp(&url(path, version), &dirs.back.join(path).display().to_string()))?;
    }
    assert_same("read through Ganesha", &dirs.tree, &dirs.back)?;
    assert_same("read through the mount", &dirs.tree, &place.test_dir())
}

/// Ganesha and the portmapper that it registers NFSv3 with. Both see a `/run` of their own.
fn serve(place: &Place<'_>, own: &Path) -> Result<Command> {
    let (host, volume) = volume_of(place)?;
    let recovery = own.join("recovery");
    fs::create_dir_all(&recovery)?;
    let configuration: PathBuf = own.join("ganesha.conf");
    fs::write(
        &configuration,
        format!(
            "NFS_CORE_PARAM {{ Protocols = 3,4; NFS_Port = {NFS_PORT}; MNT_Port = {MOUNT_PORT};\n\
             Enable_NLM = false; Enable_RQUOTA = false; Enable_UDP = false;\n\
             mount_path_pseudo = true; }}\n\
             NFSv4 {{ Graceless = true; RecoveryBackend = fs; RecoveryRoot = \"{}\"; }}\n\
             EXPORT {{ Export_Id = 1; Path = \"/\"; Pseudo = \"/v\"; Access_Type = RW;\n\
             Squash = No_root_squash; SecType = sys; Transports = TCP; Protocols = 3,4;\n\
             FSAL {{ Name = GLUSTER; Hostname = \"{host}\"; Volume = \"{volume}\"; }} }}\n",
            recovery.display()
        ),
    )?;
    let mut command = place.command("unshare", SECONDS_MAX);
    command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--", "sh", "-c"]);
    command.arg(
        "mount -t tmpfs tmpfs /run && mkdir /run/rpcbind && rpcbind && \
         exec ganesha.nfsd -F -f \"$0\" -L STDERR -p /run/ganesha.pid",
    );
    command.arg(configuration);
    Ok(command)
}
