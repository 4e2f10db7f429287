//! Open inodes: the number of opens, and their times, which are written to disk later.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use brickwire_core::xdr::Gfid;

use super::XattrNamespace;
use super::mdata::Times;

/// An open inode.
#[derive(Debug)]
pub(super) struct Inode {
    pub(super) gfid: Gfid,
    /// Namespace of the xattr with its times.
    pub(super) namespace: XattrNamespace,
    times: Mutex<Cached>,
    /// Held while times are written to disk, so that the newest ones are written last. Moving times
    /// in memory does not take it.
    pub(super) stores: Mutex<()>,
}

/// Times of an open inode.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cached {
    /// Current times. The outer `None`: not read yet; the inner one: the inode has none on disk.
    pub(super) times: Option<Option<Times>>,
    /// They are newer than those on disk.
    pub(super) dirty: bool,
}

impl Inode {
    pub(super) fn times(&self) -> MutexGuard<'_, Cached> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All open inodes.
#[derive(Debug, Default)]
pub(super) struct Inodes {
    open: Mutex<HashMap<Gfid, (Arc<Inode>, u32)>>,
}

impl Inodes {
    fn map(&self) -> MutexGuard<'_, HashMap<Gfid, (Arc<Inode>, u32)>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts another open of an inode.
    pub(super) fn open(&self, gfid: Gfid, namespace: XattrNamespace) -> Arc<Inode> {
        let mut map = self.map();
        let (inode, count) = map.entry(gfid).or_insert_with(|| {
            (
                Arc::new(Inode {
                    gfid,
                    namespace,
                    times: Mutex::default(),
                    stores: Mutex::default(),
                }),
                0,
            )
        });
        *count += 1;
        Arc::clone(inode)
    }

    /// Counts a close. Returns whether it was the last.
    pub(super) fn close(&self, gfid: &Gfid) -> bool {
        let mut map = self.map();
        let Some((_, count)) = map.get_mut(gfid) else { return false };
        *count -= 1;
        let last = *count == 0;
        if last {
            map.remove(gfid);
        }
        last
    }

    /// How many open files an inode has.
    pub(super) fn opens(&self, gfid: &Gfid) -> u32 {
        self.map().get(gfid).map_or(0, |(_, count)| *count)
    }

    pub(super) fn get(&self, gfid: &Gfid) -> Option<Arc<Inode>> {
        self.map().get(gfid).map(|(inode, _)| Arc::clone(inode))
    }
}
