//! Waiting: for any of some sockets, for another thread, for a time.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::epoll;
use rustix::event::{EventfdFlags, Timespec, eventfd};

/// The token of the waker.
const WAKER: u64 = u64::MAX;

/// Wakes the thread that waits, from another one.
#[derive(Clone, Debug)]
pub(crate) struct Waker {
    eventfd: Arc<OwnedFd>,
}

impl Waker {
    pub(crate) fn wake(&self) {
        // A counter that is full wakes as well.
        let _ = rustix::io::write(&*self.eventfd, &1_u64.to_ne_bytes());
    }
}

/// A set of sockets that are waited for together. Readiness is reported as long as it lasts.
#[derive(Debug)]
pub(crate) struct Poller {
    epoll: OwnedFd,
    waker: Waker,
}

/// What one wait reports at most; the rest is reported by the next.
const EVENTS: usize = 64;

/// What a wait has found.
#[derive(Debug, Default)]
pub(crate) struct Events {
    pub(crate) ready: heapless::Vec<Ready, EVENTS>,
    woken: bool,
}

/// What happened to a socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready {
    pub(crate) token: u64,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
}

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let eventfd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &eventfd, epoll::EventData::new_u64(WAKER), epoll::EventFlags::IN)?;
        Ok(Self { epoll, waker: Waker { eventfd: Arc::new(eventfd) } })
    }

    pub(crate) fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Waits for `socket` under `token`: always for reading, for writing too if `writing`.
    pub(crate) fn add(&self, socket: impl AsFd, token: u64, writing: bool) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, socket, epoll::EventData::new_u64(token), flags(true, writing))?)
    }

    pub(crate) fn change(
        &self,
        socket: impl AsFd,
        token: u64,
        reading: bool,
        writing: bool,
    ) -> io::Result<()> {
        Ok(epoll::modify(&self.epoll, socket, epoll::EventData::new_u64(token), flags(reading, writing))?)
    }

    pub(crate) fn remove(&self, socket: impl AsFd) {
        // What is closed is gone from the set already.
        let _ = epoll::delete(&self.epoll, socket);
    }

    /// Waits until something is ready, or for `timeout`.
    pub(crate) fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = timeout.map(|time| Timespec {
            tv_sec: time.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: time.subsec_nanos().into(),
        });
        let mut room = [const { MaybeUninit::uninit() }; EVENTS];
        let found = match epoll::wait(&self.epoll, &mut room, timeout.as_ref()) {
            Ok((found, _)) => &*found,
            Err(rustix::io::Errno::INTR) => &[],
            Err(error) => return Err(error.into()),
        };
        *events = Events::default();
        for event in found {
            if event.data.u64() == WAKER {
                events.woken = true;
                continue;
            }
            let flags = event.flags;
            let over = flags.intersects(epoll::EventFlags::ERR | epoll::EventFlags::HUP);
            let ready = Ready {
                token: event.data.u64(),
                readable: flags.contains(epoll::EventFlags::IN) || over,
                writable: flags.contains(epoll::EventFlags::OUT) || over,
            };
            // There is as much room here as there.
            let _ = events.ready.push(ready);
        }
        Ok(())
    }

    /// Sets the waker's counter back, if it ended the wait.
    pub(crate) fn settle(&self, events: &Events) {
        if events.woken {
            let mut counter = [0; 8];
            let _ = rustix::io::read(&*self.waker.eventfd, &mut counter);
        }
    }
}

impl Events {
    pub(crate) fn is_empty(&self) -> bool {
        self.ready.is_empty() && !self.woken
    }
}

fn flags(reading: bool, writing: bool) -> epoll::EventFlags {
    let mut flags = epoll::EventFlags::empty();
    flags.set(epoll::EventFlags::IN, reading);
    flags.set(epoll::EventFlags::OUT, writing);
    flags
}
