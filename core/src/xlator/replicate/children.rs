//! Sets of children, and the quorum among them (docs/spec/10-replicate.md, "Quorum predicate").

/// Children that a replicate can have. Their keys and sizes are on the stack.
pub(crate) const CHILDREN_MAX: usize = 8;

/// A set of children, by their places on the `subvolumes` line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Children(pub(crate) u16);

impl Children {
    pub(crate) const NONE: Self = Self(0);

    /// The first `count` children.
    pub(crate) fn first(count: u16) -> Self {
        Self(1_u32.checked_shl(count.into()).map_or(u16::MAX, |bit| bit.wrapping_sub(1) as u16))
    }

    pub(crate) fn only(child: u16) -> Self {
        Self(1_u16.checked_shl(child.into()).unwrap_or(0))
    }

    pub(crate) fn contains(self, child: u16) -> bool {
        self.0 & Self::only(child).0 != 0
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(crate) fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(crate) fn add(&mut self, child: u16) {
        self.0 |= Self::only(child).0;
    }

    pub(crate) fn remove(&mut self, child: u16) {
        self.0 &= !Self::only(child).0;
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn len(self) -> u16 {
        self.0.count_ones() as u16
    }

    /// The lowest child that is not before `from`.
    pub(crate) fn next(self, from: u16) -> Option<u16> {
        let rest = u32::from(self.0) >> from.min(16);
        (rest != 0).then(|| from + rest.trailing_zeros() as u16)
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = u16> {
        let mut from = 0;
        core::iter::from_fn(move || {
            let child = self.next(from)?;
            from = child + 1;
            Some(child)
        })
    }
}

/// The rule that says which sets of children may act.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Quorum {
    /// Any child alone.
    #[default]
    None,
    /// More than half; of an even number exactly half suffices with the first child.
    Auto,
    /// So many.
    Fixed(u16),
}

impl Quorum {
    /// Says whether `set` of `count` children may act.
    pub(crate) fn holds(self, set: Children, count: u16) -> bool {
        match self {
            Self::None => !set.is_empty(),
            Self::Auto if 2 * set.len() == count => set.contains(0),
            Self::Auto => 2 * set.len() > count,
            Self::Fixed(needs) => set.len() >= needs && !set.is_empty(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_walked_from_the_first_child() {
        assert_eq!(Children::first(16), Children(u16::MAX));
        assert_eq!(Children::first(3), Children(7));
        assert!(Children(0x8005).iter().eq([0, 2, 15]));
        assert_eq!(Children(4).next(3), None);
    }

    #[test]
    fn half_of_an_even_number_needs_the_first_child() {
        let holds = |set, count| Quorum::Auto.holds(Children(set), count);
        assert!(holds(0b01, 2) && !holds(0b10, 2) && holds(0b11, 2));
        assert!(holds(0b011, 3) && holds(0b110, 3) && !holds(0b100, 3));
        assert!(holds(0b0011, 4) && !holds(0b1100, 4) && holds(0b1110, 4));
        assert!(!Quorum::Fixed(0).holds(Children::NONE, 3));
        assert!(Quorum::Fixed(1).holds(Children(4), 3) && !Quorum::Fixed(2).holds(Children(4), 3));
        assert!(Quorum::None.holds(Children(2), 2) && !Quorum::None.holds(Children(0), 2));
    }
}
