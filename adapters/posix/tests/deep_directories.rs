//! Directories far below the root, which are reached by their gfids.

mod common;

use brickwire_core::fop::wire::{Lookup, Mkdir, Rename, Reply, Request, Rmdir, Stat};
use brickwire_core::rpc::Cred;
use brickwire_core::xdr::{Dict, Gfid, Pair, Reader, Value};
use brickwire_posix::Brick;

const ROOT: Cred<'static> = Cred::v3(1, 0, 0);
const NONE: Dict<'static> = Dict::Null;

fn errno(brick: &Brick, request: Request<'_>) -> i32 {
    let bytes = common::ask(brick, &ROOT, request);
    let reply = Reply::decode(request.number(), &mut Reader::new(&bytes)).expect("a reply");
    if reply.op_ret < 0 { reply.op_errno } else { 0 }
}

/// The gfid of a level of a tree.
fn gfid(tree: u8, level: usize) -> Gfid {
    let mut bytes = [tree; 16];
    bytes[..8].copy_from_slice(&(level as u64).to_be_bytes());
    Gfid(bytes)
}

/// Makes directories one below the other; `top` has level 0.
fn make(brick: &Brick, tree: u8, levels: usize, name: &[u8]) {
    for level in 0..levels {
        let pargfid = if level == 0 { Gfid::ROOT } else { gfid(tree, level - 1) };
        let pair = [Pair { key: b"gfid-req", value: Value::Gfuuid(gfid(tree, level)) }];
        let top = [b'a' + tree];
        let bname = if level == 0 { &top[..] } else { name };
        let xdata = Dict::Pairs(&pair);
        let mkdir = Mkdir { pargfid, mode: 0o755, umask: 0, bname, xdata };
        assert_eq!(errno(brick, Request::Mkdir(mkdir)), 0, "level {level}");
    }
}

#[test]
fn four_hundred_levels_are_made_reached_and_removed() {
    let Some((_dir, brick)) = common::brick() else { return };
    make(&brick, 1, 400, b"d");
    let pargfid = gfid(1, 398);
    let lookup = Lookup { gfid: Gfid::NONE, pargfid, flags: 0, bname: b"d", xdata: NONE };
    assert_eq!(errno(&brick, Request::Lookup(lookup)), 0);
    for level in (1..400).rev() {
        let pargfid = gfid(1, level - 1);
        let rmdir = Rmdir { pargfid, xflags: 0, bname: b"d", xdata: NONE };
        assert_eq!(errno(&brick, Request::Rmdir(rmdir)), 0, "level {level}");
    }
}

#[test]
fn names_that_are_long_together_lead_to_a_directory_too() {
    let Some((_dir, brick)) = common::brick() else { return };
    make(&brick, 1, 100, &[b'n'; 255]);
    assert_eq!(errno(&brick, Request::Stat(Stat { gfid: gfid(1, 99), xdata: NONE })), 0);
}

#[test]
fn what_is_moved_below_a_deep_directory_is_reached() {
    let Some((dir, brick)) = common::brick() else { return };
    make(&brick, 1, 300, b"d");
    make(&brick, 2, 300, b"d");
    let (oldgfid, newgfid) = (Gfid::ROOT, gfid(1, 299));
    let rename = Rename { oldgfid, newgfid, oldbname: b"c", newbname: b"moved", xdata: NONE };
    assert_eq!(errno(&brick, Request::Rename(rename)), 0);
    assert_eq!(errno(&brick, Request::Stat(Stat { gfid: gfid(2, 299), xdata: NONE })), 0);
    // A crawl after a crash does not take their handles for those of what is gone.
    assert_eq!(brick.sweep(), 0);
    drop(brick);
    let brick = common::open(dir.path(), |_| {});
    assert_eq!(errno(&brick, Request::Stat(Stat { gfid: gfid(2, 299), xdata: NONE })), 0);
}

#[test]
fn handles_in_a_circle_are_no_directory() {
    let Some((dir, brick)) = common::brick() else { return };
    let link = |from: Gfid, to: Gfid| {
        let [a, b, ..] = from.0;
        let place = dir.path().join(format!(".glusterfs/{a:02x}/{b:02x}"));
        std::fs::create_dir_all(&place).expect("a directory");
        let [a, b, ..] = to.0;
        let target = format!("../../{a:02x}/{b:02x}/{to}/d");
        std::os::unix::fs::symlink(target, place.join(from.to_string())).expect("a symlink");
    };
    let (one, two) = (Gfid([3; 16]), Gfid([4; 16]));
    link(one, two);
    link(two, one);
    const ELOOP: i32 = 40;
    assert_eq!(errno(&brick, Request::Stat(Stat { gfid: one, xdata: NONE })), ELOOP);
}

#[test]
fn nothing_is_created_in_what_a_recursive_removal_took_away() {
    let Some((_dir, brick)) = common::brick() else { return };
    make(&brick, 1, 100, b"d");
    assert_eq!(errno(&brick, Request::Stat(Stat { gfid: gfid(1, 99), xdata: NONE })), 0);
    let rmdir = Rmdir { pargfid: Gfid::ROOT, xflags: 1, bname: b"b", xdata: NONE };
    assert_eq!(errno(&brick, Request::Rmdir(rmdir)), 0);
    let pair = [Pair { key: b"gfid-req", value: Value::Gfuuid(gfid(2, 0)) }];
    for level in [98, 99] {
        let (pargfid, xdata) = (gfid(1, level), Dict::Pairs(&pair));
        let mkdir = Mkdir { pargfid, mode: 0o755, umask: 0, bname: b"new", xdata };
        assert_ne!(errno(&brick, Request::Mkdir(mkdir)), 0, "level {level}");
    }
}
