//! Fops that look at inodes and directories, and SETATTR.

use brickwire_core::fop::wire::*;
use brickwire_core::rpc::Cred;
use brickwire_core::server::Target;
use brickwire_core::xdr::{Dict, Gfid, Iatt};

use crate::outcome::Outcome;
use crate::program::Op;
use crate::rig::{Ask, Rig, compare};
use crate::tables::{at_place, gfid, put_keys};

impl Rig {
    pub(crate) fn attrs(&mut self, cred: Cred<'_>, op: Op) -> Result<(), String> {
        let mut pairs = Vec::new();
        let none = Dict::Null;
        match op {
            Op::Lookup { at, keys, .. } => {
                put_keys(keys, &mut pairs);
                let (pargfid, bname) = at_place(at);
                let xdata = Dict::Pairs(&pairs);
                let r = Lookup { gfid: Gfid::NONE, pargfid, flags: 0, bname: &bname, xdata };
                self.ask(cred, Request::Lookup(r))
            }
            Op::LookupGfid { gfid: number, keys } => {
                put_keys(keys, &mut pairs);
                let xdata = Dict::Pairs(&pairs);
                let r =
                    Lookup { gfid: gfid(number), pargfid: Gfid::NONE, flags: 0, bname: b"", xdata };
                self.ask(cred, Request::Lookup(r))
            }
            Op::Stat { on, keys } => {
                put_keys(keys, &mut pairs);
                let xdata = Dict::Pairs(&pairs);
                match self.on(on) {
                    (Target::Gfid, gfid) => self.ask(cred, Request::Stat(Stat { gfid, xdata })),
                    (target, gfid) => {
                        self.ask_on(cred, target, Request::Fstat(Fstat { gfid, fd: 0, xdata }))
                    }
                }
            }
            Op::Access { gfid: number, mask } => {
                self.ask(cred, Request::Access(Access { gfid: gfid(number), mask, xdata: none }))
            }
            Op::Setattr { on, valid, mode, uid, gid, time } => {
                let stbuf = Iatt {
                    mode,
                    uid,
                    gid,
                    atime: time,
                    atime_nsec: 1,
                    mtime: time + 1,
                    mtime_nsec: 2,
                    ctime: time + 2,
                    ctime_nsec: 3,
                    ..Iatt::default()
                };
                match self.on(on) {
                    (Target::Gfid, gfid) => self
                        .ask(cred, Request::Setattr(Setattr { gfid, stbuf, valid, xdata: none })),
                    (target, gfid) => {
                        let r = Fsetattr { gfid, fd: 0, stbuf, valid, xdata: none };
                        self.ask_on(cred, target, Request::Fsetattr(r))
                    }
                }
            }
            Op::Readlink { gfid: number, size } => self
                .ask(cred, Request::Readlink(Readlink { gfid: gfid(number), size, xdata: none })),
            Op::List { on, size, plus, keys } => {
                put_keys(keys, &mut pairs);
                let (target, gfid) = self.on(on);
                self.list(cred, target, gfid, size, plus.then_some(Dict::Pairs(&pairs)))
            }
            other => unreachable!("{other:?} belongs to another file"),
        }
    }

    /// Reads all pages of a directory; each must have an entry, and only entries that fit.
    fn list(
        &mut self,
        cred: Cred<'_>,
        target: Target,
        gfid: Gfid,
        size: u32,
        plus: Option<Dict<'_>>,
    ) -> Result<(), String> {
        let request = |offset| match plus {
            Some(xdata) => Request::Readdirp(Readdirp { gfid, fd: 0, offset, size, xdata }),
            None => Request::Readdir(Readdir { gfid, fd: 0, offset, size, xdata: Dict::Null }),
        };
        let mut all = |ask: &mut dyn FnMut(&mut Self, &Ask<'_>) -> Outcome| {
            let mut whole = Outcome::default();
            let mut offset = 0;
            // More than all names there are.
            for _ in 0..100 {
                let page = ask(self, &Ask::of(cred, target, request(offset)));
                if page.ret <= 0 {
                    whole.ret = page.ret.min(0);
                    // The errno of READDIR is 2 at the end, and undefined elsewhere.
                    whole.errno = if page.ret < 0 { page.errno } else { 0 };
                    return Ok(whole);
                }
                if page.page.bytes > size as usize && page.ret > 1 {
                    return Err(format!(
                        "{} bytes of entries, and {size} were asked for",
                        page.page.bytes
                    ));
                }
                let end = page.errno == 2;
                offset = page.page.last;
                for (name, entry) in page.entries {
                    if whole.entries.insert(name, entry).is_some() {
                        return Err("an entry comes on two pages".to_owned());
                    }
                }
                if end {
                    return Ok(whole);
                }
            }
            Err("a directory without an end".to_owned())
        };
        let disk = all(&mut |rig, ask| rig.of_disk(ask))?;
        let memory = all(&mut |rig, ask| rig.of_memory(ask))?;
        compare(&disk, &memory)
    }
}
