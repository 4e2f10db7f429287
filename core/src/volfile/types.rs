//! Known translators (docs/spec/02-volfile.md, "Semantic rules" and "Which translators appear in
//! client volfiles").

use super::Token;

macro_rules! kinds {
    ($($kind:ident: $first:literal $(| $alias:literal)*;)+) => {
        /// A translator's type. Some have several names; the first one is the one that glusterd
        /// writes.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum TranslatorKind {
            /// An unknown type. It must never be skipped.
            #[default]
            Unknown,
            $(
                #[doc = concat!("`", $first, "`" $(, ", `", $alias, "`")*)]
                $kind,
            )+
        }

        impl TranslatorKind {
            /// All types except [`Unknown`](Self::Unknown).
            pub const KNOWN: &[Self] = &[$(Self::$kind),+];

            /// From `category/name`, aliases included.
            pub fn of<'n>(name: impl Into<Token<'n>>) -> Self {
                let name = name.into();
                let mut room = [0; NAME_BYTES_MAX];
                let bytes = name.as_raw().or_else(|| name.decode_into(&mut room));
                match bytes.map(core::str::from_utf8) {
                    $(Some(Ok($first $(| $alias)*)) => Self::$kind,)+
                    _ => Self::Unknown,
                }
            }

            /// Its canonical `category/name`, or for [`Unknown`](Self::Unknown) a text that says
            /// so.
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
    AccessControl: "features/access-control" | "system/posix-acl";
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
    Arbiter: "features/arbiter";
    Bitrot: "features/bit-rot";
    GfidAccess: "features/gfid-access";
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

/// Longer than every name above, for names written with escapes.
const NAME_BYTES_MAX: usize = 64;
