//! Sizes of a server's tables, fixed at construction.

use managed::ManagedSlice;

use super::connections::Connection;
use super::files::{FileChain, OpenFile};
use super::jobs::Job;
use super::locks::{Chain, Chunk, Holder, Lock, Scope};
use crate::rpc::transport::{BlockSlot, InlineBuffer};
use crate::slab::Slot;
use crate::tables::tables;

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

tables! {
    $
    /// The memory of a server: lent by the caller (in a static: the macro `server_memory!`), or
    /// owned (`ServerMemory::on_heap`, with the feature `alloc`).
    ///
    /// [`ServerMemory::lacks`] compares the number of elements of each table with the
    /// `ServerLimits`. Lent elements hold their `Default` (or `EMPTY`) value. Tables of `Slot`s,
    /// and of inline buffers, may be empty on the heap, with capacity for the elements.
    ServerMemory for ServerLimits, ServerCounts, server_elements, server_memory!(SMALL);

    /// Connections.
    connections: Slot<Connection> = slots(Slot::EMPTY), |limits| limits.connections as usize;
    /// Inline buffers of the connections.
    inline_buffers: InlineBuffer = slots([0; size_of::<InlineBuffer>()]),
        |limits| limits.connections as usize;
    /// Encoded replies of the connections.
    heads: u8 = filled(0), |limits| limits.connections as usize * limits.head_bytes as usize;
    /// Calls whose replies are not sent completely.
    jobs: Slot<Job> = slots(Slot::EMPTY), |limits| limits.jobs as usize + limits.waits as usize;
    /// Open files.
    files: Slot<OpenFile> = slots(Slot::EMPTY), |limits| limits.files as usize;
    /// Hash index of open inodes.
    file_chains: FileChain = filled(FileChain::default()), |limits| limits.files as usize / 16 + 1;
    /// Locks.
    locks: Slot<Lock> = slots(Slot::EMPTY), |limits| limits.locks as usize;
    /// Scopes: an inode, a kind of lock and a domain each.
    lock_scopes: Slot<Scope> = slots(Slot::EMPTY), |limits| limits.locks as usize;
    /// Chunks of owners, domains and names of locks.
    lock_strings: Slot<Chunk> = slots(Slot::EMPTY), |limits| 3 * limits.locks as usize;
    /// Hash index of scopes.
    lock_chains: Chain = filled(Chain::default()), |limits| limits.locks as usize / 2 + 1;
    /// Locks of each connection.
    lock_holders: Holder = filled(Holder::default()), |limits| limits.connections as usize;
    /// State of each block.
    blocks: BlockSlot = filled(BlockSlot::default()), |limits| limits.blocks as usize;
    /// The blocks' bytes.
    block_bytes: u8 = filled(0), |limits| limits.blocks as usize * limits.block_bytes as usize;
}
