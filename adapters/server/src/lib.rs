//! A GlusterFS server in one small process.
//!
//! [`Server`] listens, runs one loop over all connections, and hands what would have to wait for a disk to a pool of threads. What it
//! serves is a set of [`Volume`]s over bricks that are [`Backend`]s: directories, devices, memory.

mod backend;
mod buffers;
mod connection;
pub mod direct;
mod disks;
mod engine;
mod lanes;
mod listener;
pub mod permission;
mod pool;
pub mod reply;
mod served;
mod stats;
mod task;
mod transfers;

pub use backend::{Backend, ReadOutcome, WriteOutcome};
pub use engine::{Counters, Handle, Server, ServerOptions};
pub use listener::Listen;
pub use served::{Access, BrickService, Volume};
pub use stats::{BrickReport, BrickStats, ClientReport, FopStats, Report};
