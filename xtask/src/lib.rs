//! The chores of brickwire, as a library.
//!
//! `cargo xtask <word>` is a thin program over these modules. They are a library so that the
//! interop tests can hold the same [`cluster::Cluster`] that a person brings up by hand.

pub mod bare;
pub mod bench;
pub mod bench_serve;
pub mod ci;
pub mod cluster;
pub mod command;
pub mod fuzz;
mod measure;
pub mod namespace;
pub mod package;
pub mod peers;
mod servers;
pub mod sim;
