//! Fops on open files and on data.

use brickwire_core::fop::wire::*;
use brickwire_core::rpc::Cred;
use brickwire_core::server::{BrickIx, HandleId, Storage as _, Target};
use brickwire_core::xdr::{Dict, Pair, Value};
use brickwire_server::Backend as _;

use crate::program::Op;
use crate::rig::{Ask, Rig, Slot};
use crate::tables::gfid;

impl Rig {
    pub(crate) fn data(&mut self, cred: Cred<'_>, op: Op) -> Result<(), String> {
        let mut pairs = Vec::new();
        let none = Dict::Null;
        match op {
            Op::Open { gfid: number, flags, slot } => self.open(
                cred,
                slot,
                Request::Open(Open { gfid: gfid(number), flags, xdata: none }),
            ),
            Op::Opendir { gfid: number, slot } => {
                self.open(cred, slot, Request::Opendir(Opendir { gfid: gfid(number), xdata: none }))
            }
            Op::Close { slot } => {
                self.close(slot);
                Ok(())
            }
            Op::Read { on, offset, size, fast } => {
                let (target, gfid) = self.on(on);
                let r = Read { gfid, fd: 0, offset, size, flag: 0, xdata: none };
                self.both(Ask { fast, ..Ask::of(cred, target, Request::Read(r)) }).map(|_| ())
            }
            Op::Write { on, offset, len, byte, fast } => {
                let (target, gfid) = self.on(on);
                let payload = vec![byte; len];
                if !fast {
                    pairs.push(Pair { key: b"glusterfs.write-is-append", value: Value::Int(1) });
                }
                let xdata = Dict::Pairs(&pairs);
                let r = Write { gfid, fd: 0, offset, size: len as u32, flag: 0, xdata };
                let ask = Ask::of(cred, target, Request::Write(r));
                self.both(Ask { fast, payload: &payload, ..ask }).map(|_| ())
            }
            Op::Truncate { on, size: offset } => match self.on(on) {
                (Target::Gfid, gfid) => {
                    self.ask(cred, Request::Truncate(Truncate { gfid, offset, xdata: none }))
                }
                (target, gfid) => self.ask_on(
                    cred,
                    target,
                    Request::Ftruncate(Ftruncate { gfid, fd: 0, offset, xdata: none }),
                ),
            },
            Op::Fallocate { on, flags, offset, size } => {
                self.reserved = true;
                let (target, gfid) = self.on(on);
                let r = Fallocate { gfid, fd: 0, flags, offset, size, xdata: none };
                self.ask_on(cred, target, Request::Fallocate(r))
            }
            Op::Discard { on, offset, size } => {
                let (target, gfid) = self.on(on);
                self.ask_on(
                    cred,
                    target,
                    Request::Discard(Discard { gfid, fd: 0, offset, size, xdata: none }),
                )
            }
            Op::Zerofill { on, offset, size } => {
                let (target, gfid) = self.on(on);
                self.ask_on(
                    cred,
                    target,
                    Request::Zerofill(Zerofill { gfid, fd: 0, offset, size, xdata: none }),
                )
            }
            Op::Seek { on, offset, what } => {
                // File systems differ in whether allocated, unwritten space counts as data.
                if self.reserved {
                    return Ok(());
                }
                let (target, gfid) = self.on(on);
                self.ask_on(
                    cred,
                    target,
                    Request::Seek(Seek { gfid, fd: 0, offset, what, xdata: none }),
                )
            }
            Op::Rchecksum { on, offset, len } => {
                let (target, gfid) = self.on(on);
                let r = Rchecksum { gfid, fd: 0, offset, len, flags: 0, xdata: none };
                self.ask_on(cred, target, Request::Rchecksum(r))
            }
            Op::Copy { from, to, off_in, off_out, size } => {
                let ((first, source), (second, destination)) = (self.on(from), self.on(to));
                let r = CopyFileRange {
                    source,
                    destination,
                    fd_in: 0,
                    fd_out: 0,
                    off_in,
                    off_out,
                    size,
                    flag: 0,
                    xdata: none,
                };
                let ask = Ask::of(cred, first, Request::CopyFileRange(r));
                self.both(Ask { targets: [first, second], ..ask }).map(|_| ())
            }
            Op::Fsync { on } => {
                let (target, gfid) = self.on(on);
                self.ask_on(
                    cred,
                    target,
                    Request::Fsync(Fsync { gfid, fd: 0, data: 1, xdata: none }),
                )
            }
            Op::Fsyncdir { on } => {
                let (target, gfid) = self.on(on);
                self.ask_on(
                    cred,
                    target,
                    Request::Fsyncdir(Fsyncdir { gfid, fd: 0, data: 0, xdata: none }),
                )
            }
            other => unreachable!("{other:?} belongs to another file"),
        }
    }

    fn close(&mut self, slot: usize) {
        if let Some(Slot { handle, .. }) = self.slots[slot].take() {
            self.memory.close(BrickIx(0), handle);
            self.brick.close(handle, false);
        }
    }

    /// OPEN, OPENDIR and CREATE.
    pub(crate) fn open(
        &mut self,
        cred: Cred<'_>,
        slot: usize,
        request: Request<'_>,
    ) -> Result<(), String> {
        self.close(slot);
        self.handles += 1;
        let handle = HandleId::from_wire(self.handles).expect("the number of a handle");
        let ask = Ask { opens: Some(handle), ..Ask::of(cred, Target::Gfid, request) };
        let answer = self.both(ask)?;
        if let Some(answer) = answer.filter(|answer| answer.ret >= 0) {
            let gfid = match request {
                Request::Open(r) => r.gfid,
                Request::Opendir(r) => r.gfid,
                _ => answer.attrs[0].gfid,
            };
            self.slots[slot] = Some(Slot { handle, gfid });
        }
        Ok(())
    }
}
