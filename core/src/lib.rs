//! GlusterFS client and server as a function of their inputs.
//!
//! There are no sockets, no clock, no threads, and no allocation after construction: bytes, time,
//! entropy and memory come in as arguments; bytes, deadlines and completions go out. [`volume`] is
//! the client, [`server`] the server. Below them are translators, fops ([`fop`]), records and calls
//! ([`rpc`]) and the codec ([`xdr`]).
#![no_std]
#![forbid(unsafe_code)]

#[cfg(any(test, feature = "alloc"))]
extern crate alloc;
#[cfg(test)]
extern crate std;

mod boundary;
mod config;
mod diag;
pub mod fop;
mod id;
mod names;
pub mod rpc;
pub mod server;
mod shift;
mod slab;
mod tables;
mod time;
mod timers;
pub mod uri;
pub mod volfile;
pub mod volgen;
pub mod volume;
pub mod xdr;
mod xlator;

pub use id::{ConnId, FileId, OpId, TABLE_MAX};
pub use managed::{Managed, ManagedSlice};
pub use time::{Instant, WallClock};
pub use volume::{Limits, Memory};

/// The memory of a client or server, and the elements of its tables.
///
/// Tables are made in one of three ways: on the heap (feature `alloc`); in a static, by the macro
/// `memory!` (feature `static-memory`); or by hand from the types here, with
/// [`Limits::counts`](memory::Limits::counts) for their sizes. The same holds for
/// [`ServerMemory`](memory::ServerMemory) and `server_memory!`.
pub mod memory {
    pub use managed::ManagedSlice;

    pub use crate::names::NameSlot;
    pub use crate::rpc::Call;
    pub use crate::rpc::Transport;
    pub use crate::rpc::transport::{BlockSlot, INLINE_BYTES, InlineBuffer};
    pub use crate::server::limits::{ServerCounts, ServerLimits, ServerMemory};
    pub use crate::server::{
        Connection, FileChain, Job, Lock, LockChain, LockHolder, LockScope, LockStringChunk,
        OpenFile,
    };
    pub use crate::slab::Slot;
    pub use crate::timers::TimerSlot;
    pub use crate::volfile::{OptionEntry, VolumeEntry, VolumeIndex};
    pub use crate::volume::limits::{Counts, Limits, Memory};
    pub use crate::volume::{File, Operation};
    pub use crate::xlator::{Frame, Node, RemoteFd};

    // The macros expand to these.
    #[cfg(feature = "static-memory")]
    #[doc(hidden)]
    pub use crate::{
        server::limits::server_elements,
        tables::{Table, fill},
        volume::limits::elements,
    };
    #[cfg(feature = "static-memory")]
    #[doc(hidden)]
    pub use static_cell::ConstStaticCell;
}
