//! Who goes next: what may take long never has all threads.
//!
//! A disk that is slow to write holds every thread that waits for it to be done: eight clients in FSYNC, and the ninth could not
//! read. So some threads, a quarter of them and at least one, are left to what is not written. Within that, who came first goes first.

use std::collections::VecDeque;

/// Tasks that wait for a thread, and how many of the long ones have one.
#[derive(Debug)]
pub(crate) struct TaskQueues<T> {
    short: VecDeque<(u64, T)>,
    long: VecDeque<(u64, T)>,
    /// The next one's number, which orders short and long tasks together.
    next: u64,
    long_running: usize,
    long_max: usize,
}

impl<T> TaskQueues<T> {
    /// For so many threads. One alone does everything.
    pub(crate) fn new(threads: usize) -> Self {
        let left = (threads / 4).max(1);
        let long_max = threads.saturating_sub(left).max(1);
        Self { short: VecDeque::new(), long: VecDeque::new(), next: 0, long_running: 0, long_max }
    }

    pub(crate) fn push(&mut self, task: T, long: bool) {
        let queue = if long { &mut self.long } else { &mut self.short };
        queue.push_back((self.next, task));
        self.next += 1;
    }

    /// How many could begin now, if there were threads.
    pub(crate) fn ready(&self) -> usize {
        self.short.len() + self.long.len().min(self.long_max - self.long_running)
    }

    /// The next to begin, and whether it is a long one: say so to [`TaskQueues::over`] when it is done.
    pub(crate) fn pop(&mut self) -> Option<(T, bool)> {
        let short = self.short.front().map(|(at, _)| *at);
        let long =
            self.long.front().map(|(at, _)| *at).filter(|_| self.long_running < self.long_max);
        let is_long = match (short, long) {
            (Some(short), Some(long)) => long < short,
            (short, long) if short.is_some() || long.is_some() => long.is_some(),
            _ => return None,
        };
        let queue = if is_long { &mut self.long } else { &mut self.short };
        self.long_running += usize::from(is_long);
        queue.pop_front().map(|(_, task)| (task, is_long))
    }

    /// One that was popped is done.
    pub(crate) fn over(&mut self, long: bool) {
        self.long_running -= usize::from(long);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_threads_are_left_to_what_is_short() {
        let mut queues = TaskQueues::new(8);
        (0..20).for_each(|task| queues.push(task, true));
        assert_eq!(queues.ready(), 6);
        for task in 0..6 {
            assert_eq!(queues.pop(), Some((task, true)));
        }
        assert_eq!((queues.ready(), queues.pop()), (0, None));
        queues.push(100, false);
        assert_eq!((queues.ready(), queues.pop()), (1, Some((100, false))));
        queues.over(true);
        assert_eq!((queues.pop(), queues.pop()), (Some((6, true)), None));
    }

    #[test]
    fn who_came_first_goes_first() {
        let mut queues = TaskQueues::new(4);
        for (task, long) in [(0, false), (1, true), (2, false), (3, true)] {
            queues.push(task, long);
        }
        let order: Vec<_> = std::iter::from_fn(|| queues.pop()).map(|(task, _)| task).collect();
        assert_eq!(order, [0, 1, 2, 3]);
    }

    #[test]
    fn one_thread_does_everything() {
        let mut queues = TaskQueues::new(1);
        queues.push(0, true);
        queues.push(1, true);
        assert_eq!((queues.pop(), queues.pop()), (Some((0, true)), None));
        queues.over(true);
        assert_eq!(queues.pop(), Some((1, true)));
    }
}
