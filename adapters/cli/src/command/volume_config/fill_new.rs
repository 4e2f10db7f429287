//! A brick that is new in a replica: the other bricks note that it lacks everything, and a
//! self-heal daemon fills it.

use std::ops::Range;
use std::sync::Arc;

use brickwire_core::fop::FopNumber;
use brickwire_core::fop::wire::{Reply, Request, Xattrop};
use brickwire_core::rpc::Cred;
use brickwire_core::server::{BrickIx, Call, Counts, Payload, Target};
use brickwire_core::xdr::{Dict, Errno, Gfid, Pair, Reader, Value};
use brickwire_server::Backend;

/// Pending counters of a directory: data, metadata, entries. A data count covers every entry, also
/// those that no index lists.
const NONE: [u8; 12] = [0; 12];
const ALL: [u8; 12] = [0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1];

/// Marks on each brick of a set that is open, in its root, that brick `new` misses everything.
pub(super) fn fill_new(
    volume: &str,
    set: Range<usize>,
    new: usize,
    there: &[Option<Arc<dyn Backend>>],
) -> Result<(), String> {
    // All of them: what is not named is not known to be clean (docs/spec/10-replicate.md, "Brick
    // index side effects").
    let key = |at: usize| {
        (format!("trusted.afr.{volume}-client-{at}"), if at == new { &ALL[..] } else { &NONE[..] })
    };
    let keys: Vec<(String, &[u8])> = set.clone().map(key).collect();
    for at in set {
        let Some(brick) = &there[at] else { continue };
        accuse(brick.as_ref(), &keys)
            .map_err(|error| format!("brick {at} cannot note that brick {new} is new: {error}"))?;
    }
    Ok(())
}

fn accuse(brick: &dyn Backend, keys: &[(String, &[u8])]) -> Result<(), Errno> {
    let pairs: Vec<Pair<'_>> = keys
        .iter()
        .map(|(key, value)| Pair { key: key.as_bytes(), value: Value::Ptr(value) })
        .collect();
    let request =
        Xattrop { gfid: Gfid::ROOT, flags: 0, dict: Dict::Pairs(&pairs), xdata: Dict::Null };
    let call = Call {
        brick: BrickIx(0),
        cred: Cred::v3(1, 0, 0),
        request: Request::Xattrop(request),
        target: Target::Gfid,
        second: Target::Gfid,
        opened: false,
        opens: None,
        payload: Payload::Bytes(&[]),
        counts: Counts::default(),
    };
    let mut reply = Vec::new();
    brick.execute(&call, &[], &mut reply);
    let reply =
        Reply::decode(FopNumber::Xattrop, &mut Reader::new(&reply)).map_err(|_| Errno::EIO)?;
    if reply.op_ret < 0 { Err(Errno::from_wire(reply.op_errno)) } else { Ok(()) }
}
