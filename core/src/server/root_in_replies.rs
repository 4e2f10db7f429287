//! Replies to a client that has mounted a subdirectory: attributes of that directory carry the gfid
//! and the inode number of a root, because clients know their root by these.
//!
//! A reply is changed where it lies encoded, so that no storage has to know of subdirectories.

use super::JobId;
use super::state::State;
use crate::fop::FopNumber;
use crate::fop::wire::{Body, Reply};
use crate::xdr::{Decode, Dict, Errno, FileType, Gfid, Iatt, Reader, Value};

/// Bytes of a reply before its xdata: result and errno.
const RESULT: usize = 8;
/// Bytes of an entry of READDIRP before its name, the word before each entry included.
const BEFORE_NAME: usize = 28;
/// Bytes of the longest name or key.
const NAME_MAX: usize = 4096;
/// The type of attributes among the values of a dictionary.
const IATT_VALUE: u32 = 8;
/// Bytes of a dictionary before its pairs: its size, the number of pairs twice.
const DICT_HEAD: usize = 12;
/// Inode number of a root.
const ROOT_INO: u64 = 1;

impl State<'_> {
    /// The caller's root, if its replies must show it as a root.
    pub(super) fn shown_root(&self, id: JobId) -> Option<Gfid> {
        self.jobs.get(id).map(|job| job.root).filter(|root| *root != Gfid::ROOT)
    }
}

/// The directory that a LOOKUP found.
pub(super) fn directory(body: &[u8]) -> Result<Gfid, Errno> {
    let reply = Reply::decode(FopNumber::Lookup, &mut Reader::new(body)).ok().ok_or(Errno::EIO)?;
    reply.result()?;
    match reply.body {
        Body::TwoIatts { before, .. }
            if FileType::of_mode(before.mode) == Some(FileType::Directory) =>
        {
            Ok(before.gfid)
        }
        Body::TwoIatts { .. } => Err(Errno::ENOTDIR),
        _ => Err(Errno::EIO),
    }
}

/// Shows the directory `root` as a root in the encoded body of a reply. Attributes of the volume's
/// root become an empty block, which tells a client nothing.
pub(super) fn show_root(number: FopNumber, body: &mut [u8], root: Gfid) {
    // READ's reply is of a file, and its data need not lie behind its head.
    if number == FopNumber::Read {
        return;
    }
    let Ok(reply) = Reply::decode(number, &mut Reader::new(body)) else { return };
    let (iatts, skip) = match reply.body {
        Body::Stat(_) | Body::Readlink { .. } => (1, 0),
        Body::TwoIatts { .. } | Body::Dict { .. } => (2, 0),
        Body::Entry { .. } | Body::Copy { .. } => (3, 0),
        Body::Rename { .. } => (5, 0),
        // The fd is behind the first block.
        Body::Create { .. } => (3, size_of::<u64>()),
        _ => (0, 0),
    };
    let (has_dict, has_entries) =
        (matches!(reply.body, Body::Dict { .. }), matches!(reply.body, Body::Direntps(_)));
    let mut show = Show { body, at: RESULT, root };
    show.dict();
    if has_dict {
        show.dict();
    }
    for each in 0..iatts {
        show.iatt();
        show.at += if each == 0 { skip } else { 0 };
    }
    while has_entries && show.word() == Some(1) {
        show.entry();
    }
}

/// A walk over an encoded body.
struct Show<'b> {
    body: &'b mut [u8],
    at: usize,
    root: Gfid,
}

impl Show<'_> {
    fn rest(&self) -> Reader<'_> {
        Reader::new(self.body.get(self.at..).unwrap_or_default())
    }

    /// The next word, which is left.
    fn word(&self) -> Option<u32> {
        self.rest().u32("word").ok()
    }

    /// Passes attributes.
    fn iatt(&mut self) {
        let end = self.at + Iatt::LEN;
        if let Some(block) = self.body.get_mut(self.at..end) {
            let (gfid, rest) = block.split_at_mut(size_of::<Gfid>());
            if gfid == self.root.0 {
                gfid.copy_from_slice(&Gfid::ROOT.0);
                // Flags are before the inode number.
                if let Some(ino) = rest.get_mut(8..16) {
                    ino.copy_from_slice(&ROOT_INO.to_be_bytes());
                }
            } else if gfid == Gfid::ROOT.0 {
                block.fill(0);
            }
        }
        self.at = end;
    }

    /// Passes a dictionary, and the attributes among its values.
    fn dict(&mut self) {
        let mut r = self.rest();
        if Dict::decode(&mut r).is_err() {
            self.at = self.body.len();
            return;
        }
        let end = self.at + r.offset() as usize;
        let pairs = self.rest().rest().get(8..DICT_HEAD).and_then(|word| word.try_into().ok());
        self.at += DICT_HEAD;
        for _ in 0..pairs.map_or(0, u32::from_be_bytes) {
            let mut r = self.rest();
            if r.opaque("key", NAME_MAX).is_err() {
                break;
            }
            let value = self.at + r.offset() as usize;
            let is_iatt = r.u32("type").is_ok_and(|kind| kind == IATT_VALUE);
            let mut r = Reader::new(self.body.get(value..).unwrap_or_default());
            if Value::decode(&mut r).is_err() {
                break;
            }
            let after = value + r.offset() as usize;
            if is_iatt {
                self.at = value + 4;
                self.iatt();
            }
            self.at = after;
        }
        self.at = end;
    }

    /// Passes an entry of READDIRP.
    fn entry(&mut self) {
        let name = self.at + BEFORE_NAME;
        let mut r = Reader::new(self.body.get(name..).unwrap_or_default());
        if r.opaque("name", NAME_MAX).is_err() {
            self.at = self.body.len();
            return;
        }
        self.at = name + r.offset() as usize;
        self.iatt();
        self.dict();
    }
}
