//! Block devices and single files as the images of a GlusterFS volume.
//!
//! An [`Images`] is a brick with one directory: each device or file stands in it as an image, which clients open, read,
//! write, flush, discard and zero as any other. Nothing can be made, removed or renamed; a device keeps its size. What GlusterFS
//! once had as its BD translator.
//!
//! There is no place on a device for what a GlusterFS brick keeps beside the data (gfids, changelogs), so gfids are made of the
//! volume's id and the image's name, and such a brick cannot be one of several.

mod attrs;
mod data;
mod error;
mod image;
mod images;
mod names;

pub use error::ImageError;
pub use image::ImageSpec;
pub use images::{Images, ImagesOptions};
