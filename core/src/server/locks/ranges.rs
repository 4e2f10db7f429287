//! LK: what an owner has of a file is a set of ranges, each read or write; a lock replaces what it covers, an unlock takes it out.

use super::Locks;
use super::table::{Lock, NewLock, Stage};
use crate::id::{LockId, ScopeId};
use crate::xdr::Errno;

impl Locks<'_> {
    /// Makes room for a range that `id` is about to have: its owner's other locks there are joined with it, or cut.
    pub(super) fn merge(&mut self, id: LockId, lock: &Lock) -> Result<(), Errno> {
        let (mut start, mut end) = (lock.start, lock.end);
        self.cut(lock, Some(lock))?;
        let mut next = self.first_held(lock.scope);
        while let Some((at, held)) = next.and_then(|at| Some((at, *self.slab.get(at)?))) {
            next = held.after;
            let touches = held.start <= lock.end.saturating_add(1)
                && lock.start <= held.end.saturating_add(1);
            if touches && self.alike(&held, lock) {
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

    /// What the owner of a lock that waits has of its range already is free for others.
    pub(super) fn give_up(&mut self, lock: &Lock) {
        // If there is no room for the second part of a range that is cut in two, its owner keeps it.
        let _ = self.cut(lock, None);
    }

    /// Takes a range out of what an owner has; what is like `but` is left alone.
    pub(super) fn cut(&mut self, range: &Lock, but: Option<&Lock>) -> Result<(), Errno> {
        let mut next = self.first_held(range.scope);
        while let Some((at, held)) = next.and_then(|at| Some((at, *self.slab.get(at)?))) {
            next = held.after;
            let alike = but.is_some_and(|but| self.alike(&held, but));
            if !held.overlaps(range.start, range.end) || !self.same_owner(&held, range) || alike {
                continue;
            }
            let (left, right) = (held.start < range.start, held.end > range.end);
            if left && right {
                // Ranges of one owner do not overlap: there is no other one to cut.
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
            said_pid: held.said_pid,
            stage: Stage::Held,
        };
        self.insert(right).ok_or(Errno::ENOLCK)?;
        if let Some(left) = self.slab.get_mut(at) {
            left.end = range.start.saturating_sub(1);
        }
        self.touch(range.scope);
        Ok(())
    }

    /// Two that are one if they touch. Locks of different open files stay apart, so that closing one of them frees its own.
    fn alike(&self, one: &Lock, other: &Lock) -> bool {
        one.write == other.write && one.handle == other.handle && self.same_owner(one, other)
    }

    pub(super) fn first_held(&self, scope: ScopeId) -> Option<LockId> {
        self.scopes.get(scope)?.held
    }
}
