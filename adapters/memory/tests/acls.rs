//! ACLs on a storage in memory, with the answers of a real brick.

#[path = "../../../core/tests/server_harness/mod.rs"]
mod server_harness;

use brickwire_core::ConnId;
use brickwire_core::fop::FopNumber;
use brickwire_core::fop::wire::{
    Access, Create, Getxattr, Mkdir, Removexattr, Request, Setattr, Setxattr,
};
use brickwire_core::rpc::Cred;
use brickwire_core::server::acl::{self, AclEntry, Tag};
use brickwire_core::xdr::{Dict, Gfid, Iatt, Pair, Value};
use server_harness::{Harness, gfid_req, lookup, user};

const NONE: Dict<'static> = Dict::Null;
const OK: (i32, i32) = (0, 0);
const EACCES: (i32, i32) = (-1, 13);
const OWNER: u32 = 1000;
const NAMED: u32 = 2000;

/// Owner, `NAMED`, owning group, group 77, mask, others.
fn bytes([owner, named, group, other_group, mask, others]: [u16; 6]) -> Vec<u8> {
    let entry = |tag, perm, id| AclEntry { tag, perm, id };
    acl::encode([
        entry(Tag::UserObj, owner, 0),
        entry(Tag::User, named, NAMED),
        entry(Tag::GroupObj, group, 0),
        entry(Tag::Group, other_group, 77),
        entry(Tag::Mask, mask, 0),
        entry(Tag::Other, others, 0),
    ])
    .collect()
}

struct Rig {
    harness: Harness,
    conn: ConnId,
}

impl Rig {
    fn new() -> Self {
        let mut harness = Harness::new();
        let conn = harness.mount();
        let mut rig = Self { harness, conn };
        let stbuf = Iatt { mode: 0o777, ..Iatt::default() };
        rig.ask(0, Request::Setattr(Setattr { gfid: Gfid::ROOT, stbuf, valid: 1, xdata: NONE }));
        rig
    }

    fn ask(&mut self, uid: u32, request: Request<'_>) -> (i32, i32) {
        self.ask_as(&user(uid, uid), request)
    }

    fn ask_as(&mut self, cred: &Cred<'_>, request: Request<'_>) -> (i32, i32) {
        self.harness.fop_as(self.conn, cred, request, &[]).result()
    }

    fn made(&mut self, uid: u32, pargfid: Gfid, bname: &[u8], mode: u32) -> Gfid {
        let gfid = self.harness.new_gfid();
        let pairs = [gfid_req(gfid)];
        let xdata = Dict::Pairs(&pairs);
        let create = Create { pargfid, flags: 0o302, mode, umask: 0o022, bname, xdata };
        assert_eq!(self.ask(uid, Request::Create(create)), OK);
        gfid
    }

    fn directory(&mut self, uid: u32, pargfid: Gfid, bname: &[u8], mode: u32) -> Gfid {
        let gfid = self.harness.new_gfid();
        let pairs = [gfid_req(gfid)];
        let mkdir = Mkdir { pargfid, mode, umask: 0o022, bname, xdata: Dict::Pairs(&pairs) };
        assert_eq!(self.ask(uid, Request::Mkdir(mkdir)), OK);
        gfid
    }

    fn set(&mut self, uid: u32, gfid: Gfid, key: &[u8], value: &[u8]) -> (i32, i32) {
        let pairs = [Pair { key, value: Value::Ptr(value) }];
        self.ask(
            uid,
            Request::Setxattr(Setxattr { gfid, flags: 0, dict: Dict::Pairs(&pairs), xdata: NONE }),
        )
    }

    fn get(&mut self, gfid: Gfid, name: &[u8]) -> Option<Vec<u8>> {
        let answer = self.harness.fop(
            self.conn,
            lookup(gfid, Gfid::NONE, b"", &[Pair { key: name, value: Value::Int(0) }]),
        );
        let xdata = answer.fop(FopNumber::Lookup).xdata;
        xdata.get(name).and_then(|value| value.as_bytes()).map(<[u8]>::to_vec)
    }

    fn mode(&mut self, gfid: Gfid) -> u32 {
        self.harness.stat(self.conn, gfid).expect("it is there").mode & 0o7777
    }

    fn may(&mut self, cred: &Cred<'_>, gfid: Gfid, mask: u32) -> bool {
        self.ask_as(cred, Request::Access(Access { gfid, mask, xdata: NONE })) == OK
    }
}

#[test]
fn an_acl_admits_whom_it_names_as_far_as_its_mask_goes() {
    let mut rig = Rig::new();
    let file = rig.made(OWNER, Gfid::ROOT, b"f", 0o640);
    let value = bytes([6, 7, 4, 4, 6, 0]);
    assert_eq!(rig.set(NAMED, file, acl::ACCESS, &value), (-1, 1), "only the owner");
    assert_eq!(rig.set(OWNER, file, acl::ACCESS, &value), OK);
    assert_eq!(rig.mode(file), 0o660, "the group's bits are the mask's");
    let groups = 77_u32.to_be_bytes();
    let in_group = Cred { groups: &groups, ..user(3000, 3000) };
    assert!(rig.may(&user(NAMED, NAMED), file, 6) && !rig.may(&user(NAMED, NAMED), file, 1));
    assert!(rig.may(&in_group, file, 4) && !rig.may(&in_group, file, 2));
    assert!(!rig.may(&user(4000, 4000), file, 4));
    // A chmod of the group's bits limits all named entries, and the reply carries the new ACL.
    let pairs = [Pair { key: acl::ACCESS, value: Value::Int(0) }];
    let stbuf = Iatt { mode: 0o640, ..Iatt::default() };
    let chmod = Setattr { gfid: file, stbuf, valid: 1, xdata: Dict::Pairs(&pairs) };
    let answer = rig.harness.fop_as(rig.conn, &user(OWNER, OWNER), Request::Setattr(chmod), &[]);
    let told =
        answer.fop(FopNumber::Setattr).xdata.get(acl::ACCESS).and_then(|value| value.as_bytes());
    assert_eq!(told, Some(&bytes([6, 7, 4, 4, 4, 0])[..]));
    assert!(rig.may(&user(NAMED, NAMED), file, 4) && !rig.may(&user(NAMED, NAMED), file, 2));
    // Other xattrs need read permission.
    let list = |name| Request::Getxattr(Getxattr { gfid: file, namelen: 1, name, xdata: NONE });
    assert_eq!(rig.ask(4000, list(b"user.x")), EACCES);
    assert_eq!(rig.ask(NAMED, list(b"user.x")), (-1, 61));
    assert_eq!(rig.ask(4000, list(acl::ACCESS)), OK);
    let remove = Removexattr { gfid: file, name: acl::ACCESS, xdata: NONE };
    assert_eq!(rig.ask(OWNER, Request::Removexattr(remove)), OK);
    assert_eq!(rig.ask(OWNER, Request::Removexattr(remove)), OK, "none is none");
    assert!(!rig.may(&user(NAMED, NAMED), file, 4));
}

#[test]
fn what_is_no_acl_or_not_of_this_is_refused_and_one_of_three_entries_is_the_mode() {
    let mut rig = Rig::new();
    let file = rig.made(OWNER, Gfid::ROOT, b"f", 0o640);
    let value = bytes([6, 7, 4, 4, 6, 0]);
    assert_eq!(rig.set(OWNER, file, acl::DEFAULT, &value), EACCES, "of directories only");
    assert_eq!(rig.set(OWNER, file, acl::ACCESS, b"xx"), (-1, 22));
    assert_eq!(rig.set(OWNER, file, acl::ACCESS, &[1, 0, 0, 0]), (-1, 95));
    let entry = |tag, perm| AclEntry { tag, perm, id: 0 };
    let three = [entry(Tag::UserObj, 7), entry(Tag::GroupObj, 5), entry(Tag::Other, 5)];
    let three: Vec<u8> = acl::encode(three).collect();
    assert_eq!(rig.set(OWNER, file, acl::ACCESS, &three), OK);
    assert_eq!((rig.mode(file), rig.get(file, acl::ACCESS)), (0o755, None));
    let named = (0..100).map(|id| AclEntry { tag: Tag::User, perm: 7, id });
    let many = [entry(Tag::UserObj, 7)].into_iter().chain(named).chain([
        entry(Tag::GroupObj, 7),
        entry(Tag::Mask, 7),
        entry(Tag::Other, 7),
    ]);
    let many: Vec<u8> = acl::encode(many).collect();
    assert_eq!(rig.set(OWNER, file, acl::ACCESS, &many), (-1, 28), "there is no room for it");
}

#[test]
fn what_is_made_in_a_directory_with_a_default_acl_has_one_whatever_the_umask_says() {
    let mut rig = Rig::new();
    let top = rig.directory(OWNER, Gfid::ROOT, b"d", 0o755);
    let default = bytes([7, 7, 5, 0, 7, 0]);
    assert_eq!(rig.set(OWNER, top, acl::DEFAULT, &default), OK);
    assert_eq!(rig.mode(top), 0o755, "its own mode is as it was");
    let file = rig.made(OWNER, top, b"f", 0o666);
    assert_eq!(rig.mode(file), 0o660);
    assert_eq!(rig.get(file, acl::ACCESS), Some(bytes([6, 7, 5, 0, 6, 0])));
    assert_eq!(rig.get(file, acl::DEFAULT), None);
    let sub = rig.directory(OWNER, top, b"s", 0o777);
    assert_eq!((rig.mode(sub), rig.get(sub, acl::DEFAULT)), (0o770, Some(default.clone())));
    assert_eq!(rig.get(sub, acl::ACCESS), Some(default));
    // Users named in the inherited ACL may create entries in it.
    rig.made(NAMED, sub, b"f", 0o666);
    let remove = Removexattr { gfid: top, name: acl::DEFAULT, xdata: NONE };
    assert_eq!(rig.ask(OWNER, Request::Removexattr(remove)), OK);
    let plain = rig.made(OWNER, top, b"p", 0o666);
    assert_eq!((rig.mode(plain), rig.get(plain, acl::ACCESS)), (0o644, None));
}
