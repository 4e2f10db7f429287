//! The part of a volume that its clones, files, queues and futures share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use brickwire_core::volume::Op;

use crate::engine::{Engine, Lent, Outcome, Target};
use crate::pending::{Pending, Promise};
use crate::{Error, Result};

/// Longest duration of closing a volume. It usually takes milliseconds; the bound is for peers that
/// do not answer.
pub(crate) const STOP: Duration = Duration::from_secs(1);

pub(crate) struct Shared {
    pub(crate) engine: Arc<Engine>,
    pub(crate) name: String,
    /// Whether the thread that drives the loop on behalf of futures and callbacks has been started
    /// and has not failed.
    pub(crate) driven: Arc<AtomicBool>,
}

impl Shared {
    /// Starts the thread that drives the loop whenever no caller does, unless it runs.
    ///
    /// Futures and callbacks need it: their owner may never call anything that drives.
    pub(crate) fn drive_in_background(&self) -> Result<()> {
        if self.driven.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let (engine, driven) = (self.engine.clone(), self.driven.clone());
        let thread = std::thread::Builder::new().name("brickwire".into());
        let lead = move || {
            if let Err(error) = engine.lead_in_background() {
                // In this order: an operation that finds the flag set is in flight, and is ended.
                driven.store(false, Ordering::Release);
                engine.fail_callbacks(&error);
            }
        };
        match thread.spawn(lead) {
            Ok(_) => Ok(()),
            Err(error) => {
                self.driven.store(false, Ordering::Release);
                Err(Error::io("cannot start the thread that drives the volume", &error))
            }
        }
    }

    /// Starts that thread if the volume keeps locks after a change: other clients wait for them.
    pub(crate) fn drive_if_locks_are_kept(&self) -> Result<()> {
        if self.driven.load(Ordering::Acquire)
            || !self.engine.with(|state| state.volume.keeps_locks())
        {
            return Ok(());
        }
        self.drive_in_background()
    }

    #[cfg(test)]
    pub(crate) fn is_driven(&self) -> bool {
        self.driven.load(Ordering::Acquire)
    }

    /// Submits an operation that is waited for later; `make` turns its count and buffer into the
    /// result.
    pub(crate) fn begin<T: Send + 'static>(
        self: &Arc<Self>,
        op: Op<'_>,
        lent: Lent,
        buffer: Vec<u8>,
        make: impl FnOnce(u32, Vec<u8>) -> T + Send + 'static,
    ) -> Pending<T> {
        let (promise, pending) = Promise::new(self.clone());
        let keep = promise.clone();
        let call = Box::new(move |outcome: Outcome, buffer| {
            promise.keep(outcome.map(|(count, _)| make(count, buffer)));
        });
        if let Err(error) = self.engine.submit(op, lent, Target::Callback { buffer, call }) {
            keep.keep(Err(error));
        }
        pending
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.engine.stop(STOP);
    }
}
