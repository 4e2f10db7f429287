//! Virtual xattrs that end locks.
//!
//! A FUSE mount asks GETXATTR `glusterfs.intrlk.tposix.kblocked.WHENCE,START-LEN` by fd when a
//! program that waits for an LK lock is interrupted: the waiting calls of this fd end with EINTR.
//! `gluster volume clear-locks` asks `glusterfs.clrlk.tKIND.kWHICH[.RANGE or NAME]` by gfid: locks
//! of all clients end. Names and answers are those of a real brick.

use super::lock_request::range;
use crate::fop::FopNumber;
use crate::fop::wire::{Body, Reply, Request};
use crate::server::JobId;
use crate::server::locks::{Class, Clear, LAST_BYTE};
use crate::server::state::State;
use crate::server::{BrickIx, HandleId};
use crate::xdr::{Dict, Errno, Gfid, Iatt, Pair, Value};

const INTERRUPT: &str = "glusterfs.intrlk.";
const CLEAR: &str = "glusterfs.clrlk.";

/// The name that a request asks for, if it ends locks.
pub(in crate::server) fn clear_locks_name<'a>(
    request: &Request<'a>,
) -> Option<(FopNumber, Gfid, &'a str)> {
    let (number, gfid, name) = match request {
        Request::Getxattr(r) => (FopNumber::Getxattr, r.gfid, r.name),
        Request::Fgetxattr(r) => (FopNumber::Fgetxattr, r.gfid, r.name),
        _ => return None,
    };
    // Cheap test first: nearly all names are other ones.
    if !name.starts_with(b"glusterfs.") {
        return None;
    }
    let name = core::str::from_utf8(name).ok()?;
    (name.starts_with(INTERRUPT) || name.starts_with(CLEAR)).then_some((number, gfid, name))
}

impl State<'_> {
    /// Ends locks and answers how many.
    pub(in crate::server) fn end_locks(
        &mut self,
        id: JobId,
        brick: BrickIx,
        (number, gfid, name): (FopNumber, Gfid, &str),
        handle: Option<HandleId>,
    ) {
        let gfid = handle.and_then(|handle| self.files.get(handle)).map_or(gfid, |file| file.gfid);
        let what = match parse(name, handle) {
            Ok(what) => what,
            Err(errno) => {
                self.in_ring(id, |w| Reply::plain(-1, errno.to_wire()).encode(number, w).is_ok());
                return;
            }
        };
        let (wanted, held) = self.locks.clear(brick, gfid, &what);
        let kind = match what.class {
            Class::Inode => "inode",
            Class::Entry => "entry",
            Class::Posix => "posix",
        };
        let mut text: heapless::String<96> = heapless::String::new();
        // Both numbers fit.
        let _ = match (wanted, held) {
            (0, 0) => core::fmt::write(&mut text, format_args!("No locks cleared.")),
            _ => {
                let description =
                    format_args!("brickwire: {kind} blocked locks={wanted} granted locks={held}");
                core::fmt::write(&mut text, description)
            }
        };
        let pairs = [Pair { key: name.as_bytes(), value: Value::Str(text.as_bytes()) }];
        let body = Body::Dict {
            dict: Dict::Pairs(&pairs),
            before: Iatt::default(),
            after: Iatt::default(),
        };
        let reply = Reply { body, ..Reply::plain(0, 0) };
        self.in_ring(id, |w| reply.encode(number, w).is_ok());
        self.answer_decided_locks();
    }
}

fn parse(name: &str, handle: Option<HandleId>) -> Result<Clear<'_>, Errno> {
    if let Some(rest) = name.strip_prefix(INTERRUPT) {
        // An interrupt ends only calls of the file that it names.
        let range = rest.strip_prefix("tposix.kblocked.").ok_or(Errno::EOPNOTSUPP)?;
        let handle = Some(handle.ok_or(Errno::EOPNOTSUPP)?);
        let (wanted, range) = (Some(Errno::EINTR), parse_range(range)?);
        return Ok(Clear { class: Class::Posix, held: false, wanted, range, name: None, handle });
    }
    let rest = name.strip_prefix(CLEAR).unwrap_or_default();
    let mut words = rest.splitn(3, '.');
    let (class, refused) = match words.next() {
        Some("tinode") => (Class::Inode, Errno::EAGAIN),
        Some("tentry") => (Class::Entry, Errno::EAGAIN),
        Some("tposix") => (Class::Posix, Errno::EINTR),
        _ => return Err(Errno::EINVAL),
    };
    let (held, wanted) = match words.next() {
        Some("kblocked") => (false, true),
        Some("kgranted") => (true, false),
        Some("kall") => (true, true),
        _ => return Err(Errno::EINVAL),
    };
    let (mut range, mut name) = ((0, LAST_BYTE), None);
    match words.next() {
        Some(entry) if class == Class::Entry => name = Some(entry.as_bytes()),
        Some(bytes) => range = parse_range(bytes)?,
        None => {}
    }
    Ok(Clear { class, held, wanted: wanted.then_some(refused), range, name, handle: None })
}

/// Parses `WHENCE,START-LEN`; only whence 0 is known.
fn parse_range(text: &str) -> Result<(u64, u64), Errno> {
    let parse = || {
        let (whence, rest) = text.split_once(',')?;
        let (start, len) = rest.split_once('-')?;
        (whence == "0").then_some(())?;
        range(start.parse().ok()?, len.parse().ok()?, true)
    };
    parse().ok_or(Errno::EINVAL)
}
