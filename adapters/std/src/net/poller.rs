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
pub struct Waker {
    eventfd: Arc<OwnedFd>,
}

impl Waker {
    /// Wakes it.
    pub fn wake(&self) {
        // A counter that is full wakes as well.
        let _ = rustix::io::write(&*self.eventfd, &1_u64.to_ne_bytes());
    }
}

/// A set of sockets that are waited for together. Readiness is reported as long as it lasts.
#[derive(Debug)]
pub struct Poller {
    epoll: OwnedFd,
    waker: Waker,
}

/// What one wait reports at most; the rest is reported by the next.
const EVENTS: usize = 64;

/// What a wait has found.
#[derive(Debug, Default)]
pub struct Events {
    /// Sockets that are ready.
    pub ready: heapless::Vec<Ready, EVENTS>,
    woken: bool,
}

/// What happened to a socket.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    /// Under which token it is waited for.
    pub token: u64,
    /// There is something to read, or the connection is over.
    pub readable: bool,
    /// There is room to write, or the connection is over.
    pub writable: bool,
}

impl Poller {
    /// An empty set.
    pub fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let eventfd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &eventfd, epoll::EventData::new_u64(WAKER), epoll::EventFlags::IN)?;
        Ok(Self { epoll, waker: Waker { eventfd: Arc::new(eventfd) } })
    }

    /// What wakes a thread that waits here.
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Waits for `socket` under `token`: always for reading, for writing too if `writing`.
    pub fn add(&self, socket: impl AsFd, token: u64, writing: bool) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, socket, epoll::EventData::new_u64(token), flags(true, writing))?)
    }

    /// Waits for other events of `socket` from now on.
    pub fn change(
        &self,
        socket: impl AsFd,
        token: u64,
        reading: bool,
        writing: bool,
    ) -> io::Result<()> {
        Ok(epoll::modify(
            &self.epoll,
            socket,
            epoll::EventData::new_u64(token),
            flags(reading, writing),
        )?)
    }

    /// Waits for `socket` no more.
    pub fn remove(&self, socket: impl AsFd) {
        // What is closed is gone from the set already.
        let _ = epoll::delete(&self.epoll, socket);
    }

    /// Waits until something is ready, or for `timeout`.
    pub fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
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
    pub fn settle(&self, events: &Events) {
        if events.woken {
            let mut counter = [0; 8];
            let _ = rustix::io::read(&*self.waker.eventfd, &mut counter);
        }
    }
}

impl Events {
    /// Has the wait found nothing?
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty() && !self.woken
    }
}

fn flags(reading: bool, writing: bool) -> epoll::EventFlags {
    let mut flags = epoll::EventFlags::empty();
    flags.set(epoll::EventFlags::IN, reading);
    flags.set(epoll::EventFlags::OUT, writing);
    flags
}
