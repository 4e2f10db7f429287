//! Writing the volfiles that clients of this server fetch.
//!
//! A volume is described by a [`VolumeSpec`]; [`write_client`] says it as glusterd 10.3 would to a client that it does not
//! trust, line for line, so that what is tested against a real installation is true here. [`write_shd`] is for a self-heal
//! daemon. [`check`] tells which of the options of `gluster volume set` are understood.
//!
//! ```
//! use brickwire_core::volgen::{BrickSpec, Family, Shape, VolumeSpec, write_client};
//! use brickwire_core::xdr::Gfid;
//!
//! let spec = VolumeSpec {
//!     name: "demo",
//!     volume_id: Gfid::parse(b"b1c1824b-8f13-4797-9e40-b565d554911e").unwrap(),
//!     shape: Shape::Distribute,
//!     bricks: &[BrickSpec { host: "127.0.0.1", port: Some(49152), path: "/demo" }],
//!     options: &[("network.ping-timeout", "10")],
//!     family: Family::Inet,
//! };
//! let mut text = String::new();
//! write_client(&spec, &mut text)?;
//! assert!(text.starts_with("volume demo-client-0\n    type protocol/client\n"));
//! assert!(text.contains("    option ping-timeout 10\n"));
//! # Ok::<(), brickwire_core::volgen::VolgenError<'static>>(())
//! ```
//!
//! What differs from glusterd's text: `username` and `password` are never there, because nobody is trusted that much;
//! `remote-port` is, where a brick is served on a known port, so that the client need not ask a portmapper for it.

mod graph;
mod groups;
mod non_volfile;
mod options;
mod table;
mod value_type;
mod volume_spec;

pub use graph::{write_client, write_shd};
pub use groups::group;
pub use options::{OptionError, OptionFault, ServerOption, Target, check};
pub use value_type::ValueWrong;
pub use volume_spec::{BrickSpec, Family, NAME_BYTES_MAX, Shape, VolgenError, VolumeSpec};
