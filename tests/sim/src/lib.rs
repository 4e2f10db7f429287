//! A simulated world: many clients (ours) against many bricks (our server on storage in memory that
//! forgets what was not synced), in one process and one thread, in virtual time, all from one seed.
//!
//! A seed draws a [`Scenario`](scenario::Scenario): volumes, tables of any size, a workload and
//! faults. [`run`](run::run) plays it and returns a [`Report`](run::Report); a violation of a
//! promise ends it. Equal seeds make equal runs, to the bit. `cargo xtask sim` runs many.
//!
//! ```
//! use brickwire_sim::run::{Options, run};
//!
//! let report = run(1, Options::default());
//! assert!(report.violation.is_none(), "{:?}", report.violation);
//! assert_eq!(report.hash, run(1, Options::default()).hash);
//! ```

pub mod calls;
pub mod checkers;
pub mod client;
pub mod cluster;
pub mod dice;
pub mod disk;
pub mod faults;
pub mod late_call;
pub mod link;
pub mod locker;
pub mod mutant;
pub mod names;
pub mod process;
pub mod run;
pub mod scenario;
pub mod shape;
pub mod trace;
pub mod world;
