//! The construction of a volume: its checks, and the distribution of its memory.

use managed::Managed;

use super::machine::{Machine, Scratch};
use super::{Config, Limits, Memory, Volume};
use crate::names::Names;
use crate::rpc::transport::{Owner, Records, Transports, VolfileBuffers};
use crate::slab::Slab;
use crate::time::Instant;
use crate::timers::Timers;
use crate::xlator::{Context, Frames, Inodes, Nodes, Parts};

/// The reason why a volume could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NewError {
    /// A lent table is smaller than the `Limits` need.
    Memory {
        /// Name of the table: a field of [`Memory`].
        table: &'static str,
        /// Elements it has.
        has: usize,
        /// Elements it needs.
        needs: usize,
    },
    /// No volfile server is configured.
    NoServer,
    /// No volume is named.
    NoVolume,
    /// The entropy is all zeroes; gfids of new files would not be unique.
    NoEntropy,
    /// This limit is too small to serve one operation on one brick, or too large for an id.
    Limits(&'static str),
}

impl core::fmt::Display for NewError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Memory { table, has, needs } => {
                write!(f, "memory: the table `{table}` has {has}, it needs {needs}")
            }
            Self::NoServer => f.write_str("config: no volfile server"),
            Self::NoVolume => f.write_str("config: no volume name"),
            Self::NoEntropy => f.write_str("config: entropy is all zeroes"),
            Self::Limits(field) => write!(f, "limits: {field} is out of range"),
        }
    }
}

impl core::error::Error for NewError {}

impl<'m> Volume<'m> {
    /// Makes a volume that uses this memory. The first [`Output`](super::Output) is the dial of
    /// glusterd. The configuration is lent for as long as the volume lives, or (with the feature
    /// `alloc`) given to it, which moves it to the heap.
    pub fn new(
        config: impl Into<Managed<'m, Config>>,
        limits: Limits,
        memory: Memory<'m>,
        now: Instant,
    ) -> Result<Self, NewError> {
        Self::build(config.into(), limits, memory, now)
    }

    /// Not inlined: its frame would be the caller's, who runs the volume's loop, for good.
    #[inline(never)]
    fn build(
        config: Managed<'m, Config>,
        limits: Limits,
        memory: Memory<'m>,
        now: Instant,
    ) -> Result<Self, NewError> {
        check(&config, &limits)?;
        if let Some((table, has, needs)) = memory.lacks(&limits) {
            return Err(NewError::Memory { table, has, needs });
        }
        let memory = memory.cut(&limits);
        let secret = u64::from_le_bytes(config.entropy.first_chunk().copied().unwrap_or_default());
        let parts = Parts {
            frames: Frames::new(memory.frames),
            nodes: Nodes::new(memory.nodes),
            transports: Transports::new(memory.transports, memory.calls, memory.heads),
            fds: Slab::new(memory.fds),
            files: Slab::new(memory.files),
            transactions: Slab::new(memory.transactions),
            kept: Slab::new(memory.kept),
            inodes: Inodes::new(memory.inodes, memory.inode_chains, secret),
            names: Names::new(memory.names, memory.name_bytes),
            volfiles: VolfileBuffers::new(memory.volfiles),
            timers: Timers::new(memory.timers),
            ops: limits.ops,
        };
        let records = Records::new(
            memory.inline_buffers,
            memory.block_bytes,
            memory.blocks,
            limits.transfer_bytes,
        );
        let scratch =
            Scratch { volumes: memory.volumes, options: memory.options, children: memory.children };
        let context = Context::new(config, parts, now);
        let machine = Machine::new(context, Slab::new(memory.ops), scratch);
        let mut volume = Self { machine, records, limits, completed: None };
        volume.begin();
        Ok(volume)
    }

    fn begin(&mut self) {
        // A directory page must fit a block, together with the parts of entries that the brick does
        // not count.
        self.machine.page_bytes = (self.limits.block_bytes / 4 * 3).clamp(512, 131_072);
        self.machine.context.encode_groups();
        self.machine.context.transports.claim(Owner::Glusterd);
        self.machine.session_begin();
    }
}

fn check(config: &Config, limits: &Limits) -> Result<(), NewError> {
    if config.servers.is_empty() {
        return Err(NewError::NoServer);
    }
    if config.volume.is_empty() {
        return Err(NewError::NoVolume);
    }
    if config.entropy == [0; 32] {
        return Err(NewError::NoEntropy);
    }
    let table_max = crate::id::TABLE_MAX as u32;
    let checks = [
        ("ops", limits.ops >= 1 && limits.ops < table_max),
        ("frames", limits.frames > limits.ops && limits.frames < table_max),
        ("calls", limits.calls > limits.ops && limits.calls < table_max),
        ("files", limits.files >= 1 && limits.files < table_max),
        ("inodes", limits.inodes >= limits.files && limits.inodes < table_max),
        // Each file twice: during an exchange it is open on both graphs.
        ("fds", limits.fds / 2 >= limits.files && limits.fds < table_max),
        ("names", limits.names >= 2),
        ("name_bytes", limits.name_bytes >= 256),
        ("blocks", limits.blocks >= 2),
        ("block_bytes", limits.block_bytes >= 1024),
        ("conns", limits.conns >= 2),
        // A SETVOLUME for a brick with a path of usual length.
        ("head_bytes", limits.head_bytes >= 1024 && limits.head_bytes <= 0xffff),
        ("nodes", limits.nodes >= 2),
        ("volfile_bytes", limits.volfile_bytes >= 1024),
    ];
    match checks.into_iter().find(|(_, holds)| !holds) {
        Some((field, _)) => Err(NewError::Limits(field)),
        None => Ok(()),
    }
}
