//! Pool of threads that block on disks, so that the loop does not.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use brickwire_core::server::HandleId;
use brickwire_std::net::Waker;

use crate::Backend;
use crate::scheduling::TaskQueues;
use crate::task::{Done, Task};

/// Work for a thread.
#[allow(clippy::large_enum_variant)] // Most are calls; a Box would cost each an allocation.
enum Work {
    Call(Task),
    /// A close; nothing waits for its result.
    Close(Arc<dyn Backend>, HandleId),
}

struct Queue {
    tasks: TaskQueues<Work>,
    idle: usize,
    over: bool,
}

struct Shared {
    queue: Mutex<Queue>,
    work: Condvar,
    done: Mutex<Vec<Done>>,
    waker: Waker,
    /// The loop sleeps or is about to, so a finished task must wake it.
    asleep: AtomicBool,
}

/// The pool of threads.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    threads_max: usize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    pub(crate) fn new(threads_max: usize, waker: Waker) -> Self {
        let queue = Queue { tasks: TaskQueues::new(threads_max), idle: 0, over: false };
        let shared = Shared {
            queue: Mutex::new(queue),
            work: Condvar::new(),
            done: Mutex::default(),
            waker,
            asleep: AtomicBool::new(false),
        };
        Self { shared: Arc::new(shared), threads: Vec::new(), threads_max }
    }

    /// Queues a task. Threads are started as they are needed, up to the limit.
    pub(crate) fn start(&mut self, task: Task) {
        let long = task.long;
        self.push(Work::Call(task), long);
    }

    /// Queues a close. Later opens queue behind it, so a client that opens and closes in a loop
    /// cannot pile up unclosed files.
    pub(crate) fn close(&mut self, backend: Arc<dyn Backend>, handle: HandleId) {
        self.push(Work::Close(backend, handle), false);
    }

    fn push(&mut self, work: Work, long: bool) {
        let mut queue = lock(&self.shared.queue);
        queue.tasks.push(work, long);
        let short = queue.tasks.ready() > queue.idle;
        drop(queue);
        if short && self.threads.len() < self.threads_max {
            let shared = Arc::clone(&self.shared);
            let spawned = std::thread::Builder::new()
                .name("brickwire-disk".into())
                .stack_size(256 * 1024)
                .spawn(move || shared.work());
            // If no further thread can be started, the existing ones do the work; if there is none
            // at all, this one does.
            match spawned {
                Ok(thread) => self.threads.push(thread),
                Err(_) if self.threads.is_empty() => {
                    let next = lock(&self.shared.queue).tasks.pop();
                    if let Some((work, long)) = next {
                        self.shared.carry_out(work);
                        lock(&self.shared.queue).tasks.over(long);
                    }
                }
                Err(_) => {}
            }
        }
        self.shared.work.notify_one();
    }

    /// Takes the finished tasks. The vectors are swapped, so neither is allocated again.
    pub(crate) fn take_done(&self, into: &mut Vec<Done>) {
        debug_assert!(into.is_empty());
        std::mem::swap(&mut *lock(&self.shared.done), into);
    }

    /// Announces that the loop is about to sleep. If it returns false, a task has finished already
    /// and the loop must not sleep.
    pub(crate) fn about_to_sleep(&self) -> bool {
        self.shared.asleep.store(true, Ordering::SeqCst);
        let some = !lock(&self.shared.done).is_empty();
        if some {
            self.shared.asleep.store(false, Ordering::SeqCst);
        }
        !some
    }

    /// Announces that the loop is awake, so finished tasks need not wake it.
    pub(crate) fn awake(&self) {
        self.shared.asleep.store(false, Ordering::SeqCst);
    }

    /// Lets the threads finish all queued tasks, and joins them.
    pub(crate) fn finish(&mut self) {
        lock(&self.shared.queue).over = true;
        self.shared.work.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Shared {
    fn work(&self) {
        let mut was_long = false;
        while let Some((work, long)) = self.next(was_long) {
            was_long = long;
            self.carry_out(work);
        }
    }

    fn carry_out(&self, work: Work) {
        let task = match work {
            Work::Call(task) => task,
            Work::Close(backend, handle) => {
                // A panic in a brick must not end the thread.
                let _ = catch_unwind(AssertUnwindSafe(|| backend.close(handle, false)));
                return;
            }
        };
        let done = task.run();
        lock(&self.done).push(done);
        if self.asleep.swap(false, Ordering::SeqCst) {
            self.waker.wake();
        }
    }

    /// Waits for the next task. `was_long` says whether the thread's last task was a long one, the
    /// returned flag whether this one is.
    fn next(&self, was_long: bool) -> Option<(Work, bool)> {
        let mut queue = lock(&self.queue);
        queue.tasks.over(was_long);
        loop {
            if let Some(next) = queue.tasks.pop() {
                return Some(next);
            }
            // Remaining long tasks are taken by the threads that are busy with long ones now.
            if queue.over {
                return None;
            }
            queue.idle += 1;
            queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.idle -= 1;
        }
    }
}
