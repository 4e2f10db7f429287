//! A write cache: changes are volatile until they are synced, and a power failure takes those that
//! were not.
//!
//! Data and metadata are lost separately, as with a journaling file system on a disk:
//!
//! - *Metadata* (names, attributes but for sizes, xattrs) becomes durable in the order of its
//!   changes. Every sync commits all metadata changes before it, of all inodes.
//! - *Data* (pages and size of a regular file) becomes durable inode by inode: with an FSYNC of it,
//!   with a WRITE that asks for it, or when the cache writes it back. A file that was created and
//!   never synced is empty after a power failure.
//!
//! [`MemoryStorage::write_back`] and [`MemoryStorage::commit_metadata`] are what a kernel does in
//! the background; the caller decides when and what, so that every state between the last sync and
//! the present can be one that a power failure leaves.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::MemoryStorage;
use super::inode::Inode;
use super::pages::{Owner, Pages};
use super::store::Store;
use brickwire_core::fop::OpenFlags;
use brickwire_core::fop::wire::Request;
use brickwire_core::server::Call;
use brickwire_core::xdr::{Errno, Gfid};

/// O_DSYNC in the flags of a WRITE; O_SYNC has this bit, too.
const DSYNC: u32 = 0o10000;

/// A part of the cache that can be written back by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cached {
    /// One page of a file, within its durable size.
    Page {
        /// The file.
        gfid: Gfid,
        /// Number of the page.
        number: u64,
    },
    /// The size of a file, with all pages behind the durable size.
    Size {
        /// The file.
        gfid: Gfid,
    },
}

impl MemoryStorage<'_> {
    /// Turns the write cache on. The present content is durable.
    pub fn enable_write_cache(&mut self) {
        self.durable = Some(Box::new(self.store.clone()));
    }

    /// Commits all metadata changes.
    pub fn commit_metadata(&mut self) {
        if let Some(durable) = &mut self.durable {
            durable.commit(&self.store);
        }
    }

    /// Writes back the parts of files' data that `choose` names. Files whose creation is not
    /// committed are left out.
    pub fn write_back(&mut self, mut choose: impl FnMut(Cached) -> bool) {
        let Some(durable) = &mut self.durable else { return };
        let files: Vec<(u32, Gfid)> =
            self.store.inodes.iter().map(|(slot, inode)| (slot, inode.gfid)).collect();
        let written = files.into_iter().try_for_each(|(slot, gfid)| {
            durable.write_back_file(&self.store, slot, |part| {
                choose(match part {
                    Some(number) => Cached::Page { gfid, number },
                    None => Cached::Size { gfid },
                })
            })
        });
        durable.all_if_full(&self.store, written);
    }

    /// Simulates a power failure: changes that are not durable are gone, and a new server process
    /// starts. Without a write cache nothing is lost.
    pub fn lose_power(&mut self) {
        if let Some(durable) = &self.durable {
            self.store.copy_from(durable);
        }
        self.restart();
        // Files that were open and had no name any more are gone, durably.
        if let Some(durable) = &mut self.durable {
            durable.copy_from(&self.store);
        }
    }

    /// After a call that succeeded: makes durable what it promises.
    pub(super) fn sync_as_asked(&mut self, call: &Call<'_>) {
        let Some(durable) = &mut self.durable else { return };
        let gfid = match &call.request {
            Request::Fsync(r) => r.gfid,
            Request::Write(r) => {
                let handle = self.store.flags(call.target).unwrap_or_default();
                if !handle.has(OpenFlags::SYNC) && r.flag & DSYNC == 0 {
                    return;
                }
                r.gfid
            }
            Request::Fsyncdir(_) => return durable.commit(&self.store),
            _ => return,
        };
        durable.commit(&self.store);
        if let Ok(slot) = self.store.about(call, call.target, &gfid) {
            let written = durable.write_back_file(&self.store, slot, |_| true);
            durable.all_if_full(&self.store, written);
        }
    }
}

/// These are functions of a store of durable state; `live` is the store that clients see.
impl Store<'_> {
    /// Becomes a copy, but for the clock.
    fn copy_from(&mut self, live: &Self) {
        self.copy_metadata(live);
        self.pages.copy_from(&live.pages);
    }

    fn copy_metadata(&mut self, live: &Self) {
        self.bricks.copy_from_slice(&live.bricks);
        self.inodes.copy_from(&live.inodes);
        self.entries.copy_from(&live.entries);
        self.cookies.copy_from(&live.cookies);
        self.xattrs.copy_from(&live.xattrs);
        self.files.copy_from(&live.files);
        // A serial number is not used twice, even if its inode was lost.
        self.next_serial = self.next_serial.max(live.next_serial);
        self.removed = live.removed;
    }

    /// Makes metadata durable. Regular files keep the data that is durable; symlinks and long xattr
    /// values are metadata.
    fn commit(&mut self, live: &Self) {
        let before: Vec<(u32, Inode)> =
            self.inodes.iter().map(|(slot, inode)| (slot, *inode)).collect();
        self.copy_metadata(live);
        let mut left: Vec<(u32, Inode)> =
            self.inodes.iter().map(|(slot, inode)| (slot, *inode)).collect();
        left.sort_unstable_by_key(|(slot, _)| *slot);
        let is_left = |slot: u32, serial: u64| {
            let at = left.binary_search_by_key(&slot, |(slot, _)| *slot);
            at.is_ok_and(|at| left.get(at).is_some_and(|(_, inode)| inode.serial == serial))
        };
        for (slot, inode) in &before {
            if !is_left(*slot, inode.serial) {
                self.pages.drop_all(Owner::Inode(*slot));
            }
        }
        for (slot, inode) in left.iter().filter(|(_, inode)| inode.is_regular()) {
            let durable = before.iter().find(|(was, _)| was == slot).map(|(_, was)| was);
            let size = durable.filter(|was| was.serial == inode.serial).map_or(0, |was| was.size);
            if let Some(inode) = self.inodes.get_mut(*slot) {
                inode.size = size;
            }
        }
        let symlinks = left.iter().filter(|(_, inode)| inode.is_symlink());
        let owners = symlinks.map(|(slot, _)| Owner::Inode(*slot)).collect();
        let copied = self.copy_owners(live, owners);
        self.all_if_full(live, copied);
    }

    /// Copies the content of symlinks and all long xattr values.
    fn copy_owners(&mut self, live: &Self, symlinks: Vec<Owner>) -> Result<(), Errno> {
        let is_xattr = |owner: &Owner| matches!(owner, Owner::Xattr(_));
        let mut gone: Vec<Owner> = self.pages.owners().filter(is_xattr).collect();
        gone.dedup();
        gone.into_iter().for_each(|owner| self.pages.drop_all(owner));
        let mut owners = symlinks;
        owners.extend(live.pages.owners().filter(is_xattr));
        owners.dedup();
        owners.into_iter().try_for_each(|owner| self.pages.copy_behind(&live.pages, owner, 0))
    }

    /// Writes back the chosen parts of one file: `Some` is a page, `None` the size.
    fn write_back_file(
        &mut self,
        live: &Self,
        slot: u32,
        mut choose: impl FnMut(Option<u64>) -> bool,
    ) -> Result<(), Errno> {
        let (Some(now), Some(was)) = (live.inodes.get(slot), self.inodes.get(slot).copied()) else {
            return Ok(());
        };
        if now.serial != was.serial || !now.is_regular() {
            return Ok(());
        }
        let (owner, pages): (Owner, &Pages<'_>) = (Owner::Inode(slot), &live.pages);
        let behind = was.size.min(now.size) / pages.each();
        let mut numbers: Vec<u64> = self.pages.numbers(owner).chain(pages.numbers(owner)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        for number in numbers.into_iter().filter(|number| *number < behind) {
            if choose(Some(number)) {
                self.pages.copy_page(pages, owner, number)?;
            }
        }
        if choose(None) {
            self.pages.copy_behind(pages, owner, behind)?;
            if let Some(inode) = self.inodes.get_mut(slot) {
                inode.size = now.size;
            }
        }
        Ok(())
    }

    /// Where the disk is too full for old and new pages side by side, everything is written back.
    fn all_if_full(&mut self, live: &Self, written: Result<(), Errno>) {
        if written.is_err() {
            self.copy_from(live);
        }
    }
}
