//! The inodes that something is known about, by gfid. Order, abandoned changes and durability
//! belong to the inode, because bricks know nothing of the handles that the caller has.

use managed::ManagedSlice;

use super::abandoned::AbandonedChanges;
use super::replicate::Readable;
use crate::gfid_hash::Seed;
use crate::id::{InodeId, OpId, TransactionId};
use crate::slab::{Slab, Slot};
use crate::xdr::Gfid;

/// One inode.
#[derive(Clone, Copy, Debug)]
pub struct Inode {
    pub(crate) gfid: Gfid,
    /// Next inode of the same chain.
    next: Option<InodeId>,
    /// Neighbours in the list of idle ones.
    older: Option<InodeId>,
    newer: Option<InodeId>,
    idle: bool,
    /// An abandoned change is over since operations that wait were last looked at.
    pub(crate) unblocked: bool,
    /// Open files, and calls in flight whose answer concerns it.
    refs: u32,
    /// The operations in its order that have not ended, oldest and newest.
    pub(crate) first_op: Option<OpId>,
    pub(crate) last_op: Option<OpId>,
    /// Number of them that wait for an older one.
    pub(crate) ordered: u32,
    pub(crate) abandoned: AbandonedChanges,
    pub(crate) synced: Synced,
    /// Number of the exchange of graphs that has begun to flush it.
    pub(crate) flushed_by_turn: u32,
    /// The copies that may be read, of a replicate.
    pub(crate) readable: Readable,
    /// The transaction on its data.
    pub(crate) transaction: Option<TransactionId>,
}

/// The changes of an inode on one brick, and how many of them are durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Synced {
    /// Number of acknowledged changes, and of those that a flush has made durable.
    pub(crate) acknowledged: u64,
    durable: u64,
    /// How often acknowledged changes may have been lost before a flush covered them. A handle that
    /// was opened before the last loss reports it.
    pub(crate) losses: u32,
}

impl Synced {
    /// Counts an acknowledged change. Returns its number.
    pub(crate) fn acknowledge(&mut self) -> u64 {
        self.acknowledged += 1;
        self.acknowledged
    }

    /// A flush has made the changes up to this number durable.
    pub(crate) fn flushed(&mut self, covers: u64) {
        self.durable = self.durable.max(covers);
    }

    /// Says whether no flush has covered the change of this number.
    pub(crate) fn is_uncovered(&self, change: u64) -> bool {
        change > self.durable
    }

    /// Says whether there are acknowledged changes that no flush covers.
    pub(crate) fn is_dirty(&self) -> bool {
        self.is_uncovered(self.acknowledged)
    }

    /// Changes that no flush covers may be gone.
    pub(crate) fn lose_unflushed(&mut self) {
        if self.is_dirty() {
            self.losses = self.losses.wrapping_add(1);
            self.durable = self.acknowledged;
        }
    }
}

/// First inode of those whose gfids have one hash.
#[derive(Clone, Copy, Debug, Default)]
pub struct InodeChain(Option<InodeId>);

/// The table of inodes. One that nothing refers to and about which nothing is open is idle: it is
/// kept until the table needs its place, least recently used first.
#[derive(Debug)]
pub(crate) struct Inodes<'m> {
    table: Slab<'m, Inode, InodeId>,
    chains: ManagedSlice<'m, InodeChain>,
    seed: Seed,
    oldest: Option<InodeId>,
    newest: Option<InodeId>,
    idle: usize,
    /// An inode with changes that no flush covers was evicted. Every inode that is new counts as
    /// changed since then: a flush that succeeds must cover these changes too.
    forgot_changes: bool,
}

impl<'m> Inodes<'m> {
    /// `secret` is a number that bricks do not know: they choose gfids.
    pub(crate) fn new(
        slots: ManagedSlice<'m, Slot<Inode>>,
        chains: ManagedSlice<'m, InodeChain>,
        secret: u64,
    ) -> Self {
        Self {
            table: Slab::new(slots),
            chains,
            seed: Seed::new(secret),
            oldest: None,
            newest: None,
            idle: 0,
            forgot_changes: false,
        }
    }

    /// Number of inodes that are not idle.
    pub(crate) fn in_use(&self) -> usize {
        self.table.len() - self.idle
    }

    #[inline]
    pub(crate) fn get(&self, id: InodeId) -> Option<&Inode> {
        self.table.get(id)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: InodeId) -> Option<&mut Inode> {
        self.table.get_mut(id)
    }

    /// The first inode in slot `from` or after it.
    pub(crate) fn next_from(&self, from: usize) -> Option<InodeId> {
        self.table.next_from(from)
    }

    /// The inode with this gfid, if something is known about it.
    pub(crate) fn find(&self, gfid: &Gfid) -> Option<InodeId> {
        let mut next = self.chains.get(self.chain(gfid))?.0;
        while let Some(id) = next {
            let inode = self.table.get(id)?;
            if inode.gfid == *gfid {
                return Some(id);
            }
            next = inode.next;
        }
        None
    }

    /// Refers to the inode with this gfid, which is added if it is new. `None` if there is no room
    /// because something is known about every other inode.
    pub(crate) fn acquire(&mut self, gfid: &Gfid) -> Option<InodeId> {
        let id = match self.find(gfid) {
            Some(id) => id,
            None => self.add(gfid)?,
        };
        self.retain(id);
        Some(id)
    }

    /// The inode with this gfid, to note something about it that may be forgotten at any time. An
    /// inode with changes that no flush covers does not make room for it.
    pub(crate) fn note(&mut self, gfid: &Gfid) -> Option<&mut Inode> {
        let id = match self.find(gfid) {
            Some(id) => id,
            None => {
                let is_full = self.table.len() == self.table.capacity();
                let oldest = self.oldest.and_then(|id| self.table.get(id));
                if is_full && oldest.is_none_or(|oldest| oldest.synced.is_dirty()) {
                    return None;
                }
                let id = self.add(gfid)?;
                self.settle(id);
                id
            }
        };
        self.table.get_mut(id)
    }

    /// Refers to an inode once more.
    pub(crate) fn retain(&mut self, id: InodeId) {
        if let Some(inode) = self.table.get_mut(id) {
            inode.refs += 1;
            if inode.idle {
                self.wake(id);
            }
        }
    }

    /// Ends a reference.
    pub(crate) fn release(&mut self, id: InodeId) {
        if let Some(inode) = self.table.get_mut(id) {
            inode.refs = inode.refs.saturating_sub(1);
        }
        self.settle(id);
    }

    /// Makes an inode idle if nothing refers to it and nothing about it is open.
    pub(crate) fn settle(&mut self, id: InodeId) {
        let Some(inode) = self.table.get_mut(id) else { return };
        if inode.refs > 0 || inode.idle || inode.first_op.is_some() || !inode.abandoned.is_empty() {
            return;
        }
        inode.idle = true;
        inode.older = self.newest;
        self.idle += 1;
        match self.newest.replace(id).and_then(|newest| self.table.get_mut(newest)) {
            Some(newest) => newest.newer = Some(id),
            None => self.oldest = Some(id),
        }
    }

    /// Ends a reference to an inode that has turned out not to exist.
    pub(crate) fn forget(&mut self, id: InodeId) {
        self.release(id);
        if self.table.get(id).is_some_and(|inode| inode.idle) {
            self.remove(id);
        }
    }

    /// Forgets what is known of the nodes of a graph that ends.
    pub(crate) fn forget_graph(&mut self, graph: u8) {
        let mut from = 0;
        while let Some(id) = self.table.next_from(from) {
            from = id.slot() + 1;
            if let Some(inode) = self.table.get_mut(id) {
                inode.readable.forget_graph(graph);
            }
        }
    }

    /// Moves what is known of the nodes of graph `old` to graph `new`.
    pub(crate) fn move_graph(&mut self, old: u8, new: u8) {
        let mut from = 0;
        while let Some(id) = self.table.next_from(from) {
            from = id.slot() + 1;
            if let Some(inode) = self.table.get_mut(id) {
                inode.readable.move_graph(old, new);
            }
        }
    }

    /// Acknowledged changes that were not flushed may be gone, of all inodes.
    pub(crate) fn lose_unflushed(&mut self) {
        self.forgot_changes = false;
        let mut from = 0;
        while let Some(id) = self.table.next_from(from) {
            from = id.slot() + 1;
            if let Some(inode) = self.table.get_mut(id) {
                inode.synced.lose_unflushed();
            }
        }
    }

    fn chain(&self, gfid: &Gfid) -> usize {
        self.seed.bucket(gfid, self.chains.len())
    }

    fn add(&mut self, gfid: &Gfid) -> Option<InodeId> {
        if self.table.len() == self.table.capacity() {
            let removed = self.remove(self.oldest?)?;
            self.forgot_changes |= removed.synced.is_dirty();
        }
        let chain = self.chain(gfid);
        let next = self.chains.get(chain)?.0;
        let acknowledged = u64::from(self.forgot_changes);
        let id = self.table.insert(Inode {
            gfid: *gfid,
            next,
            older: None,
            newer: None,
            idle: false,
            unblocked: false,
            refs: 0,
            first_op: None,
            last_op: None,
            ordered: 0,
            abandoned: AbandonedChanges::NONE,
            synced: Synced { acknowledged, ..Synced::default() },
            flushed_by_turn: 0,
            readable: Readable::default(),
            transaction: None,
        })?;
        self.chains.get_mut(chain)?.0 = Some(id);
        Some(id)
    }

    /// Takes an inode out of the list of idle ones.
    fn wake(&mut self, id: InodeId) {
        let Some(inode) = self.table.get_mut(id) else { return };
        let (older, newer) = (inode.older.take(), inode.newer.take());
        inode.idle = false;
        self.idle -= 1;
        match older.and_then(|older| self.table.get_mut(older)) {
            Some(older) => older.newer = newer,
            None => self.oldest = newer,
        }
        match newer.and_then(|newer| self.table.get_mut(newer)) {
            Some(newer) => newer.older = older,
            None => self.newest = older,
        }
    }

    /// Removes an idle inode.
    fn remove(&mut self, id: InodeId) -> Option<Inode> {
        self.wake(id);
        let inode = self.table.remove(id)?;
        let chain = self.chain(&inode.gfid);
        let mut at = self.chains.get(chain).and_then(|chain| chain.0);
        if at == Some(id) {
            if let Some(chain) = self.chains.get_mut(chain) {
                chain.0 = inode.next;
            }
            return Some(inode);
        }
        while let Some(before) = at.and_then(|at| self.table.get_mut(at)) {
            if before.next == Some(id) {
                before.next = inode.next;
                break;
            }
            at = before.next;
        }
        Some(inode)
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;

    fn gfid(n: u8) -> Gfid {
        Gfid([n; 16])
    }

    fn table(room: usize) -> Inodes<'static> {
        let chains = vec![InodeChain::default(); room];
        Inodes::new(vec![Slot::EMPTY; room].into(), chains.into(), 7)
    }

    #[test]
    fn the_table_agrees_with_a_list_whatever_is_opened_closed_and_evicted() {
        const ROOM: usize = 9;
        let mut inodes = table(ROOM);
        // Gfid and references, least recently released first.
        let mut model: Vec<(u8, usize)> = Vec::new();
        let mut x = 3_u64;
        for _ in 0..20_000 {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let name = ((x >> 33) % 24) as u8;
            let known = model.iter().position(|(other, _)| *other == name);
            if (x >> 50) & 1 == 0 {
                let id = inodes.acquire(&gfid(name));
                if let Some(at) = known {
                    model[at].1 += 1;
                } else if model.len() < ROOM {
                    model.push((name, 1));
                } else if let Some(at) = model.iter().position(|(_, refs)| *refs == 0) {
                    model.remove(at);
                    model.push((name, 1));
                } else {
                    assert_eq!(id, None);
                    continue;
                }
                assert_eq!(inodes.get(id.unwrap()).unwrap().gfid, gfid(name));
            } else if let Some(at) = known.filter(|at| model[*at].1 > 0) {
                inodes.release(inodes.find(&gfid(name)).unwrap());
                let (_, refs) = model.remove(at);
                model.push((name, refs - 1));
            }
            for name in 0..24 {
                let known = model.iter().any(|(other, _)| *other == name);
                assert_eq!(inodes.find(&gfid(name)).is_some(), known);
            }
            assert_eq!(inodes.in_use(), model.iter().filter(|(_, refs)| *refs > 0).count());
        }
    }

    #[test]
    fn unflushed_changes_outlive_the_eviction_of_their_inode_until_they_are_lost() {
        let mut inodes = table(1);
        let open = |inodes: &mut Inodes<'_>, n| {
            let id = inodes.acquire(&gfid(n)).unwrap();
            inodes.release(id);
            inodes.get(id).unwrap().synced
        };
        assert!(!open(&mut inodes, 1).is_dirty());
        let id = inodes.find(&gfid(1)).unwrap();
        inodes.get_mut(id).unwrap().synced.acknowledge();
        let mut other = open(&mut inodes, 2);
        assert!(other.is_dirty(), "a flush of any inode may be taken to cover the change");
        other.flushed(other.acknowledged);
        assert!(!other.is_dirty());
        inodes.lose_unflushed();
        assert!(!open(&mut inodes, 1).is_dirty());
    }
}
