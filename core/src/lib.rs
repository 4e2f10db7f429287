//! GlusterFS client and server as a function of their inputs.
//!
//! There are no sockets, no clock, no threads, and no allocation after construction: bytes, time,
//! entropy and memory come in as arguments; bytes, deadlines and completions go out. [`volume`] is
//! the client, [`server`] the server. Below them are translators, fops ([`fop`]), records and calls
//! ([`rpc`]) and the codec ([`xdr`]).
//!
//! The features `client` (`volume` and `uri`) and `server` (`server` and `volgen`) are on by
//! default. Each of the two can be used alone.
#![no_std]
#![forbid(unsafe_code)]
// Both ends share records, fops and tables, and each uses its part of them. With both, unused code
// is reported as ever.
#![cfg_attr(not(all(feature = "client", feature = "server")), allow(unused, unreachable_pub))]

#[cfg(any(test, feature = "alloc"))]
extern crate alloc;
#[cfg(test)]
extern crate std;

mod boundary;
#[cfg(feature = "client")]
mod config;
mod diag;
pub mod fop;
mod gfid_hash;
mod id;
#[cfg(feature = "client")]
mod names;
pub mod rpc;
#[cfg(feature = "server")]
pub mod server;
mod shift;
mod slab;
mod tables;
mod time;
#[cfg(feature = "client")]
mod timers;
#[cfg(feature = "client")]
pub mod uri;
pub mod volfile;
#[cfg(feature = "server")]
pub mod volgen;
#[cfg(feature = "client")]
pub mod volume;
pub mod xdr;
#[cfg(feature = "client")]
mod xlator;

pub use id::{ConnId, FileId, OpId, TABLE_MAX};
pub use managed::{Managed, ManagedSlice};
pub use time::{Instant, WallClock};
#[cfg(feature = "client")]
pub use volume::{Limits, Memory};

/// The memory of a client or server, and the elements of its tables.
///
/// Tables are made in one of three ways: on the heap (feature `alloc`); in a static, by the macro
/// `memory!` (feature `static-memory`); or by hand from the types here, with
/// [`Limits::counts`](memory::Limits::counts) for their sizes. The same holds for
/// [`ServerMemory`](memory::ServerMemory) and `server_memory!`.
pub mod memory {
    pub use managed::ManagedSlice;

    pub use crate::rpc::transport::{BlockSlot, INLINE_BYTES, InlineBuffer};
    #[cfg(feature = "server")]
    pub use crate::server::{
        Connection, FileChain, Job, Lock, LockChain, LockHolder, LockScope, LockStringChunk,
        OpenFile,
        limits::{ServerCounts, ServerLimits, ServerMemory},
    };
    pub use crate::slab::Slot;
    #[cfg(feature = "client")]
    pub use crate::{
        names::NameSlot,
        rpc::{Call, Transport},
        timers::TimerSlot,
        volfile::{OptionEntry, VolumeEntry, VolumeIndex},
        volume::{
            File, Operation,
            limits::{Counts, Limits, Memory},
        },
        xlator::{Frame, Inode, InodeChain, Kept, Node, RemoteFd, Transaction},
    };

    // The macros expand to these.
    #[cfg(all(feature = "static-memory", feature = "server"))]
    #[doc(hidden)]
    pub use crate::server::limits::server_elements;
    #[cfg(feature = "static-memory")]
    #[doc(hidden)]
    pub use crate::tables::{Table, fill};
    #[cfg(all(feature = "static-memory", feature = "client"))]
    #[doc(hidden)]
    pub use crate::volume::limits::elements;
    #[cfg(feature = "static-memory")]
    #[doc(hidden)]
    pub use static_cell::ConstStaticCell;
}
