//! Directories as GlusterFS bricks.
//!
//! A [`Brick`] keeps files, handles and attributes on disk exactly as GlusterFS's own brick process
//! does, so that a directory can be served by either (docs/spec/40-brick-server.md, "On-disk layout
//! of a brick"). No name of a client leads out of the directory: every path starts at its
//! descriptor and is resolved beneath it.

mod brick;
mod error;

pub use brick::{Brick, BrickOptions, XattrNamespace};
pub use error::BrickError;
