//! Open files and directories, linked by connection, to close them with it, and by inode, to count
//! them.

use managed::ManagedSlice;

use super::{BrickIx, HandleId};
use crate::gfid_hash::Seed;
use crate::id::ConnId;
use crate::slab::{Slab, Slot};
use crate::xdr::Gfid;

/// One open file or directory.
#[derive(Clone, Copy, Debug)]
pub struct OpenFile {
    /// `None` after the connection is closed, while a call still uses the file.
    pub(super) conn: Option<ConnId>,
    pub(super) brick: BrickIx,
    pub(super) gfid: Gfid,
    /// The storage has opened it; before that, the OPEN or CREATE is still under way.
    pub(super) confirmed: bool,
    /// Number of calls that use it.
    pub(super) uses: u32,
    /// It is closed when no call uses it any more.
    pub(super) closing: bool,
    /// Neighbours in the list of the connection's files.
    before: Option<HandleId>,
    after: Option<HandleId>,
    /// Neighbours in the list of the inode's handles.
    same_before: Option<HandleId>,
    same_after: Option<HandleId>,
    /// Valid in the first handle of an inode: the first handle of the next inode in the bucket, and
    /// the number of the inode's handles that are not closing.
    next_inode: Option<HandleId>,
    open: u32,
}

/// A bucket of the index: the first handle of its first inode.
#[derive(Clone, Copy, Debug, Default)]
pub struct FileChain(Option<HandleId>);

impl OpenFile {
    /// Is its inode not known yet?
    pub(super) fn has_no_gfid(&self) -> bool {
        self.gfid == Gfid::NONE
    }
}

/// Handles of one inode that [`Files::is_open_by`] looks at.
const HANDLES_LOOKED_AT: usize = 256;

/// All open files.
#[derive(Debug)]
pub(super) struct Files<'m> {
    slab: Slab<'m, OpenFile, HandleId>,
    chains: ManagedSlice<'m, FileChain>,
    seed: Seed,
}

impl<'m> Files<'m> {
    pub(super) fn new(
        slots: ManagedSlice<'m, Slot<OpenFile>>,
        chains: ManagedSlice<'m, FileChain>,
        seed: Seed,
    ) -> Self {
        Self { slab: Slab::new(slots), chains, seed }
    }

    /// Makes a handle for a file that is being opened. It becomes `first` of the connection's
    /// files.
    pub(super) fn insert(
        &mut self,
        conn: ConnId,
        brick: BrickIx,
        first: &mut Option<HandleId>,
    ) -> Option<HandleId> {
        let file = OpenFile {
            conn: Some(conn),
            brick,
            gfid: Gfid::NONE,
            confirmed: false,
            uses: 0,
            closing: false,
            before: None,
            after: *first,
            same_before: None,
            same_after: None,
            next_inode: None,
            open: 0,
        };
        let id = self.slab.insert(file)?;
        if let Some(next) = first.and_then(|next| self.slab.get_mut(next)) {
            next.before = Some(id);
        }
        *first = Some(id);
        Some(id)
    }

    /// Sets the inode of a handle, which counts from now on.
    pub(super) fn opened(&mut self, id: HandleId, gfid: Gfid) {
        // A handle without a gfid is in no list: it would be in two when it gets one.
        let Some(file) =
            self.slab.get(id).filter(|file| file.gfid == Gfid::NONE && gfid != Gfid::NONE)
        else {
            return;
        };
        let (brick, counts) = (file.brick, u32::from(!file.closing));
        let (chain, first) = (self.bucket_of(&gfid), self.first_of(brick, &gfid));
        let mut after = None;
        if let Some(first) = first.and_then(|first| self.slab.get_mut(first)) {
            first.open += counts;
            after = first.same_after.replace(id);
        }
        if let Some(after) = after.and_then(|after| self.slab.get_mut(after)) {
            after.same_before = Some(id);
        }
        let Some(file) = self.slab.get_mut(id) else { return };
        (file.gfid, file.same_before, file.same_after) = (gfid, first, after);
        if first.is_none() {
            file.open = counts;
            if let Some(FileChain(place)) = self.chains.get_mut(chain) {
                file.next_inode = place.replace(id);
            }
        }
    }

    /// The client closes a handle: it does not count any more.
    pub(super) fn begin_to_close(&mut self, id: HandleId) {
        let Some(file) = self.slab.get_mut(id).filter(|file| !file.closing) else { return };
        file.closing = true;
        let (brick, gfid) = (file.brick, file.gfid);
        if let Some(first) = self.first_of(brick, &gfid).and_then(|first| self.slab.get_mut(first))
        {
            first.open = first.open.saturating_sub(1);
        }
    }

    fn bucket_of(&self, gfid: &Gfid) -> usize {
        self.seed.bucket(gfid, self.chains.len())
    }

    /// The first handle of an inode.
    fn first_of(&self, brick: BrickIx, gfid: &Gfid) -> Option<HandleId> {
        let FileChain(mut next) = *self.chains.get(self.bucket_of(gfid))?;
        loop {
            let file = self.slab.get(next?)?;
            if file.gfid == *gfid && file.brick == brick {
                return next;
            }
            next = file.next_inode;
        }
    }

    pub(super) fn get(&self, id: HandleId) -> Option<&OpenFile> {
        self.slab.get(id)
    }

    pub(super) fn get_mut(&mut self, id: HandleId) -> Option<&mut OpenFile> {
        self.slab.get_mut(id)
    }

    /// Number of open handles of an inode.
    pub(super) fn count(&self, brick: BrickIx, gfid: &Gfid) -> u64 {
        let first = self.first_of(brick, gfid).and_then(|first| self.slab.get(first));
        first.map_or(0, |first| first.open.into())
    }

    /// Whether one of the connections that `own` accepts has an inode open. Looks at a bounded
    /// number of handles, so that opening a file many times slows no other client; with more
    /// handles than that the answer may be no.
    pub(super) fn is_open_by(
        &self,
        brick: BrickIx,
        gfid: &Gfid,
        own: impl Fn(ConnId) -> bool,
    ) -> bool {
        let mut next = self.first_of(brick, gfid);
        let handles = core::iter::from_fn(|| {
            let file = self.slab.get(next?)?;
            next = file.same_after;
            Some(file)
        });
        handles
            .take(HANDLES_LOOKED_AT)
            .any(|file| file.confirmed && !file.closing && file.conn.is_some_and(&own))
    }

    /// Removes a handle. `first` is the head of its connection's list, if the connection is still
    /// there.
    pub(super) fn remove(
        &mut self,
        id: HandleId,
        first: Option<&mut Option<HandleId>>,
    ) -> Option<OpenFile> {
        self.begin_to_close(id);
        let file = self.slab.remove(id)?;
        if let Some(after) = file.after.and_then(|after| self.slab.get_mut(after)) {
            after.before = file.before;
        }
        match file.before.and_then(|before| self.slab.get_mut(before)) {
            Some(before) => before.after = file.after,
            None => {
                if let Some(first) = first
                    && *first == Some(id)
                {
                    *first = file.after;
                }
            }
        }
        if file.gfid != Gfid::NONE {
            self.leave_inode(id, &file);
        }
        Some(file)
    }

    fn leave_inode(&mut self, id: HandleId, file: &OpenFile) {
        if let Some(after) = file.same_after.and_then(|after| self.slab.get_mut(after)) {
            after.same_before = file.same_before;
            if file.same_before.is_none() {
                (after.next_inode, after.open) = (file.next_inode, file.open);
            }
        }
        if let Some(before) = file.same_before.and_then(|before| self.slab.get_mut(before)) {
            before.same_after = file.same_after;
            return;
        }
        // It was the first handle of its inode: its predecessor in the bucket now leads to the
        // inode's next handle, or to the next inode.
        let instead = file.same_after.or(file.next_inode);
        let chain = self.bucket_of(&file.gfid);
        let Some(FileChain(place)) = self.chains.get_mut(chain) else { return };
        if *place == Some(id) {
            *place = instead;
            return;
        }
        let mut at = *place;
        while let Some(each) = at.and_then(|at| self.slab.get_mut(at)) {
            if each.next_inode == Some(id) {
                each.next_inode = instead;
                return;
            }
            at = each.next_inode;
        }
    }

    pub(super) fn len(&self) -> u32 {
        self.slab.len() as u32
    }

    /// Detaches a handle from its closed connection. Returns the next handle of the connection.
    pub(super) fn orphan(&mut self, id: HandleId) -> Option<HandleId> {
        let file = self.slab.get_mut(id)?;
        (file.conn, file.before) = (None, None);
        file.after.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Id as _;
    use alloc::vec;
    use alloc::vec::Vec;

    /// Random operations, compared with a plain list.
    #[test]
    fn the_index_counts_what_a_list_counts() {
        let slots = ManagedSlice::Owned(vec![Slot::EMPTY; 40]);
        let chains = ManagedSlice::Owned(vec![FileChain::default(); 3]);
        let mut files = Files::new(slots, chains, Seed::new(1));
        let (conn, mut first) = (ConnId::new(0, 1), None);
        let mut list: Vec<(HandleId, BrickIx, Gfid, bool)> = Vec::new();
        let mut x = 1_u32;
        for _ in 0..20_000 {
            x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (brick, gfid) = (BrickIx((x >> 9 & 1).into()), Gfid([(x >> 10 & 7) as u8; 16]));
            let at = (x >> 16) as usize % list.len().max(1);
            match x >> 28 {
                0..=5 => {
                    if let Some(id) = files.insert(conn, brick, &mut first) {
                        list.push((id, brick, Gfid::NONE, false));
                    }
                }
                6..=9 if !list.is_empty() => {
                    files.opened(list[at].0, gfid);
                    if list[at].2 == Gfid::NONE {
                        list[at].2 = gfid;
                    }
                }
                10..=11 if !list.is_empty() => {
                    files.begin_to_close(list[at].0);
                    list[at].3 = true;
                }
                12.. if !list.is_empty() => {
                    let (id, ..) = list.swap_remove(at);
                    assert!(files.remove(id, Some(&mut first)).is_some());
                }
                _ => {}
            }
            let known = |each: &&(HandleId, BrickIx, Gfid, bool)| {
                each.1 == brick && each.2 == gfid && !each.3
            };
            let count = list.iter().filter(known).filter(|_| gfid != Gfid::NONE).count() as u64;
            assert_eq!(files.count(brick, &gfid), count);
        }
        for (id, ..) in list {
            files.remove(id, Some(&mut first));
        }
        assert_eq!((first, files.len()), (None, 0));
        assert!(files.chains.iter().all(|chain| chain.0.is_none()));
    }
}
