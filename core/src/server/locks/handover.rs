//! LK locks change hands: what was had through one open file is had through another, of another connection.

use super::table::{Class, Lock};
use super::{CHUNKS_PER_LOCK, Locks};
use crate::id::{ConnId, HandleId, ScopeId};
use crate::server::BrickIx;
use crate::xdr::{Errno, Gfid};

/// From which open file to which, and whose that is.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct Handover {
    pub(in crate::server) from: HandleId,
    pub(in crate::server) to: HandleId,
    pub(in crate::server) conn: ConnId,
}

impl Locks<'_> {
    /// Is a lock had through this open file?
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

    /// Is there room for all that is had through an open file, and for what is cut in two because of it? What is given away in
    /// return is not counted.
    fn has_room_for(&self, scope: ScopeId, from: HandleId, conn: ConnId) -> bool {
        let through = |lock: &Lock| lock.handle == Some(from);
        let coming = self.sum_held(scope, |lock| u32::from(through(lock)));
        let chunks = |lock: &Lock| self.chunks_of(scope, lock.owner, lock.name);
        let chunks = self.sum_held(scope, |lock| if through(lock) { chunks(lock) } else { 0 });
        // Each that comes may cut one, of the same owner.
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

    /// Moves the locks that are had; who waits goes on waiting where it asked.
    pub(in crate::server) fn take_over(
        &mut self,
        brick: BrickIx,
        gfid: Gfid,
        handover: &Handover,
    ) -> Result<(), Errno> {
        let Some(scope) = self.scope(brick, gfid, Class::Posix, b"") else { return Ok(()) };
        // All or none.
        if !self.has_room_for(scope, handover.from, handover.conn) {
            return Err(Errno::ENOLCK);
        }
        let mut next = self.first_held(scope);
        while let Some((id, lock)) = next.and_then(|id| Some((id, *self.slab.get(id)?))) {
            next = lock.after;
            if lock.handle != Some(handover.from) {
                continue;
            }
            // Ranges of one owner do not overlap: what it has there by the new connection already, it has no more.
            let mut after = lock;
            after.conn = handover.conn;
            if lock.conn != handover.conn {
                // There is room.
                let _ = self.cut(&after, None);
            }
            // The one behind may have been cut away.
            next = self.slab.get(id).and_then(|lock| lock.after);
            self.give_to(id, handover.conn);
            if let Some(lock) = self.slab.get_mut(id) {
                lock.handle = Some(handover.to);
            }
        }
        self.touch(scope);
        Ok(())
    }
}
