//! Arithmetic of XATTROP on the values of xattrs: counters of changes that a replica's other bricks
//! have missed (docs/spec/01-wire.md, "Small enumerations").

/// Operation of an XATTROP on each element (docs/spec/01-wire.md, "Small enumerations").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    /// Adds big-endian numbers of 32 bits.
    Add32,
    /// Adds big-endian numbers of 64 bits.
    Add64,
    /// Bitwise or.
    Or,
    /// Bitwise and.
    And,
    /// Sets the value and answers with the previous one.
    Swap,
    /// Changes nothing and answers with the value; also for unknown flags.
    Read,
}

impl Arithmetic {
    /// Decodes the flags of the call.
    pub fn of(flags: u32) -> Self {
        match flags {
            0 | 5 => Self::Add32,
            1 | 6 => Self::Add64,
            2 => Self::Or,
            3 => Self::And,
            4 => Self::Swap,
            _ => Self::Read,
        }
    }

    /// Length of the answer for an xattr of `has` bytes and an operand of `by` bytes.
    pub fn answer_len(self, has: usize, by: usize) -> usize {
        if self == Self::Swap { has } else { has.max(by) }
    }

    /// The bytes to store, if the xattr changes. An xattr that does not exist and would be all
    /// zeroes is not created.
    pub fn kept<'a>(self, there: bool, by: &'a [u8], answer: &'a [u8]) -> Option<&'a [u8]> {
        let new = if self == Self::Swap { by } else { answer };
        (self != Self::Read && (there || new.iter().any(|byte| *byte != 0))).then_some(new)
    }

    /// Turns the old value into the answer: the new value, or for a swap the old one. `value` is as
    /// long as [`Arithmetic::answer_len`] says, with zeroes where there was no xattr. A tail
    /// shorter than an element is left alone.
    pub fn apply(self, value: &mut [u8], by: &[u8]) {
        match self {
            Self::Add64 => each::<8>(value, by, |a, b| {
                u64::from_be_bytes(a).wrapping_add(u64::from_be_bytes(b)).to_be_bytes()
            }),
            Self::Add32 => each::<4>(value, by, |a, b| {
                u32::from_be_bytes(a).wrapping_add(u32::from_be_bytes(b)).to_be_bytes()
            }),
            Self::Or => {
                each::<4>(value, by, |a, b| {
                    (u32::from_be_bytes(a) | u32::from_be_bytes(b)).to_be_bytes()
                });
            }
            Self::And => {
                each::<4>(value, by, |a, b| {
                    (u32::from_be_bytes(a) & u32::from_be_bytes(b)).to_be_bytes()
                });
            }
            Self::Swap | Self::Read => {}
        }
    }
}

fn each<const N: usize>(value: &mut [u8], by: &[u8], op: impl Fn([u8; N], [u8; N]) -> [u8; N]) {
    for (place, by) in value.chunks_exact_mut(N).zip(by.chunks_exact(N)) {
        if let (Ok(a), Ok(b)) = (<[u8; N]>::try_from(&*place), by.try_into()) {
            place.copy_from_slice(&op(a, b));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied<const N: usize>(op: Arithmetic, mut value: [u8; N], by: &[u8]) -> [u8; N] {
        op.apply(&mut value, by);
        value
    }

    #[test]
    fn elements_are_added_with_wrapping_and_a_tail_stays() {
        assert_eq!(
            applied(
                Arithmetic::Add32,
                [0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff],
                &[0, 0, 0, 2, 0, 0, 0, 1]
            ),
            [0, 0, 0, 3, 0, 0, 0, 0]
        );
        assert_eq!(
            applied(Arithmetic::Add64, [0, 0, 0, 0, 0, 0, 0, 1, 9], &[0, 0, 0, 0, 0, 0, 0, 1, 7]),
            [0, 0, 0, 0, 0, 0, 0, 2, 9]
        );
        assert_eq!(applied(Arithmetic::of(9), [1], &[2]), [1]);
    }

    #[test]
    fn what_is_not_there_and_stays_zero_is_not_made() {
        let op = Arithmetic::Add32;
        assert_eq!(op.kept(false, &[0; 4], &[0; 4]), None);
        assert_eq!(op.kept(true, &[0; 4], &[0; 4]), Some(&[0; 4][..]));
        assert_eq!(Arithmetic::Swap.kept(false, &[1], &[]), Some(&[1][..]));
        assert_eq!(Arithmetic::Read.kept(true, &[1], &[1]), None);
        assert_eq!((op.answer_len(4, 8), Arithmetic::Swap.answer_len(4, 8)), (8, 4));
    }
}
