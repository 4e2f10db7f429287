//! Calls that no honest client makes, and callers without permission: the brick's own data does not
//! change.

mod common;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
use std::path::{Path, PathBuf};

use brickwire_core::fop::wire::{
    CopyFileRange, Create, Getxattr, Link, Lookup, Mkdir, Mknod, Readdir, Removexattr, Rename,
    Reply, Request, Rmdir, Setattr, Setxattr, Xattrop,
};
use brickwire_core::rpc::Cred;
use brickwire_core::xdr::{Dict, Gfid, Iatt, Pair, Reader, Value};
use brickwire_posix::Brick;

const FILE: Gfid = Gfid([0x11; 16]);
const NEW: Gfid = Gfid([0x22; 16]);
const EPERM: i32 = 1;
const EACCES: i32 = 13;
const ROOT: Cred<'static> = Cred::v3(1, 0, 0);
const OWNER: Cred<'static> = Cred::v3(1, 1000, 1000);
const IN_GROUP: Cred<'static> = Cred::v3(1, 2000, 1000);
const OTHER: Cred<'static> = Cred::v3(1, 3000, 3000);

struct Rig {
    dir: tempfile::TempDir,
    brick: Brick,
}

impl Rig {
    /// A brick with a user's file. `None` without the privilege to set trusted xattrs.
    fn new() -> Option<Self> {
        let (dir, brick) = common::brick()?;
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777))
            .expect("a mode");
        let rig = Self { dir, brick };
        let made = rig.made(&OWNER, "file", FILE, 0o100_664);
        assert_eq!(made, 0);
        std::fs::write(rig.at("file"), b"contents").expect("a file");
        Some(rig)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn reply(&self, cred: &Cred<'_>, request: Request<'_>) -> (i32, i32, usize) {
        let bytes = common::ask(&self.brick, cred, request);
        let reply = Reply::decode(request.number(), &mut Reader::new(&bytes)).expect("a reply");
        (reply.op_ret, reply.op_errno, bytes.len())
    }

    /// Executes a call; returns its errno, 0 for success.
    fn ask(&self, cred: &Cred<'_>, request: Request<'_>) -> i32 {
        let (op_ret, errno, _) = self.reply(cred, request);
        if op_ret < 0 { errno } else { 0 }
    }

    fn made(&self, cred: &Cred<'_>, name: &str, gfid: Gfid, mode: u32) -> i32 {
        self.made_in(cred, Gfid::ROOT, name, gfid, mode)
    }

    fn made_in(&self, cred: &Cred<'_>, pargfid: Gfid, name: &str, gfid: Gfid, mode: u32) -> i32 {
        let pairs = [Pair { key: b"gfid-req", value: Value::Gfuuid(gfid) }];
        let xdata = Dict::Pairs(&pairs);
        let bname = name.as_bytes();
        self.ask(cred, Request::Mknod(Mknod { pargfid, mode, dev: 0, umask: 0, bname, xdata }))
    }

    fn set(&self, cred: &Cred<'_>, gfid: Gfid, key: &str, value: &[u8]) -> i32 {
        let pairs = [Pair { key: key.as_bytes(), value: Value::Ptr(value) }];
        let setxattr = Setxattr { gfid, flags: 0, dict: Dict::Pairs(&pairs), xdata: Dict::Null };
        self.ask(cred, Request::Setxattr(setxattr))
    }

    fn add(&self, cred: &Cred<'_>, gfid: Gfid, key: &str, value: &[u8]) -> i32 {
        let pairs = [Pair { key: key.as_bytes(), value: Value::Ptr(value) }];
        let xattrop = Xattrop { gfid, flags: 0, dict: Dict::Pairs(&pairs), xdata: Dict::Null };
        self.ask(cred, Request::Xattrop(xattrop))
    }

    fn remove(&self, cred: &Cred<'_>, gfid: Gfid, name: &str) -> i32 {
        let name = name.as_bytes();
        self.ask(cred, Request::Removexattr(Removexattr { gfid, name, xdata: Dict::Null }))
    }

    fn attr(&self, cred: &Cred<'_>, gfid: Gfid, valid: i32, stbuf: Iatt) -> i32 {
        self.ask(cred, Request::Setattr(Setattr { gfid, stbuf, valid, xdata: Dict::Null }))
    }

    /// Gfid of the xattrop index, found in the self-heal daemon's way.
    fn index(&self) -> Gfid {
        let mut bytes = [7; 16];
        bytes[0] ^= 0xa5;
        bytes[15] ^= 1;
        let gfid = Gfid(bytes);
        let lookup = Lookup { gfid, pargfid: Gfid::NONE, flags: 0, bname: b"", xdata: Dict::Null };
        assert_eq!(self.ask(&ROOT, Request::Lookup(lookup)), 0, "it has moved: look in `index`");
        gfid
    }
}

fn xattrs(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut names = vec![0; 4096];
    let len = rustix::fs::llistxattr(path, &mut names[..]).expect("a list");
    let names = names[..len].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let value = |name: &str| {
        let mut value = vec![0; 4096];
        let len = rustix::fs::lgetxattr(path, name, &mut value[..]).expect("a value");
        value.truncate(len);
        value
    };
    let mut all: Vec<_> = names
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .map(|name| (name.clone(), value(&name)))
        .collect();
    all.sort();
    all
}

#[test]
fn nobody_changes_what_tells_one_inode_from_another() {
    let Some(rig) = Rig::new() else { return };
    let (file, root) = (xattrs(&rig.at("file")), xattrs(rig.dir.path()));
    let path =
        file.iter().map(|(name, _)| name).find(|name| name.starts_with("trusted.gfid2path."));
    let path = path.expect("a path").clone();
    let names = ["trusted.gfid", "trusted.glusterfs.volume-id", "trusted.glusterfs.mdata", &path];
    for name in names.into_iter().chain(["user.brickwire.trusted.gfid"]) {
        for gfid in [FILE, Gfid::ROOT] {
            assert_eq!(rig.set(&ROOT, gfid, name, &[1; 16]), EPERM, "{name}");
            assert_eq!(rig.add(&ROOT, gfid, name, &[1; 16]), EPERM, "{name}");
            assert_eq!(rig.remove(&ROOT, gfid, name), EPERM, "{name}");
        }
    }
    assert_eq!((xattrs(&rig.at("file")), xattrs(rig.dir.path())), (file, root));
    assert_eq!(rig.add(&ROOT, FILE, "trusted.afr.v-client-0", &[0; 12]), 0);
}

#[test]
fn the_heal_daemons_lists_are_not_a_directory_to_put_things_in() {
    let Some(rig) = Rig::new() else { return };
    let index = rig.index();
    assert_eq!(rig.made_in(&ROOT, index, "x", NEW, 0o100_644), EPERM);
    let pairs = [Pair { key: b"gfid-req", value: Value::Gfuuid(NEW) }];
    let xdata = Dict::Pairs(&pairs);
    let mkdir = Mkdir { pargfid: index, mode: 0o755, umask: 0, bname: b"x", xdata };
    assert_eq!(rig.ask(&ROOT, Request::Mkdir(mkdir)), EPERM);
    let link = Link { oldgfid: FILE, newgfid: index, newbname: b"x", xdata: Dict::Null };
    assert_eq!(rig.ask(&ROOT, Request::Link(link)), EPERM);
    let rename = |oldgfid, oldbname, newgfid| {
        Request::Rename(Rename { oldgfid, newgfid, oldbname, newbname: b"x", xdata: Dict::Null })
    };
    assert_eq!(rig.ask(&ROOT, rename(Gfid::ROOT, b"file", index)), EPERM);
    assert_eq!(rig.set(&ROOT, index, "user.x", b"1"), EPERM);
    assert_eq!(rig.add(&ROOT, index, "trusted.afr.x", &[1; 12]), EPERM);
    assert_eq!(rig.attr(&ROOT, index, 1, Iatt { mode: 0o777, ..Iatt::default() }), EPERM);
    // An index entry can be neither renamed into the volume nor adopted as a file by a LOOKUP.
    assert_eq!(
        rig.add(&ROOT, FILE, "trusted.afr.v-client-0", &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]),
        0
    );
    let entry = FILE.to_string();
    assert_eq!(rig.ask(&ROOT, rename(index, entry.as_bytes(), Gfid::ROOT)), EPERM);
    let lookup =
        Lookup { gfid: Gfid::NONE, pargfid: index, flags: 0, bname: entry.as_bytes(), xdata };
    assert_ne!(rig.ask(&ROOT, Request::Lookup(lookup)), 0);
    assert!(rig.at(&format!(".glusterfs/indices/xattrop/{entry}")).exists());
    assert!(!rig.at("x").exists());
}

#[test]
fn the_heal_daemon_reads_of_its_list_what_is_to_be_healed_and_not_the_file_behind_it() {
    let Some(rig) = Rig::new() else { return };
    let read = || {
        let readdir =
            Readdir { gfid: rig.index(), fd: -2, offset: 0, size: 4096, xdata: Dict::Null };
        rig.reply(&ROOT, Request::Readdir(readdir)).0
    };
    assert_eq!(read(), 2, "the directory and its parent");
    assert_eq!(rig.add(&ROOT, FILE, "trusted.afr.v-client-0", &[1; 12]), 0);
    assert_eq!(read(), 3);
    assert_eq!(std::fs::read_dir(rig.at(".glusterfs/indices/xattrop")).expect("a list").count(), 2);
}

#[test]
fn who_asks_for_a_key_a_thousand_times_does_not_get_it_a_thousand_times() {
    let Some(rig) = Rig::new() else { return };
    assert_eq!(rig.set(&ROOT, FILE, "user.big", &[1; 3000]), 0);
    let key = Pair { key: b"user.big", value: Value::Int(0) };
    let pairs = vec![key; 4000];
    let lookup = Lookup {
        gfid: Gfid::NONE,
        pargfid: Gfid::ROOT,
        flags: 0,
        bname: b"file",
        xdata: Dict::Pairs(&pairs),
    };
    let (op_ret, _, len) = rig.reply(&ROOT, Request::Lookup(lookup));
    assert!(op_ret == 0 && len < 1 << 20, "{len} bytes");
    // All xattrs of the inode are listed.
    let getxattr = Getxattr { gfid: FILE, namelen: 0, name: b"", xdata: Dict::Null };
    assert!(rig.reply(&ROOT, Request::Getxattr(getxattr)).2 > 3000);
}

#[test]
fn a_file_that_one_may_not_write_is_not_cut_by_creating_it_again() {
    let Some(rig) = Rig::new() else { return };
    let create = |cred: &Cred<'_>, flags| {
        let pairs = [Pair { key: b"gfid-req", value: Value::Gfuuid(NEW) }];
        let xdata = Dict::Pairs(&pairs);
        let create =
            Create { pargfid: Gfid::ROOT, flags, mode: 0o644, umask: 0, bname: b"file", xdata };
        rig.ask(cred, Request::Create(create))
    };
    // O_RDONLY | O_TRUNC | O_CREAT: reading is allowed to all.
    assert_eq!(create(&OTHER, 0o1100), EACCES);
    assert_eq!(std::fs::read(rig.at("file")).expect("a file"), b"contents");
}

#[test]
fn an_owner_gives_a_file_to_its_own_groups_only() {
    let Some(rig) = Rig::new() else { return };
    let gid = |gid| Iatt { gid, ..Iatt::default() };
    assert_eq!(rig.attr(&OWNER, FILE, 4, gid(3000)), EPERM);
    let groups = 77_u32.to_be_bytes();
    assert_eq!(rig.attr(&Cred { groups: &groups, ..OWNER }, FILE, 4, gid(77)), 0);
    assert_eq!(rig.attr(&OTHER, FILE, 4, gid(3000)), EPERM, "it is not its own");
    assert_eq!(std::fs::metadata(rig.at("file")).expect("a look").gid(), 77);
    // set-group-id does not bring group 77 back.
    assert_eq!(rig.attr(&OWNER, FILE, 1, Iatt { mode: 0o2755, ..Iatt::default() }), 0);
    assert_eq!(std::fs::metadata(rig.at("file")).expect("a look").mode() & 0o7777, 0o755);
}

#[test]
fn who_may_write_a_file_may_touch_it_and_nobody_else() {
    let Some(rig) = Rig::new() else { return };
    let now = Iatt { mtime: 1_000_000_000, atime: 1_000_000_000, ..Iatt::default() };
    assert_eq!(rig.attr(&IN_GROUP, FILE, 0x30, now), 0);
    assert_eq!(std::fs::metadata(rig.at("file")).expect("a look").mtime(), 1_000_000_000);
    assert_eq!(rig.attr(&OTHER, FILE, 0x30, now), EACCES);
    assert_eq!(rig.attr(&IN_GROUP, FILE, 1, Iatt { mode: 0o777, ..Iatt::default() }), EPERM);
}

#[test]
fn an_owner_who_is_not_root_takes_no_trusted_xattr_away() {
    let Some(rig) = Rig::new() else { return };
    assert_eq!(rig.set(&ROOT, FILE, "trusted.glusterfs.dht.linkto", b"x"), 0);
    assert_eq!(rig.remove(&OWNER, FILE, "trusted.glusterfs.dht.linkto"), EPERM);
    assert_eq!(rig.remove(&ROOT, FILE, "trusted.glusterfs.dht.linkto"), 0);
    // Write permission suffices to change the content, as on a local disk.
    assert_eq!(rig.set(&IN_GROUP, FILE, "user.note", b"x"), 0);
    assert_eq!(rig.remove(&OTHER, FILE, "user.note"), EACCES);
    assert_eq!(rig.remove(&IN_GROUP, FILE, "user.note"), 0);
}

#[test]
fn copying_four_gigabytes_at_once_is_not_answered_with_nonsense() {
    let Some(rig) = Rig::new() else { return };
    assert_eq!(rig.made(&ROOT, "copy", NEW, 0o100_644), 0);
    for (off_in, size, copied) in [(0, u32::MAX, 8), (7, 1 << 31, 1), (1 << 40, u32::MAX, 0)] {
        let copy = CopyFileRange {
            source: FILE,
            destination: NEW,
            fd_in: -2,
            fd_out: -2,
            off_in,
            off_out: 0,
            size,
            flag: 0,
            xdata: Dict::Null,
        };
        assert_eq!(rig.reply(&ROOT, Request::CopyFileRange(copy)).0, copied, "{size}");
    }
}

#[test]
fn a_directory_that_a_heal_drops_goes_with_everything_in_it() {
    let Some(rig) = Rig::new() else { return };
    let made = |parent, name: &str, gfid| {
        let pairs = [Pair { key: b"gfid-req", value: Value::Gfuuid(gfid) }];
        let xdata = Dict::Pairs(&pairs);
        let bname = name.as_bytes();
        rig.ask(
            &ROOT,
            Request::Mkdir(Mkdir { pargfid: parent, mode: 0o755, umask: 0, bname, xdata }),
        )
    };
    let rmdir = |xflags| {
        let pargfid = Gfid::ROOT;
        rig.ask(&ROOT, Request::Rmdir(Rmdir { pargfid, xflags, bname: b"top", xdata: Dict::Null }))
    };
    let tree = || {
        let mut parent = Gfid([0x40; 16]);
        assert_eq!(made(Gfid::ROOT, "top", parent), 0);
        for n in 1..100 {
            let gfid = Gfid([0x40 + n; 16]);
            assert_eq!(made(parent, "sub", gfid), 0, "{n}: its gfid is free");
            parent = gfid;
        }
        assert_eq!(rig.made_in(&ROOT, parent, "only", NEW, 0o100_644), 0);
        let link = Link { oldgfid: FILE, newgfid: parent, newbname: b"further", xdata: Dict::Null };
        assert_eq!(rig.ask(&ROOT, Request::Link(link)), 0);
    };
    let handles = || {
        let at = rig.at(".glusterfs/42/42");
        std::fs::read_dir(at).map_or(0, Iterator::count)
    };
    for _ in 0..2 {
        tree();
        assert_eq!(rmdir(0), 39, "not empty");
        assert_eq!(rmdir(1), 0);
        // Directories that were too deep are removed in the next round.
        tree_of_one(&rig);
        assert_eq!(
            std::fs::read_dir(rig.at(".glusterfs/landfill")).expect("a directory").count(),
            0
        );
        assert_eq!(handles(), 0);
    }
    assert_eq!(std::fs::read(rig.at("file")).expect("a file"), b"contents");
    assert_eq!(std::fs::metadata(rig.at("file")).expect("a look").nlink(), 2);
}

/// A directory with a file in it is dropped.
fn tree_of_one(rig: &Rig) {
    let gfid = Gfid([0x38; 16]);
    let pairs = [Pair { key: b"gfid-req", value: Value::Gfuuid(gfid) }];
    let xdata = Dict::Pairs(&pairs);
    let mkdir = Mkdir { pargfid: Gfid::ROOT, mode: 0o755, umask: 0, bname: b"one", xdata };
    assert_eq!(rig.ask(&ROOT, Request::Mkdir(mkdir)), 0);
    assert_eq!(rig.made_in(&ROOT, gfid, "f", Gfid([0x37; 16]), 0o100_644), 0);
    let rmdir = Rmdir { pargfid: Gfid::ROOT, xflags: 1, bname: b"one", xdata: Dict::Null };
    assert_eq!(rig.ask(&ROOT, Request::Rmdir(rmdir)), 0);
}

#[test]
fn a_changed_name_that_is_no_text_is_listed_for_the_heal_daemon_and_taken_from_the_list() {
    let Some(rig) = Rig::new() else { return };
    let name = b"caf\xe9";
    let change = |key, by| {
        let value = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, by];
        let pairs = [Pair { key: b"trusted.afr.v-client-0", value: Value::Ptr(&value) }];
        let names = [Pair { key, value: Value::Str(name) }];
        let (dict, xdata) = (Dict::Pairs(&pairs), Dict::Pairs(&names));
        rig.ask(&ROOT, Request::Xattrop(Xattrop { gfid: Gfid::ROOT, flags: 0, dict, xdata }))
    };
    let listed = || {
        let list = rig.at(".glusterfs/indices/entry-changes").join(Gfid::ROOT.to_string());
        std::fs::read_dir(list)
            .expect("a list")
            .map(|entry| entry.expect("an entry").file_name())
            .collect()
    };
    assert_eq!(change(b"glusterfs.xattrop-entry-create", 1), 0);
    let names: Vec<OsString> = listed();
    assert_eq!(names, [OsStr::from_bytes(name)]);
    assert_eq!(change(b"glusterfs.xattrop-entry-delete", 0), 0);
    assert_eq!(listed(), Vec::<OsString>::new());
}
