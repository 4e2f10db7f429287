//! A directory that is removed while it is listed, as when two clients remove one tree at once.

mod common;

use brickwire_core::fop::FopNumber;
use brickwire_core::fop::wire::{Body, Lookup, Opendir, Readdirp, Reply, Request};
use brickwire_core::rpc::Cred;
use brickwire_core::server::{HandleId, Target};
use brickwire_core::xdr::{Dict, Gfid, Reader};
use brickwire_posix::Brick;

const ROOT: Cred<'static> = Cred::v3(1, 0, 0);

fn lookup(brick: &Brick, bname: &[u8]) -> Gfid {
    let (gfid, pargfid, xdata) = (Gfid::NONE, Gfid::ROOT, Dict::Null);
    let request = Request::Lookup(Lookup { gfid, pargfid, flags: 0, bname, xdata });
    let bytes = common::ask(brick, &ROOT, request);
    let reply = Reply::decode(FopNumber::Lookup, &mut Reader::new(&bytes)).expect("a reply");
    let Body::TwoIatts { before, .. } = reply.body else { panic!("no attributes") };
    before.gfid
}

/// Number of entries and errno, and the offset of the last entry.
fn list(brick: &Brick, gfid: Gfid, handle: HandleId, offset: u64) -> (i32, i32, u64) {
    let request = Request::Readdirp(Readdirp { gfid, fd: 0, offset, size: 600, xdata: Dict::Null });
    let bytes = common::ask_on(brick, &ROOT, request, Target::Open(handle), None);
    let reply = Reply::decode(FopNumber::Readdirp, &mut Reader::new(&bytes)).expect("a reply");
    let last = match reply.body {
        Body::Direntps(entries) => entries.iter().last().map_or(0, |entry| entry.offset),
        _ => 0,
    };
    (reply.op_ret, reply.op_errno, last)
}

#[test]
fn the_list_of_a_directory_that_is_removed_meanwhile_ends() {
    let Some((dir, brick)) = common::brick() else { return };
    let path = dir.path().join("d");
    std::fs::create_dir(&path).expect("a directory");
    for name in 0..20 {
        std::fs::write(path.join(name.to_string()), b"").expect("a file");
    }
    let gfid = lookup(&brick, b"d");
    let handle = HandleId::from_wire(1 << 20).expect("the number of a handle");
    let request = Request::Opendir(Opendir { gfid, xdata: Dict::Null });
    common::ask_on(&brick, &ROOT, request, Target::Gfid, Some(handle));
    let (entries, _, last) = list(&brick, gfid, handle, 0);
    assert!(entries > 0 && last > 0, "a first part: {entries}");
    std::fs::remove_dir_all(&path).expect("removed");
    assert_eq!(list(&brick, gfid, handle, last), (0, 2, 0), "the end, and no EINVAL");
}
