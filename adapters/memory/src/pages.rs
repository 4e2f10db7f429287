//! Content of files, symlinks and long xattr values, in pages. A missing page is a hole and reads
//! as zeroes.

use core::ops::Range;

use managed::ManagedSlice;

use super::sorted_table::{Region, SortedTable};
use brickwire_core::xdr::Errno;

/// Owner of a page: the slot of an inode or of an xattr.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Owner {
    Inode(u32),
    Xattr(u32),
}

/// A page: its owner and its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Page {
    owner: Owner,
    number: u64,
}

impl Page {
    /// An unused page.
    pub const EMPTY: Page = Page { owner: Owner::Inode(0), number: 0 };
}

#[derive(Debug, PartialEq)]
#[cfg_attr(feature = "alloc", derive(Clone))]
pub(super) struct Pages<'m> {
    table: SortedTable<'m, Page>,
    bytes: Region<'m, u8>,
    each: usize,
}

impl<'m> Pages<'m> {
    pub(super) fn new(
        pages: ManagedSlice<'m, Page>,
        order: ManagedSlice<'m, u32>,
        bytes: ManagedSlice<'m, u8>,
        each: u32,
    ) -> Self {
        Self {
            table: SortedTable::new(pages, order),
            bytes: bytes.into(),
            each: (each as usize).max(1),
        }
    }

    /// Bytes in a page.
    pub(super) fn each(&self) -> u64 {
        self.each as u64
    }

    pub(super) fn free(&self) -> u64 {
        self.table.free() as u64
    }

    pub(super) fn capacity(&self) -> u64 {
        (self.table.free() + self.table.len()) as u64
    }

    /// Number of pages of an owner.
    pub(super) fn of(&self, owner: Owner) -> u64 {
        self.places(owner, 0, u64::MAX).len() as u64
    }

    /// Positions of the pages of an owner with numbers in a range.
    fn places(&self, owner: Owner, first: u64, behind: u64) -> Range<usize> {
        let lower = |number| self.table.first_not(|page| *page < Page { owner, number });
        let end = match behind {
            u64::MAX => self.table.first_not(|page| page.owner <= owner),
            _ => lower(behind),
        };
        lower(first)..end
    }

    fn page(&self, at: usize) -> Option<Page> {
        self.table.at(at).map(|(_, page)| *page)
    }

    fn slot_bytes(&self, slot: u32) -> &[u8] {
        let begin = slot as usize * self.each;
        self.bytes.get(begin..begin + self.each).unwrap_or_default()
    }

    fn slot_bytes_mut(&mut self, slot: u32) -> &mut [u8] {
        let begin = slot as usize * self.each;
        self.bytes.get_mut(begin..begin + self.each).unwrap_or_default()
    }

    /// The part of a range in the page of its first byte: the page's number, the offset in it, the
    /// length.
    fn split(&self, at: u64, len: usize) -> (u64, usize, usize) {
        let inside = (at % self.each()) as usize;
        (at / self.each(), inside, len.min(self.each - inside))
    }

    /// Fills `into`; holes give zeroes.
    pub(super) fn read(&self, owner: Owner, at: u64, into: &mut [u8]) {
        let mut done = 0;
        while done < into.len() {
            let (number, inside, len) =
                self.split(at.saturating_add(done as u64), into.len() - done);
            let Some(room) = into.get_mut(done..done + len) else { return };
            let wanted = Page { owner, number };
            match self.table.slot(|_, page| page.cmp(&wanted)) {
                Some(slot) => {
                    room.copy_from_slice(
                        self.slot_bytes(slot).get(inside..inside + len).unwrap_or_default(),
                    );
                }
                None => room.fill(0),
            }
            done += len;
        }
    }

    /// Number of pages missing in a range.
    pub(super) fn missing(&self, owner: Owner, at: u64, len: u64) -> u64 {
        if len == 0 {
            return 0;
        }
        let (first, last) = (at / self.each(), at.saturating_add(len - 1) / self.each());
        let has = self.places(owner, first, last.saturating_add(1)).len() as u64;
        (last - first).saturating_add(1).saturating_sub(has)
    }

    /// Writes all bytes, or none.
    pub(super) fn write(&mut self, owner: Owner, at: u64, bytes: &[u8]) -> Result<(), Errno> {
        if self.missing(owner, at, bytes.len() as u64) > self.free() {
            return Err(Errno::ENOSPC);
        }
        let mut done = 0;
        while done < bytes.len() {
            let (number, inside, len) =
                self.split(at.saturating_add(done as u64), bytes.len() - done);
            let slot = self.have(Page { owner, number })?;
            let room = self.slot_bytes_mut(slot).get_mut(inside..inside + len);
            if let (Some(room), Some(piece)) = (room, bytes.get(done..done + len)) {
                room.copy_from_slice(piece);
            }
            done += len;
        }
        Ok(())
    }

    /// The slot of a page; a missing one is created with zeroes.
    fn have(&mut self, page: Page) -> Result<u32, Errno> {
        match self.table.find(|_, there| there.cmp(&page)) {
            Ok(at) => self.table.at(at).map(|(slot, _)| slot).ok_or(Errno::EIO),
            Err(at) => {
                let slot = self.table.insert(at, page).ok_or(Errno::ENOSPC)?;
                self.slot_bytes_mut(slot).fill(0);
                Ok(slot)
            }
        }
    }

    /// Creates the missing pages of a range, all or none.
    pub(super) fn reserve(&mut self, owner: Owner, at: u64, len: u64) -> Result<(), Errno> {
        if self.missing(owner, at, len) > self.free() {
            return Err(Errno::ENOSPC);
        }
        if len > 0 {
            // The total number of pages bounds the loop.
            for number in at / self.each()..=at.saturating_add(len - 1) / self.each() {
                self.have(Page { owner, number })?;
            }
        }
        Ok(())
    }

    /// Zeroes a range and frees the pages that lie in it whole.
    pub(super) fn zero(&mut self, owner: Owner, at: u64, len: u64) {
        if len == 0 {
            return;
        }
        let end = at.saturating_add(len);
        let (first_whole, behind_whole) = (at.div_ceil(self.each()), end / self.each());
        if first_whole > behind_whole {
            // The range lies in one page.
            self.clear(owner, at, end);
            return;
        }
        self.clear(owner, at, first_whole * self.each());
        self.clear(owner, behind_whole * self.each(), end);
        let places = self.places(owner, first_whole, behind_whole);
        self.table.remove(places);
    }

    /// Zeroes bytes of one page, if it exists.
    fn clear(&mut self, owner: Owner, at: u64, end: u64) {
        let wanted = Page { owner, number: at / self.each() };
        let (begin, len) = ((at % self.each()) as usize, end.saturating_sub(at) as usize);
        if len == 0 {
            return;
        }
        if let Some(slot) = self.table.slot(|_, page| page.cmp(&wanted))
            && let Some(room) = self.slot_bytes_mut(slot).get_mut(begin..begin + len)
        {
            room.fill(0);
        }
    }

    /// Removes everything from offset `size` on.
    pub(super) fn cut(&mut self, owner: Owner, size: u64) {
        let first = size.div_ceil(self.each());
        if !size.is_multiple_of(self.each()) {
            self.clear(owner, size, first * self.each());
        }
        let places = self.places(owner, first, u64::MAX);
        self.table.remove(places);
    }

    /// Frees all pages of an owner.
    pub(super) fn drop_all(&mut self, owner: Owner) {
        self.cut(owner, 0);
    }

    /// Numbers of the pages of an owner, in order.
    #[cfg(feature = "alloc")]
    pub(super) fn numbers(&self, owner: Owner) -> impl Iterator<Item = u64> {
        self.places(owner, 0, u64::MAX).filter_map(|at| self.page(at)).map(|page| page.number)
    }

    /// Makes one page what it is in `other`: a copy, or a hole.
    #[cfg(feature = "alloc")]
    pub(super) fn copy_page(
        &mut self,
        other: &Self,
        owner: Owner,
        number: u64,
    ) -> Result<(), Errno> {
        let page = Page { owner, number };
        let Some(from) = other.table.slot(|_, there| there.cmp(&page)) else {
            let places = self.places(owner, number, number.saturating_add(1));
            self.table.remove(places);
            return Ok(());
        };
        let to = self.have(page)?;
        self.slot_bytes_mut(to).copy_from_slice(other.slot_bytes(from));
        Ok(())
    }

    /// Makes all pages of an owner from number `first` on what they are in `other`.
    #[cfg(feature = "alloc")]
    pub(super) fn copy_behind(
        &mut self,
        other: &Self,
        owner: Owner,
        first: u64,
    ) -> Result<(), Errno> {
        let places = self.places(owner, first, u64::MAX);
        self.table.remove(places);
        let mut numbers = other.numbers(owner).filter(|number| *number >= first);
        numbers.try_for_each(|number| self.copy_page(other, owner, number))
    }

    /// The owners that have pages, each as often as it has some.
    #[cfg(feature = "alloc")]
    pub(super) fn owners(&self) -> impl Iterator<Item = Owner> {
        self.table.iter().map(|(_, page)| page.owner)
    }

    /// Becomes a copy of pages of the same size and number.
    #[cfg(feature = "alloc")]
    pub(super) fn copy_from(&mut self, other: &Self) {
        self.table.copy_from(&other.table);
        for (slot, _) in other.table.iter() {
            self.slot_bytes_mut(slot).copy_from_slice(other.slot_bytes(slot));
        }
    }

    /// The first byte at or after `at` in a page.
    pub(super) fn next_data(&self, owner: Owner, at: u64) -> Option<u64> {
        let places = self.places(owner, at / self.each(), u64::MAX);
        let page = self.page(places.start).filter(|_| !places.is_empty())?;
        Some(at.max(page.number * self.each()))
    }

    /// The first byte at or after `at` in a hole.
    pub(super) fn next_hole(&self, owner: Owner, at: u64) -> u64 {
        let first = at / self.each();
        let places = self.places(owner, first, u64::MAX);
        // Page numbers rise by at least one: the first one that is too high ends the run.
        let (mut low, mut high) = (0, places.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let here = self.page(places.start + middle).map(|page| page.number);
            if here == Some(first + middle as u64) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        if low == 0 { at } else { (first + low as u64) * self.each() }
    }

    /// Whether this byte has a page.
    pub(super) fn has(&self, owner: Owner, at: u64) -> bool {
        let wanted = Page { owner, number: at / self.each() };
        self.table.find(|_, page| page.cmp(&wanted)).is_ok()
    }

    /// Checks that the pages are in order and that each has a living owner.
    pub(super) fn verify(&self, lives: impl Fn(Owner) -> bool) -> Result<(), &'static str> {
        let mut before = None;
        for at in 0..self.table.len() {
            let Some(page) = self.page(at) else { return Err("a page that is not there") };
            if before.is_some_and(|before| before >= page) {
                return Err("pages out of order");
            }
            if before.is_none_or(|before: Page| before.owner != page.owner) && !lives(page.owner) {
                return Err("a page of nobody");
            }
            before = Some(page);
        }
        Ok(())
    }

    /// Bytes from `at` to the end of its page.
    pub(super) fn left_of_page(&self, at: u64) -> u64 {
        self.each() - at % self.each()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    const FILE: Owner = Owner::Inode(7);

    fn pages(count: usize) -> Pages<'static> {
        Pages::new(
            ManagedSlice::Owned(vec![Page::EMPTY; count]),
            ManagedSlice::Owned(vec![0; count]),
            ManagedSlice::Owned(vec![0xee; count * 16]),
            16,
        )
    }

    #[test]
    fn what_was_written_is_read_and_everything_else_is_zero() {
        let mut pages = pages(8);
        pages.write(FILE, 20, &[1; 30]).unwrap();
        let mut room = [9; 80];
        pages.read(FILE, 0, &mut room);
        assert_eq!(room[..20], [0; 20]);
        assert_eq!(room[20..50], [1; 30]);
        assert_eq!(room[50..], [0; 30]);
        assert_eq!(pages.of(FILE), 3);
        assert_eq!(pages.of(Owner::Xattr(7)), 0);
    }

    #[test]
    fn a_write_without_room_changes_nothing() {
        let mut pages = pages(2);
        pages.write(FILE, 0, &[1; 16]).unwrap();
        assert_eq!(pages.write(FILE, 8, &[2; 40]), Err(Errno::ENOSPC));
        let mut room = [0; 16];
        pages.read(FILE, 0, &mut room);
        assert_eq!(room, [1; 16]);
        assert_eq!(pages.free(), 1);
    }

    #[test]
    fn zeroing_gives_whole_pages_back_and_clears_the_edges() {
        let mut pages = pages(8);
        pages.write(FILE, 0, &[1; 64]).unwrap();
        pages.zero(FILE, 10, 30);
        let mut room = [9; 64];
        pages.read(FILE, 0, &mut room);
        assert_eq!((room[..10].iter().all(|b| *b == 1), room[10..40] == [0; 30]), (true, true));
        assert_eq!(room[40..], [1; 24]);
        assert_eq!(pages.of(FILE), 3);
        pages.zero(FILE, 3, 2);
        pages.read(FILE, 0, &mut room);
        assert_eq!(room[..7], [1, 1, 1, 0, 0, 1, 1]);
        pages.cut(FILE, 41);
        assert_eq!(pages.of(FILE), 2);
        pages.read(FILE, 32, &mut room[..16]);
        assert_eq!(room[..16], [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
        pages.drop_all(FILE);
        assert_eq!(pages.free(), 8);
    }

    #[test]
    fn data_and_holes_are_found() {
        let mut pages = pages(8);
        pages.write(FILE, 32, &[1; 48]).unwrap();
        pages.write(FILE, 160, &[1]).unwrap();
        assert_eq!(pages.next_data(FILE, 0), Some(32));
        assert_eq!(pages.next_data(FILE, 40), Some(40));
        assert_eq!(pages.next_data(FILE, 80), Some(160));
        assert_eq!(pages.next_data(FILE, 176), None);
        assert_eq!(pages.next_hole(FILE, 0), 0);
        assert_eq!(pages.next_hole(FILE, 33), 80);
        assert_eq!(pages.next_hole(FILE, 165), 176);
        assert_eq!(pages.next_data(Owner::Inode(6), 0), None);
    }
}
