//! A GlusterFS server in one small process.
//!
//! [`Server`] listens, runs one loop over all connections, and hands what would have to wait for a disk to a pool of threads. What it
//! serves is a set of [`Volume`]s over bricks that are [`Backend`]s: directories, devices, memory.

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
pub use volumes::{Access, BrickService, Volume};
