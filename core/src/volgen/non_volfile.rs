//! Options that are not written into a client's volfile: those that this server implements, those
//! that make no difference here, and those whose function it lacks.

use super::options::ServerOption;
use super::table::{INT_MAX, LOG_FLUSH, LOG_FORMAT, LOG_LEVEL, LOGGER, SYS_LOG_LEVEL};
use super::value_type::ValueType::{self, *};

/// Options that this server implements: name, option, type of the value.
pub(super) const SERVER: &[(&str, ServerOption, ValueType)] = &[
    ("server.allow-insecure", ServerOption::AllowInsecure, Bool),
    ("auth.allow", ServerOption::AuthAllow, Addresses),
    ("auth.reject", ServerOption::AuthReject, Addresses),
    ("features.read-only", ServerOption::ReadOnly, Bool),
    ("storage.owner-uid", ServerOption::OwnerUid, Int(-1, u32::MAX as i64)),
    ("storage.owner-gid", ServerOption::OwnerGid, Int(-1, u32::MAX as i64)),
    (ADDRESS_FAMILY, ServerOption::AddressFamily, Choice(&["inet", "inet6"])),
];

/// Options that make no difference that a client could notice: name, type of the value, reason.
pub(super) const IGNORED: &[(&str, ValueType, &str)] = &[
    ("nfs.disable", On("NFS server"), "there is no NFS server to disable"),
    ("config.transport", Only("tcp", "RDMA transport"), "bricks are served over TCP"),
    ("server.own-thread", Bool, THREADS),
    ("server.event-threads", Int(1, 1024), THREADS),
    ("config.brick-threads", Int(1, 128), THREADS),
    ("server.outstanding-rpc-limit", Int(0, 65_536), "this server has its own limits"),
    ("server.tcp-user-timeout", Int(0, INT_MAX), SOCKETS),
    ("server.keepalive-time", Int(0, INT_MAX), SOCKETS),
    ("server.keepalive-interval", Int(0, INT_MAX), SOCKETS),
    ("server.keepalive-count", Int(0, INT_MAX), SOCKETS),
    ("transport.keepalive", Bool, SOCKETS),
    ("transport.listen-backlog", Int(0, INT_MAX), SOCKETS),
    ("server.statedump-path", Word, "there are no statedumps"),
    ("network.inode-lru-limit", Int(0, 1 << 20), "this server has its own limits"),
    ("cluster.server-quorum-type", Choice(&["none", "server"]), "this server has no peers"),
    ("cluster.server-quorum-ratio", Percent, "this server has no peers"),
    ("cluster.daemon-log-level", LOG_LEVEL, "no daemon is started"),
    ("cluster.localtime-logging", Bool, LOG),
    ("diagnostics.brick-log-level", LOG_LEVEL, LOG),
    ("diagnostics.brick-sys-log-level", SYS_LOG_LEVEL, LOG),
    ("diagnostics.brick-log-format", LOG_FORMAT, LOG),
    ("diagnostics.brick-logger", LOGGER, LOG),
    ("diagnostics.brick-log-buf-size", Int(0, 20), LOG),
    ("diagnostics.brick-log-flush-timeout", LOG_FLUSH, LOG),
    ("cluster.strict-readdir", Bool, "GlusterFS 10 itself ignores it"),
    ("cluster.readdir-failover", Bool, "GlusterFS 10 itself ignores it"),
    ("storage.fips-mode-rchecksum", Bool, "each checksum names its algorithm"),
    ("storage.health-check-interval", Time(0, INT_MAX as u64), NO_CHECKS),
    ("storage.health-check-timeout", Time(0, INT_MAX as u64), NO_CHECKS),
    ("storage.linux-aio", Bool, IO),
    ("storage.linux-io_uring", Bool, IO),
    ("storage.batch-fsync-mode", Word, IO),
    ("storage.batch-fsync-delay-usec", Int(0, INT_MAX), IO),
];

/// The same for all options whose names begin so.
pub(super) const IGNORED_PREFIXES: &[(&str, &str)] =
    &[("user.", "it is a note for programs that read the options of a volume")];

/// Options that may only be turned off: name, and the function that this server lacks.
pub(super) const REFUSED: &[(&str, &str)] = &[
    ("features.quota", "quota"),
    ("features.inode-quota", "quota"),
    ("features.quota-deem-statfs", "quota"),
    ("features.bitrot", "bitrot detection"),
    ("features.scrub", "bitrot detection"),
    ("changelog.changelog", "changelog"),
    ("changelog.capture-del-path", "changelog"),
    ("geo-replication.indexing", "geo-replication"),
    ("geo-replication.ignore-pid-check", "geo-replication"),
    ("features.uss", "snapshots"),
    ("features.show-snapshot-directory", "snapshots"),
    ("features.barrier", "snapshots"),
    ("server.ssl", TLS),
    ("features.cache-invalidation", UPCALLS),
    ("performance.cache-invalidation", UPCALLS),
    ("performance.global-cache-invalidation", UPCALLS),
    ("performance.quick-read-cache-invalidation", UPCALLS),
    // nl-cache remembers names that do not exist and relies on upcalls to learn of new ones.
    ("performance.nl-cache", UPCALLS),
    ("features.leases", "leases"),
    ("features.trash", "trash directory"),
    ("features.worm", "write-once files"),
    ("features.worm-file-level", "write-once files"),
    ("features.cloudsync", "cloud archive"),
    ("features.sdfs", "serialized entry operations"),
    ("features.selinux", "SELinux labels"),
    ("features.encryption", "encryption"),
    ("features.acl", "POSIX ACLs"),
    ("network.compression", "compression on the wire"),
    ("cluster.nufa", "nufa"),
    ("cluster.switch", "switch"),
    ("cluster.halo-enabled", "halo replication"),
    ("cluster.brick-multiplex", "brick processes"),
    ("cluster.weighted-rebalance", "rebalance"),
    ("cluster.enable-shared-storage", "shared storage volume"),
    ("server.root-squash", "squashing of users"),
    ("server.all-squash", "squashing of users"),
    ("server.manage-gids", "lookup of a user's groups"),
    ("server.dynamic-auth", "login that is checked again"),
    ("locks.mandatory-locking", "mandatory locks"),
    ("config.gfproxyd", "gfproxy daemon"),
    ("debug.trace", DEBUG),
    ("debug.error-gen", DEBUG),
    ("debug.delay-gen", DEBUG),
];

/// Beginnings of the names of options that are refused with any value: none of their values means
/// "off".
pub(super) const REFUSED_PREFIXES: &[(&str, &str)] = &[
    ("features.quota", "quota"),
    ("features.soft-", "quota"),
    ("features.hard-", "quota"),
    ("features.alert-", "quota"),
    ("features.default-soft-limit", "quota"),
    ("features.limit-usage", "quota"),
    ("features.scrub", "bitrot detection"),
    ("features.expiry-time", "bitrot detection"),
    ("features.signer-threads", "bitrot detection"),
    ("features.cache-invalidation", UPCALLS),
    ("features.lease-", "leases"),
    ("features.trash", "trash directory"),
    ("features.worm", "write-once files"),
    ("features.default-retention-period", "write-once files"),
    ("features.retention-mode", "write-once files"),
    ("features.auto-commit-period", "write-once files"),
    ("features.cloudsync", "cloud archive"),
    ("features.s3plugin", "cloud archive"),
    ("features.snapshot-directory", "snapshots"),
    ("features.barrier", "snapshots"),
    ("features.tag-namespaces", "namespaces"),
    ("features.lock-", "lock tuning"),
    ("features.locks-", "lock tuning"),
    ("changelog.", "changelog"),
    ("geo-replication.", "geo-replication"),
    ("ssl.", TLS),
    ("auth.ssl-allow", TLS),
    ("client.ssl", TLS),
    ("server.ssl", TLS),
    ("nfs.", "NFS server"),
    ("nfs-ganesha", "NFS server"),
    ("ganesha.", "NFS server"),
    ("performance.nfs.", "NFS server"),
    ("performance.nl-cache", UPCALLS),
    ("rdma.", "RDMA transport"),
    ("network.compression", "compression on the wire"),
    ("cluster.halo-", "halo replication"),
    ("cluster.tier", "tiers"),
    ("cluster.watermark", "tiers"),
    ("cluster.rebal", "rebalance"),
    ("cluster.local-volume-name", "nufa"),
    ("cluster.switch", "switch"),
    ("disperse.", "dispersed volumes"),
    ("cluster.disperse", "dispersed volumes"),
    ("server.anon", "squashing of users"),
    ("server.gid-timeout", "lookup of a user's groups"),
    ("locks.", "lock tuning"),
    ("delay-gen.", DEBUG),
    ("error-gen.", DEBUG),
    ("debug.", DEBUG),
    ("storage.", "such control over how files are stored"),
    ("config.", "brick processes"),
    ("cluster.brick-", "brick processes"),
    ("cluster.max-bricks-per-process", "brick processes"),
    ("glusterd.", "pool of servers"),
    ("cluster.op-version", "pool of servers"),
    ("cluster.max-op-version", "pool of servers"),
    ("client.send-gids", "lookup of a user's groups"),
    ("client.ta-brick-port", "thin arbiter"),
    ("cluster.dht-xattr-name", "other name for the attribute of layouts"),
    ("cluster.read-subvolume", "choice of a subvolume by name: use cluster.read-subvolume-index"),
    ("features.enforce-mandatory-lock", "mandatory locks"),
    ("features.failover-hosts", "gfproxy daemon"),
    ("features.timeout", "gfproxy daemon"),
    ("rebalance.", "rebalance"),
];

pub(super) const ADDRESS_FAMILY: &str = "transport.address-family";

const TLS: &str = "TLS";
const UPCALLS: &str = "upcalls, without which caches would go stale";
const DEBUG: &str = "debugging translators";
const THREADS: &str = "this server has no such threads";
const SOCKETS: &str = "this server sets its sockets itself";
const LOG: &str = "this server has its own log";
const NO_CHECKS: &str = "this server does not check disks periodically";
const IO: &str = "this server chooses how to reach its disks";
