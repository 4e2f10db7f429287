//! Open files. What is unlinked while it is open lives until the last close.

use super::inode::OpenInode;
use super::pages::Owner;
use super::reply::Out;
use super::store::{CTIME, MTIME, Store};
use super::{Result, permission};
use brickwire_core::fop::OpenFlags;
use brickwire_core::fop::wire::{Body, Open, Opendir};
use brickwire_core::server::{Call, HandleId};
use brickwire_core::xdr::Errno;

/// What an open file's flags need permission for. Who cuts a file writes, whatever it is opened for.
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
            // A directory may be opened like a file, for all that needs no data: Samba does.
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
        // What is no file could wait for ever on a disk, so nobody opens it.
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

    /// Cuts a file to nothing.
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

    /// Keeps an inode open under the name that the server gave; what the client will know it by.
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
