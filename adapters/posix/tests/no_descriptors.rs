//! A process that is short of descriptors takes no directory for removed. It is the only test of
//! its program: the limit is the process's.

mod common;

use std::fs::File;

use brickwire_core::fop::wire::{Lookup, Mkdir, Reply, Request, Stat};
use brickwire_core::rpc::Cred;
use brickwire_core::xdr::{Dict, Gfid, Pair, Reader, Value};
use brickwire_posix::Brick;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const LEVELS: u8 = 60;

fn errno(brick: &Brick, request: Request<'_>) -> i32 {
    let bytes = common::ask(brick, &Cred::v3(1, 0, 0), request);
    let reply = Reply::decode(request.number(), &mut Reader::new(&bytes)).expect("a reply");
    if reply.op_ret < 0 { reply.op_errno } else { 0 }
}

fn gfid(level: u8) -> Gfid {
    if level == 0 { Gfid::ROOT } else { Gfid([level; 16]) }
}

fn mkdir(brick: &Brick, parent: Gfid, bname: &[u8], is: Gfid) -> i32 {
    let pair = [Pair { key: b"gfid-req", value: Value::Gfuuid(is) }];
    let xdata = Dict::Pairs(&pair);
    errno(brick, Request::Mkdir(Mkdir { pargfid: parent, mode: 0o755, umask: 0, bname, xdata }))
}

/// Runs with so many free descriptors and no more.
fn with_free<T>(free: usize, run: impl FnOnce() -> T) -> T {
    let before = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(100), ..before }).expect("a lower limit");
    let mut taken = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        taken.push(file);
    }
    taken.truncate(taken.len() - free);
    let result = run();
    drop(taken);
    setrlimit(Resource::Nofile, before).expect("the limit as before");
    result
}

#[test]
fn a_directory_keeps_its_handle_and_its_gfid_while_descriptors_are_short() {
    let Some((dir, brick)) = common::brick() else { return };
    for level in 1..=LEVELS {
        assert_eq!(mkdir(&brick, gfid(level - 1), b"d", gfid(level)), 0, "level {level}");
    }
    drop(brick);
    let deepest = gfid(LEVELS);
    for free in 0..12 {
        // Opened anew, it keeps no directory open.
        let brick = common::open(dir.path(), |_| {});
        assert_eq!(with_free(free, || brick.sweep()), 0, "{free} free descriptors");
        let result = with_free(free, || mkdir(&brick, Gfid::ROOT, b"other", deepest));
        assert_ne!(result, 0, "{free} free descriptors: the gfid is in use");
        assert!(!dir.path().join("other").exists());
        let name = format!("file{free}");
        std::fs::write(dir.path().join(&name), b"hello").expect("a file");
        let pair = [Pair { key: b"gfid-req", value: Value::Gfuuid(deepest) }];
        let (bname, xdata) = (name.as_bytes(), Dict::Pairs(&pair));
        let lookup = Lookup { gfid: Gfid::NONE, pargfid: Gfid::ROOT, flags: 0, bname, xdata };
        let result = with_free(free, || errno(&brick, Request::Lookup(lookup)));
        assert_ne!(result, 0, "{free} free descriptors: the gfid is in use");
        let stat = Request::Stat(Stat { gfid: deepest, xdata: Dict::Null });
        assert_eq!(errno(&brick, stat), 0, "{free} free descriptors");
    }
}
