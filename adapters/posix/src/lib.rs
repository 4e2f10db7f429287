//! Directories as GlusterFS bricks.
//!
//! A [`Brick`] keeps files, handles and attributes on disk exactly as GlusterFS's own brick process does, so that a
//! directory can be served by one and then by the other (docs/spec/40-brick-server.md, "On-disk
//! layout of a brick"). Nothing that a client can name leads out of
//! it: every path begins at the directory's descriptor and is resolved beneath it.

mod brick;
mod error;

pub use brick::{Brick, BrickOptions, XattrNamespace};
pub use error::BrickError;
