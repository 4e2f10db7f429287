//! Contention notices: tells holders of locks that others wait for them, one connection at a time.

use super::Locks;
use super::table::Class;
use crate::id::{ConnId, LockId};
use crate::xdr::{Flock, Gfid};

/// Contents of a notice: the holder's own lock, as a real brick sends it.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct Notice<'r> {
    pub(in crate::server) class: Class,
    pub(in crate::server) gfid: Gfid,
    pub(in crate::server) flock: Flock<'static>,
    pub(in crate::server) pid: i32,
    pub(in crate::server) name: &'r [u8],
    pub(in crate::server) domain: &'r [u8],
}

impl Locks<'_> {
    /// Queues a notice for a lock's holder.
    pub(super) fn list_notice(&mut self, id: LockId) {
        let Some(lock) = self.slab.get_mut(id) else { return };
        let index = lock.conn.slot();
        let Some(holder) = self.holders.get_mut(index) else { return };
        lock.notice = true;
        lock.notice_after = None;
        lock.notice_before = holder.last_notice;
        let last = holder.last_notice.replace(id);
        match last.and_then(|last| self.slab.get_mut(last)) {
            Some(last) => last.notice_after = Some(id),
            None => holder.first_notice = Some(id),
        }
        self.list_holder(index);
    }

    /// Lists a connection that has notices.
    pub(in crate::server) fn list_holder(&mut self, slot: usize) {
        let Some(holder) = self.holders.get_mut(slot).filter(|holder| !holder.listed) else {
            return;
        };
        holder.listed = true;
        holder.next_listed = self.first_listed.replace(slot as u16);
    }

    pub(super) fn forget_notice(&mut self, id: LockId) {
        let Some(lock) = self.slab.get_mut(id).filter(|lock| lock.notice) else { return };
        lock.notice = false;
        let (conn, before, after) =
            (lock.conn, lock.notice_before.take(), lock.notice_after.take());
        let Some(holder) = self.holders.get_mut(conn.slot()) else { return };
        match before.and_then(|before| self.slab.get_mut(before)) {
            Some(before) => before.notice_after = after,
            None => holder.first_notice = after,
        }
        match after.and_then(|after| self.slab.get_mut(after)) {
            Some(after) => after.notice_before = before,
            None => holder.last_notice = before,
        }
    }

    /// The next connection with notices that is listed.
    pub(in crate::server) fn next_to_notify(&mut self) -> Option<ConnId> {
        loop {
            let holder = self.holders.get_mut(usize::from(self.first_listed?))?;
            holder.listed = false;
            self.first_listed = holder.next_listed.take();
            if let Some(lock) = holder.first_notice.and_then(|first| self.slab.get(first)) {
                return Some(lock.conn);
            }
        }
    }

    /// Takes the first notice of a connection. Name and domain are copied into `room`; a notice for
    /// which it is too small is dropped.
    pub(in crate::server) fn notice<'r>(
        &mut self,
        conn: ConnId,
        room: &'r mut [u8],
    ) -> Option<Notice<'r>> {
        let id = self.holders.get(conn.slot())?.first_notice?;
        self.forget_notice(id);
        let lock = self.slab.get(id).filter(|lock| lock.conn == conn)?;
        let scope = self.scopes.get(lock.scope)?;
        let (for_name, for_domain) = room.split_at_mut_checked(room.len() / 2)?;
        let name = lock.name.map_or(Some(&[][..]), |name| self.strings.copy(name, for_name))?;
        let domain = self.strings.copy(scope.domain, for_domain)?;
        let len = if lock.end == super::LAST_BYTE { 0 } else { lock.end - lock.start + 1 };
        let flock = Flock {
            kind: u32::from(lock.write),
            whence: 0,
            start: lock.start,
            len,
            pid: lock.claimed_pid,
            lk_owner: b"",
        };
        Some(Notice { class: scope.class, gfid: scope.gfid, flock, pid: lock.pid, name, domain })
    }

    /// Has a connection notices?
    pub(in crate::server) fn has_notice(&self, conn: ConnId) -> bool {
        self.holders.get(conn.slot()).is_some_and(|holder| holder.first_notice.is_some())
    }
}
