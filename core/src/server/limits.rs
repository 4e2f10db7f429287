//! Sizes of a server's tables, fixed at construction.

use managed::ManagedSlice;

use super::connections::Connection;
use super::files::{FileChain, OpenFile};
use super::jobs::Job;
use super::locks::{Chain, Chunk, Holder, Lock, Scope};
use crate::rpc::transport::{BlockSlot, InlineBuffer};
use crate::slab::Slot;

/// Sizes of a server's tables. When one is full, clients wait or get an errno; nothing grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ServerLimits {
    /// Connections, of clients and for management together.
    pub connections: u16,
    /// Calls whose replies are not sent completely, of all connections.
    pub jobs: u32,
    /// Such calls of one connection (`server.outstanding-rpc-limit`): with so many it is not read.
    pub jobs_per_connection: u16,
    /// Bytes in buffers of replies that wait on one connection: with so many it is not read.
    pub unsent_bytes: u32,
    /// Open files and directories of all connections.
    pub files: u32,
    /// Open files and directories of one connection.
    pub files_per_connection: u32,
    /// Locks of all connections, granted and waited for.
    pub locks: u32,
    /// Locks of one connection.
    pub locks_per_connection: u32,
    /// Locks of one kind on one inode in one domain: bounds the work of one request.
    pub locks_per_inode: u32,
    /// Calls of all connections that wait for a lock. They do not count as `jobs`.
    pub waits: u32,
    /// Calls of one connection that wait for a lock.
    pub waits_per_connection: u32,
    /// Bytes of encoded replies for each connection: at least 1,280, the longest reply head.
    pub head_bytes: u32,
    /// Blocks for long calls that are being received, without the payload of a WRITE.
    pub blocks: u16,
    /// Bytes of each block.
    pub block_bytes: u32,
    /// Bytes of the longest READ or WRITE that is one call of the storage. Longer ones, up to 2
    /// GiB, are executed in parts of a quarter of it.
    pub transfer_bytes: u32,
}

impl ServerLimits {
    /// For a host: 4,096 connections, 65,536 open files, 32,768 locks.
    pub const HOST: ServerLimits = ServerLimits {
        connections: 4096,
        jobs: 8192,
        jobs_per_connection: 64,
        unsent_bytes: 1024 * 1024,
        files: 65_536,
        files_per_connection: 16_384,
        locks: 32_768,
        locks_per_connection: 8192,
        locks_per_inode: 2048,
        waits: 4096,
        waits_per_connection: 1024,
        head_bytes: 16 * 1024,
        blocks: 64,
        block_bytes: 256 * 1024,
        transfer_bytes: 16 * 1024 * 1024,
    };

    /// For tests and small devices.
    pub const SMALL: ServerLimits = ServerLimits {
        connections: 8,
        jobs: 64,
        jobs_per_connection: 16,
        unsent_bytes: 128 * 1024,
        files: 64,
        files_per_connection: 64,
        locks: 128,
        locks_per_connection: 48,
        locks_per_inode: 64,
        waits: 32,
        waits_per_connection: 12,
        head_bytes: 4 * 1024,
        blocks: 2,
        block_bytes: 16 * 1024,
        transfer_bytes: 128 * 1024,
    };
}

macro_rules! memory {
    (@table $empty:expr, $count:expr) => {
        alloc::vec![$empty; $count]
    };
    (@has $table:expr) => {
        $table.len()
    };
    (@has $table:expr, lazily) => {
        crate::slab::room(&$table)
    };
    // Slots are written as they are used: untouched, they take address space and no memory.
    (@table $empty:expr, $count:expr, lazily) => {
        alloc::vec::Vec::with_capacity($count)
    };
    ($(
        $(#[$meta:meta])*
        $field:ident: $type:ty = $empty:expr, |$limits:ident| $count:expr $(, $lazily:ident)?;
    )+) => {
        /// The memory of a server: lent by the caller, or owned (`ServerMemory::on_heap`, with the
        /// feature `alloc`).
        #[derive(Debug)]
        pub struct ServerMemory<'m> {
            $($(#[$meta])* pub $field: ManagedSlice<'m, $type>,)+
        }

        impl ServerMemory<'_> {
            /// The first table that is smaller than `limits` require: name, size, required size.
            pub fn lacks(&self, limits: &ServerLimits) -> Option<(&'static str, usize, usize)> {
                $({
                    let $limits = limits;
                    let needs: usize = $count;
                    let has = memory!(@has self.$field $(, $lazily)?);
                    if has < needs {
                        return Some((stringify!($field), has, needs));
                    }
                })+
                None
            }

            /// Bytes of all tables together.
            pub fn bytes(&self) -> usize {
                0 $(+ crate::slab::room(&self.$field) * core::mem::size_of::<$type>())+
            }
        }

        #[cfg(feature = "alloc")]
        impl ServerMemory<'static> {
            /// Allocates tables of exactly the sizes that `limits` require.
            pub fn on_heap(limits: &ServerLimits) -> Self {
                Self {
                    $($field: ManagedSlice::Owned({
                        let $limits = limits;
                        memory!(@table $empty, $count $(, $lazily)?)
                    }),)+
                }
            }
        }
    };
}

memory! {
    /// Connections.
    connections: Slot<Connection> = Slot::EMPTY, |limits| usize::from(limits.connections), lazily;
    /// Inline buffers of the connections.
    inline_buffers: InlineBuffer = [0; crate::rpc::transport::INLINE_BYTES],
        |limits| usize::from(limits.connections), lazily;
    /// Encoded replies of the connections.
    heads: u8 = 0, |limits| usize::from(limits.connections) * limits.head_bytes as usize;
    /// Calls whose replies are not sent completely.
    jobs: Slot<Job> = Slot::EMPTY, |limits| limits.jobs as usize + limits.waits as usize, lazily;
    /// Open files.
    files: Slot<OpenFile> = Slot::EMPTY, |limits| limits.files as usize, lazily;
    /// Hash index of open inodes.
    file_chains: FileChain = FileChain::default(), |limits| limits.files as usize / 16 + 1;
    /// Locks.
    locks: Slot<Lock> = Slot::EMPTY, |limits| limits.locks as usize, lazily;
    /// Scopes: an inode, a kind of lock and a domain each.
    lock_scopes: Slot<Scope> = Slot::EMPTY, |limits| limits.locks as usize, lazily;
    /// Chunks of owners, domains and names of locks.
    lock_strings: Slot<Chunk> = Slot::EMPTY, |limits| 3 * limits.locks as usize, lazily;
    /// Hash index of scopes.
    lock_chains: Chain = Chain::default(), |limits| limits.locks as usize / 2 + 1;
    /// Locks of each connection.
    lock_holders: Holder = Holder::default(), |limits| usize::from(limits.connections);
    /// State of each block.
    blocks: BlockSlot = BlockSlot::default(), |limits| usize::from(limits.blocks);
    /// The blocks' bytes.
    block_bytes: u8 = 0, |limits| usize::from(limits.blocks) * limits.block_bytes as usize;
}
