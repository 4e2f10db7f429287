//! Questions to a brick in the form of xattr names, as GlusterFS 10.3's bricks answer them.

mod common;

use brickwire_core::fop::wire::{Body, Getxattr, Lookup, Mkdir, Reply, Request, Rmdir, Unlink};
use brickwire_core::rpc::Cred;
use brickwire_core::xdr::{Dict, Gfid, Pair, Reader, Value};
use brickwire_posix::Brick;

const ROOT: Cred<'static> = Cred::v3(1, 0, 0);
const ENOENT: i32 = 2;
const ENOTDIR: i32 = 20;
const ENODATA: i32 = 61;

fn get(brick: &Brick, gfid: Gfid, name: &str) -> Result<String, i32> {
    let (namelen, name) = (name.len() as u32, name.as_bytes());
    let request = Request::Getxattr(Getxattr { gfid, namelen, name, xdata: Dict::Null });
    let bytes = common::ask(brick, &ROOT, request);
    let reply = Reply::decode(request.number(), &mut Reader::new(&bytes)).expect("a reply");
    match reply.body {
        Body::Dict { dict, .. } if reply.op_ret >= 0 => Ok(match dict.pairs().next() {
            Some((_, Value::Str(text))) => String::from_utf8_lossy(text).into_owned(),
            Some((_, Value::Uint(n))) => n.to_string(),
            other => panic!("{other:?}"),
        }),
        _ => Err(reply.op_errno),
    }
}

fn lookup(brick: &Brick, pargfid: Gfid, bname: &[u8]) -> Gfid {
    let xdata = Dict::Null;
    let request = Request::Lookup(Lookup { gfid: Gfid::NONE, pargfid, flags: 0, bname, xdata });
    let bytes = common::ask(brick, &ROOT, request);
    let reply = Reply::decode(request.number(), &mut Reader::new(&bytes)).expect("a reply");
    let Body::TwoIatts { before, .. } = reply.body else { panic!("no attributes") };
    before.gfid
}

#[test]
fn paths_real_names_open_files_and_the_host_are_told() {
    let Some((dir, brick)) = common::brick() else { return };
    std::fs::create_dir(dir.path().join("docs")).expect("a directory");
    std::fs::write(dir.path().join("docs/File"), b"hello").expect("a file");
    std::fs::hard_link(dir.path().join("docs/File"), dir.path().join("Link")).expect("a link");
    let docs = lookup(&brick, Gfid::ROOT, b"docs");
    let file = lookup(&brick, docs, b"File");
    assert_eq!(get(&brick, docs, "glusterfs.gfidtopath").as_deref(), Ok("/docs"));
    assert_eq!(get(&brick, file, "glusterfs.gfidtopath").as_deref(), Ok("/docs/File"));
    assert_eq!(get(&brick, docs, "glusterfs.get_real_filename:fILE").as_deref(), Ok("File"));
    assert_eq!(get(&brick, docs, "glusterfs.get_real_filename:nope"), Err(ENODATA));
    assert_eq!(get(&brick, Gfid::ROOT, "glusterfs.get_real_filename:.GLUSTERFS"), Err(ENODATA));
    assert_eq!(get(&brick, file, "glusterfs.get_real_filename:file"), Err(ENOTDIR));
    assert_eq!(get(&brick, file, "glusterfs.open-fd-count").as_deref(), Ok("0"));
    let host = get(&brick, file, "trusted.glusterfs.node-uuid").expect("a host");
    assert!(Gfid::parse(host.as_bytes()).is_some());
    assert_eq!(get(&brick, docs, "trusted.glusterfs.node-uuid"), Ok(host));
}

#[test]
fn a_name_in_a_directory_that_is_gone_is_gone_too() {
    let Some((_dir, brick)) = common::brick() else { return };
    let (gfid, bname, xdata) = (Gfid([8; 16]), &b"f"[..], Dict::Null);
    let pargfid = gfid;
    let errno = |request: Request<'_>| {
        let bytes = common::ask(&brick, &ROOT, request);
        let reply = Reply::decode(request.number(), &mut Reader::new(&bytes)).expect("a reply");
        reply.op_errno
    };
    let lookup = Lookup { gfid: Gfid::NONE, pargfid, flags: 0, bname, xdata };
    const ESTALE: i32 = 116;
    assert_eq!(errno(Request::Lookup(lookup)), ESTALE, "it never was");
    let pair = [Pair { key: b"gfid-req", value: Value::Gfuuid(gfid) }];
    let (root, name) = (Gfid::ROOT, &b"d"[..]);
    errno(Request::Mkdir(Mkdir {
        pargfid: root,
        mode: 0o755,
        umask: 0,
        bname: name,
        xdata: Dict::Pairs(&pair),
    }));
    errno(Request::Rmdir(Rmdir { pargfid: root, bname: name, xflags: 0, xdata }));
    assert_eq!(errno(Request::Lookup(lookup)), ENOENT);
    for request in [
        Request::Unlink(Unlink { pargfid, bname, xflags: 0, xdata }),
        Request::Rmdir(Rmdir { pargfid, bname, xflags: 0, xdata }),
    ] {
        let bytes = common::ask(&brick, &ROOT, request);
        let reply = Reply::decode(request.number(), &mut Reader::new(&bytes)).expect("a reply");
        assert_eq!((reply.op_ret, reply.op_errno), (-1, ENOENT), "{request:?}");
    }
}

#[test]
fn marks_of_other_translators_are_kept_and_not_shown() {
    let Some((dir, brick)) = common::brick() else { return };
    std::fs::write(dir.path().join("f"), b"hello").expect("a file");
    let file = lookup(&brick, Gfid::ROOT, b"f");
    let hidden = [
        "trusted.glusterfs.01234567-89ab-cdef-0123-456789abcdef.xtime",
        "trusted.glusterfs.01234567-89ab-cdef-0123-456789abcdef.stime",
        "trusted.glusterfs.01234567-89ab-cdef-0123-456789abcdef.entry_stime",
        "trusted.glusterfs.volume-mark.01234567-89ab-cdef-0123-456789abcdef",
        "trusted.glusterfs.lockinfo",
        "trusted.glusterfs.bit-rot.size",
    ];
    for name in hidden {
        let path = dir.path().join("f");
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(path, name, b"1", flags).expect("an xattr");
    }
    let names = |cred: &Cred<'_>| {
        let (gfid, namelen, name, xdata) = (file, 0, &b""[..], Dict::Null);
        let request = Request::Getxattr(Getxattr { gfid, namelen, name, xdata });
        let bytes = common::ask(&brick, cred, request);
        let reply = Reply::decode(request.number(), &mut Reader::new(&bytes)).expect("a reply");
        let Body::Dict { dict, .. } = reply.body else { panic!("no dictionary") };
        dict.pairs().filter(|(name, _)| hidden.iter().any(|one| one.as_bytes() == *name)).count()
    };
    assert_eq!(names(&ROOT), 0, "a mount");
    assert_eq!(names(&Cred::v3(-1, 0, 0)), hidden.len(), "geo-replication");
    for name in hidden {
        assert_eq!(get(&brick, file, name), Err(ENODATA), "{name}");
    }
}
