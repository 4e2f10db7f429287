//! ACLs on a brick on disk; the expected answers are a real brick's.

mod common;

use std::os::unix::fs::PermissionsExt as _;

use brickwire_core::fop::wire::{
    Body, Create, Fsetattr, Getxattr, Lookup, Open, Reply, Request, Setxattr,
};
use brickwire_core::rpc::Cred;
use brickwire_core::xdr::{Dict, Gfid, Iatt, Pair, Reader, Value};
use brickwire_posix::Brick;

const FILE: Gfid = Gfid([0x11; 16]);
const ROOT: Cred<'static> = Cred::v3(1, 0, 0);
const OWNER: Cred<'static> = Cred::v3(1, 1000, 1000);
const NAMED: Cred<'static> = Cred::v3(1, 2000, 2000);
const OTHER: Cred<'static> = Cred::v3(1, 3000, 3000);
const TEXT: &[u8] = b"glusterfs.posix.acl";
const DEFAULT_TEXT: &[u8] = b"glusterfs.posix.default_acl";

/// Xattrs and their values.
type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

struct Rig {
    dir: tempfile::TempDir,
    brick: Brick,
}

impl Rig {
    /// A brick with a user's file. `None` without the privilege to set trusted xattrs.
    fn new() -> Option<Self> {
        let (dir, brick) = common::brick()?;
        let rig = Self { dir, brick };
        std::fs::set_permissions(rig.dir.path(), std::fs::Permissions::from_mode(0o777))
            .expect("a mode");
        rig.create("file", FILE);
        Some(rig)
    }

    /// The answer to a call: its result, and the xattrs in xdata and body.
    fn ask(&self, cred: &Cred<'_>, request: Request<'_>) -> (i32, Pairs) {
        let bytes = common::ask(&self.brick, cred, request);
        let reply = Reply::decode(request.number(), &mut Reader::new(&bytes)).expect("a reply");
        let body = if let Body::Dict { dict, .. } = reply.body { dict } else { Dict::Null };
        let pairs = reply.xdata.pairs().chain(body.pairs());
        let pairs =
            pairs.map(|(key, value)| (key.to_vec(), value.as_bytes().unwrap_or_default().to_vec()));
        (if reply.op_ret < 0 { reply.op_errno } else { 0 }, pairs.collect())
    }

    /// The test gives no handle, so nothing is opened, but the file is created.
    fn create(&self, name: &str, gfid: Gfid) {
        let pairs = [Pair { key: b"gfid-req", value: Value::Gfuuid(gfid) }];
        let (bname, xdata) = (name.as_bytes(), Dict::Pairs(&pairs));
        let create =
            Create { pargfid: Gfid::ROOT, flags: 2, mode: 0o640, umask: 0o022, bname, xdata };
        self.ask(&OWNER, Request::Create(create));
    }

    fn set(&self, cred: &Cred<'_>, gfid: Gfid, key: &[u8], value: &[u8]) -> i32 {
        let pairs = [Pair { key, value: Value::Ptr(value) }];
        let dict = Dict::Pairs(&pairs);
        self.ask(cred, Request::Setxattr(Setxattr { gfid, flags: 0, dict, xdata: Dict::Null })).0
    }

    fn get(&self, cred: &Cred<'_>, gfid: Gfid, name: &[u8]) -> Result<String, i32> {
        let get = Getxattr { gfid, namelen: 1, name, xdata: Dict::Null };
        match self.ask(cred, Request::Getxattr(get)) {
            (0, pairs) => Ok(String::from_utf8(pairs[0].1.clone()).expect("a text")),
            (errno, _) => Err(errno),
        }
    }

    fn mode(&self, name: &str) -> u32 {
        std::fs::metadata(self.dir.path().join(name)).expect("a look").permissions().mode() & 0o7777
    }

    /// EINVAL stands for success: the open is permitted, and only the handle is missing.
    fn opens(&self, cred: &Cred<'_>, flags: u32) -> i32 {
        self.ask(cred, Request::Open(Open { gfid: FILE, flags, xdata: Dict::Null })).0
    }
}

#[test]
fn an_acl_that_is_set_as_text_is_told_as_text_and_judged_by() {
    let Some(rig) = Rig::new() else { return };
    assert_eq!(rig.get(&OTHER, FILE, TEXT).as_deref(), Ok("u::rw-,g::r--,o::---"));
    let text = b"user::rw-,user:2000:rwx,group::r--,group:5:x,mask::r,other::---\0";
    assert_eq!(rig.set(&NAMED, FILE, TEXT, text), 1, "only the owner");
    assert_eq!(rig.set(&OWNER, FILE, TEXT, text), 0);
    assert_eq!(
        rig.get(&OTHER, FILE, TEXT).as_deref(),
        Ok("u::rw-,u:2000:rwx,g::r--,g:5:--x,m::r--,o::---")
    );
    assert_eq!(rig.mode("file"), 0o640);
    assert_eq!([rig.opens(&NAMED, 0), rig.opens(&NAMED, 1), rig.opens(&OTHER, 0)], [22, 13, 13]);
    // Malformed text, a malformed ACL, a default ACL on a file.
    assert_eq!(rig.set(&OWNER, FILE, TEXT, b"user:somebody:rw,o::r"), 1);
    assert_eq!(rig.set(&OWNER, FILE, TEXT, b"u::rw,u:7:r,g::r,o::r"), 22);
    assert_eq!(rig.set(&OWNER, FILE, DEFAULT_TEXT, text), 13);
    assert_eq!(rig.get(&OWNER, FILE, DEFAULT_TEXT), Err(13));
    assert_eq!(rig.set(&OWNER, FILE, TEXT, b"\0"), 0);
    assert_eq!(rig.opens(&NAMED, 0), 13, "it is not named any more");
}

#[test]
fn a_default_acl_is_stronger_than_the_umask() {
    let Some(rig) = Rig::new() else { return };
    let text = b"u::rwx,u:2000:rwx,g::r-x,m::rwx,o::rwx";
    assert_eq!(rig.set(&ROOT, Gfid::ROOT, DEFAULT_TEXT, text), 0);
    let gfid = Gfid([0x22; 16]);
    rig.create("new", gfid);
    assert_eq!(
        rig.get(&OTHER, gfid, TEXT).as_deref(),
        Ok("u::rw-,u:2000:rwx,g::r-x,m::r--,o::---")
    );
    assert_eq!(rig.mode("new"), 0o640);
    assert_eq!(rig.set(&ROOT, Gfid::ROOT, DEFAULT_TEXT, b""), 0);
    assert_eq!(rig.get(&ROOT, Gfid::ROOT, DEFAULT_TEXT).as_deref(), Ok(""));
}

#[test]
fn who_may_not_read_a_file_is_told_its_xattrs_with_a_lookup_only() {
    let Some(rig) = Rig::new() else { return };
    std::fs::write(rig.dir.path().join("file"), b"contents").expect("a file");
    assert_eq!(rig.set(&OWNER, FILE, b"user.note", b"n"), 0);
    for name in [&b"user.note"[..], b"", b"trusted.glusterfs.pathinfo", b"security.capability"] {
        assert_eq!(rig.get(&OTHER, FILE, name), Err(13));
    }
    assert_eq!(rig.get(&OWNER, FILE, b"user.note").as_deref(), Ok("n"));
    assert_eq!(rig.get(&OWNER, FILE, b"nonsense"), Err(95));
    // A client caches the result of a LOOKUP for all its users and checks permissions itself.
    let pairs =
        [b"user.note", &b"glusterfs.content"[..]].map(|key| Pair { key, value: Value::Uint(100) });
    let xdata = Dict::Pairs(&pairs);
    let lookup = Lookup { gfid: FILE, pargfid: Gfid::NONE, flags: 0, bname: b"", xdata };
    let (errno, told) = rig.ask(&OTHER, Request::Lookup(lookup));
    let values: Vec<&[u8]> = told.iter().map(|(_, value)| &value[..]).collect();
    assert_eq!((errno, values), (0, vec![&b"n"[..], b"contents"]));
}

#[test]
fn a_chmod_tells_the_acl_that_it_changes() {
    let Some(rig) = Rig::new() else { return };
    assert_eq!(rig.set(&OWNER, FILE, TEXT, b"u::rw,u:2000:rw,g::r,m::rw,o::-"), 0);
    let pairs = [Pair { key: b"system.posix_acl_access", value: Value::Int(0) }];
    let (stbuf, xdata) = (Iatt { mode: 0o600, ..Iatt::default() }, Dict::Pairs(&pairs));
    let chmod = Fsetattr { gfid: FILE, fd: -2, stbuf, valid: 1, xdata };
    let (errno, told) = rig.ask(&OWNER, Request::Fsetattr(chmod));
    assert_eq!((errno, told.len()), (0, 1));
    assert_eq!(
        rig.get(&OTHER, FILE, TEXT).as_deref(),
        Ok("u::rw-,u:2000:rw-,g::r--,m::---,o::---")
    );
}
