//! Fops that create, rename and remove entries.

use brickwire_core::fop::wire::*;
use brickwire_core::rpc::Cred;
use brickwire_core::xdr::{Dict, Pair, Value};
use brickwire_posix::XattrNamespace;

use crate::program::Op;
use crate::rig::Rig;
use crate::tables::{SPECIAL, at_place, gfid, xattr};

impl Rig {
    pub(crate) fn names(&mut self, cred: Cred<'_>, op: Op) -> Result<(), String> {
        let mut pairs = Vec::new();
        let none = Dict::Null;
        match op {
            Op::Mknod { at, gfid: number, mode, umask, internal } => {
                let Some(new) = self.new_gfid(number) else { return Ok(()) };
                if self.namespace == XattrNamespace::User
                    && !matches!(mode & SPECIAL, 0 | 0o100_000 | 0o040_000)
                {
                    return Ok(());
                }
                pairs.push(Pair { key: b"gfid-req", value: new });
                if internal {
                    pairs.push(Pair { key: b"glusterfs-internal-fop", value: Value::Str(b"yes") });
                }
                let (pargfid, bname) = at_place(at);
                // 1:3, as glibc packs it.
                let dev = 0x103;
                let xdata = Dict::Pairs(&pairs);
                self.ask(
                    cred,
                    Request::Mknod(Mknod { pargfid, dev, mode, umask, bname: &bname, xdata }),
                )
            }
            Op::Mkdir { at, gfid: number, mode, xattr: key } => {
                let Some(new) = self.new_gfid(number) else { return Ok(()) };
                let key = xattr(key);
                let xdata = [
                    Pair { key: b"gfid-req", value: new },
                    Pair { key: key.as_bytes(), value: Value::Ptr(b"born") },
                ];
                let (pargfid, bname) = at_place(at);
                let xdata = Dict::Pairs(&xdata);
                self.ask(
                    cred,
                    Request::Mkdir(Mkdir { pargfid, mode, umask: 0o022, bname: &bname, xdata }),
                )
            }
            Op::Symlink { at, gfid: number, target } => {
                let Some(new) = self.new_gfid(number) else { return Ok(()) };
                if self.namespace == XattrNamespace::User {
                    return Ok(());
                }
                pairs.push(Pair { key: b"gfid-req", value: new });
                let (pargfid, bname) = at_place(at);
                let long = [b'x'; 4096];
                let linkname: &[u8] = [&b"a/target"[..], b"", &long[..4095], &long][target];
                let xdata = Dict::Pairs(&pairs);
                self.ask(
                    cred,
                    Request::Symlink(Symlink { pargfid, bname: &bname, umask: 0, linkname, xdata }),
                )
            }
            Op::Create { at, gfid: number, flags, mode, xattr: key, slot } => {
                let Some(new) = self.new_gfid(number) else { return Ok(()) };
                let key = xattr(key);
                let xdata = [
                    Pair { key: b"gfid-req", value: new },
                    Pair { key: key.as_bytes(), value: Value::Ptr(b"born") },
                ];
                let (pargfid, bname) = at_place(at);
                let xdata = Dict::Pairs(&xdata);
                let r = Create { pargfid, flags, mode, umask: 0o022, bname: &bname, xdata };
                self.open(cred, slot, Request::Create(r))
            }
            Op::Link { gfid: number, at } => {
                let (newgfid, newbname) = at_place(at);
                let r = Link { oldgfid: gfid(number), newgfid, newbname: &newbname, xdata: none };
                self.ask(cred, Request::Link(r))
            }
            Op::Unlink { at } => {
                let (pargfid, bname) = at_place(at);
                self.ask(
                    cred,
                    Request::Unlink(Unlink { pargfid, bname: &bname, xflags: 0, xdata: none }),
                )
            }
            Op::Rmdir { at, all } => {
                let (pargfid, bname) = at_place(at);
                let r = Rmdir { pargfid, xflags: i32::from(all), bname: &bname, xdata: none };
                self.ask(cred, Request::Rmdir(r))
            }
            Op::Rename { from, to } => {
                let ((oldgfid, oldbname), (newgfid, newbname)) = (at_place(from), at_place(to));
                let r = Rename {
                    oldgfid,
                    newgfid,
                    oldbname: &oldbname,
                    newbname: &newbname,
                    xdata: none,
                };
                self.ask(cred, Request::Rename(r))
            }
            other => unreachable!("{other:?} belongs to another file"),
        }
    }
}
