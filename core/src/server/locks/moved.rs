//! LK locks change hands: what was had through one open file is had through another, of another connection.

use super::Locks;
use super::table::Class;
use crate::id::{ConnId, HandleId};
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
        let Some(scope) = self.scope(brick, gfid, Class::Posix, b"") else { return 0 };
        let mut next = self.scopes.get(scope).and_then(|scope| scope.held);
        let mut count = 0;
        while let Some(lock) = next.and_then(|id| self.slab.get(id)) {
            next = lock.after;
            count += u32::from(lock.handle == Some(handle));
        }
        count
    }

    /// Moves the locks that are had; who waits goes on waiting where it asked.
    pub(in crate::server) fn take_over(
        &mut self,
        brick: BrickIx,
        gfid: Gfid,
        moved: &Moved,
    ) -> Result<(), Errno> {
        let Some(scope) = self.scope(brick, gfid, Class::Posix, b"") else { return Ok(()) };
        let has = self.holders.get(moved.conn.slot()).map_or(0, |holder| holder.locks);
        // All or none. What is given away in return is not counted.
        if has.saturating_add(self.through(brick, gfid, moved.from)) > self.limits.locks_per_client {
            return Err(Errno::ENOLCK);
        }
        let mut next = self.scopes.get(scope).and_then(|scope| scope.held);
        while let Some((id, lock)) = next.and_then(|id| Some((id, *self.slab.get(id)?))) {
            next = lock.after;
            if lock.handle != Some(moved.from) {
                continue;
            }
            // Ranges of one owner do not overlap: what it has there by the new connection already, it has no more.
            let mut after = lock;
            after.conn = moved.conn;
            if lock.conn != moved.conn {
                self.cut(&after, None)?;
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
