//! The volumes of the cluster, and the use of each.

/// A volume as `up` creates it.
#[derive(Debug)]
pub(super) struct VolumeSpec {
    /// Name of the volume.
    pub(super) name: &'static str,
    /// Number of bricks, all on this machine.
    pub(super) bricks: usize,
    /// Number of copies; 1 is plain distribution.
    pub(super) replica: usize,
    /// Options set before the first start.
    pub(super) options: &'static [(&'static str, &'static str)],
    /// Whether `up` starts it.
    pub(super) started: bool,
    /// Use of the volume, as `up` prints it.
    pub(super) purpose: &'static str,
}

/// All volumes that `up` creates, in this order.
pub(super) const VOLUMES: &[VolumeSpec] = &[
    VolumeSpec {
        name: "single",
        bricks: 1,
        replica: 1,
        options: &[],
        started: true,
        purpose: "one brick, gluster's defaults",
    },
    VolumeSpec {
        name: "dist1",
        bricks: 1,
        replica: 1,
        options: EVERY_CACHE,
        started: true,
        purpose: "one brick, every performance translator in the client graph",
    },
    VolumeSpec {
        name: "quick",
        bricks: 1,
        replica: 1,
        options: &[("network.ping-timeout", "3")],
        started: true,
        purpose: "one brick, ping-timeout of 3 s: a frozen brick is noticed soon",
    },
    VolumeSpec {
        name: "inet",
        bricks: 1,
        replica: 1,
        options: &[("transport.address-family", "inet")],
        started: true,
        purpose: "one brick that listens on IPv4 only (the others listen on both)",
    },
    VolumeSpec {
        name: "strict",
        bricks: 1,
        replica: 1,
        options: &[("server.allow-insecure", "off")],
        started: true,
        purpose: "one brick that refuses source ports from 1024 up (the C library hangs on it)",
    },
    VolumeSpec {
        name: "lowport",
        bricks: 1,
        replica: 1,
        options: &[("server.allow-insecure", "off"), ("client.bind-insecure", "off")],
        started: true,
        purpose: "as strict, and the volfile tells clients to bind below 1024 (the C library \
            does, as root)",
    },
    VolumeSpec {
        name: "stopped",
        bricks: 1,
        replica: 1,
        options: &[],
        started: false,
        purpose: "created, never started",
    },
    VolumeSpec {
        name: "dist3",
        bricks: 3,
        replica: 1,
        options: &[],
        started: true,
        purpose: "distributed over three bricks",
    },
    VolumeSpec {
        name: "rep3",
        bricks: 3,
        replica: 3,
        options: &[],
        started: true,
        purpose: "replicated on three bricks",
    },
    VolumeSpec {
        name: "shard1",
        bricks: 1,
        replica: 1,
        options: &[("features.shard", "on"), ("features.shard-block-size", "4MB")],
        started: true,
        purpose: "one brick, files cut into shards of 4 MiB",
    },
];

const EVERY_CACHE: &[(&str, &str)] = &[
    ("performance.write-behind", "on"),
    ("performance.read-ahead", "on"),
    ("performance.readdir-ahead", "on"),
    ("performance.parallel-readdir", "on"),
    ("performance.io-cache", "on"),
    ("performance.open-behind", "on"),
    ("performance.quick-read", "on"),
    ("performance.nl-cache", "on"),
    ("performance.stat-prefetch", "on"),
    ("performance.client-io-threads", "on"),
];
