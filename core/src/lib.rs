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
