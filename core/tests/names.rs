//! Path resolution: from names to gfids, through directories and symlinks.

mod client_harness;

use brickwire_core::fop::FopNumber;
use brickwire_core::fop::wire::{Body, Direntp, Direntps, Reply, Request};
use brickwire_core::volume::{Op, OpError, OpenFlags};
use brickwire_core::xdr::{Dict, Errno, Gfid, Pair, Value};
use client_harness::{Rig, directory, regular, symlink};

const A: Gfid = Gfid([0xa; 16]);
const B: Gfid = Gfid([0xb; 16]);
const F: Gfid = Gfid([0xf; 16]);

/// The parent and the name of a LOOKUP.
fn looked_up(call: &client_harness::Call) -> (Gfid, String) {
    match call.request() {
        Request::Lookup(lookup) => {
            (lookup.pargfid, String::from_utf8_lossy(lookup.bname).into_owned())
        }
        other => panic!("{other:?}"),
    }
}

fn stat(rig: &mut Rig, path: &str) -> brickwire_core::OpId {
    rig.submit(Op::Stat { path: path.as_bytes(), follow: true }, Vec::new())
}

/// Answers the next LOOKUP, which must be of `name` in `parent`.
fn step(rig: &mut Rig, parent: Gfid, name: &str, found: brickwire_core::xdr::Iatt) {
    let call = rig.expect(FopNumber::Lookup);
    assert_eq!(looked_up(&call), (parent, name.to_owned()));
    rig.answer_lookup(&call, found);
}

fn link(rig: &mut Rig, says: &[u8]) {
    let call = rig.expect(FopNumber::Readlink);
    let body = Body::Readlink { stat: symlink(B), path: says };
    rig.answer(&call, &Reply { op_ret: says.len() as i32, op_errno: 0, xdata: Dict::Null, body });
}

#[test]
fn a_path_is_walked_name_by_name_and_slashes_do_not_count() {
    let mut rig = Rig::up();
    let op = stat(&mut rig, "//a///b/./f//");
    step(&mut rig, Gfid::ROOT, "a", directory(A));
    step(&mut rig, A, "b", directory(B));
    step(&mut rig, B, "f", regular(F, 7));
    assert_eq!(rig.result(op), Some(Ok(0)));
}

#[test]
fn dots_lead_back_and_never_out_of_the_volume() {
    let mut rig = Rig::up();
    let op = stat(&mut rig, "../../a/../f");
    step(&mut rig, Gfid::ROOT, "a", directory(A));
    step(&mut rig, Gfid::ROOT, "f", regular(F, 7));
    assert_eq!(rig.result(op), Some(Ok(0)));
}

#[test]
fn links_are_followed_where_they_stand_and_from_the_root_if_they_say_so() {
    let mut rig = Rig::up();
    let op = stat(&mut rig, "a/link/f");
    step(&mut rig, Gfid::ROOT, "a", directory(A));
    step(&mut rig, A, "link", symlink(B));
    link(&mut rig, b"x");
    step(&mut rig, A, "x", directory(B));
    step(&mut rig, B, "f", symlink(F));
    link(&mut rig, b"/g");
    step(&mut rig, Gfid::ROOT, "g", regular(F, 1));
    assert_eq!(rig.result(op), Some(Ok(0)));
}

#[test]
fn dots_behind_a_link_lead_back_from_where_it_led() {
    let mut rig = Rig::up();
    let op = stat(&mut rig, "link/../f");
    step(&mut rig, Gfid::ROOT, "link", symlink(F));
    link(&mut rig, b"a/b");
    step(&mut rig, Gfid::ROOT, "a", directory(A));
    step(&mut rig, A, "b", directory(B));
    step(&mut rig, Gfid::ROOT, "a", directory(A));
    step(&mut rig, A, "f", regular(F, 1));
    assert_eq!(rig.result(op), Some(Ok(0)));
}

#[test]
fn a_circle_of_links_is_an_error_and_so_is_a_file_in_the_middle() {
    let mut rig = Rig::up();
    let op = stat(&mut rig, "loop");
    while rig.result(op).is_none() {
        step(&mut rig, Gfid::ROOT, "loop", symlink(A));
        link(&mut rig, b"loop");
    }
    assert_eq!(rig.result(op), Some(Err(OpError::Errno(Errno::ELOOP))));
    let op = stat(&mut rig, "f/x");
    step(&mut rig, Gfid::ROOT, "f", regular(F, 1));
    assert_eq!(rig.result(op), Some(Err(OpError::Errno(Errno::ENOTDIR))));
    let long = "n".repeat(256);
    let op = stat(&mut rig, &long);
    assert_eq!(rig.result(op), Some(Err(OpError::Errno(Errno::ENAMETOOLONG))));
}

#[test]
fn a_path_that_was_replaced_meanwhile_is_walked_once_more() {
    let mut rig = Rig::up();
    let op = stat(&mut rig, "a/f");
    step(&mut rig, Gfid::ROOT, "a", directory(A));
    let call = rig.expect(FopNumber::Lookup);
    rig.fails(&call, 116);
    step(&mut rig, Gfid::ROOT, "a", directory(B));
    let call = rig.expect(FopNumber::Lookup);
    assert_eq!(looked_up(&call).0, B);
    rig.fails(&call, 116);
    assert_eq!(rig.result(op), Some(Err(OpError::Errno(Errno::ESTALE))), "once, not for ever");
}

#[test]
fn a_new_file_is_created_where_a_dangling_link_points() {
    let mut rig = Rig::up();
    let flags = OpenFlags::READ_WRITE.and(OpenFlags::CREATE);
    let op = rig.submit(Op::Open { path: b"link", flags, mode: 0o640 }, Vec::new());
    step(&mut rig, Gfid::ROOT, "link", symlink(A));
    link(&mut rig, b"new");
    let call = rig.expect(FopNumber::Lookup);
    rig.fails(&call, 2);
    let create = rig.expect(FopNumber::Create);
    let gfid = match create.request() {
        Request::Create(create) => {
            assert_eq!(
                (create.pargfid, create.bname, create.mode),
                (Gfid::ROOT, &b"new"[..], 0o640)
            );
            match create.xdata.get("gfid-req") {
                Some(Value::Gfuuid(gfid)) => gfid,
                other => panic!("{other:?}"),
            }
        }
        other => panic!("{other:?}"),
    };
    let body = Body::Create {
        stat: regular(gfid, 0),
        fd: 3,
        preparent: directory(Gfid::ROOT),
        postparent: directory(Gfid::ROOT),
    };
    rig.answer(&create, &Reply { op_ret: 0, op_errno: 0, xdata: Dict::Null, body });
    assert_eq!(rig.result(op), Some(Ok(0)));
}

#[test]
fn a_file_that_somebody_else_made_first_is_opened_unless_it_must_be_new() {
    for (exclusive, want) in [(false, None), (true, Some(Err(OpError::Errno(Errno::EEXIST))))] {
        let mut rig = Rig::up();
        let mut flags = OpenFlags::READ_WRITE.and(OpenFlags::CREATE);
        if exclusive {
            flags = flags.and(OpenFlags::EXCLUSIVE);
        }
        let op = rig.submit(Op::Open { path: b"f", flags, mode: 0o600 }, Vec::new());
        let call = rig.expect(FopNumber::Lookup);
        rig.fails(&call, 2);
        let create = rig.expect(FopNumber::Create);
        rig.fails(&create, 17);
        assert_eq!(rig.result(op), want);
        if !exclusive {
            step(&mut rig, Gfid::ROOT, "f", regular(F, 9));
            let open = rig.expect(FopNumber::Open);
            rig.answer_open(&open);
            assert_eq!(rig.result(op), Some(Ok(0)));
        }
    }
}

#[test]
fn a_new_directory_gets_the_layout_of_distribute() {
    let mut rig = Rig::up();
    rig.submit(Op::Mkdir { path: b"d", mode: 0o755 }, Vec::new());
    let call = rig.expect(FopNumber::Mkdir);
    let Request::Mkdir(mkdir) = call.request() else { panic!() };
    assert!(mkdir.xdata.get("gfid-req").is_some());
    match mkdir.xdata.get("trusted.glusterfs.dht") {
        Some(Value::Ptr(layout)) => {
            assert_eq!(layout, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255])
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn link_files_of_distribute_are_nobodys_entries() {
    let mut rig = Rig::up();
    let open = rig.submit(Op::OpenDir { path: b"/" }, Vec::new());
    let call = rig.expect(FopNumber::Opendir);
    rig.answer_open(&call);
    let dir = rig.opened[&open];
    let op = rig.submit(Op::ReadDir { dir, cookie: 0 }, Vec::new());
    let call = rig.expect(FopNumber::Readdirp);
    let linkto =
        [Pair { key: b"trusted.glusterfs.dht.linkto", value: Value::Ptr(b"v-client-1\0") }];
    let mut pointer = regular(A, 0);
    pointer.mode = 0o101_000;
    let entry = |name: &'static [u8], stat, dict, offset| Direntp {
        ino: 1,
        offset,
        len: name.len() as u32,
        kind: 8,
        name,
        stat,
        dict,
    };
    let entries = [
        entry(b"real", regular(F, 1), Dict::Null, 1),
        entry(b"pointer", pointer, Dict::Pairs(&linkto), 2),
        entry(b"sticky", pointer, Dict::Null, 3),
    ];
    let body = Body::Direntps(Direntps::of(&entries));
    rig.answer(&call, &Reply { op_ret: 3, op_errno: 2, xdata: Dict::Null, body });
    assert_eq!(rig.result(op), Some(Ok(3)));
    assert_eq!(rig.names[&op], [b"real".to_vec(), b"sticky".to_vec()]);
}

#[test]
fn a_rename_resolves_both_parents() {
    let mut rig = Rig::up();
    rig.submit(Op::Rename { from: b"a/x", to: b"b/y" }, Vec::new());
    step(&mut rig, Gfid::ROOT, "a", directory(A));
    step(&mut rig, Gfid::ROOT, "b", directory(B));
    let call = rig.expect(FopNumber::Rename);
    let Request::Rename(rename) = call.request() else { panic!() };
    assert_eq!((rename.oldgfid, rename.oldbname), (A, &b"x"[..]));
    assert_eq!((rename.newgfid, rename.newbname), (B, &b"y"[..]));
}

#[test]
fn an_xattrs_value_goes_out_from_the_callers_buffer() {
    for len in 0..9_usize {
        let mut rig = Rig::up();
        let value: Vec<u8> = (1..=len as u8).collect();
        let op = Op::SetXattr { path: b"/", name: b"user.x", len: len as u32, flags: 0 };
        rig.submit(op, value.clone());
        let call = rig.expect(FopNumber::Setxattr);
        let Request::Setxattr(set) = call.request() else { panic!() };
        assert_eq!(set.dict.get("user.x"), Some(Value::Ptr(&value)), "{len}");
        assert_eq!(set.dict.pairs().count(), 1);
        assert!(call.payload().is_empty());
    }
}
