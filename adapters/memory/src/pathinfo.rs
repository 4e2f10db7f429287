//! Location of an object: its path in the volume. A brick in memory has no directory; a fixed text
//! stands for it.

use super::Result;
use super::inode::{Entry, Inode};
use super::reply::Pairs;
use super::store::Store;
use brickwire_core::xdr::{Errno, Gfid};

/// Host in a brick's location, and prefix of its number as directory.
const HOST: &str = "memory";
const BRICK: &str = "memory-";

impl Store<'_> {
    /// `trusted.glusterfs.pathinfo`, in the form of GlusterFS's bricks: `<POSIX(BRICK):HOST:PATH>`.
    pub(super) fn pathinfo(
        &self,
        brick: u64,
        slot: u32,
        name: &[u8],
        pairs: &mut Pairs<'_>,
    ) -> Result<()> {
        // Two 64-bit numbers fit.
        let mut head: heapless::String<80> = heapless::String::new();
        let _ = core::fmt::write(
            &mut head,
            format_args!("<POSIX({BRICK}{brick}):{HOST}:{BRICK}{brick}"),
        );
        let path = self.path_len(slot)?;
        pairs.put_text(name, head.len() + path + 1, |room| {
            if let Some((last, rest)) = room.split_last_mut() {
                *last = b'>';
                let (front, rest) = rest.split_at_mut(rest.len().min(head.len()));
                front.copy_from_slice(head.as_bytes().get(..front.len()).unwrap_or_default());
                self.put_path(slot, rest);
            }
        })
    }

    /// The path in the volume, which a self-heal daemon asks for before it heals an inode.
    pub(super) fn path(&self, slot: u32, name: &[u8], pairs: &mut Pairs<'_>) -> Result<()> {
        let path = self.path_len(slot)?;
        pairs.put_text(name, path, |room| self.put_path(slot, room))
    }

    /// All paths in the volume, with a colon between two of them.
    pub(super) fn paths(&self, slot: u32, name: &[u8], pairs: &mut Pairs<'_>) -> Result<()> {
        let one = self.path_len(slot)?;
        let inode = self.inode(slot)?;
        if inode.is_dir() || inode.nlink < 2 {
            return pairs.put_text(name, one, |room| self.put_path(slot, room));
        }
        let mut len = 0;
        for entry in self.names_of(slot) {
            len += usize::from(len > 0);
            self.upwards_from(entry, |part| len += part.len());
        }
        pairs.put_text(name, len, |room| {
            let mut left = room.len();
            for entry in self.names_of(slot) {
                if left < room.len() {
                    left = put_before(room, left, b":");
                }
                self.upwards_from(entry, |part| left = put_before(room, left, part));
            }
        })
    }

    /// Bytes of the path. A removed inode has no path, even if it is open.
    fn path_len(&self, slot: u32) -> Result<usize> {
        let inode = self.inode(slot)?;
        if inode.removed || inode.nlink == 0 {
            return Err(Errno::ENODATA.into());
        }
        if inode.gfid == Gfid::ROOT {
            return Ok(1);
        }
        let mut len = 0;
        self.upwards(slot, |part| len += part.len());
        Ok(len)
    }

    /// Writes the path into `room`, which has its length, from the end.
    fn put_path(&self, slot: u32, room: &mut [u8]) {
        if let ([only], true) =
            (&mut *room, self.inode(slot).is_ok_and(|inode| inode.gfid == Gfid::ROOT))
        {
            *only = b'/';
            return;
        }
        let mut left = room.len();
        self.upwards(slot, |part| left = put_before(room, left, part));
    }

    /// Calls `part` with the parts of a path from the last to the first: names, each after a slash.
    fn upwards(&self, slot: u32, part: impl FnMut(&[u8])) {
        if let Some(entry) = self.a_name(slot) {
            self.upwards_from(entry, part);
        }
    }

    /// The same from one of several names.
    fn upwards_from(&self, entry: &Entry, mut part: impl FnMut(&[u8])) {
        let (mut name, mut directory) = (entry, entry.directory);
        // The number of directories bounds the walk.
        for _ in 0..=self.inodes.len() {
            part(&name.name);
            part(b"/");
            match self.inodes.get(directory) {
                Some(inode) if inode.parent != directory => match self.a_name(directory) {
                    Some(entry) => (name, directory) = (entry, entry.directory),
                    None => return,
                },
                _ => return,
            }
        }
    }

    /// All names of an inode that is no directory.
    fn names_of(&self, slot: u32) -> impl Iterator<Item = &Entry> {
        let entries = (0..self.entries.len()).filter_map(|at| self.entries.at(at));
        entries.map(|(_, entry)| entry).filter(move |entry| entry.inode == slot)
    }

    /// One of the names of an inode. A linear search is enough, because such queries are rare.
    fn a_name(&self, slot: u32) -> Option<&Entry> {
        let all = match self.inodes.get(slot).filter(|inode| Inode::is_dir(inode)) {
            // A directory's entry is in its parent.
            Some(inode) => {
                let first = self.entries.first_not(|entry| entry.directory < inode.parent);
                first..self.entries.first_not(|entry| entry.directory <= inode.parent)
            }
            None => 0..self.entries.len(),
        };
        let mut entries = all.filter_map(|at| self.entries.at(at));
        entries.find(|(_, entry)| entry.inode == slot).map(|(_, entry)| entry)
    }
}

/// Writes a part in front of what is written from `left` on; returns where it begins.
fn put_before(room: &mut [u8], left: usize, part: &[u8]) -> usize {
    let at = left.saturating_sub(part.len());
    if let Some(place) = room.get_mut(at..left).filter(|place| place.len() == part.len()) {
        place.copy_from_slice(part);
    }
    at
}
