//! How many locks there are: of an inode, for those who ask on its fops, and of all.

use super::Locks;
use super::strings::Mark;
use super::table::{Class, Scope};
use crate::server::BrickIx;
use crate::xdr::Gfid;

impl Locks<'_> {
    /// Locks of a kind on an inode, had and waited for: in one domain, or in all.
    pub(in crate::server) fn count(
        &self,
        brick: BrickIx,
        gfid: Gfid,
        class: Class,
        domain: Option<Mark>,
    ) -> i64 {
        let of = |scope: &Scope| {
            scope.class == class && domain.is_none_or(|domain| scope.domain.mark() == domain)
        };
        self.scopes_of(brick, gfid)
            .filter(|(_, scope)| of(scope))
            .map(|(_, scope)| i64::from(scope.locks))
            .sum()
    }

    /// Has somebody this name of a directory (not all of them) locked, in any domain? 1 or 0.
    pub(in crate::server) fn name_is_locked(
        &self,
        brick: BrickIx,
        directory: Gfid,
        name: &[u8],
    ) -> i64 {
        let locked = |scope: &Scope| {
            let mut next = scope.held;
            core::iter::from_fn(|| {
                let lock = self.slab.get(next?)?;
                next = lock.after;
                Some(lock.name)
            })
            .flatten()
            .any(|locked| self.strings.is(locked, name))
        };
        let mut scopes = self.scopes_of(brick, directory);
        i64::from(scopes.any(|(_, scope)| scope.class == Class::Entry && locked(scope)))
    }

    /// Is an inode known to exist because somebody has a lock on it?
    pub(in crate::server) fn knows(&self, brick: BrickIx, gfid: Gfid) -> bool {
        self.scopes_of(brick, gfid).any(|(_, scope)| scope.held.is_some())
    }

    /// Locks that are had, and locks that are waited for.
    pub(in crate::server) fn held_and_wanted(&self) -> (u32, u32) {
        (self.held, self.wanted)
    }

    /// Calls that wait, however long, and are not answered meanwhile.
    pub(in crate::server) fn parked(&self) -> u32 {
        self.parked
    }
}
