//! Directories that were removed a while ago.
//!
//! A LOOKUP below a directory that never was fails with ESTALE, and the client resolves the path
//! anew. Below one that another client has removed real bricks say ENOENT, and `rm -rf` goes on.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use brickwire_core::xdr::Gfid;

/// Directories that are remembered.
const KEPT_MAX: usize = 4096;

/// The directories removed last.
#[derive(Debug, Default)]
pub(super) struct RemovedDirectories {
    gfids: Mutex<VecDeque<Gfid>>,
}

impl RemovedDirectories {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Gfid>> {
        self.gfids.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, gfid: Gfid) {
        let mut gfids = self.lock();
        gfids.truncate(KEPT_MAX - 1);
        gfids.push_front(gfid);
    }

    pub(super) fn contains(&self, gfid: &Gfid) -> bool {
        self.lock().contains(gfid)
    }
}
