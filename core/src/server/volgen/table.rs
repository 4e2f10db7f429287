//! The options that stand in a client's volfile: under which name `gluster volume set` knows them, in which translator
//! they end up and how they are spelt there.
//!
//! Within one translator the order of the rows is the order in which glusterd 10.3 writes the lines.

use super::kind::Kind;
use crate::volfile::TranslatorKind::{self, *};

/// An `option` line of a volfile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    /// What `volume set` calls it.
    pub(super) key: &'static str,
    pub(super) translator: TranslatorKind,
    /// What the translator calls it.
    pub(super) option: &'static str,
    pub(super) kind: Kind,
    /// What is written when nobody has set it; nothing is written if this is nothing.
    pub(super) default: Option<&'static str>,
}

const fn line(
    translator: TranslatorKind,
    key: &'static str,
    option: &'static str,
    kind: Kind,
    default: Option<&'static str>,
) -> Line {
    Line { key, translator, option, kind, default }
}

/// Options that say whether a translator is in the graph at all, and whether it is when nobody has said so.
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
    line(Client, "client.strict-locks", "strict-locks", Kind::Bool, Some("off")),
    line(Client, "client.keepalive-count", "transport.socket.keepalive-count", Kind::Int(0, 255), Some("9")),
    line(
        Client,
        "client.keepalive-interval",
        "transport.socket.keepalive-interval",
        Kind::Int(0, 255),
        Some("2"),
    ),
    line(Client, "client.keepalive-time", "transport.socket.keepalive-time", Kind::Int(0, 1013), Some("20")),
    line(Client, "client.tcp-user-timeout", "transport.tcp-user-timeout", Kind::Int(0, 1013), Some("0")),
    line(Client, "client.event-threads", "event-threads", Kind::Int(1, 1024), None),
    line(Client, "network.remote-dio", "filter-O_DIRECT", Kind::Bool, None),
    line(Client, "client.ssl", "transport.socket.ssl-enabled", Kind::Off("TLS"), Some("off")),
    line(Client, "network.tcp-window-size", "tcp-window-size", Kind::Size(0, 1 << 30), None),
    line(Client, "network.frame-timeout", "frame-timeout", Kind::Time(0, 86_400), None),
    // `graph` writes what identifies the brick above this one.
    line(Client, PING_TIMEOUT, "ping-timeout", Kind::Time(0, 1013), Some("42")),
    //
    line(Replicate, "cluster.use-anonymous-inode", "use-anonymous-inode", Kind::Bool, Some("yes")),
    line(Replicate, "cluster.use-compound-fops", "use-compound-fops", Kind::Bool, Some("off")),
    // glusterd's own default is off, but it sets this when it creates a replicated volume.
    line(Replicate, "cluster.granular-entry-heal", "granular-entry-heal", Kind::Bool, Some("on")),
    line(Replicate, "cluster.locking-scheme", "locking-scheme", Kind::Choice(&["full", "granular"]), None),
    line(Replicate, "cluster.shd-wait-qlength", "shd-wait-qlength", Kind::Int(1, 655_360), None),
    line(Replicate, "cluster.shd-max-threads", "shd-max-threads", Kind::Int(1, 64), None),
    line(Replicate, "cluster.full-lock", "full-lock", Kind::Bool, None),
    line(Replicate, "cluster.favorite-child-policy", "favorite-child-policy", FAVORITE_CHILD, None),
    line(Replicate, "cluster.heal-wait-queue-length", "heal-wait-queue-length", Kind::Int(0, 10_000), None),
    line(Replicate, "cluster.consistent-metadata", "consistent-metadata", Kind::Bool, None),
    line(Replicate, "cluster.ensure-durability", "ensure-durability", Kind::Bool, None),
    line(Replicate, "cluster.post-op-delay-secs", "post-op-delay-secs", Kind::Int(0, i32::MAX as i64), None),
    line(
        Replicate,
        "cluster.self-heal-readdir-size",
        "self-heal-readdir-size",
        Kind::Size(1024, 131_072),
        None,
    ),
    line(Replicate, "cluster.choose-local", "choose-local", Kind::Bool, None),
    line(Replicate, "cluster.quorum-reads", "quorum-reads", Kind::Bool, None),
    line(Replicate, "cluster.quorum-count", "quorum-count", Kind::Int(1, i32::MAX as i64), None),
    line(Replicate, "cluster.quorum-type", "quorum-type", Kind::Choice(&["none", "auto", "fixed"]), None),
    line(Replicate, "cluster.eager-lock", "eager-lock", Kind::Bool, None),
    line(Replicate, "cluster.data-self-heal-algorithm", "data-self-heal-algorithm", HEAL_ALGORITHM, None),
    line(Replicate, "cluster.self-heal-window-size", "data-self-heal-window-size", Kind::Int(1, 1024), None),
    line(Replicate, "cluster.heal-timeout", "heal-timeout", Kind::Int(5, i32::MAX as i64), None),
    line(Replicate, SELF_HEAL_DAEMON, "self-heal-daemon", Kind::Bool, None),
    line(Replicate, "cluster.entry-self-heal", "entry-self-heal", Kind::Bool, None),
    line(Replicate, "cluster.data-self-heal", "data-self-heal", Kind::Bool, None),
    line(Replicate, "cluster.metadata-self-heal", "metadata-self-heal", Kind::Bool, None),
    line(
        Replicate,
        "cluster.background-self-heal-count",
        "background-self-heal-count",
        Kind::Int(0, 256),
        None,
    ),
    line(Replicate, "cluster.read-hash-mode", "read-hash-mode", Kind::Int(0, 5), None),
    line(
        Replicate,
        "cluster.read-subvolume-index",
        "read-subvolume-index",
        Kind::Int(-1, i32::MAX as i64),
        None,
    ),
    //
    line(Distribute, "cluster.force-migration", "force-migration", Kind::Bool, Some("off")),
    line(Distribute, "cluster.lock-migration", "lock-migration", Kind::Bool, Some("off")),
    line(
        Distribute,
        "cluster.randomize-hash-range-by-gfid",
        "randomize-hash-range-by-gfid",
        Kind::Bool,
        None,
    ),
    line(Distribute, "cluster.readdir-optimize", "readdir-optimize", Kind::Bool, None),
    line(
        Distribute,
        "cluster.subvols-per-directory",
        "directory-layout-spread",
        Kind::Int(1, i32::MAX as i64),
        None,
    ),
    line(Distribute, "cluster.min-free-inodes", "min-free-inodes", Kind::Percent, None),
    line(Distribute, "cluster.min-free-disk", "min-free-disk", Kind::PercentOrSize, None),
    line(Distribute, "cluster.lookup-optimize", "lookup-optimize", Kind::Bool, None),
    line(Distribute, "cluster.lookup-unhashed", "lookup-unhashed", Kind::BoolOr(&["auto"]), None),
    //
    line(Shard, "features.shard-deletion-rate", "shard-deletion-rate", Kind::Int(1, i32::MAX as i64), None),
    line(Shard, "features.shard-lru-limit", "shard-lru-limit", Kind::Int(20, i32::MAX as i64), None),
    line(Shard, "features.shard-block-size", "shard-block-size", Kind::Size(4 << 20, 4 << 40), None),
    line(Utime, "ctime.noatime", "noatime", Kind::Bool, Some("on")),
    //
    line(WriteBehind, "performance.aggregate-size", "aggregate-size", Kind::Size(0, 128 << 10), None),
    line(WriteBehind, "performance.write-behind-trickling-writes", "trickling-writes", Kind::Bool, None),
    line(WriteBehind, "performance.strict-write-ordering", "strict-write-ordering", Kind::Bool, None),
    line(WriteBehind, "performance.strict-o-direct", "strict-O_DIRECT", Kind::Bool, None),
    line(WriteBehind, RESYNC, "resync-failed-syncs-after-fsync", Kind::Bool, None),
    line(
        WriteBehind,
        "performance.write-behind-window-size",
        "cache-size",
        Kind::Size(512 << 10, 1 << 30),
        None,
    ),
    line(WriteBehind, "performance.flush-behind", "flush-behind", Kind::Bool, None),
    line(ReadAhead, "performance.read-ahead-page-count", "page-count", Kind::Int(1, 16), None),
    line(ReaddirAhead, RDA_CACHE_LIMIT, "rda-cache-limit", Kind::Size(0, 1 << 30), Some("10MB")),
    line(
        ReaddirAhead,
        "performance.rda-request-size",
        "rda-request-size",
        Kind::Size(4096, 131_072),
        Some("131072"),
    ),
    line(ReaddirAhead, PARALLEL_READDIR, "parallel-readdir", Kind::Bool, Some("off")),
    line(IoCache, "performance.cache-size", "cache-size", CACHE_SIZE, None),
    line(IoCache, "performance.cache-refresh-timeout", "cache-timeout", Kind::Int(0, 60), None),
    line(IoCache, "performance.cache-min-file-size", "min-file-size", Kind::Size(0, 1 << 40), None),
    line(IoCache, "performance.cache-max-file-size", "max-file-size", Kind::Size(0, 1 << 40), None),
    line(OpenBehind, "performance.read-after-open", "read-after-open", Kind::Bool, None),
    line(OpenBehind, "performance.lazy-open", "lazy-open", Kind::Bool, None),
    line(QuickRead, "performance.qr-cache-timeout", "cache-timeout", Kind::Int(1, 60), None),
    line(QuickRead, "performance.cache-size", "cache-size", CACHE_SIZE, None),
    line(MdCache, "performance.xattr-cache-list", "xattr-cache-list", Kind::Word, None),
    line(MdCache, "performance.cache-ima-xattrs", "cache-ima-xattrs", Kind::Bool, None),
    line(MdCache, "performance.cache-capability-xattrs", "cache-capability-xattrs", Kind::Bool, None),
    line(MdCache, "performance.cache-samba-metadata", "cache-samba-metadata", Kind::Bool, None),
    line(MdCache, "performance.cache-swift-metadata", "cache-swift-metadata", Kind::Bool, None),
    line(MdCache, "performance.md-cache-timeout", "md-cache-timeout", Kind::Int(0, 600), None),
    line(IoThreads, "performance.least-prio-threads", "least-prio-threads", Kind::Int(1, 64), None),
    line(IoThreads, "performance.low-prio-threads", "low-prio-threads", Kind::Int(1, 64), None),
    line(IoThreads, "performance.normal-prio-threads", "normal-prio-threads", Kind::Int(1, 64), None),
    line(IoThreads, "performance.high-prio-threads", "high-prio-threads", Kind::Int(1, 64), None),
    line(IoThreads, "performance.io-thread-count", "thread-count", Kind::Int(1, 64), None),
    //
    line(IoStats, GLOBAL_THREADING, "global-threading", Kind::Bool, Some("off")),
    line(IoStats, COUNT_FOP_HITS, "count-fop-hits", Kind::Bool, Some("off")),
    line(IoStats, LATENCY_MEASUREMENT, "latency-measurement", Kind::Bool, Some("off")),
    line(IoStats, "config.client-threads", "threads", Kind::Int(1, 64), Some("16")),
    line(IoStats, "diagnostics.client-log-format", "log-format", LOG_FORMAT, None),
    line(IoStats, "diagnostics.client-sys-log-level", "sys-log-level", LOG_LEVEL, None),
    line(IoStats, "diagnostics.client-log-level", "log-level", LOG_LEVEL, Some("INFO")),
];

pub(super) const PING_TIMEOUT: &str = "network.ping-timeout";
pub(super) const PARALLEL_READDIR: &str = "performance.parallel-readdir";
pub(super) const RDA_CACHE_LIMIT: &str = "performance.rda-cache-limit";
pub(super) const SELF_HEAL_DAEMON: &str = "cluster.self-heal-daemon";
pub(super) const GLOBAL_THREADING: &str = "config.global-threading";
pub(super) const COUNT_FOP_HITS: &str = "diagnostics.count-fop-hits";
pub(super) const LATENCY_MEASUREMENT: &str = "diagnostics.latency-measurement";
const RESYNC: &str = "performance.resync-failed-syncs-after-fsync";

const CACHE_SIZE: Kind = Kind::Size(4 << 20, 32 << 30);
const FAVORITE_CHILD: Kind = Kind::Choice(&["none", "size", "ctime", "mtime", "majority"]);
const HEAL_ALGORITHM: Kind = Kind::Choice(&["diff", "full", "reset"]);
pub(super) const LOG_LEVEL: Kind =
    Kind::Choice(&["DEBUG", "WARNING", "ERROR", "INFO", "CRITICAL", "NONE", "TRACE"]);
pub(super) const LOG_FORMAT: Kind = Kind::Choice(&["no-msg-id", "with-msg-id"]);
