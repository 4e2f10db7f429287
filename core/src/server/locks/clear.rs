//! Ends locks without an unlock: for RELEASE, an interrupted caller, an administrator.

use super::Locks;
use super::table::{Class, Lock, Scope, Stage};
use crate::id::HandleId;
use crate::server::BrickIx;
use crate::xdr::{Errno, Gfid};

/// Selects the locks of an inode that are to be ended.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct Clear<'a> {
    pub(in crate::server) class: Class,
    /// End granted locks.
    pub(in crate::server) held: bool,
    /// End waiting calls, with this errno.
    pub(in crate::server) wanted: Option<Errno>,
    /// Only locks that overlap this range.
    pub(in crate::server) range: (u64, u64),
    /// Only locks of this name.
    pub(in crate::server) name: Option<&'a [u8]>,
    /// Only locks that were requested through this open file.
    pub(in crate::server) handle: Option<HandleId>,
}

impl Locks<'_> {
    /// Ends locks of all clients. Returns how many were waited for and how many were granted.
    pub(in crate::server) fn clear(
        &mut self,
        brick: BrickIx,
        gfid: Gfid,
        what: &Clear<'_>,
    ) -> (u32, u32) {
        let (mut wanted, mut held) = (0, 0);
        // Scopes are not removed before `next_decided` is asked.
        let mut next = self.first_of(self.bucket_of(&gfid));
        while let Some(scope) = next.and_then(|id| self.scopes.get(id)).copied() {
            next = scope.after;
            let Scope { class, held: of_held, queue, .. } = scope;
            if scope.gfid != gfid || scope.brick != brick || class != what.class {
                continue;
            }
            for list in [of_held.filter(|_| what.held), queue.filter(|_| what.wanted.is_some())] {
                let mut next = list;
                while let Some((id, lock)) = next.and_then(|id| Some((id, *self.slab.get(id)?))) {
                    next = lock.after;
                    if !self.is_meant(&lock, what) {
                        continue;
                    }
                    match (lock.stage, what.wanted) {
                        (Stage::Held, _) => {
                            held += 1;
                            self.remove(id);
                        }
                        (Stage::Asked { .. } | Stage::Parked { .. }, Some(errno)) => {
                            wanted += 1;
                            self.end(id, errno);
                        }
                        _ => {}
                    }
                }
            }
        }
        (wanted, held)
    }

    fn is_meant(&self, lock: &Lock, what: &Clear<'_>) -> bool {
        let name = |name| lock.name.is_some_and(|locked| self.strings.is(locked, name));
        lock.overlaps(what.range.0, what.range.1)
            && what.name.is_none_or(name)
            && (what.handle.is_none() || lock.handle == what.handle)
    }
}
