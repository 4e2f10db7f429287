//! Threads that wait for disks, so that the loop does not.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use brickwire_core::server::HandleId;
use brickwire_std::net::Waker;

use crate::Backend;
use crate::scheduling::TaskQueues;
use crate::task::{Done, Task};

/// What a thread does next.
#[allow(clippy::large_enum_variant)] // Nearly all are calls, and a box would be an allocation for each.
enum Work {
    Call(Task),
    /// Nobody waits for it.
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
    /// The loop sleeps, or is about to.
    asleep: AtomicBool,
}

/// The threads.
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

    /// Hands a task over. Threads are started as they are needed.
    pub(crate) fn start(&mut self, task: Task) {
        let long = task.long;
        self.push(Work::Call(task), long);
    }

    /// Has something closed that a client had open. Opens come behind it in the same queue: who opens and closes does not get ahead of
    /// what was closed.
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
            // Without a further thread the others do it; without any at all there is this one.
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

    /// Takes what is done. The caller's vector is swapped in, so that neither is allocated again.
    pub(crate) fn take_done(&self, into: &mut Vec<Done>) {
        debug_assert!(into.is_empty());
        std::mem::swap(&mut *lock(&self.shared.done), into);
    }

    /// The loop is about to sleep. It must not if this says that something is done already.
    pub(crate) fn about_to_sleep(&self) -> bool {
        self.shared.asleep.store(true, Ordering::SeqCst);
        let some = !lock(&self.shared.done).is_empty();
        if some {
            self.shared.asleep.store(false, Ordering::SeqCst);
        }
        !some
    }

    /// The loop is awake: nobody needs to wake it.
    pub(crate) fn awake(&self) {
        self.shared.asleep.store(false, Ordering::SeqCst);
    }

    /// Lets the threads finish what they have, and end.
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
                // A bug in a brick costs nobody a thread.
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

    /// What is next, and whether it is a long one, for who is done with one that was long or not.
    fn next(&self, was_long: bool) -> Option<(Work, bool)> {
        let mut queue = lock(&self.queue);
        queue.tasks.over(was_long);
        loop {
            if let Some(next) = queue.tasks.pop() {
                return Some(next);
            }
            // Long ones that are left have threads at work that will take them.
            if queue.over {
                return None;
            }
            queue.idle += 1;
            queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.idle -= 1;
        }
    }
}
