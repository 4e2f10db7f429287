//! The result of an operation that is waited for later, by blocking or as a future.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::Thread;

use crate::engine::{State, Waits};
use crate::shared::Shared;
use crate::{Error, ErrorKind, Result};

struct Place<T> {
    result: Option<Result<T>>,
    waker: Option<Waker>,
    /// The thread that blocks in [`Pending::wait`].
    thread: Option<Thread>,
}

/// An operation in flight: a future, or waited for with [`Pending::wait`].
///
/// Dropping it does not cancel the operation. Its buffer is kept until the operation is over.
#[must_use = "the operation is in flight, but its result is lost if this is dropped"]
pub struct Pending<T> {
    place: Arc<Mutex<Place<T>>>,
    shared: Arc<Shared>,
}

impl<T> std::fmt::Debug for Pending<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pending").finish_non_exhaustive()
    }
}

impl<T> Pending<T> {
    /// Blocks until the result is there, and drives the loop if no other thread does.
    pub fn wait(self) -> Result<T> {
        let place = self.place.clone();
        place.lock().unwrap_or_else(PoisonError::into_inner).thread = Some(std::thread::current());
        let ready =
            |_: &mut State| place.lock().unwrap_or_else(PoisonError::into_inner).result.take();
        match self.shared.engine.drive(Waits::Other, None, ready)? {
            Some(result) => result,
            None => Err(Error::new(ErrorKind::System, "the loop has ended")),
        }
    }
}

impl<T> Future for Pending<T> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(result) = place.result.take() {
            return Poll::Ready(result);
        }
        place.waker = Some(context.waker().clone());
        drop(place);
        match self.shared.drive_in_background() {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

/// The sender of a [`Pending`]'s result.
pub(crate) struct Promise<T> {
    place: Arc<Mutex<Place<T>>>,
}

impl<T> Clone for Promise<T> {
    fn clone(&self) -> Self {
        Self { place: self.place.clone() }
    }
}

impl<T> Promise<T> {
    pub(crate) fn new(shared: Arc<Shared>) -> (Self, Pending<T>) {
        let place = Arc::new(Mutex::new(Place { result: None, waker: None, thread: None }));
        (Self { place: place.clone() }, Pending { place, shared })
    }

    pub(crate) fn keep(&self, result: Result<T>) {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        place.result = Some(result);
        let (waker, thread) = (place.waker.take(), place.thread.take());
        drop(place);
        if let Some(thread) = thread {
            thread.unpark();
        }
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::task::Wake;
    use std::time::Duration;

    use brickwire_core::volume::Op;

    use super::*;
    use crate::engine::Lent;
    use crate::{Options, Volume};

    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    /// An executor that only waits for wakers: it calls nothing that could drive a volume.
    fn block_on<F: Future>(future: F) -> F::Output {
        let mut future = std::pin::pin!(future);
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        loop {
            match future.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(output) => return output,
                Poll::Pending => std::thread::park(),
            }
        }
    }

    /// A volume whose only server does not exist: operations wait for it until their time is up.
    fn unreachable_volume() -> Volume {
        let options = Options::new().timeout(Duration::from_millis(200));
        Volume::connect("gluster+unix:///vms?socket=/nowhere/glusterd.socket", &options)
            .expect("connecting begins")
    }

    #[test]
    fn a_future_ends_although_its_executor_never_drives_the_volume() {
        let (done, wait) = channel();
        std::thread::spawn(move || {
            let volume = unreachable_volume();
            let pending = volume.shared.begin(Op::Start, Lent::NONE, Vec::new(), |_, _| ());
            let _ = done.send(block_on(pending));
        });
        let result = wait.recv_timeout(Duration::from_secs(20)).expect("the future ends");
        assert!(result.is_err(), "there is no server");
    }

    #[test]
    fn a_future_ends_with_an_error_when_the_thread_that_drives_the_volume_fails() {
        let (done, wait) = channel();
        std::thread::spawn(move || {
            let mut volume = unreachable_volume();
            let shared = Arc::get_mut(&mut volume.shared).expect("the only handle");
            Arc::get_mut(&mut shared.engine).expect("no thread drives it").break_poller();
            for _ in 0..2 {
                let pending = volume.shared.begin(Op::Start, Lent::NONE, Vec::new(), |_, _| ());
                let _ = done.send(block_on(pending));
            }
        });
        // The second future starts another thread.
        for _ in 0..2 {
            let result = wait.recv_timeout(Duration::from_secs(10)).expect("the future ends");
            assert_eq!(result.expect_err("no wait succeeds").kind(), ErrorKind::System);
        }
    }

    #[test]
    fn a_future_that_is_ready_starts_no_thread() {
        let volume = unreachable_volume();
        let (promise, pending) = Promise::new(volume.shared.clone());
        promise.keep(Ok(7));
        assert_eq!(block_on(pending).expect("a result"), 7);
        assert!(!volume.shared.is_driven());
    }
}
