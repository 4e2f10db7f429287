//! Replies to READ and WRITE on an open file, encoded without allocating.

use brickwire_core::fop::FopNumber;
use brickwire_core::fop::wire::{Body, Reply, Write};
use brickwire_core::server::Counts;
use brickwire_core::xdr::{Dict, Pair, Value, Writer};

use crate::{ReadOutcome, WriteOutcome};

/// Size in bytes of the buffer for the reply to a WRITE that a thread executes.
pub(crate) const WRITE_ROOM: u32 = 2048;
/// O_SYNC (which includes O_DSYNC) in the flags of a WRITE.
const SYNCHRONOUS: u32 = 0o4_010_000;

/// Says whether a WRITE asks to be on disk when it is answered, whatever flags the file was opened
/// with.
pub(crate) fn is_synchronous(write: &Write<'_>) -> bool {
    write.flag & SYNCHRONOUS != 0
}

/// Reply to a successful READ.
pub(crate) fn read_reply(outcome: &ReadOutcome) -> Reply<'static> {
    Reply {
        op_ret: outcome.len as i32,
        // ENOENT says that the READ reached the end of the file.
        op_errno: if outcome.eof { 2 } else { 0 },
        xdata: Dict::Null,
        body: Body::Read { stat: outcome.stat, size: outcome.len },
    }
}

/// Xdata keys that a client asked for with a WRITE.
pub(crate) struct WriteKeys {
    pairs: heapless::Vec<Pair<'static>, 7>,
}

impl WriteKeys {
    pub(crate) fn of(write: &Write<'_>, outcome: &WriteOutcome, counts: &Counts) -> Self {
        let mut pairs = heapless::Vec::new();
        let mut put = |key: &'static str, value: Option<Value<'static>>| {
            // At most seven keys are put, which is the capacity.
            let _ = value.map(|value| pairs.push(Pair { key: key.as_bytes(), value }));
        };
        const APPEND: &str = "glusterfs.write-is-append";
        if write.xdata.get(APPEND).is_some() {
            put(APPEND, Some(Value::Uint(outcome.is_append().into())));
        }
        let Counts { inodelk, posixlk, entrylk, parent_entrylk, open_fd, open_active_fd } = *counts;
        put("glusterfs.inodelk-count", inodelk.map(Value::Int));
        put("glusterfs.posixlk-count", posixlk.map(Value::Int));
        put("glusterfs.entrylk-count", entrylk.map(Value::Int));
        put("glusterfs.parent-entrylk", parent_entrylk.map(Value::Int));
        put("glusterfs.open-fd-count", open_fd.map(Value::Uint));
        put("glusterfs.open-active-fd-count", open_active_fd.map(Value::Uint));
        Self { pairs }
    }
}

/// Reply to a successful WRITE.
pub(crate) fn write_reply<'k>(outcome: &WriteOutcome, keys: &'k WriteKeys) -> Reply<'k> {
    Reply {
        op_ret: outcome.len as i32,
        op_errno: 0,
        xdata: if keys.pairs.is_empty() { Dict::Null } else { Dict::Pairs(&keys.pairs) },
        body: Body::TwoIatts { before: outcome.before, after: outcome.after },
    }
}

/// Encodes the body of a reply without data at the start of a buffer, and returns its length.
pub(crate) fn put_reply(room: &mut [u8], number: FopNumber, reply: &Reply<'_>) -> usize {
    let mut w = Writer::new(room);
    // The longest reply, and every failure, is shorter than `WRITE_ROOM`.
    let _ = reply.encode(number, &mut w);
    w.position()
}
