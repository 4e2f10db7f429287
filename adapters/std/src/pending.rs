//! The result of an operation that somebody waits for later: by blocking, or as a future.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::Thread;

use crate::engine::{State, Waits};
use crate::volume::Shared;
use crate::{Error, ErrorKind, Result};

struct Place<T> {
    result: Option<Result<T>>,
    waker: Option<Waker>,
    /// Who blocks for it.
    thread: Option<Thread>,
}

/// An operation that is under way. Dropping it does not end the operation; its buffer is kept until it is over.
#[must_use = "it is under way, but nobody will learn what came of it"]
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
    /// Waits for the result, driving the loop if nobody else does.
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
        match place.result.take() {
            Some(result) => Poll::Ready(result),
            None => {
                place.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// The other end of a [`Pending`].
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
