//! Mounts of a subdirectory of a volume: SETVOLUME resolves its path, and the connection then sees
//! it as the root of the volume.

mod server_harness;

use brickwire_core::ConnId;
use brickwire_core::fop::FopNumber;
use brickwire_core::fop::wire::{Body, Opendir, Readdirp, Request, Setattr, Symlink};
use brickwire_core::rpc::Procedure;
use brickwire_core::rpc::dump::DumpArgs;
use brickwire_core::rpc::handshake::{Opaque, Setvolume, SetvolumeReply};
use brickwire_core::xdr::{Dict, Gfid, Iatt, Pair, Value};
use server_harness::*;

const SHARDS_GFID: Gfid = Gfid([
    0xbe, 0x31, 0x86, 0x38, 0xe8, 0xa0, 0x4c, 0x6d, 0x97, 0x7d, 0x7a, 0x93, 0x7a, 0xa8, 0x48, 0x06,
]);

/// A volume with `/sub/dir`, the file `/top`, the symlink `/sub/link` to `dir`, and a connection
/// that mounts all of it.
struct Site {
    s: Harness,
    whole: ConnId,
    sub: Gfid,
    dir: Gfid,
}

fn site() -> Site {
    let mut s = Harness::new();
    let whole = s.mount();
    s.create(whole, "top");
    let sub = s.mkdir(whole, Gfid::ROOT, "sub");
    let dir = s.mkdir(whole, sub, "dir");
    let pairs = [gfid_req(s.new_gfid())];
    let symlink = Symlink {
        pargfid: sub,
        bname: b"link",
        umask: 0,
        linkname: b"dir",
        xdata: Dict::Pairs(&pairs),
    };
    assert_eq!(s.fop(whole, Request::Symlink(symlink)).result(), (0, 0));
    Site { s, whole, sub, dir }
}

fn login(path: &str) -> Vec<(&'static str, Option<&[u8]>)> {
    let mut pairs = login_pairs().to_vec();
    pairs.push(("subdir-mount", Some(path.as_bytes())));
    pairs
}

/// Result, errno and text of a SETVOLUME.
fn try_mount(s: &mut Harness, conn: ConnId, path: &str) -> (i32, i32, String) {
    let answer = s.setvolume(conn, &login(path));
    let reply: SetvolumeReply<'_> = answer.decode();
    let text = reply.dict.dict().text(b"ERROR").expect("a text").to_vec();
    (reply.op_ret, reply.op_errno, String::from_utf8(text).expect("UTF-8"))
}

fn mounted(s: &mut Harness, path: &str) -> ConnId {
    let conn = s.connect();
    assert_eq!(try_mount(s, conn, path), (0, 0, "Success".to_owned()), "{path}");
    conn
}

fn is_root(iatt: &Iatt) -> bool {
    (iatt.gfid, iatt.ino) == (Gfid::ROOT, 1)
}

#[test]
fn the_subdirectory_is_the_root_of_its_connection() {
    let Site { mut s, whole, dir, .. } = site();
    for path in ["/sub/dir", "sub/dir/", "//sub/./dir"] {
        let conn = mounted(&mut s, path);
        assert!(is_root(&s.stat(conn, Gfid::ROOT).expect("there")), "{path}");
        s.close(conn);
    }
    let conn = mounted(&mut s, "/sub/dir");
    let (file, _) = s.create(conn, "f");
    let below = s.mkdir(conn, Gfid::ROOT, "below");
    assert_eq!(s.lookup(whole, dir, "f").expect("there").gfid, file);
    assert_eq!(s.names(conn, Gfid::ROOT, 4096), [".", "..", "f", "below"]);
    assert_eq!(s.names(whole, Gfid::ROOT, 4096), [".", "..", "top", "sub"]);
    assert_eq!(s.lookup(conn, Gfid::ROOT, "top"), Err(2));
    // A lookup of the root itself, and the parent in a lookup of a name.
    let answer = s.fop(conn, lookup(Gfid::ROOT, Gfid::NONE, b"", &[]));
    let Body::TwoIatts { before, .. } = answer.fop(FopNumber::Lookup).body else { panic!() };
    assert!(is_root(&before));
    let answer = s.fop(conn, lookup(Gfid::NONE, Gfid::ROOT, b"f", &[]));
    let Body::TwoIatts { after, .. } = answer.fop(FopNumber::Lookup).body else { panic!() };
    assert!(is_root(&after));
    let answer = s.fop(conn, rename(Gfid::ROOT, "f", below, "g"));
    let Body::Rename { preoldparent, postoldparent, prenewparent, .. } =
        answer.fop(FopNumber::Rename).body
    else {
        panic!()
    };
    assert!(is_root(&preoldparent) && is_root(&postoldparent));
    assert_eq!(prenewparent.gfid, below);
    assert_eq!(s.lookup(whole, below, "g").expect("there").gfid, file);
}

#[test]
fn no_reply_names_the_subdirectory_or_anything_above_it() {
    let Site { mut s, sub, dir, .. } = site();
    let conn = mounted(&mut s, "/sub/dir");
    let answer = s.fop(conn, Request::Opendir(Opendir { gfid: Gfid::ROOT, xdata: Dict::Null }));
    let Body::Open { fd } = answer.fop(FopNumber::Opendir).body else { panic!() };
    for hold in [false, true] {
        let (one, two) = (s.new_gfid(), s.new_gfid());
        let (one, two) = ([gfid_req(one)], [gfid_req(two)]);
        let stbuf = Iatt { mode: 0o40_755, ..Iatt::default() };
        let set = Setattr { gfid: Gfid::ROOT, stbuf, valid: 1, xdata: Dict::Null };
        let list = Readdirp { gfid: Gfid::ROOT, fd, offset: 0, size: 4096, xdata: Dict::Null };
        let requests = [
            stat_root(),
            fstat(Gfid::ROOT, fd),
            mkdir(Gfid::ROOT, "d", &one),
            create(Gfid::ROOT, "f", &two),
            lookup(Gfid::ROOT, Gfid::NONE, b"", &[]),
            lookup(Gfid::NONE, Gfid::ROOT, b"d", &[]),
            Request::Setattr(set),
            rename(Gfid::ROOT, "d", Gfid::ROOT, "e"),
            Request::Readdirp(list),
            rmdir(Gfid::ROOT, "e"),
            unlink(Gfid::ROOT, "f"),
        ];
        s.storage.hold = hold;
        for request in &requests {
            let number = request.number();
            let answer = if hold {
                let xid = s.xid();
                s.send(conn, &fop_record(xid, *request, b""));
                while s.storage.held() > 0 {
                    s.finish(0);
                }
                let replies = s.replies(conn);
                replies.into_iter().find(|(it, _)| *it == xid).expect("a reply").1
            } else {
                s.fop(conn, *request)
            };
            let reply = answer.fop(number);
            assert!(reply.op_ret >= 0, "{number:?} {reply:?}");
            let shows = |gfid: Gfid| answer.body.windows(16).any(|bytes| bytes == gfid.0);
            assert!(!shows(sub) && !shows(dir), "{number:?} {reply:?}");
            if let Body::Direntps(entries) = reply.body {
                let stats: Vec<_> =
                    entries.iter().map(|entry| (entry.name.to_vec(), entry.stat)).collect();
                let of = |name: &[u8]| stats.iter().find(|(it, _)| it == name).expect("listed").1;
                assert!(is_root(&of(b".")));
                assert_eq!((of(b"..").gfid, stats.len()), (Gfid::NONE, 4));
            }
        }
    }
}

#[test]
fn a_path_that_is_no_directory_of_the_volume_refuses_the_mount() {
    let Site { mut s, whole, sub, .. } = site();
    let conn = s.connect();
    let long = "n".repeat(3000);
    for path in ["/nope", "/sub/nope/dir", "/top", "/top/x", "/sub/link", "/sub/dir/..", "/.."] {
        let text = format!("subdirectory for mount \"{path}\" is not found");
        assert_eq!(try_mount(&mut s, conn, path), (-1, 2, text));
    }
    assert_eq!(try_mount(&mut s, conn, &long).1, 2, "a long path is cut in the text");
    // The same connection may try again, as after any refusal.
    assert_eq!(try_mount(&mut s, conn, "/sub").0, 0);
    assert_eq!(s.names(conn, Gfid::ROOT, 4096), [".", "..", "dir", "link"]);
    // A directory that is removed while it is mounted.
    let fleeting = s.mkdir(whole, sub, "fleeting");
    let conn = mounted(&mut s, "/sub/fleeting");
    assert!(s.stat(conn, Gfid::ROOT).is_ok());
    assert_eq!(s.fop(whole, rmdir(sub, "fleeting")).result().0, 0);
    assert!(s.stat(whole, fleeting).is_err());
    assert!(s.stat(conn, Gfid::ROOT).is_err(), "it does not become the root of the volume");
}

#[test]
fn the_address_is_asked_before_the_directory() {
    let Site { mut s, .. } = site();
    s.exports.rejected_subdirectory = Some("/nope");
    let conn = s.connect();
    let calls = s.storage.calls;
    assert_eq!(try_mount(&mut s, conn, "/nope").1, 13);
    assert_eq!(s.storage.calls, calls, "a rejected client learns nothing of names");
    assert_eq!(try_mount(&mut s, conn, "/sub").0, 0);
}

#[test]
fn names_are_looked_up_one_by_one_however_slow_the_storage_is() {
    let Site { mut s, whole, dir, .. } = site();
    let conn = s.connect();
    let ask = |s: &mut Harness, path: &str| {
        let xid = s.xid();
        let pairs = login(path);
        let arguments = Setvolume { dict: Opaque::Texts(&pairs) };
        s.send(conn, &record(xid, Procedure::SETVOLUME, &root(), &arguments, b""));
        xid
    };
    let result = |s: &mut Harness| {
        let replies = s.replies(conn);
        assert_eq!(replies.len(), 1);
        replies[0].1.decode::<SetvolumeReply<'_>>().op_ret
    };
    // Another client's call is answered, and the storage may have room.
    let stir = |s: &mut Harness| {
        s.call(whole, Procedure::PING, &DumpArgs::CLIENT);
        s.pass(50);
    };
    s.storage.hold = true;
    ask(&mut s, "/sub/dir");
    // A call that follows at once waits until the login is complete.
    let (xid, stat) = (s.xid(), stat_root());
    s.send(conn, &fop_record(xid, stat, b""));
    for _ in 0..2 {
        assert_eq!((s.storage.held(), s.replies(conn).len()), (1, 0));
        s.finish(0);
    }
    assert_eq!(result(&mut s), 0);
    s.finish(0);
    let replies = s.replies(conn);
    let Body::Stat(found) = replies[0].1.fop(FopNumber::Stat).body else { panic!() };
    assert!(is_root(&found));
    // The storage has no room for the first, then for the second name.
    for hold in [false, true] {
        (s.storage.busy, s.storage.hold) = (true, hold);
        ask(&mut s, "/sub/dir");
        s.pass(50);
        assert!(s.replies(conn).is_empty());
        s.storage.busy = false;
        stir(&mut s);
        if hold {
            s.storage.busy = true;
            s.finish(0);
            s.pass(50);
            assert_eq!((s.storage.held(), s.replies(conn).len()), (0, 0));
            s.storage.busy = false;
            stir(&mut s);
            s.finish(0);
        }
        assert_eq!(result(&mut s), 0);
    }
    // A path of which the address is rejected while it is looked up is no start for the next one.
    ask(&mut s, "/sub/dir");
    s.exports.rejected_subdirectory = Some("/sub/dir");
    s.finish(0);
    assert_eq!(result(&mut s), -1);
    s.storage.hold = false;
    assert_eq!(try_mount(&mut s, conn, "/dir").1, 2);
    s.exports.rejected_subdirectory = None;
    // A client that goes away meanwhile leaves nothing.
    s.storage.hold = true;
    ask(&mut s, "/sub/dir");
    assert_eq!(s.storage.held(), 1);
    s.close(conn);
    s.finish(0);
    s.storage.hold = false;
    assert_eq!((s.server.usage().jobs, s.storage.buffers()), (0, 0));
    let other = mounted(&mut s, "/sub");
    assert_eq!(s.lookup(other, Gfid::ROOT, "dir").expect("there").gfid, dir);
}

#[test]
fn all_clients_of_a_volume_have_one_directory_of_shards() {
    let Site { mut s, whole, dir, .. } = site();
    let conn = mounted(&mut s, "/sub/dir");
    // The shard translator makes its directory in its root, with a gfid of its own choice.
    let pairs = [gfid_req(SHARDS_GFID)];
    assert_eq!(s.fop(conn, mkdir(Gfid::ROOT, ".shard", &pairs)).result(), (0, 0));
    assert_eq!(s.lookup(whole, Gfid::ROOT, ".shard").expect("there").gfid, SHARDS_GFID);
    let as_bytes = [Pair { key: b"gfid-req", value: Value::Ptr(&SHARDS_GFID.0) }];
    for asked in [&pairs[..], &as_bytes] {
        let answer = s.fop(conn, lookup(Gfid::NONE, Gfid::ROOT, b".shard", asked));
        let reply = answer.fop(FopNumber::Lookup);
        let Body::TwoIatts { before, after } = reply.body else { panic!("{reply:?}") };
        assert_eq!((before.gfid, after.gfid), (SHARDS_GFID, Gfid::NONE));
    }
    // The name alone is that of a directory like any other.
    let own = s.mkdir(conn, Gfid::ROOT, ".shard");
    assert_eq!(s.lookup(whole, dir, ".shard").expect("there").gfid, own);
}

#[test]
fn the_parts_of_a_long_write_go_to_the_file_below_the_subdirectory() {
    let Site { mut s, whole, .. } = site();
    let conn = mounted(&mut s, "/sub/dir");
    let (gfid, fd) = s.create(conn, "f");
    assert!(s.write(conn, gfid, fd, 0, &[7; 4096]).result().0 > 0);
    assert_eq!(s.stat(whole, gfid).expect("there").size, 4096);
    // The root itself takes no data, whoever's root it is.
    let answer = s.write(conn, Gfid::ROOT, -2, 0, b"data");
    assert_eq!(answer.result().0, -1);
}
