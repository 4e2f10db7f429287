//! `cluster/distribute` over one subvolume: it forwards everything, but leaves its mark on new directories and hides
//! link files (docs/spec/20-distribute.md, "Configuration").
//!
//! Volumes of several subvolumes are refused when the graph is assembled.

use super::fop::Fop;
use super::xdata::Xdata;
use crate::fop::wire::Direntp;
use crate::xdr::Value;

/// The layout of a directory that has one subvolume: all hashes are there.
const WHOLE_RANGE: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff];

/// The xattr that a link file names its target in.
const LINKTO: &str = "trusted.glusterfs.dht.linkto";

/// The keys that this translator adds to a fop's xdata.
pub(crate) fn keys<'k>(fop: &Fop, keys: &mut Xdata<'k>) {
    match fop {
        Fop::Mkdir { .. } => keys.add("trusted.glusterfs.dht", Value::Ptr(&WHOLE_RANGE)),
        Fop::Readdirp { .. } => keys.add(LINKTO, Value::Uint(0)),
        _ => {}
    }
}

/// Is this entry a link file, which stands for a file on another subvolume and is nobody's business? Mode exactly `-T`,
/// and the xattr (docs/spec/01-wire.md, "mode, d_type").
pub(crate) fn hides(entry: &Direntp<'_>) -> bool {
    entry.stat.mode & 0o177_777 == 0o101_000 && entry.dict.get(LINKTO).is_some()
}
