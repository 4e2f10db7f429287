//! Starts glusterd, and creates and starts volumes.

use std::net::{Ipv6Addr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::layout::VolumeSpec;
use super::process::Process;
use super::state::State;
use crate::command;

/// Makes the directories that glusterd expects, and writes its volfile.
pub(super) fn prepare(state: &State) -> Result<()> {
    let dir = &state.dir;
    for room in ["state", "run", "log", "bricks"] {
        let room = dir.join(room);
        std::fs::create_dir_all(&room)
            .with_context(|| format!("{} cannot be made", room.display()))?;
    }
    let file = dir.join(VOLFILE);
    std::fs::write(&file, volfile(state))
        .with_context(|| format!("{} cannot be written", file.display()))
}

/// Starts glusterd unless it runs; returns when it answers.
pub(super) fn start(state: &State) -> Result<()> {
    let dir = &state.dir;
    let running = || state.processes().into_iter().any(|process| process.is_glusterd());
    if !running() {
        let log = dir.join("log/glusterd.log");
        let mut glusterd = Command::new("glusterd");
        glusterd
            .arg(format!("--volfile={}", dir.join(VOLFILE).display()))
            .arg("--pid-file")
            .arg(dir.join("glusterd.pid"))
            .arg("--log-file")
            .arg(&log)
            .current_dir("/")
            .env("PATH", path_with_sbin())
            // The daemon and its bricks inherit these files: a pipe would never end.
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let status = glusterd.status();
        let status = status
            .context("glusterd did not start: install it (apt-get install glusterfs-server)")?;
        if !status.success() {
            bail!("glusterd did not start ({status}): {}", last_error(&log));
        }
    }
    wait_for("glusterd to answer", state, || gluster(state, &["volume", "list"]).is_ok())
}

/// Creates a volume and sets its options.
pub(super) fn create_volume(state: &State, spec: &VolumeSpec) -> Result<()> {
    let volume = state
        .volumes
        .get(spec.name)
        .with_context(|| format!("volume \"{}\" has no bricks", spec.name))?;
    let replica = spec.replica.to_string();
    let bricks: Vec<String> = volume
        .bricks
        .iter()
        .map(|brick| format!("{}:{}", state.host, brick.dir.display()))
        .collect();
    let mut create = vec!["volume", "create", spec.name];
    if spec.replica > 1 {
        create.extend(["replica", &replica]);
    }
    create.extend(bricks.iter().map(String::as_str));
    create.push("force");
    gluster(state, &create)?;
    spec.options.iter().try_for_each(|(key, value)| {
        gluster(state, &["volume", "set", spec.name, key, value]).map(drop)
    })
}

/// Starts a volume with `force`; returns when every brick serves and glusterd knows its port.
pub(super) fn start_volume(state: &State, name: &str) -> Result<()> {
    let volume = state.volumes.get(name).with_context(|| format!("no volume \"{name}\""))?;
    let dirs: Vec<&Path> = volume.bricks.iter().map(|brick| brick.dir.as_path()).collect();
    let of =
        |process: &Process| process.brick_dir().is_some_and(|dir| dirs.contains(&dir.as_path()));
    let running = || state.processes().into_iter().filter(of).collect::<Vec<_>>();
    gluster(state, &["volume", "start", name, "force"])?;
    wait_for(&format!("the bricks of \"{name}\" to serve"), state, || {
        let bricks = running();
        if bricks.len() < dirs.len() {
            // Right after a kill glusterd still considers the brick alive and starts nothing.
            let _asked_again = gluster(state, &["volume", "start", name, "force"]);
            return false;
        }
        bricks.iter().all(|brick| brick.brick_port().is_some_and(answers))
            && gluster(state, &["volume", "status", name, "--xml"])
                .is_ok_and(|status| bricks_online(&status, &state.host) == dirs.len())
    })
}

/// Runs `gluster` against this glusterd and returns what it printed.
pub(super) fn gluster(state: &State, args: &[&str]) -> Result<String> {
    let mut gluster = Command::new("gluster");
    gluster.env("PATH", path_with_sbin()).arg("--mode=script");
    gluster.arg(format!("--log-file={}", state.dir.join("log/cli.log").display()));
    gluster.arg(format!("--glusterd-sock={}", state.socket.display())).args(args);
    command::read(&mut gluster)
}

fn volfile(state: &State) -> String {
    let dir = state.dir.display();
    // With inet6 glusterd and the bricks of its volumes listen on both families.
    format!(
        "volume management
    type mgmt/glusterd
    option working-directory {dir}/state
    option run-directory {dir}/run
    option logging-directory {dir}/log
    option glusterd-sockfile {socket}
    option transport-type socket
    option transport.address-family inet6
    option transport.socket.listen-port {port}
    option transport.socket.keepalive-time 10
    option transport.socket.keepalive-interval 2
    option transport.socket.read-fail-log off
    option ping-timeout 0
    option event-threads 1
    option max-port 60999
end-volume
",
        socket = state.socket.display(),
        port = state.port,
    )
}

fn answers(port: u16) -> bool {
    let v6 =
        TcpStream::connect_timeout(&(Ipv6Addr::LOCALHOST, port).into(), Duration::from_secs(1));
    v6.is_ok() || TcpStream::connect(("127.0.0.1", port)).is_ok()
}

/// Counts the bricks that `gluster volume status --xml` reports online. Self-heal daemons are
/// listed as nodes as well.
fn bricks_online(status: &str, host: &str) -> usize {
    let online = |node: &&str| {
        node.contains(&format!("<hostname>{host}</hostname>"))
            && node.contains("<status>1</status>")
    };
    status.split("<node>").filter(online).count()
}

fn wait_for(what: &str, state: &State, mut done: impl FnMut() -> bool) -> Result<()> {
    let deadline = Instant::now() + START_WAIT;
    while !done() {
        if Instant::now() > deadline {
            let log = state.dir.join("log/glusterd.log");
            bail!("waited {} s for {what}: {}", START_WAIT.as_secs(), last_error(&log));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// The last error line of the log; the directory of the log is removed before a person could read
/// it.
fn last_error(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let line = text.lines().rev().find(|line| line.contains("] E ["));
    line.map_or_else(
        || format!("{} names no error", log.display()),
        |line| format!("its log says: {line}"),
    )
}

fn path_with_sbin() -> String {
    format!("{}:/usr/local/sbin:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default())
}

/// glusterd's volfile in the cluster's directory, which marks the directory as a cluster's.
pub(super) const VOLFILE: &str = "glusterd.vol";
const START_WAIT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_self_heal_daemon_is_not_counted_as_a_brick() {
        let status = "<node><hostname>bricks</hostname><path>/c/0</path><status>1</status></node>\
                      <node><hostname>bricks</hostname><path>/c/1</path><status>0</status></node>\
                      <node><hostname>Self-heal Daemon</hostname><path>localhost</path>\
                      <status>1</status></node>";
        assert_eq!(bricks_online(status, "bricks"), 1);
    }
}
