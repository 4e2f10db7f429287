//! The locks of a server's clients: INODELK and ENTRYLK, which translators take, and LK, which
//! applications take.
//!
//! ```text
//! ask → Asked ──────────────▶ Held ──▶ unlock, FLUSH and RELEASE (LK only), the connection's end
//!    └▶ Unresolved ──▶ Asked ─┴▶ Parked ──▶ Held
//! ```
//!
//! A lock belongs to a connection and, within it, to the owner in the credential. Two connections
//! conflict even if they name the same process-uuid, as on a real brick. Locks are found by inode
//! or by connection. The locks of an inode, a connection and the server are limited, and no request
//! looks at more than one inode's.
//!
//! After each change [`Locks::next_decided`] is asked until `None`, and then
//! [`Locks::next_to_tell`] for holders to notify of contention.

mod clear;
mod contention;
mod counts;
mod grant;
mod handover;
mod ranges;
mod strings;
mod table;

use managed::ManagedSlice;

use crate::gfid_hash::Seed;
use crate::id::{ConnId, HandleId, JobId, LockId, ScopeId};
use crate::server::{BrickIx, ServerLimits};
use crate::slab::{Slab, Slot};
use crate::xdr::{Errno, Gfid};
pub(super) use clear::Clear;
pub(super) use handover::Handover;
pub use strings::Chunk;
pub(super) use strings::Mark;
use strings::{StringRef, Strings};
pub(super) use table::Class;
pub use table::{Chain, Holder, Lock, Scope};
use table::{NewLock, Stage};

/// The last byte that a lock can cover.
pub(super) const LAST_BYTE: u64 = i64::MAX as u64;
/// Chunks that a connection may use for each of its locks: owner, name and domain of real clients
/// need no more. The table has fewer for all, so that one connection cannot take them all.
const CHUNKS_PER_LOCK: u32 = 4;
/// Bytes of an owner that a decision carries: twice what real clients use.
const DESCRIBED_OWNER: usize = 16;

/// All locks.
#[derive(Debug)]
pub(super) struct Locks<'m> {
    limits: ServerLimits,
    slab: Slab<'m, Lock, LockId>,
    scopes: Slab<'m, Scope, ScopeId>,
    strings: Strings<'m>,
    chains: ManagedSlice<'m, Chain>,
    /// Indexed by the connection's slot.
    holders: ManagedSlice<'m, Holder>,
    seed: Seed,
    held: u32,
    wanted: u32,
    parked: u32,
    first_dirty: Option<ScopeId>,
    /// First of the connections with contention notices.
    first_listed: Option<u16>,
}

/// The memory of the locks.
pub(super) struct LockTables<'m> {
    pub(super) locks: ManagedSlice<'m, Slot<Lock>>,
    pub(super) scopes: ManagedSlice<'m, Slot<Scope>>,
    pub(super) chunks: ManagedSlice<'m, Slot<Chunk>>,
    pub(super) chains: ManagedSlice<'m, Chain>,
    pub(super) holders: ManagedSlice<'m, Holder>,
}

/// A request for a lock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask<'a> {
    pub(super) brick: BrickIx,
    pub(super) gfid: Gfid,
    pub(super) class: Class,
    pub(super) domain: &'a [u8],
    pub(super) conn: ConnId,
    pub(super) owner: &'a [u8],
    pub(super) write: bool,
    pub(super) start: u64,
    /// The last byte.
    pub(super) end: u64,
    /// ENTRYLK: the name; `None` locks the whole directory.
    pub(super) name: Option<&'a [u8]>,
    /// LK: the open file.
    pub(super) handle: Option<HandleId>,
    pub(super) pid: i32,
    pub(super) claimed_pid: u32,
}

/// A decision about a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decided {
    pub(super) job: JobId,
    pub(super) conn: ConnId,
    pub(super) class: Class,
    pub(super) verdict: Verdict,
    /// Did it wait before?
    pub(super) parked: bool,
    pub(super) description: Description,
}

/// Outcome of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Granted,
    /// It is answered later.
    Waits,
    Refused(Errno),
}

/// A lock as replies describe it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Description {
    pub(super) write: bool,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) pid: u32,
    owner: [u8; DESCRIBED_OWNER],
    owner_len: u8,
}

impl Description {
    fn of(lock: &Lock, strings: &Strings<'_>) -> Self {
        let mut owner = [0; DESCRIBED_OWNER];
        let owner_len = strings.copy(lock.owner, &mut owner).map_or(0, |copied| copied.len() as u8);
        let (write, start, end, pid) = (lock.write, lock.start, lock.end, lock.claimed_pid);
        Self { write, start, end, pid, owner, owner_len }
    }

    /// The lock owner; empty if it is longer than `DESCRIBED_OWNER`.
    pub(super) fn owner(&self) -> &[u8] {
        self.owner.get(..usize::from(self.owner_len)).unwrap_or_default()
    }
}

impl<'m> Locks<'m> {
    pub(super) fn new(limits: ServerLimits, tables: LockTables<'m>, seed: Seed) -> Self {
        let LockTables { locks, scopes, chunks, chains, holders } = tables;
        Self {
            limits,
            slab: Slab::new(locks),
            scopes: Slab::new(scopes),
            strings: Strings::new(chunks),
            chains,
            holders,
            seed,
            held: 0,
            wanted: 0,
            parked: 0,
            first_dirty: None,
            first_listed: None,
        }
    }

    /// Adds a request for a lock, to be decided next. `resolved`: its inode is known to exist.
    pub(super) fn ask(
        &mut self,
        ask: &Ask<'_>,
        job: JobId,
        blocking: bool,
        resolved: bool,
    ) -> Result<LockId, Errno> {
        let stage = if resolved {
            Stage::Asked { job, blocking }
        } else {
            Stage::Unresolved { job, blocking }
        };
        let full = Errno::ENOLCK;
        let scope = self.scope_for(ask.brick, ask.gfid, ask.class, ask.domain).ok_or(full)?;
        let added = self.add(ask, scope, stage).ok_or(full);
        match added {
            Ok(lock) => self.touch_last(scope, lock),
            Err(_) => self.drop_scope(scope),
        }
        added
    }

    fn add(&mut self, ask: &Ask<'_>, scope: ScopeId, stage: Stage) -> Option<LockId> {
        let owner = self.strings.put(ask.owner)?;
        let name = match ask.name.map(|name| self.strings.put(name)) {
            Some(None) => {
                self.strings.drop(owner);
                return None;
            }
            Some(name) => name,
            None => None,
        };
        if self.room_for_one(scope, ask.conn, owner, name).is_err() {
            self.strings.drop(owner);
            if let Some(name) = name {
                self.strings.drop(name);
            }
            return None;
        }
        let Ask { conn, write, start, end, handle, pid, claimed_pid, .. } = *ask;
        self.insert(NewLock {
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
        })
    }

    /// May this connection have one more lock in this scope? ENOLCK if not.
    fn room_for_one(
        &self,
        scope: ScopeId,
        conn: ConnId,
        owner: StringRef,
        name: Option<StringRef>,
    ) -> Result<(), Errno> {
        let holder = self.holders.get(conn.slot()).ok_or(Errno::ENOLCK)?;
        let locks = self.scopes.get(scope).map_or(0, |scope| scope.locks);
        let chunks = holder.chunks + self.chunks_of(scope, owner, name);
        let fits = holder.locks < self.limits.locks_per_connection
            && locks < self.limits.locks_per_inode
            && chunks <= CHUNKS_PER_LOCK.saturating_mul(self.limits.locks_per_connection);
        if fits { Ok(()) } else { Err(Errno::ENOLCK) }
    }

    /// The storage has answered whether the inode of an unresolved lock exists.
    pub(super) fn resolved(&mut self, id: LockId, exists: bool) {
        let Some(lock) = self.slab.get_mut(id) else { return };
        let Stage::Unresolved { job, blocking } = lock.stage else { return };
        let scope = lock.scope;
        if exists {
            lock.stage = Stage::Asked { job, blocking };
            self.touch(scope);
        } else {
            self.remove(id);
        }
    }

    /// Releases a lock: the latest exactly like it, or for LK the owner's locks in the range.
    pub(super) fn unlock(&mut self, ask: &Ask<'_>) -> Result<(), Errno> {
        let Some(scope) = self.scope(ask.brick, ask.gfid, ask.class, ask.domain) else {
            return if ask.class == Class::Posix { Ok(()) } else { Err(Errno::EINVAL) };
        };
        let mine = |lock: &Lock| lock.conn == ask.conn && self.strings.is(lock.owner, ask.owner);
        let mut next = self.scopes.get(scope).and_then(|scope| scope.held);
        while let Some((id, lock)) = next.and_then(|id| Some((id, *self.slab.get(id)?))) {
            next = lock.after;
            let like = match ask.class {
                Class::Inode => lock.start == ask.start && lock.end == ask.end,
                Class::Posix => lock.overlaps(ask.start, ask.end),
                Class::Entry => {
                    lock.write == ask.write
                        && match (lock.name, ask.name) {
                            (None, None) => true,
                            (Some(one), Some(other)) => self.strings.is(one, other),
                            _ => false,
                        }
                }
            };
            if !like || !mine(&lock) {
                continue;
            }
            if ask.class != Class::Posix {
                self.remove(id);
                return Ok(());
            }
            let mut range = lock;
            (range.start, range.end) = (ask.start, ask.end);
            // Keep the owner's text until the end: the lock that brought it may be removed first.
            self.strings.share(range.owner);
            let cut = self.cut(&range, None);
            self.strings.drop(range.owner);
            return cut;
        }
        if ask.class == Class::Posix { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// GETLK: of the locks that conflict with `ask`, the one with the lowest start, as `fcntl`
    /// says. Its owner is copied into `owner_room`.
    pub(super) fn lowest_conflict<'r>(
        &self,
        ask: &Ask<'_>,
        owner_room: &'r mut [u8],
    ) -> Option<(Description, &'r [u8])> {
        let scope = self.scope(ask.brick, ask.gfid, ask.class, ask.domain)?;
        let mut lowest: Option<&Lock> = None;
        let mut next = self.first_held(scope);
        while let Some(lock) = next.and_then(|id| self.slab.get(id)) {
            next = lock.after;
            let own = lock.conn == ask.conn && self.strings.is(lock.owner, ask.owner);
            let conflicts = !own && (lock.write || ask.write) && lock.overlaps(ask.start, ask.end);
            if conflicts && lowest.is_none_or(|lowest| lock.start < lowest.start) {
                lowest = Some(lock);
            }
        }
        let lock = lowest?;
        let owner = self.strings.copy(lock.owner, owner_room).unwrap_or_default();
        Some((Description::of(lock, &self.strings), owner))
    }

    /// FLUSH: an owner closes a file, which releases its LK locks there. Its waiting requests go
    /// on.
    pub(super) fn flushed(&mut self, brick: BrickIx, gfid: Gfid, conn: ConnId, owner: &[u8]) {
        let Some(scope) = self.scope(brick, gfid, Class::Posix, b"") else { return };
        let mut next = self.scopes.get(scope).and_then(|scope| scope.held);
        while let Some((id, lock)) = next.and_then(|id| Some((id, *self.slab.get(id)?))) {
            next = lock.after;
            if lock.conn == conn && self.strings.is(lock.owner, owner) {
                self.remove(id);
            }
        }
    }

    /// Removes the first lock of a connection, granted or not. Repeated until `None` when a
    /// connection ends.
    pub(super) fn take_first(&mut self, conn: ConnId) -> Option<Lock> {
        let id = self.holders.get(conn.slot())?.first?;
        self.remove(id)
    }

    /// Removes a request as if it had not been made.
    pub(super) fn withdraw(&mut self, id: LockId) {
        self.remove(id);
    }
}
