//! A directory that is read without having been opened, as distribute does before it removes one.

use brickwire_core::fop::FopNumber;
use brickwire_core::fop::wire::{Readdirp, Reply, Request};
use brickwire_core::rpc::Cred;
use brickwire_core::server::{BrickIx, Call, Counts, Payload, Target};
use brickwire_core::xdr::{Dict, Gfid, Reader};
use brickwire_posix::{Brick, BrickError, BrickOptions};
use brickwire_server::Backend;

fn listed(brick: &Brick, gfid: Gfid) -> (i32, i32) {
    let call = Call {
        brick: BrickIx(0),
        cred: Cred::v3(1, 0, 0),
        request: Request::Readdirp(Readdirp { gfid, fd: -2, offset: 0, size: 4096, xdata: Dict::Null }),
        target: Target::Gfid,
        second: Target::Gfid,
        opens: None,
        payload: Payload::Bytes(&[]),
        counts: Counts::default(),
    };
    let mut reply = Vec::new();
    brick.execute(&call, &[], &mut reply);
    let reply = Reply::decode(FopNumber::Readdirp, &mut Reader::new(&reply)).expect("a reply");
    (reply.op_ret, reply.op_errno)
}

#[test]
fn rmdir_of_a_mount_finds_out_that_a_directory_is_empty() {
    let dir = tempfile::tempdir().expect("a directory");
    let options = BrickOptions { volume_id: Gfid([7; 16]), shared_by: 1, ..BrickOptions::default() };
    let brick = match Brick::open(dir.path(), options) {
        // Bricks are for those who may set trusted xattrs, on file systems that have them.
        Err(BrickError::Io { .. }) if !rustix::process::geteuid().is_root() => return,
        brick => brick.expect("a brick"),
    };
    assert_eq!(listed(&brick, Gfid::ROOT), (2, 2));
    std::fs::write(dir.path().join("file"), b"x").expect("a file");
    assert_eq!(listed(&brick, Gfid::ROOT), (3, 2));
    assert_eq!(listed(&brick, Gfid([9; 16])), (-1, 116), "nothing has this gfid");
}
