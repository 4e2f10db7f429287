//! Where a cluster finds port 24007 when this machine's is taken: a network of its own.
//!
//! gluster clients know one port of glusterd, so there is one cluster in a network. Linux gives a process a network with
//! nothing but a loopback interface, and its own view of the files and processes; what is started there ends with it.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context, Result};

use crate::cluster::DIR_VARIABLE;
use crate::command::workspace;

/// Set in the environment of what already runs apart.
const MARK: &str = "XTASK_ISOLATED";

/// What gluster leaves outside of a cluster's directory, the hosts file, and the cluster's directory itself are others there.
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

/// Does this process run apart already?
pub fn is_isolated() -> bool {
    std::env::var_os(MARK).is_some()
}

/// Becomes the same chore in a network of its own. Returns only if that does not work.
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
    // Not the place of the mount itself, which could not be removed.
    unshare.env(DIR_VARIABLE, target.join("cluster/isolated"));
    Err(unshare.exec()).context("a network of its own needs root and `unshare` (util-linux)")
}
