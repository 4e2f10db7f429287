//! A GlusterFS server in one small process.
//!
//! [`Server`] listens and runs one loop over all connections; fops that may block on a disk run in
//! a pool of threads. It serves a set of [`Volume`]s whose bricks implement [`Backend`]:
//! directories, devices, memory.

mod backend;
mod buffers;
mod connection;
mod engine;
mod listener;
pub mod o_direct;
pub mod permission;
mod pool;
pub mod reply;
mod scheduling;
mod stats;
mod storage;
mod task;
mod transfers;
mod volumes;

pub use backend::{Backend, ReadOutcome, WriteOutcome};
pub use engine::{Counters, Handle, Server, ServerOptions};
pub use listener::Listen;
pub use stats::{BrickReport, BrickStats, ClientReport, FopStats, Report};
pub use volumes::{Access, AddressRule, BrickService, Volume};
