//! An answer, without the parts in which two correct storages may differ: times of their own
//! clocks, device numbers, blocks, the order of entries.

use std::collections::BTreeMap;

use brickwire_core::fop::FopNumber;
use brickwire_core::fop::wire::{Body, Reply};
use brickwire_core::xdr::{Dict, Errno, Gfid, Iatt, Reader, Value};

/// Times from here on are of a storage's clock; earlier ones came with a call.
const CLOCK: i64 = 1_500_000_000;

/// Attributes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Attrs {
    pub(crate) gfid: Gfid,
    flags: u64,
    ino: u64,
    rdev: u64,
    /// For a directory it depends on the file system, and is left out.
    size: Option<u64>,
    pub(crate) nlink: u32,
    uid: u32,
    gid: u32,
    mode: u32,
    /// atime, mtime and ctime, if they came with a call.
    times: [Option<(i64, u32)>; 3],
}

/// Keys and values; the text form of a value shows its type.
pub(crate) type Keys = BTreeMap<String, String>;

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    kind: u32,
    attrs: Option<Attrs>,
    keys: Keys,
}

/// One answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) ret: i32,
    pub(crate) errno: i32,
    pub(crate) attrs: Vec<Attrs>,
    pub(crate) xdata: Keys,
    dict: Keys,
    bytes: Vec<u8>,
    number: u64,
    pub(crate) entries: BTreeMap<String, Entry>,
    /// Offset of the next page and size of this one; not compared.
    pub(crate) page: Page,
}

/// A page of entries.
#[derive(Clone, Debug, Default)]
pub(crate) struct Page {
    pub(crate) last: u64,
    pub(crate) bytes: usize,
}

impl PartialEq for Page {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Attrs {
    pub(crate) fn is_dir(&self) -> bool {
        self.size.is_none()
    }

    pub(crate) fn of(iatt: &Iatt, timed: bool) -> Self {
        let most = iatt.size.div_ceil(512);
        assert!(iatt.blocks <= most, "{} blocks for {} bytes", iatt.blocks, iatt.size);
        let directory = iatt.mode & 0o170_000 == 0o040_000;
        let time = |seconds, nanos| (timed && seconds < CLOCK).then_some((seconds, nanos));
        Self {
            gfid: iatt.gfid,
            flags: iatt.flags,
            ino: iatt.ino,
            rdev: iatt.rdev,
            size: (!directory).then_some(iatt.size),
            nlink: iatt.nlink,
            uid: iatt.uid,
            gid: iatt.gid,
            mode: iatt.mode,
            times: [
                time(iatt.atime, iatt.atime_nsec),
                time(iatt.mtime, iatt.mtime_nsec),
                time(iatt.ctime, iatt.ctime_nsec),
            ],
        }
    }
}

fn keys(dict: &Dict<'_>) -> Keys {
    let text = |key: &[u8], value: Value<'_>| {
        let key = String::from_utf8_lossy(key).into_owned();
        // Holds times of the storage's clock; the iatts are compared instead.
        let value = if key == "trusted.glusterfs.mdata" { "times".into() } else { told(&value) };
        (key, value)
    };
    dict.pairs().map(|(key, value)| text(key, value)).collect()
}

fn told(value: &Value<'_>) -> String {
    match value {
        Value::Str(text) => format!("text {}", String::from_utf8_lossy(text)),
        Value::Ptr(bytes) => format!("bytes {}", bytes.escape_ascii()),
        other => format!("{other:?}"),
    }
}

/// Decodes the body of a reply, and the data that follows it.
pub(crate) fn decode(number: FopNumber, body: &[u8], timed: bool) -> Outcome {
    let mut r = Reader::new(body);
    let reply = Reply::decode(number, &mut r).expect("a reply that decodes");
    let mut it = Outcome { ret: reply.op_ret, ..Outcome::default() };
    if reply.op_ret < 0 {
        return Outcome { errno: reply.op_errno, ..it };
    }
    it.errno = reply.op_errno;
    it.xdata = keys(&reply.xdata);
    let mut attrs =
        |iatts: &[&Iatt]| it.attrs = iatts.iter().map(|iatt| Attrs::of(iatt, timed)).collect();
    match &reply.body {
        Body::Stat(stat) => attrs(&[stat]),
        Body::TwoIatts { before, after } => attrs(&[before, after]),
        Body::Entry { stat, preparent, postparent }
        | Body::Create { stat, preparent, postparent, .. } => {
            attrs(&[stat, preparent, postparent]);
        }
        Body::Rename { stat, preoldparent, postoldparent, prenewparent, postnewparent } => {
            attrs(&[stat, preoldparent, postoldparent, prenewparent, postnewparent]);
        }
        Body::Read { stat, size } => {
            attrs(&[stat]);
            it.number = (*size).into();
            let at = body.len() - *size as usize;
            it.bytes = body[at..].to_vec();
        }
        Body::Readlink { stat, path } => {
            attrs(&[stat]);
            it.bytes = path.to_vec();
        }
        Body::Dict { dict, .. } => it.dict = keys(dict),
        Body::Dirents(list) => {
            for entry in list.iter() {
                it.page.last = entry.offset;
                it.page.bytes += 28 + entry.name.len().next_multiple_of(4);
                let name = String::from_utf8_lossy(entry.name).into_owned();
                let told = Entry { kind: entry.kind, attrs: None, keys: Keys::new() };
                assert!(it.entries.insert(name, told).is_none(), "an entry comes twice");
            }
        }
        Body::Direntps(list) => {
            for entry in list.iter() {
                it.page.last = entry.offset;
                it.page.bytes += 28 + Iatt::LEN + 12 + entry.name.len().next_multiple_of(4);
                let name = String::from_utf8_lossy(entry.name).into_owned();
                let attrs = Some(Attrs::of(&entry.stat, timed));
                let told = Entry { kind: entry.kind, attrs, keys: keys(&entry.dict) };
                assert!(it.entries.insert(name, told).is_none(), "an entry comes twice");
            }
        }
        Body::Rchecksum { strong, .. } => it.bytes = strong.to_vec(),
        Body::Seek { offset } => it.number = *offset,
        Body::Copy { stat, before, after } => attrs(&[stat, before, after]),
        Body::None | Body::Open { .. } => {}
        other => panic!("nobody asked for {other:?}"),
    }
    it
}

impl Outcome {
    /// Removes the parts that depend on the brick's location.
    pub(crate) fn placed(mut self, place: &str, host: &str) -> Self {
        if let Some(text) = self.dict.get_mut("trusted.glusterfs.pathinfo") {
            *text = text.replace(place, "BRICK").replace(host, "HOST");
        }
        if let Some(text) = self.dict.get_mut("trusted.glusterfs.node-uuid") {
            *text = "HOST".into();
        }
        // The paths of a file have no order.
        if let Some(text) = self.dict.get_mut("glusterfs.gfidtopath") {
            let mut paths: Vec<&str> = text.trim_start_matches("text ").split(':').collect();
            paths.sort_unstable();
            *text = paths.join(":");
        }
        self
    }

    /// The outcome of [`brickwire_server::Backend::read`] and the like, which have no reply record.
    pub(crate) fn failed(errno: Errno) -> Self {
        Self { ret: -1, errno: errno.to_wire(), ..Self::default() }
    }

    pub(crate) fn read(data: &[u8], stat: &Iatt, eof: bool, timed: bool) -> Self {
        Self {
            ret: data.len() as i32,
            errno: if eof { 2 } else { 0 },
            attrs: vec![Attrs::of(stat, timed)],
            bytes: data.to_vec(),
            number: data.len() as u64,
            ..Self::default()
        }
    }

    pub(crate) fn wrote(len: u32, before: &Iatt, after: &Iatt, timed: bool) -> Self {
        let attrs = vec![Attrs::of(before, timed), Attrs::of(after, timed)];
        Self { ret: len as i32, attrs, ..Self::default() }
    }
}
