//! Open files. A handle of the caller outlives connections and graphs.

use crate::fop::OpenFlags;
use crate::id::{FdId, FileId, INDEX_BITS, OpId};
use crate::slab::Slab;
use crate::time::Instant;
use crate::xdr::Gfid;

/// An open file or directory.
#[derive(Clone, Copy, Debug)]
pub struct File {
    pub(crate) gfid: Gfid,
    pub(crate) flags: OpenFlags,
    pub(crate) dir: bool,
    /// First of its remote fds, on all bricks and connections.
    pub(crate) first_fd: Option<FdId>,
    /// Its operations that have not ended, oldest and newest.
    pub(crate) first_op: Option<OpId>,
    pub(crate) last_op: Option<OpId>,
    /// Number of them that wait for an older one.
    pub(crate) ordered: u32,
    /// Number of acknowledged changes, and of those that a flush has made durable.
    pub(crate) acknowledged: u64,
    pub(crate) durable: u64,
    /// Number of changes whose operation has ended while the brick has them and owes the answer.
    pub(crate) abandoned_changes: u32,
    /// Such changes whose connection ended before the answer.
    pub(crate) in_doubt: Option<InDoubt>,
    /// The bytes of all abandoned changes and those in doubt: the first, and the one behind the
    /// last. A brick may still execute them, so no younger change may touch these bytes.
    pub(crate) abandoned_range: (u64, u64),
    /// Acknowledged writes may be gone: every flush fails.
    pub(crate) lost: bool,
    /// A close was submitted: no operation is accepted any more.
    pub(crate) closing: bool,
    /// Next file in the sorted list of `lose_unflushed`; `None` outside of it.
    next: Option<FileId>,
}

/// Changes that a brick's process may have received on a connection that ended before the answer.
/// They are over when the process is known to be gone. Otherwise they count as executed after as
/// long as an operation may take, because the protocol has no way to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct InDoubt {
    /// The process, as the hash of its name; 0 if it is unknown.
    pub(crate) server: u64,
    pub(crate) until: Instant,
}

impl File {
    pub(crate) fn new(gfid: Gfid, flags: OpenFlags, dir: bool) -> Self {
        Self {
            gfid,
            flags,
            dir,
            first_fd: None,
            first_op: None,
            last_op: None,
            ordered: 0,
            acknowledged: 0,
            durable: 0,
            abandoned_changes: 0,
            in_doubt: None,
            abandoned_range: (u64::MAX, 0),
            lost: false,
            closing: false,
            next: None,
        }
    }

    /// Says whether there are acknowledged changes that no flush covers.
    pub(crate) fn is_dirty(&self) -> bool {
        self.acknowledged > self.durable
    }

    /// Says whether a brick may still execute changes whose operation has ended.
    pub(crate) fn has_abandoned_changes(&self) -> bool {
        self.abandoned_changes > 0 || self.in_doubt.is_some()
    }

    /// Says whether a brick may still execute such a change of bytes in `from..to`.
    pub(crate) fn is_abandoned(&self, from: u64, to: u64) -> bool {
        self.has_abandoned_changes() && from < self.abandoned_range.1 && self.abandoned_range.0 < to
    }

    /// Adds the bytes of a change that is about to be counted as abandoned or in doubt.
    pub(crate) fn add_abandoned_range(&mut self, from: u64, to: u64) {
        if !self.has_abandoned_changes() {
            self.abandoned_range = (u64::MAX, 0);
        }
        let (first, end) = self.abandoned_range;
        self.abandoned_range = (first.min(from), end.max(to));
    }
}

/// Marks the files whose acknowledged changes may be gone because they were not flushed. If one
/// handle of an inode wrote, all handles of that inode are marked.
///
/// The handles of an inode are found by sorting all files by gfid in a list through the table: n
/// log n steps and no memory.
pub(crate) fn lose_unflushed(files: &mut Slab<'_, File, FileId>) {
    let mut group = sorted(files);
    while let Some(first) = group {
        let Some(gfid) = files.get(first).map(|file| file.gfid) else { return };
        let (mut at, mut wrote) = (group, false);
        while let Some(file) = at.and_then(|id| files.get(id)).filter(|file| file.gfid == gfid) {
            wrote |= file.is_dirty();
            at = file.next;
        }
        while group != at {
            let Some(file) = group.and_then(|id| files.get_mut(id)) else { return };
            file.lost |= wrote;
            group = file.next.take();
        }
    }
}

/// Sorts all files by gfid and returns the first one. This is a merge sort in which lists of one,
/// two, four … files are merged like carries in an addition.
fn sorted(files: &mut Slab<'_, File, FileId>) -> Option<FileId> {
    let mut lists = [None; INDEX_BITS as usize + 1];
    let mut from = 0;
    while let Some(id) = files.next_from(from) {
        from = id.slot() + 1;
        let mut list = Some(id);
        for place in &mut lists {
            match place.take() {
                Some(other) => list = merged(files, Some(other), list),
                None => {
                    *place = list;
                    break;
                }
            }
        }
    }
    lists.into_iter().fold(None, |all, list| merged(files, list, all))
}

fn merged(
    files: &mut Slab<'_, File, FileId>,
    mut a: Option<FileId>,
    mut b: Option<FileId>,
) -> Option<FileId> {
    let (mut first, mut last) = (None, None);
    loop {
        let of =
            |id: Option<FileId>| id.and_then(|id| files.get(id)).map(|file| (file.gfid, file.next));
        let (taken, ends) = match (of(a), of(b)) {
            (Some((left, _)), Some((right, next))) if right < left => {
                (core::mem::replace(&mut b, next), false)
            }
            (Some((_, next)), Some(_)) => (core::mem::replace(&mut a, next), false),
            // The rest of a list is sorted already.
            (Some(_), None) => (a, true),
            (None, _) => (b, true),
        };
        match last.and_then(|last| files.get_mut(last)) {
            Some(file) => file.next = taken,
            None => first = taken,
        }
        if ends {
            return first;
        }
        last = taken;
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::slab::Slot;

    #[test]
    fn every_handle_of_an_inode_that_one_handle_wrote_to_has_lost_writes_and_nobody_else() {
        for n in [0_u32, 1, 2, 3, 100, 1000] {
            let mut files = Slab::new(vec![Slot::EMPTY; n as usize].into());
            // Up to three handles for each inode, in no order; every seventh has written.
            let gfid = |at: u32| Gfid([(at * 7919 % n.div_ceil(3).max(1)) as u8; 16]);
            for at in 0..n {
                let acknowledged = u64::from(at % 7 == 0);
                let file =
                    File { acknowledged, ..File::new(gfid(at), OpenFlags::READ_WRITE, false) };
                files.insert(file).unwrap();
            }
            lose_unflushed(&mut files);
            let all: vec::Vec<File> = files.ids().filter_map(|id| files.get(id)).copied().collect();
            assert_eq!(all.len(), n as usize);
            for file in &all {
                let wrote = all.iter().any(|other| other.gfid == file.gfid && other.is_dirty());
                assert_eq!((file.lost, file.next), (wrote, None));
            }
        }
    }
}
