//! Volumes and bricks as glusterd knows them: volfiles, paths, hosts and ports.

use brickwire_core::server::{Brick, BrickIx, Exports};
use brickwire_core::volgen::{BrickSpec, Family, VolumeSpec, write_client};
use brickwire_core::xdr::Gfid;

use crate::scenario::Scenario;
use crate::shape::Shape;

/// glusterd's port.
pub const GLUSTERD_PORT: u16 = 24007;

/// One volume.
#[derive(Clone, Debug)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: Gfid,
    /// How its bricks share its files.
    pub shape: Shape,
    /// Its bricks, in order.
    pub bricks: Vec<usize>,
    /// Its volfile.
    pub volfile: String,
    /// How often an administrator has changed an option.
    pub changes: u32,
}

/// One brick.
#[derive(Clone, Debug)]
pub struct BrickInfo {
    /// Its volume.
    pub volume: usize,
    /// Its host.
    pub host: usize,
    /// Its path, as clients name it.
    pub path: String,
    /// The port that its host's glusterd knows.
    pub port: Option<u16>,
}

/// All volumes.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// The volumes.
    pub volumes: Vec<Volume>,
    /// The bricks of all volumes.
    pub bricks: Vec<BrickInfo>,
    /// The option `network.ping-timeout` of a volume that was not changed.
    ping: u32,
}

/// Name of a host.
pub fn host_name(host: usize) -> String {
    format!("node{host}")
}

impl Cluster {
    /// The cluster of a scenario.
    pub fn new(scenario: &Scenario) -> Self {
        let (mut volumes, mut bricks) = (Vec::new(), Vec::new());
        for (number, plan) in scenario.volumes.iter().enumerate() {
            let mine: Vec<usize> = (0..plan.shape.bricks()).map(|n| bricks.len() + n).collect();
            for (n, host) in plan.hosts.iter().enumerate() {
                let path = format!("/bricks/v{number}b{n}");
                bricks.push(BrickInfo { volume: number, host: *host, path, port: None });
            }
            volumes.push(Volume {
                name: format!("v{number}"),
                id: Gfid::v4([0x50 + number as u8; 16]),
                shape: plan.shape,
                bricks: mine,
                volfile: String::new(),
                changes: 0,
            });
        }
        let mut cluster = Self { volumes, bricks, ping: scenario.ping };
        for volume in 0..cluster.volumes.len() {
            cluster.write_volfile(volume);
        }
        cluster
    }

    /// Sets an option of a volume, so that its clients get a new volfile.
    pub fn change_option(&mut self, volume: usize) {
        self.volumes[volume].changes += 1;
        self.write_volfile(volume);
    }

    fn write_volfile(&mut self, volume: usize) {
        let it = &self.volumes[volume];
        let hosts: Vec<String> =
            it.bricks.iter().map(|brick| host_name(self.bricks[*brick].host)).collect();
        let bricks: Vec<BrickSpec<'_>> = it
            .bricks
            .iter()
            .zip(&hosts)
            .map(|(brick, host)| BrickSpec { host, port: None, path: &self.bricks[*brick].path })
            .collect();
        let ping = (self.ping + it.changes % 2).to_string();
        let spec = VolumeSpec {
            name: &it.name,
            volume_id: it.id,
            shape: it.shape.volgen(),
            bricks: &bricks,
            options: &[("network.ping-timeout", &ping)],
            family: Family::Inet,
        };
        let mut text = String::new();
        write_client(&spec, &mut text).expect("a sane volume");
        self.volumes[volume].volfile = text;
    }

    /// The brick on a port of a host.
    pub fn brick_at(&self, host: usize, port: u16) -> Option<usize> {
        self.bricks.iter().position(|brick| brick.host == host && brick.port == Some(port))
    }
}

/// The exports of one server process.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    /// The host of the process.
    pub host: usize,
    /// Its brick; `None` for glusterd.
    pub brick: Option<usize>,
}

impl Exports for View<'_> {
    fn volfile(&self, key: &[u8]) -> Option<&[u8]> {
        let key = key.strip_prefix(b"/").unwrap_or(key);
        let mut volumes = self.cluster.volumes.iter();
        let found = volumes.find(|volume| volume.name.as_bytes() == key)?;
        self.brick.is_none().then_some(found.volfile.as_bytes())
    }

    fn brick(&self, name: &[u8]) -> Option<Brick<'_>> {
        let brick = &self.cluster.bricks[self.brick?];
        (brick.path.as_bytes() == name).then(|| Brick {
            index: BrickIx(0),
            volume_id: self.cluster.volumes[brick.volume].id,
            privileged_ports_only: false,
            read_only: false,
            logins: &[],
        })
    }

    fn port(&self, name: &[u8]) -> Option<u16> {
        let mut bricks = self.cluster.bricks.iter();
        bricks.find(|brick| brick.host == self.host && brick.path.as_bytes() == name)?.port
    }

    fn admits(&self, _brick: BrickIx, _address: &[u8], _path: &[u8]) -> bool {
        true
    }

    fn volume_id(&self, volume: &[u8]) -> Option<Gfid> {
        let mut volumes = self.cluster.volumes.iter();
        Some(volumes.find(|it| it.name.as_bytes() == volume)?.id)
    }
}
