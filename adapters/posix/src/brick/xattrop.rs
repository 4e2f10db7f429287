//! Arithmetic on xattrs.

use brickwire_core::fop::wire::Body;
use brickwire_core::server::Call;
use brickwire_core::xdr::{Dict, Errno, Gfid, Iatt, Pair, Value};
use rustix::fs::XattrFlags;

use super::handles::proc_path;
use super::reply::Out;
use super::{Brick, Result, errno, xattrs};

/// What an XATTROP does with each element (wire spec §5.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Add32,
    Add64,
    Or,
    And,
    Swap,
    /// An unknown one reads.
    Read,
}

impl Op {
    fn of(flags: u32) -> Self {
        match flags {
            0 | 5 => Self::Add32,
            1 | 6 => Self::Add64,
            2 => Self::Or,
            3 => Self::And,
            4 => Self::Swap,
            _ => Self::Read,
        }
    }

    /// The value afterwards. What is missing counts as zeroes; a tail shorter than an element is left alone.
    fn apply(self, old: &[u8], by: &[u8]) -> Vec<u8> {
        let mut new = old.to_vec();
        if matches!(self, Self::Swap) {
            return by.to_vec();
        }
        new.resize(by.len().max(old.len()), 0);
        match self {
            Self::Add64 => each::<8>(&mut new, by, |a, b| {
                u64::from_be_bytes(a).wrapping_add(u64::from_be_bytes(b)).to_be_bytes()
            }),
            Self::Add32 => each::<4>(&mut new, by, |a, b| {
                u32::from_be_bytes(a).wrapping_add(u32::from_be_bytes(b)).to_be_bytes()
            }),
            Self::Or => {
                each::<4>(&mut new, by, |a, b| (u32::from_be_bytes(a) | u32::from_be_bytes(b)).to_be_bytes())
            }
            Self::And => {
                each::<4>(&mut new, by, |a, b| (u32::from_be_bytes(a) & u32::from_be_bytes(b)).to_be_bytes())
            }
            Self::Swap | Self::Read => {}
        }
        new
    }
}

fn each<const N: usize>(new: &mut [u8], by: &[u8], op: impl Fn([u8; N], [u8; N]) -> [u8; N]) {
    for (place, by) in new.chunks_exact_mut(N).zip(by.chunks_exact(N)) {
        if let (Ok(a), Ok(b)) = (<[u8; N]>::try_from(&*place), by.try_into()) {
            place.copy_from_slice(&op(a, b));
        }
    }
}

impl Brick {
    pub(super) fn xattrop(
        &self,
        call: &Call<'_>,
        gfid: Gfid,
        flags: u32,
        dict: &Dict<'_>,
        xdata: &Dict<'_>,
        out: &mut Out<'_>,
    ) -> Result<()> {
        let work = self.about(call.target, gfid)?;
        let gfid = work.gfid();
        let op = Op::of(flags);
        self.not_an_index(&gfid)?;
        let _one_at_a_time = self.hold_attrs(&gfid);
        self.index_before(&gfid, dict, xdata)?;
        let path = proc_path(&work);
        let mut answers: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for (name, value) in dict.pairs() {
            // Who could add to a gfid could make one inode another.
            if !name.starts_with(b"trusted.") || xattrs::is_internal(name) {
                return Err(Errno::EPERM);
            }
            let by = value.as_bytes().ok_or(Errno::EINVAL)?;
            let there = xattrs::get(self.space(), &work, name);
            let old = there.clone().unwrap_or_default();
            let new = op.apply(&old, by);
            // What is not there and stays zero is not made.
            let idle = there.is_none() && new.iter().all(|byte| *byte == 0);
            if op != Op::Read && new != old && !idle {
                self.space().set(&path, name, &new, XattrFlags::empty()).map_err(errno)?;
            }
            answers.push((name.to_owned(), if op == Op::Swap { old } else { new }));
        }
        self.index_after(&gfid, &answers, xdata);
        let pairs: Vec<Pair<'_>> =
            answers.iter().map(|(key, value)| Pair { key, value: Value::Ptr(value) }).collect();
        let none = Iatt::default();
        out.success(0, 0, &[], Body::Dict { dict: Dict::Pairs(&pairs), before: none, after: none });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_added_with_wrapping_and_a_tail_stays() {
        assert_eq!(
            Op::Add32.apply(&[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff], &[0, 0, 0, 2, 0, 0, 0, 1]),
            [0, 0, 0, 3, 0, 0, 0, 0]
        );
        assert_eq!(Op::Add32.apply(&[], &[0, 0, 0, 1]), [0, 0, 0, 1]);
        assert_eq!(
            Op::Add64.apply(&[0, 0, 0, 0, 0, 0, 0, 1, 9], &[0, 0, 0, 0, 0, 0, 0, 1, 7]),
            [0, 0, 0, 0, 0, 0, 0, 2, 9]
        );
        assert_eq!(Op::Swap.apply(&[1, 2, 3, 4], &[9]), [9]);
        assert_eq!(Op::of(9).apply(&[1], &[2]), [1]);
    }
}
