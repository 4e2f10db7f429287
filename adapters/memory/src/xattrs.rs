//! Extended attributes: those that clients own, and those of the brick itself.

use super::acls;
use super::inode::{Inode, NAME_MAX, Name, VALUE_INLINE, Xattr};
use super::pages::Owner;
use super::reply::{Out, Pairs};
use super::store::{CTIME, Store};
use super::{Result, Stop, permission};
use brickwire_core::rpc::Cred;
use brickwire_core::server::{Call, Target, xattr_names};
use brickwire_core::xdr::{Dict, Errno, Gfid, Mdata, Value};

/// Bytes of an xattr's value at most, as on Linux.
const VALUE_MAX: usize = 64 * 1024;
/// The times of an inode that clients set.
pub(super) const MDATA: &[u8] = b"trusted.glusterfs.mdata";
/// Its bytes.
const MDATA_LEN: usize = 57;
/// Xattrs of the brick that clients neither see nor set.
const INTERNAL: [&[u8]; 3] = [b"trusted.gfid", b"trusted.glusterfs.volume-id", MDATA];
const PATHS: &[u8] = b"trusted.gfid2path.";
/// The value is too long.
const E2BIG: Errno = Errno::from_wire(7);

fn is_internal(name: &[u8]) -> bool {
    INTERNAL.contains(&name)
        || xattr_names::BIT_ROT.contains(&name)
        || name.starts_with(PATHS)
        || name.starts_with(b"user.brickwire.")
}

/// Whether the name has a known prefix.
pub(super) fn is_family(name: &[u8]) -> bool {
    let families: [&[u8]; 4] = [b"trusted.", b"user.", b"security.", b"system."];
    families.iter().any(|family| name.starts_with(family)) && !is_internal(name)
}

/// Whether CREATE and its like may set this xattr. Other keys of their xdata have another meaning.
pub(super) fn settable_at_birth(name: &[u8]) -> bool {
    is_family(name) && (!name.starts_with(b"system.") || name.starts_with(b"system.posix_acl_"))
}

/// Checks that clients may use an xattr of this name.
fn check_name(name: &[u8]) -> Result<()> {
    if is_internal(name) {
        return Err(Errno::EPERM.into());
    }
    if is_family(name) { Ok(()) } else { Err(Errno::EOPNOTSUPP.into()) }
}

pub(super) fn encode_mdata(times: &Mdata) -> [u8; MDATA_LEN] {
    let mut bytes = [0; MDATA_LEN];
    let words = [times.ctime, times.mtime, times.atime].into_iter();
    let words = words.flat_map(|(seconds, nanos)| [seconds, i64::from(nanos)]);
    if let Some((version, rest)) = bytes.split_first_mut() {
        *version = 1;
        // Eight bytes of flags come first, then the times.
        for (place, word) in rest.chunks_exact_mut(8).skip(1).zip(words) {
            place.copy_from_slice(&word.to_be_bytes());
        }
    }
    bytes
}

fn decode_mdata(bytes: &[u8]) -> Option<Mdata> {
    let (version, rest) = bytes.split_first()?;
    if *version != 1 || bytes.len() != MDATA_LEN {
        return None;
    }
    let mut words =
        rest.chunks_exact(8).skip(1).map(|word| word.try_into().map(i64::from_be_bytes));
    let mut time = || Some((words.next()?.ok()?, words.next()?.ok()?.clamp(0, 999_999_999) as u32));
    Some(Mdata { ctime: time()?, mtime: time()?, atime: time()? })
}

impl Store<'_> {
    fn xattr_place(&self, inode: u32, name: &[u8]) -> Result<usize, usize> {
        self.xattrs.find(|_, there| (there.inode, there.name.as_slice()).cmp(&(inode, name)))
    }

    /// The slot of an xattr.
    pub(super) fn xattr(&self, inode: u32, name: &[u8]) -> Option<u32> {
        Some(self.xattrs.at(self.xattr_place(inode, name).ok()?)?.0)
    }

    pub(super) fn xattr_len(&self, xattr: u32) -> usize {
        self.xattrs.get(xattr).map_or(0, |xattr| xattr.len as usize)
    }

    /// Reads the beginning of a value, as far as `into` holds it.
    pub(super) fn read_xattr(&self, xattr: u32, into: &mut [u8]) {
        let Some(found) = self.xattrs.get(xattr) else { return };
        match found.value.get(..found.len as usize) {
            Some(value) => {
                let len = value.len().min(into.len());
                if let (Some(into), Some(value)) = (into.get_mut(..len), value.get(..len)) {
                    into.copy_from_slice(value);
                }
            }
            None => {
                let len = into.len().min(found.len as usize);
                self.pages.read(Owner::Xattr(xattr), 0, into.get_mut(..len).unwrap_or_default());
            }
        }
    }

    /// Adds an xattr to the reply.
    pub(super) fn put_xattr(&self, xattr: u32, keys: &mut Pairs<'_>) -> Result<()> {
        let Some(found) = self.xattrs.get(xattr) else { return Ok(()) };
        keys.put_bytes(&found.name, found.len as usize, |room| self.read_xattr(xattr, room))
    }

    /// Adds all xattrs that the caller may see. The times are among them for heals only, which copy
    /// them.
    pub(super) fn all_xattrs(
        &self,
        inode: u32,
        cred: &Cred<'_>,
        keys: &mut Pairs<'_>,
    ) -> Result<()> {
        if let Some(times) = self.inode(inode)?.mdata.filter(|_| cred.pid < 0) {
            keys.put(MDATA, &Value::Ptr(&encode_mdata(&times)))?;
        }
        let mut at = self.xattrs.first_not(|there| there.inode < inode);
        while let Some((slot, found)) = self.xattrs.at(at).filter(|(_, there)| there.inode == inode)
        {
            if cred.pid < 0 || !xattr_names::is_hidden(&found.name) {
                self.put_xattr(slot, keys)?;
            }
            at += 1;
        }
        Ok(())
    }

    /// Slots and pages that these xattrs, all of them new, need.
    pub(super) fn xattrs_need<'x>(
        &self,
        inode: &Inode,
        xattrs: impl Iterator<Item = (&'x [u8], &'x [u8])>,
    ) -> Result<(usize, u64)> {
        let (mut slots, mut pages) = (0, 0_u64);
        for (name, value) in xattrs {
            check_size(name, value)?;
            may_have(name, inode)?;
            slots += 1;
            if value.len() > VALUE_INLINE {
                pages += (value.len() as u64).div_ceil(self.pages.each());
            }
        }
        Ok((slots, pages))
    }

    /// Sets an xattr. If a table is full, nothing is changed.
    pub(super) fn set_xattr(&mut self, inode: u32, name: &[u8], value: &[u8]) -> Result<()> {
        check_size(name, value)?;
        let place = self.xattr_place(inode, name);
        let existing = place.ok().and_then(|at| self.xattrs.at(at)).map(|(slot, _)| slot);
        let freed = existing.map_or(0, |slot| self.pages.of(Owner::Xattr(slot)));
        let pages = if value.len() > VALUE_INLINE {
            (value.len() as u64).div_ceil(self.pages.each())
        } else {
            0
        };
        if pages > self.pages.free() + freed {
            return Err(Errno::ENOSPC.into());
        }
        let slot = match (existing, place) {
            (Some(slot), _) => slot,
            (None, Err(at)) => {
                let name = Name::from_slice(name).map_err(|_| Errno::ERANGE)?;
                let new = Xattr { inode, name, ..Xattr::EMPTY };
                self.xattrs.insert(at, new).ok_or(Errno::ENOSPC)?
            }
            (None, Ok(_)) => return Err(Errno::EIO.into()),
        };
        self.pages.drop_all(Owner::Xattr(slot));
        if value.len() > VALUE_INLINE {
            self.pages.write(Owner::Xattr(slot), 0, value)?;
        }
        if let Some(xattr) = self.xattrs.get_mut(slot) {
            xattr.len = value.len() as u32;
            xattr.value = [0; VALUE_INLINE];
            if let Some(room) = xattr.value.get_mut(..value.len()) {
                room.copy_from_slice(value);
            }
        }
        Ok(())
    }

    /// Removes all xattrs of an inode.
    pub(super) fn drop_xattrs(&mut self, inode: u32) {
        let first = self.xattrs.first_not(|there| there.inode < inode);
        let behind = self.xattrs.first_not(|there| there.inode <= inode);
        for at in first..behind {
            if let Some((slot, _)) = self.xattrs.at(at) {
                self.pages.drop_all(Owner::Xattr(slot));
            }
        }
        self.xattrs.remove(first..behind);
    }

    pub(super) fn setxattr(
        &mut self,
        call: &Call<'_>,
        gfid: &Gfid,
        flags: u32,
        dict: &Dict<'_>,
        out: &mut Out<'_, '_, '_>,
    ) -> Result<()> {
        let slot = self.about(call, call.target, gfid)?;
        let inode = *self.inode(slot)?;
        // Translators keep state in trusted.* (layouts, for example). Changing it does not move the
        // inode's times.
        let mut of_user = false;
        for (name, value) in dict.pairs() {
            if name == b"set-ctime-mdata" || name == MDATA && call.cred.pid < 0 {
                self.first_times(slot, &value)?;
                continue;
            }
            if xattr_names::is_ignored(name) {
                continue;
            }
            self.may_change(name, slot, &call.cred)?;
            of_user |= !name.starts_with(b"trusted.");
            let bytes = value.as_bytes().ok_or(Errno::EINVAL)?;
            check_size(name, bytes)?;
            may_have(name, &inode)?;
            if acls::is_acl(name) {
                acls::check(inode.mode, name, bytes)?;
                self.set_acl(slot, name, bytes)?;
                continue;
            }
            let there = self.xattr(slot, name).is_some();
            if flags & 1 != 0 && there {
                return Err(Errno::EEXIST.into());
            }
            if flags & 2 != 0 && !there {
                return Err(Errno::ENODATA.into());
            }
            self.set_xattr(slot, name, bytes)?;
        }
        let now = self.clock;
        self.inode_mut(slot)?.times.ctime = now;
        self.touch(slot, if of_user { CTIME } else { 0 }, &call.cred, 0);
        out.done()
    }

    /// Sets the times of an inode that has none on this brick, from a client or a heal.
    fn first_times(&mut self, slot: u32, value: &Value<'_>) -> Result<()> {
        let times = match value {
            Value::Mdata(times) => *times,
            Value::IattBytes(_) | Value::Iatt(_) => return Ok(()),
            other => other.as_bytes().and_then(decode_mdata).ok_or(Errno::EINVAL)?,
        };
        self.inode_mut(slot)?.mdata.get_or_insert(times);
        Ok(())
    }

    pub(super) fn getxattr(
        &mut self,
        call: &Call<'_>,
        gfid: &Gfid,
        name: &[u8],
        out: &mut Out<'_, '_, '_>,
    ) -> Result<()> {
        let slot = self.about(call, call.target, gfid)?;
        let inode = *self.inode(slot)?;
        // As on a real brick: read permission is needed by gfid only, and not for ACLs.
        let begins: [&[u8]; 2] = [b"system.posix_acl_", b"glusterfs.xattrop_"];
        if call.target == Target::Gfid && !begins.iter().any(|begin| name.starts_with(begin)) {
            self.check(slot, &call.cred, permission::READ)?;
        }
        let pairs = &mut out.pairs;
        if name.is_empty() {
            self.all_xattrs(slot, &call.cred, pairs)?;
        } else if !self.virtual_xattr(call.brick.0, slot, name, pairs)? {
            match name {
                MDATA => {
                    let times = inode.mdata.ok_or(Errno::ENODATA)?;
                    pairs.put(name, &Value::Ptr(&encode_mdata(&times)))?;
                }
                b"trusted.gfid" if call.cred.pid < 0 => {
                    pairs.put(name, &Value::Ptr(&inode.gfid.0))?
                }
                _ if call.cred.pid >= 0 && xattr_names::is_hidden(name) => {
                    return Err(Errno::ENODATA.into());
                }
                _ if !is_family(name) && !is_internal(name) => return Err(Errno::EOPNOTSUPP.into()),
                _ => {
                    check_size(name, b"")?;
                    // A name that this inode type cannot have is answered as missing.
                    match may_have(name, &inode) {
                        Err(Stop::Errno(Errno::EPERM)) => return Err(Errno::ENODATA.into()),
                        result => result?,
                    }
                    let found = self.xattr(slot, name).ok_or(Errno::ENODATA)?;
                    self.put_xattr(found, pairs)?;
                }
            }
        }
        out.dict()
    }

    pub(super) fn removexattr(
        &mut self,
        call: &Call<'_>,
        gfid: &Gfid,
        name: &[u8],
        xdata: &Dict<'_>,
        out: &mut Out<'_, '_, '_>,
    ) -> Result<()> {
        let slot = self.about(call, call.target, gfid)?;
        if name.is_empty() {
            // Removes all xattrs that the xdata names: a heal clears a copy this way before it
            // fills it from another.
            for (key, _) in xdata.pairs().filter(|(key, _)| *key != MDATA || call.cred.pid >= 0) {
                match self.may_change(key, slot, &call.cred) {
                    Err(Stop::Errno(Errno::EOPNOTSUPP)) => {}
                    result => {
                        result?;
                        may_have(key, self.inode(slot)?)?;
                        self.remove_xattr(slot, key);
                    }
                }
            }
        } else if name != MDATA || call.cred.pid >= 0 {
            // Not reached when a heal removes the times: it gets success and they stay, as on
            // GlusterFS's bricks.
            self.may_change(name, slot, &call.cred)?;
            check_size(name, b"")?;
            may_have(name, self.inode(slot)?)?;
            // Removing an ACL that is not there succeeds.
            if !self.remove_xattr(slot, name) && !acls::is_acl(name) {
                return Err(Errno::ENODATA.into());
            }
        }
        self.touch(slot, CTIME, &call.cred, 0);
        out.done()
    }

    /// Was it there?
    pub(super) fn remove_xattr(&mut self, slot: u32, name: &[u8]) -> bool {
        let Ok(at) = self.xattr_place(slot, name) else { return false };
        if let Some((xattr, _)) = self.xattrs.at(at) {
            self.pages.drop_all(Owner::Xattr(xattr));
        }
        self.xattrs.remove(at..at + 1);
        true
    }

    /// Checks that the caller may set or remove an xattr of this name.
    fn may_change(&self, name: &[u8], slot: u32, cred: &Cred<'_>) -> Result<()> {
        check_name(name)?;
        let privileged = name.starts_with(b"trusted.") || name.starts_with(b"security.");
        if privileged && !permission::is_root(cred) {
            return Err(Errno::EPERM.into());
        }
        if name.starts_with(b"user.") {
            self.check(slot, cred, permission::WRITE)
        } else {
            permission::owner(self.inode(slot)?, cred)
        }
    }
}

/// Only files and directories have user attributes.
fn may_have(name: &[u8], inode: &Inode) -> Result<()> {
    let could = inode.is_regular() || inode.is_dir() || !name.starts_with(b"user.");
    if !could {
        return Err(Errno::EPERM.into());
    }
    // A prefix alone is not a name.
    let bare = name.iter().position(|byte| *byte == b'.').is_some_and(|at| at + 1 == name.len());
    if bare { Err(Errno::EINVAL.into()) } else { Ok(()) }
}

fn check_size(name: &[u8], value: &[u8]) -> Result<()> {
    if name.len() > NAME_MAX {
        return Err(Errno::ERANGE.into());
    }
    if value.len() > VALUE_MAX { Err(E2BIG.into()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_a_real_brick_decodes_and_encodes_to_the_same_bytes() {
        let text = "010000000000000000000000006b03135e000000003b27099c000000006b03135e\
                    000000003b27099c000000006b030edf00000000049ac065";
        let mut bytes = [0; MDATA_LEN];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap();
        }
        let times = decode_mdata(&bytes).unwrap();
        assert_eq!(times.ctime, (0x6b03_135e, 0x3b27_099c));
        assert_eq!(times.atime, (0x6b03_0edf, 0x049a_c065));
        assert_eq!(encode_mdata(&times), bytes);
    }
}
