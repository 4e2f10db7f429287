//! The order in which tasks get threads: long tasks never occupy all of them.
//!
//! A disk that is slow to write blocks every thread that waits for it: with eight clients in FSYNC
//! on eight threads, a ninth could not read. So a quarter of the threads, and at least one, is
//! reserved for tasks that do not wait for writes. Within that rule, tasks start in the order of
//! their arrival.

use std::collections::VecDeque;

/// Queued tasks, and the number of long ones that run.
#[derive(Debug)]
pub(crate) struct TaskQueues<T> {
    short: VecDeque<(u64, T)>,
    long: VecDeque<(u64, T)>,
    /// Sequence number of the next task; it orders the two queues among each other.
    next: u64,
    long_running: usize,
    long_max: usize,
}

impl<T> TaskQueues<T> {
    /// Queues for a pool of `threads`. With a single thread, nothing is reserved.
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

    /// Number of tasks that could start now, given threads.
    pub(crate) fn ready(&self) -> usize {
        self.short.len() + self.long.len().min(self.long_max - self.long_running)
    }

    /// Takes the next task to start, and whether it is a long one; [`TaskQueues::over`] must be
    /// told that when it has finished.
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

    /// A task from [`TaskQueues::pop`] has finished.
    pub(crate) fn over(&mut self, long: bool) {
        self.long_running -= usize::from(long);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_threads_are_reserved_for_short_tasks() {
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
    fn tasks_start_in_the_order_of_arrival() {
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
