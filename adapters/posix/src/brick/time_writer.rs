//! A thread that writes times to disk within a second after a read or write has moved them.
//!
//! The real server sets `trusted.glusterfs.mdata` with every write. Here the times of an open inode
//! are kept in memory and written once for all the writes of a second. A close and an fsync write
//! them at once. A killed server loses at most the last second of times, and no time ever moves
//! back.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use super::files::OpenFile;
use super::mdata;

/// Maximum age of times on disk for a file in use.
const LAZY: Duration = Duration::from_secs(1);

/// The files whose times are newer than on disk, and the thread that writes them.
#[derive(Debug, Default)]
pub(super) struct TimeWriter {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Shared {
    late: Mutex<Late>,
    news: Condvar,
}

#[derive(Debug, Default)]
struct Late {
    files: Vec<Weak<OpenFile>>,
    over: bool,
}

impl TimeWriter {
    /// Schedules a file: the times of its inode have just become newer than on disk.
    pub(super) fn put_off(&self, file: &Arc<OpenFile>) {
        let mut late = self.shared.lock();
        late.files.push(Arc::downgrade(file));
        let first = late.files.len() == 1;
        drop(late);
        if first && !self.is_there() {
            // Without the thread, the times would not be written before the close.
            mdata::write_back(&file.inode, &file.fd);
        }
        self.shared.news.notify_one();
    }

    /// Starts the thread when it is first needed.
    fn is_there(&self) -> bool {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.is_none() {
            let shared = Arc::clone(&self.shared);
            let builder =
                std::thread::Builder::new().name("brickwire-times".into()).stack_size(128 * 1024);
            *thread = builder.spawn(move || shared.work()).ok();
        }
        thread.is_some()
    }
}

impl Drop for TimeWriter {
    fn drop(&mut self) {
        self.shared.lock().over = true;
        self.shared.news.notify_all();
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Late> {
        self.late.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        // Swapped with the growing list, so that neither is allocated again.
        let mut files = Vec::new();
        loop {
            let late = self.lock();
            let waits = |late: &mut Late| late.files.is_empty() && !late.over;
            let late = self.news.wait_while(late, waits).unwrap_or_else(PoisonError::into_inner);
            let others = |late: &mut Late| !late.over;
            let waited = self.news.wait_timeout_while(late, LAZY, others);
            let (mut late, _) = waited.unwrap_or_else(PoisonError::into_inner);
            std::mem::swap(&mut files, &mut late.files);
            let over = late.over;
            drop(late);
            for file in files.drain(..) {
                // Times of files that were closed meanwhile are written already.
                if let Some(file) = file.upgrade() {
                    mdata::write_back(&file.inode, &file.fd);
                }
            }
            if over {
                return;
            }
        }
    }
}
