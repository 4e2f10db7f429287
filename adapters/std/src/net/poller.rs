//! Waiting for sockets, for another thread, and for a timeout.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::epoll;
use rustix::event::{EventfdFlags, Timespec, eventfd};

/// The token of the waker.
const WAKER: u64 = u64::MAX;

/// Wakes a thread that waits, from another thread.
#[derive(Clone, Debug)]
pub struct Waker {
    eventfd: Arc<OwnedFd>,
}

impl Waker {
    /// Wakes the thread.
    pub fn wake(&self) {
        // A full counter wakes, too.
        let _ = rustix::io::write(&*self.eventfd, &1_u64.to_ne_bytes());
    }
}

/// A set of sockets to wait for (epoll, level-triggered).
#[derive(Debug)]
pub struct Poller {
    epoll: OwnedFd,
    waker: Waker,
}

/// Most events of one wait; the next wait reports the others.
const EVENTS: usize = 64;

/// The result of a wait.
#[derive(Debug, Default)]
pub struct Events {
    /// Sockets that are ready.
    pub ready: heapless::Vec<Ready, EVENTS>,
    woken: bool,
}

/// An event of a socket.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    /// The token that the socket was added with.
    pub token: u64,
    /// There are bytes to read, or the connection has ended.
    pub readable: bool,
    /// There is room to write, or the connection has ended.
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

    /// A poller whose waits fail: its descriptor is no epoll set.
    #[cfg(test)]
    pub(crate) fn broken() -> Self {
        let eventfd = || eventfd(0, EventfdFlags::NONBLOCK).expect("an eventfd");
        Self { epoll: eventfd(), waker: Waker { eventfd: Arc::new(eventfd()) } }
    }

    /// The waker for threads that wait here.
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Adds `socket` under `token`, for reading, and for writing if `writing`.
    pub fn add(&self, socket: impl AsFd, token: u64, writing: bool) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, socket, epoll::EventData::new_u64(token), flags(true, writing))?)
    }

    /// Changes the events that are waited for.
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

    /// Removes `socket`.
    pub fn remove(&self, socket: impl AsFd) {
        // A closed socket has left the set.
        let _ = epoll::delete(&self.epoll, socket);
    }

    /// Waits until a socket is ready, the waker is used, or `timeout` is over.
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
            // `ready` has as much room as the kernel's list.
            let _ = events.ready.push(ready);
        }
        Ok(())
    }

    /// Resets the waker's counter if it ended the wait.
    pub fn settle(&self, events: &Events) {
        if events.woken {
            let mut counter = [0; 8];
            let _ = rustix::io::read(&*self.waker.eventfd, &mut counter);
        }
    }
}

impl Events {
    /// Whether the wait ended without an event.
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
