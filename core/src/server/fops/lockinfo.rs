//! Moves LK locks from one open file to another. A client asks for that when its graph changes, so
//! that locks of its applications outlive the old graph's connection.
//!
//! FGETXATTR of `trusted.glusterfs.lockinfo` by the old fd returns a serialised dictionary with one
//! key for each brick (replicate merges those of its bricks) and the fd's number there. FSETXATTR
//! of the same value by the new fd moves the locks. A real brick also stores the value, which
//! nobody reads; this one does not.

use crate::fop::FopNumber;
use crate::fop::wire::{Body, Reply, Request};
use crate::server::files::OpenFile;
use crate::server::locks::Handover;
use crate::server::state::State;
use crate::server::{BrickIx, HandleId, JobId};
use crate::xdr::{Dict, Errno, Iatt, LegacyDict, Pair, Value, Writer, put_legacy};

const LOCK_INFO: &[u8] = b"trusted.glusterfs.lockinfo";
/// Bytes of a brick's key: the longest uuid of a process and an index.
const KEY_MAX: usize = 144;
/// Bytes of the dictionary.
const INFO_MAX: usize = KEY_MAX + 40;

/// Does a request get or set an open file's lockinfo?
pub(in crate::server) fn is_lockinfo(request: &Request<'_>) -> bool {
    match request {
        Request::Fgetxattr(r) => r.name == LOCK_INFO,
        Request::Fsetxattr(r) => r.dict.get(LOCK_INFO).is_some(),
        _ => false,
    }
}

impl State<'_> {
    /// Answers with an open file's lockinfo, or moves the locks that a lockinfo names.
    pub(in crate::server) fn lock_info(
        &mut self,
        id: JobId,
        request: &Request<'_>,
        handle: HandleId,
    ) {
        let Some(file) = self.files.get(handle).copied() else { return };
        match request {
            Request::Fsetxattr(r) => {
                let bytes = r.dict.get(LOCK_INFO).and_then(|value| value.as_bytes());
                let result = self.take_locks(&file, handle, bytes.unwrap_or_default());
                let reply = match result {
                    Ok(()) => Reply::plain(0, 0),
                    Err(errno) => Reply::plain(-1, errno.to_wire()),
                };
                self.in_ring(id, |w| reply.encode(FopNumber::Fsetxattr, w).is_ok());
                self.answer_decided_locks();
            }
            _ => {
                let mut room = [0; INFO_MAX];
                let has = self.locks.are_through(file.brick, file.gfid, handle);
                let info = has.then(|| self.encode_info(file.brick, handle, &mut room)).flatten();
                let pair = info.map(|info| [Pair { key: LOCK_INFO, value: Value::Ptr(info) }]);
                let dict = Dict::Pairs(pair.as_ref().map_or(&[], |pair| &pair[..]));
                let body = Body::Dict { dict, before: Iatt::default(), after: Iatt::default() };
                let reply = Reply { body, ..Reply::plain(0, 0) };
                self.in_ring(id, |w| reply.encode(FopNumber::Fgetxattr, w).is_ok());
            }
        }
    }

    /// The brick's key in a lockinfo. It differs from that of every other brick and of this one
    /// after a restart, because fd numbers mean something else there.
    fn info_key(&self, brick: BrickIx) -> heapless::String<KEY_MAX> {
        let mut key = heapless::String::new();
        // Both fit.
        let _ =
            core::fmt::write(&mut key, format_args!("{}:{}", self.config.process_uuid, brick.0));
        key
    }

    fn encode_info<'r>(
        &self,
        brick: BrickIx,
        handle: HandleId,
        room: &'r mut [u8],
    ) -> Option<&'r [u8]> {
        let mut number: heapless::String<20> = heapless::String::new();
        core::fmt::write(&mut number, format_args!("{}", handle.wire())).ok()?;
        let key = self.info_key(brick);
        let mut w = Writer::new(room);
        put_legacy(&mut w, &[(&key, Some(number.as_bytes()))]).ok()?;
        // Skip the length of the opaque: the xattr has its own.
        let (len, bytes) = room.split_first_chunk()?;
        bytes.get(..u32::from_be_bytes(*len) as usize)
    }

    fn take_locks(&mut self, file: &OpenFile, to: HandleId, info: &[u8]) -> Result<(), Errno> {
        let info = LegacyDict::parse(info).map_err(|_| Errno::EPERM)?;
        let key = self.info_key(file.brick);
        let number = info.text(key.as_bytes()).and_then(|text| core::str::from_utf8(text).ok());
        let from = number.and_then(|text| text.parse().ok()).and_then(HandleId::from_wire);
        // For another brick, or for a file that is closed by now: nothing to move.
        let Some(from) = from.filter(|from| *from != to) else { return Ok(()) };
        let same = |from: &OpenFile| from.gfid == file.gfid && from.brick == file.brick;
        if !self.files.get(from).is_some_and(same) {
            return Ok(());
        }
        let Some(conn) = file.conn else { return Ok(()) };
        self.locks.take_over(file.brick, file.gfid, &Handover { from, to, conn })
    }
}
