//! Who gets a lock, who waits, who is refused: decided scope by scope, in the order in which locks were asked for.
//!
//! INODELK and ENTRYLK are fair, as the real server's are: a lock that could be had waits behind an earlier one that waits and
//! that it conflicts with, unless its owner has (or waits for) another lock there. Without the exception an owner that needs a
//! second lock before it gives its first back would wait for whoever waits for it. LK is given to whoever can have it,
//! as `fcntl` does.

use super::table::{Class, Lock, Stage};
use super::{Decided, Locks, Said, Verdict};
use crate::id::LockId;
use crate::time::Instant;
use crate::xdr::Errno;

/// Holders are told of contention so often at most (`features.lock-notify-contention-delay`).
const NOTICE_DELAY_MS: u64 = 5_000;

/// What is to become of a lock that is asked for.
enum Decision {
    Grant,
    /// It waits, from now on.
    Park,
    /// As before.
    Stay,
    Refuse(Errno),
}

impl Locks<'_> {
    /// The next call that something was decided about; to be asked until there is none whenever something has changed.
    pub(in crate::server) fn next_decided(&mut self, now: Instant) -> Option<Decided> {
        loop {
            let scope_id = self.first_dirty?;
            let Some(scope) = self.scopes.get_mut(scope_id) else {
                // Scopes in the list are not taken out.
                self.first_dirty = None;
                return None;
            };
            let Some(id) = scope.cursor else {
                scope.dirty = false;
                self.first_dirty = scope.next_dirty.take();
                self.drop_scope(scope_id);
                continue;
            };
            let class = scope.class;
            let lock = self.slab.get(id).copied();
            if let Some(scope) = self.scopes.get_mut(scope_id) {
                scope.cursor = lock.and_then(|lock| lock.after);
            }
            let Some(lock) = lock else { continue };
            let Some(job) = lock.job() else { continue };
            let verdict = match self.decide(id, &lock, class, now) {
                Decision::Stay => continue,
                Decision::Park => {
                    if class == Class::Posix {
                        // An owner that waits for a range gives up what it has of it: two that both read and both want to
                        // write would wait for each other.
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
            let said = Said::of(&lock, &self.strings);
            if let Verdict::Refused(_) = verdict {
                // Only those behind it may be helped by that.
                let next = self.scopes.get(scope_id).and_then(|scope| scope.cursor);
                self.remove(id);
                if let Some(scope) = self.scopes.get_mut(scope_id) {
                    scope.cursor = next;
                }
            }
            let parked =
                matches!(lock.stage, Stage::Parked { .. } | Stage::Ended { parked: true, .. });
            return Some(Decided { job, conn: lock.conn, class, verdict, parked, said });
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

    /// An owner that has a lock is not behind others any more with what else it waits for.
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
            QueuedBehind::Nobody => Decision::Grant,
            // It depends on what becomes of the other.
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

    /// A lock that cannot be had now.
    fn keep(&mut self, id: LockId, lock: &Lock, blocking: bool) -> Decision {
        match lock.stage {
            _ if !blocking => Decision::Refuse(Errno::EAGAIN),
            Stage::Parked { .. } => Decision::Stay,
            _ if self.park(id) => Decision::Park,
            _ => Decision::Refuse(Errno::ENOLCK),
        }
    }

    /// Does the one that it was found behind still wait? Its owner has not got another lock since.
    fn still_queued_behind(&self, lock: &Lock, class: Class) -> bool {
        let earlier = lock.queued_behind.and_then(|earlier| self.slab.get(earlier));
        earlier.is_some_and(|earlier| {
            matches!(earlier.stage, Stage::Parked { .. })
                && earlier.scope == lock.scope
                && self.conflict(earlier, lock, class)
        })
    }

    /// A held lock that this one conflicts with, and whether its owner holds one. All holders that are in the way are told when it
    /// is asked for, and later whoever is found first: it is the latest.
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

    /// Does an earlier one wait that this one conflicts with, and its owner for none?
    fn queued_behind(&self, id: LockId, lock: &Lock, class: Class) -> QueuedBehind {
        let mut queued_behind = QueuedBehind::Nobody;
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
                return QueuedBehind::Nobody;
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

    /// Can two owners not have both?
    fn conflict(&self, one: &Lock, other: &Lock, class: Class) -> bool {
        match class {
            Class::Inode | Class::Posix => {
                (one.write || other.write) && one.overlaps(other.start, other.end)
            }
            // Readers of a name exclude each other too, and whole directories everything.
            Class::Entry => match (one.name, other.name) {
                (Some(one), Some(other)) => self.strings.same(one, other),
                _ => true,
            },
        }
    }

    /// The holder of a lock is to be told that somebody else wants it, unless it was told a short while ago.
    fn notify(&mut self, id: LockId, now: Instant) {
        let Some(lock) = self.slab.get_mut(id) else { return };
        let due = lock.told.is_none_or(|told| told.plus_millis(NOTICE_DELAY_MS) <= now);
        if lock.notice || !due {
            return;
        }
        lock.told = Some(now);
        self.list_notice(id);
    }
}

/// What stands between a lock that could be had and its owner.
#[derive(Clone, Copy, PartialEq, Eq)]
enum QueuedBehind {
    Nobody,
    /// Somebody about whom nothing is decided yet.
    Undecided,
    /// Somebody who waits.
    Waiting(LockId),
}
