//! READDIR by the anonymous fd, which distribute uses before RMDIR.

mod common;

use brickwire_core::fop::FopNumber;
use brickwire_core::fop::wire::{Readdirp, Reply, Request};
use brickwire_core::rpc::Cred;
use brickwire_core::xdr::{Dict, Gfid, Reader};
use brickwire_posix::Brick;

fn listed(brick: &Brick, gfid: Gfid) -> (i32, i32) {
    let list = Readdirp { gfid, fd: -2, offset: 0, size: 4096, xdata: Dict::Null };
    let reply = common::ask(brick, &Cred::v3(1, 0, 0), Request::Readdirp(list));
    let reply = Reply::decode(FopNumber::Readdirp, &mut Reader::new(&reply)).expect("a reply");
    (reply.op_ret, reply.op_errno)
}

#[test]
fn rmdir_of_a_mount_finds_out_that_a_directory_is_empty() {
    let Some((dir, brick)) = common::brick() else { return };
    assert_eq!(listed(&brick, Gfid::ROOT), (2, 2));
    std::fs::write(dir.path().join("file"), b"x").expect("a file");
    assert_eq!(listed(&brick, Gfid::ROOT), (3, 2));
    assert_eq!(listed(&brick, Gfid([9; 16])), (-1, 116), "nothing has this gfid");
}
