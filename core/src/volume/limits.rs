//! The memory of a volume, whose size is fixed at construction.

use managed::ManagedSlice;

use super::{File, Operation};
use crate::names::NameSlot;
use crate::rpc::transport::{BlockSlot, InlineBuffer};
use crate::rpc::{Call, Transport};
use crate::slab::Slot;
use crate::tables::tables;
use crate::timers::TimerSlot;
use crate::volfile::{OptionEntry, VolumeEntry, VolumeIndex};
use crate::xlator::{Frame, Inode, InodeChain, Kept, Node, RemoteFd, Transaction};

/// The sizes of all tables. A full table is reported by name; no table grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Operations that have been submitted and have not ended.
    pub ops: u32,
    /// Fops in translators: a volume of one brick needs one for each operation, a replicated one 1
    /// + 4 N, where N is the number of replicas.
    pub frames: u32,
    /// Calls that wait for an answer, including those whose operation has ended. For replicas one
    /// for each operation, and two for each brick.
    pub calls: u32,
    /// Open files and directories.
    pub files: u32,
    /// Inodes: one for each open file, and those with changes of which it is not known whether a
    /// brick still executes them. The others are kept for as long as there is room.
    pub inodes: u32,
    /// Remote fds: for each open file one on each of its bricks, and as many on the next graph
    /// while graphs are exchanged; with second connections one more.
    pub fds: u32,
    /// Buffers for paths and names, for the operations that have some.
    pub names: u16,
    /// Bytes of each such buffer: the longest path, with its symlinks resolved.
    pub name_bytes: u16,
    /// Blocks: for long records that are being received, and for answers that are kept for the
    /// caller.
    pub blocks: u16,
    /// Bytes of each block: the longest reply without payload (directory pages, extended
    /// attributes).
    pub block_bytes: u32,
    /// Connections: one to glusterd, one or two to each brick, and those to bricks twice while
    /// graphs are exchanged.
    pub conns: u16,
    /// Bytes of encoded record heads for each connection: bounds how many calls wait for the
    /// socket.
    pub head_bytes: u32,
    /// Translators of a graph, without those that are left out.
    pub nodes: u16,
    /// `volume` sections of a volfile.
    pub volumes: u16,
    /// `option` lines of a volfile.
    pub options: u32,
    /// Names after `subvolumes` in a volfile, all sections together.
    pub children: u16,
    /// Bytes of a volfile.
    pub volfile_bytes: u32,
    /// Bytes of the longest read or write.
    pub transfer_bytes: u32,
}

impl Limits {
    /// For a host: 512 operations in flight, 256 open files, volumes of up to 64 bricks.
    pub const HOST: Limits = Limits {
        ops: 512,
        frames: 8192,
        calls: 2048,
        files: 256,
        inodes: 1024,
        fds: 2048,
        names: 128,
        name_bytes: 4352,
        blocks: 16,
        block_bytes: 160 * 1024,
        conns: 260,
        head_bytes: 16 * 1024,
        nodes: 96,
        volumes: 256,
        options: 4096,
        children: 256,
        volfile_bytes: 1024 * 1024,
        transfer_bytes: 16 * 1024 * 1024,
    };

    /// For firmware: one brick, four operations. The tables take 32 KiB.
    pub const FIRMWARE: Limits = Limits {
        ops: 4,
        frames: 6,
        calls: 10,
        files: 2,
        inodes: 3,
        fds: 4,
        names: 4,
        name_bytes: 512,
        blocks: 3,
        block_bytes: 2048,
        conns: 3,
        head_bytes: 1536,
        nodes: 4,
        volumes: 16,
        options: 48,
        children: 16,
        volfile_bytes: 4096,
        transfer_bytes: 64 * 1024,
    };

    pub(crate) const fn timers(&self) -> usize {
        // Two for each connection, two for the exchange of graphs and for changes in doubt, and one
        // for each transaction.
        self.ops as usize + 2 * self.conns as usize + 2 + self.ops as usize
    }
}

tables! {
    $
    /// The memory of a volume: lent by the caller (in a static: the macro `memory!`), or owned
    /// (`Memory::on_heap`, with the feature `alloc`).
    ///
    /// [`Memory::lacks`] compares the number of elements of each table with the `Limits`. Lent
    /// elements hold their `Default` (or `EMPTY`) value. Tables of `Slot`s on the heap may be
    /// empty, with capacity for the elements.
    Memory for Limits, Counts, elements, memory!(FIRMWARE);

    /// Operations.
    ops: Slot<Operation> = slots(Slot::EMPTY), |limits| limits.ops as usize;
    /// Frames: fops in translators.
    frames: Slot<Frame> = slots(Slot::EMPTY), |limits| limits.frames as usize;
    /// Calls that wait for an answer.
    calls: Slot<Call> = slots(Slot::EMPTY), |limits| limits.calls as usize;
    /// Open files.
    files: Slot<File> = slots(Slot::EMPTY), |limits| limits.files as usize;
    /// Inodes.
    inodes: Slot<Inode> = slots(Slot::EMPTY), |limits| limits.inodes as usize;
    /// Transactions of translators: one for each operation.
    transactions: Slot<Transaction> = slots(Slot::EMPTY), |limits| limits.ops as usize;
    /// Parts of replies that translators keep: for each operation, and for the roots of two graphs.
    kept: Slot<Kept> = slots(Slot::EMPTY), |limits| limits.ops as usize + 2;
    /// Where to find them by gfid.
    inode_chains: InodeChain = filled(InodeChain::default()), |limits| limits.inodes as usize;
    /// Remote fds.
    fds: Slot<RemoteFd> = slots(Slot::EMPTY), |limits| limits.fds as usize;
    /// The state of each name buffer.
    names: NameSlot = filled(NameSlot::default()), |limits| limits.names as usize;
    /// The name buffers.
    name_bytes: u8 = filled(0), |limits| limits.names as usize * limits.name_bytes as usize;
    /// The state of each block.
    blocks: BlockSlot = filled(BlockSlot::default()), |limits| limits.blocks as usize;
    /// The blocks.
    block_bytes: u8 = filled(0), |limits| limits.blocks as usize * limits.block_bytes as usize;
    /// Connections.
    transports: Transport = filled(Transport::default()), |limits| limits.conns as usize;
    /// Their inline buffers.
    inline_buffers: InlineBuffer = filled([0; size_of::<InlineBuffer>()]),
        |limits| limits.conns as usize;
    /// Encoded record heads of each connection.
    heads: u8 = filled(0), |limits| limits.conns as usize * limits.head_bytes as usize;
    /// Translators of two graphs.
    nodes: Node = filled(Node::default()), |limits| 2 * limits.nodes as usize;
    /// Scratch for a volfile: its volumes.
    volumes: VolumeEntry = filled(VolumeEntry::default()), |limits| limits.volumes as usize;
    /// Scratch for a volfile: its options.
    options: OptionEntry = filled(OptionEntry::default()), |limits| limits.options as usize;
    /// Scratch for a volfile: its subvolumes.
    children: VolumeIndex = filled(VolumeIndex::default()), |limits| limits.children as usize;
    /// Two volfiles.
    volfiles: u8 = filled(0), |limits| 2 * limits.volfile_bytes as usize;
    /// Deadlines.
    timers: TimerSlot = filled(TimerSlot::default()), |limits| limits.timers();
}
