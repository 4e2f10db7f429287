//! Fops on extended attributes.

use brickwire_core::fop::wire::*;
use brickwire_core::rpc::Cred;
use brickwire_core::server::Target;
use brickwire_core::xdr::{Dict, Pair, Value};

use crate::program::{On, Op};
use crate::rig::{Ask, Rig};
use crate::tables::{put_keys, xattr};

impl Rig {
    pub(crate) fn xattrs(&mut self, cred: Cred<'_>, op: Op) -> Result<(), String> {
        let mut pairs = Vec::new();
        let none = Dict::Null;
        match op {
            Op::Setxattr { on, xattr: key, len, flags } => {
                let (key, value) = (xattr(key), vec![len as u8; len]);
                let pair = [Pair { key: key.as_bytes(), value: Value::Ptr(&value) }];
                let dict = Dict::Pairs(&pair);
                match self.on(on) {
                    (Target::Gfid, gfid) => self
                        .ask(cred, Request::Setxattr(Setxattr { gfid, flags, dict, xdata: none })),
                    (target, gfid) => {
                        let r = Fsetxattr { gfid, fd: 0, flags, dict, xdata: none };
                        self.ask_on(cred, target, Request::Fsetxattr(r))
                    }
                }
            }
            Op::Getxattr { on, xattr: key } => {
                let key = xattr(key);
                let (name, namelen) = (key.as_bytes(), key.len() as u32);
                if self.has_more_names(on)
                    && matches!(name, b"glusterfs.gfid2path" | b"trusted.glusterfs.pathinfo")
                {
                    // Either errno is right.
                    return Ok(());
                }
                match self.on(on) {
                    (Target::Gfid, gfid) => self.ask(
                        cred,
                        Request::Getxattr(Getxattr { gfid, namelen, name, xdata: none }),
                    ),
                    (target, gfid) => {
                        let r = Fgetxattr { gfid, fd: 0, namelen, name, xdata: none };
                        self.ask_on(cred, target, Request::Fgetxattr(r))
                    }
                }
            }
            Op::Removexattr { on, xattr: key } => {
                let key = xattr(key);
                self.remove(cred, on, key.as_bytes(), none)
            }
            Op::RemoveMany { on, keys } => {
                put_keys(keys, &mut pairs);
                self.remove(cred, on, b"", Dict::Pairs(&pairs))
            }
            Op::Xattrop { on, xattr: key, op, by, words } => {
                let key = xattr(key);
                let by = [0, 1, u32::MAX][by].to_be_bytes().repeat(words);
                let pair = [Pair { key: key.as_bytes(), value: Value::Ptr(&by) }];
                let dict = Dict::Pairs(&pair);
                match self.on(on) {
                    (Target::Gfid, gfid) => self.ask(
                        cred,
                        Request::Xattrop(Xattrop { gfid, flags: op, dict, xdata: none }),
                    ),
                    (target, gfid) => {
                        let r = Fxattrop { gfid, fd: 0, flags: op, dict, xdata: none };
                        self.ask_on(cred, target, Request::Fxattrop(r))
                    }
                }
            }
            other => unreachable!("{other:?} belongs to another file"),
        }
    }

    fn has_more_names(&mut self, on: On) -> bool {
        let gfid = self.on(on).1;
        let stat = Request::Stat(Stat { gfid, xdata: Dict::Null });
        let answer = self.of_memory(&Ask::of(Cred::v3(1, 0, 0), Target::Gfid, stat));
        answer.attrs.iter().any(|attrs| attrs.nlink > 1 && !attrs.is_dir())
    }

    fn remove(
        &mut self,
        cred: Cred<'_>,
        on: On,
        name: &[u8],
        xdata: Dict<'_>,
    ) -> Result<(), String> {
        match self.on(on) {
            (Target::Gfid, gfid) => {
                self.ask(cred, Request::Removexattr(Removexattr { gfid, name, xdata }))
            }
            (target, gfid) => {
                let r = Fremovexattr { gfid, fd: 0, name, xdata };
                self.ask_on(cred, target, Request::Fremovexattr(r))
            }
        }
    }
}
