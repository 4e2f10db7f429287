//! Samba with vfs_glusterfs: a tree is copied in and out with smbclient, as the user that owns all.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use super::gateway::{Daemon, Dirs, SECONDS_MAX, assert_same, client, volume_of};
use crate::command::capture;
use crate::peers::place::Place;
use crate::peers::results::Outcome;

const PORT: &str = "4450";
/// Versions of the protocol, as smbclient names them.
const TESTS: [&str; 2] = ["SMB2_02", "SMB3_11"];

/// Fails if a program is not there.
pub(super) fn prepare() -> Result<()> {
    for program in ["smbd", "smbclient"] {
        if !capture(Command::new(program).arg("--version")).is_ok_and(|it| it.status.success()) {
            bail!("{program} is not there: install samba, samba-vfs-modules and smbclient");
        }
    }
    Ok(())
}

pub(super) fn list() -> Vec<String> {
    TESTS.map(str::to_owned).to_vec()
}

pub(super) fn run(place: &Place<'_>, test: &str) -> Result<Outcome> {
    Ok(match copy(place, test) {
        Ok(()) => Outcome::Passed,
        Err(error) => Outcome::failed(&format!("{error:#}")),
    })
}

fn copy(place: &Place<'_>, protocol: &str) -> Result<()> {
    let dirs = Dirs::make(place, "samba")?;
    let configuration = configure(place, &dirs.own)?;
    let mut smbd = place.command("smbd", SECONDS_MAX);
    smbd.args(["--foreground", "--no-process-group", "--debug-stdout", "-s"]).arg(&configuration);
    let smbclient = |dir: &Path, what: &str| {
        let mut command = place.command("smbclient", SECONDS_MAX);
        command.args(["-N", "-p", PORT, "-m", protocol, "-s"]).arg(&configuration);
        command.args(["//127.0.0.1/share", "-c", what]).current_dir(dir);
        command
    };
    let log = dirs.own.join("smbd.log");
    let _smbd = Daemon::start(smbd, log, || smbclient(&dirs.tree, "ls"))?;
    client(&mut smbclient(&dirs.tree, "recurse on; prompt off; mput *"))?;
    client(&mut smbclient(&dirs.back, "recurse on; prompt off; mget *"))?;
    assert_same("read through Samba", &dirs.tree, &dirs.back)?;
    assert_same("read through the mount", &dirs.tree, &place.test_dir())?;
    // Samba replaces, renames and removes.
    client(&mut smbclient(
        &dirs.tree,
        "put many/\"file 6 é.bin\" big; rename empty renamed; del \"many\\file 1 é.bin\"",
    ))?;
    fs::copy(dirs.tree.join("many/file 6 é.bin"), dirs.tree.join("big"))?;
    fs::rename(dirs.tree.join("empty"), dirs.tree.join("renamed"))?;
    fs::remove_file(dirs.tree.join("many/file 1 é.bin"))?;
    assert_same("changed through Samba", &dirs.tree, &place.test_dir())
}

/// Writes smbd's configuration: one share, and all of its files in `own`.
fn configure(place: &Place<'_>, own: &Path) -> Result<std::path::PathBuf> {
    let (host, volume) = volume_of(place)?;
    let mut text = format!(
        "[global]\nserver role = standalone server\ninterfaces = lo\nbind interfaces only = yes\n\
         smb ports = {PORT}\ndisable netbios = yes\nserver min protocol = SMB2_02\n\
         map to guest = Bad User\nguest account = root\nload printers = no\nprinting = bsd\n\
         disable spoolss = yes\nlog level = 1\n"
    );
    for (name, dir) in [
        ("lock directory", "lock"),
        ("state directory", "state"),
        ("private dir", "private"),
        ("pid directory", "pid"),
        ("cache directory", "cache"),
        ("ncalrpc dir", "ncalrpc"),
    ] {
        fs::create_dir_all(own.join(dir))?;
        text += &format!("{name} = {}\n", own.join(dir).display());
    }
    text += &format!(
        "log file = {0}/samba.log\n[share]\npath = /\nguest ok = yes\nread only = no\n\
         kernel share modes = no\nvfs objects = glusterfs\nglusterfs:volume = {volume}\n\
         glusterfs:volfile_server = {host}\nglusterfs:logfile = {0}/gfapi.log\n",
        own.display()
    );
    let path = own.join("smb.conf");
    fs::write(&path, text)?;
    Ok(path)
}
