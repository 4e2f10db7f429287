//! Lock and fd counts are filled in when the reply is sent: only then is a by-name LOOKUP's inode
//! known, and locks may have changed while a thread worked.

use crate::fop::FopNumber;
use crate::fop::wire::{Body, Reply, Request};
use crate::server::files::Files;
use crate::server::locks::{Class, Locks, Mark};
use crate::server::state::State;
use crate::server::storage::{Counts, Target};
use crate::server::{BrickIx, JobId, names};
use crate::xdr::{Decode as _, Gfid, Reader, Value};

/// Counts to put into a reply.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct CountRequest {
    pub(in crate::server) brick: BrickIx,
    /// Count only the inodelks of this domain; `None`: of all domains.
    pub(in crate::server) domain: Option<Mark>,
    /// Keys ask for inodelks of domains by name ([`INODELK_IN`]); these are not counted yet.
    pub(in crate::server) by_domain: bool,
}

/// Prefix of keys that ask for the inodelks of a domain: `heal info` tells by them a file that is
/// being healed from one that needs it. The storage puts the requested keys into its reply as an
/// `Int`.
pub(in crate::server) const INODELK_IN: &[u8] = b"glusterfs.inodelk-dom-prefix:";
/// Bytes of a reply before the pairs of its xdata: result, errno, and the dictionary's three words.
const BEFORE_PAIRS: usize = 20;
/// Bytes of the longest key.
const KEY_MAX: usize = 4096;

/// The tables to count in.
pub(in crate::server) struct Counting<'a, 'm> {
    pub(in crate::server) locks: &'a Locks<'m>,
    pub(in crate::server) files: &'a Files<'m>,
}

impl State<'_> {
    /// Counts that a request asks for. The job keeps the data to count again.
    pub(super) fn counts(
        &mut self,
        id: JobId,
        brick: BrickIx,
        request: &Request<'_>,
        targets: [Target; 2],
    ) -> Counts {
        let mut counts = Counts::default();
        let opened = match targets {
            [Target::Open(handle), _] => self.files.get(handle).map(|file| file.gfid),
            _ => None,
        };
        let gfid = opened.unwrap_or_else(|| names::gfid(request));
        let locks = |class, domain| Some(self.locks.count(brick, gfid, class, domain));
        let (mut all, mut domain, mut domains) = (false, None, false);
        // A key that occurs several times is counted once.
        for (key, value) in names::xdata(request).pairs() {
            match key {
                b"glusterfs.open-fd-count" => counts.open_fd = Some(self.files.count(brick, &gfid)),
                b"glusterfs.open-active-fd-count" => {
                    counts.open_active_fd = Some(self.files.count(brick, &gfid));
                }
                b"glusterfs.posixlk-count" if counts.posixlk.is_none() => {
                    counts.posixlk = locks(Class::Posix, None);
                }
                // A count over all domains takes precedence over one of a single domain, in
                // whatever order the keys are.
                b"glusterfs.inodelk-count" if !all => {
                    (all, domain) = (true, None);
                    counts.inodelk = locks(Class::Inode, None);
                }
                b"glusterfs.inodelk-dom-count" if counts.inodelk.is_none() => {
                    domain = value.as_bytes().map(Mark::of);
                    counts.inodelk = locks(Class::Inode, domain);
                }
                b"glusterfs.entrylk-count" if counts.entrylk.is_none() => {
                    counts.entrylk = locks(Class::Entry, None);
                }
                b"glusterfs.parent-entrylk" if counts.parent_entrylk.is_none() => {
                    if let Request::Lookup(lookup) = request {
                        let locked = self.locks.name_is_locked(brick, lookup.pargfid, lookup.bname);
                        counts.parent_entrylk = Some(locked);
                    }
                }
                _ => domains |= key.starts_with(INODELK_IN),
            }
        }
        let count_request = (domains || counts != Counts::default()).then_some(CountRequest {
            brick,
            domain,
            by_domain: domains,
        });
        if let Some(job) = self.jobs.get_mut(id) {
            (job.count_request, job.number) = (count_request, request.number());
        }
        counts
    }
}

impl Counting<'_, '_> {
    /// Puts the current counts into the encoded body of a reply.
    pub(in crate::server) fn put(
        &self,
        count_request: CountRequest,
        number: FopNumber,
        body: &mut [u8],
    ) {
        let Some((gfid, pairs)) = found(number, body) else { return };
        let mut at = BEFORE_PAIRS;
        for _ in 0..pairs {
            let mut r = Reader::new(body.get(at..).unwrap_or_default());
            let Ok(key) = r.opaque("key", KEY_MAX) else { return };
            let count = self.count_of(key.strip_suffix(&[0]).unwrap_or(key), &count_request, gfid);
            // The value begins behind the word for its type.
            let value = at + r.offset() as usize + 4;
            let Ok(had) = Value::decode(&mut r) else { return };
            at += r.offset() as usize;
            // Values that are not numbers are left alone.
            let count = count.filter(|_| matches!(had, Value::Int(_) | Value::Uint(_)));
            if let (Some(count), Some(place)) = (count, body.get_mut(value..value + 8)) {
                place.copy_from_slice(&count.to_be_bytes());
            }
        }
    }

    fn count_of(&self, key: &[u8], count_request: &CountRequest, gfid: Gfid) -> Option<u64> {
        let brick = count_request.brick;
        let locks = |class, domain| Some(self.locks.count(brick, gfid, class, domain) as u64);
        match key {
            b"glusterfs.posixlk-count" => locks(Class::Posix, None),
            b"glusterfs.inodelk-count" => locks(Class::Inode, count_request.domain),
            b"glusterfs.entrylk-count" => locks(Class::Entry, None),
            b"glusterfs.open-fd-count" | b"glusterfs.open-active-fd-count" => {
                Some(self.files.count(brick, &gfid))
            }
            _ => locks(Class::Inode, Some(Mark::of(key.strip_prefix(INODELK_IN)?))),
        }
    }
}

/// The inode that a reply is about, and the number of pairs in its xdata.
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
