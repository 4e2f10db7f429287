//! Objects that were removed from a brick by hand, without their handles. Clients that know them
//! from other bricks create them again with the same gfid.

mod common;

use brickwire_core::fop::FopNumber;
use brickwire_core::fop::wire::{Mkdir, Mknod, Reply, Request, Symlink};
use brickwire_core::rpc::Cred;
use brickwire_core::xdr::{Dict, Gfid, Pair, Reader, Value};
use brickwire_posix::Brick;

fn made(brick: &Brick, request: Request<'_>) -> (i32, i32) {
    let number: FopNumber = request.number();
    let reply = common::ask(brick, &Cred::v3(1, 0, 0), request);
    let reply = Reply::decode(number, &mut Reader::new(&reply)).expect("a reply");
    (reply.op_ret, reply.op_errno)
}

/// Makes an object of each kind but a regular file, with gfids of its own.
fn make(brick: &Brick, kind: &str, name: &str) -> (i32, i32) {
    let gfid = Gfid([kind.len() as u8; 16]);
    let pairs = [Pair { key: b"gfid-req", value: Value::Gfuuid(gfid) }];
    let (pargfid, bname, umask) = (Gfid::ROOT, name.as_bytes(), 0);
    let xdata = Dict::Pairs(&pairs);
    made(
        brick,
        match kind {
            "directory" => Request::Mkdir(Mkdir { pargfid, mode: 0o755, umask, bname, xdata }),
            "symlink" => {
                Request::Symlink(Symlink { pargfid, bname, umask, linkname: b"to", xdata })
            }
            _ => {
                let mode = 0o010_600;
                Request::Mknod(Mknod { pargfid, mode, dev: 0, umask, bname, xdata })
            }
        },
    )
}

#[test]
fn what_only_a_handle_is_left_of_can_be_made_again_and_what_is_there_cannot() {
    let Some((dir, brick)) = common::brick() else { return };
    for kind in ["directory", "symlink", "fifo"] {
        let path = dir.path().join(kind);
        assert_eq!(make(&brick, kind, kind), (0, 0), "{kind}");
        assert_eq!(make(&brick, kind, "other").0, -1, "{kind}: its gfid is in use");
        assert!(!dir.path().join("other").exists());
        let gone = if kind == "directory" { std::fs::remove_dir } else { std::fs::remove_file };
        gone(&path).expect("somebody removes it");
        assert_eq!(make(&brick, kind, kind), (0, 0), "{kind}: made again");
        assert!(path.symlink_metadata().is_ok());
        gone(&path).expect("somebody removes it");
        assert_eq!(make(&brick, kind, "moved"), (0, 0), "{kind}: made again elsewhere");
        assert!(dir.path().join("moved").symlink_metadata().is_ok());
        gone(&dir.path().join("moved")).expect("it goes");
    }
}
