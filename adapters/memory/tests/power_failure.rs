//! A power failure takes what was not synced, inode by inode, and leaves the rest.

#[path = "../../../core/tests/server_harness/mod.rs"]
mod server_harness;

use brickwire_core::ConnId;
use brickwire_core::fop::FopNumber;
use brickwire_core::fop::wire::{
    Body, Fsync, Fsyncdir, Ftruncate, Getxattr, Request, Setxattr, Symlink, Write,
};
use brickwire_core::server::ServerLimits;
use brickwire_core::xdr::{Dict, Gfid, Pair, Value};
use brickwire_memory::{Cached, MemoryLimits};
use server_harness::*;

const NONE: Dict<'static> = Dict::Null;
const PAGE: usize = 4096;

fn start() -> (Harness, ConnId) {
    start_with(MemoryLimits::SMALL)
}

fn start_with(limits: MemoryLimits) -> (Harness, ConnId) {
    let mut s = Harness::with(ServerLimits::SMALL, limits);
    s.storage.memory.enable_write_cache();
    let conn = s.mount();
    (s, conn)
}

/// The power fails and is back, and the client has connected again.
fn power_fails(s: &mut Harness, conn: ConnId) -> ConnId {
    s.close(conn);
    s.storage.memory.lose_power();
    assert_eq!(s.storage.memory.verify(), Ok(()));
    s.mount()
}

fn fsync(s: &mut Harness, conn: ConnId, gfid: Gfid, fd: i64) {
    let request = Request::Fsync(Fsync { gfid, fd, data: 0, xdata: NONE });
    assert_eq!(s.fop(conn, request).result(), (0, 0));
}

fn sync_root(s: &mut Harness, conn: ConnId) {
    let request = Request::Fsyncdir(Fsyncdir { gfid: Gfid::ROOT, fd: -2, data: 0, xdata: NONE });
    assert_eq!(s.fop(conn, request).result(), (0, 0));
}

#[test]
fn data_is_lost_inode_by_inode() {
    let (mut s, conn) = start();
    let files = ["synced", "other"].map(|name| (name, s.create(conn, name)));
    for (_, (gfid, fd)) in files {
        s.write(conn, gfid, fd, 0, b"before");
        fsync(&mut s, conn, gfid, fd);
        s.write(conn, gfid, fd, 0, b"after, and longer");
    }
    let [(_, (synced, fd)), (_, (other, _))] = files;
    fsync(&mut s, conn, synced, fd);
    let conn = power_fails(&mut s, conn);
    assert_eq!(s.read(conn, synced, -2, 0, 100).2, b"after, and longer");
    assert_eq!(s.read(conn, other, -2, 0, 100).2, b"before", "nobody synced this file");
}

#[test]
fn a_new_file_is_gone_or_empty_until_it_is_synced() {
    let (mut s, conn) = start();
    let (gfid, fd) = s.create(conn, "committed");
    s.write(conn, gfid, fd, 0, b"data");
    sync_root(&mut s, conn);
    let (lost, fd) = s.create(conn, "lost");
    s.write(conn, lost, fd, 0, b"data");
    let conn = power_fails(&mut s, conn);
    assert_eq!(s.read(conn, gfid, -2, 0, 100).2, b"");
    assert_eq!(s.lookup(conn, Gfid::ROOT, "lost"), Err(2));
}

#[test]
fn metadata_is_durable_in_order_with_any_sync() {
    let (mut s, conn) = start();
    let (first, _) = s.create(conn, "first");
    let (second, fd) = s.create(conn, "second");
    let value = [7; 300];
    let set = [Pair { key: b"user.long", value: Value::Ptr(&value) }];
    let request =
        Request::Setxattr(Setxattr { gfid: first, flags: 0, dict: Dict::Pairs(&set), xdata: NONE });
    assert_eq!(s.fop(conn, request).result(), (0, 0));
    let pairs = [gfid_req(s.new_gfid())];
    let request = Request::Symlink(Symlink {
        pargfid: Gfid::ROOT,
        umask: 0,
        bname: b"link",
        linkname: b"a/target",
        xdata: dict(&pairs),
    });
    assert_eq!(s.fop(conn, request).result(), (0, 0));
    fsync(&mut s, conn, second, fd);
    assert_eq!(s.fop(conn, unlink(Gfid::ROOT, "second")).result(), (0, 0));
    let conn = power_fails(&mut s, conn);
    assert_eq!(s.lookup(conn, Gfid::ROOT, "first").map(|stat| stat.gfid), Ok(first));
    assert_eq!(s.lookup(conn, Gfid::ROOT, "second").map(|stat| stat.gfid), Ok(second));
    assert_eq!(s.lookup(conn, Gfid::ROOT, "link").map(|stat| stat.size), Ok(8));
    let request =
        Request::Getxattr(Getxattr { gfid: first, namelen: 1, name: b"user.long", xdata: NONE });
    let answer = s.fop(conn, request);
    let Body::Dict { dict, .. } = answer.fop(FopNumber::Getxattr).body else {
        panic!("{answer:?}")
    };
    assert_eq!(dict.get("user.long").and_then(|value| value.as_bytes()), Some(&value[..]));
}

#[test]
fn writes_that_ask_for_it_are_durable_at_once() {
    let (mut s, conn) = start();
    let gfid = s.new_gfid();
    let o_sync = 0o4_010_000;
    let answer = s.fop(conn, create_with(Gfid::ROOT, "f", 0o102 | o_sync, &[gfid_req(gfid)]));
    let Body::Create { fd, .. } = answer.fop(FopNumber::Create).body else { panic!("{answer:?}") };
    s.write(conn, gfid, fd as i64, 0, b"one");
    let conn = power_fails(&mut s, conn);
    assert_eq!(s.read(conn, gfid, -2, 0, 100).2, b"one");
    let write = Write { gfid, fd: -2, offset: 3, size: 3, flag: o_sync, xdata: NONE };
    s.fop_as(conn, &root(), Request::Write(write), b"two");
    s.write(conn, gfid, -2, 6, b"lost");
    let conn = power_fails(&mut s, conn);
    assert_eq!(s.read(conn, gfid, -2, 0, 100).2, b"onetwo");
}

#[test]
fn a_truncated_file_has_its_old_end_again() {
    let (mut s, conn) = start();
    let (gfid, fd) = s.create(conn, "f");
    s.write(conn, gfid, fd, 0, &[1; 3 * PAGE]);
    fsync(&mut s, conn, gfid, fd);
    let request = Request::Ftruncate(Ftruncate { gfid, fd, offset: 10, xdata: NONE });
    s.fop(conn, request);
    sync_root(&mut s, conn);
    let conn = power_fails(&mut s, conn);
    assert_eq!(s.read(conn, gfid, -2, 0, 20_000).2, [1; 3 * PAGE]);
}

#[test]
fn the_cache_is_written_back_page_by_page() {
    let (mut s, conn) = start();
    let (gfid, fd) = s.create(conn, "f");
    s.write(conn, gfid, fd, 0, &[1; 3 * PAGE]);
    fsync(&mut s, conn, gfid, fd);
    s.write(conn, gfid, fd, 0, &[2; 4 * PAGE]);
    s.storage.memory.write_back(|part| part == Cached::Page { gfid, number: 1 });
    let conn = power_fails(&mut s, conn);
    let expected = [[1; PAGE], [2; PAGE], [1; PAGE]].concat();
    assert_eq!(s.read(conn, gfid, -2, 0, 20_000).2, expected);
    s.write(conn, gfid, -2, 0, &[3; 4 * PAGE]);
    s.storage.memory.write_back(|part| part == Cached::Size { gfid });
    let conn = power_fails(&mut s, conn);
    let expected = [[1; PAGE], [2; PAGE], [1; PAGE], [3; PAGE]].concat();
    assert_eq!(s.read(conn, gfid, -2, 0, 20_000).2, expected);
}

#[test]
fn a_file_in_the_place_of_another_has_none_of_its_data() {
    let (mut s, conn) = start();
    let (gfid, fd) = s.create(conn, "old");
    s.write(conn, gfid, fd, 0, b"old data");
    fsync(&mut s, conn, gfid, fd);
    s.fop(conn, release(gfid, fd));
    s.fop(conn, unlink(Gfid::ROOT, "old"));
    // The same slot, and even the same gfid: a heal makes files so.
    let answer = s.fop(conn, create(Gfid::ROOT, "new", &[gfid_req(gfid)]));
    assert_eq!(answer.fop(FopNumber::Create).op_ret, 0);
    sync_root(&mut s, conn);
    let conn = power_fails(&mut s, conn);
    assert_eq!(s.lookup(conn, Gfid::ROOT, "new").map(|stat| stat.size), Ok(0));
    assert_eq!(s.read(conn, gfid, -2, 0, 100).2, b"");
}

#[test]
fn a_full_disk_writes_back_rather_than_keep_old_and_new() {
    let (mut s, conn) = start_with(MemoryLimits { pages: 4, ..MemoryLimits::SMALL });
    let (first, fd) = s.create(conn, "first");
    s.write(conn, first, fd, 0, &[1; 4 * PAGE]);
    fsync(&mut s, conn, first, fd);
    s.fop(conn, Request::Ftruncate(Ftruncate { gfid: first, fd, offset: 0, xdata: NONE }));
    let (second, fd) = s.create(conn, "second");
    s.write(conn, second, fd, 0, &[2; 4 * PAGE]);
    fsync(&mut s, conn, second, fd);
    let conn = power_fails(&mut s, conn);
    assert_eq!(s.read(conn, first, -2, 0, 20_000).2, b"", "its pages were needed");
    assert_eq!(s.read(conn, second, -2, 0, 20_000).2, [2; 4 * PAGE]);
}

#[test]
fn a_process_that_dies_alone_loses_nothing() {
    let (mut s, conn) = start();
    let (gfid, fd) = s.create(conn, "f");
    s.write(conn, gfid, fd, 0, b"data");
    s.close(conn);
    s.storage.memory.restart();
    let conn = s.mount();
    assert_eq!(s.read(conn, gfid, -2, 0, 100).2, b"data");
}

#[test]
fn a_nameless_open_file_is_gone() {
    let (mut s, conn) = start();
    let (gfid, fd) = s.create(conn, "f");
    s.write(conn, gfid, fd, 0, &[1; PAGE]);
    fsync(&mut s, conn, gfid, fd);
    s.fop(conn, unlink(Gfid::ROOT, "f"));
    sync_root(&mut s, conn);
    power_fails(&mut s, conn);
    assert_eq!((s.storage.memory.usage().files, s.storage.memory.usage().pages), (0, 0));
}
