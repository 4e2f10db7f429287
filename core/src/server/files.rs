//! What clients have open: by connection, so that it can be closed with it, and by inode, so that it can be counted.

use managed::ManagedSlice;

use super::{BrickIx, HandleId};
use crate::id::ConnId;
use crate::slab::{Slab, Slot};
use crate::xdr::Gfid;

/// Chains of the index by inode. A power of two.
const CHAINS: usize = 256;

/// One open file or directory.
#[derive(Clone, Copy, Debug)]
pub struct OpenFile {
    /// `None` if that is over: a call that is still under way uses the file.
    pub(super) conn: Option<ConnId>,
    pub(super) brick: BrickIx,
    pub(super) gfid: Gfid,
    /// Calls that use it.
    pub(super) uses: u32,
    /// It is to be closed when nobody uses it any more.
    pub(super) closing: bool,
    /// Neighbours among the files of the connection.
    before: Option<HandleId>,
    after: Option<HandleId>,
    /// The next in the chain of its inode.
    chained: Option<HandleId>,
}

impl OpenFile {
    /// Is it yet to be said which inode it is of?
    pub(super) fn is_unknown(&self) -> bool {
        self.gfid == Gfid::NONE
    }
}

/// All open files.
#[derive(Debug)]
pub(super) struct Files<'m> {
    slab: Slab<'m, OpenFile, HandleId>,
    chains: [Option<HandleId>; CHAINS],
}

fn chain_of(gfid: &Gfid) -> usize {
    // Gfids are random but for the root's.
    usize::from(gfid.0[15] ^ gfid.0[3]) % CHAINS
}

impl<'m> Files<'m> {
    pub(super) fn new(slots: ManagedSlice<'m, Slot<OpenFile>>) -> Self {
        Self { slab: Slab::new(slots), chains: [None; CHAINS] }
    }

    /// A handle for what is being opened, in front of the connection's others, whose `first` it becomes.
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
            uses: 0,
            closing: false,
            before: None,
            after: *first,
            chained: None,
        };
        let id = self.slab.insert(file)?;
        if let Some(next) = first.and_then(|next| self.slab.get_mut(next)) {
            next.before = Some(id);
        }
        *first = Some(id);
        Some(id)
    }

    /// The inode of a handle is known: it counts from now on.
    pub(super) fn opened(&mut self, id: HandleId, gfid: Gfid) {
        // Who has none stands in no chain: it would stand in two when it gets one.
        if gfid == Gfid::NONE {
            return;
        }
        let chain = chain_of(&gfid);
        let head = self.chains.get(chain).copied().flatten();
        if let Some(file) = self.slab.get_mut(id)
            && file.gfid == Gfid::NONE
        {
            file.gfid = gfid;
            file.chained = head;
            if let Some(place) = self.chains.get_mut(chain) {
                *place = Some(id);
            }
        }
    }

    pub(super) fn get(&self, id: HandleId) -> Option<&OpenFile> {
        self.slab.get(id)
    }

    pub(super) fn get_mut(&mut self, id: HandleId) -> Option<&mut OpenFile> {
        self.slab.get_mut(id)
    }

    /// How many handles there are of an inode.
    pub(super) fn count(&self, brick: BrickIx, gfid: &Gfid) -> u64 {
        let mut next = self.chains.get(chain_of(gfid)).copied().flatten();
        let mut count = 0;
        while let Some(file) = next.and_then(|id| self.slab.get(id)) {
            count += u64::from(file.gfid == *gfid && file.brick == brick && !file.closing);
            next = file.chained;
        }
        count
    }

    /// Takes a handle out. `first` is the first of its connection's, if that is still there.
    pub(super) fn remove(&mut self, id: HandleId, first: Option<&mut Option<HandleId>>) -> Option<OpenFile> {
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
        self.unchain(id, &file);
        Some(file)
    }

    fn unchain(&mut self, id: HandleId, file: &OpenFile) {
        if file.gfid == Gfid::NONE {
            return;
        }
        let Some(head) = self.chains.get_mut(chain_of(&file.gfid)) else { return };
        if *head == Some(id) {
            *head = file.chained;
            return;
        }
        let mut at = *head;
        while let Some(each) = at.and_then(|at| self.slab.get_mut(at)) {
            if each.chained == Some(id) {
                each.chained = file.chained;
                return;
            }
            at = each.chained;
        }
    }

    pub(super) fn len(&self) -> u32 {
        self.slab.len() as u32
    }

    /// The connection of a handle is over: the handle is nobody's from now on. The one behind it, if there is one.
    pub(super) fn orphan(&mut self, id: HandleId) -> Option<HandleId> {
        let file = self.slab.get_mut(id)?;
        (file.conn, file.before) = (None, None);
        file.after.take()
    }
}
