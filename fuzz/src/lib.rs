//! What fuzz targets share.

pub mod peer;
pub mod session;
