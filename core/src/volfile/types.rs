//! Which translators there are (volfile spec §2.4, §5).

macro_rules! kinds {
    ($($kind:ident: $first:literal $(| $alias:literal)*;)+) => {
        /// A translator's type.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        #[allow(missing_docs)] // GlusterFS's own names.
        pub enum TranslatorKind {
            /// A type that nobody here knows.
            #[default]
            Unknown,
            $($kind,)+
        }

        impl TranslatorKind {
            /// From `category/name`, aliases included.
            pub fn of(name: &[u8]) -> Self {
                match core::str::from_utf8(name) {
                    $(Ok($first $(| $alias)*) => Self::$kind,)+
                    _ => Self::Unknown,
                }
            }

            /// `category/name`.
            pub const fn name(self) -> &'static str {
                match self {
                    Self::Unknown => "(of an unknown type)",
                    $(Self::$kind => $first,)+
                }
            }
        }
    };
}

kinds! {
    Client: "protocol/client";
    Server: "protocol/server";
    Posix: "storage/posix";
    Replicate: "cluster/replicate" | "cluster/afr";
    Disperse: "cluster/disperse" | "cluster/ec";
    Distribute: "cluster/distribute" | "cluster/dht";
    Nufa: "cluster/nufa";
    Switch: "cluster/switch";
    Cloudsync: "features/cloudsync";
    Shard: "features/shard";
    Utime: "features/utime";
    ReadOnly: "features/read-only";
    Worm: "features/worm";
    Cdc: "features/cdc";
    Quiesce: "features/quiesce";
    Quota: "features/quota";
    Quotad: "features/quotad";
    SnapviewClient: "features/snapview-client";
    SnapviewServer: "features/snapview-server";
    Access: "features/access-control" | "system/posix-acl";
    Locks: "features/locks" | "features/posix-locks";
    Index: "features/index";
    Marker: "features/marker";
    Upcall: "features/upcall";
    Leases: "features/leases";
    Selinux: "features/selinux";
    Barrier: "features/barrier";
    BitrotStub: "features/bitrot-stub";
    Changelog: "features/changelog";
    Trash: "features/trash";
    Sdfs: "features/sdfs";
    Namespace: "features/namespace";
    ThinArbiter: "features/thin-arbiter";
    WriteBehind: "performance/write-behind";
    ReadAhead: "performance/read-ahead";
    ReaddirAhead: "performance/readdir-ahead";
    IoCache: "performance/io-cache";
    OpenBehind: "performance/open-behind";
    QuickRead: "performance/quick-read";
    NlCache: "performance/nl-cache";
    MdCache: "performance/md-cache" | "performance/stat-prefetch";
    IoThreads: "performance/io-threads";
    Decompounder: "performance/decompounder";
    Trace: "debug/trace";
    ErrorGen: "debug/error-gen";
    DelayGen: "debug/delay-gen";
    IoStats: "debug/io-stats";
    Sink: "debug/sink";
    Meta: "meta";
}
