//! Runs a chore in a network namespace, for a cluster when port 24007 of the machine is taken.
//!
//! Clients of gluster know one port of glusterd, so there is one cluster in a network. The
//! namespace has a loopback interface only, and mounts and processes of its own; every process
//! started there ends with it.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context, Result};

use crate::cluster::DIR_VARIABLE;
use crate::command::workspace;

/// Environment variable of processes that run in the namespace.
const MARK: &str = "XTASK_ISOLATED";

/// Gives the namespace its own hosts file, cluster directory and directories that gluster uses
/// outside of a cluster's.
const SCRIPT: &str = r#"
mount --make-rprivate /
for dir in /var/run/gluster /var/lib/glusterd /var/log/glusterfs; do
    mkdir -p "$dir"
    mount -t tmpfs tmpfs "$dir"
done
cp /etc/hosts /var/run/gluster/hosts
echo "127.0.0.1 $(hostname)" >> /var/run/gluster/hosts
mount --bind /var/run/gluster/hosts /etc/hosts
mkdir -p "$0/cluster" "$0/cluster-isolated"
mount --bind "$0/cluster-isolated" "$0/cluster"
ip link set lo up
exec "$@"
"#;

/// Whether this process runs in the namespace.
pub fn is_isolated() -> bool {
    std::env::var_os(MARK).is_some()
}

/// Starts the same chore in the namespace in place of this process. Returns only on an error.
pub fn isolate() -> Result<()> {
    let program = std::env::current_exe()?;
    let mut unshare = Command::new("unshare");
    unshare.args([
        "--net",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "--",
        "sh",
        "-ec",
        SCRIPT,
    ]);
    let target = workspace().join("target");
    unshare.arg(&target).arg(program).args(std::env::args_os().skip(1)).env(MARK, "1");
    // Not the mount point itself, which cannot be removed.
    unshare.env(DIR_VARIABLE, target.join("cluster/isolated"));
    Err(unshare.exec()).context("a network of its own needs root and `unshare` (util-linux)")
}
