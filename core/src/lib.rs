//! brickwire-core: a GlusterFS client as a pure function of its inputs.
//!
//! No sockets, no clock, no threads, no allocation after construction: bytes, time, entropy and memory come in as
//! arguments; bytes, deadlines and completions go out. [`volume`] is the way in. From there downwards: translators, fops
//! ([`fop`]), records and calls ([`rpc`]), the codec ([`xdr`]).
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
mod slab;
mod time;
mod timers;
pub mod uri;
pub mod volfile;
pub mod volgen;
pub mod volume;
pub mod xdr;
mod xlator;

pub use id::{ConnId, FileId, OpId, TABLE_MAX};
pub use managed::ManagedSlice;
pub use names::NameSlot;
pub use rpc::transport::{BlockSlot, INLINE_BYTES, InlineBuffer};
pub use slab::Slot;
pub use time::{Instant, WallClock};
pub use timers::TimerSlot;
pub use volume::{Limits, Memory};
pub use xlator::{Frame, Node, RemoteFd};
