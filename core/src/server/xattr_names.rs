//! Names of xattrs that mean something to a translator of GlusterFS's brick: a real brick refuses
//! them or does something else than store them, whatever the storage is.

use crate::fop::wire::Request;
use crate::xdr::Errno;

/// Xattrs of bit-rot detection. Clients neither see nor set them; a brick that once belonged to a
/// real server may have them.
pub const BIT_ROT: [&[u8]; 3] =
    [b"trusted.bit-rot.bad-file", b"trusted.bit-rot.version", b"trusted.bit-rot.signature"];

/// The switch of a file's mandatory locks, which this server does not have.
const MANDATORY_LOCK: &[u8] = b"trusted.glusterfs.enforce-mandatory-lock";

/// Names to which SETXATTR answers EINVAL on a real brick that has neither mandatory locks nor
/// bit-rot detection switched on.
const INVALID: [&[u8]; 4] = [
    MANDATORY_LOCK,
    b"trusted.glusterfs.set-signature",
    b"trusted.glusterfs.get-signature",
    b"trusted.glusterfs.bit-rot.reopen-hint",
];

/// Whether SETXATTR takes this name and does nothing: the client has acted on it already.
pub fn is_ignored(name: &[u8]) -> bool {
    matches!(name, b"trusted.io-stats-dump" | b"glusterfs.internal-ctx")
}

/// Whether GETXATTR of a client answers as if this xattr were not there, though it can be set:
/// marks of geo-replication, which only processes with a negative pid read, and keys of fops.
pub fn is_hidden(name: &[u8]) -> bool {
    let Some(rest) = name.strip_prefix(b"trusted.glusterfs.") else { return false };
    let ends: [&[u8]; 3] = [b".xtime", b".stime", b".entry_stime"];
    rest == b"lockinfo"
        || rest == b"bit-rot.size"
        || rest.starts_with(b"volume-mark.")
        || ends.iter().any(|end| rest.ends_with(end))
}

/// Refuses what a real brick refuses by its name, with the errno of a real brick.
pub(super) fn check(request: &Request<'_>) -> Result<(), Errno> {
    match request {
        Request::Setxattr(r) => r.dict.pairs().try_for_each(|(name, _)| may_set(name)),
        Request::Fsetxattr(r) => r.dict.pairs().try_for_each(|(name, _)| may_set(name)),
        Request::Removexattr(r) => may_remove(r.name),
        Request::Fremovexattr(r) => may_remove(r.name),
        Request::Getxattr(r) => may_get(r.name),
        Request::Fgetxattr(r) => may_get(r.name),
        _ => Ok(()),
    }
}

fn may_set(name: &[u8]) -> Result<(), Errno> {
    match name {
        _ if INVALID.contains(&name) || BIT_ROT.contains(&name) => Err(Errno::EINVAL),
        b"trusted.glusterfs.pathinfo" | b"glusterfs.pathinfo" => Err(Errno::EACCES),
        // It would move a file to the cloud.
        b"trusted.glusterfs.csou.complete" => Err(Errno::EOPNOTSUPP),
        _ => Ok(()),
    }
}

fn may_remove(name: &[u8]) -> Result<(), Errno> {
    let invalid = name == MANDATORY_LOCK || BIT_ROT.contains(&name);
    if invalid { Err(Errno::EINVAL) } else { Ok(()) }
}

fn may_get(name: &[u8]) -> Result<(), Errno> {
    let [_, version, signature] = BIT_ROT;
    if name == version || name == signature { Err(Errno::EINVAL) } else { Ok(()) }
}
