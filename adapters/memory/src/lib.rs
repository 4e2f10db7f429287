//! Bricks in memory, for simulations, plugins, firmware and tests. They live as long as the
//! process.
//!
//! Fops are answered at once, as by a directory on disk. Equal calls give equal answers: there is
//! no randomness, no clock and no allocation. Inodes, names, xattrs and pages of content are in
//! tables that the caller lends, or on the heap with the feature `alloc`. When a table is full, a
//! call is refused with ENOSPC and has changed nothing.
//!
//! With the feature `alloc` a storage can have a write cache: changes that were not synced are lost
//! when the test says that the power fails ([`MemoryStorage::enable_write_cache`]).
//!
//! Times come from two clocks, as on a disk: [`MemoryStorage::set_time`] sets the host's, and
//! clients of a volume with `features/utime` send theirs with each call.
//!
//! ```
//! # #[cfg(feature = "alloc")] {
//! use brickwire_memory::{MemoryLimits, MemoryStorage, MemoryTables};
//! use brickwire_core::xdr::Gfid;
//!
//! let limits = MemoryLimits::SMALL;
//! let mut storage = MemoryStorage::new(&limits, MemoryTables::on_heap(&limits)).unwrap();
//! storage.set_time(1_800_000_000, 0);
//! let brick = storage.add_brick(Gfid::v4([7; 16])).unwrap();
//! let yesterday = storage.clone();
//! # assert!(yesterday == storage && brick.0 == 0);
//! # }
//! ```
#![no_std]
#![forbid(unsafe_code)]

#[cfg(any(test, feature = "alloc"))]
extern crate alloc;

mod acls;
mod arena;
mod attrs;
mod data;
mod dirs;
#[cfg(feature = "alloc")]
mod durability;
mod files;
mod fsck;
mod index;
mod inode;
mod limits;
mod names;
mod pages;
mod pathinfo;
mod permission;
mod reply;
mod sorted_table;
mod store;
mod virtual_xattrs;
mod xattrop;
mod xattrs;

pub use arena::Extent;
#[cfg(feature = "alloc")]
pub use durability::Cached;
pub use inode::{Entry, Inode, OpenInode, Xattr};
pub use limits::{MemoryLimits, MemoryTables};
pub use pages::Page;
pub use store::Brick;

use arena::Arena;
use brickwire_core::server::{
    BrickIx, BufferId, Call, HandleId, JobId, Payload, Storage, Submitted, TooSmall,
};
use brickwire_core::xdr::{Errno, Gfid, Writer};
use reply::Out;
use sorted_table::Region;
use store::Store;

/// Reasons for a call to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// The reply has this errno.
    Errno(Errno),
    /// No buffer is free for the reply; the call is to be repeated. Nothing was changed.
    Busy,
}

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

type Result<T, E = Stop> = core::result::Result<T, E>;

/// Bricks in memory.
#[derive(Debug, PartialEq)]
#[cfg_attr(feature = "alloc", derive(Clone))]
pub struct MemoryStorage<'m> {
    store: Store<'m>,
    /// The bricks as a power failure leaves them, if there is a write cache.
    #[cfg(feature = "alloc")]
    durable: Option<alloc::boxed::Box<Store<'m>>>,
    arena: Arena<'m>,
    keys: Region<'m, u8>,
    list: Region<'m, u8>,
}

/// Use of a storage's tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUsage {
    /// Inodes, including the storage's own.
    pub inodes: u32,
    /// Names.
    pub entries: u32,
    /// Xattrs.
    pub xattrs: u32,
    /// Open files and directories.
    pub files: u32,
    /// Pages with content.
    pub pages: u32,
    /// Buffers in use.
    pub buffers: u32,
}

impl<'m> MemoryStorage<'m> {
    /// A storage without bricks.
    pub fn new(limits: &MemoryLimits, tables: MemoryTables<'m>) -> Result<Self, TooSmall> {
        if let Some((table, has, needs)) = tables.lacks(limits) {
            return Err(TooSmall { table, has, needs });
        }
        let arena = Arena::new(tables.buffer_bytes, tables.extents);
        let (keys, list) = (tables.keys.into(), tables.list.into());
        let tables = store::Tables {
            bricks: tables.bricks,
            inodes: (tables.inodes, tables.inode_order),
            entries: (tables.entries, tables.entry_order, tables.cookie_order),
            xattrs: (tables.xattrs, tables.xattr_order),
            files: (tables.files, tables.file_order),
            pages: (tables.pages, tables.page_order, tables.page_bytes),
        };
        let store = Store::new(tables, limits.page_bytes);
        Ok(Self {
            store,
            #[cfg(feature = "alloc")]
            durable: None,
            arena,
            keys,
            list,
        })
    }

    /// Adds an empty brick of the volume with this id. Bricks are numbered from 0 in the order of
    /// creation.
    pub fn add_brick(&mut self, volume_id: Gfid) -> Result<BrickIx, Errno> {
        self.store.add_brick(volume_id)
    }

    /// Sets the clock: seconds and nanoseconds since 1970. Later changes get this time.
    pub fn set_time(&mut self, seconds: i64, nanos: u32) {
        self.store.clock = (seconds, nanos.min(999_999_999));
    }

    /// Use of the tables.
    pub fn usage(&self) -> MemoryUsage {
        self.store.usage(self.arena.taken())
    }

    /// Checks the tables' consistency; an error names the broken invariant. For simulations and
    /// fuzzing: it is slow.
    pub fn verify(&self) -> core::result::Result<(), &'static str> {
        self.store.verify()
    }

    /// Simulates a restart of the server process: open files are closed, buffers are free. Nothing
    /// is lost, not even with a write cache.
    pub fn restart(&mut self) {
        self.store.close_all();
        self.arena.release_all();
    }

    /// Executes a fop like [`Storage::submit`], and is never pending.
    pub fn execute(&mut self, call: &Call<'_>, reply: &mut Writer<'_>) -> Submitted {
        let Self { store, arena, keys, list, .. } = self;
        let written = match call.payload {
            Payload::Bytes(bytes) => store.put_payload(call, bytes),
            Payload::Buffer(place) => store.put_payload(call, arena.bytes(place)),
        };
        let mut out = Out::new(call, reply, arena, keys, list);
        let result = match written {
            Some(written) => written.and_then(|written| written.answer(&mut out)),
            None => store.dispatch(call, &mut out),
        };
        let result = match result {
            Err(Stop::Errno(errno)) => out.fail(errno),
            result => result,
        };
        let submitted = match (result, out.done) {
            (Ok(()), Some(submitted)) => submitted,
            // A failure always fits the room that a server provides.
            _ => Submitted::Busy,
        };
        if submitted == Submitted::Busy {
            out.give_back();
        } else if let Payload::Buffer(place) = call.payload {
            self.arena.release(place.buffer);
        }
        #[cfg(feature = "alloc")]
        if matches!(submitted, Submitted::Done { failed: false, .. }) {
            self.sync_as_asked(call);
        }
        submitted
    }
}

impl Storage for MemoryStorage<'_> {
    fn submit(&mut self, _job: JobId, call: &Call<'_>, reply: &mut Writer<'_>) -> Submitted {
        self.execute(call, reply)
    }

    fn close(&mut self, _brick: BrickIx, handle: HandleId) {
        self.store.close(handle);
    }

    fn reserve(&mut self, len: u32) -> Option<BufferId> {
        self.arena.reserve(len)
    }

    fn bytes_mut(&mut self, buffer: BufferId) -> &mut [u8] {
        self.arena.bytes_mut(buffer)
    }

    fn release(&mut self, buffer: BufferId) {
        self.arena.release(buffer);
    }
}
