//! Options that are written into a client's volfile: their names for `gluster volume set`, their
//! translators, and their names there.
//!
//! The rows of one translator are in the order in which glusterd 10.3 writes its lines.

use super::value_type::ValueType::{self, *};
use crate::volfile::TranslatorKind::{self, *};

/// An `option` line of a volfile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    /// Name for `volume set`.
    pub(super) key: &'static str,
    pub(super) translator: TranslatorKind,
    /// Name in the volfile.
    pub(super) option: &'static str,
    pub(super) value: ValueType,
    /// The value that is written if the option is not set. `None`: no line is written.
    pub(super) default: Option<&'static str>,
}

const fn line(
    translator: TranslatorKind,
    key: &'static str,
    option: &'static str,
    value: ValueType,
    default: Option<&'static str>,
) -> Line {
    Line { key, translator, option, value, default }
}

/// Options that add a translator to the graph or remove it: name, translator, default.
pub(super) const SWITCHES: &[(&str, TranslatorKind, bool)] = &[
    ("features.shard", Shard, false),
    ("features.ctime", Utime, true),
    ("performance.write-behind", WriteBehind, true),
    ("performance.read-ahead", ReadAhead, false),
    ("performance.readdir-ahead", ReaddirAhead, false),
    ("performance.io-cache", IoCache, false),
    ("performance.open-behind", OpenBehind, true),
    ("performance.quick-read", QuickRead, true),
    ("performance.stat-prefetch", MdCache, true),
    // Off for replicated volumes: see `graph`.
    ("performance.client-io-threads", IoThreads, true),
];

pub(super) const LINES: &[Line] = &[
    line(Client, "client.bind-insecure", "client-bind-insecure", Bool, None),
    line(Client, "client.strict-locks", "strict-locks", Bool, Some("off")),
    line(
        Client,
        "client.keepalive-count",
        "transport.socket.keepalive-count",
        Int(0, INT_MAX),
        Some("9"),
    ),
    line(
        Client,
        "client.keepalive-interval",
        "transport.socket.keepalive-interval",
        Int(0, INT_MAX),
        Some("2"),
    ),
    line(
        Client,
        "client.keepalive-time",
        "transport.socket.keepalive-time",
        Int(0, INT_MAX),
        Some("20"),
    ),
    line(
        Client,
        "client.tcp-user-timeout",
        "transport.tcp-user-timeout",
        Int(0, INT_MAX),
        Some("0"),
    ),
    line(Client, "client.event-threads", "event-threads", Int(1, 32), None),
    line(Client, "client.own-thread", "transport.socket.own-thread", Bool, None),
    line(Client, "network.remote-dio", "filter-O_DIRECT", Bool, None),
    line(Client, "client.ssl", "transport.socket.ssl-enabled", Off("TLS"), Some("off")),
    line(Client, "network.tcp-window-size", "tcp-window-size", Size(0, 1 << 20), None),
    line(Client, "network.frame-timeout", "frame-timeout", Time(0, 86_400), None),
    // `graph` writes the brick's host, path and port above this line.
    line(Client, PING_TIMEOUT, "ping-timeout", Time(0, 1013), Some("42")),
    line(Replicate, "cluster.use-anonymous-inode", "use-anonymous-inode", Bool, Some("yes")),
    line(Replicate, "cluster.use-compound-fops", "use-compound-fops", Bool, Some("off")),
    // glusterd's default is off, but it turns this on when it creates a replicated volume.
    line(Replicate, "cluster.granular-entry-heal", "granular-entry-heal", Bool, Some("on")),
    line(Replicate, "cluster.locking-scheme", "locking-scheme", LOCKING_SCHEME, None),
    line(Replicate, "cluster.shd-wait-qlength", "shd-wait-qlength", Int(1, 655_536), None),
    line(Replicate, "cluster.shd-max-threads", "shd-max-threads", Int(1, 64), None),
    line(Replicate, "cluster.quorum-reads", "quorum-reads", Bool, None),
    line(Replicate, "cluster.optimistic-change-log", "optimistic-change-log", Bool, None),
    line(Replicate, "cluster.full-lock", "full-lock", Bool, None),
    line(Replicate, "cluster.favorite-child-policy", "favorite-child-policy", FAVORITE_CHILD, None),
    line(
        Replicate,
        "cluster.heal-wait-queue-length",
        "heal-wait-queue-length",
        Int(0, 10_000),
        None,
    ),
    line(Replicate, "cluster.consistent-metadata", "consistent-metadata", Bool, None),
    line(Replicate, "cluster.ensure-durability", "ensure-durability", Bool, None),
    line(Replicate, "cluster.post-op-delay-secs", "post-op-delay-secs", Int(0, INT_MAX), None),
    line(
        Replicate,
        "cluster.self-heal-readdir-size",
        "self-heal-readdir-size",
        Size(1024, 131_072),
        None,
    ),
    line(Replicate, "cluster.choose-local", "choose-local", Bool, None),
    line(Replicate, "cluster.quorum-count", "quorum-count", Int(1, INT_MAX), None),
    line(Replicate, "cluster.quorum-type", "quorum-type", QUORUM_TYPE, None),
    line(Replicate, "cluster.eager-lock", "eager-lock", Bool, None),
    line(
        Replicate,
        "cluster.data-self-heal-algorithm",
        "data-self-heal-algorithm",
        HEAL_ALGORITHM,
        None,
    ),
    line(Replicate, "cluster.metadata-change-log", "metadata-change-log", Bool, None),
    line(Replicate, "cluster.data-change-log", "data-change-log", Bool, None),
    line(
        Replicate,
        "cluster.self-heal-window-size",
        "data-self-heal-window-size",
        Int(1, 1024),
        None,
    ),
    line(Replicate, HEAL_TIMEOUT, "heal-timeout", Int(5, INT_MAX), None),
    line(Replicate, SELF_HEAL_DAEMON, "self-heal-daemon", Bool, None),
    line(Replicate, "cluster.entry-self-heal", "entry-self-heal", Bool, None),
    line(Replicate, "cluster.data-self-heal", "data-self-heal", BoolOr(&["open"]), None),
    line(Replicate, "cluster.metadata-self-heal", "metadata-self-heal", Bool, None),
    line(
        Replicate,
        "cluster.background-self-heal-count",
        "background-self-heal-count",
        Int(0, 256),
        None,
    ),
    line(Replicate, "cluster.read-hash-mode", "read-hash-mode", Int(0, 5), None),
    line(Replicate, "cluster.read-subvolume-index", "read-subvolume-index", Int(-1, INT_MAX), None),
    line(Replicate, "cluster.entry-change-log", "entry-change-log", Bool, None),
    line(Distribute, "dht.force-readdirp", "use-readdirp", Bool, None),
    line(Distribute, "cluster.force-migration", "force-migration", Bool, Some("off")),
    line(Distribute, "cluster.lock-migration", "lock-migration", Bool, Some("off")),
    line(
        Distribute,
        "cluster.randomize-hash-range-by-gfid",
        "randomize-hash-range-by-gfid",
        Bool,
        None,
    ),
    line(Distribute, "cluster.extra-hash-regex", "extra-hash-regex", Word, None),
    line(Distribute, "cluster.rsync-hash-regex", "rsync-hash-regex", Word, None),
    line(Distribute, "cluster.readdir-optimize", "readdir-optimize", Bool, None),
    line(
        Distribute,
        "cluster.subvols-per-directory",
        "directory-layout-spread",
        Int(1, INT_MAX),
        None,
    ),
    line(Distribute, "cluster.min-free-inodes", "min-free-inodes", Percent, None),
    line(Distribute, "cluster.min-free-disk", "min-free-disk", PercentOrSize, None),
    line(Distribute, "cluster.lookup-optimize", "lookup-optimize", Bool, None),
    line(Distribute, "cluster.lookup-unhashed", "lookup-unhashed", LOOKUP_UNHASHED, None),
    line(Shard, "features.shard-deletion-rate", "shard-deletion-rate", Int(100, INT_MAX), None),
    line(Shard, "features.shard-lru-limit", "shard-lru-limit", Int(20, INT_MAX), None),
    line(Shard, "features.shard-block-size", "shard-block-size", Size(4 << 20, 4 << 40), None),
    line(Utime, "ctime.noatime", "noatime", Bool, Some("on")),
    line(WriteBehind, "performance.write-behind-pass-through", "pass-through", Bool, None),
    line(WriteBehind, "performance.aggregate-size", "aggregate-size", ANY_SIZE, None),
    line(WriteBehind, "performance.write-behind-trickling-writes", "trickling-writes", Bool, None),
    line(WriteBehind, "performance.strict-write-ordering", "strict-write-ordering", Bool, None),
    line(WriteBehind, "performance.strict-o-direct", "strict-O_DIRECT", Bool, None),
    line(WriteBehind, RESYNC, "resync-failed-syncs-after-fsync", Bool, None),
    line(
        WriteBehind,
        "performance.write-behind-window-size",
        "cache-size",
        Size(512 << 10, 1 << 30),
        None,
    ),
    line(WriteBehind, "performance.flush-behind", "flush-behind", Bool, None),
    line(ReadAhead, "performance.read-ahead-pass-through", "pass-through", Bool, None),
    line(ReadAhead, "performance.read-ahead-page-count", "page-count", Int(1, 16), None),
    line(ReaddirAhead, RDA_CACHE_LIMIT, "rda-cache-limit", ANY_SIZE, Some("10MB")),
    line(ReaddirAhead, "performance.rda-high-wmark", "rda-high-wmark", Size(0, 100 << 20), None),
    line(ReaddirAhead, "performance.rda-low-wmark", "rda-low-wmark", Size(0, 10 << 20), None),
    line(
        ReaddirAhead,
        "performance.rda-request-size",
        "rda-request-size",
        RDA_REQUEST,
        Some("131072"),
    ),
    line(ReaddirAhead, PARALLEL_READDIR, "parallel-readdir", Bool, Some("off")),
    line(ReaddirAhead, "performance.readdir-ahead-pass-through", "pass-through", Bool, None),
    line(IoCache, "performance.io-cache-pass-through", "pass-through", Bool, None),
    line(IoCache, "performance.cache-size", "cache-size", CACHE_SIZE, None),
    line(IoCache, "performance.io-cache-size", "cache-size", CACHE_SIZE, None),
    line(IoCache, "performance.cache-priority", "priority", Word, None),
    line(IoCache, "performance.cache-refresh-timeout", "cache-timeout", Int(0, 60), None),
    line(IoCache, "performance.cache-min-file-size", "min-file-size", ANY_SIZE, None),
    line(IoCache, "performance.cache-max-file-size", "max-file-size", ANY_SIZE, None),
    line(OpenBehind, "performance.open-behind-pass-through", "pass-through", Bool, None),
    line(OpenBehind, "performance.read-after-open", "read-after-open", Bool, None),
    line(OpenBehind, "performance.lazy-open", "lazy-open", Bool, None),
    line(QuickRead, "performance.ctime-invalidation", "ctime-invalidation", Bool, None),
    line(QuickRead, "performance.qr-cache-timeout", "cache-timeout", Int(0, INT_MAX), None),
    line(QuickRead, "performance.quick-read-cache-timeout", "cache-timeout", Int(0, INT_MAX), None),
    line(QuickRead, "performance.cache-size", "cache-size", CACHE_SIZE, None),
    line(QuickRead, "performance.quick-read-cache-size", "cache-size", ANY_SIZE, None),
    line(MdCache, "performance.force-readdirp", "force-readdirp", Bool, None),
    line(MdCache, "performance.xattr-cache-list", "xattr-cache-list", Word, None),
    line(MdCache, "performance.md-cache-statfs", "md-cache-statfs", Bool, None),
    line(MdCache, "performance.cache-ima-xattrs", "cache-ima-xattrs", Bool, None),
    line(MdCache, "performance.cache-capability-xattrs", "cache-capability-xattrs", Bool, None),
    line(MdCache, "performance.cache-samba-metadata", "cache-samba-metadata", Bool, None),
    line(MdCache, "performance.cache-swift-metadata", "cache-swift-metadata", Bool, None),
    line(MdCache, "performance.md-cache-timeout", "md-cache-timeout", Int(0, 600), None),
    line(MdCache, "performance.md-cache-pass-through", "pass-through", Bool, None),
    line(IoThreads, "performance.iot-pass-through", "pass-through", Bool, None),
    line(IoThreads, IOT_CLEANUP, "cleanup-disconnected-reqs", Bool, None),
    line(IoThreads, "performance.iot-watchdog-secs", "watchdog-secs", Int(0, INT_MAX), None),
    line(IoThreads, "performance.enable-least-priority", "enable-least-priority", Bool, None),
    line(IoThreads, "performance.least-prio-threads", "least-prio-threads", Int(1, 64), None),
    line(IoThreads, "performance.low-prio-threads", "low-prio-threads", Int(1, 64), None),
    line(IoThreads, "performance.normal-prio-threads", "normal-prio-threads", Int(1, 64), None),
    line(IoThreads, "performance.high-prio-threads", "high-prio-threads", Int(1, 64), None),
    line(IoThreads, "performance.io-thread-count", "thread-count", Int(1, 64), None),
    line(IoStats, GLOBAL_THREADING, "global-threading", Bool, Some("off")),
    line(
        IoStats,
        "diagnostics.stats-dnscache-ttl-sec",
        "ios-dnscache-ttl-sec",
        Int(1, 259_200),
        None,
    ),
    line(
        IoStats,
        "diagnostics.fop-sample-buf-size",
        "ios-sample-buf-size",
        Int(1024, 1_048_576),
        None,
    ),
    line(IoStats, "diagnostics.stats-dump-format", "ios-dump-format", DUMP_FORMAT, None),
    line(IoStats, "diagnostics.fop-sample-interval", "ios-sample-interval", Int(0, 65_535), None),
    line(IoStats, "diagnostics.stats-dump-interval", "ios-dump-interval", Int(0, 3600), None),
    line(IoStats, COUNT_FOP_HITS, "count-fop-hits", Bool, Some("off")),
    line(IoStats, "diagnostics.dump-fd-stats", "dump-fd-stats", Bool, None),
    line(IoStats, LATENCY_MEASUREMENT, "latency-measurement", Bool, Some("off")),
    line(IoStats, "config.client-threads", "threads", Int(1, 128), Some("16")),
    line(IoStats, "diagnostics.client-log-flush-timeout", "log-flush-timeout", LOG_FLUSH, None),
    line(IoStats, "diagnostics.client-log-buf-size", "log-buf-size", Int(0, 20), None),
    line(IoStats, "diagnostics.client-log-format", "log-format", LOG_FORMAT, None),
    line(IoStats, "diagnostics.client-logger", "logger", LOGGER, None),
    line(IoStats, "diagnostics.client-sys-log-level", "sys-log-level", SYS_LOG_LEVEL, None),
    line(IoStats, "diagnostics.client-log-level", "log-level", LOG_LEVEL, Some("INFO")),
];

/// Options that are written for self-heal daemons only.
pub(super) const SHD_ONLY: &[&str] = &[HEAL_TIMEOUT, SELF_HEAL_DAEMON];

pub(super) const PING_TIMEOUT: &str = "network.ping-timeout";
pub(super) const PARALLEL_READDIR: &str = "performance.parallel-readdir";
pub(super) const RDA_CACHE_LIMIT: &str = "performance.rda-cache-limit";
pub(super) const SELF_HEAL_DAEMON: &str = "cluster.self-heal-daemon";
const HEAL_TIMEOUT: &str = "cluster.heal-timeout";
pub(super) const GLOBAL_THREADING: &str = "config.global-threading";
pub(super) const COUNT_FOP_HITS: &str = "diagnostics.count-fop-hits";
pub(super) const LATENCY_MEASUREMENT: &str = "diagnostics.latency-measurement";
const RESYNC: &str = "performance.resync-failed-syncs-after-fsync";
const IOT_CLEANUP: &str = "performance.iot-cleanup-disconnected-reqs";

pub(super) const INT_MAX: i64 = i32::MAX as i64;
pub(super) const ANY_SIZE: ValueType = Size(0, i64::MAX as u64);
const CACHE_SIZE: ValueType = Size(4 << 20, i64::MAX as u64);
const RDA_REQUEST: ValueType = Size(4096, 131_072);
const LOCKING_SCHEME: ValueType = Choice(&["full", "granular"]);
const FAVORITE_CHILD: ValueType = Choice(&["none", "size", "ctime", "mtime", "majority"]);
const QUORUM_TYPE: ValueType = Choice(&["none", "auto", "fixed"]);
const HEAL_ALGORITHM: ValueType = Choice(&["diff", "full"]);
const LOOKUP_UNHASHED: ValueType =
    Choice(&["auto", "yes", "no", "enable", "disable", "1", "0", "on", "off"]);
const DUMP_FORMAT: ValueType = Choice(&["text", "json", "dict", "samples"]);
pub(super) const LOG_LEVEL: ValueType =
    Choice(&["DEBUG", "WARNING", "ERROR", "INFO", "CRITICAL", "NONE", "TRACE"]);
pub(super) const SYS_LOG_LEVEL: ValueType = Choice(&["WARNING", "ERROR", "INFO", "CRITICAL"]);
pub(super) const LOG_FORMAT: ValueType = Choice(&["no-msg-id", "with-msg-id"]);
pub(super) const LOGGER: ValueType = Choice(&["gluster-log", "syslog"]);
pub(super) const LOG_FLUSH: ValueType = Time(30, 300);
