//! Prints a cluster's state on one screen.

use std::fmt::{Display, Formatter, Result};

use super::state::{BrickInfo, FILE, State, VolumeInfo};

impl Display for State {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let glusterd =
            self.glusterd_pid.map_or_else(|| "dead".to_owned(), |pid| format!("pid {pid}"));
        writeln!(f, "cluster    {} (facts in {FILE} there)", self.dir.display())?;
        writeln!(
            f,
            "glusterd   {}, port {}, socket {}",
            glusterd,
            self.port,
            self.socket.display()
        )?;
        writeln!(
            f,
            "host       {} (IPv4 only: {}, IPv6 only: {})",
            self.host, self.host_v4, self.host_v6
        )?;
        for (name, volume) in &self.volumes {
            writeln!(f, "volume     {name:8} {}", volume.purpose)?;
            for brick in &volume.bricks {
                writeln!(
                    f,
                    "           {:8} {} {}",
                    "",
                    brick.dir.display(),
                    stands(volume, brick)
                )?;
            }
        }
        writeln!(f, "by TCP     gluster://{}/single/a.img", self.host)?;
        writeln!(
            f,
            "by IPv6    gluster://[::1]/single/a.img (QEMU takes no brackets: gluster://{}/…)",
            self.host_v6
        )?;
        write!(f, "by socket  gluster+unix:///single/a.img?socket={}", self.socket.display())
    }
}

fn stands(volume: &VolumeInfo, brick: &BrickInfo) -> String {
    match (brick.pid, brick.port) {
        (Some(pid), Some(port)) => format!("pid {pid}, port {port}"),
        _ if volume.started => "dead".to_owned(),
        _ => "not started".to_owned(),
    }
}
