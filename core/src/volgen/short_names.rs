//! Option names without their group, as `gluster volume set` completes them: `read-only` for
//! `features.read-only`.

use super::non_volfile::{IGNORED, REFUSED, SERVER};
use super::options::{OptionError, OptionFault};
use super::table::{LINES, SWITCHES};

/// The full name of an option.
///
/// A name with a dot is full already and comes back as it is, known or not. A name without one
/// stands for the only option of GlusterFS 10.3 that is called so behind its first dot.
///
/// # Errors
///
/// [`OptionFault::Unknown`] if no option has that short name, [`OptionFault::Ambiguous`] if several
/// have.
///
/// ```
/// use brickwire_core::volgen::{OptionFault, full_name};
///
/// assert_eq!(full_name("read-only"), Ok("features.read-only"));
/// assert_eq!(full_name("features.read-only"), Ok("features.read-only"));
/// let two = OptionFault::Ambiguous("client.ssl", "server.ssl");
/// assert_eq!(full_name("ssl").unwrap_err().fault, two);
/// ```
pub fn full_name(key: &str) -> Result<&str, OptionError<'_>> {
    if key.contains('.') { Ok(key) } else { complete(key) }
}

/// The only option whose short name is `key`.
pub(super) fn complete(key: &str) -> Result<&'static str, OptionError<'_>> {
    let mut found = None;
    for full in all_names().filter(|full| short_name(full) == Some(key)) {
        match found {
            Some(first) if first != full => {
                return Err(OptionError { key, fault: OptionFault::Ambiguous(first, full) });
            }
            _ => found = Some(full),
        }
    }
    found.ok_or(OptionError { key, fault: OptionFault::Unknown })
}

fn short_name(full: &str) -> Option<&str> {
    full.split_once('.').map(|(_, name)| name)
}

fn all_names() -> impl Iterator<Item = &'static str> {
    let switches = SWITCHES.iter().map(|(key, ..)| *key);
    let lines = LINES.iter().map(|line| line.key);
    let server = SERVER.iter().map(|(key, ..)| *key);
    let ignored = IGNORED.iter().map(|(key, ..)| *key);
    let refused = REFUSED.iter().map(|(key, _)| *key);
    switches.chain(lines).chain(server).chain(ignored).chain(refused).chain(OTHERS.iter().copied())
}

/// The options of GlusterFS 10.3 that no table lists: they are refused by the beginnings of their
/// names. Their short names are needed to refuse them by name, and to find the ambiguous ones.
const OTHERS: &[&str] = &[
    "auth.ssl-allow",
    "changelog.changelog-barrier-timeout",
    "changelog.changelog-dir",
    "changelog.encoding",
    "changelog.fsync-interval",
    "changelog.rollover-time",
    "client.send-gids",
    "client.ta-brick-port",
    "cluster.brick-graceful-cleanup",
    "cluster.dht-xattr-name",
    "cluster.disperse-self-heal-daemon",
    "cluster.halo-max-latency",
    "cluster.halo-max-replicas",
    "cluster.halo-min-replicas",
    "cluster.halo-nfsd-max-latency",
    "cluster.halo-shd-max-latency",
    "cluster.local-volume-name",
    "cluster.max-bricks-per-process",
    "cluster.max-op-version",
    "cluster.op-version",
    "cluster.read-subvolume",
    "cluster.rebal-throttle",
    "cluster.rebalance-stats",
    "cluster.switch-pattern",
    "config.memory-accounting",
    "debug.error-failure",
    "debug.error-fops",
    "debug.error-number",
    "debug.exclude-ops",
    "debug.include-ops",
    "debug.log-file",
    "debug.log-history",
    "debug.random-failure",
    "delay-gen.delay-duration",
    "delay-gen.delay-percentage",
    "delay-gen.enable",
    "disperse.background-heals",
    "disperse.cpu-extensions",
    "disperse.eager-lock",
    "disperse.eager-lock-timeout",
    "disperse.heal-wait-qlength",
    "disperse.optimistic-change-log",
    "disperse.other-eager-lock",
    "disperse.other-eager-lock-timeout",
    "disperse.parallel-writes",
    "disperse.quorum-count",
    "disperse.read-policy",
    "disperse.self-heal-window-size",
    "disperse.shd-max-threads",
    "disperse.shd-wait-qlength",
    "disperse.stripe-cache",
    "features.alert-time",
    "features.auto-commit-period",
    "features.barrier-timeout",
    "features.cache-invalidation-timeout",
    "features.cloudsync-product-id",
    "features.cloudsync-remote-read",
    "features.cloudsync-store-id",
    "features.cloudsync-storetype",
    "features.default-retention-period",
    "features.default-soft-limit",
    "features.enforce-mandatory-lock",
    "features.expiry-time",
    "features.failover-hosts",
    "features.hard-timeout",
    "features.lease-lock-recall-timeout",
    "features.limit-usage",
    "features.locks-monkey-unlocking",
    "features.locks-notify-contention",
    "features.locks-notify-contention-delay",
    "features.locks-revocation-clear-all",
    "features.locks-revocation-max-blocked",
    "features.locks-revocation-secs",
    "features.retention-mode",
    "features.s3plugin-bucketid",
    "features.s3plugin-hostname",
    "features.s3plugin-keyid",
    "features.s3plugin-seckey",
    "features.scrub-freq",
    "features.scrub-throttle",
    "features.signer-threads",
    "features.snapshot-directory",
    "features.soft-timeout",
    "features.tag-namespaces",
    "features.timeout",
    "features.trash-dir",
    "features.trash-eliminate-path",
    "features.trash-internal-op",
    "features.trash-max-filesize",
    "features.worm-files-deletable",
    "ganesha.enable",
    "glusterd.vol_count_per_thread",
    "locks.trace",
    "network.compression.compression-level",
    "network.compression.debug",
    "network.compression.mem-level",
    "network.compression.min-size",
    "network.compression.window-size",
    "nfs.acl",
    "nfs.addr-namelookup",
    "nfs.auth-cache-ttl-sec",
    "nfs.auth-refresh-interval-sec",
    "nfs.drc",
    "nfs.drc-size",
    "nfs.dynamic-volumes",
    "nfs.enable-ino32",
    "nfs.event-threads",
    "nfs.export-dir",
    "nfs.export-dirs",
    "nfs.export-volumes",
    "nfs.exports-auth-enable",
    "nfs.log-level",
    "nfs.mem-factor",
    "nfs.mount-rmtab",
    "nfs.mount-udp",
    "nfs.nlm",
    "nfs.outstanding-rpc-limit",
    "nfs.port",
    "nfs.ports-insecure",
    "nfs.rdirplus",
    "nfs.read-size",
    "nfs.readdir-size",
    "nfs.register-with-portmap",
    "nfs.rpc-auth-allow",
    "nfs.rpc-auth-null",
    "nfs.rpc-auth-reject",
    "nfs.rpc-auth-unix",
    "nfs.rpc-statd",
    "nfs.server-aux-gids",
    "nfs.transport-type",
    "nfs.trusted-sync",
    "nfs.trusted-write",
    "nfs.volume-access",
    "nfs.write-size",
    "performance.nfs.flush-behind",
    "performance.nfs.io-cache",
    "performance.nfs.io-threads",
    "performance.nfs.quick-read",
    "performance.nfs.read-ahead",
    "performance.nfs.stat-prefetch",
    "performance.nfs.strict-o-direct",
    "performance.nfs.strict-write-ordering",
    "performance.nfs.write-behind",
    "performance.nfs.write-behind-trickling-writes",
    "performance.nfs.write-behind-window-size",
    "performance.nl-cache-limit",
    "performance.nl-cache-pass-through",
    "performance.nl-cache-positive-entry",
    "performance.nl-cache-timeout",
    "rebalance.ensure-durability",
    "server.anongid",
    "server.anonuid",
    "server.gid-timeout",
    "ssl.ca-list",
    "ssl.certificate-depth",
    "ssl.cipher-list",
    "ssl.crl-path",
    "ssl.dh-param",
    "ssl.ec-curve",
    "ssl.own-cert",
    "ssl.private-key",
    "storage.build-pgfid",
    "storage.create-directory-mask",
    "storage.create-mask",
    "storage.force-create-mode",
    "storage.force-directory-mode",
    "storage.gfid2path",
    "storage.gfid2path-separator",
    "storage.max-hardlinks",
    "storage.node-uuid-pathinfo",
    "storage.reserve",
    "storage.xattr-user-namespace-mode",
];
