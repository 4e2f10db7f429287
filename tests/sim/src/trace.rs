//! The trace of a run: a hash of everything that happened, and lines for a reader if wanted.

use std::fmt;

use brickwire_core::Instant;

/// A participant of the world, as lines of the trace name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// The world itself: faults and phases.
    World,
    /// A client.
    Client(usize),
    /// A server process.
    Process(usize),
    /// A connection.
    Link(usize),
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::World => f.write_str("world"),
            Self::Client(n) => write!(f, "client {n}"),
            Self::Process(n) => write!(f, "server {n}"),
            Self::Link(n) => write!(f, "link {n}"),
        }
    }
}

/// Everything that has happened in a run.
#[derive(Clone, Debug)]
pub struct Trace {
    hash: u64,
    events: u64,
    printed: bool,
}

impl Trace {
    /// An empty trace. If `printed`, each event is a line on standard output.
    pub fn new(printed: bool) -> Self {
        Self { hash: 0xcbf2_9ce4_8422_2325, events: 0, printed }
    }

    /// Records an event. `words` tell equal runs from different ones; `text` is for the reader.
    pub fn note(
        &mut self,
        now: Instant,
        actor: Actor,
        words: &[u64],
        text: impl FnOnce() -> String,
    ) {
        self.events += 1;
        let who = match actor {
            Actor::World => 0,
            Actor::Client(n) => 1 << 8 | n as u64,
            Actor::Process(n) => 2 << 8 | n as u64,
            Actor::Link(n) => 3 << 8 | n as u64,
        };
        for word in [now.as_nanos(), who].iter().chain(words) {
            self.hash = (self.hash ^ word).wrapping_mul(0x100_0000_01b3).rotate_left(23);
        }
        if self.printed {
            let seconds = now.as_nanos() as f64 / 1e9;
            println!("{seconds:>14.6} {actor:<10} {}", text());
        }
    }

    /// A hash of all events.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Number of events.
    pub fn events(&self) -> u64 {
        self.events
    }
}
