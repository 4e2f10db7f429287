//! LK: an owner's locks on a file are disjoint ranges, each for reading or writing. A lock replaces
//! what it covers; an unlock takes it out.

use super::Locks;
use super::table::{Lock, NewLock, Stage};
use crate::id::{LockId, ScopeId};
use crate::xdr::Errno;

impl Locks<'_> {
    /// Prepares the grant of `id`: joins it with its owner's adjacent locks and cuts those that it
    /// replaces.
    pub(super) fn merge(&mut self, id: LockId, lock: &Lock) -> Result<(), Errno> {
        let (mut start, mut end) = (lock.start, lock.end);
        self.cut(lock, Some(lock))?;
        let mut next = self.first_held(lock.scope);
        while let Some((at, held)) = next.and_then(|at| Some((at, *self.slab.get(at)?))) {
            next = held.after;
            let touches = held.start <= lock.end.saturating_add(1)
                && lock.start <= held.end.saturating_add(1);
            if touches && self.can_join(&held, lock) {
                start = start.min(held.start);
                end = end.max(held.end);
                self.remove(at);
            }
        }
        if let Some(lock) = self.slab.get_mut(id) {
            (lock.start, lock.end) = (start, end);
        }
        Ok(())
    }

    /// Releases an owner's locks in the range that it waits for.
    pub(super) fn give_up(&mut self, lock: &Lock) {
        // If there is no room for the second part of a range that is cut in two, the owner keeps
        // it.
        let _ = self.cut(lock, None);
    }

    /// Takes a range out of an owner's locks. Locks that could be joined with `but` are left alone.
    pub(super) fn cut(&mut self, range: &Lock, but: Option<&Lock>) -> Result<(), Errno> {
        let mut next = self.first_held(range.scope);
        while let Some((at, held)) = next.and_then(|at| Some((at, *self.slab.get(at)?))) {
            next = held.after;
            let can_join = but.is_some_and(|but| self.can_join(&held, but));
            if !held.overlaps(range.start, range.end) || !self.same_owner(&held, range) || can_join
            {
                continue;
            }
            let (left, right) = (held.start < range.start, held.end > range.end);
            if left && right {
                // Ranges of one owner do not overlap, so no other lock is affected.
                return self.split(at, &held, range);
            }
            if !left && !right {
                self.remove(at);
                continue;
            }
            if let Some(held) = self.slab.get_mut(at) {
                if left {
                    held.end = range.start.saturating_sub(1);
                } else {
                    held.start = range.end.saturating_add(1);
                }
            }
            self.touch(range.scope);
        }
        Ok(())
    }

    fn split(&mut self, at: LockId, held: &Lock, range: &Lock) -> Result<(), Errno> {
        self.room_for_one(held.scope, held.conn, held.owner, None)?;
        let owner = self.strings.share(held.owner);
        let right = NewLock {
            scope: held.scope,
            conn: held.conn,
            owner,
            write: held.write,
            start: range.end.saturating_add(1),
            end: held.end,
            name: None,
            handle: held.handle,
            pid: held.pid,
            claimed_pid: held.claimed_pid,
            stage: Stage::Held,
        };
        self.insert(right).ok_or(Errno::ENOLCK)?;
        if let Some(left) = self.slab.get_mut(at) {
            left.end = range.start.saturating_sub(1);
        }
        self.touch(range.scope);
        Ok(())
    }

    /// Can two locks be joined? Locks of different open files stay apart, so that closing one file
    /// releases only its own.
    fn can_join(&self, one: &Lock, other: &Lock) -> bool {
        one.write == other.write && one.handle == other.handle && self.same_owner(one, other)
    }

    pub(super) fn first_held(&self, scope: ScopeId) -> Option<LockId> {
        self.scopes.get(scope)?.held
    }
}
