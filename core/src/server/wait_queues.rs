//! Rows in which connections stand: those with news for the adapter, and those that wait for what others have.
//!
//! Who waits for a slot or a block keeps its place until it has one, and nobody who comes later gets one before: without that, a
//! client that asks without end would take whatever it gives back. What the storage has no room for may be of any size, so there
//! everybody in the row has a turn, a few at a time.

use super::connections::Connection;
use crate::id::ConnId;
use crate::slab::Slab;

/// What a connection stands in a row for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WaitQueue {
    /// The adapter is to be told something of it.
    Notifications,
    /// A slot for its call.
    Slots,
    /// A block to gather its call in.
    Blocks,
    /// Room in the storage.
    Storage,
}

const QUEUES: usize = 4;

/// Where a connection stands, in each row.
pub(super) type QueueLinks = [QueueLink; QUEUES];

/// Where a connection stands in one row.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct QueueLink {
    queued: bool,
    before: Option<u16>,
    after: Option<u16>,
}

/// The ends of all rows.
#[derive(Debug, Default)]
pub(super) struct WaitQueues {
    ends: [(Option<u16>, Option<u16>); QUEUES],
}

type Slots<'m> = Slab<'m, Connection, ConnId>;

impl WaitQueues {
    /// Who stands first.
    pub(super) fn first(&self, queue: WaitQueue, slots: &Slots<'_>) -> Option<ConnId> {
        slots.id_at(usize::from(self.ends.get(queue as usize)?.0?))
    }

    /// Does nobody stand in it?
    pub(super) fn is_empty(&self, queue: WaitQueue) -> bool {
        self.ends.get(queue as usize).is_none_or(|(first, _)| first.is_none())
    }

    /// A connection joins a row behind the others, unless it stands there.
    pub(super) fn join(&mut self, queue: WaitQueue, conn: ConnId, slots: &mut Slots<'_>) {
        let Some((first, last)) = self.ends.get_mut(queue as usize) else { return };
        let Some(link) = link(slots.get_mut(conn), queue).filter(|there| !there.queued) else {
            return;
        };
        let index = conn.slot() as u16;
        *link = QueueLink { queued: true, before: *last, after: None };
        match last.replace(index) {
            Some(last) => at(slots, queue, Some(last), |last| last.after = Some(index)),
            None => *first = Some(index),
        }
    }

    /// A connection leaves a row, if it stands there.
    pub(super) fn leave(&mut self, queue: WaitQueue, conn: ConnId, slots: &mut Slots<'_>) {
        let Some((first, last)) = self.ends.get_mut(queue as usize) else { return };
        let Some(link) = link(slots.get_mut(conn), queue) else { return };
        let QueueLink { queued, before, after } = core::mem::take(link);
        if !queued {
            return;
        }
        match before {
            Some(_) => at(slots, queue, before, |before| before.after = after),
            None => *first = after,
        }
        match after {
            Some(_) => at(slots, queue, after, |after| after.before = before),
            None => *last = before,
        }
    }
}

fn link(connection: Option<&mut Connection>, queue: WaitQueue) -> Option<&mut QueueLink> {
    connection?.queue_links.get_mut(queue as usize)
}

fn at(
    slots: &mut Slots<'_>,
    queue: WaitQueue,
    index: Option<u16>,
    change: impl FnOnce(&mut QueueLink),
) {
    let conn = index.and_then(|index| slots.id_at(usize::from(index)));
    if let Some(link) = conn.and_then(|conn| link(slots.get_mut(conn), queue)) {
        change(link);
    }
}
