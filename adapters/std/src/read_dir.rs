//! Listing a directory.

use std::path::PathBuf;
use std::sync::Arc;

use brickwire_core::FileId;
use brickwire_core::volume::Op;

use crate::engine::{Lent, Owned};
use crate::shared::Shared;
use crate::{DirEntry, Result};

/// An iterator over the entries of a directory.
pub struct ReadDir {
    pub(crate) shared: Arc<Shared>,
    pub(crate) dir: FileId,
    pub(crate) path: PathBuf,
    pub(crate) page: std::vec::IntoIter<DirEntry>,
    /// Cookie of the next page; `None` after the last.
    pub(crate) cookie: Option<u64>,
}

impl std::fmt::Debug for ReadDir {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReadDir").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Iterator for ReadDir {
    type Item = Result<DirEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.page.next() {
                return Some(Ok(entry));
            }
            let cookie = self.cookie.take()?;
            match self.shared.engine.call(Op::ReadDir { dir: self.dir, cookie }, Lent::NONE) {
                Ok((_, Owned::Entries { entries, next, last })) => {
                    // An empty page that is not marked as the last has no next cookie: stop instead
                    // of reading it again for ever.
                    self.cookie = next.filter(|_| !last);
                    self.page = entries.into_iter();
                }
                Ok(_) => return None,
                Err(error) => return Some(Err(error.about(&self.path))),
            }
        }
    }
}

impl Drop for ReadDir {
    fn drop(&mut self) {
        // The close is not waited for: a brick that does not answer must not block the caller.
        self.shared.engine.forget(Op::Close { file: self.dir });
    }
}
