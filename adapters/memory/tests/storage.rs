//! A brick in memory answers as a brick on a disk does.

#[path = "../../../core/tests/server_harness/mod.rs"]
mod server_harness;

use brickwire_core::fop::FopNumber;
use brickwire_core::fop::wire::{
    Body, CopyFileRange, Discard, Fallocate, Ftruncate, Getxattr, Inodelk, Mknod, Opendir, Put,
    Rchecksum, Readdirp, Readlink, Removexattr, Request, Seek, Setattr, Setxattr, Statfs, Symlink,
    Xattrop, Zerofill,
};
use brickwire_core::rpc::Cred;
use brickwire_core::server::ServerLimits;
use brickwire_core::xdr::{Dict, Flock, Gfid, Iatt, Pair, Value};
use brickwire_memory::{MemoryLimits, MemoryStorage, MemoryTables};
use server_harness::*;

const NONE: Dict<'static> = Dict::Null;

fn size_and_bytes(stat: &Iatt) -> (u64, u64) {
    (stat.size, stat.blocks * 512)
}

#[test]
fn what_was_written_is_read_and_what_was_not_is_zero() {
    let mut s = Harness::new();
    let conn = s.mount();
    let (gfid, fd) = s.create(conn, "f");
    assert_eq!(s.write(conn, gfid, fd, 10_000, b"hello").result(), (5, 0));
    let (ret, errno, data) = s.read(conn, gfid, fd, 9_998, 100);
    assert_eq!((ret, errno, &data[..]), (7, 2, &b"\0\0hello"[..]));
    let stat = s.stat(conn, gfid).unwrap();
    assert_eq!(size_and_bytes(&stat), (10_005, 4096), "a hole takes no room");
    let (ret, errno, _) = s.read(conn, gfid, fd, 20_000, 100);
    assert_eq!((ret, errno), (0, 2));
}

#[test]
fn a_file_that_shrinks_and_grows_again_has_zeroes_where_it_was_cut() {
    let mut s = Harness::new();
    let conn = s.mount();
    let (gfid, fd) = s.create(conn, "f");
    s.write(conn, gfid, fd, 0, &[0xaa; 9000]);
    for size in [5000, 9000] {
        let request = Request::Ftruncate(Ftruncate { gfid, fd, offset: size, xdata: NONE });
        assert_eq!(s.fop(conn, request).result(), (0, 0));
    }
    let (_, _, data) = s.read(conn, gfid, fd, 0, 9000);
    assert!(
        data[..5000].iter().all(|byte| *byte == 0xaa) && data[5000..].iter().all(|byte| *byte == 0)
    );
}

#[test]
fn holes_are_made_found_and_filled() {
    let mut s = Harness::new();
    let conn = s.mount();
    let (gfid, fd) = s.create(conn, "f");
    s.write(conn, gfid, fd, 0, &[1; 64 * 1024]);
    let seek = |s: &mut Harness, offset, what| {
        let answer = s.fop(conn, Request::Seek(Seek { gfid, fd, offset, what, xdata: NONE }));
        match answer.fop(FopNumber::Seek) {
            reply if reply.op_ret < 0 => Err(reply.op_errno),
            reply => match reply.body {
                Body::Seek { offset } => Ok(offset),
                _ => panic!("{reply:?}"),
            },
        }
    };
    assert_eq!((seek(&mut s, 5, 0), seek(&mut s, 5, 1)), (Ok(5), Ok(65536)));
    let request = Request::Discard(Discard { gfid, fd, offset: 4096, size: 8192, xdata: NONE });
    assert_eq!(s.fop(conn, request).result(), (0, 0));
    assert_eq!((seek(&mut s, 0, 1), seek(&mut s, 4096, 0)), (Ok(4096), Ok(12288)));
    assert_eq!(s.read(conn, gfid, fd, 4095, 3).2, [1, 0, 0]);
    assert_eq!(size_and_bytes(&s.stat(conn, gfid).unwrap()), (65536, 65536 - 8192));
    // ZEROFILL beyond the end extends the file.
    let request =
        Request::Zerofill(Zerofill { gfid, fd, offset: 65000, size: 100_000, xdata: NONE });
    assert_eq!(s.fop(conn, request).result(), (0, 0));
    assert_eq!(s.stat(conn, gfid).unwrap().size, 165_000);
    assert_eq!(s.read(conn, gfid, fd, 64_999, 3).2, [1, 0, 0]);
    let keep =
        Request::Fallocate(Fallocate { gfid, fd, flags: 1, offset: 200_000, size: 1, xdata: NONE });
    assert_eq!(s.fop(conn, keep).result(), (0, 0));
    assert_eq!(s.stat(conn, gfid).unwrap().size, 165_000);
    for (offset, what) in [(165_000, 0), (165_000, 1), (u64::MAX, 0)] {
        assert_eq!(seek(&mut s, offset, what), Err(6), "behind the end there is neither");
    }
}

#[test]
fn a_full_brick_says_so_and_has_changed_nothing() {
    let mut s =
        Harness::with(ServerLimits::SMALL, MemoryLimits { pages: 4, ..MemoryLimits::SMALL });
    let conn = s.mount();
    let (gfid, fd) = s.create(conn, "f");
    assert_eq!(s.write(conn, gfid, fd, 0, &[1; 8192]).result(), (8192, 0));
    assert_eq!(s.write(conn, gfid, fd, 4096, &[2; 20_000]).result(), (-1, 28));
    assert_eq!(s.read(conn, gfid, fd, 0, 10_000).2, [1; 8192]);
    let fallocate =
        Request::Fallocate(Fallocate { gfid, fd, flags: 0, offset: 0, size: 1 << 40, xdata: NONE });
    assert_eq!(s.fop(conn, fallocate).result(), (-1, 28));
    assert_eq!(
        s.write(conn, gfid, fd, 1 << 62, b"x").result(),
        (1, 0),
        "far away is as near as anywhere"
    );
    assert_eq!(s.write(conn, gfid, fd, i64::MAX as u64, b"x").result(), (-1, 22));
    assert_eq!(s.write(conn, gfid, fd, u64::MAX, b"x").result(), (-1, 22));
    // Removing entries frees their slots.
    s.fop(conn, release(gfid, fd));
    assert_eq!(s.fop(conn, unlink(Gfid::ROOT, "f")).result(), (0, 0));
    assert_eq!(s.storage.memory.usage().pages, 0);
}

#[test]
fn names_inodes_and_xattrs_run_out_by_name_and_not_by_half() {
    let limits = MemoryLimits { inodes: 4 + 5, entries: 4, xattrs: 1, ..MemoryLimits::SMALL };
    let mut s = Harness::with(ServerLimits::SMALL, limits);
    let conn = s.mount();
    for name in ["a", "b", "c"] {
        s.mkdir(conn, Gfid::ROOT, name);
    }
    let gfid = s.new_gfid();
    let two = [
        gfid_req(gfid),
        Pair { key: b"trusted.one", value: Value::Ptr(b"1") },
        Pair { key: b"trusted.two", value: Value::Ptr(b"2") },
    ];
    assert_eq!(s.fop(conn, create(Gfid::ROOT, "f", &two)).result(), (-1, 28));
    assert_eq!(s.lookup(conn, Gfid::ROOT, "f"), Err(2));
    assert_eq!(s.fop(conn, create(Gfid::ROOT, "f", &two[..2])).result(), (0, 0));
    assert_eq!(s.fop(conn, link(gfid, Gfid::ROOT, "g")).result(), (-1, 28));
    assert_eq!(s.stat(conn, gfid).unwrap().nlink, 1);
    assert_eq!(s.server.usage().files, 1, "what was not made is not open");
}

#[test]
fn an_unlinked_file_lives_until_its_last_close() {
    let mut s = Harness::new();
    let conn = s.mount();
    let (gfid, fd) = s.create(conn, "f");
    s.write(conn, gfid, fd, 0, b"still here");
    let before = s.storage.memory.usage().inodes;
    assert_eq!(s.fop(conn, unlink(Gfid::ROOT, "f")).result(), (0, 0));
    assert_eq!(s.lookup(conn, Gfid::ROOT, "f"), Err(2));
    assert_eq!(s.read(conn, gfid, fd, 0, 100).2, b"still here");
    assert_eq!(s.read(conn, gfid, -2, 0, 100).2, b"still here", "also by its gfid");
    assert_eq!(s.stat(conn, gfid).unwrap().nlink, 0);
    assert_eq!(s.write(conn, gfid, fd, 0, b"STILL").result(), (5, 0));
    assert_eq!(
        s.fop(conn, link(gfid, Gfid::ROOT, "back")).result(),
        (-1, 2),
        "there is no way back"
    );
    s.fop(conn, release(gfid, fd));
    assert_eq!(s.stat(conn, gfid), Err(116));
    assert_eq!(s.storage.memory.usage().inodes, before - 1);
    assert_eq!(s.storage.memory.usage().pages, 0);
}

#[test]
fn hard_links_share_an_inode_and_a_rename_onto_one_leaves_both() {
    let mut s = Harness::new();
    let conn = s.mount();
    let (gfid, fd) = s.create(conn, "a");
    assert_eq!(s.fop(conn, link(gfid, Gfid::ROOT, "b")).result(), (0, 0));
    assert_eq!(s.fop(conn, link(gfid, Gfid::ROOT, "b")).result(), (-1, 17));
    let stat = s.lookup(conn, Gfid::ROOT, "b").unwrap();
    assert_eq!((stat.gfid, stat.nlink), (gfid, 2));
    assert_eq!(s.fop(conn, rename(Gfid::ROOT, "a", Gfid::ROOT, "b")).result(), (0, 0));
    assert_eq!(s.lookup(conn, Gfid::ROOT, "a").unwrap().gfid, gfid);
    s.fop(conn, unlink(Gfid::ROOT, "a"));
    assert_eq!(s.stat(conn, gfid).unwrap().nlink, 1);
    s.fop(conn, release(gfid, fd));
    assert_eq!(s.lookup(conn, Gfid::ROOT, "b").unwrap().gfid, gfid);
    let dir = s.mkdir(conn, Gfid::ROOT, "d");
    assert_eq!(s.fop(conn, link(dir, Gfid::ROOT, "e")).result(), (-1, 1));
}

#[test]
fn renames_keep_to_the_rules_of_directories() {
    let mut s = Harness::new();
    let conn = s.mount();
    let root_gfid = Gfid::ROOT;
    let (a, b) = (s.mkdir(conn, root_gfid, "a"), s.mkdir(conn, root_gfid, "b"));
    let inner = s.mkdir(conn, a, "inner");
    let (file, fd) = s.create(conn, "f");
    s.fop(conn, release(file, fd));
    let mut rename_errno = |old, old_name: &str, new, new_name: &str| {
        let answer = s.fop(conn, rename(old, old_name, new, new_name));
        answer.result().1 * -answer.result().0
    };
    assert_eq!(rename_errno(root_gfid, "a", inner, "x"), 22, "into itself");
    assert_eq!(rename_errno(root_gfid, "a", a, "x"), 22);
    assert_eq!(rename_errno(root_gfid, "b", root_gfid, "a"), 39, "onto one that is not empty");
    assert_eq!(rename_errno(root_gfid, "f", root_gfid, "a"), 21);
    assert_eq!(rename_errno(root_gfid, "a", root_gfid, "f"), 20);
    assert_eq!(rename_errno(root_gfid, "nothing", root_gfid, "x"), 2);
    assert_eq!(rename_errno(root_gfid, "a", root_gfid, "b"), 0, "onto an empty one");
    assert_eq!(s.stat(conn, b), Err(116));
    assert_eq!(s.lookup(conn, root_gfid, "b").unwrap().gfid, a);
    assert_eq!(s.lookup(conn, a, "inner").unwrap().gfid, inner);
    // 2, `b`, and the hidden `.glusterfs`.
    assert_eq!(s.stat(conn, root_gfid).unwrap().nlink, 4);
    assert_eq!(s.fop(conn, rename(a, "inner", root_gfid, "outer")).result(), (0, 0));
    assert_eq!((s.stat(conn, a).unwrap().nlink, s.stat(conn, root_gfid).unwrap().nlink), (2, 5));
    assert_eq!(s.fop(conn, rmdir(root_gfid, "f")).result(), (-1, 20));
    assert_eq!(s.fop(conn, unlink(root_gfid, "b")).result(), (-1, 21));
    assert_eq!(s.fop(conn, rmdir(root_gfid, "b")).result(), (0, 0));
}

#[test]
fn a_removed_directory_that_is_open_is_empty_and_nothing_is_made_in_it() {
    let mut s = Harness::new();
    let conn = s.mount();
    let dir = s.mkdir(conn, Gfid::ROOT, "d");
    let answer = s.fop(conn, Request::Opendir(Opendir { gfid: dir, xdata: NONE }));
    let Body::Open { fd } = answer.fop(FopNumber::Opendir).body else { panic!() };
    assert_eq!(s.fop(conn, rmdir(Gfid::ROOT, "d")).result(), (0, 0));
    let request = Request::Readdirp(Readdirp { gfid: dir, fd, offset: 0, size: 4096, xdata: NONE });
    assert_eq!(s.fop(conn, request).result(), (0, 2));
    assert_eq!(s.fop(conn, create(dir, "x", &[gfid_req(Gfid([9; 16]))])).result(), (-1, 116));
    // Its gfid is free again, as a heal needs it.
    assert_eq!(s.fop(conn, mkdir(Gfid::ROOT, "d", &[gfid_req(dir)])).result(), (0, 0));
    assert_eq!(s.stat(conn, dir).unwrap().nlink, 2);
}

#[test]
fn a_directory_is_read_by_its_gfid_without_being_opened() {
    let mut s = Harness::new();
    let conn = s.mount();
    let dir = s.mkdir(conn, Gfid::ROOT, "d");
    let listed = |s: &mut Harness, gfid| {
        let request =
            Request::Readdirp(Readdirp { gfid, fd: -2, offset: 0, size: 4096, xdata: NONE });
        s.fop(conn, request).result()
    };
    assert_eq!(listed(&mut s, dir), (2, 2));
    assert_eq!(s.fop(conn, create(dir, "x", &[gfid_req(Gfid([9; 16]))])).result(), (0, 0));
    assert_eq!(listed(&mut s, dir), (3, 2));
    assert_eq!(listed(&mut s, Gfid([9; 16])), (-1, 20), "a file");
    assert_eq!(listed(&mut s, Gfid([8; 16])), (-1, 116), "nothing");
}

#[test]
fn a_big_directory_is_read_in_pieces_and_changes_on_the_way_disturb_nothing() {
    let mut s = Harness::new();
    let conn = s.mount();
    let all: Vec<String> = (0..500).map(|n| format!("file-{n:04}")).collect();
    for name in &all {
        let (gfid, fd) = s.create(conn, name);
        s.fop(conn, release(gfid, fd));
    }
    for size in [60, 1000, 65_536] {
        let names = s.names(conn, Gfid::ROOT, size);
        assert_eq!((&names[..2], &names[2..]), (&[".".to_owned(), "..".to_owned()][..], &all[..]));
    }
    let answer = s.fop(conn, Request::Opendir(Opendir { gfid: Gfid::ROOT, xdata: NONE }));
    let Body::Open { fd } = answer.fop(FopNumber::Opendir).body else { panic!() };
    let (mut offset, mut seen) = (0, Vec::new());
    loop {
        let request =
            Request::Readdirp(Readdirp { gfid: Gfid::ROOT, fd, offset, size: 2000, xdata: NONE });
        let answer = s.fop(conn, request);
        let reply = answer.fop(FopNumber::Readdirp);
        let Body::Direntps(entries) = reply.body else { panic!() };
        for entry in entries.iter() {
            offset = entry.offset;
            seen.push(String::from_utf8(entry.name.to_vec()).unwrap());
            if entry.name.len() > 2 {
                assert_eq!(
                    (entry.stat.gfid.0[0], entry.kind, entry.stat.flags),
                    (0x77, 8, Iatt::ALL)
                );
            }
        }
        if reply.op_errno == 2 {
            break;
        }
        // The last entry listed is removed: the next page still begins after it.
        let last = seen.last().unwrap().clone();
        if last.len() > 2 {
            assert_eq!(s.fop(conn, unlink(Gfid::ROOT, &last)).result(), (0, 0));
        }
    }
    assert_eq!(seen[2..], all[..]);
}

#[test]
fn symlinks_pipes_and_devices_are_what_they_were_made() {
    let mut s = Harness::new();
    let conn = s.mount();
    let gfid = s.new_gfid();
    let pairs = [gfid_req(gfid)];
    let long = "x/".repeat(2000);
    let symlink = |linkname| {
        Request::Symlink(Symlink {
            pargfid: Gfid::ROOT,
            bname: b"s",
            umask: 0,
            linkname,
            xdata: Dict::Pairs(&pairs),
        })
    };
    assert_eq!(s.fop(conn, symlink(b"")).result(), (-1, 2));
    assert_eq!(s.fop(conn, symlink(long.as_bytes())).result(), (0, 0));
    let answer = s.fop(conn, Request::Readlink(Readlink { gfid, size: 4096, xdata: NONE }));
    let reply = answer.fop(FopNumber::Readlink);
    assert_eq!(reply.op_ret, 4000);
    let Body::Readlink { stat, path } = reply.body else { panic!("{reply:?}") };
    assert!(path == long.as_bytes() && stat.is_symlink());
    for (n, (mode, dev)) in
        [(0o010_600, 7), (0o060_600, 0x803), (0o140_600, 0), (0o100_600, 0)].into_iter().enumerate()
    {
        let (gfid, name) = (s.new_gfid(), format!("n{n}"));
        let pairs = [gfid_req(gfid)];
        let (bname, xdata) = (name.as_bytes(), Dict::Pairs(&pairs));
        let request =
            Request::Mknod(Mknod { pargfid: Gfid::ROOT, dev, mode, umask: 0o077, bname, xdata });
        assert_eq!(s.fop(conn, request).result(), (0, 0));
        let stat = s.stat(conn, gfid).unwrap();
        assert_eq!((stat.mode, stat.rdev), (mode, if mode == 0o060_600 { 8 << 32 | 3 } else { 0 }));
        // Opening a FIFO could block for ever, so it is refused.
        let opened = s.fop(conn, open(gfid, 2)).result();
        assert_eq!(opened, if stat.is_regular() { (0, 0) } else { (-1, 22) });
    }
    assert_eq!(
        s.fop(conn, Request::Readlink(Readlink { gfid: Gfid::ROOT, size: 9, xdata: NONE }))
            .result(),
        (-1, 22)
    );
}

#[test]
fn xattrs_are_set_read_listed_and_removed() {
    let mut s = Harness::new();
    let conn = s.mount();
    let (gfid, _) = s.create(conn, "f");
    let long = vec![7; 40_000];
    let set = |s: &mut Harness, flags, pairs: &[Pair<'_>]| {
        s.fop(conn, Request::Setxattr(Setxattr { gfid, flags, dict: dict(pairs), xdata: NONE }))
            .result()
    };
    let get = |s: &mut Harness, name: &[u8]| {
        let namelen = u32::from(!name.is_empty());
        let answer = s.fop(conn, Request::Getxattr(Getxattr { gfid, namelen, name, xdata: NONE }));
        let reply = answer.fop(FopNumber::Getxattr);
        let Body::Dict { dict, .. } = reply.body else { panic!() };
        let pairs =
            dict.pairs().map(|(key, value)| (key.to_vec(), value.as_bytes().unwrap().to_vec()));
        if reply.op_ret < 0 { Err(reply.op_errno) } else { Ok(pairs.collect::<Vec<_>>()) }
    };
    let small = Pair { key: b"user.small", value: Value::Ptr(b"abc") };
    let big = Pair { key: b"user.big", value: Value::Ptr(&long) };
    assert_eq!(set(&mut s, 0, &[small, big]), (0, 0));
    assert_eq!(set(&mut s, 1, &[small]), (-1, 17));
    assert_eq!(set(&mut s, 2, &[Pair { key: b"user.new", value: Value::Ptr(b"") }]), (-1, 61));
    assert_eq!(get(&mut s, b"user.big").unwrap()[0].1, long);
    // Names are bytes and need not be text.
    let odd = Pair { key: b"user.\xff\xc3(", value: Value::Ptr(b"odd") };
    assert_eq!(set(&mut s, 0, &[odd]), (0, 0));
    assert_eq!(get(&mut s, odd.key).unwrap(), [(odd.key.to_vec(), b"odd".to_vec())]);
    let names: Vec<Vec<u8>> = get(&mut s, b"").unwrap().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, [&b"user.big"[..], b"user.small", odd.key]);
    for key in ["trusted.gfid", "trusted.glusterfs.volume-id", "trusted.gfid2path.1"] {
        assert_eq!(
            set(&mut s, 0, &[Pair { key: key.as_bytes(), value: Value::Ptr(b"x") }]),
            (-1, 1),
            "{key}"
        );
        assert_eq!(get(&mut s, key.as_bytes()), Err(61));
    }
    assert_eq!(set(&mut s, 0, &[Pair { key: b"elsewhere", value: Value::Ptr(b"x") }]), (-1, 95));
    let too_long = vec![0; 65_537];
    assert_eq!(set(&mut s, 0, &[Pair { key: b"user.x", value: Value::Ptr(&too_long) }]), (-1, 7));
    assert_eq!(get(&mut s, b"glusterfs.gfid").unwrap()[0].1, gfid.0);
    assert_eq!(get(&mut s, b"glusterfs.gfid.string").unwrap()[0].1, gfid.to_string().as_bytes());
    let remove = |name| Request::Removexattr(Removexattr { gfid, name, xdata: NONE });
    assert_eq!(s.fop(conn, remove(b"user.big")).result(), (0, 0));
    assert_eq!(s.fop(conn, remove(b"user.big")).result(), (-1, 61));
    assert_eq!(s.storage.memory.usage().pages, 0, "the long value's pages are free");
}

#[test]
fn a_lookup_brings_along_what_was_asked_for() {
    let mut s = Harness::new();
    let conn = s.mount();
    let gfid = s.new_gfid();
    let born = [
        gfid_req(gfid),
        Pair { key: b"trusted.glusterfs.shard.block-size", value: Value::Ptr(&[1; 8]) },
    ];
    let answer = s.fop_as(conn, &timed(1, 77), create(Gfid::ROOT, "f", &born), &[]);
    assert_eq!(answer.result(), (0, 0));
    s.write(conn, gfid, -2, 0, b"content");
    let asked = [
        Pair { key: b"glusterfs.content", value: Value::Uint(65_536) },
        Pair { key: b"trusted.glusterfs.mdata", value: Value::Int(1) },
        Pair { key: b"trusted.glusterfs.shard.block-size", value: Value::Uint(0) },
        Pair { key: b"security.ima", value: Value::Int(0) },
        Pair { key: b"glusterfs.open-fd-count", value: Value::Uint(4) },
        Pair { key: b"glusterfs.inodelk-count", value: Value::Uint(0) },
        Pair { key: b"link-count", value: Value::Str(b"glusterfs.xattrop_index_count") },
        Pair { key: b"something.else", value: Value::Uint(0) },
    ];
    let answer = s.fop(conn, lookup(gfid, Gfid::ROOT, b"f", &asked));
    let reply = answer.fop(FopNumber::Lookup);
    let keys: Vec<&[u8]> = reply.xdata.pairs().map(|(key, _)| key).collect();
    assert_eq!(
        keys,
        [
            &b"glusterfs.content"[..],
            b"trusted.glusterfs.mdata",
            b"trusted.glusterfs.shard.block-size",
            b"link-count",
            b"glusterfs.inodelk-count",
            b"glusterfs.open-fd-count"
        ]
    );
    assert_eq!(reply.xdata.get("glusterfs.content").unwrap().as_bytes(), Some(&b"content"[..]));
    assert_eq!(reply.xdata.get("trusted.glusterfs.mdata").unwrap().as_bytes().unwrap().len(), 57);
    assert_eq!(reply.xdata.get("glusterfs.open-fd-count").unwrap().as_u64(), Some(1));
    let Body::TwoIatts { before, after } = reply.body else { panic!() };
    assert_eq!((before.gfid, after.gfid), (gfid, Gfid::ROOT));
    let list = [Pair { key: b"list-xattr", value: Value::Int(1) }];
    let answer = s.fop(conn, lookup(gfid, Gfid::NONE, b"", &list));
    let reply = answer.fop(FopNumber::Lookup);
    assert_eq!(reply.xdata.pairs().count(), 1);
}

#[test]
fn a_heal_is_told_who_has_locks_in_which_domain_and_what_an_index_lists() {
    let mut s = Harness::new();
    let conn = s.mount();
    let (gfid, _) = s.create(conn, "f");
    let flock = Flock { kind: 1, whence: 0, start: 0, len: 0, pid: 0, lk_owner: b"" };
    let lock = Inodelk { gfid, cmd: 1, kind: 1, flock, volume: b"set", xdata: NONE };
    assert_eq!(s.fop(conn, Request::Inodelk(lock)).result(), (0, 0));
    let counts = |s: &mut Harness, domains: &[&'static [u8]]| {
        let asked: Vec<Pair<'_>> =
            domains.iter().map(|domain| Pair { key: domain, value: Value::Uint(1) }).collect();
        let answer = s.fop(conn, lookup(gfid, Gfid::NONE, b"", &asked));
        let pairs = answer.fop(FopNumber::Lookup).xdata;
        domains
            .iter()
            .map(|domain| {
                pairs
                    .pairs()
                    .find(|(key, _)| key == domain)
                    .map(|(_, value)| value.as_u64().unwrap())
            })
            .collect::<Vec<_>>()
    };
    let (set, heal, third) = (
        b"glusterfs.inodelk-dom-prefix:set",
        b"glusterfs.inodelk-dom-prefix:set:self-heal",
        b"glusterfs.inodelk-dom-prefix:third",
    );
    assert_eq!(counts(&mut s, &[heal, set]), [Some(0), Some(1)]);
    assert_eq!(
        counts(&mut s, &[set, heal, third]),
        [Some(1), Some(0), None],
        "nobody asks for more than two"
    );
    for (name, kind) in [("xattrop_index", 1), ("xattrop_dirty", 1), ("xattrop_entry_changes", 2)] {
        let name = format!("glusterfs.{name}_gfid");
        let request = Getxattr { gfid: Gfid::ROOT, namelen: 1, name: name.as_bytes(), xdata: NONE };
        let answer = s.fop(conn, Request::Getxattr(request));
        let Body::Dict { dict, .. } = answer.fop(FopNumber::Getxattr).body else { panic!() };
        let index = Gfid(dict.get(&name).unwrap().as_bytes().unwrap().try_into().unwrap());
        let asked = [Pair { key: b"glusterfs.index-ia-type-get-req", value: Value::Int(1) }];
        let answer = s.fop(conn, lookup(index, Gfid::NONE, b"", &asked));
        let told =
            answer.fop(FopNumber::Lookup).xdata.get("glusterfs.index-ia-type-get-rsp").unwrap();
        assert_eq!(told, Value::Uint(kind), "{name}");
    }
}

#[test]
fn xattrop_adds_swaps_and_lists_what_is_pending() {
    let mut s = Harness::new();
    let conn = s.mount();
    let (gfid, _) = s.create(conn, "f");
    let op = |s: &mut Harness, flags, value: &[u8]| {
        let pairs = [Pair { key: b"trusted.afr.v-client-1", value: Value::Ptr(value) }];
        let request =
            Request::Xattrop(Xattrop { gfid, flags, dict: Dict::Pairs(&pairs), xdata: NONE });
        let answer = s.fop(conn, request);
        let reply = answer.fop(FopNumber::Xattrop);
        let Body::Dict { dict, .. } = reply.body else { panic!() };
        let value = dict.get("trusted.afr.v-client-1").and_then(|value| value.as_bytes());
        (reply.op_ret, value.map(<[u8]>::to_vec))
    };
    let pending = |s: &mut Harness| {
        let asked = [Pair { key: b"link-count", value: Value::Str(b"x") }];
        let answer = s.fop(conn, lookup(Gfid::ROOT, Gfid::NONE, b"", &asked));
        answer.fop(FopNumber::Lookup).xdata.get("link-count").unwrap().as_u64().unwrap()
    };
    assert_eq!(op(&mut s, 0, &[0; 12]), (0, Some(vec![0; 12])));
    assert_eq!((s.storage.memory.usage().xattrs, pending(&mut s)), (0, 0), "zeroes are not kept");
    assert_eq!(
        op(&mut s, 0, &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2]),
        (0, Some(vec![0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2]))
    );
    assert_eq!(pending(&mut s), 1);
    // The heal daemon finds it by reading the index.
    let name = b"glusterfs.xattrop_index_gfid";
    let answer = s
        .fop(conn, Request::Getxattr(Getxattr { gfid: Gfid::ROOT, namelen: 1, name, xdata: NONE }));
    let Body::Dict { dict: found, .. } = answer.fop(FopNumber::Getxattr).body else { panic!() };
    let index = Gfid(
        found.get("glusterfs.xattrop_index_gfid").unwrap().as_bytes().unwrap().try_into().unwrap(),
    );
    assert_eq!(s.names(conn, index, 4096), [".", "..", &gfid.to_string()]);
    assert_eq!(
        op(&mut s, 0, &[0xff; 4]),
        (0, Some(vec![0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2])),
        "it wraps"
    );
    assert_eq!(
        op(&mut s, 4, &[0; 4]),
        (0, Some(vec![0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2])),
        "a swap says what was"
    );
    assert_eq!(op(&mut s, 9, &[0; 4]), (0, Some(vec![0; 4])), "an unknown one reads");
    assert_eq!(op(&mut s, 0, &[0; 12]), (0, Some(vec![0; 12])));
    assert_eq!(pending(&mut s), 0);
    let pairs = [Pair { key: b"user.x", value: Value::Ptr(&[1; 4]) }];
    let request =
        Request::Xattrop(Xattrop { gfid, flags: 0, dict: Dict::Pairs(&pairs), xdata: NONE });
    assert_eq!(s.fop(conn, request).result(), (-1, 1));
}

#[test]
fn times_are_the_clients_where_it_keeps_them_and_the_hosts_elsewhere() {
    let mut s = Harness::new();
    let conn = s.mount();
    s.storage.memory.set_time(2_000, 3);
    let (plain, _) = s.create(conn, "plain");
    let stat = s.stat(conn, plain).unwrap();
    assert_eq!((stat.ctime, stat.mtime, stat.mtime_nsec), (2_000, 2_000, 3));
    let kept = s.new_gfid();
    // ctime and mtime, and the parent's.
    let answer =
        s.fop_as(conn, &timed(0x1b, 5_000), create(Gfid::ROOT, "kept", &[gfid_req(kept)]), &[]);
    assert_eq!(answer.result(), (0, 0));
    s.storage.memory.set_time(3_000, 0);
    s.write(conn, plain, -2, 0, b"x");
    s.fop_as(conn, &timed(3, 4_000), write(kept, -2, 0, 1), b"x");
    let (plain, kept) = (s.stat(conn, plain).unwrap(), s.stat(conn, kept).unwrap());
    assert_eq!((plain.mtime, plain.ctime, plain.atime), (3_000, 3_000, 2_000));
    assert_eq!((kept.mtime, kept.ctime), (5_000, 5_000), "a clock that went back moves nothing");
    assert_eq!(s.stat(conn, Gfid::ROOT).unwrap().mtime, 5_000);
    let want = Iatt { mtime: 42, atime: 43, ..Iatt::default() };
    let request =
        Request::Setattr(Setattr { gfid: kept.gfid, stbuf: want, valid: 0x30, xdata: NONE });
    s.fop_as(conn, &timed(1, 6_000), request, &[]);
    let stat = s.stat(conn, kept.gfid).unwrap();
    assert_eq!((stat.mtime, stat.atime, stat.ctime), (42, 43, 6_000));
}

#[test]
fn a_heal_is_told_the_times_of_one_copy_and_gives_them_to_another() {
    const TIMES: &[u8] = b"trusted.glusterfs.mdata";
    let mut s = Harness::new();
    let conn = s.mount();
    let heal = Cred::v3(-6, 0, 0);
    let (source, sink) = (s.new_gfid(), s.create(conn, "sink").0);
    s.fop_as(conn, &timed(3, 5_000), create(Gfid::ROOT, "source", &[gfid_req(source)]), &[]);
    let listed = |s: &mut Harness, cred: &Cred<'_>, gfid| {
        let request = Request::Getxattr(Getxattr { gfid, namelen: 0, name: b"", xdata: NONE });
        let answer = s.fop_as(conn, cred, request, &[]);
        let Body::Dict { dict, .. } = answer.fop(FopNumber::Getxattr).body else { panic!() };
        dict.get("trusted.glusterfs.mdata").map(|times| times.as_bytes().unwrap().to_vec())
    };
    let times = listed(&mut s, &heal, source).unwrap();
    assert_eq!(listed(&mut s, &root(), source), None, "nobody else lists them");
    assert_eq!(listed(&mut s, &heal, sink), None);
    let set = |s: &mut Harness, gfid, times: &[u8]| {
        let pairs = [Pair { key: b"trusted.glusterfs.mdata", value: Value::Ptr(times) }];
        let request =
            Request::Setxattr(Setxattr { gfid, flags: 0, dict: dict(&pairs), xdata: NONE });
        s.fop_as(conn, &heal, request, &[]).result()
    };
    assert_eq!(set(&mut s, sink, &times), (0, 0));
    assert_eq!(listed(&mut s, &heal, sink).as_ref(), Some(&times));
    // Existing times are kept.
    let mut others = times.clone();
    others[16] ^= 1;
    let pairs = [Pair { key: b"trusted.glusterfs.mdata", value: Value::Ptr(&times) }];
    for (name, xdata) in [(&b""[..], dict(&pairs)), (TIMES, NONE)] {
        let request = Request::Removexattr(Removexattr { gfid: sink, name, xdata });
        assert_eq!(s.fop_as(conn, &heal, request, &[]).result(), (0, 0));
    }
    assert_eq!(set(&mut s, sink, &others), (0, 0));
    assert_eq!(listed(&mut s, &heal, sink), Some(times));
    // All three are set; for a client that sets two, ctime is the time of the call.
    let want = Iatt { mtime: 42, atime: 43, ctime: 44, ..Iatt::default() };
    let request = Request::Setattr(Setattr { gfid: sink, stbuf: want, valid: 0x70, xdata: NONE });
    assert_eq!(s.fop_as(conn, &heal, request, &[]).result(), (0, 0));
    let stat = s.stat(conn, sink).unwrap();
    assert_eq!((stat.mtime, stat.atime, stat.ctime), (42, 43, 44));
}

#[test]
fn modes_decide_for_everybody_but_root() {
    let mut s = Harness::new();
    let conn = s.mount();
    let (gfid, _) = s.create(conn, "f");
    let chmod = |mode| {
        let stbuf = Iatt { mode, ..Iatt::default() };
        Request::Setattr(Setattr { gfid, stbuf, valid: 1, xdata: NONE })
    };
    assert_eq!(s.fop_as(conn, &user(5, 5), chmod(0o777), &[]).result(), (-1, 1));
    assert_eq!(s.fop_as(conn, &user(5, 5), write(gfid, -2, 0, 1), b"x").result(), (-1, 13));
    assert_eq!(s.fop(conn, chmod(0o602)).result(), (0, 0));
    assert_eq!(s.fop_as(conn, &user(5, 5), write(gfid, -2, 0, 1), b"x").result(), (1, 0));
    assert_eq!(s.fop_as(conn, &user(5, 5), open(gfid, 0), &[]).result(), (-1, 13));
    assert_eq!(s.fop_as(conn, &user(5, 5), unlink(Gfid::ROOT, "f"), &[]).result(), (-1, 13));
    let new = s.new_gfid();
    assert_eq!(
        s.fop_as(conn, &user(5, 5), create(Gfid::ROOT, "g", &[gfid_req(new)]), &[]).result(),
        (-1, 13)
    );
    assert_eq!(s.lookup(conn, Gfid::ROOT, "g"), Err(2));
}

#[test]
fn who_is_not_root_gains_nothing_by_an_odd_call() {
    let mut s = Harness::new();
    let conn = s.mount();
    let (gfid, _) = s.create(conn, "f");
    s.write(conn, gfid, -2, 0, b"contents");
    let set = |valid, stbuf| Request::Setattr(Setattr { gfid, stbuf, valid, xdata: NONE });
    let to = Iatt { uid: 5, gid: 5, ..Iatt::default() };
    assert_eq!(s.fop(conn, set(6, to)).result(), (0, 0));
    assert_eq!(s.fop(conn, set(1, Iatt { mode: 0o664, ..Iatt::default() })).result(), (0, 0));
    // The owner may give the file only to a group that it is in.
    assert_eq!(s.fop_as(conn, &user(5, 5), set(4, Iatt { gid: 9, ..to }), &[]).result(), (-1, 1));
    assert_eq!(
        s.fop_as(conn, &user(5, 9), set(1, Iatt { mode: 0o2775, ..to }), &[]).result(),
        (0, 0)
    );
    assert_eq!(s.stat(conn, gfid).unwrap().mode & 0o7777, 0o775);
    // Setting times needs write permission.
    let then = Iatt { mtime: 1_000_000, ..to };
    assert_eq!(s.fop_as(conn, &user(6, 5), set(0x20, then), &[]).result(), (0, 0));
    assert_eq!(s.fop_as(conn, &user(6, 6), set(0x20, then), &[]).result(), (-1, 13));
    // CREATE with O_TRUNC for reading does not truncate an existing file.
    let again = s.new_gfid();
    let call = Request::Create(brickwire_core::fop::wire::Create {
        pargfid: Gfid::ROOT,
        flags: 0o1100,
        mode: 0o644,
        umask: 0,
        bname: b"f",
        xdata: Dict::Pairs(&[gfid_req(again)]),
    });
    s.fop(conn, set(1, Iatt { mode: 0o664, ..to }));
    let root = Request::Setattr(Setattr {
        gfid: Gfid::ROOT,
        stbuf: Iatt { mode: 0o777, ..to },
        valid: 1,
        xdata: NONE,
    });
    assert_eq!(s.fop(conn, root).result(), (0, 0));
    assert_eq!(s.fop_as(conn, &user(6, 6), call, &[]).result(), (-1, 13));
    assert_eq!(s.stat(conn, gfid).unwrap().size, 8);
}

#[test]
fn put_makes_a_file_with_content_and_xattrs_in_one_call() {
    let mut s = Harness::new();
    let conn = s.mount();
    let gfid = s.new_gfid();
    let (wanted, xattrs) = ([gfid_req(gfid)], [Pair { key: b"user.a", value: Value::Ptr(b"1") }]);
    let put = Request::Put(Put {
        pargfid: Gfid::ROOT,
        bname: b"p",
        mode: 0o644,
        umask: 0o022,
        flag: 0,
        offset: 0,
        size: 5,
        xattr: Dict::Pairs(&xattrs),
        xdata: Dict::Pairs(&wanted),
    });
    let answer = s.fop_as(conn, &root(), put, b"hello");
    let Body::Entry { stat, .. } = answer.fop(FopNumber::Put).body else { panic!() };
    assert_eq!((stat.gfid, stat.size, stat.mode), (gfid, 5, 0o100_644));
    assert_eq!(s.read(conn, gfid, -2, 0, 9).2, b"hello");
    assert_eq!(s.storage.memory.usage().xattrs, 1);
    assert_eq!(s.fop_as(conn, &root(), put, b"again").result(), (-1, 17));
}

#[test]
fn a_range_is_copied_with_its_holes() {
    let mut s = Harness::new();
    let conn = s.mount();
    let (from, fd_in) = s.create(conn, "from");
    let (to, fd_out) = s.create(conn, "to");
    s.write(conn, from, fd_in, 0, &[1; 4096]);
    s.write(conn, from, fd_in, 12_288, &[2; 100]);
    s.write(conn, to, fd_out, 0, &[9; 16_384]);
    let copy = |off_in, off_out, size| {
        Request::CopyFileRange(CopyFileRange {
            source: from,
            destination: to,
            fd_in,
            fd_out,
            off_in,
            off_out,
            size,
            flag: 0,
            xdata: NONE,
        })
    };
    assert_eq!(s.fop(conn, copy(0, 0, 1 << 20)).result(), (12_388, 0), "as much as there is");
    let (_, _, data) = s.read(conn, to, fd_out, 0, 20_000);
    assert_eq!((&data[..4096], &data[4096..12_288]), (&[1; 4096][..], &[0; 8192][..]));
    assert_eq!((&data[12_288..12_388], &data[12_388..]), (&[2; 100][..], &[9; 3996][..]));
    let within = Request::CopyFileRange(CopyFileRange {
        source: from,
        destination: from,
        fd_in,
        fd_out: fd_in,
        off_in: 0,
        off_out: 10,
        size: 100,
        flag: 0,
        xdata: NONE,
    });
    assert_eq!(s.fop(conn, within).result(), (-1, 22), "onto itself");
}

#[test]
fn checksums_and_space_are_told() {
    let mut s = Harness::new();
    let conn = s.mount();
    let (gfid, fd) = s.create(conn, "f");
    s.write(conn, gfid, fd, 0, b"abc");
    let answer = s.fop(
        conn,
        Request::Rchecksum(Rchecksum { gfid, fd, offset: 0, len: 4096, flags: 0, xdata: NONE }),
    );
    let reply = answer.fop(FopNumber::Rchecksum);
    assert_eq!(reply.xdata.get("fips-mode-rchecksum"), Some(Value::Int(1)));
    let Body::Rchecksum { flags: 1, strong, .. } = reply.body else { panic!() };
    assert_eq!((strong.len(), &strong[..4]), (32, &[0xba, 0x78, 0x16, 0xbf][..]), "SHA-256 of abc");
    let answer = s.fop(conn, Request::Statfs(Statfs { gfid: Gfid::ROOT, xdata: NONE }));
    let Body::Statfs(fs) = answer.fop(FopNumber::Statfs).body else { panic!() };
    assert_eq!((fs.bsize, fs.blocks, fs.bfree, fs.namemax), (4096, 4096, 4095, 255));
}

#[test]
fn a_restart_forgets_what_was_open_and_nothing_else() {
    let mut s = Harness::new();
    let conn = s.mount();
    let (kept, fd) = s.create(conn, "kept");
    let (gone, _) = s.create(conn, "gone");
    s.write(conn, kept, fd, 0, b"data");
    s.fop(conn, unlink(Gfid::ROOT, "gone"));
    s.storage.memory.restart();
    assert_eq!(s.storage.memory.usage().files, 0);
    assert_eq!(s.stat(conn, gone), Err(116));
    assert_eq!(s.read(conn, kept, -2, 0, 9).2, b"data");
}

#[test]
fn the_same_calls_make_the_same_state_and_a_snapshot_is_untouched_by_what_follows() {
    let run = |s: &mut Harness| {
        let conn = s.mount();
        for n in 0..40 {
            let (gfid, fd) = s.create(conn, &format!("f{}", n * 7 % 40));
            s.write(conn, gfid, fd, n * 1000, &[n as u8; 3000]);
            if n % 3 == 0 {
                s.fop(conn, unlink(Gfid::ROOT, &format!("f{}", n * 7 % 40)));
            }
            if n % 2 == 0 {
                s.fop(conn, release(gfid, fd));
            }
        }
    };
    let (mut a, mut b) = (Harness::new(), Harness::new());
    run(&mut a);
    run(&mut b);
    assert!(a.storage.memory == b.storage.memory);
    assert_eq!(a.storage.memory.verify(), Ok(()));
    let snapshot = a.storage.memory.clone();
    let conn = a.mount();
    a.mkdir(conn, Gfid::ROOT, "later");
    assert!(a.storage.memory != snapshot);
    assert!(b.storage.memory == snapshot);
}

#[test]
fn tables_that_are_too_small_are_named() {
    let limits = MemoryLimits::SMALL;
    let mut tables = MemoryTables::on_heap(&limits);
    tables.cookie_order = brickwire_core::ManagedSlice::Owned(vec![0; 7]);
    let error = MemoryStorage::new(&limits, tables).unwrap_err();
    assert_eq!((error.table, error.has), ("cookie_order", 7));
}
