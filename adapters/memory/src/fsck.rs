//! Consistency check of the tables, for simulations and fuzzing.

use super::inode::{Inode, VALUE_INLINE};
use super::pages::Owner;
use super::store::Store;

/// The invariant that is broken.
type Broken = &'static str;

fn ensure(holds: bool, broken: Broken) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(broken) }
}

impl Store<'_> {
    pub(super) fn verify(&self) -> Result<(), Broken> {
        self.verify_inodes()?;
        self.verify_entries()?;
        for at in 0..self.xattrs.len() {
            let Some((slot, xattr)) = self.xattrs.at(at) else {
                return Err("an xattr that is not there");
            };
            ensure(self.lives(xattr.inode), "an xattr of an inode that is gone")?;
            let (len, pages) = (u64::from(xattr.len), self.pages.of(Owner::Xattr(slot)));
            let wanted =
                if xattr.len as usize > VALUE_INLINE { len.div_ceil(self.pages.each()) } else { 0 };
            ensure(pages == wanted, "an xattr has other pages than its length asks for")?;
        }
        self.pages.verify(|owner| match owner {
            Owner::Inode(slot) => self.lives(slot),
            Owner::Xattr(slot) => {
                (0..self.xattrs.len()).any(|at| self.xattrs.at(at).is_some_and(|(n, _)| n == slot))
            }
        })
    }

    fn lives(&self, inode: u32) -> bool {
        (0..self.inodes.len()).any(|at| self.inodes.at(at).is_some_and(|(slot, _)| slot == inode))
    }

    fn verify_inodes(&self) -> Result<(), Broken> {
        for at in 0..self.inodes.len() {
            let Some((slot, inode)) = self.inodes.at(at) else {
                return Err("an inode that is not there");
            };
            let entries = (0..self.entries.len())
                .filter_map(|at| self.entries.at(at))
                .map(|(_, entry)| entry);
            let names = entries.clone().filter(|entry| entry.inode == slot).count() as u32;
            let is_dir = |slot: u32| self.inodes.get(slot).is_some_and(Inode::is_dir);
            let inside = entries.clone().filter(|entry| entry.directory == slot);
            let subdirectories = inside.clone().filter(|entry| is_dir(entry.inode)).count() as u32;
            let opens = (0..self.files.len()).filter_map(|at| self.files.at(at));
            let opens = opens.filter(|(_, open)| open.inode == slot).count() as u32;
            ensure(inode.opens == opens, "an inode is not open as often as it thinks")?;
            let own = self.bricks.iter().flatten().any(|brick| {
                brick.root == slot || brick.base == slot || brick.indices.contains(&slot)
            });
            if inode.removed {
                ensure(
                    opens > 0 && names == 0 && inside.count() == 0,
                    "a removed directory is in use",
                )?;
            } else if inode.is_dir() {
                ensure(names == u32::from(!own), "a directory does not have one name")?;
                ensure(
                    inode.nlink == 2 + subdirectories,
                    "a directory miscounts its subdirectories",
                )?;
                let above = entries.clone().find(|entry| entry.inode == slot);
                ensure(
                    above.is_none_or(|entry| entry.directory == inode.parent),
                    "a directory is not in its parent",
                )?;
            } else {
                ensure(inside.count() == 0, "a file has entries")?;
                ensure(inode.nlink == names + u32::from(own), "a file miscounts its names")?;
                ensure(inode.nlink > 0 || opens > 0, "an inode that nobody has")?;
            }
            if !inode.is_regular() && !inode.is_symlink() {
                ensure(self.pages.of(Owner::Inode(slot)) == 0, "pages of what has no content")?;
            }
        }
        Ok(())
    }

    fn verify_entries(&self) -> Result<(), Broken> {
        let mut before = None;
        for at in 0..self.entries.len() {
            let Some((_, entry)) = self.entries.at(at) else {
                return Err("an entry that is not there");
            };
            let key = (entry.directory, entry.name.as_slice());
            ensure(before.is_none_or(|before| before < key), "entries out of order")?;
            before = Some(key);
            ensure(
                self.lives(entry.directory) && self.lives(entry.inode),
                "an entry of an inode that is gone",
            )?;
        }
        let mut before = None;
        for place in 0..self.entries.len() {
            let entry = self.cookies.get(place).and_then(|slot| self.entries.get(slot));
            let Some(entry) = entry else { return Err("an entry without a cookie") };
            let key = (entry.directory, entry.cookie);
            ensure(before.is_none_or(|before| before < key), "cookies out of order")?;
            before = Some(key);
            let next = self.inodes.get(entry.directory).map_or(0, |inode| inode.next_cookie);
            ensure(entry.cookie < next, "a cookie that is given out again")?;
        }
        ensure(self.cookies.get(self.entries.len()).is_none(), "a cookie without an entry")
    }
}
