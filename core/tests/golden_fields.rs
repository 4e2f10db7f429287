//! The values of the worked dumps (docs/spec/01-wire.md, "Worked dumps"), field by field, and what
//! failures and odd blocks must survive.

mod golden;

use brickwire_core::fop::FopNumber;
use brickwire_core::fop::wire::{self, Body, Reply, Request};
use brickwire_core::rpc::callback::Callback;
use brickwire_core::rpc::dump::{DumpArgs, DumpReply, PingReply};
use brickwire_core::rpc::handshake::{Getspec, GetspecReply, Setvolume, SetvolumeReply};
use brickwire_core::rpc::portmap::{PortByBrick, PortByBrickReply};
use brickwire_core::rpc::{
    CallHeader, Cred, CredVersion, Procedure, ReplyHeader, ReplyStatus, TimeFlags, program,
};
use brickwire_core::xdr::{Decode, Dict, Errno, FileType, Flock, Gfid, Iatt, Pair, Reader, Value};

const FILE: &str = "cb847cb8-8f7e-4d08-8d4a-e4240c17aea0";
const DIRECTORY: &str = "c5bd6c9d-5e58-4a2a-9778-82d99a2056e7";
const BRICK: &[u8] = b"/export/vol/brick/one";

#[test]
fn getspec_asks_for_the_volume_with_its_op_versions() {
    let record = golden::one("getspec.call");
    let (header, mut r) = call(record.body());
    assert_eq!((header.xid, header.procedure), (2, Procedure::GETSPEC));
    assert_eq!(header.cred, Cred::bootstrap());
    let getspec = Getspec::decode(&mut r).unwrap();
    assert_eq!((getspec.flags, getspec.key), (1, &b"wire-one"[..]));
    let dict = getspec.xdata.dict();
    assert_eq!(dict.get(b"max-op-version"), Some(&b"100000\0"[..]), "the NUL is counted");
    assert_eq!(dict.text(b"min-op-version"), Some(&b"1"[..]));
    assert_eq!(r.left(), 0);

    let record = golden::one("getspec.reply");
    let mut r = reply(record.body(), 2);
    let answer = GetspecReply::decode(&mut r).unwrap();
    assert_eq!((answer.op_ret, answer.op_errno, answer.spec.len()), (1222, 0, 1222));
    assert!(answer.spec.starts_with(b"volume wire-one-client-0\n    type protocol/clien"));
    assert_eq!(answer.xdata.dict().pairs().count(), 0);
}

#[test]
fn the_portmapper_names_the_port_of_a_brick() {
    let record = golden::one("portmap.call");
    let (header, mut r) = call(record.body());
    assert_eq!((header.xid, header.procedure), (4, Procedure::PORTBYBRICK));
    assert_eq!(PortByBrick::decode(&mut r).unwrap().brick, BRICK);
    let record = golden::one("portmap.reply");
    let answer = PortByBrickReply::decode(&mut reply(record.body(), 4)).unwrap();
    assert_eq!(answer, PortByBrickReply { op_ret: 0, op_errno: 0, status: 0, port: 49600 });
}

#[test]
fn a_brick_lists_its_programs_and_glusterd_others() {
    let record = golden::one("dump-brick.call");
    let (header, mut r) = call(record.body());
    assert_eq!((header.xid, header.procedure), (5, Procedure::DUMP));
    assert_eq!(DumpArgs::decode(&mut r), Ok(DumpArgs::CLIENT));
    let record = golden::one("dump-brick.reply");
    let list = DumpReply::decode(&mut reply(record.body(), 5)).unwrap();
    assert_eq!((list.gfs_id, list.op_ret, list.op_errno), (0, 0, 0));
    let programs: Vec<_> =
        list.programs().map(|each| (each.name, each.number, each.version)).collect();
    let expected: [(&[u8], u64, u64); 4] = [
        (b"GlusterFS 4.x v1", 1_298_437, 400),
        (b"GlusterFS 3.3", 1_298_437, 330),
        (b"GF-DUMP", 123_451_501, 1),
        (b"GlusterFS Handshake", 14_398_633, 2),
    ];
    assert_eq!(programs, expected);
    assert!(list.has(program::FOP, program::FOP_V400) && !list.has(program::PORTMAP, 1));

    let record = golden::one("dump-glusterd.reply");
    let mut r = Reader::new(record.body());
    ReplyHeader::decode(&mut r).unwrap();
    let list = DumpReply::decode(&mut r).unwrap();
    assert!(list.has(program::PORTMAP, 1) && !list.has(program::FOP, program::FOP_V400));
}

#[test]
fn a_ping_is_answered_with_nothing() {
    let record = golden::one("ping.reply");
    assert_eq!(PingReply::decode(&mut reply(record.body(), 6)), Ok(PingReply::default()));
}

#[test]
fn setvolume_names_the_brick_and_succeeds_with_a_stale_errno() {
    let record = golden::one("setvolume.call");
    let (header, mut r) = call(record.body());
    assert_eq!((header.xid, header.procedure), (7, Procedure::SETVOLUME));
    assert_eq!(header.cred, Cred::housekeeping());
    let request = Setvolume::decode(&mut r).unwrap();
    let dict = request.dict.dict();
    assert_eq!(dict.pairs().count(), 22);
    assert_eq!(dict.text(b"remote-subvolume"), Some(BRICK));
    assert_eq!(dict.text(b"fops-version"), Some(&b"1298437"[..]));
    assert_eq!(dict.get(b"process-uuid").map(<[u8]>::len), Some(111));
    assert_eq!(dict.text(b"transport.socket.keepalive-interval"), Some(&b"2"[..]));
    assert_eq!(dict.text(b"strict-locks"), Some(&b"on"[..]));
    assert_eq!(dict.get(b"no such key"), None);

    let record = golden::one("setvolume.reply");
    let answer = SetvolumeReply::decode(&mut reply(record.body(), 7)).unwrap();
    assert_eq!((answer.op_ret, answer.op_errno), (0, 22));
    let dict = answer.dict.dict();
    assert_eq!(dict.pairs().count(), 6);
    assert_eq!(dict.text(b"ERROR"), Some(&b"Success"[..]));
    assert_eq!(dict.text(b"volume-id"), Some(&b"274b90af-6d0b-4eee-b75c-09879aa1de47"[..]));
    assert_eq!(dict.text(b"child_up"), Some(&b"1"[..]));
}

#[test]
fn a_lookup_asks_for_an_xattr_and_gets_it_with_both_attributes() {
    let record = golden::one("lookup-file.call");
    let (header, mut r) = call(record.body());
    assert_eq!((header.xid, header.procedure), (49, Procedure::fop(27)));
    assert_eq!((header.cred.version, header.cred.pid), (CredVersion::V3, 19455));
    assert_eq!(header.cred.lk_owner, b"OWNER01\0");
    let pairs = [Pair { key: b"trusted.glusterfs.mdata", value: Value::Int(1) }];
    let lookup = wire::Lookup {
        gfid: gfid(FILE),
        pargfid: gfid(DIRECTORY),
        flags: 0,
        bname: b"f1",
        xdata: Dict::Pairs(&pairs),
    };
    assert_eq!(Request::decode(FopNumber::Lookup, &mut r), Ok(Request::Lookup(lookup)));

    let record = golden::one("lookup-file.reply");
    let answer = fop_reply(record.body(), 49, FopNumber::Lookup);
    assert_eq!(answer.result(), Ok(0));
    let mdata =
        answer.xdata.get("trusted.glusterfs.mdata").and_then(|value| value.as_bytes()).unwrap();
    assert_eq!((mdata.len(), mdata[0]), (57, 1));
    let Body::TwoIatts { before: stat, after: parent } = answer.body else {
        panic!("{:?}", answer.body)
    };
    let expected = Iatt {
        gfid: gfid(FILE),
        flags: Iatt::ALL,
        ino: 0x8d4a_e424_0c17_aea0,
        dev: 65024,
        size: 131_072,
        blocks: 256,
        atime: 1000,
        mtime: 1_795_362_620,
        ctime: 1_795_362_620,
        atime_nsec: 5,
        mtime_nsec: 364_826_523,
        ctime_nsec: 364_826_523,
        nlink: 1,
        uid: 1,
        gid: 2,
        blksize: 4096,
        mode: 0o100_600,
        ..Iatt::default()
    };
    assert_eq!(stat, expected);
    assert_eq!(stat.file_type(), Some(FileType::Regular));
    assert_eq!((parent.gfid, parent.size, parent.mode), (gfid(DIRECTORY), 4096, 0o40755));
    assert!(parent.is_dir());
}

#[test]
fn a_lookup_of_nothing_fails_with_blocks_of_zeroes() {
    let record = golden::one("lookup-enoent.reply");
    let mut r = Reader::new(record.body());
    ReplyHeader::decode(&mut r).unwrap();
    let answer = Reply::decode(FopNumber::Lookup, &mut r).unwrap();
    assert_eq!(answer.result(), Err(Errno::ENOENT));
    let Body::TwoIatts { before, .. } = answer.body else { panic!("{:?}", answer.body) };
    assert_eq!(before, Iatt::default());
}

#[test]
fn create_carries_the_time_and_the_gfid_of_the_new_file() {
    let record = golden::one("create.call");
    let (header, mut r) = call(record.body());
    let owner = [0xff, 0x4b, 0, 0];
    let cred = Cred::v3(19455, 0, 0)
        .with_times(TimeFlags::from_bits(0x1f), (1_795_362_620, 358_056_465))
        .with_owner(&owner);
    assert_eq!(header, CallHeader { xid: 17, procedure: Procedure::fop(23), cred });
    let pairs = [Pair { key: b"gfid-req", value: Value::Gfuuid(gfid(FILE)) }];
    let create = wire::Create {
        pargfid: gfid(DIRECTORY),
        flags: 0o202,
        mode: 0o644,
        umask: 0,
        bname: b"f1",
        xdata: Dict::Pairs(&pairs),
    };
    assert_eq!(Request::decode(FopNumber::Create, &mut r), Ok(Request::Create(create)));

    let record = golden::one("create.reply");
    let answer = fop_reply(record.body(), 17, FopNumber::Create);
    let Body::Create { stat, fd, preparent, postparent } = answer.body else {
        panic!("{:?}", answer.body)
    };
    assert_eq!(
        (stat.gfid, stat.size, stat.mode, fd),
        (gfid(FILE), 0, 0o100_644, 0),
        "fd 0 is a real one"
    );
    assert_eq!((preparent.gfid, postparent.gfid), (gfid(DIRECTORY), gfid(DIRECTORY)));
}

#[test]
fn write_and_read_have_their_payload_behind_the_last_field() {
    let record = golden::one("write.call");
    let (header, mut r) = call(record.body());
    assert_eq!((header.xid, header.cred.times), (18, TimeFlags::from_bits(3)));
    assert_eq!(header.cred.time, (1_795_362_620, 358_455_760));
    let write =
        wire::Write { gfid: gfid(FILE), fd: 0, offset: 0, size: 11, flag: 0, xdata: Dict::Null };
    assert_eq!(Request::decode(FopNumber::Write, &mut r), Ok(Request::Write(write)));
    assert_eq!(r.rest(), b"hello world");
    let record = golden::one("write.reply");
    let answer = fop_reply(record.body(), 18, FopNumber::Write);
    let Body::TwoIatts { before, after } = answer.body else { panic!("{:?}", answer.body) };
    assert_eq!((answer.result(), before.size, after.size), (Ok(11), 0, 11));

    let record = golden::one("read.call");
    let (_, mut r) = call(record.body());
    let read =
        wire::Read { gfid: gfid(FILE), fd: 0, offset: 0, size: 11, flag: 0, xdata: Dict::Null };
    assert_eq!(Request::decode(FopNumber::Read, &mut r), Ok(Request::Read(read)));
    let record = golden::one("read.reply");
    let mut r = reply(record.body(), 19);
    let answer = Reply::decode(FopNumber::Read, &mut r).unwrap();
    let Body::Read { stat, size } = answer.body else { panic!("{:?}", answer.body) };
    assert_eq!(
        (answer.op_ret, answer.op_errno, size, stat.size),
        (11, 2, 11, 11),
        "errno 2: the end is reached"
    );
    assert_eq!(r.rest(), b"hello world");
}

#[test]
fn readdirp_lists_seven_entries_and_the_last_cookie_is_the_largest() {
    let record = golden::one("readdirp.call");
    let (_, mut r) = call(record.body());
    let request = wire::Readdirp {
        gfid: gfid(DIRECTORY),
        fd: 0,
        offset: 0,
        size: 131_072,
        xdata: Dict::Null,
    };
    assert_eq!(Request::decode(FopNumber::Readdirp, &mut r), Ok(Request::Readdirp(request)));

    let record = golden::one("readdirp.reply");
    let answer = fop_reply(record.body(), 90, FopNumber::Readdirp);
    assert_eq!((answer.op_ret, answer.op_errno), (7, 2));
    let Body::Direntps(list) = answer.body else { panic!("{:?}", answer.body) };
    let names: Vec<_> = list.iter().map(|entry| entry.name).collect();
    assert_eq!(names, [&b"l1"[..], b".", b"f1", b"f3", b"..", b"s1", b"n1"]);
    let (first, last) = (list.iter().next().unwrap(), list.iter().last().unwrap());
    assert_eq!((first.ino, first.offset), (0x8d4a_e424_0c17_aea0, 0x1efc_e248_700a_9a17));
    assert_eq!((first.len, first.kind, first.stat.gfid, first.stat.size), (2, 8, gfid(FILE), 100));
    assert_eq!((last.offset, last.kind, last.stat.mode), (0x7fff_ffff_ffff_ffff, 1, 0o10644));
    assert_eq!(last.dict.pairs().count(), 0);
}

#[test]
fn ftruncate_and_discard_say_their_ranges() {
    let record = golden::one("ftruncate.call");
    let (_, mut r) = call(record.body());
    let request = wire::Ftruncate { gfid: gfid(FILE), fd: 0, offset: 65536, xdata: Dict::Null };
    assert_eq!(Request::decode(FopNumber::Ftruncate, &mut r), Ok(Request::Ftruncate(request)));
    let record = golden::one("ftruncate.reply");
    let answer = fop_reply(record.body(), 22, FopNumber::Ftruncate);
    let Body::TwoIatts { before, after } = answer.body else { panic!("{answer:?}") };
    assert_eq!((before.size, after.size), (11, 65536));

    let record = golden::one("discard.call");
    let (_, mut r) = call(record.body());
    let request =
        wire::Discard { gfid: gfid(FILE), fd: 0, offset: 4096, size: 8192, xdata: Dict::Null };
    assert_eq!(Request::decode(FopNumber::Discard, &mut r), Ok(Request::Discard(request)));
    let record = golden::one("discard.reply");
    let answer = fop_reply(record.body(), 24, FopNumber::Discard);
    assert!(matches!(answer.body, Body::TwoIatts { before, after } if before.size == after.size));
}

#[test]
fn xattrop_adds_to_the_size_of_a_sharded_file() {
    const KEY: &str = "trusted.glusterfs.shard.file-size";
    let record = golden::one("xattrop.call");
    let (header, mut r) = call(record.body());
    assert_eq!((header.xid, header.cred.lk_owner), (41, &[1, 0x5c, 0, 0][..]));
    let Ok(Request::Xattrop(request)) = Request::decode(FopNumber::Xattrop, &mut r) else {
        panic!()
    };
    assert_eq!((request.gfid, request.flags), (gfid("0d4c65e5-21f2-4119-b7d3-6c0d3c960146"), 1));
    let added = request.dict.get(KEY).and_then(|value| value.as_bytes()).unwrap();
    assert_eq!((added.len(), &added[..8]), (32, &[0, 0, 0, 0, 0, 0x0f, 0xe0, 0][..]));
    let record = golden::one("xattrop.reply");
    let answer = fop_reply(record.body(), 41, FopNumber::Xattrop);
    let Body::Dict { dict, before, after } = answer.body else { panic!("{:?}", answer.body) };
    let now = dict.get(KEY).and_then(|value| value.as_bytes()).unwrap();
    assert_eq!(
        (&now[..8], before, after),
        (&[0, 0, 0, 0, 0, 0x10, 0, 0][..], Iatt::default(), Iatt::default())
    );
}

#[test]
fn an_internal_client_locks_with_the_owner_of_its_credential() {
    let record = golden::one("inodelk.call");
    let (header, mut r) = call(record.body());
    assert_eq!((header.xid, header.cred.pid), (10, -13));
    assert_eq!(header.cred.lk_owner, [0x28, 0x76, 0x17, 0x6c, 0x3b, 0x7f, 0, 0]);
    let flock = Flock { kind: 1, start: 0x7fff_ffff_ffff_fffe, ..Flock::default() };
    let request = wire::Inodelk {
        gfid: Gfid::ROOT,
        cmd: 1,
        kind: 1,
        flock,
        volume: b"wire-rep-replicate-0",
        xdata: Dict::Null,
    };
    assert_eq!(Request::decode(FopNumber::Inodelk, &mut r), Ok(Request::Inodelk(request)));
    let record = golden::one("inodelk.reply");
    assert_eq!(fop_reply(record.body(), 10, FopNumber::Inodelk), Reply::plain(0, 0));
}

#[test]
fn callbacks_are_calls_without_a_caller() {
    let record = golden::one("cbk-fetchspec");
    assert_eq!(CallHeader::decode(&mut Reader::new(record.body())).unwrap().xid, 306);
    assert_eq!(Callback::decode_record(record.body()), Ok(Callback::Fetchspec));
    let record = golden::one("cbk-statedump");
    assert!(matches!(Callback::decode_record(record.body()), Ok(Callback::Statedump { .. })));
    let record = golden::one("cbk-inodelk-contention");
    let Ok(Callback::InodelkContention { flock, pid, domain, .. }) =
        Callback::decode_record(record.body())
    else {
        panic!()
    };
    assert_eq!((flock.lk_owner, pid, domain), (&b""[..], 0x1092, &b"dom1"[..]));
}

#[test]
fn attributes_to_be_set_need_no_file_type() {
    let record = golden::one("fsetattr.call");
    let (_, mut r) = call(record.body());
    let Ok(Request::Fsetattr(request)) = Request::decode(FopNumber::Fsetattr, &mut r) else {
        panic!("a real client's FSETATTR")
    };
    assert_eq!((request.stbuf.mode, request.valid & 1), (0o600, 1), "permissions alone");
    assert_eq!(request.stbuf.file_type(), None);
}

#[test]
fn attributes_of_a_failure_are_not_judged_and_those_of_a_success_are() {
    let odd = Iatt { flags: Iatt::ALL, mtime_nsec: u32::MAX, size: u64::MAX, ..Iatt::default() };
    for (op_ret, taken) in [(-1, true), (0, false)] {
        for number in [FopNumber::Stat, FopNumber::Read] {
            let body = if number == FopNumber::Read {
                Body::Read { stat: odd, size: 0 }
            } else {
                Body::Stat(odd)
            };
            let mut bytes = Vec::new();
            golden::put_with(&mut bytes, |w| {
                Reply { body, ..Reply::plain(op_ret, 5) }.encode(number, w)
            });
            let back = Reply::decode(number, &mut Reader::new(&bytes));
            assert_eq!(back.is_ok(), taken, "{number:?} with op_ret {op_ret}");
        }
    }
}

#[test]
fn a_failure_without_a_body_has_every_field_of_its_fop() {
    for number in FopNumber::ALL {
        let mut bytes = Vec::new();
        golden::put_with(&mut bytes, |w| Reply::plain(-1, 2).encode(*number, w));
        let back = Reply::decode(*number, &mut Reader::new(&bytes));
        assert_eq!(back.map(|reply| reply.result()), Ok(Err(Errno::ENOENT)), "{number:?}");
    }
    // As long as a real brick's.
    let record = golden::one("lookup-enoent.reply");
    let mut bytes = Vec::new();
    golden::put_with(&mut bytes, |w| Reply::plain(-1, 2).encode(FopNumber::Lookup, w));
    assert_eq!(bytes.len() + 24, record.body().len());
}

#[test]
fn a_name_of_256_bytes_is_no_entry_of_a_directory() {
    for (len, taken) in [(0, false), (1, true), (255, true), (256, false)] {
        let name = vec![b'n'; len];
        let entries = [wire::Dirent { ino: 1, offset: 1, len: len as u32, kind: 8, name: &name }];
        let body = Body::Dirents(wire::Dirents::of(&entries));
        let mut bytes = Vec::new();
        golden::put_with(&mut bytes, |w| {
            Reply { body, ..Reply::plain(1, 2) }.encode(FopNumber::Readdir, w)
        });
        let back = Reply::decode(FopNumber::Readdir, &mut Reader::new(&bytes));
        assert_eq!(back.is_ok(), taken, "{len} bytes");
    }
}

#[test]
fn a_denial_says_why_or_is_malformed() {
    let denied = |stat: u32| {
        let words = [9_u32, 1, 1, stat, 2, 2];
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        ReplyHeader::decode(&mut Reader::new(&bytes)).map(|header| header.status)
    };
    assert_eq!(denied(0), Ok(ReplyStatus::RpcMismatch { low: 2, high: 2 }));
    assert_eq!(denied(1), Ok(ReplyStatus::AuthError(2)), "the port is not accepted");
    assert_eq!(denied(2).unwrap_err().field, "reject_stat");
}

fn gfid(text: &str) -> Gfid {
    Gfid::parse(text.as_bytes()).unwrap()
}

fn call(record: &[u8]) -> (CallHeader<'_>, Reader<'_>) {
    let mut r = Reader::new(record);
    (CallHeader::decode(&mut r).unwrap(), r)
}

/// A reader at the results of a successful reply to call `xid`.
fn reply(record: &[u8], xid: u32) -> Reader<'_> {
    let mut r = Reader::new(record);
    assert_eq!(ReplyHeader::decode(&mut r), Ok(ReplyHeader { xid, status: ReplyStatus::Success }));
    r
}

fn fop_reply(record: &[u8], xid: u32, number: FopNumber) -> Reply<'_> {
    let mut r = reply(record, xid);
    let answer = Reply::decode(number, &mut r).unwrap();
    assert_eq!(r.left(), 0);
    answer
}
