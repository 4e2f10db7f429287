//! Block devices and single files as the images of a GlusterFS volume.
//!
//! An [`Images`] is a brick with a single directory. Each device or file is an entry of it: an
//! image that clients open, read, write, flush, discard and zero like any other file. Entries
//! cannot be created, removed or renamed, and a device keeps its size. GlusterFS's former BD
//! translator did the same.
//!
//! A device has no room for the metadata that a GlusterFS brick keeps beside the data (gfids,
//! changelogs). A gfid is therefore a hash of the volume id and the image's name, and such a brick
//! can only be the sole brick of its volume.

mod attrs;
mod data;
mod error;
mod image;
mod images;
mod names;

pub use error::ImageError;
pub use image::ImageSpec;
pub use images::{Images, ImagesOptions};
