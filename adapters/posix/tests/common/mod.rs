//! A brick in a temporary directory, and one fop on it by gfid.

#![allow(dead_code, unreachable_pub)] // No test uses all of it.

use brickwire_core::fop::wire::Request;
use brickwire_core::rpc::Cred;
use brickwire_core::server::{BrickIx, Call, Counts, HandleId, Payload, Target};
use brickwire_core::xdr::Gfid;
use brickwire_posix::{Brick, BrickError, BrickOptions};
use brickwire_server::Backend as _;

/// A new brick. `None` without the privilege to set trusted xattrs, or on a file system without
/// xattrs.
pub fn brick() -> Option<(tempfile::TempDir, Brick)> {
    let dir = tempfile::tempdir().expect("a directory");
    let options =
        BrickOptions { volume_id: Gfid([7; 16]), shared_by: 1, ..BrickOptions::default() };
    match Brick::open(dir.path(), options) {
        Err(BrickError::Io { .. } | BrickError::NoXattrs { .. })
            if !rustix::process::geteuid().is_root() =>
        {
            None
        }
        brick => Some((dir, brick.expect("a brick"))),
    }
}

/// Opens a directory that was a brick, with other options.
pub fn open(path: &std::path::Path, change: impl FnOnce(&mut BrickOptions)) -> Brick {
    let mut options =
        BrickOptions { volume_id: Gfid([7; 16]), shared_by: 1, ..BrickOptions::default() };
    change(&mut options);
    Brick::open(path, options).expect("a brick")
}

/// The encoded body of the reply.
pub fn ask(brick: &Brick, cred: &Cred<'_>, request: Request<'_>) -> Vec<u8> {
    ask_on(brick, cred, request, Target::Gfid, None)
}

/// The same on what is open, or for a call that opens something.
pub fn ask_on(
    brick: &Brick,
    cred: &Cred<'_>,
    request: Request<'_>,
    target: Target,
    opens: Option<HandleId>,
) -> Vec<u8> {
    let call = Call {
        brick: BrickIx(0),
        cred: *cred,
        request,
        target,
        second: Target::Gfid,
        opened: target != Target::Gfid,
        opens,
        payload: Payload::Bytes(&[]),
        counts: Counts::default(),
    };
    let mut bytes = Vec::new();
    brick.execute(&call, &[], &mut bytes);
    bytes
}
