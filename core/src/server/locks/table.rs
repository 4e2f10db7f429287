//! Links locks by inode, class and domain in a [`Scope`], and by the connection that requested
//! them.

use super::Locks;
use super::strings::StringRef;
use crate::id::{ConnId, HandleId, JobId, LockId, ScopeId};
use crate::server::BrickIx;
use crate::time::Instant;
use crate::xdr::{Errno, Gfid};

/// Scopes of one inode, which each lock and count on it looks at. Real clients use a handful of
/// domains.
const SCOPES_MAX: usize = 64;

/// Class of a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::server) enum Class {
    /// INODELK: a range of an inode, used by translators.
    Inode,
    /// ENTRYLK: a name in a directory, or the whole directory.
    Entry,
    /// LK: a range of a file, used by applications.
    Posix,
}

/// All locks of one class on one inode in one domain.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    pub(super) brick: BrickIx,
    pub(super) gfid: Gfid,
    pub(super) class: Class,
    pub(super) domain: StringRef,
    /// Granted locks, the latest first.
    pub(super) held: Option<LockId>,
    /// Waiting requests, the earliest first.
    pub(super) queue: Option<LockId>,
    last: Option<LockId>,
    pub(super) locks: u32,
    /// The next request to decide about.
    pub(super) next_to_decide: Option<LockId>,
    pub(super) dirty: bool,
    pub(super) next_dirty: Option<ScopeId>,
    /// Neighbours in the bucket of the inode.
    before: Option<ScopeId>,
    pub(super) after: Option<ScopeId>,
}

/// A bucket of the index by inode: its first scope.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chain(Option<ScopeId>);

/// Progress of a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Granted.
    Held,
    /// The storage is asked whether its inode exists.
    Unresolved { job: JobId, blocking: bool },
    /// Requested, not decided yet.
    Asked { job: JobId, blocking: bool },
    /// Waits, for an unlimited time.
    Parked { job: JobId },
    /// Refused while it was in the queue; `parked`: it had waited.
    Ended { job: JobId, errno: Errno, parked: bool },
}

/// One lock, granted or requested.
#[derive(Clone, Copy, Debug)]
pub struct Lock {
    pub(super) scope: ScopeId,
    pub(super) conn: ConnId,
    pub(super) owner: StringRef,
    pub(super) write: bool,
    pub(super) start: u64,
    /// The last byte.
    pub(super) end: u64,
    /// ENTRYLK: the name; `None` locks the whole directory.
    pub(super) name: Option<StringRef>,
    /// LK: the open file.
    pub(super) handle: Option<HandleId>,
    /// Process of the caller by its credential, and by the lock itself.
    pub(super) pid: i32,
    pub(super) claimed_pid: u32,
    pub(super) stage: Stage,
    /// The granted lock that conflicted with this one at the last decision.
    pub(super) blocker: Option<LockId>,
    /// The earlier request that this one queues behind, when no granted lock conflicts.
    pub(super) queued_behind: Option<LockId>,
    /// When its holder was last notified of contention.
    pub(super) notified: Option<Instant>,
    /// Its holder is to be notified.
    pub(super) notice: bool,
    pub(super) notice_before: Option<LockId>,
    pub(super) notice_after: Option<LockId>,
    /// Neighbours among the scope's granted locks or in its queue.
    before: Option<LockId>,
    pub(super) after: Option<LockId>,
    /// Neighbours among the connection's locks.
    mine_before: Option<LockId>,
    pub(super) mine_after: Option<LockId>,
}

/// The locks of one connection, granted and requested.
#[derive(Clone, Copy, Debug, Default)]
pub struct Holder {
    pub(super) first: Option<LockId>,
    pub(super) locks: u32,
    /// Chunks of their strings. A domain counts for each lock.
    pub(super) chunks: u32,
    /// Number of its calls that wait for a lock.
    pub(super) parked: u32,
    /// Its contention notices.
    pub(super) first_notice: Option<LockId>,
    pub(super) last_notice: Option<LockId>,
    /// Is it in the list of connections with notices?
    pub(super) listed: bool,
    pub(super) next_listed: Option<u16>,
}

/// Fields of a new lock.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewLock {
    pub(super) scope: ScopeId,
    pub(super) conn: ConnId,
    pub(super) owner: StringRef,
    pub(super) write: bool,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) name: Option<StringRef>,
    pub(super) handle: Option<HandleId>,
    pub(super) pid: i32,
    pub(super) claimed_pid: u32,
    pub(super) stage: Stage,
}

impl Lock {
    pub(super) fn of(new: NewLock) -> Self {
        let NewLock {
            scope,
            conn,
            owner,
            write,
            start,
            end,
            name,
            handle,
            pid,
            claimed_pid,
            stage,
        } = new;
        Self {
            scope,
            conn,
            owner,
            write,
            start,
            end,
            name,
            handle,
            pid,
            claimed_pid,
            stage,
            blocker: None,
            queued_behind: None,
            notified: None,
            notice: false,
            notice_before: None,
            notice_after: None,
            before: None,
            after: None,
            mine_before: None,
            mine_after: None,
        }
    }

    pub(super) fn overlaps(&self, start: u64, end: u64) -> bool {
        self.start <= end && start <= self.end
    }

    /// Is the storage still asked whether its inode exists?
    pub(in crate::server) fn is_unresolved(&self) -> bool {
        matches!(self.stage, Stage::Unresolved { .. })
    }

    /// The call that waits for it.
    pub(in crate::server) fn job(&self) -> Option<JobId> {
        match self.stage {
            Stage::Held => None,
            Stage::Unresolved { job, .. }
            | Stage::Asked { job, .. }
            | Stage::Parked { job }
            | Stage::Ended { job, .. } => Some(job),
        }
    }
}

impl Locks<'_> {
    /// The bucket of an inode.
    pub(super) fn bucket_of(&self, gfid: &Gfid) -> usize {
        self.seed.bucket(gfid, self.chains.len())
    }

    pub(super) fn first_of(&self, chain: usize) -> Option<ScopeId> {
        self.chains.get(chain)?.0
    }

    /// The scopes of an inode.
    pub(super) fn scopes_of(
        &self,
        brick: BrickIx,
        gfid: Gfid,
    ) -> impl Iterator<Item = (ScopeId, &Scope)> {
        let mut next = self.first_of(self.bucket_of(&gfid));
        core::iter::from_fn(move || {
            loop {
                let id = next?;
                let scope = self.scopes.get(id)?;
                next = scope.after;
                if scope.gfid == gfid && scope.brick == brick {
                    return Some((id, scope));
                }
            }
        })
    }

    pub(super) fn scope(
        &self,
        brick: BrickIx,
        gfid: Gfid,
        class: Class,
        domain: &[u8],
    ) -> Option<ScopeId> {
        let mut scopes = self.scopes_of(brick, gfid);
        let is = |scope: &Scope| scope.class == class && self.strings.is(scope.domain, domain);
        scopes.find(|(_, scope)| is(scope)).map(|(id, _)| id)
    }

    /// The scope, created if it is missing.
    pub(super) fn scope_for(
        &mut self,
        brick: BrickIx,
        gfid: Gfid,
        class: Class,
        domain: &[u8],
    ) -> Option<ScopeId> {
        if let Some(id) = self.scope(brick, gfid, class, domain) {
            return Some(id);
        }
        if self.scopes_of(brick, gfid).count() >= SCOPES_MAX {
            return None;
        }
        let chain = self.bucket_of(&gfid);
        let after = self.first_of(chain);
        let domain = self.strings.put(domain)?;
        let scope = Scope {
            brick,
            gfid,
            class,
            domain,
            held: None,
            queue: None,
            last: None,
            locks: 0,
            next_to_decide: None,
            dirty: false,
            next_dirty: None,
            before: None,
            after,
        };
        let Some(id) = self.scopes.insert(scope) else {
            self.strings.drop(domain);
            return None;
        };
        if let Some(after) = after.and_then(|after| self.scopes.get_mut(after)) {
            after.before = Some(id);
        }
        if let Some(place) = self.chains.get_mut(chain) {
            place.0 = Some(id);
        }
        Some(id)
    }

    /// Removes a scope without locks.
    pub(super) fn drop_scope(&mut self, id: ScopeId) {
        if self.scopes.get(id).is_none_or(|scope| scope.locks > 0 || scope.dirty) {
            return;
        }
        let Some(scope) = self.scopes.remove(id) else { return };
        self.strings.drop(scope.domain);
        if let Some(after) = scope.after.and_then(|after| self.scopes.get_mut(after)) {
            after.before = scope.before;
        }
        match scope.before.and_then(|before| self.scopes.get_mut(before)) {
            Some(before) => before.after = scope.after,
            None => {
                let chain = self.bucket_of(&scope.gfid);
                if let Some(place) = self.chains.get_mut(chain) {
                    place.0 = scope.after;
                }
            }
        }
    }

    /// Inserts a lock into its scope and its connection. `None`: the table is full; the strings are
    /// dropped.
    pub(super) fn insert(&mut self, new: NewLock) -> Option<LockId> {
        let lock = Lock::of(new);
        let Some(id) = self.slab.insert(lock) else {
            self.drop_texts(&lock);
            return None;
        };
        self.join_holder(id, new.conn);
        if let Some(scope) = self.scopes.get_mut(new.scope) {
            scope.locks += 1;
        }
        self.link(id);
        Some(id)
    }

    /// Number of chunks of a lock's strings.
    pub(super) fn chunks_of(
        &self,
        scope: ScopeId,
        owner: StringRef,
        name: Option<StringRef>,
    ) -> u32 {
        let domain = self.scopes.get(scope).map_or(0, |scope| scope.domain.chunks());
        owner.chunks() + name.map_or(0, StringRef::chunks) + domain
    }

    pub(super) fn drop_texts(&mut self, lock: &Lock) {
        self.strings.drop(lock.owner);
        if let Some(name) = lock.name {
            self.strings.drop(name);
        }
    }

    /// Links a lock into its scope: granted ones at the front of their list, requests at the end of
    /// the queue.
    fn link(&mut self, id: LockId) {
        let Some(lock) = self.slab.get_mut(id) else { return };
        let Some(scope) = self.scopes.get_mut(lock.scope) else { return };
        if lock.stage == Stage::Held {
            self.held += 1;
            (lock.before, lock.after) = (None, scope.held);
            if let Some(next) = scope.held.replace(id).and_then(|next| self.slab.get_mut(next)) {
                next.before = Some(id);
            }
        } else {
            self.wanted += 1;
            (lock.before, lock.after) = (scope.last, None);
            match scope.last.replace(id).and_then(|last| self.slab.get_mut(last)) {
                Some(last) => last.after = Some(id),
                None => scope.queue = Some(id),
            }
        }
    }

    fn unlink(&mut self, id: LockId) {
        let Some(lock) = self.slab.get(id).copied() else { return };
        if let Some(after) = lock.after.and_then(|after| self.slab.get_mut(after)) {
            after.before = lock.before;
        }
        let before = lock.before.and_then(|before| self.slab.get_mut(before));
        let first = before.is_none();
        if let Some(before) = before {
            before.after = lock.after;
        }
        let Some(scope) = self.scopes.get_mut(lock.scope) else { return };
        if lock.stage == Stage::Held {
            self.held -= 1;
            if first {
                scope.held = lock.after;
            }
            return;
        }
        self.wanted -= 1;
        if scope.next_to_decide == Some(id) {
            scope.next_to_decide = lock.after;
        }
        if first {
            scope.queue = lock.after;
        }
        if lock.after.is_none() {
            scope.last = lock.before;
        }
    }

    /// A requested lock is granted.
    pub(super) fn hold(&mut self, id: LockId) {
        self.unpark(id);
        self.unlink(id);
        if let Some(lock) = self.slab.get_mut(id) {
            lock.stage = Stage::Held;
            (lock.blocker, lock.queued_behind) = (None, None);
        }
        self.link(id);
    }

    /// The request waits. `false`: too many do.
    pub(super) fn park(&mut self, id: LockId) -> bool {
        let Some(lock) = self.slab.get_mut(id) else { return false };
        let Some(holder) = self.holders.get_mut(lock.conn.slot()) else { return false };
        let Stage::Asked { job, .. } = lock.stage else { return false };
        if self.parked >= self.limits.waits || holder.parked >= self.limits.waits_per_connection {
            return false;
        }
        self.parked += 1;
        holder.parked += 1;
        lock.stage = Stage::Parked { job };
        true
    }

    /// A waiting request is to be refused with `errno`.
    pub(super) fn end(&mut self, id: LockId, errno: Errno) {
        self.unpark(id);
        let Some(lock) = self.slab.get_mut(id) else { return };
        let (job, parked) = match lock.stage {
            Stage::Parked { job } => (job, true),
            Stage::Asked { job, .. } => (job, false),
            Stage::Held | Stage::Unresolved { .. } | Stage::Ended { .. } => return,
        };
        lock.stage = Stage::Ended { job, errno, parked };
        let scope = lock.scope;
        self.touch(scope);
    }

    fn unpark(&mut self, id: LockId) {
        let Some(lock) = self.slab.get(id) else { return };
        if let Stage::Parked { .. } = lock.stage {
            self.parked -= 1;
            if let Some(holder) = self.holders.get_mut(lock.conn.slot()) {
                holder.parked -= 1;
            }
        }
    }

    /// Removes a lock; the requests of its scope are decided anew.
    pub(super) fn remove(&mut self, id: LockId) -> Option<Lock> {
        self.forget_notice(id);
        self.unpark(id);
        self.unlink(id);
        let lock = self.slab.remove(id)?;
        self.drop_texts(&lock);
        self.leave_holder(&lock);
        if let Some(scope) = self.scopes.get_mut(lock.scope) {
            scope.locks -= 1;
        }
        self.touch(lock.scope);
        Some(lock)
    }

    /// Unlinks a lock from its connection.
    fn leave_holder(&mut self, lock: &Lock) {
        let chunks = self.chunks_of(lock.scope, lock.owner, lock.name);
        if let Some(after) = lock.mine_after.and_then(|after| self.slab.get_mut(after)) {
            after.mine_before = lock.mine_before;
        }
        let holder = self.holders.get_mut(lock.conn.slot());
        if let Some(holder) = holder {
            holder.locks -= 1;
            holder.chunks -= chunks;
            if lock.mine_before.is_none() {
                holder.first = lock.mine_after;
            }
        }
        if let Some(before) = lock.mine_before.and_then(|before| self.slab.get_mut(before)) {
            before.mine_after = lock.mine_after;
        }
    }

    /// Links a lock at the front of its connection's list.
    fn join_holder(&mut self, id: LockId, conn: ConnId) {
        let first = self.holders.get(conn.slot()).and_then(|holder| holder.first);
        let lock = self.slab.get(id).map(|lock| (lock.scope, lock.owner, lock.name));
        let chunks = lock.map_or(0, |(scope, owner, name)| self.chunks_of(scope, owner, name));
        if let Some(lock) = self.slab.get_mut(id) {
            (lock.conn, lock.mine_before, lock.mine_after) = (conn, None, first);
        }
        if let Some(next) = first.and_then(|next| self.slab.get_mut(next)) {
            next.mine_before = Some(id);
        }
        if let Some(holder) = self.holders.get_mut(conn.slot()) {
            holder.first = Some(id);
            holder.locks += 1;
            holder.chunks += chunks;
        }
    }

    /// Moves a granted lock to another connection.
    pub(super) fn move_to(&mut self, id: LockId, conn: ConnId) {
        self.forget_notice(id);
        let Some(lock) = self.slab.get(id).copied() else { return };
        self.leave_holder(&lock);
        self.join_holder(id, conn);
    }

    /// A request was added to a scope: those that wait already are not affected.
    pub(super) fn touch_last(&mut self, id: ScopeId, lock: LockId) {
        let settled = self.scopes.get(id).is_some_and(|scope| !scope.dirty);
        self.touch(id);
        if settled && let Some(scope) = self.scopes.get_mut(id) {
            scope.next_to_decide = Some(lock);
        }
    }

    /// Something has changed in a scope: all its requests are decided anew.
    pub(super) fn touch(&mut self, id: ScopeId) {
        let Some(scope) = self.scopes.get_mut(id) else { return };
        scope.next_to_decide = scope.queue;
        if scope.dirty {
            return;
        }
        scope.dirty = true;
        scope.next_dirty = self.first_dirty.replace(id);
    }
}
