//! A file that is open for writing only, as on GlusterFS 10.3's bricks.

mod common;

use brickwire_core::fop::wire::{Create, Open, Rchecksum, Reply, Request, Seek};
use brickwire_core::rpc::Cred;
use brickwire_core::server::{HandleId, Target};
use brickwire_core::xdr::{Dict, Errno, Gfid, Pair, Reader, Value};
use brickwire_posix::Brick;
use brickwire_server::Backend as _;

const ROOT: Cred<'static> = Cred::v3(1, 0, 0);
const WRITE_ONLY: u32 = 1;
const NONE: Dict<'static> = Dict::Null;

fn errno(brick: &Brick, request: Request<'_>, target: Target, opens: Option<HandleId>) -> i32 {
    let bytes = common::ask_on(brick, &ROOT, request, target, opens);
    let reply = Reply::decode(request.number(), &mut Reader::new(&bytes)).expect("a reply");
    if reply.op_ret < 0 { reply.op_errno } else { 0 }
}

#[test]
fn what_is_open_for_writing_is_not_read() {
    let Some((_dir, brick)) = common::brick() else { return };
    let handle = |number: i64| HandleId::from_wire(number << 20).expect("the number of a handle");
    let (created, opened, gfid) = (handle(1), handle(2), Gfid([9; 16]));
    let pair = [Pair { key: b"gfid-req", value: Value::Gfuuid(gfid) }];
    let (pargfid, bname, xdata) = (Gfid::ROOT, &b"f"[..], Dict::Pairs(&pair));
    let (flags, mode, umask) = (WRITE_ONLY, 0o600, 0);
    let create = Request::Create(Create { pargfid, flags, mode, umask, bname, xdata });
    assert_eq!(errno(&brick, create, Target::Gfid, Some(created)), 0);
    let open = Request::Open(Open { gfid, flags, xdata: NONE });
    assert_eq!(errno(&brick, open, Target::Gfid, Some(opened)), 0);
    for handle in [created, opened] {
        for now in [false, true] {
            assert!(brick.write(handle, &ROOT, 0, b"hello", false).expect("it waits").is_ok());
            let read = brick.read(handle, &ROOT, 0, &mut [0; 5], now).expect("no need to wait");
            assert_eq!(read.map(|read| read.len), Err(Errno::EBADF));
        }
        let target = Target::Open(handle);
        let sum = Rchecksum { gfid, fd: 0, offset: 0, len: 5, flags: 0, xdata: NONE };
        assert_eq!(errno(&brick, Request::Rchecksum(sum), target, None), 9);
        let seek = Seek { gfid, fd: 0, offset: 0, what: 0, xdata: NONE };
        assert_eq!(errno(&brick, Request::Seek(seek), target, None), 0, "it needs no data");
    }
}
