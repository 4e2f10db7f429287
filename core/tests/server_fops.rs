//! Fops and their replies, byte for byte where a real brick was observed: a test for each row of
//! the table in docs/spec/40-brick-server.md, "Object addressing and errors".

mod server_harness;

use brickwire_core::ConnId;
use brickwire_core::fop::FopNumber;
use brickwire_core::fop::wire::{
    Body, Fgetxattr, Fremovexattr, Fsetxattr, Getxattr, Opendir, Readdir, Removexattr, Reply,
    Request, Seek, Setattr, Setxattr, Stat, Symlink, Zerofill,
};
use brickwire_core::rpc::{Procedure, ReplyStatus};
use brickwire_core::xdr::{Dict, Encode, Gfid, Iatt, NoRoom, Pair, Reader, Value, Writer};
use server_harness::*;

const NONE: Dict<'static> = Dict::Null;
const UNKNOWN: Gfid = Gfid(*b"nobody has this!");

fn up() -> (Harness, ConnId) {
    let mut s = Harness::new();
    let conn = s.mount();
    (s, conn)
}

/// LOOKUP's reply: attributes or the errno.
fn ask(s: &mut Harness, conn: ConnId, gfid: Gfid, pargfid: Gfid, name: &[u8]) -> Result<Iatt, i32> {
    let answer = s.fop(conn, lookup(gfid, pargfid, name, &[]));
    let reply = answer.fop(FopNumber::Lookup);
    match reply.body {
        Body::TwoIatts { before, .. } if reply.op_ret == 0 => Ok(before),
        _ => Err(reply.op_errno),
    }
}

#[test]
fn the_root_is_found_by_its_gfid() {
    let (mut s, conn) = up();
    let stat = ask(&mut s, conn, Gfid::ROOT, Gfid::NONE, b"").unwrap();
    assert_eq!(
        (stat.gfid, stat.ino, stat.mode, stat.nlink),
        (Gfid::ROOT, 1, 0o040_755, 3),
        "with the directory that nobody sees"
    );
}

#[test]
fn a_name_is_found_in_its_directory() {
    let (mut s, conn) = up();
    let (gfid, _) = s.create(conn, "f");
    let stat = ask(&mut s, conn, Gfid::NONE, Gfid::ROOT, b"f").unwrap();
    let last: [u8; 8] = gfid.0[8..].try_into().unwrap();
    assert_eq!((stat.gfid, stat.ino), (gfid, u64::from_be_bytes(last)));
    assert_eq!(ask(&mut s, conn, Gfid::NONE, Gfid::ROOT, b"g"), Err(2));
}

#[test]
fn the_name_wins_over_a_wrong_gfid() {
    let (mut s, conn) = up();
    let (gfid, _) = s.create(conn, "f");
    assert_eq!(ask(&mut s, conn, UNKNOWN, Gfid::ROOT, b"f").unwrap().gfid, gfid);
}

#[test]
fn an_unknown_gfid_is_not_there_and_an_unknown_parent_is_stale() {
    let (mut s, conn) = up();
    assert_eq!(ask(&mut s, conn, UNKNOWN, Gfid::NONE, b""), Err(2));
    assert_eq!(ask(&mut s, conn, Gfid::NONE, UNKNOWN, b"f"), Err(116));
}

#[test]
fn a_lookup_of_nothing_at_all_is_invalid() {
    let (mut s, conn) = up();
    assert_eq!(ask(&mut s, conn, Gfid::NONE, Gfid::NONE, b"f"), Err(22));
    assert_eq!(ask(&mut s, conn, Gfid::NONE, Gfid::NONE, b""), Err(22));
}

#[test]
fn dot_is_the_directory_and_dot_dot_is_refused() {
    let (mut s, conn) = up();
    assert_eq!(ask(&mut s, conn, Gfid::NONE, Gfid::ROOT, b".").unwrap().gfid, Gfid::ROOT);
    assert_eq!(ask(&mut s, conn, Gfid::NONE, Gfid::ROOT, b".."), Err(22));
}

#[test]
fn the_bricks_own_directory_is_nobodys() {
    let (mut s, conn) = up();
    assert_eq!(ask(&mut s, conn, Gfid::NONE, Gfid::ROOT, b".glusterfs"), Err(1));
    assert_eq!(
        s.fop(conn, mkdir(Gfid::ROOT, ".glusterfs", &[gfid_req(UNKNOWN)])).result(),
        (-1, 1)
    );
    assert_eq!(s.fop(conn, unlink(Gfid::ROOT, ".glusterfs")).result(), (-1, 1));
    assert_eq!(s.names(conn, Gfid::ROOT, 4096), [".", ".."]);
}

#[test]
fn names_with_slashes_nuls_or_too_many_bytes_name_nothing() {
    let (mut s, conn) = up();
    assert_eq!(ask(&mut s, conn, Gfid::NONE, Gfid::ROOT, b"a/b"), Err(1));
    assert_eq!(ask(&mut s, conn, Gfid::NONE, Gfid::ROOT, &[b'x'; 256]), Err(36));
    assert_eq!(ask(&mut s, conn, Gfid::NONE, Gfid::ROOT, &[b'x'; 255]), Err(2));
    assert_eq!(s.fop(conn, create(Gfid::ROOT, "..", &[gfid_req(UNKNOWN)])).result(), (-1, 22));
    assert_eq!(s.fop(conn, rename(Gfid::ROOT, "a", Gfid::ROOT, "../b")).result(), (-1, 1));
    assert_eq!(s.fop(conn, link(UNKNOWN, Gfid::ROOT, "")).result(), (-1, 22));
    // A NUL would end the name elsewhere: such a call is refused.
    let answer = s.fop(conn, create(Gfid::ROOT, "a\0b", &[gfid_req(UNKNOWN)]));
    assert_eq!(answer.status, ReplyStatus::GarbageArgs);
}

#[test]
fn nothing_is_made_without_the_gfid_that_the_client_wants() {
    let (mut s, conn) = up();
    let pairs = [gfid_req(Gfid::ROOT)];
    for pairs in [&[][..], &pairs[..]] {
        assert_eq!(s.fop(conn, create(Gfid::ROOT, "f", pairs)).result(), (-1, 22));
        assert_eq!(s.fop(conn, mkdir(Gfid::ROOT, "f", pairs)).result(), (-1, 22));
    }
    let request =
        Symlink { pargfid: Gfid::ROOT, bname: b"f", umask: 0, linkname: b"x", xdata: NONE };
    assert_eq!(s.fop(conn, Request::Symlink(request)).result(), (-1, 22));
    assert_eq!(s.names(conn, Gfid::ROOT, 4096), [".", ".."]);
}

#[test]
fn create_of_a_name_that_is_there_opens_it_unless_it_must_be_new() {
    let (mut s, conn) = up();
    let (gfid, fd) = s.create(conn, "f");
    s.write(conn, gfid, fd, 0, b"data");
    let other = s.new_gfid();
    let answer = s.fop(conn, create(Gfid::ROOT, "f", &[gfid_req(other)]));
    let Body::Create { stat, fd: second, .. } = answer.fop(FopNumber::Create).body else {
        panic!()
    };
    assert_eq!((stat.gfid, stat.size), (gfid, 4));
    assert_eq!(s.read(conn, gfid, second as i64, 0, 9).2, b"data");
    let exclusive = create_with(Gfid::ROOT, "f", 0o302, &[]);
    assert_eq!(s.fop(conn, exclusive).result(), (-1, 22), "without a gfid it is invalid first");
    let pairs = [gfid_req(other)];
    assert_eq!(s.fop(conn, create_with(Gfid::ROOT, "f", 0o302, &pairs)).result(), (-1, 17));
    assert_eq!(s.fop(conn, create_with(Gfid::ROOT, "f", 0o1102, &pairs)).result(), (0, 0));
    assert_eq!(s.stat(conn, gfid).unwrap().size, 0, "it was to be emptied");
}

#[test]
fn a_gfid_belongs_to_one_inode() {
    let (mut s, conn) = up();
    let (gfid, _) = s.create(conn, "f");
    assert_eq!(s.fop(conn, create(Gfid::ROOT, "g", &[gfid_req(gfid)])).result(), (-1, 17));
    assert_eq!(s.fop(conn, mkdir(Gfid::ROOT, "d", &[gfid_req(gfid)])).result(), (-1, 17));
    assert_eq!(ask(&mut s, conn, Gfid::NONE, Gfid::ROOT, b"g"), Err(2));
}

#[test]
fn fops_on_an_unknown_gfid_are_stale() {
    let (mut s, conn) = up();
    assert_eq!(s.stat(conn, UNKNOWN), Err(116));
    assert_eq!(s.fop(conn, open(UNKNOWN, 0)).result(), (-1, 116));
    assert_eq!(s.read(conn, UNKNOWN, -2, 0, 1).1, 116);
}

#[test]
fn an_unknown_fd_is_a_bad_one_and_its_release_succeeds() {
    let (mut s, conn) = up();
    let (gfid, _) = s.create(conn, "f");
    for fd in [0, 7, -1, -3, i64::MAX, i64::MIN] {
        assert_eq!(s.read(conn, gfid, fd, 0, 1).1, 9, "{fd}");
        assert_eq!(s.fop(conn, flush(gfid, fd)).result(), (-1, 9), "{fd}");
        assert_eq!(s.fop(conn, fstat(gfid, fd)).result(), (-1, 9), "{fd}");
        assert_eq!(s.fop(conn, release(gfid, fd)).result(), (0, 0), "{fd}");
    }
}

#[test]
fn the_anonymous_fd_reads_by_gfid() {
    let (mut s, conn) = up();
    let (gfid, fd) = s.create(conn, "f");
    s.write(conn, gfid, fd, 0, b"abc");
    s.fop(conn, release(gfid, fd));
    assert_eq!(s.read(conn, gfid, -2, 1, 1), (1, 0, b"b".to_vec()));
    let dir = s.mkdir(conn, Gfid::ROOT, "d");
    assert_eq!(s.read(conn, dir, -2, 0, 1).1, 21);
    assert_eq!(s.write(conn, dir, -2, 0, b"x").result(), (-1, 21));
}

#[test]
fn a_read_that_touches_the_end_says_so() {
    let (mut s, conn) = up();
    let (gfid, fd) = s.create(conn, "f");
    s.write(conn, gfid, fd, 0, b"abcd");
    assert_eq!(s.read(conn, gfid, fd, 0, 3), (3, 0, b"abc".to_vec()));
    assert_eq!(s.read(conn, gfid, fd, 0, 4), (4, 2, b"abcd".to_vec()), "exactly the end");
    assert_eq!(s.read(conn, gfid, fd, 2, 100), (2, 2, b"cd".to_vec()));
    assert_eq!(s.read(conn, gfid, fd, 4, 1), (0, 2, Vec::new()));
    assert_eq!(
        s.read(conn, gfid, fd, u64::MAX, u32::from(u16::MAX)),
        (-1, 22, Vec::new()),
        "no file goes there"
    );
    assert_eq!(s.read(conn, gfid, fd, 0, u32::MAX).1, 22, "more than any read may ask");
}

#[test]
fn seeking_behind_the_end_finds_nothing() {
    let (mut s, conn) = up();
    let (gfid, fd) = s.create(conn, "f");
    s.write(conn, gfid, fd, 0, b"abcd");
    for (offset, what, errno) in [(4, 0, 6), (5, 0, 6), (5, 1, 6), (0, 7, 22)] {
        let answer = s.fop(conn, Request::Seek(Seek { gfid, fd, offset, what, xdata: NONE }));
        assert_eq!(answer.result(), (-1, errno), "{offset} {what}");
    }
}

#[test]
fn zerofill_of_nothing_is_invalid() {
    let (mut s, conn) = up();
    let (gfid, fd) = s.create(conn, "f");
    let zero = |offset, size| Request::Zerofill(Zerofill { gfid, fd, offset, size, xdata: NONE });
    assert_eq!(s.fop(conn, zero(0, 0)).result(), (-1, 22));
    assert_eq!(s.fop(conn, zero(u64::MAX, 2)).result(), (-1, 22));
    assert_eq!(s.fop(conn, zero(i64::MAX as u64, 2)).result(), (-1, 27));
}

#[test]
fn a_file_that_was_opened_to_be_read_is_not_written() {
    let (mut s, conn) = up();
    let (gfid, both) = s.create(conn, "f");
    let answer = s.fop(conn, open(gfid, 0));
    let Body::Open { fd } = answer.fop(FopNumber::Open).body else { panic!() };
    assert_eq!(s.write(conn, gfid, fd, 0, b"x").result(), (-1, 9));
    let answer = s.fop(conn, open(gfid, 0o2001));
    let Body::Open { fd } = answer.fop(FopNumber::Open).body else { panic!() };
    s.write(conn, gfid, fd, 0, b"ab");
    s.write(conn, gfid, fd, 0, b"cd");
    assert_eq!(s.read(conn, gfid, both, 0, 9).2, b"abcd", "what appends goes to the end");
    assert_eq!(s.read(conn, gfid, fd, 0, 9).1, 9, "and it is not read");
}

#[test]
fn a_write_tells_attributes_before_and_after() {
    let (mut s, conn) = up();
    let (gfid, fd) = s.create(conn, "f");
    s.write(conn, gfid, fd, 0, b"abcd");
    let answer = s.write(conn, gfid, fd, 100, b"x");
    let Body::TwoIatts { before, after } = answer.fop(FopNumber::Write).body else { panic!() };
    assert_eq!((before.size, after.size, after.gfid), (4, 101, gfid));
    let lie = s.fop_as(conn, &root(), write(gfid, fd, 0, 5), b"four");
    assert_eq!(lie.result(), (-1, 22), "a size that is not the payload's");
}

#[test]
fn a_read_only_brick_is_read_and_not_changed() {
    let mut s = Harness::new();
    let writer = s.mount();
    let (gfid, _) = s.create(writer, "f");
    s.exports.read_only = true;
    let conn = s.mount();
    assert_eq!(s.write(conn, gfid, -2, 0, b"x").result(), (-1, 30));
    assert_eq!(s.fop(conn, open(gfid, 2)).result(), (-1, 30));
    assert_eq!(s.fop(conn, create(Gfid::ROOT, "g", &[gfid_req(UNKNOWN)])).result(), (-1, 30));
    assert_eq!(s.fop(conn, unlink(Gfid::ROOT, "f")).result(), (-1, 30));
    let setattr = Setattr { gfid, stbuf: Iatt::default(), valid: 1, xdata: NONE };
    assert_eq!(s.fop(conn, Request::Setattr(setattr)).result(), (-1, 30));
    assert_eq!(s.fop(conn, open(gfid, 0)).result(), (0, 0));
    assert_eq!(s.stat(conn, gfid).unwrap().gfid, gfid);
}

/// Errnos as GlusterFS 10.3 answered them, on a brick with default options.
#[test]
fn xattrs_that_mean_something_to_a_translator_are_refused_as_a_real_brick_refuses_them() {
    let (mut s, conn) = up();
    let (gfid, fd) = s.create(conn, "f");
    let (dir, xdata) = (s.mkdir(conn, Gfid::ROOT, "d"), NONE);
    let names: [(&[u8], i32, i32, i32); 15] = [
        (b"trusted.glusterfs.enforce-mandatory-lock", 22, 61, 22),
        (b"trusted.bit-rot.bad-file", 22, 61, 22),
        (b"trusted.bit-rot.version", 22, 22, 22),
        (b"trusted.bit-rot.signature", 22, 22, 22),
        (b"trusted.glusterfs.set-signature", 22, 61, 61),
        (b"trusted.glusterfs.get-signature", 22, 61, 61),
        (b"trusted.glusterfs.bit-rot.reopen-hint", 22, 61, 61),
        (b"glusterfs.foo", 95, 95, 95),
        (b"glusterfs.", 95, 95, 95),
        (b"glusterfs.dht.nuke", 95, 95, 95),
        (b"glusterfs.heal-info", 95, 95, 95),
        (b"dht-get-iatt-in-xattr", 95, 95, 95),
        (b"virt-gf-prestat", 95, 95, 95),
        // Accepted, but not stored.
        (b"trusted.io-stats-dump", 0, 61, 61),
        (b"glusterfs.internal-ctx", 0, 95, 95),
    ];
    for (name, set, get, remove) in names {
        let namelen = name.len() as u32;
        let pairs = [Pair { key: name, value: Value::Str(b"set") }];
        let dict = Dict::Pairs(&pairs);
        for gfid in [gfid, dir] {
            let answers = [
                Request::Setxattr(Setxattr { gfid, flags: 0, dict, xdata }),
                Request::Getxattr(Getxattr { gfid, namelen, name, xdata }),
                Request::Removexattr(Removexattr { gfid, name, xdata }),
            ]
            .map(|request| s.fop(conn, request).result().1);
            assert_eq!(answers, [set, get, remove], "{}", name.escape_ascii());
        }
        let answers = [
            Request::Fsetxattr(Fsetxattr { gfid, fd, flags: 0, dict, xdata }),
            Request::Fgetxattr(Fgetxattr { gfid, fd, namelen, name, xdata }),
            Request::Fremovexattr(Fremovexattr { gfid, fd, name, xdata }),
        ]
        .map(|request| s.fop(conn, request).result().1);
        assert_eq!(answers, [set, get, remove], "by fd: {}", name.escape_ascii());
    }
    let pairs = [Pair { key: b"trusted.glusterfs.pathinfo", value: Value::Str(b"set") }];
    let setxattr = Setxattr { gfid, flags: 0, dict: Dict::Pairs(&pairs), xdata };
    assert_eq!(s.fop(conn, Request::Setxattr(setxattr)).result(), (-1, 13));
}

#[test]
fn only_a_directory_is_read_as_one_opened_or_by_its_gfid() {
    let (mut s, conn) = up();
    let readdir =
        |fd| Request::Readdir(Readdir { gfid: Gfid::ROOT, fd, offset: 0, size: 4096, xdata: NONE });
    let entries = s.fop(conn, readdir(-2)).result().0;
    assert_eq!(entries, 2, "the root's own . and ..");
    assert_eq!(s.fop(conn, readdir(99)).result(), (-1, 9));
    let (gfid, fd) = s.create(conn, "f");
    assert_eq!(s.fop(conn, readdir(fd)).result(), (-1, 20));
    assert_eq!(s.fop(conn, Request::Opendir(Opendir { gfid, xdata: NONE })).result(), (-1, 20));
}

/// Arguments of a fop that are all zero: null gfids, unknown fds, no names, no xdata.
struct Zeroes(usize);

impl Encode for Zeroes {
    fn encode(&self, w: &mut Writer<'_>) -> Result<(), NoRoom> {
        w.raw(&[0; 512][..self.0])
    }
}

/// Bytes of a fop's arguments if all of them are zero.
fn zeroes_of(number: FopNumber) -> usize {
    let zeroes = [0; 512];
    let mut r = Reader::new(&zeroes);
    match number {
        FopNumber::Null | FopNumber::Compound => 0,
        _ => {
            Request::decode(number, &mut r).expect("zeroes are arguments");
            r.offset() as usize
        }
    }
}

#[test]
fn every_fop_fails_with_the_whole_length_of_its_answer() {
    let (mut s, conn) = up();
    for number in FopNumber::ALL {
        let answer = s.call(conn, Procedure::fop(*number as u32), &Zeroes(zeroes_of(*number)));
        assert_eq!(answer.status, ReplyStatus::Success, "{}", number.name());
        let mut r = Reader::new(&answer.body);
        let reply = Reply::decode(*number, &mut r)
            .unwrap_or_else(|error| panic!("{}: {error:?}", number.name()));
        // NULL's reply has an empty xdata at its end.
        assert_eq!(r.left(), if *number == FopNumber::Null { 4 } else { 0 }, "{}", number.name());
        let succeeds = matches!(
            number,
            // RELEASE of an unknown fd succeeds, and so does STATFS without a gfid, which means the
            // root.
            FopNumber::Null | FopNumber::Release | FopNumber::Releasedir | FopNumber::Statfs
        );
        assert_eq!(reply.op_ret, if succeeds { 0 } else { -1 }, "{}", number.name());
        assert!(succeeds || reply.op_errno > 0, "{} fails with a reason", number.name());
    }
    assert!(s.is_open(conn), "nobody is disconnected for a fop that fails");
    assert_eq!(s.server.usage().files, 0);
}

#[test]
fn arguments_that_are_cut_short_are_garbage_and_nothing_else() {
    let (mut s, conn) = up();
    for number in FopNumber::ALL {
        let len = zeroes_of(*number);
        for cut in [0, 4, 16, len.saturating_sub(4)] {
            if cut >= len {
                continue;
            }
            let answer = s.call(conn, Procedure::fop(*number as u32), &Zeroes(cut));
            assert_eq!(
                answer.status,
                ReplyStatus::GarbageArgs,
                "{} with {cut} bytes",
                number.name()
            );
        }
    }
    assert!(s.is_open(conn));
}

#[test]
fn two_clients_see_one_brick() {
    let mut s = Harness::new();
    let (a, b) = (s.mount(), s.mount());
    let (gfid, fd) = s.create(a, "f");
    s.write(a, gfid, fd, 0, b"from a");
    assert_eq!(s.read(b, gfid, -2, 0, 9).2, b"from a");
    assert_eq!(s.fop(b, unlink(Gfid::ROOT, "f")).result(), (0, 0));
    assert_eq!(s.read(a, gfid, fd, 0, 9).2, b"from a");
    let stat = Request::Stat(Stat { gfid, xdata: NONE });
    s.close(a);
    assert_eq!(s.fop(b, stat).result(), (-1, 116), "its last user is gone");
}
