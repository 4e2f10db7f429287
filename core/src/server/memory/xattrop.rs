//! Arithmetic on xattrs: counters of changes that a replica's other bricks have missed.

use super::super::Call;
use super::Result;
use super::disk::Disk;
use super::reply::Out;
use crate::xdr::{Dict, Errno, Gfid, Value};

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

    /// Makes the answer of a value: the new one, or of a swap the old one. A tail shorter than an element is left alone.
    fn apply(self, value: &mut [u8], by: &[u8]) {
        match self {
            Self::Add64 => each::<8>(value, by, |a, b| {
                u64::from_be_bytes(a).wrapping_add(u64::from_be_bytes(b)).to_be_bytes()
            }),
            Self::Add32 => each::<4>(value, by, |a, b| {
                u32::from_be_bytes(a).wrapping_add(u32::from_be_bytes(b)).to_be_bytes()
            }),
            Self::Or => {
                each::<4>(value, by, |a, b| (u32::from_be_bytes(a) | u32::from_be_bytes(b)).to_be_bytes());
            }
            Self::And => {
                each::<4>(value, by, |a, b| (u32::from_be_bytes(a) & u32::from_be_bytes(b)).to_be_bytes());
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

impl Disk<'_> {
    pub(super) fn xattrop(
        &mut self,
        call: &Call<'_>,
        gfid: &Gfid,
        flags: u32,
        dict: &Dict<'_>,
        xdata: &Dict<'_>,
        out: &mut Out<'_, '_, '_>,
    ) -> Result<()> {
        let slot = self.about(call, call.target, gfid)?;
        let gfid = self.inode(slot)?.gfid;
        let op = Op::of(flags);
        // First the answers, which must have a way out; then the changes.
        for (name, value) in dict.pairs() {
            if !super::xattrs::is_family(name) || !name.starts_with(b"trusted.") {
                return Err(Errno::EPERM.into());
            }
            let by = value.as_bytes().ok_or(Errno::EINVAL)?;
            let there = self.xattr(slot, name);
            let has = there.map_or(0, |there| self.xattr_len(there));
            // What is missing counts as zeroes.
            let len = if op == Op::Swap { has } else { has.max(by.len()) };
            out.pairs.put_bytes(name, len, |room| {
                room.fill(0);
                if let Some(there) = there {
                    self.read_xattr(there, room);
                }
                op.apply(room, by);
            })?;
        }
        out.dict_will_fit()?;
        let answers = out.pairs.dict();
        self.room_for_xattrop(slot, op, dict, &answers)?;
        self.index_before(call.brick.0, &gfid, dict, xdata)?;
        if op != Op::Read {
            for ((name, by), (_, answer)) in dict.pairs().zip(answers.pairs()) {
                let new = if op == Op::Swap { by } else { answer }.as_bytes().unwrap_or_default();
                // What is not there and stays zero is not made.
                if self.xattr(slot, name).is_some() || new.iter().any(|byte| *byte != 0) {
                    self.set_xattr(slot, name, new)?;
                }
            }
        }
        self.index_after(call.brick.0, &gfid, &answers, xdata);
        out.dict()
    }

    /// All of it can be done, or nothing is.
    fn room_for_xattrop(&self, slot: u32, op: Op, dict: &Dict<'_>, answers: &Dict<'_>) -> Result<()> {
        if op == Op::Read {
            return Ok(());
        }
        let bytes = |value: Value<'_>| value.as_bytes().map_or(0, <[u8]>::len) as u64;
        let (mut slots, mut pages) = (0, 0_u64);
        for ((name, by), (_, answer)) in dict.pairs().zip(answers.pairs()) {
            slots += usize::from(self.xattr(slot, name).is_none());
            pages += (bytes(by).max(bytes(answer))).div_ceil(self.pages.each());
        }
        // Small values take no pages, but one that grows might: only a storage that is all but full refuses too early.
        let long = answers.pairs().chain(dict.pairs()).any(|(_, value)| bytes(value) > 64);
        if slots > self.xattrs.free() || (long && pages > self.pages.free()) {
            return Err(Errno::ENOSPC.into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied<const N: usize>(op: Op, mut value: [u8; N], by: &[u8]) -> [u8; N] {
        op.apply(&mut value, by);
        value
    }

    #[test]
    fn elements_are_added_with_wrapping_and_a_tail_stays() {
        assert_eq!(
            applied(Op::Add32, [0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff], &[0, 0, 0, 2, 0, 0, 0, 1]),
            [0, 0, 0, 3, 0, 0, 0, 0]
        );
        assert_eq!(
            applied(Op::Add64, [0, 0, 0, 0, 0, 0, 0, 1, 9], &[0, 0, 0, 0, 0, 0, 0, 1, 7]),
            [0, 0, 0, 0, 0, 0, 0, 2, 9]
        );
        assert_eq!(applied(Op::of(9), [1], &[2]), [1]);
    }
}
