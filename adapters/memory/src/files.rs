//! Open files. An inode that is unlinked while it is open lives until the last close.

use super::inode::OpenInode;
use super::pages::Owner;
use super::reply::Out;
use super::store::{CTIME, MTIME, Store};
use super::{Result, permission};
use brickwire_core::fop::OpenFlags;
use brickwire_core::fop::wire::{Body, Open, Opendir};
use brickwire_core::server::{Call, HandleId};
use brickwire_core::xdr::Errno;

/// Permissions that the flags of an open need. O_TRUNC needs write permission, also in an open for
/// reading.
pub(super) fn wanted(flags: OpenFlags) -> u32 {
    let read = if flags.0 & 3 == 1 { 0 } else { permission::READ };
    let write = flags.writes() || flags.has(OpenFlags::TRUNCATE);
    read | if write { permission::WRITE } else { 0 }
}

impl Store<'_> {
    pub(super) fn open_file(
        &mut self,
        call: &Call<'_>,
        r: &Open<'_>,
        out: &mut Out<'_, '_, '_>,
    ) -> Result<()> {
        let slot = self.object(call, &r.gfid)?;
        let inode = *self.inode(slot)?;
        let flags = OpenFlags(r.flags);
        self.check(slot, &call.cred, wanted(flags))?;
        if inode.is_dir() {
            // Samba opens a directory like a file, for fops that need no data.
            if flags.writes() || flags.has(OpenFlags::TRUNCATE) {
                return Err(Errno::EISDIR.into());
            }
            let fd = self.keep(call, slot, OpenFlags::READ)?;
            self.touch(slot, 0, &call.cred, 0);
            return out.body(Body::Open { fd });
        }
        if flags.has(OpenFlags::DIRECTORY) {
            return Err(Errno::ENOTDIR.into());
        }
        // On a disk, opening a device or FIFO could block for ever, so bricks refuse it.
        if !inode.is_regular() {
            return Err(Errno::EINVAL.into());
        }
        let fd = self.keep(call, slot, flags)?;
        if flags.has(OpenFlags::TRUNCATE) {
            self.empty(call, slot)?;
        } else {
            self.touch(slot, 0, &call.cred, 0);
        }
        out.body(Body::Open { fd })
    }

    /// Truncates a file to size 0.
    pub(super) fn empty(&mut self, call: &Call<'_>, slot: u32) -> Result<()> {
        self.pages.drop_all(Owner::Inode(slot));
        self.inode_mut(slot)?.size = 0;
        self.touch(slot, CTIME | MTIME, &call.cred, 0);
        Ok(())
    }

    pub(super) fn opendir(
        &mut self,
        call: &Call<'_>,
        r: &Opendir<'_>,
        out: &mut Out<'_, '_, '_>,
    ) -> Result<()> {
        let slot = self.directory(call.brick.0, &r.gfid)?;
        self.check(slot, &call.cred, permission::READ)?;
        let fd = self.keep(call, slot, OpenFlags::READ)?;
        self.touch(slot, 0, &call.cred, 0);
        out.body(Body::Open { fd })
    }

    /// Adds an open file under the handle that the server chose, and answers with the fd for the
    /// client.
    pub(super) fn keep(&mut self, call: &Call<'_>, slot: u32, flags: OpenFlags) -> Result<i64> {
        let handle = call.opens.ok_or(Errno::EINVAL)?;
        let place = self.files.find(|_, there| there.handle.cmp(&Some(handle)));
        let at = place.err().ok_or(Errno::EINVAL)?;
        let open = OpenInode { handle: Some(handle), inode: slot, flags };
        self.files.insert(at, open).ok_or(Errno::EMFILE)?;
        self.inode_mut(slot)?.opens += 1;
        Ok(handle.wire())
    }

    pub(super) fn close(&mut self, handle: HandleId) {
        let Ok(at) = self.files.find(|_, there| there.handle.cmp(&Some(handle))) else { return };
        let Some(slot) = self.files.at(at).map(|(_, open)| open.inode) else { return };
        self.files.remove(at..at + 1);
        if let Some(inode) = self.inodes.get_mut(slot) {
            inode.opens = inode.opens.saturating_sub(1);
        }
        self.free_if_unused(slot);
    }

    pub(super) fn close_all(&mut self) {
        while let Some(handle) = self.files.at(0).and_then(|(_, open)| open.handle) {
            self.close(handle);
        }
    }
}
