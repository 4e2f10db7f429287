//! Times that a write or read has moved reach the disk within a second, on a thread that does nothing else.
//!
//! The real server sets `trusted.glusterfs.mdata` with every write. Here the times of an open inode are kept in memory and set
//! once for all the writes of a second; at close, and before an fsync, they are set at once. A server that is killed loses at
//! most the last second of times, and no time ever moves back.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use super::files::OpenFile;
use super::mdata;

/// How old times on disk may be under a file that is in use.
const LAZY: Duration = Duration::from_secs(1);

/// The files whose times are newer than those on disk, and the thread that sets them.
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
    /// The times of this file's inode have just become newer than those on disk.
    pub(super) fn put_off(&self, file: &Arc<OpenFile>) {
        let mut late = self.shared.lock();
        late.files.push(Arc::downgrade(file));
        let first = late.files.len() == 1;
        drop(late);
        if first && !self.is_there() {
            // Without a thread, times would wait for the close.
            mdata::write_back(&file.inode, &file.fd);
        }
        self.shared.news.notify_one();
    }

    /// Starts the thread when it is needed for the first time.
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
        // Swapped with the list that grows: neither is allocated again.
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
                // What was closed meanwhile was settled then.
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
