//! `cluster/distribute` over one subvolume. It forwards every fop, gives new directories a layout,
//! and hides link files (docs/spec/20-distribute.md, "Configuration").
//!
//! Volumes of several subvolumes are refused when the graph is built.

use super::fop::Fop;
use super::xdata::Xdata;
use crate::fop::wire::Direntp;
use crate::xdr::Value;

/// Layout of a directory on a single subvolume: all hash values.
const WHOLE_RANGE: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff];

/// The xattr with which a link file names the subvolume of its target.
const LINKTO: &str = "trusted.glusterfs.dht.linkto";

/// The keys that this translator adds to a fop's xdata.
pub(crate) fn keys<'k>(fop: &Fop, keys: &mut Xdata<'k>) {
    match fop {
        Fop::Mkdir { .. } => keys.add("trusted.glusterfs.dht", Value::Ptr(&WHOLE_RANGE)),
        Fop::Readdirp { .. } => keys.add(LINKTO, Value::Uint(0)),
        _ => {}
    }
}

/// Says whether an entry is a link file, which stands for a file on another subvolume: its mode is
/// exactly `---------T` and it has the xattr (docs/spec/01-wire.md, "mode, d_type").
pub(crate) fn hides(entry: &Direntp<'_>) -> bool {
    entry.stat.mode & 0o177_777 == 0o101_000 && entry.dict.get(LINKTO).is_some()
}
