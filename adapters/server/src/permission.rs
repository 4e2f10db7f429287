//! May this caller do that? As the core judges, for what has no ACLs.

pub use brickwire_core::server::permission::{EXECUTE, READ, WRITE, allows, in_group};
