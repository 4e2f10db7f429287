//! A table of fixed size. An entry's id becomes invalid when the entry is removed.

use core::marker::PhantomData;

use managed::ManagedSlice;

use crate::id::{Id, TABLE_MAX, next_generation};

/// One slot of a table. A caller who lends memory fills it with `Slot::EMPTY`.
#[derive(Clone, Copy, Debug)]
pub struct Slot<T> {
    /// Bit `i` of the word in slot `w` says whether slot `64 * w + i` is in use. The map of all
    /// slots lies in the first ones, so the lowest free slot is found by one word for 64 slots,
    /// without a second table.
    map: u64,
    generation: u16,
    value: Option<T>,
}

impl<T> Slot<T> {
    /// A free slot.
    pub const EMPTY: Self = Self { map: 0, generation: 0, value: None };
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self::EMPTY
    }
}

/// A table over lent (or, with `alloc`, owned) slots. The lowest free slot is taken first, so that
/// equal histories give equal tables.
///
/// An owned table may start empty, with capacity for its slots
/// ([`Vec::with_capacity`](alloc::vec::Vec::with_capacity)). A slot is then added when it is first
/// used, within that capacity. A large table thus occupies only the memory that is used, and
/// nothing is allocated after construction.
#[derive(Debug)]
pub(crate) struct Slab<'m, T, I> {
    slots: ManagedSlice<'m, Slot<T>>,
    /// No map word below this one has a free bit.
    first_word: usize,
    len: usize,
    id: PhantomData<I>,
}

impl<'m, T, I: Id> Slab<'m, T, I> {
    pub(crate) fn new(slots: ManagedSlice<'m, Slot<T>>) -> Self {
        debug_assert!(room(&slots) <= TABLE_MAX);
        Self { slots, first_word: 0, len: 0, id: PhantomData }
    }

    pub(crate) fn capacity(&self) -> usize {
        room(&self.slots).min(TABLE_MAX)
    }

    /// Number of slots in use.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Takes the lowest free slot; `None` when the table is full.
    pub(crate) fn insert(&mut self, value: T) -> Option<I> {
        let capacity = self.capacity();
        let words = capacity.div_ceil(64);
        for word in self.first_word..words {
            let map = self.slots.get(word).map_or(0, |slot| slot.map);
            let free = (!map).trailing_zeros() as usize;
            let index = word * 64 + free;
            if free == 64 || index >= capacity {
                continue;
            }
            self.first_word = word;
            self.make(index);
            self.slots.get_mut(word)?.map |= 1 << free;
            let slot = self.slots.get_mut(index)?;
            slot.generation = next_generation(slot.generation);
            slot.value = Some(value);
            self.len += 1;
            return Some(I::new(index as u32, slot.generation));
        }
        None
    }

    /// Adds the slots up to this one, within the capacity. A map word always lies before the slots
    /// that it describes.
    fn make(&mut self, index: usize) {
        #[cfg(feature = "alloc")]
        if let ManagedSlice::Owned(slots) = &mut self.slots {
            while slots.len() <= index && slots.len() < slots.capacity() {
                slots.push(Slot::EMPTY);
            }
        }
        #[cfg(not(feature = "alloc"))]
        let _ = index;
    }

    pub(crate) fn get(&self, id: I) -> Option<&T> {
        let slot = self.slots.get(id.index())?;
        if slot.generation == id.generation() { slot.value.as_ref() } else { None }
    }

    pub(crate) fn get_mut(&mut self, id: I) -> Option<&mut T> {
        let slot = self.slots.get_mut(id.index())?;
        if slot.generation == id.generation() { slot.value.as_mut() } else { None }
    }

    /// Frees the slot, and drops its entry where it is.
    pub(crate) fn free(&mut self, id: I) {
        let Some(slot) = self.slots.get_mut(id.index()) else { return };
        if slot.generation == id.generation() && slot.value.is_some() {
            slot.value = None;
            self.slot_freed(id.index());
        }
    }

    /// Frees the slot and returns its entry.
    pub(crate) fn remove(&mut self, id: I) -> Option<T> {
        let index = id.index();
        let slot = self.slots.get_mut(index)?;
        if slot.generation != id.generation() {
            return None;
        }
        let value = slot.value.take()?;
        self.slot_freed(index);
        Some(value)
    }

    fn slot_freed(&mut self, index: usize) {
        let word = index / 64;
        if let Some(slot) = self.slots.get_mut(word) {
            slot.map &= !(1 << (index % 64));
        }
        self.first_word = self.first_word.min(word);
        self.len -= 1;
    }

    /// The id of the entry in slot `index`, if there is one.
    pub(crate) fn id_at(&self, index: usize) -> Option<I> {
        let slot = self.slots.get(index)?;
        slot.value.as_ref()?;
        Some(I::new(index as u32, slot.generation))
    }

    /// The ids of all entries, lowest slot first.
    pub(crate) fn ids(&self) -> impl Iterator<Item = I> + '_ {
        (0..self.slots.len()).filter_map(|index| self.id_at(index))
    }

    /// The first entry in slot `from` or after it, for walks that change the table.
    pub(crate) fn next_from(&self, from: usize) -> Option<I> {
        (from..self.slots.len()).find_map(|index| self.id_at(index))
    }
}

/// Number of elements that a table has, or has capacity for.
pub(crate) fn room<T>(slots: &ManagedSlice<'_, T>) -> usize {
    match slots {
        ManagedSlice::Borrowed(slots) => slots.len(),
        #[cfg(feature = "alloc")]
        ManagedSlice::Owned(slots) => slots.capacity(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::OpId;
    use alloc::vec;

    fn slab(n: usize) -> Slab<'static, u32, OpId> {
        Slab::new(ManagedSlice::Owned(vec![Slot::EMPTY; n]))
    }

    #[test]
    fn the_name_of_a_former_tenant_is_refused() {
        let mut slab = slab(1);
        let first = slab.insert(1).unwrap();
        assert_eq!(slab.remove(first), Some(1));
        let second = slab.insert(2).unwrap();
        assert_ne!(first, second);
        assert_eq!(slab.get(first), None);
        assert_eq!(slab.get(second), Some(&2));
    }

    #[test]
    fn the_lowest_free_slot_is_taken_and_a_full_table_says_so() {
        let mut slab = slab(130);
        let ids: vec::Vec<OpId> = (0..130).map(|n| slab.insert(n).unwrap()).collect();
        assert_eq!(slab.insert(0), None);
        assert_eq!(slab.len(), 130);
        slab.remove(ids[129]);
        slab.remove(ids[3]);
        slab.remove(ids[3]);
        assert_eq!(slab.len(), 128);
        assert_eq!(slab.insert(7).unwrap().slot(), 3);
        assert_eq!(slab.insert(7).unwrap().slot(), 129);
        assert_eq!(slab.insert(7), None);
    }

    #[test]
    fn a_table_that_comes_empty_is_as_large_as_its_room_and_never_grows() {
        let mut slab: Slab<'static, u32, OpId> =
            Slab::new(ManagedSlice::Owned(vec::Vec::with_capacity(130)));
        let mut full = Slab::new(ManagedSlice::Owned(vec![Slot::EMPTY; 130]));
        assert_eq!(slab.capacity(), 130);
        assert_eq!(slab.ids().count(), 0);
        for n in 0..130 {
            assert_eq!(slab.insert(n), full.insert(n));
            if n % 3 == 0 {
                let id = slab.id_at(n as usize / 2).unwrap();
                assert!(slab.remove(id).is_some());
                assert!(full.remove(id).is_some());
            }
        }
        while let Some(id) = slab.insert(7) {
            assert_eq!(full.insert(7), Some(id));
        }
        assert_eq!(full.insert(7), None);
        assert_eq!(slab.ids().count(), 130);
        assert!(matches!(&slab.slots, ManagedSlice::Owned(slots) if slots.capacity() == 130));
    }

    #[test]
    fn a_generation_never_wraps_to_a_zero_id() {
        let mut slab = slab(1);
        for _ in 0..10_000 {
            let id = slab.insert(0).unwrap();
            assert_ne!(id.generation(), 0);
            slab.remove(id);
        }
    }
}
