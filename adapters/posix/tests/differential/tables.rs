//! The gfids, names, xattrs and keys that programs choose from, by number.

use brickwire_core::xdr::{Gfid, Pair, Value};

use crate::program::Place;

/// The root, six gfids for objects of any type, and the null gfid.
pub(crate) const GFIDS: usize = 8;
pub(crate) const SLOTS: usize = 4;
pub(crate) const CALLERS: usize = 4;
pub(crate) const NAMES: usize = 13;
pub(crate) const XATTRS: usize = 35;
pub(crate) const KEYS: usize = 8;

pub(crate) const VOLUME: Gfid = Gfid([7; 16]);
pub(crate) const SPECIAL: u32 = 0o170_000;

pub(crate) fn gfid(number: usize) -> Gfid {
    match number {
        0 => Gfid::ROOT,
        7 => Gfid::NONE,
        n => Gfid::v4([n as u8; 16]),
    }
}

fn name(number: usize) -> Vec<u8> {
    match number {
        0..=3 => vec![b'a' + number as u8],
        4 => vec![b'n'; 255],
        5 => vec![b'n'; 256],
        6 => b".".into(),
        7 => b"..".into(),
        8 => b"".into(),
        9 => b"x/y".into(),
        10 => b".glusterfs".into(),
        11 => b"nul\0".into(),
        _ => "ünïcode".into(),
    }
}

pub(crate) fn xattr(number: usize) -> String {
    let names = [
        "user.a",
        "user.b",
        "trusted.a",
        "trusted.b",
        "security.a",
        "trusted.afr.v-client-0",
        "trusted.afr.dirty",
        "trusted.gfid",
        "trusted.glusterfs.mdata",
        "trusted.glusterfs.volume-id",
        "trusted.gfid2path.0123456789abcdef",
        "user.brickwire.trusted.a",
        "nonsense.a",
        "glusterfs.gfid",
        "glusterfs.gfid.string",
        "glusterfs.gfid2path",
        "trusted.glusterfs.pathinfo",
        "glusterfs.xattrop_index_count",
        "glusterfs.xattrop_index_gfid",
        "user.",
        "",
        "dht-word",
        "glusterfs.foo",
        "trusted.io-stats-dump",
        "trusted.bit-rot.version",
        "glusterfs.gfidtopath",
        "glusterfs.get_real_filename:A",
        "glusterfs.get_real_filename:b",
        "glusterfs.get_real_filename:..",
        "glusterfs.open-fd-count",
        "trusted.glusterfs.node-uuid",
        "trusted.glusterfs.01234567-89ab-cdef-0123-456789abcdef.xtime",
        "trusted.glusterfs.lockinfo",
    ];
    match number {
        33 => format!("user.{}", "l".repeat(250)),
        34 => format!("user.{}", "l".repeat(251)),
        n => names[n].into(),
    }
}

/// Xattrs that are requested in xdata.
fn keys(number: usize) -> &'static [(&'static str, Value<'static>)] {
    const ANY: Value<'static> = Value::Int(0);
    match number {
        1 => &[("user.a", ANY), ("trusted.a", ANY)],
        2 => &[("trusted.gfid", ANY), ("trusted.glusterfs.mdata", ANY), ("user.b", ANY)],
        3 => &[("list-xattr", ANY)],
        4 => &[("glusterfs.content", Value::Uint(8192))],
        5 => &[("link-count", ANY), ("trusted.afr.v-client-0", ANY)],
        6 => &[
            ("nonsense.a", ANY),
            ("user.brickwire.trusted.a", ANY),
            ("trusted.gfid2path.0123456789abcdef", ANY),
        ],
        _ => &[],
    }
}

pub(crate) fn at_place((directory, number): Place) -> (Gfid, Vec<u8>) {
    (gfid(directory), name(number))
}

/// Appends the keys of a number to the pairs of a request's xdata.
pub(crate) fn put_keys(number: usize, pairs: &mut Vec<Pair<'static>>) {
    pairs.extend(
        keys(number).iter().map(|(key, value)| Pair { key: key.as_bytes(), value: *value }),
    );
}
