//! Where locks stand: by inode, kind and domain in a [`Scope`], and by the connection that asked for them.

use super::Locks;
use super::strings::StringRef;
use crate::id::{ConnId, HandleId, JobId, LockId, ScopeId};
use crate::server::BrickIx;
use crate::time::Instant;
use crate::xdr::{Errno, Gfid};

/// Scopes of one inode: each lock and each count of it looks at them. Real clients have a handful of domains.
const SCOPES_MAX: usize = 64;

/// What a lock is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::server) enum Class {
    /// INODELK: a range of an inode, among translators.
    Inode,
    /// ENTRYLK: a name in a directory, or all.
    Entry,
    /// LK: a range of a file, among applications.
    Posix,
}

/// All locks of one kind on one inode in one domain.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    pub(super) brick: BrickIx,
    pub(super) gfid: Gfid,
    pub(super) class: Class,
    pub(super) domain: StringRef,
    /// Who has one, the latest first.
    pub(super) held: Option<LockId>,
    /// Who wants one, the earliest first.
    pub(super) queue: Option<LockId>,
    last: Option<LockId>,
    pub(super) locks: u32,
    /// Whom to judge next, if something has changed.
    pub(super) cursor: Option<LockId>,
    pub(super) dirty: bool,
    pub(super) next_dirty: Option<ScopeId>,
    /// Neighbours in the chain of the inode.
    before: Option<ScopeId>,
    pub(super) after: Option<ScopeId>,
}

/// The first scope of a chain of the index by inode.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chain(Option<ScopeId>);

/// How far a lock is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Somebody has it.
    Held,
    /// Nobody knows yet whether its inode exists.
    Unresolved { job: JobId, blocking: bool },
    /// It is asked for.
    Asked { job: JobId, blocking: bool },
    /// It is waited for, however long.
    Parked { job: JobId },
    /// It is not to be had any more; `parked`: it was waited for.
    Ended { job: JobId, errno: Errno, parked: bool },
}

/// One lock that somebody has or wants.
#[derive(Clone, Copy, Debug)]
pub struct Lock {
    pub(super) scope: ScopeId,
    pub(super) conn: ConnId,
    pub(super) owner: StringRef,
    pub(super) write: bool,
    pub(super) start: u64,
    /// The last byte.
    pub(super) end: u64,
    /// ENTRYLK: the name; `None` is the whole directory.
    pub(super) name: Option<StringRef>,
    /// LK: the open file.
    pub(super) handle: Option<HandleId>,
    /// Process of the caller, and the one that it said in the lock.
    pub(super) pid: i32,
    pub(super) said_pid: u32,
    pub(super) stage: Stage,
    /// The held lock that kept this one waiting when it was looked at last.
    pub(super) blocker: Option<LockId>,
    /// The earlier one in the queue that this one waits behind, when nobody who has a lock is in its way.
    pub(super) queued_behind: Option<LockId>,
    /// When its holder was told last that somebody waits.
    pub(super) told: Option<Instant>,
    /// Its holder is to be told.
    pub(super) notice: bool,
    pub(super) notice_before: Option<LockId>,
    pub(super) notice_after: Option<LockId>,
    /// Neighbours: of a held lock among the held ones, else in the queue.
    before: Option<LockId>,
    pub(super) after: Option<LockId>,
    /// Neighbours among the connection's.
    mine_before: Option<LockId>,
    pub(super) mine_after: Option<LockId>,
}

/// What a connection has and wants.
#[derive(Clone, Copy, Debug, Default)]
pub struct Holder {
    pub(super) first: Option<LockId>,
    pub(super) locks: u32,
    /// Chunks of their texts; a domain counts for each.
    pub(super) chunks: u32,
    /// Calls of it that wait for a lock.
    pub(super) parked: u32,
    /// Locks that it is to be told of.
    pub(super) first_notice: Option<LockId>,
    pub(super) last_notice: Option<LockId>,
    /// Is it in the list of those that are to be told of some?
    pub(super) listed: bool,
    pub(super) next_listed: Option<u16>,
}

/// What a new lock is made of.
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
    pub(super) said_pid: u32,
    pub(super) stage: Stage,
}

impl Lock {
    pub(super) fn of(new: NewLock) -> Self {
        let NewLock { scope, conn, owner, write, start, end, name, handle, pid, said_pid, stage } =
            new;
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
            said_pid,
            stage,
            blocker: None,
            queued_behind: None,
            told: None,
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

    /// Is it yet to be said whether its inode exists?
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
    /// The chain of an inode.
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

    /// The scope, made if there is none.
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
            cursor: None,
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

    /// Takes a scope out that nobody has or wants a lock in.
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

    /// Puts a lock where its stage belongs, and among its connection's. `None`: the table is full; the texts are dropped.
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

    /// Chunks that the texts of a lock have.
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

    /// Held locks go in front of the others, wanted ones behind.
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
        if scope.cursor == Some(id) {
            scope.cursor = lock.after;
        }
        if first {
            scope.queue = lock.after;
        }
        if lock.after.is_none() {
            scope.last = lock.before;
        }
    }

    /// Who wanted a lock has it.
    pub(super) fn hold(&mut self, id: LockId) {
        self.unpark(id);
        self.unlink(id);
        if let Some(lock) = self.slab.get_mut(id) {
            lock.stage = Stage::Held;
            (lock.blocker, lock.queued_behind) = (None, None);
        }
        self.link(id);
    }

    /// It waits, however long. `false`: too many do.
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

    /// Who waits for a lock is told that it will not get it.
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

    /// Takes a lock out; whoever waits in its scope is judged anew.
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

    /// Takes a lock out of its connection's.
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

    /// Puts a lock in front of its connection's.
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

    /// A lock that is had becomes another connection's.
    pub(super) fn give_to(&mut self, id: LockId, conn: ConnId) {
        self.forget_notice(id);
        let Some(lock) = self.slab.get(id).copied() else { return };
        self.leave_holder(&lock);
        self.join_holder(id, conn);
    }

    /// Somebody asks for a lock: those who wait already are not helped by that.
    pub(super) fn touch_last(&mut self, id: ScopeId, lock: LockId) {
        let settled = self.scopes.get(id).is_some_and(|scope| !scope.dirty);
        self.touch(id);
        if settled && let Some(scope) = self.scopes.get_mut(id) {
            scope.cursor = Some(lock);
        }
    }

    /// Something has changed in a scope: all who wait there are judged anew.
    pub(super) fn touch(&mut self, id: ScopeId) {
        let Some(scope) = self.scopes.get_mut(id) else { return };
        scope.cursor = scope.queue;
        if scope.dirty {
            return;
        }
        scope.dirty = true;
        scope.next_dirty = self.first_dirty.replace(id);
    }
}
