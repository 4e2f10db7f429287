//! Decodes lock requests: from the arguments of INODELK, ENTRYLK and LK to a question to the lock
//! tables (docs/spec/01-wire.md, "gf_flock, locks").

use crate::fop::wire::Request;
use crate::id::ConnId;
use crate::rpc::Cred;
use crate::server::locks::{Ask, Class, LAST_BYTE};
use crate::server::{BrickIx, HandleId};
use crate::xdr::{Errno, Flock, Gfid};

/// Bytes of the longest name in a directory.
const NAME_MAX: usize = 255;

/// Bytes of the longest domain.
pub(super) const DOMAIN_MAX: usize = 1024;

/// Action of a lock request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Take {
        blocking: bool,
    },
    Release,
    /// GETLK.
    Query,
}

/// Decodes a lock request (docs/spec/01-wire.md, "gf_flock, locks").
pub(super) fn decode_lock<'a>(
    conn: ConnId,
    brick: BrickIx,
    cred: &Cred<'a>,
    request: &Request<'a>,
    handle: Option<HandleId>,
    opened: Option<Gfid>,
) -> Result<(Action, Ask<'a>), Errno> {
    let owner = cred.lk_owner;
    let mut ask = Ask {
        brick,
        gfid: Gfid::NONE,
        class: Class::Inode,
        domain: b"",
        conn,
        owner,
        write: false,
        start: 0,
        end: LAST_BYTE,
        name: None,
        handle: None,
        pid: cred.pid,
        claimed_pid: 0,
    };
    let (gfid, decode_lock) = match *request {
        Request::Lk(lk) => {
            (ask.class, ask.handle) = (Class::Posix, handle);
            (lk.gfid, decode_range(&mut ask, lk.cmd, lk.kind, &lk.flock)?)
        }
        Request::Inodelk(lk) => {
            ask.domain = lk.volume;
            (lk.gfid, decode_range(&mut ask, lk.cmd, lk.kind, &lk.flock)?)
        }
        Request::Finodelk(lk) => {
            ask.domain = lk.volume;
            (lk.gfid, decode_range(&mut ask, lk.cmd, lk.kind, &lk.flock)?)
        }
        Request::Entrylk(lk) => {
            ask.domain = lk.volume;
            (lk.gfid, decode_name(&mut ask, lk.cmd, lk.kind, lk.namelen, lk.name)?)
        }
        Request::Fentrylk(lk) => {
            ask.domain = lk.volume;
            (lk.gfid, decode_name(&mut ask, lk.cmd, lk.kind, lk.namelen, lk.name)?)
        }
        _ => return Err(Errno::EOPNOTSUPP),
    };
    // An open fd says which file is meant, whatever gfid is beside it.
    ask.gfid = opened.filter(|gfid| *gfid != Gfid::NONE).unwrap_or(gfid);
    if ask.gfid == Gfid::NONE || owner.is_empty() || ask.domain.len() > DOMAIN_MAX {
        return Err(Errno::EINVAL);
    }
    Ok((decode_lock, ask))
}

fn decode_range(
    ask: &mut Ask<'_>,
    cmd: u32,
    kind: u32,
    flock: &Flock<'_>,
) -> Result<Action, Errno> {
    let posix = ask.class == Class::Posix;
    let decode_lock = match cmd {
        0 if posix => Action::Query,
        _ if kind == 2 && matches!(cmd, 1 | 2) => Action::Release,
        1 => Action::Take { blocking: false },
        2 => Action::Take { blocking: true },
        _ => return Err(if posix { Errno::EINVAL } else { Errno::EOPNOTSUPP }),
    };
    if kind > 2 {
        return Err(Errno::EINVAL);
    }
    ask.write = kind == 1;
    ask.claimed_pid = flock.pid;
    (ask.start, ask.end) =
        range(flock.start as i64, flock.len as i64, posix).ok_or(Errno::EINVAL)?;
    Ok(decode_lock)
}

/// First and last byte of a range. Length 0 extends to the end; a negative length, which only LK
/// allows, lies before the start.
pub(in crate::server) fn range(start: i64, len: i64, posix: bool) -> Option<(u64, u64)> {
    let (start, len) = match len {
        0.. => (start, len),
        _ if posix => (start.checked_add(len)?, len.checked_neg()?),
        _ => return None,
    };
    let first = u64::try_from(start).ok()?;
    let last = if len == 0 { i64::MAX } else { start.checked_add(len - 1)? };
    Some((first, u64::try_from(last).ok()?))
}

fn decode_name<'a>(
    ask: &mut Ask<'a>,
    cmd: u32,
    kind: u32,
    namelen: u64,
    name: &'a [u8],
) -> Result<Action, Errno> {
    ask.class = Class::Entry;
    ask.write = kind == 1;
    // On the wire only zero or not: whether there is a name.
    ask.name = (namelen != 0).then_some(name);
    if name.len() > NAME_MAX {
        return Err(Errno::ENAMETOOLONG);
    }
    match (cmd, kind) {
        (0, 0 | 1) => Ok(Action::Take { blocking: true }),
        (1, 0 | 1) => Ok(Action::Release),
        (2, 0 | 1) => Ok(Action::Take { blocking: false }),
        _ => Err(Errno::EINVAL),
    }
}
