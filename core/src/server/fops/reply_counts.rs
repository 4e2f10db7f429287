//! Counts in a reply are those of when it is sent, of the inode that it is about: a LOOKUP by name finds only then which one that is,
//! and what a thread was long at has other locks by the time it is done.

use crate::fop::FopNumber;
use crate::fop::wire::{Body, Reply};
use crate::server::BrickIx;
use crate::server::files::Files;
use crate::server::locks::{Class, Locks, Mark};
use crate::xdr::{Decode as _, Gfid, Reader, Value};

/// What of a request is needed to count again.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct Recount {
    pub(in crate::server) brick: BrickIx,
    /// Only the inodelks of this domain are counted.
    pub(in crate::server) domain: Option<Mark>,
    /// Inodelks are counted by domain: nobody has yet.
    pub(in crate::server) by_domain: bool,
}

/// Keys that ask for the inodelks of a domain begin so: by these `heal info` tells what is being healed or written from what is left
/// over. The storage puts those that it was asked for into its reply, as an `Int`.
pub(in crate::server) const INODELK_IN: &[u8] = b"glusterfs.inodelk-dom-prefix:";
/// Bytes of a reply before the pairs of its xdata: result, errno, and the dictionary's own three words.
const BEFORE_PAIRS: usize = 20;
/// The longest key; none that is a count is nearly as long.
const KEY_MAX: usize = 4096;

/// Who counts.
pub(in crate::server) struct Counting<'a, 'm> {
    pub(in crate::server) locks: &'a Locks<'m>,
    pub(in crate::server) files: &'a Files<'m>,
}

impl Counting<'_, '_> {
    /// Puts the counts of now into the encoded body of a reply.
    pub(in crate::server) fn put(&self, recount: Recount, number: FopNumber, body: &mut [u8]) {
        let Some((gfid, pairs)) = found(number, body) else { return };
        let mut at = BEFORE_PAIRS;
        for _ in 0..pairs {
            let mut r = Reader::new(body.get(at..).unwrap_or_default());
            let Ok(key) = r.opaque("key", KEY_MAX) else { return };
            let count = self.count_of(key.strip_suffix(&[0]).unwrap_or(key), &recount, gfid);
            // Behind the word that says the type.
            let value = at + r.offset() as usize + 4;
            let Ok(had) = Value::decode(&mut r) else { return };
            at += r.offset() as usize;
            // Nothing but a number is one.
            let count = count.filter(|_| matches!(had, Value::Int(_) | Value::Uint(_)));
            if let (Some(count), Some(place)) = (count, body.get_mut(value..value + 8)) {
                place.copy_from_slice(&count.to_be_bytes());
            }
        }
    }

    fn count_of(&self, key: &[u8], recount: &Recount, gfid: Gfid) -> Option<u64> {
        let brick = recount.brick;
        let locks = |class, domain| Some(self.locks.count(brick, gfid, class, domain) as u64);
        match key {
            b"glusterfs.posixlk-count" => locks(Class::Posix, None),
            b"glusterfs.inodelk-count" => locks(Class::Inode, recount.domain),
            b"glusterfs.entrylk-count" => locks(Class::Entry, None),
            b"glusterfs.open-fd-count" | b"glusterfs.open-active-fd-count" => {
                Some(self.files.count(brick, &gfid))
            }
            _ => locks(Class::Inode, Some(Mark::of(key.strip_prefix(INODELK_IN)?))),
        }
    }
}

/// The inode that a reply is about, and how many pairs its xdata has.
fn found(number: FopNumber, body: &[u8]) -> Option<(Gfid, u32)> {
    let pairs =
        body.get(BEFORE_PAIRS - 4..BEFORE_PAIRS)?.try_into().ok().map(u32::from_be_bytes)?;
    let reply = Reply::decode(number, &mut Reader::new(body)).ok()?;
    match reply.body {
        _ if reply.op_ret < 0 => None,
        Body::TwoIatts { before, .. } => Some((before.gfid, pairs)),
        Body::Stat(stat) => Some((stat.gfid, pairs)),
        _ => None,
    }
}
