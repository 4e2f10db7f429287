//! Copies that were made in a brick by hand with all xattrs, so that they have their original's
//! gfid. Removing a copy leaves its original as it is.

mod common;

use std::path::Path;

use brickwire_core::fop::wire::{
    Body, Lookup, Mkdir, Mknod, Rename, Reply, Request, Rmdir, Stat, Unlink,
};
use brickwire_core::rpc::Cred;
use brickwire_core::xdr::{Dict, Gfid, Pair, Reader, Value};
use brickwire_posix::Brick;
use rustix::fs::XattrFlags;

const NONE: Dict<'static> = Dict::Null;
const ROOT: Gfid = Gfid::ROOT;

fn errno(brick: &Brick, request: Request<'_>) -> i32 {
    let bytes = common::ask(brick, &Cred::v3(1, 0, 0), request);
    let reply = Reply::decode(request.number(), &mut Reader::new(&bytes)).expect("a reply");
    if reply.op_ret < 0 { reply.op_errno } else { 0 }
}

/// A brick with a file, a directory, and a directory that is not empty.
fn brick() -> Option<(tempfile::TempDir, Brick)> {
    let (dir, brick) = common::brick()?;
    for (name, kind) in [("file", 1), ("empty", 2), ("full", 3)] {
        let pair = [Pair { key: b"gfid-req", value: Value::Gfuuid(Gfid([kind; 16])) }];
        let (pargfid, bname, umask, xdata) = (ROOT, name.as_bytes(), 0, Dict::Pairs(&pair));
        let request = match kind {
            1 => Request::Mknod(Mknod { pargfid, mode: 0o100_644, dev: 0, umask, bname, xdata }),
            _ => Request::Mkdir(Mkdir { pargfid, mode: 0o755, umask, bname, xdata }),
        };
        assert_eq!(errno(&brick, request), 0, "{name}");
    }
    std::fs::write(dir.path().join("full/below"), b"hello").expect("a file");
    Some((dir, brick))
}

/// Gives a path the gfid of another.
fn mark(path: &Path, gfid: u8) {
    rustix::fs::setxattr(path, "trusted.gfid", &[gfid; 16], XattrFlags::empty()).expect("a gfid");
}

fn assert_all_there(brick: &Brick) {
    for kind in 1..=3 {
        let stat = Request::Stat(Stat { gfid: Gfid([kind; 16]), xdata: NONE });
        assert_eq!(errno(brick, stat), 0, "object {kind}");
    }
    assert_eq!(brick.sweep(), 0);
}

#[test]
fn removing_a_copy_leaves_the_handle_of_its_original() {
    let Some((dir, brick)) = brick() else { return };
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("copy"), b"hello").expect("a file");
    mark(&at("copy"), 1);
    let unlink = Unlink { pargfid: ROOT, xflags: 0, bname: b"copy", xdata: NONE };
    assert_eq!(errno(&brick, Request::Unlink(unlink)), 0);
    assert!(!at("copy").exists());
    assert_all_there(&brick);

    std::fs::create_dir(at("copy")).expect("a directory");
    mark(&at("copy"), 2);
    let rmdir = Rmdir { pargfid: ROOT, xflags: 0, bname: b"copy", xdata: NONE };
    assert_eq!(errno(&brick, Request::Rmdir(rmdir)), 0);
    assert!(!at("copy").exists());
    assert_all_there(&brick);

    // Removed with its content, by way of the landfill.
    std::fs::create_dir_all(at("copy/empty")).expect("directories");
    std::fs::write(at("copy/file"), b"hello").expect("a file");
    for (name, kind) in [("copy", 3), ("copy/empty", 2), ("copy/file", 1)] {
        mark(&at(name), kind);
    }
    let rmdir = Rmdir { xflags: 1, ..rmdir };
    assert_eq!(errno(&brick, Request::Rmdir(rmdir)), 0);
    assert!(!at("copy").exists());
    assert_all_there(&brick);
}

#[test]
fn replacing_a_copy_leaves_the_handle_of_its_original() {
    let Some((dir, brick)) = brick() else { return };
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("copy"), b"hello").expect("a file");
    mark(&at("copy"), 1);
    std::fs::create_dir(at("copies")).expect("a directory");
    mark(&at("copies"), 2);
    for (kind, name, over) in [(8, "new", "copy"), (9, "newer", "copies")] {
        let pair = [Pair { key: b"gfid-req", value: Value::Gfuuid(Gfid([kind; 16])) }];
        let (pargfid, bname, umask, xdata) = (ROOT, name.as_bytes(), 0, Dict::Pairs(&pair));
        let request = match kind {
            8 => Request::Mknod(Mknod { pargfid, mode: 0o100_644, dev: 0, umask, bname, xdata }),
            _ => Request::Mkdir(Mkdir { pargfid, mode: 0o755, umask, bname, xdata }),
        };
        assert_eq!(errno(&brick, request), 0, "{name}");
        let (oldbname, newbname) = (name.as_bytes(), over.as_bytes());
        let rename = Rename { oldgfid: ROOT, newgfid: ROOT, oldbname, newbname, xdata: NONE };
        assert_eq!(errno(&brick, Request::Rename(rename)), 0, "{name}");
        let stat = Request::Stat(Stat { gfid: Gfid([kind; 16]), xdata: NONE });
        assert_eq!(errno(&brick, stat), 0, "{name}");
    }
    assert_all_there(&brick);
}

#[test]
fn a_copy_that_was_looked_up_and_renamed_leaves_its_original_the_handle() {
    let Some((dir, brick)) = brick() else { return };
    std::fs::create_dir(dir.path().join("copy")).expect("a directory");
    mark(&dir.path().join("copy"), 2);
    let handle = dir.path().join(format!(".glusterfs/02/02/{}", Gfid([2; 16])));
    let target = std::fs::read_link(&handle).expect("a handle");
    let lookup = Lookup { gfid: Gfid::NONE, pargfid: ROOT, flags: 0, bname: b"copy", xdata: NONE };
    assert_eq!(errno(&brick, Request::Lookup(lookup)), 0);
    assert_eq!(std::fs::read_link(&handle).expect("a handle"), target);
    let (oldbname, newbname) = (&b"copy"[..], &b"moved"[..]);
    let rename = Rename { oldgfid: ROOT, newgfid: ROOT, oldbname, newbname, xdata: NONE };
    assert_eq!(errno(&brick, Request::Rename(rename)), 0);
    assert_eq!(std::fs::read_link(&handle).expect("a handle"), target);
    let rmdir = Rmdir { pargfid: ROOT, xflags: 0, bname: b"moved", xdata: NONE };
    assert_eq!(errno(&brick, Request::Rmdir(rmdir)), 0);
    assert_all_there(&brick);
}

/// Size of the object that a gfid leads to.
fn size(brick: &Brick, gfid: u8) -> u64 {
    let request = Request::Stat(Stat { gfid: Gfid([gfid; 16]), xdata: NONE });
    let bytes = common::ask(brick, &Cred::v3(1, 0, 0), request);
    let reply = Reply::decode(request.number(), &mut Reader::new(&bytes)).expect("a reply");
    let Body::Stat(stat) = reply.body else { panic!("errno {}", reply.op_errno) };
    stat.size
}

#[test]
fn a_copy_and_its_original_replace_each_other() {
    for (old, new, len) in [("copy", "file", 5), ("file", "copy", 0)] {
        let Some((dir, brick)) = brick() else { return };
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("copy"), b"hello").expect("a file");
        mark(&at("copy"), 1);
        let (oldbname, newbname) = (old.as_bytes(), new.as_bytes());
        let rename = Rename { oldgfid: ROOT, newgfid: ROOT, oldbname, newbname, xdata: NONE };
        assert_eq!(errno(&brick, Request::Rename(rename)), 0);
        assert!(!at(old).exists());
        assert_eq!(std::fs::metadata(at(new)).expect("a file").len(), len);
        assert_eq!(size(&brick, 1), len, "the gfid leads to {old}, which is {new} now");
        assert_all_there(&brick);
    }
    for (old, new) in [("copy", "empty"), ("empty", "copy")] {
        let Some((dir, brick)) = brick() else { return };
        std::fs::create_dir(dir.path().join("copy")).expect("a directory");
        mark(&dir.path().join("copy"), 2);
        let (oldbname, newbname) = (old.as_bytes(), new.as_bytes());
        let rename = Rename { oldgfid: ROOT, newgfid: ROOT, oldbname, newbname, xdata: NONE };
        assert_eq!(errno(&brick, Request::Rename(rename)), 0);
        assert!(!dir.path().join(old).exists());
        assert_all_there(&brick);
    }
}
