//! Permission checks by mode bits, for bricks without ACLs: the core's.

pub use brickwire_core::server::permission::{EXECUTE, READ, WRITE, allows, in_group};
