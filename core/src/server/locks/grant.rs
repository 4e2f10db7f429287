//! Decides who gets a lock: scope by scope, in the order of the requests.
//!
//! INODELK and ENTRYLK are fair, as the real server's are: a lock that could be granted waits
//! behind an earlier one that waits and conflicts with it, unless its owner has, or waits for,
//! another lock in the scope. Without this exception an owner that needs a second lock before it
//! releases its first would wait for a request that waits for that first lock. LK is granted
//! whenever it can be, as `fcntl` does.

use super::table::{Class, Lock, Stage};
use super::{Decided, Description, Locks, Verdict};
use crate::id::LockId;
use crate::time::Instant;
use crate::xdr::Errno;

/// A holder is notified of contention at most once in this time
/// (`features.lock-notify-contention-delay`).
const NOTICE_DELAY_MS: u64 = 5_000;

/// Decision about a requested lock.
enum Decision {
    Grant,
    /// It waits from now on.
    Park,
    /// Nothing changes.
    Stay,
    Refuse(Errno),
}

impl Locks<'_> {
    /// The next decision about a call. To be asked until `None` whenever locks have changed.
    pub(in crate::server) fn next_decided(&mut self, now: Instant) -> Option<Decided> {
        loop {
            let scope_id = self.first_dirty?;
            let Some(scope) = self.scopes.get_mut(scope_id) else {
                // A scope in this list is never removed.
                self.first_dirty = None;
                return None;
            };
            let Some(id) = scope.next_to_decide else {
                scope.dirty = false;
                self.first_dirty = scope.next_dirty.take();
                self.drop_scope(scope_id);
                continue;
            };
            let class = scope.class;
            let lock = self.slab.get(id).copied();
            if let Some(scope) = self.scopes.get_mut(scope_id) {
                scope.next_to_decide = lock.and_then(|lock| lock.after);
            }
            let Some(lock) = lock else { continue };
            let Some(job) = lock.job() else { continue };
            let verdict = match self.decide(id, &lock, class, now) {
                Decision::Stay => continue,
                Decision::Park => {
                    if class == Class::Posix {
                        // An owner that waits for a range gives up its locks in it: otherwise two
                        // readers that both want to write would wait for each other.
                        self.give_up(&lock);
                    }
                    Verdict::Waits
                }
                Decision::Grant => match self.grant(id, &lock, class) {
                    Ok(()) => Verdict::Granted,
                    Err(errno) => Verdict::Refused(errno),
                },
                Decision::Refuse(errno) => Verdict::Refused(errno),
            };
            let description = Description::of(&lock, &self.strings);
            if let Verdict::Refused(_) = verdict {
                // Only requests behind it can be affected.
                let next = self.scopes.get(scope_id).and_then(|scope| scope.next_to_decide);
                self.remove(id);
                if let Some(scope) = self.scopes.get_mut(scope_id) {
                    scope.next_to_decide = next;
                }
            }
            let parked =
                matches!(lock.stage, Stage::Parked { .. } | Stage::Ended { parked: true, .. });
            return Some(Decided { job, conn: lock.conn, class, verdict, parked, description });
        }
    }

    fn grant(&mut self, id: LockId, lock: &Lock, class: Class) -> Result<(), Errno> {
        if class == Class::Posix {
            self.merge(id, lock)?;
        }
        self.hold(id);
        if class != Class::Posix {
            self.owner_now_holds_lock(lock);
        }
        Ok(())
    }

    /// An owner that has a lock in the scope does not queue behind others with its further
    /// requests.
    fn owner_now_holds_lock(&mut self, lock: &Lock) {
        let mut helped = false;
        let mut next = self.scopes.get(lock.scope).and_then(|scope| scope.queue);
        while let Some((at, waiting)) = next.and_then(|at| Some((at, *self.slab.get(at)?))) {
            next = waiting.after;
            if waiting.queued_behind.is_some()
                && self.same_owner(&waiting, lock)
                && let Some(waiting) = self.slab.get_mut(at)
            {
                waiting.queued_behind = None;
                helped = true;
            }
        }
        if helped {
            self.touch(lock.scope);
        }
    }

    fn decide(&mut self, id: LockId, lock: &Lock, class: Class, now: Instant) -> Decision {
        let blocking = match lock.stage {
            Stage::Held | Stage::Unresolved { .. } => return Decision::Stay,
            Stage::Ended { errno, .. } => return Decision::Refuse(errno),
            Stage::Asked { blocking, .. } => blocking,
            Stage::Parked { .. } => true,
        };
        if self.still_queued_behind(lock, class) {
            return self.keep(id, lock, blocking);
        }
        let (blocker, owner_holds_lock) = self.blocker(lock, class, now);
        if let Some(lock) = self.slab.get_mut(id) {
            (lock.blocker, lock.queued_behind) = (blocker, None);
        }
        if blocker.is_some() {
            return self.keep(id, lock, blocking);
        }
        if class == Class::Posix || owner_holds_lock {
            return Decision::Grant;
        }
        match self.queued_behind(id, lock, class) {
            QueuedBehind::None => Decision::Grant,
            // It depends on the decision about an earlier request.
            QueuedBehind::Undecided if !blocking => Decision::Stay,
            QueuedBehind::Undecided => self.keep(id, lock, blocking),
            QueuedBehind::Waiting(earlier) => {
                if let Some(lock) = self.slab.get_mut(id) {
                    lock.queued_behind = Some(earlier);
                }
                self.keep(id, lock, blocking)
            }
        }
    }

    /// Decision about a lock that cannot be granted now.
    fn keep(&mut self, id: LockId, lock: &Lock, blocking: bool) -> Decision {
        match lock.stage {
            _ if !blocking => Decision::Refuse(Errno::EAGAIN),
            Stage::Parked { .. } => Decision::Stay,
            _ if self.park(id) => Decision::Park,
            _ => Decision::Refuse(Errno::ENOLCK),
        }
    }

    /// Does the request that it queued behind still wait?
    fn still_queued_behind(&self, lock: &Lock, class: Class) -> bool {
        let earlier = lock.queued_behind.and_then(|earlier| self.slab.get(earlier));
        earlier.is_some_and(|earlier| {
            matches!(earlier.stage, Stage::Parked { .. })
                && earlier.scope == lock.scope
                && self.conflict(earlier, lock, class)
        })
    }

    /// The granted lock that this one conflicts with, and whether its owner has one in the scope.
    /// When the lock is requested all conflicting holders are notified; later only the first that
    /// is found, which is the latest.
    fn blocker(&mut self, lock: &Lock, class: Class, now: Instant) -> (Option<LockId>, bool) {
        let still =
            |by: LockId| self.slab.get(by).is_some_and(|by| self.in_the_way(by, lock, class));
        if let Some(by) = lock.blocker.filter(|by| still(*by)) {
            return (Some(by), false);
        }
        let (mut found, mut owner_holds_lock) = (None, false);
        let mut next = self.scopes.get(lock.scope).and_then(|scope| scope.held);
        while let Some(id) = next {
            let Some(held) = self.slab.get(id).copied() else { break };
            next = held.after;
            if self.same_owner(&held, lock) {
                owner_holds_lock = true;
                continue;
            }
            if !self.in_the_way(&held, lock, class) {
                continue;
            }
            found = found.or(Some(id));
            if class == Class::Posix {
                break;
            }
            self.notify(id, now);
            if let Stage::Parked { .. } = lock.stage {
                break;
            }
        }
        (found, owner_holds_lock)
    }

    /// Is there an earlier waiting request that conflicts with this one? Not if its owner waits
    /// there, too.
    fn queued_behind(&self, id: LockId, lock: &Lock, class: Class) -> QueuedBehind {
        let mut queued_behind = QueuedBehind::None;
        let mut next = self.scopes.get(lock.scope).and_then(|scope| scope.queue);
        while let Some((at, earlier)) =
            next.filter(|at| *at != id).and_then(|at| Some((at, self.slab.get(at)?)))
        {
            debug_assert_ne!(at, id);
            next = earlier.after;
            if let Stage::Ended { .. } = earlier.stage {
                continue;
            }
            if self.same_owner(earlier, lock) {
                return QueuedBehind::None;
            }
            if !self.conflict(earlier, lock, class)
                || matches!(queued_behind, QueuedBehind::Waiting(_))
            {
                continue;
            }
            queued_behind = match earlier.stage {
                Stage::Parked { .. } => QueuedBehind::Waiting(at),
                _ => QueuedBehind::Undecided,
            };
        }
        queued_behind
    }

    pub(super) fn same_owner(&self, one: &Lock, other: &Lock) -> bool {
        one.conn == other.conn && self.strings.same(one.owner, other.owner)
    }

    fn in_the_way(&self, held: &Lock, lock: &Lock, class: Class) -> bool {
        held.stage == Stage::Held
            && self.conflict(held, lock, class)
            && !self.same_owner(held, lock)
    }

    /// Do locks of two owners exclude each other?
    fn conflict(&self, one: &Lock, other: &Lock, class: Class) -> bool {
        match class {
            Class::Inode | Class::Posix => {
                (one.write || other.write) && one.overlaps(other.start, other.end)
            }
            // Two locks of a name exclude each other even if both are for reading; one of the whole
            // directory excludes all.
            Class::Entry => match (one.name, other.name) {
                (Some(one), Some(other)) => self.strings.same(one, other),
                _ => true,
            },
        }
    }

    /// Notifies the holder of a lock, unless it was notified a short while ago.
    fn notify(&mut self, id: LockId, now: Instant) {
        let Some(lock) = self.slab.get_mut(id) else { return };
        let due = lock.notified.is_none_or(|notified| notified.plus_millis(NOTICE_DELAY_MS) <= now);
        if lock.notice || !due {
            return;
        }
        lock.notified = Some(now);
        self.list_notice(id);
    }
}

/// Earlier requests in the way of a lock that could be granted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum QueuedBehind {
    None,
    /// An earlier request is not decided yet.
    Undecided,
    /// An earlier request waits.
    Waiting(LockId),
}
