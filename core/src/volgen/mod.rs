//! Writes the volfiles that clients of this server fetch with GETSPEC.
//!
//! A [`VolumeSpec`] describes a volume. [`write_client`] writes the volfile that glusterd 10.3
//! gives to an untrusted client, line for line, so results of tests against a real installation
//! hold here. [`write_shd`] writes the one of a self-heal daemon. [`check`] says which options of
//! `gluster volume set` are accepted; [`full_name`] completes short names of options. The format
//! and the order of translators are in `docs/spec/02-volfile.md`.
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
//! Two things differ from glusterd's text. `username` and `password` are never written, because no
//! client is trusted. `remote-port` is written where the port of a brick is known, so that the
//! client need not ask a portmapper.

mod addresses;
mod graph;
mod groups;
mod non_volfile;
mod options;
mod short_names;
mod table;
mod value_type;
mod volume_spec;

pub use addresses::{AddressRule, address_rules};
pub use graph::{write_client, write_shd};
pub use groups::group;
pub use options::{OptionError, OptionFault, ServerOption, Target, check};
pub use short_names::full_name;
pub use value_type::ValueWrong;
pub use volume_spec::{BrickSpec, Family, NAME_BYTES_MAX, Shape, VolgenError, VolumeSpec};
