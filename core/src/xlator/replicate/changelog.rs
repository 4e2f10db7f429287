//! Replication counters as they are on the wire, and what they say about the copies
//! (docs/spec/10-replicate.md, "On-disk changelog").

use super::children::{CHILDREN_MAX, Children};
use crate::xdr::{Dict, Iatt};
use crate::xlator::fop::Delta;

/// Bytes of a value: three counters.
pub(crate) const VALUE_BYTES: usize = 12;

/// Index of a counter in a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Counter {
    Data = 0,
    Metadata = 1,
    Entry = 2,
}

/// A value that adds these to the three counters.
pub(crate) fn value(by: [i8; 3]) -> [u8; VALUE_BYTES] {
    let mut bytes = [0; VALUE_BYTES];
    for (counter, by) in bytes.chunks_exact_mut(4).zip(by) {
        counter.copy_from_slice(&i32::from(by).to_be_bytes());
    }
    bytes
}

/// The values of one call: for children that it accuses, for the others, and for DIRTY.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Values {
    pub(crate) accused: [u8; VALUE_BYTES],
    pub(crate) dirty: [u8; VALUE_BYTES],
}

/// The value that changes nothing.
pub(crate) const ZERO: [u8; VALUE_BYTES] = [0; VALUE_BYTES];

impl Values {
    pub(crate) fn of(delta: &Delta) -> Self {
        Self { accused: value(delta.by), dirty: value(delta.dirty) }
    }
}

/// A value has another length than twelve bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadValue;

/// The children that one reply accuses, by counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Accusations([Children; 3]);

impl Accusations {
    pub(crate) fn by(&self, counter: Counter) -> Children {
        self.0.get(counter as usize).copied().unwrap_or_default()
    }

    /// Reads the counters of a reply; `keys` are those of the children in their order.
    pub(crate) fn read<'k>(
        dict: &Dict<'_>,
        keys: impl Iterator<Item = &'k [u8]>,
    ) -> Result<Self, BadValue> {
        let mut found = Self::default();
        for (child, key) in (0..).zip(keys) {
            let Some(value) = dict.get(key) else { continue };
            let bytes: &[u8; VALUE_BYTES] =
                value.as_bytes().and_then(|bytes| bytes.try_into().ok()).ok_or(BadValue)?;
            for (accused, counter) in found.0.iter_mut().zip(bytes.chunks_exact(4)) {
                if counter != [0; 4] {
                    accused.add(child);
                }
            }
        }
        Ok(found)
    }
}

/// The children that a LOOKUP or FSTAT found: what each says about the others, and how large its
/// copy is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Findings {
    /// Children that answered with success.
    pub(crate) found: Children,
    accused: [Children; 3],
    sizes: [u64; CHILDREN_MAX],
    /// Somebody holds or waits for a lock on the data: sizes may differ for a moment.
    pub(crate) locked: bool,
    is_dir: bool,
    is_file: bool,
}

/// The good copies of an inode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Copies {
    /// Children that have a copy.
    pub(crate) found: Children,
    /// Children whose data (names, of a directory) and whose metadata may be read.
    pub(crate) data: Children,
    pub(crate) metadata: Children,
    /// Children that nobody accuses, an arbiter among them: of the names in a directory, and of
    /// metadata.
    pub(crate) names: Children,
    pub(crate) attributes: Children,
}

impl Findings {
    pub(crate) const NONE: Self = Self {
        found: Children::NONE,
        accused: [Children::NONE; 3],
        sizes: [0; CHILDREN_MAX],
        locked: false,
        is_dir: false,
        is_file: false,
    };

    /// Adds the answer of a child.
    pub(crate) fn add(&mut self, child: u16, accusations: &Accusations, stat: &Iatt) {
        self.found.add(child);
        for (all, by) in self.accused.iter_mut().zip(accusations.0) {
            *all = all.or(by);
        }
        if let Some(size) = self.sizes.get_mut(usize::from(child)) {
            *size = stat.size;
        }
        self.is_dir = stat.is_dir();
        self.is_file = stat.is_regular();
    }

    /// The good copies of these children.
    pub(crate) fn copies(&self, among: Children, arbiter: Option<u16>) -> Copies {
        let [_, accused, entries] = self.accused;
        let found = self.found.and(among);
        let (data, metadata) = self.readable(found, arbiter);
        let (names, attributes) = (found.without(entries), found.without(accused));
        Copies { found, data, metadata, names, attributes }
    }

    /// The copies whose data (entries, of a directory) and whose metadata may be read
    /// (docs/spec/10-replicate.md, "Readability").
    fn readable(&self, found: Children, arbiter: Option<u16>) -> (Children, Children) {
        let [data, metadata, entries] = self.accused;
        let bearing = found.without(arbiter.map_or(Children::NONE, Children::only));
        let mut good = bearing.without(if self.is_dir { entries } else { data });
        if self.is_file && !self.locked {
            let size = |child: u16| self.sizes.get(usize::from(child)).copied().unwrap_or(0);
            let largest = good.iter().map(size).max().unwrap_or(0);
            for child in good.iter() {
                if size(child) < largest {
                    good.remove(child);
                }
            }
        }
        (good, bearing.without(metadata))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xdr::{Pair, Value};

    const KEYS: [&[u8]; 3] = [b"trusted.afr.v-client-0", b"trusted.afr.v-client-1", b"x"];

    fn read(pairs: &[Pair<'_>]) -> Result<Accusations, BadValue> {
        Accusations::read(&Dict::Pairs(pairs), KEYS.into_iter())
    }

    #[test]
    fn counters_are_big_endian_and_negative_ones_are_too() {
        assert_eq!(value([1, 0, -1]), [0, 0, 0, 1, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
    }

    #[test]
    fn any_counter_that_is_not_zero_accuses() {
        let ring = value([1, 0, -1]);
        let found = read(&[
            Pair { key: KEYS[1], value: Value::Ptr(&ring) },
            Pair { key: KEYS[0], value: Value::Ptr(&ZERO) },
        ])
        .unwrap();
        assert_eq!(found.by(Counter::Data), Children(2));
        assert_eq!(found.by(Counter::Metadata), Children::NONE);
        assert_eq!(found.by(Counter::Entry), Children(2));
    }

    #[test]
    fn a_value_of_another_length_is_refused() {
        assert_eq!(read(&[Pair { key: KEYS[0], value: Value::Ptr(&[0; 11]) }]), Err(BadValue));
        assert_eq!(read(&[Pair { key: KEYS[2], value: Value::Uint(0) }]), Err(BadValue));
    }

    fn file(size: u64) -> Iatt {
        Iatt { mode: 0o100_644, size, ..Iatt::default() }
    }

    #[test]
    fn a_smaller_copy_is_not_read_unless_somebody_writes() {
        let mut findings = Findings::NONE;
        for (child, size) in [(0, 10), (1, 20), (2, 0)] {
            findings.add(child, &Accusations::default(), &file(size));
        }
        assert_eq!(findings.readable(Children(7), Some(2)).0, Children(2));
        assert_eq!(findings.readable(Children(7), Some(2)).1, Children(3), "its metadata is");
        findings.locked = true;
        assert_eq!(findings.readable(Children(7), Some(2)).0, Children(3));
    }

    #[test]
    fn the_size_of_an_accused_copy_counts_nothing() {
        let mut findings = Findings::NONE;
        let accuses = Accusations([Children(2), Children::NONE, Children::NONE]);
        findings.add(0, &accuses, &file(10));
        findings.add(1, &Accusations::default(), &file(20));
        assert_eq!(findings.readable(Children(3), None), (Children(1), Children(3)));
    }
}
