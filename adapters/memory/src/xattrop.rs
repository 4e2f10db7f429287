//! Arithmetic on xattrs: counters of changes that a replica's other bricks have missed.

use super::Result;
use super::reply::Out;
use super::store::Store;
use brickwire_core::server::Call;
use brickwire_core::server::xattrop::Arithmetic;
use brickwire_core::xdr::{Dict, Errno, Gfid, Value};

impl Store<'_> {
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
        let op = Arithmetic::of(flags);
        // The answers are collected first, so that nothing is changed if they do not fit.
        for (name, value) in dict.pairs() {
            if !super::xattrs::is_family(name) || !name.starts_with(b"trusted.") {
                return Err(Errno::EPERM.into());
            }
            let by = value.as_bytes().ok_or(Errno::EINVAL)?;
            let there = self.xattr(slot, name);
            let has = there.map_or(0, |there| self.xattr_len(there));
            // A missing value counts as zeroes.
            out.pairs.put_bytes(name, op.answer_len(has, by.len()), |room| {
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
        for ((name, by), (_, answer)) in dict.pairs().zip(answers.pairs()) {
            let (by, answer) =
                (by.as_bytes().unwrap_or_default(), answer.as_bytes().unwrap_or_default());
            if let Some(new) = op.kept(self.xattr(slot, name).is_some(), by, answer) {
                self.set_xattr(slot, name, new)?;
            }
        }
        self.index_after(call.brick.0, &gfid, &answers, xdata);
        out.dict()
    }

    /// Checks that all of it can be done; otherwise nothing is.
    fn room_for_xattrop(
        &self,
        slot: u32,
        op: Arithmetic,
        dict: &Dict<'_>,
        answers: &Dict<'_>,
    ) -> Result<()> {
        if op == Arithmetic::Read {
            return Ok(());
        }
        let bytes = |value: Value<'_>| value.as_bytes().map_or(0, <[u8]>::len) as u64;
        let (mut slots, mut pages) = (0, 0_u64);
        for ((name, by), (_, answer)) in dict.pairs().zip(answers.pairs()) {
            slots += usize::from(self.xattr(slot, name).is_none());
            pages += (bytes(by).max(bytes(answer))).div_ceil(self.pages.each());
        }
        // Small values take no pages, but one that grows might. This refuses too early only when
        // the storage is nearly full.
        let long = answers.pairs().chain(dict.pairs()).any(|(_, value)| bytes(value) > 64);
        if slots > self.xattrs.free() || (long && pages > self.pages.free()) {
            return Err(Errno::ENOSPC.into());
        }
        Ok(())
    }
}
