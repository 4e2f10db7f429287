//! Named groups of options: `gluster volume set VOLUME group NAME`.

/// The names and values of a group's options, in the order of GlusterFS 10.3's file for the group.
///
/// `None` for unknown groups, and for `metadata-cache`, `nl-cache` and `samba`, which need upcalls.
pub fn group(name: &str) -> Option<&'static [(&'static str, &'static str)]> {
    match name {
        "virt" => Some(VIRT),
        "distributed-virt" => Some(DISTRIBUTED_VIRT),
        "gluster-block" => Some(GLUSTER_BLOCK),
        "db-workload" => Some(DB_WORKLOAD),
        _ => None,
    }
}

const VIRT: &[(&str, &str)] = &[
    ("performance.quick-read", "off"),
    ("performance.read-ahead", "off"),
    ("performance.io-cache", "off"),
    ("performance.low-prio-threads", "32"),
    ("network.remote-dio", "disable"),
    ("performance.strict-o-direct", "on"),
    ("cluster.eager-lock", "enable"),
    ("cluster.quorum-type", "auto"),
    ("cluster.server-quorum-type", "server"),
    ("cluster.data-self-heal-algorithm", "full"),
    ("cluster.locking-scheme", "granular"),
    ("cluster.shd-max-threads", "8"),
    ("cluster.shd-wait-qlength", "10000"),
    ("features.shard", "on"),
    ("user.cifs", "off"),
    ("cluster.choose-local", "off"),
    ("client.event-threads", "4"),
    ("server.event-threads", "4"),
    ("performance.client-io-threads", "on"),
    ("network.ping-timeout", "20"),
    ("server.tcp-user-timeout", "20"),
    ("server.keepalive-time", "10"),
    ("server.keepalive-interval", "2"),
    ("server.keepalive-count", "5"),
    ("cluster.lookup-optimize", "off"),
];

const DISTRIBUTED_VIRT: &[(&str, &str)] = &[
    ("performance.quick-read", "off"),
    ("performance.read-ahead", "off"),
    ("performance.io-cache", "off"),
    ("performance.low-prio-threads", "32"),
    ("network.remote-dio", "enable"),
    ("features.shard", "on"),
    ("user.cifs", "off"),
    ("client.event-threads", "4"),
    ("server.event-threads", "4"),
    ("performance.client-io-threads", "on"),
    ("cluster.lookup-optimize", "off"),
];

const GLUSTER_BLOCK: &[(&str, &str)] = &[
    ("performance.quick-read", "off"),
    ("performance.read-ahead", "off"),
    ("performance.io-cache", "off"),
    ("performance.stat-prefetch", "off"),
    ("performance.open-behind", "off"),
    ("performance.readdir-ahead", "off"),
    ("performance.strict-o-direct", "on"),
    ("performance.client-io-threads", "on"),
    ("performance.io-thread-count", "32"),
    ("performance.high-prio-threads", "32"),
    ("performance.normal-prio-threads", "32"),
    ("performance.low-prio-threads", "32"),
    ("performance.least-prio-threads", "4"),
    ("client.event-threads", "8"),
    ("server.event-threads", "8"),
    ("network.remote-dio", "disable"),
    ("cluster.eager-lock", "enable"),
    ("cluster.quorum-type", "auto"),
    ("cluster.data-self-heal-algorithm", "full"),
    ("cluster.locking-scheme", "granular"),
    ("cluster.shd-max-threads", "8"),
    ("cluster.shd-wait-qlength", "10000"),
    ("features.shard", "on"),
    ("features.shard-block-size", "64MB"),
    ("user.cifs", "off"),
    ("server.allow-insecure", "on"),
    ("cluster.choose-local", "off"),
    ("cluster.lookup-optimize", "off"),
];

const DB_WORKLOAD: &[(&str, &str)] = &[
    ("performance.open-behind", "on"),
    ("performance.write-behind", "off"),
    ("performance.stat-prefetch", "off"),
    ("performance.quick-read", "off"),
    ("performance.strict-o-direct", "on"),
    ("performance.read-ahead", "off"),
    ("performance.io-cache", "off"),
    ("performance.readdir-ahead", "off"),
    ("performance.client-io-threads", "on"),
    ("server.event-threads", "4"),
    ("client.event-threads", "4"),
    ("performance.read-after-open", "yes"),
];
