//! Tables of fixed size that are always sorted. Items keep their slots, and a list of slots is kept
//! sorted by the items' keys. Equal histories give equal tables, walks have an order, and nothing
//! depends on hashes of keys.

use core::cmp::Ordering;
use core::fmt;
use core::ops::{Deref, DerefMut, Range};

use managed::ManagedSlice;

/// Memory that is lent or owned; a clone is owned.
pub(super) struct Region<'m, T>(ManagedSlice<'m, T>);

impl<'m, T> From<ManagedSlice<'m, T>> for Region<'m, T> {
    fn from(slice: ManagedSlice<'m, T>) -> Self {
        Self(slice)
    }
}

impl<T> Deref for Region<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T> DerefMut for Region<'_, T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

#[cfg(feature = "alloc")]
impl<T: Clone> Clone for Region<'_, T> {
    fn clone(&self) -> Self {
        Self(ManagedSlice::Owned(self.to_vec()))
    }
}

impl<T: PartialEq> PartialEq for Region<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        self[..] == other[..]
    }
}

impl<T> fmt::Debug for Region<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} elements]", self.len())
    }
}

/// Slots in sorted order. The slots after the first `len` are unused.
#[derive(Debug, PartialEq)]
#[cfg_attr(feature = "alloc", derive(Clone))]
pub(super) struct Order<'m> {
    slots: Region<'m, u32>,
    len: usize,
}

impl<'m> Order<'m> {
    pub(super) fn new(slots: ManagedSlice<'m, u32>) -> Self {
        let mut slots = Region::from(slots);
        for (number, slot) in slots.iter_mut().enumerate() {
            *slot = number as u32;
        }
        Self { slots, len: 0 }
    }

    fn used(&self) -> &[u32] {
        self.slots.get(..self.len).unwrap_or_default()
    }

    pub(super) fn get(&self, at: usize) -> Option<u32> {
        self.used().get(at).copied()
    }

    /// The position of the slot for which `key` returns `Equal`, or the position to insert it at.
    pub(super) fn find(&self, key: impl FnMut(&u32) -> Ordering) -> Result<usize, usize> {
        self.used().binary_search_by(key)
    }

    #[cfg(feature = "alloc")]
    pub(super) fn copy_from(&mut self, other: &Self) {
        self.slots.clone_from_slice(&other.slots);
        self.len = other.len;
    }

    /// Inserts a slot at a position. Returns whether there was room.
    pub(super) fn insert(&mut self, at: usize, slot: u32) -> bool {
        let Some(place) = self.slots.get_mut(self.len) else { return false };
        *place = slot;
        self.admit(at).is_some()
    }

    /// Inserts the first unused slot at a position.
    fn admit(&mut self, at: usize) -> Option<u32> {
        let moved = self.slots.get_mut(at..=self.len)?;
        moved.rotate_right(1);
        self.len += 1;
        self.get(at)
    }

    /// Removes a range; its slots are the next to be used.
    pub(super) fn remove(&mut self, range: Range<usize>) {
        let count = range.end.min(self.len).saturating_sub(range.start);
        if let Some(moved) = self.slots.get_mut(range.start..self.len) {
            moved.rotate_left(count);
            self.len -= count;
        }
    }
}

/// Items in sorted order, each in a slot that it keeps.
#[derive(Debug, PartialEq)]
#[cfg_attr(feature = "alloc", derive(Clone))]
pub(super) struct SortedTable<'m, T> {
    items: Region<'m, T>,
    order: Order<'m>,
}

impl<'m, T> SortedTable<'m, T> {
    pub(super) fn new(items: ManagedSlice<'m, T>, order: ManagedSlice<'m, u32>) -> Self {
        Self { items: items.into(), order: Order::new(order) }
    }

    fn capacity(&self) -> usize {
        self.items.len().min(self.order.slots.len())
    }

    pub(super) fn len(&self) -> usize {
        self.order.len
    }

    /// Becomes a copy of a table of the same size.
    #[cfg(feature = "alloc")]
    pub(super) fn copy_from(&mut self, other: &Self)
    where
        T: Clone,
    {
        for slot in other.order.used() {
            if let (Some(to), Some(from)) =
                (self.items.get_mut(*slot as usize), other.items.get(*slot as usize))
            {
                to.clone_from(from);
            }
        }
        self.order.copy_from(&other.order);
    }

    /// All items with their slots, in order.
    #[cfg(feature = "alloc")]
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.order.used().iter().filter_map(|slot| Some((*slot, self.get(*slot)?)))
    }

    /// Number of free slots.
    pub(super) fn free(&self) -> usize {
        self.capacity() - self.order.len
    }

    pub(super) fn get(&self, slot: u32) -> Option<&T> {
        self.items.get(slot as usize)
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        self.items.get_mut(slot as usize)
    }

    /// The slot and the item at a position of the order.
    pub(super) fn at(&self, at: usize) -> Option<(u32, &T)> {
        let slot = self.order.get(at)?;
        Some((slot, self.get(slot)?))
    }

    /// The position of the item for which `key` returns `Equal`, or the position to insert it at.
    pub(super) fn find(&self, mut key: impl FnMut(u32, &T) -> Ordering) -> Result<usize, usize> {
        // Slots in the order are slots of the table.
        self.order.find(|slot| self.get(*slot).map_or(Ordering::Greater, |item| key(*slot, item)))
    }

    /// The slot of the item for which `key` returns `Equal`.
    pub(super) fn slot(&self, key: impl FnMut(u32, &T) -> Ordering) -> Option<u32> {
        self.order.get(self.find(key).ok()?)
    }

    /// The first position for whose item `before` is false. `before` must be true for a prefix of
    /// the order.
    pub(super) fn first_not(&self, mut before: impl FnMut(&T) -> bool) -> usize {
        let key = |_, item: &T| if before(item) { Ordering::Less } else { Ordering::Greater };
        self.find(key).unwrap_or_else(|at| at)
    }

    /// Inserts an item at a position. Returns its slot, or `None` if the table is full.
    pub(super) fn insert(&mut self, at: usize, item: T) -> Option<u32> {
        if self.free() == 0 {
            return None;
        }
        let slot = self.order.admit(at)?;
        *self.items.get_mut(slot as usize)? = item;
        Some(slot)
    }

    /// Removes a range of the order.
    pub(super) fn remove(&mut self, range: Range<usize>) {
        self.order.remove(range);
    }

    /// Replaces the item at a position and moves it to where its new key belongs; it keeps its
    /// slot.
    pub(super) fn replace(&mut self, at: usize, item: T, key: impl FnMut(u32, &T) -> Ordering) {
        let Some(slot) = self.order.get(at) else { return };
        self.order.remove(at..at + 1);
        if let Some(place) = self.items.get_mut(slot as usize) {
            *place = item;
        }
        let to = self.find(key).unwrap_or_else(|to| to);
        // The removed slot has just made room.
        self.order.insert(to, slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    fn table(n: usize) -> SortedTable<'static, u32> {
        SortedTable::new(ManagedSlice::Owned(vec![0; n]), ManagedSlice::Owned(vec![0; n]))
    }

    fn put(table: &mut SortedTable<'_, u32>, item: u32) -> Option<u32> {
        let at = table.find(|_, there| there.cmp(&item)).unwrap_err();
        table.insert(at, item)
    }

    fn all(table: &SortedTable<'_, u32>) -> Vec<u32> {
        (0..table.len()).filter_map(|at| table.at(at)).map(|(_, item)| *item).collect()
    }

    #[test]
    fn a_table_is_in_order_whatever_comes_first_and_everybody_keeps_its_slot() {
        let mut table = table(5);
        let slots: Vec<u32> =
            [50, 10, 40, 20, 30].into_iter().filter_map(|n| put(&mut table, n)).collect();
        assert_eq!(slots, [0, 1, 2, 3, 4]);
        assert_eq!(all(&table), [10, 20, 30, 40, 50]);
        assert_eq!(put(&mut table, 60), None, "it is full");
        table.remove(1..3);
        assert_eq!(all(&table), [10, 40, 50]);
        assert_eq!(table.get(0), Some(&50), "the others stay where they are");
        assert_eq!(
            (put(&mut table, 45), put(&mut table, 5)),
            (Some(3), Some(4)),
            "freed slots come back"
        );
        assert_eq!(all(&table), [5, 10, 40, 45, 50]);
    }

    #[test]
    fn a_changed_key_moves_in_the_order_and_not_in_the_table() {
        let mut table = table(3);
        for item in [1, 2, 3] {
            put(&mut table, item);
        }
        table.replace(0, 9, |_, item| item.cmp(&9));
        assert_eq!(all(&table), [2, 3, 9]);
        assert_eq!(table.get(0), Some(&9));
    }
}
