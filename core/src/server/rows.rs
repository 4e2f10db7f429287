//! Rows in which connections stand: those with news for the adapter, and those that wait for what others have.
//!
//! Who waits for a slot or a block keeps its place until it has one, and nobody who comes later gets one before: without that, a
//! client that asks without end would take whatever it gives back. What the storage has no room for may be of any size, so there
//! everybody in the row has a turn, a few at a time.

use super::clients::Client;
use crate::id::ConnId;
use crate::slab::Slab;

/// What a connection stands in a row for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Row {
    /// The adapter is to be told something of it.
    News,
    /// A slot for its call.
    Slots,
    /// A block to gather its call in.
    Blocks,
    /// Room in the storage.
    Storage,
}

const ROWS: usize = 4;

/// Where a connection stands, in each row.
pub(super) type Standings = [Standing; ROWS];

/// Where a connection stands in one row.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Standing {
    stands: bool,
    before: Option<u16>,
    after: Option<u16>,
}

/// The ends of all rows.
#[derive(Debug, Default)]
pub(super) struct Rows {
    ends: [(Option<u16>, Option<u16>); ROWS],
}

type Slots<'m> = Slab<'m, Client, ConnId>;

impl Rows {
    /// Who stands first.
    pub(super) fn first(&self, row: Row, slots: &Slots<'_>) -> Option<ConnId> {
        slots.id_at(usize::from(self.ends.get(row as usize)?.0?))
    }

    /// Does nobody stand in it?
    pub(super) fn is_empty(&self, row: Row) -> bool {
        self.ends.get(row as usize).is_none_or(|(first, _)| first.is_none())
    }

    /// A connection joins a row behind the others, unless it stands there.
    pub(super) fn join(&mut self, row: Row, conn: ConnId, slots: &mut Slots<'_>) {
        let Some((first, last)) = self.ends.get_mut(row as usize) else { return };
        let Some(standing) = standing(slots.get_mut(conn), row).filter(|there| !there.stands)
        else {
            return;
        };
        let index = conn.slot() as u16;
        *standing = Standing { stands: true, before: *last, after: None };
        match last.replace(index) {
            Some(last) => at(slots, row, Some(last), |last| last.after = Some(index)),
            None => *first = Some(index),
        }
    }

    /// A connection leaves a row, if it stands there.
    pub(super) fn leave(&mut self, row: Row, conn: ConnId, slots: &mut Slots<'_>) {
        let Some((first, last)) = self.ends.get_mut(row as usize) else { return };
        let Some(standing) = standing(slots.get_mut(conn), row) else { return };
        let Standing { stands, before, after } = core::mem::take(standing);
        if !stands {
            return;
        }
        match before {
            Some(_) => at(slots, row, before, |before| before.after = after),
            None => *first = after,
        }
        match after {
            Some(_) => at(slots, row, after, |after| after.before = before),
            None => *last = before,
        }
    }
}

fn standing(client: Option<&mut Client>, row: Row) -> Option<&mut Standing> {
    client?.standings.get_mut(row as usize)
}

fn at(slots: &mut Slots<'_>, row: Row, index: Option<u16>, change: impl FnOnce(&mut Standing)) {
    let conn = index.and_then(|index| slots.id_at(usize::from(index)));
    if let Some(standing) = conn.and_then(|conn| standing(slots.get_mut(conn), row)) {
        change(standing);
    }
}
