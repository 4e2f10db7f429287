//! XATTROP: arithmetic on xattrs.

use brickwire_core::fop::wire::Body;
use brickwire_core::server::Call;
use brickwire_core::server::xattrop::Arithmetic;
use brickwire_core::xdr::{Dict, Errno, Gfid, Iatt, Pair, Value};
use rustix::fs::XattrFlags;

use super::handles::proc_path;
use super::reply::Out;
use super::{Brick, Result, errno, xattrs};

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
        let work = self.about(call, gfid)?;
        let gfid = work.gfid();
        let op = Arithmetic::of(flags);
        self.not_an_index(&gfid)?;
        let _one_at_a_time = self.hold_attrs(&gfid);
        self.index_before(&gfid, dict, xdata)?;
        let path = proc_path(&work);
        let mut answers: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for (name, value) in dict.pairs() {
            // Arithmetic on a gfid would turn one inode into another.
            if !name.starts_with(b"trusted.") || xattrs::is_internal(name) {
                return Err(Errno::EPERM);
            }
            let by = value.as_bytes().ok_or(Errno::EINVAL)?;
            let there = self.namespace().value(&work, name).ok();
            let mut answer = there.clone().unwrap_or_default();
            answer.resize(op.answer_len(answer.len(), by.len()), 0);
            op.apply(&mut answer, by);
            let new = op.kept(there.is_some(), by, &answer);
            if let Some(new) = new.filter(|new| there.as_deref() != Some(new)) {
                self.namespace().set(&path, name, new, XattrFlags::empty()).map_err(errno)?;
            }
            answers.push((name.to_owned(), answer));
        }
        self.index_after(&gfid, &answers, xdata);
        let pairs: Vec<Pair<'_>> =
            answers.iter().map(|(key, value)| Pair { key, value: Value::Ptr(value) }).collect();
        let none = Iatt::default();
        out.success(0, 0, &[], Body::Dict { dict: Dict::Pairs(&pairs), before: none, after: none });
        Ok(())
    }
}
