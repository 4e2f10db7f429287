//! Ids of slots in the core's tables: an index and a generation in one non-zero word.

use core::num::NonZeroU32;

/// Bits of an id for the slot's index; the rest is its generation.
pub(crate) const INDEX_BITS: u32 = 20;
/// The largest table that an id can name.
pub const TABLE_MAX: usize = 1 << INDEX_BITS;
const INDEX_MASK: u32 = (1 << INDEX_BITS) - 1;
const GENERATIONS: u32 = 1 << (32 - INDEX_BITS);

/// An id of a table: an index and a generation. An id of a slot's former entry is refused.
pub(crate) trait Id: Copy {
    fn new(index: u32, generation: u16) -> Self;
    fn index(self) -> usize;
    fn generation(self) -> u16;
}

/// Index and generation, packed. Generations run from 1, so no id is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RawId(NonZeroU32);

impl RawId {
    pub(crate) fn new(index: u32, generation: u16) -> Self {
        let generation = u32::from(generation).clamp(1, GENERATIONS - 1);
        let word = (generation << INDEX_BITS) | (index & INDEX_MASK);
        Self(NonZeroU32::new(word).unwrap_or(NonZeroU32::MIN))
    }

    pub(crate) fn from_word(word: u32) -> Option<Self> {
        let word = NonZeroU32::new(word)?;
        (word.get() >> INDEX_BITS != 0).then_some(Self(word))
    }

    pub(crate) fn word(self) -> u32 {
        self.0.get()
    }

    pub(crate) fn index(self) -> usize {
        (self.0.get() & INDEX_MASK) as usize
    }

    pub(crate) fn generation(self) -> u16 {
        (self.0.get() >> INDEX_BITS) as u16
    }
}

/// The generation after `generation`. It is never 0, so a zeroed slot is free.
pub(crate) fn next_generation(generation: u16) -> u16 {
    let next = generation.wrapping_add(1) % (GENERATIONS as u16);
    if next == 0 { 1 } else { next }
}

/// The place of a change among the abandoned changes of its inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RangeIx(pub(crate) u8);

macro_rules! ids {
    ($($(#[$meta:meta])* $vis:vis $name:ident;)+) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis struct $name(pub(crate) RawId);

        impl Id for $name {
            fn new(index: u32, generation: u16) -> Self {
                Self(RawId::new(index, generation))
            }
            fn index(self) -> usize {
                self.0.index()
            }
            fn generation(self) -> u16 {
                self.0.generation()
            }
        }

        impl $name {
            /// The index of the slot. It is below the table's limit, so an adapter can keep a
            /// parallel table.
            #[allow(dead_code)] // Not every table has a twin.
            $vis fn slot(self) -> usize {
                self.0.index()
            }
        }
    )+};
}

ids! {
    /// One operation that was submitted and is not yet over.
    pub OpId;
    /// One attempt to connect. Each dial has a new id, so reports about an earlier one are ignored.
    pub ConnId;
    /// One open file or directory.
    pub FileId;
    /// One call of a client that a server has not answered yet.
    pub JobId;
    /// One file or directory that a client of a server has open.
    pub HandleId;
    /// One lock that a client of a server holds or waits for.
    pub(crate) LockId;
    /// The locks of one kind on one inode in one domain.
    pub(crate) ScopeId;
    /// A piece of a lock owner, a lock domain or a name.
    pub(crate) ChunkId;
    /// One call on a connection; the id's word is the call's xid.
    pub(crate) CallId;
    /// One remote fd: an open file on one connection of one brick.
    pub(crate) FdId;
    /// One file or directory, however many handles it has.
    pub(crate) InodeId;
    /// One fop in one translator.
    pub(crate) FrameId;
    /// One transaction of a translator on an inode or directory.
    pub(crate) TransactionId;
    /// Attributes that a translator keeps of replies until its fop is answered.
    pub(crate) KeptId;
}
