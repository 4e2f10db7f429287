//! Effects of each fop on the times that clients see.

mod common;

use brickwire_core::fop::FopNumber;
use brickwire_core::fop::wire::*;
use brickwire_core::rpc::{Cred, TimeFlags};
use brickwire_core::xdr::{Dict, Gfid, Iatt, Mdata, Pair, Reader, Value};

use brickwire_posix::Brick;
use common::{ask, brick};

const FILE: Gfid = Gfid([9, 0, 0, 0, 0, 0, 0x40, 0, 0x80, 0, 0, 0, 0, 0, 0, 9]);
const NONE: Dict<'static> = Dict::Null;
/// Initial times in seconds; each call comes a second later.
const BEGIN: i64 = 1_000_000;

/// A client at a point in time, whose credential names these times.
fn client(times: u32, seconds: i64) -> Cred<'static> {
    Cred::v3(1, 0, 0).with_times(TimeFlags::from_bits(times), (seconds as u64, 0))
}

fn stat(brick: &Brick) -> Iatt {
    let body = ask(brick, &Cred::v3(1, 0, 0), Request::Stat(Stat { gfid: FILE, xdata: NONE }));
    let reply = Reply::decode(FopNumber::Stat, &mut Reader::new(&body)).expect("a reply");
    let Body::Stat(stat) = reply.body else { panic!("no attributes") };
    stat
}

/// A file that has BEGIN as all its times.
fn file(brick: &Brick) {
    let xdata = [Pair { key: b"gfid-req", value: Value::Gfuuid(FILE) }];
    let (pargfid, xdata) = (Gfid::ROOT, Dict::Pairs(&xdata));
    let mknod = Mknod { pargfid, mode: 0o100_644, dev: 0, umask: 0, bname: b"f", xdata };
    ask(brick, &client(0x1f, BEGIN), Request::Mknod(mknod));
    let truncate = Truncate { gfid: FILE, offset: 8192, xdata: NONE };
    ask(brick, &client(3, BEGIN), Request::Truncate(truncate));
    set(brick, BEGIN, BEGIN);
}

fn set(brick: &Brick, seconds: i64, now: i64) {
    let stbuf = Iatt { atime: seconds, mtime: seconds, ctime: now, ..Iatt::default() };
    // atime, mtime and ctime: a heal sets all of them.
    let setattr = Setattr { gfid: FILE, stbuf, valid: 0x70, xdata: NONE };
    ask(brick, &Cred::v3(-6, 0, 0), Request::Setattr(setattr));
}

/// Letters of the times that a fop moved.
fn moved(brick: &Brick, cred: &Cred<'_>, request: Request<'_>) -> String {
    let before = stat(brick);
    let number = request.number();
    let body = ask(brick, cred, request);
    let reply = Reply::decode(number, &mut Reader::new(&body)).expect("a reply");
    assert!(reply.op_ret >= 0, "{number:?}: errno {}", reply.op_errno);
    let after = stat(brick);
    let times = |it: &Iatt| {
        [(it.atime, it.atime_nsec), (it.mtime, it.mtime_nsec), (it.ctime, it.ctime_nsec)]
    };
    let pairs = times(&before).into_iter().zip(times(&after));
    pairs.zip(["a", "m", "c"]).filter(|((a, b), _)| a != b).map(|(_, letter)| letter).collect()
}

fn requests<'a>(pair: &'a [Pair<'a>]) -> Vec<(Request<'a>, u32, &'static str)> {
    let (gfid, fd, xdata) = (FILE, 0, NONE);
    let stbuf = Iatt { atime: 5, mtime: 5, mode: 0o100_600, ..Iatt::default() };
    let dict = Dict::Pairs(pair);
    // The times that GlusterFS 10.3's features/utime names, and those that move.
    vec![
        (Request::Truncate(Truncate { gfid, offset: 5000, xdata }), 3, "mc"),
        (Request::Fallocate(Fallocate { gfid, fd, flags: 0, offset: 0, size: 9, xdata }), 6, "amc"),
        (Request::Discard(Discard { gfid, fd, offset: 0, size: 4096, xdata }), 0, "mc"),
        (Request::Zerofill(Zerofill { gfid, fd, offset: 0, size: 9, xdata }), 6, "amc"),
        (Request::Setattr(Setattr { gfid, stbuf, valid: 1, xdata }), 1, "c"),
        (Request::Setattr(Setattr { gfid, stbuf, valid: 0x30, xdata }), 0, "amc"),
        (Request::Setattr(Setattr { gfid, stbuf, valid: 0x10, xdata }), 0, "ac"),
        (Request::Setattr(Setattr { gfid, stbuf, valid: 0x20, xdata }), 0, "mc"),
        (Request::Setxattr(Setxattr { gfid, flags: 0, dict, xdata }), 0, "c"),
        (Request::Removexattr(Removexattr { gfid, name: b"user.a", xdata }), 1, "c"),
        (Request::Read(Read { gfid, fd, offset: 0, size: 9, flag: 0, xdata }), 4, "a"),
        (Request::Read(Read { gfid, fd, offset: 0, size: 9, flag: 0, xdata }), 0, ""),
        (Request::Stat(Stat { gfid, xdata }), 0, ""),
        (
            Request::Link(Link { oldgfid: gfid, newgfid: Gfid::ROOT, newbname: b"g", xdata }),
            25,
            "c",
        ),
        (Request::Unlink(Unlink { pargfid: Gfid::ROOT, bname: b"g", xflags: 0, xdata }), 25, "c"),
    ]
}

#[test]
fn each_fop_moves_the_times_that_a_real_brick_moves_and_those_of_what_it_changes() {
    let Some((_dir, brick)) = brick() else { return };
    file(&brick);
    let pair = [Pair { key: b"user.a", value: Value::Ptr(b"1") }];
    let mut now = BEGIN;
    for (request, times, expected) in requests(&pair) {
        now += 1;
        set(&brick, BEGIN, now - 1);
        assert_eq!(moved(&brick, &client(times, now), request), expected, "{request:?}");
    }
}

#[test]
fn changes_by_a_client_that_names_no_times_are_seen_too() {
    let Some((_dir, brick)) = brick() else { return };
    file(&brick);
    let pair = [Pair { key: b"user.a", value: Value::Ptr(b"1") }];
    for (request, _, expected) in requests(&pair) {
        set(&brick, BEGIN, BEGIN);
        let expected = match request {
            // That is the caller's.
            Request::Setattr(_) => expected.to_owned(),
            _ => expected.replace('a', ""),
        };
        assert_eq!(moved(&brick, &Cred::v3(1, 0, 0), request), expected, "{request:?}");
    }
}

#[test]
fn a_change_moves_mtime_and_ctime_that_lie_in_the_future() {
    let Some((_dir, brick)) = brick() else { return };
    file(&brick);
    set(&brick, 2_000_000_000, 2_000_000_000);
    let truncate = Truncate { gfid: FILE, offset: 1, xdata: NONE };
    assert_eq!(moved(&brick, &client(3, BEGIN), Request::Truncate(truncate)), "mc");
    let after = stat(&brick);
    assert_eq!((after.mtime, after.mtime_nsec), (2_000_000_000, 1));
    assert_eq!((after.ctime, after.ctime_nsec), (2_000_000_000, 1));
}

#[test]
fn a_heal_moves_no_times_that_it_does_not_name() {
    let Some((_dir, brick)) = brick() else { return };
    file(&brick);
    let heal = Cred::v3(-6, 0, 0);
    let truncate = Truncate { gfid: FILE, offset: 1, xdata: NONE };
    assert_eq!(moved(&brick, &heal, Request::Truncate(truncate)), "");
}

#[test]
fn without_ctime_the_times_are_the_file_systems() {
    let Some((dir, first)) = brick() else { return };
    file(&first);
    set(&first, 2_000_000_000, 2_000_000_000);
    drop(first);
    let brick = common::open(dir.path(), |options| options.disk_times = true);
    let metadata = std::fs::metadata(dir.path().join("f")).expect("a file");
    use std::os::unix::fs::MetadataExt as _;
    let seen = stat(&brick);
    assert_eq!(
        (seen.mtime, seen.ctime, seen.ctime_nsec.into()),
        (metadata.mtime(), metadata.ctime(), metadata.ctime_nsec())
    );
    let times = Mdata { atime: (1, 0), mtime: (1, 0), ctime: (1, 0) };
    let pair = [Pair { key: b"set-ctime-mdata", value: Value::Mdata(times) }];
    let dict = Dict::Pairs(&pair);
    let setxattr = Setxattr { gfid: FILE, flags: 0, dict, xdata: NONE };
    ask(&brick, &Cred::v3(1, 0, 0), Request::Setxattr(setxattr));
    assert_ne!(stat(&brick).mtime, 1, "nobody keeps others");
}
