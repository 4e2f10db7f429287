//! Moves LK locks from one open file to another, of another connection.

use super::table::{Class, Lock};
use super::{CHUNKS_PER_LOCK, Locks};
use crate::id::{ConnId, HandleId, ScopeId};
use crate::server::BrickIx;
use crate::xdr::{Errno, Gfid};

/// The two open files, and the connection of the second.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct Handover {
    pub(in crate::server) from: HandleId,
    pub(in crate::server) to: HandleId,
    pub(in crate::server) conn: ConnId,
}

impl Locks<'_> {
    /// Is a lock granted through this open file?
    pub(in crate::server) fn are_through(
        &self,
        brick: BrickIx,
        gfid: Gfid,
        handle: HandleId,
    ) -> bool {
        let scope = self.scope(brick, gfid, Class::Posix, b"");
        scope.is_some_and(|scope| {
            self.sum_held(scope, |lock| u32::from(lock.handle == Some(handle))) > 0
        })
    }

    fn sum_held(&self, scope: ScopeId, of: impl Fn(&Lock) -> u32) -> u32 {
        let mut next = self.first_held(scope);
        let mut sum = 0;
        while let Some(lock) = next.and_then(|id| self.slab.get(id)) {
            next = lock.after;
            sum += of(lock);
        }
        sum
    }

    /// Is there room for all locks that are granted through an open file, and for the parts of
    /// those that they cut in two? Locks that the receiver loses in return are not counted.
    fn has_room_for(&self, scope: ScopeId, from: HandleId, conn: ConnId) -> bool {
        let through = |lock: &Lock| lock.handle == Some(from);
        let coming = self.sum_held(scope, |lock| u32::from(through(lock)));
        let chunks = |lock: &Lock| self.chunks_of(scope, lock.owner, lock.name);
        let chunks = self.sum_held(scope, |lock| if through(lock) { chunks(lock) } else { 0 });
        // Each of them may cut one lock of the same owner in two.
        let cuts = u32::from(self.sum_held(scope, |lock| u32::from(lock.conn == conn)) > 0);
        let Some(holder) = self.holders.get(conn.slot()) else { return false };
        let on_inode = self.scopes.get(scope).map_or(0, |scope| scope.locks);
        let max = self.limits.locks_per_connection;
        holder.locks.saturating_add(coming * (1 + cuts)) <= max
            && holder.chunks.saturating_add(chunks * (1 + cuts))
                <= CHUNKS_PER_LOCK.saturating_mul(max)
            && on_inode.saturating_add(coming * cuts) <= self.limits.locks_per_inode
            && (coming * cuts) as usize <= self.slab.capacity() - self.slab.len()
    }

    /// Moves granted locks. Waiting requests stay where they are.
    pub(in crate::server) fn take_over(
        &mut self,
        brick: BrickIx,
        gfid: Gfid,
        handover: &Handover,
    ) -> Result<(), Errno> {
        let Some(scope) = self.scope(brick, gfid, Class::Posix, b"") else { return Ok(()) };
        // All locks are moved, or none.
        if !self.has_room_for(scope, handover.from, handover.conn) {
            return Err(Errno::ENOLCK);
        }
        let mut next = self.first_held(scope);
        while let Some((id, lock)) = next.and_then(|id| Some((id, *self.slab.get(id)?))) {
            next = lock.after;
            if lock.handle != Some(handover.from) {
                continue;
            }
            // Ranges of one owner do not overlap: a moved lock replaces what the owner has there by
            // the new connection.
            let mut after = lock;
            after.conn = handover.conn;
            if lock.conn != handover.conn {
                // There is room: checked above.
                let _ = self.cut(&after, None);
            }
            // The next lock may have been removed by the cut.
            next = self.slab.get(id).and_then(|lock| lock.after);
            self.move_to(id, handover.conn);
            if let Some(lock) = self.slab.get_mut(id) {
                lock.handle = Some(handover.to);
            }
        }
        self.touch(scope);
        Ok(())
    }
}
