//! Objects that were put into a brick by hand, and are looked up by clients.

mod common;

use std::path::Path;

use brickwire_core::fop::wire::{Body, Lookup, Reply, Request, Stat};
use brickwire_core::rpc::Cred;
use brickwire_core::xdr::{Dict, Gfid, Pair, Reader, Value};
use brickwire_posix::Brick;

const ROOT: Cred<'static> = Cred::v3(1, 0, 0);
const PROPOSED: Gfid = Gfid([9, 9, 9, 9, 9, 9, 0x49, 9, 0x89, 9, 9, 9, 9, 9, 9, 9]);
const ENODATA: i32 = 61;

/// Gfid that a LOOKUP returns, or its errno.
fn lookup(brick: &Brick, pargfid: Gfid, name: &str, keys: &[Pair<'_>]) -> Result<Gfid, i32> {
    let (bname, xdata) = (name.as_bytes(), Dict::Pairs(keys));
    let lookup = Lookup { gfid: Gfid::NONE, pargfid, flags: 0, bname, xdata };
    let request = Request::Lookup(lookup);
    let bytes = common::ask(brick, &ROOT, request);
    let reply = Reply::decode(request.number(), &mut Reader::new(&bytes)).expect("a reply");
    match reply.body {
        Body::TwoIatts { before, .. } if reply.op_ret >= 0 => Ok(before.gfid),
        _ => Err(reply.op_errno),
    }
}

fn is_there(brick: &Brick, gfid: Gfid) -> bool {
    let request = Request::Stat(Stat { gfid, xdata: Dict::Null });
    let bytes = common::ask(brick, &ROOT, request);
    Reply::decode(request.number(), &mut Reader::new(&bytes)).expect("a reply").op_ret >= 0
}

fn put(path: &Path) {
    std::fs::create_dir(path.join("docs")).expect("a directory");
    std::fs::write(path.join("docs/a"), b"hello").expect("a file");
    std::fs::hard_link(path.join("docs/a"), path.join("docs/b")).expect("a link");
    std::os::unix::fs::symlink("a", path.join("docs/l")).expect("a symlink");
}

const PROPOSAL: Pair<'static> = Pair { key: b"gfid-req", value: Value::Gfuuid(PROPOSED) };

#[test]
fn a_file_with_several_names_gets_one_gfid_and_its_handle() {
    let Some((dir, brick)) = common::brick() else { return };
    put(dir.path());
    let docs = lookup(&brick, Gfid::ROOT, "docs", &[]).expect("a directory");
    let a = lookup(&brick, docs, "a", &[PROPOSAL]).expect("a file");
    assert_eq!(a, PROPOSED);
    assert_eq!(lookup(&brick, docs, "b", &[]), Ok(a));
    assert!(is_there(&brick, docs) && is_there(&brick, a));
    let link = lookup(&brick, docs, "l", &[]).expect("a symlink");
    assert!(is_there(&brick, link) && link != a);
}

#[test]
fn a_proposal_may_come_as_plain_bytes_as_distribute_sends_it() {
    let Some((dir, brick)) = common::brick() else { return };
    std::fs::write(dir.path().join("f"), b"hello").expect("a file");
    let pair = [Pair { key: b"gfid-req", value: Value::Ptr(&PROPOSED.0) }];
    assert_eq!(lookup(&brick, Gfid::ROOT, "f", &pair), Ok(PROPOSED));
}

#[test]
fn a_directory_gets_one_gfid_on_all_bricks_of_a_distributed_volume() {
    let (Some((one, first)), Some((two, second))) = (common::brick(), common::brick()) else {
        return;
    };
    put(one.path());
    put(two.path());
    let gfid = lookup(&first, Gfid::ROOT, "docs", &[]).expect("a directory");
    assert_eq!(lookup(&second, Gfid::ROOT, "docs", &[PROPOSAL]), Ok(gfid));
}

#[test]
fn only_a_client_chooses_the_gfid_of_what_a_replica_has() {
    let Some((dir, brick)) = common::brick() else { return };
    drop(brick);
    let brick = common::open(dir.path(), |options| options.replicated = true);
    put(dir.path());
    assert_eq!(lookup(&brick, Gfid::ROOT, "docs", &[]), Err(ENODATA));
    // Replicate asks its bricks in this way before it proposes one gfid to all of them.
    let ask = [Pair { key: b"gfidless-lookup", value: Value::Int(1) }];
    assert_eq!(lookup(&brick, Gfid::ROOT, "docs", &ask), Ok(Gfid::NONE));
    assert_eq!(lookup(&brick, Gfid::ROOT, "docs", &[PROPOSAL]), Ok(PROPOSED));
    assert_eq!(lookup(&brick, Gfid::ROOT, "docs", &[]), Ok(PROPOSED));
}
