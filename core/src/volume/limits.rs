//! The memory of a volume, whose size is fixed at construction.

use managed::ManagedSlice;

use super::{File, Operation};
use crate::names::NameSlot;
#[cfg(feature = "alloc")]
use crate::rpc::transport::INLINE_BYTES;
use crate::rpc::transport::{BlockSlot, InlineBuffer};
use crate::rpc::{Call, Transport};
use crate::slab::Slot;
use crate::timers::TimerSlot;
use crate::volfile::{OptionEntry, VolumeEntry, VolumeIndex};
use crate::xlator::{Frame, Node, RemoteFd};

/// The sizes of all tables. A full table is reported by name; no table grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Operations that have been submitted and have not ended.
    pub ops: u32,
    /// Fops in translators; a volume of one brick needs one for each operation.
    pub frames: u32,
    /// Calls that wait for an answer, including those whose operation has ended.
    pub calls: u32,
    /// Open files and directories.
    pub files: u32,
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
        frames: 1024,
        calls: 2048,
        files: 256,
        fds: 1024,
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

    /// For firmware: one brick, four operations, under 64 KiB altogether.
    pub const FIRMWARE: Limits = Limits {
        ops: 4,
        frames: 6,
        calls: 10,
        files: 2,
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
        // Two for each connection; the last two are for the exchange of graphs and for changes in
        // doubt.
        self.ops as usize + 2 * self.conns as usize + 2
    }
}

macro_rules! memory {
    ($(
        $(#[$meta:meta])*
        $field:ident: $type:ty = $kind:ident($empty:expr), |$limits:ident| $count:expr;
    )+) => {
        /// The memory of a volume: lent by the caller, or owned (`Memory::on_heap`, with the
        /// feature `alloc`).
        ///
        /// [`Memory::lacks`] compares the number of elements of each table with the `Limits`. Lent
        /// elements hold their `Default` (or `EMPTY`) value. Tables of `Slot`s on the heap may be
        /// empty, with capacity for the elements.
        #[derive(Debug)]
        pub struct Memory<'m> {
            $($(#[$meta])* pub $field: ManagedSlice<'m, $type>,)+
        }

        impl Memory<'_> {
            /// The first table that is smaller than `limits` need: its name, the elements it has,
            /// and those it needs.
            pub fn lacks(&self, limits: &Limits) -> Option<(&'static str, usize, usize)> {
                $({
                    let $limits = limits;
                    let needs: usize = $count;
                    let has = $kind::room(&self.$field);
                    if has < needs {
                        return Some((stringify!($field), has, needs));
                    }
                })+
                None
            }

            /// Cuts all tables to the sizes that `limits` need, so that an index means the same in
            /// each of them.
            pub(crate) fn cut(self, limits: &Limits) -> Self {
                Self {
                    $($field: {
                        let $limits = limits;
                        cut(self.$field, $count)
                    },)+
                }
            }

            /// Bytes of all tables together.
            pub fn bytes(&self) -> usize {
                0 $(+ $kind::room(&self.$field) * core::mem::size_of::<$type>())+
            }
        }

        #[cfg(feature = "alloc")]
        impl Memory<'static> {
            /// Tables on the heap, of the sizes that `limits` need.
            pub fn on_heap(limits: &Limits) -> Self {
                Self {
                    $($field: ManagedSlice::Owned({
                        let $limits = limits;
                        $kind::on_heap($empty, $count)
                    }),)+
                }
            }
        }
    };
}

/// The first `count` elements of a table.
fn cut<T>(table: ManagedSlice<'_, T>, count: usize) -> ManagedSlice<'_, T> {
    match table {
        ManagedSlice::Borrowed(table) => {
            ManagedSlice::Borrowed(table.get_mut(..count).unwrap_or_default())
        }
        #[cfg(feature = "alloc")]
        ManagedSlice::Owned(mut table) => {
            table.truncate(count);
            // Capacity for more elements would become more slots.
            table.shrink_to(count);
            ManagedSlice::Owned(table)
        }
    }
}

/// Tables whose elements are used in place.
mod filled {
    use managed::ManagedSlice;

    pub(super) fn room<T>(table: &ManagedSlice<'_, T>) -> usize {
        table.len()
    }

    #[cfg(feature = "alloc")]
    pub(super) fn on_heap<T: Clone>(empty: T, count: usize) -> alloc::vec::Vec<T> {
        alloc::vec![empty; count]
    }
}

/// Tables of slots, which are constructed when they are first used: memory of unused slots is never
/// touched.
mod slots {
    pub(super) use crate::slab::room;

    #[cfg(feature = "alloc")]
    pub(super) fn on_heap<T>(_empty: T, count: usize) -> alloc::vec::Vec<T> {
        alloc::vec::Vec::with_capacity(count)
    }
}

memory! {
    /// Operations.
    ops: Slot<Operation> = slots(Slot::EMPTY), |limits| limits.ops as usize;
    /// Frames: fops in translators.
    frames: Slot<Frame> = slots(Slot::EMPTY), |limits| limits.frames as usize;
    /// Calls that wait for an answer.
    calls: Slot<Call> = slots(Slot::EMPTY), |limits| limits.calls as usize;
    /// Open files.
    files: Slot<File> = slots(Slot::EMPTY), |limits| limits.files as usize;
    /// Remote fds.
    fds: Slot<RemoteFd> = slots(Slot::EMPTY), |limits| limits.fds as usize;
    /// The state of each name buffer.
    names: NameSlot = filled(NameSlot::default()), |limits| usize::from(limits.names);
    /// The name buffers.
    name_bytes: u8 = filled(0), |limits| usize::from(limits.names) * usize::from(limits.name_bytes);
    /// The state of each block.
    blocks: BlockSlot = filled(BlockSlot::default()), |limits| usize::from(limits.blocks);
    /// The blocks.
    block_bytes: u8 = filled(0), |limits| usize::from(limits.blocks) * limits.block_bytes as usize;
    /// Connections.
    transports: Transport = filled(Transport::default()), |limits| usize::from(limits.conns);
    /// Their inline buffers.
    inline_buffers: InlineBuffer = filled([0; INLINE_BYTES]), |limits| usize::from(limits.conns);
    /// Encoded record heads of each connection.
    heads: u8 = filled(0), |limits| usize::from(limits.conns) * limits.head_bytes as usize;
    /// Translators of two graphs.
    nodes: Node = filled(Node::default()), |limits| 2 * usize::from(limits.nodes);
    /// Scratch for a volfile: its volumes.
    volumes: VolumeEntry = filled(VolumeEntry::default()), |limits| usize::from(limits.volumes);
    /// Scratch for a volfile: its options.
    options: OptionEntry = filled(OptionEntry::default()), |limits| limits.options as usize;
    /// Scratch for a volfile: its subvolumes.
    children: VolumeIndex = filled(VolumeIndex::default()), |limits| usize::from(limits.children);
    /// Two volfiles.
    volfiles: u8 = filled(0), |limits| 2 * limits.volfile_bytes as usize;
    /// Deadlines.
    timers: TimerSlot = filled(TimerSlot::default()), |limits| limits.timers();
}
