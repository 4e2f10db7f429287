//! Paths and names of operations. They are copied into buffers of the core, so the caller's may be
//! freed when `submit` returns.

use managed::ManagedSlice;

use crate::shift::shift;

/// The number of users of a buffer, and its length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NameSlot {
    users: u8,
    len: u16,
}

/// Index of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct NameIx(pub(crate) u16);

/// A part of a buffer: one component of a path, or all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Name {
    pub(crate) buffer: NameIx,
    pub(crate) at: u16,
    pub(crate) len: u16,
}

/// The buffers.
#[derive(Debug)]
pub(crate) struct Names<'m> {
    slots: ManagedSlice<'m, NameSlot>,
    bytes: ManagedSlice<'m, u8>,
    size: usize,
}

/// The text is longer than a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DoesNotFit;

impl<'m> Names<'m> {
    pub(crate) fn new(slots: ManagedSlice<'m, NameSlot>, bytes: ManagedSlice<'m, u8>) -> Self {
        let size = bytes.len().checked_div(slots.len()).unwrap_or(0);
        Self { slots, bytes, size }
    }

    /// Number of buffers in use.
    pub(crate) fn taken(&self) -> usize {
        self.slots.iter().filter(|slot| slot.users > 0).count()
    }

    /// Bytes of a buffer.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Takes a buffer and copies `text` into it.
    pub(crate) fn take(&mut self, text: &[u8]) -> Option<NameIx> {
        let index = self.slots.iter().position(|slot| slot.users == 0)?;
        if text.len() > self.size {
            return None;
        }
        let at = index * self.size;
        self.bytes.get_mut(at..)?.get_mut(..text.len())?.copy_from_slice(text);
        *self.slots.get_mut(index)? = NameSlot { users: 1, len: text.len() as u16 };
        Some(NameIx(index as u16))
    }

    /// Uses a buffer once more: it is free when every user has given it back.
    pub(crate) fn retain(&mut self, name: NameIx) {
        if let Some(slot) = self.slots.get_mut(usize::from(name.0)) {
            slot.users = slot.users.saturating_add(1);
        }
    }

    pub(crate) fn give(&mut self, name: NameIx) {
        if let Some(slot) = self.slots.get_mut(usize::from(name.0)) {
            slot.users = slot.users.saturating_sub(1);
            if slot.users == 0 {
                slot.len = 0;
            }
        }
    }

    /// The whole text of a buffer.
    pub(crate) fn text(&self, name: NameIx) -> &[u8] {
        let len = self.slots.get(usize::from(name.0)).map_or(0, |slot| usize::from(slot.len));
        let at = usize::from(name.0) * self.size;
        self.bytes.get(at..at + len).unwrap_or_default()
    }

    pub(crate) fn whole(&self, name: NameIx) -> Name {
        Name { buffer: name, at: 0, len: self.text(name).len() as u16 }
    }

    pub(crate) fn get(&self, name: Name) -> &[u8] {
        let at = usize::from(name.at);
        self.text(name.buffer).get(at..at + usize::from(name.len)).unwrap_or_default()
    }

    /// Replaces the bytes `from..to` of a text by `by`.
    pub(crate) fn splice(
        &mut self,
        name: NameIx,
        from: usize,
        to: usize,
        by: &[u8],
    ) -> Result<(), DoesNotFit> {
        let len = self.text(name).len();
        if from > to || to > len {
            return Err(DoesNotFit);
        }
        let new_len = len - (to - from) + by.len();
        if new_len > self.size {
            return Err(DoesNotFit);
        }
        let at = usize::from(name.0) * self.size;
        let bytes = self.bytes.get_mut(at..at + self.size).ok_or(DoesNotFit)?;
        if !shift(bytes, to, from + by.len(), len - to) {
            return Err(DoesNotFit);
        }
        let place = bytes.get_mut(from..).and_then(|behind| behind.get_mut(..by.len()));
        place.ok_or(DoesNotFit)?.copy_from_slice(by);
        if let Some(slot) = self.slots.get_mut(usize::from(name.0)) {
            slot.len = new_len as u16;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn a_link_in_the_middle_of_a_path_is_replaced_by_its_target() {
        let mut names = Names::new(
            ManagedSlice::Owned(vec![NameSlot::default(); 2]),
            ManagedSlice::Owned(vec![0; 64]),
        );
        names.take(b"other").unwrap();
        let path = names.take(b"a/link/c").unwrap();
        names.splice(path, 2, 6, b"x/y/zz").unwrap();
        assert_eq!(names.text(path), b"a/x/y/zz/c");
        names.splice(path, 0, 8, b"q").unwrap();
        assert_eq!(names.text(path), b"q/c");
        assert_eq!(names.splice(path, 0, 1, &[b'n'; 40]), Err(DoesNotFit));
        assert_eq!(names.splice(path, 2, 1, b""), Err(DoesNotFit));
        assert_eq!(names.splice(path, 0, 4, b""), Err(DoesNotFit));
        assert_eq!(names.text(path), b"q/c");
    }
}
