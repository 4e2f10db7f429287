//! Moving bytes within a buffer.

use core::cell::Cell;

/// Moves `len` bytes of a buffer from `from` to `to`; both ranges may overlap. Returns whether they
/// lie within the buffer. Unlike `copy_within`, it cannot panic.
pub(crate) fn shift(bytes: &mut [u8], from: usize, to: usize, len: usize) -> bool {
    let cells = Cell::from_mut(bytes).as_slice_of_cells();
    let part = |at: usize| cells.get(at..)?.get(..len);
    let Some((source, target)) = part(from).zip(part(to)) else { return false };
    if to < from {
        source.iter().zip(target).for_each(|(from, to)| to.set(from.get()));
    } else {
        source.iter().zip(target).rev().for_each(|(from, to)| to.set(from.get()));
    }
    true
}

#[cfg(test)]
mod tests {
    use super::shift;

    #[test]
    fn overlapping_bytes_move_either_way_and_never_out_of_the_buffer() {
        for (from, to, len) in (0..9).flat_map(|a| (0..9).map(move |b| (a, b, (a * b) % 9))) {
            let mut bytes = *b"abcdefgh";
            let mut expected = bytes;
            let fits = from + len <= 8 && to + len <= 8;
            if fits {
                expected.copy_within(from..from + len, to);
            }
            assert_eq!(shift(&mut bytes, from, to, len), fits);
            assert_eq!(bytes, expected, "{len} bytes from {from} to {to}");
        }
    }
}
