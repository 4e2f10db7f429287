//! Counts of locks: of an inode, for requests that ask for them, and of all.

use super::Locks;
use super::strings::Mark;
use super::table::{Class, Scope};
use crate::server::BrickIx;
use crate::xdr::Gfid;

impl Locks<'_> {
    /// Locks of a class on an inode, granted and waited for, in one domain or in all.
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

    /// Is this name of a directory locked in any domain? 1 or 0. Locks of the whole directory do
    /// not count.
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

    /// Is an inode known to exist because a lock on it is granted?
    pub(in crate::server) fn knows(&self, brick: BrickIx, gfid: Gfid) -> bool {
        self.scopes_of(brick, gfid).any(|(_, scope)| scope.held.is_some())
    }

    /// Granted locks, and locks that are waited for.
    pub(in crate::server) fn held_and_wanted(&self) -> (u32, u32) {
        (self.held, self.wanted)
    }

    /// Calls that wait for a lock.
    pub(in crate::server) fn parked(&self) -> u32 {
        self.parked
    }
}
