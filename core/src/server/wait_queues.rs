//! FIFO queues of connections: notifications to poll, and waits for slots, blocks or the storage.
//!
//! A connection that waits for a slot or a block keeps its place until it has one, and none that
//! comes later gets one before. Otherwise a client that sends calls without end would take whatever
//! it gives back. A wait for the storage may be for any size, so there each connection is retried
//! in turn, a few at a time.

use super::connections::Connection;
use crate::id::ConnId;
use crate::slab::Slab;

/// The queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WaitQueue {
    /// Connections with something for the adapter to poll.
    Notifications,
    /// Calls that wait for a slot.
    Slots,
    /// Calls that wait for a block to be gathered in.
    Blocks,
    /// Calls that wait for room in the storage.
    Storage,
    /// Long READs to be continued later.
    LongReads,
}

const QUEUES: usize = 5;

/// Links of one connection, one for each queue.
pub(super) type QueueLinks = [QueueLink; QUEUES];

/// Place of a connection in one queue: a doubly linked list through the table of connections.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct QueueLink {
    queued: bool,
    before: Option<u16>,
    after: Option<u16>,
}

/// First and last connection of each queue.
#[derive(Debug, Default)]
pub(super) struct WaitQueues {
    ends: [(Option<u16>, Option<u16>); QUEUES],
}

type Slots<'m> = Slab<'m, Connection, ConnId>;

impl WaitQueues {
    /// The first connection of a queue.
    pub(super) fn first(&self, queue: WaitQueue, slots: &Slots<'_>) -> Option<ConnId> {
        slots.id_at(usize::from(self.ends.get(queue as usize)?.0?))
    }

    /// Is the queue empty?
    pub(super) fn is_empty(&self, queue: WaitQueue) -> bool {
        self.ends.get(queue as usize).is_none_or(|(first, _)| first.is_none())
    }

    /// Appends a connection to a queue, unless it is in it.
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

    /// Takes a connection out of a queue, if it is in it.
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
