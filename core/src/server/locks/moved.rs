//! LK locks change hands: what was had through one open file is had through another, of another connection.

use super::Locks;
use super::table::{Class, Lock};
use crate::id::{ConnId, HandleId, ScopeId};
use crate::server::BrickIx;
use crate::xdr::{Errno, Gfid};

/// From which open file to which, and whose that is.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct Moved {
    pub(in crate::server) from: HandleId,
    pub(in crate::server) to: HandleId,
    pub(in crate::server) conn: ConnId,
}

impl Locks<'_> {
    /// Is a lock had through this open file?
    pub(in crate::server) fn are_through(&self, brick: BrickIx, gfid: Gfid, handle: HandleId) -> bool {
        self.through(brick, gfid, handle) > 0
    }

    fn through(&self, brick: BrickIx, gfid: Gfid, handle: HandleId) -> u32 {
        let scope = self.scope(brick, gfid, Class::Posix, b"");
        scope.map_or(0, |scope| self.held(scope, |lock| lock.handle == Some(handle)))
    }

    fn held(&self, scope: ScopeId, which: impl Fn(&Lock) -> bool) -> u32 {
        let mut next = self.first_held(scope);
        let mut count = 0;
        while let Some(lock) = next.and_then(|id| self.slab.get(id)) {
            next = lock.after;
            count += u32::from(which(lock));
        }
        count
    }

    /// Are there slots for all that comes, and for what is cut in two because of it?
    fn has_room_for(&self, scope: ScopeId, coming: u32, conn: ConnId) -> bool {
        let cut = if self.held(scope, |lock| lock.conn == conn) > 0 { coming } else { 0 };
        let has = self.holders.get(conn.slot()).map_or(0, |holder| holder.locks);
        let on_inode = self.scopes.get(scope).map_or(0, |scope| scope.locks);
        let free = self.slab.capacity() - self.slab.len();
        has.saturating_add(coming).saturating_add(cut) <= self.limits.locks_per_client
            && on_inode.saturating_add(cut) <= self.limits.locks_per_inode
            && cut as usize <= free
    }

    /// Moves the locks that are had; who waits goes on waiting where it asked.
    pub(in crate::server) fn take_over(
        &mut self,
        brick: BrickIx,
        gfid: Gfid,
        moved: &Moved,
    ) -> Result<(), Errno> {
        let Some(scope) = self.scope(brick, gfid, Class::Posix, b"") else { return Ok(()) };
        // All or none. What is given away in return is not counted.
        let coming = self.through(brick, gfid, moved.from);
        if !self.has_room_for(scope, coming, moved.conn) {
            return Err(Errno::ENOLCK);
        }
        let mut next = self.first_held(scope);
        while let Some((id, lock)) = next.and_then(|id| Some((id, *self.slab.get(id)?))) {
            next = lock.after;
            if lock.handle != Some(moved.from) {
                continue;
            }
            // Ranges of one owner do not overlap: what it has there by the new connection already, it has no more.
            let mut after = lock;
            after.conn = moved.conn;
            if lock.conn != moved.conn {
                // There is room.
                let _ = self.cut(&after, None);
            }
            // The one behind may have been cut away.
            next = self.slab.get(id).and_then(|lock| lock.after);
            self.give_to(id, moved.conn);
            if let Some(lock) = self.slab.get_mut(id) {
                lock.handle = Some(moved.to);
            }
        }
        self.touch(scope);
        Ok(())
    }
}
